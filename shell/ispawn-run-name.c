/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ispawn-run-name.c - by what name /etc/subuid may call an ordinary user
 *
 * The name service is libraries that are loaded at run time, which a static program must not do.
 * So getent(1), libc's own program, is asked, with the user's own rights and an empty environment.
 * Its answer decides nothing that the user could not do himself: newuidmap(1), which is the one
 * that is privileged, looks him up again.
 */
#include "ispawn.h"

#include "ispawn/base/clock.h"
#include "ispawn/base/fd.h"
#include "ispawn/base/parse.h"
#include "ispawn/base/sys.h"
#include "ispawn/container/child.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define GETENT "/usr/bin/getent"
#define GETENT_MS 10000    /* a directory that is down answers within its own timeouts, or never */
#define LINE_MAX_SIZE 4096 /* less than a pipe holds: who writes it never waits for us */
#define NUMBER_SIZE 16

enum { FIELD_NAME, FIELD_UID = 2, FIELDS = 7 };

/* In a child that has our memory: straight to exec. */
static _Noreturn void execute(int out_fd, uid_t uid)
{
	char name[] = GETENT, database[] = "passwd", key[NUMBER_SIZE];
	char *const argv[] = {name, database, key, NULL};
	char *const environment[] = {NULL};

	(void)snprintf(key, sizeof(key), "%u", uid); /* fits */
	if (dup2(out_fd, STDOUT_FILENO) == STDOUT_FILENO)
		(void)execve(GETENT, argv, environment);
	isp_sys_exit_group(127);
}

/* Cuts the one line of a passwd entry at its colons; false when it is anything else. */
static bool cut(char *text, char *ret_fields[FIELDS])
{
	size_t size = strcspn(text, "\n");

	if (text[size] != '\n' || text[size + 1] != '\0')
		return false;
	text[size] = '\0';
	for (size_t i = 0; i < FIELDS; i++) {
		ret_fields[i] = text;
		text = strchr(text, ':');
		if (!text)
			return i == FIELDS - 1;
		*text++ = '\0';
	}
	return false; /* one too many */
}

/* Return: 0; -EINVAL not an entry of @uid's; -ENOMEM. */
static int take_name(char *text, uid_t uid, char **ret_name)
{
	char *fields[FIELDS], *name;
	uint64_t number = 0;

	if (!cut(text, fields) || !fields[FIELD_NAME][0] ||
	    isp_parse_u64(fields[FIELD_UID], 0, UINT32_MAX, &number) < 0 || number != uid)
		return -EINVAL;
	name = strdup(fields[FIELD_NAME]);
	if (!name)
		return -ENOMEM;
	*ret_name = name;
	return 0;
}

/* Order: read when it has ended.  What it wrote waits in the pipe, or was too much. */
static int read_line(int in_fd, char text[LINE_MAX_SIZE])
{
	ssize_t n = isp_fd_read_all(in_fd, text, LINE_MAX_SIZE);

	if (n < 0)
		return (int)n;
	if (n == LINE_MAX_SIZE)
		return -EFBIG;
	text[n] = '\0';
	return strlen(text) == (size_t)n ? 0 : -EINVAL;
}

int name_find(uid_t uid, char **ret_name, struct isp_error *err)
{
	struct isp_child child = {.what = GETENT,
				  .stage = ISP_STAGE_SUBJECT,
				  .pid_fd = -EBADF,
				  .cancel_fd = -EBADF,
				  .deadline_ms = isp_clock_ms() + GETENT_MS};
	int ends[2], status = -1, r;
	char text[LINE_MAX_SIZE];

	/* Kernel: pipe(7): non-blocking, for a process that getent has left behind may hold it. */
	if (pipe2(ends, O_CLOEXEC) != 0 || fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0)
		return isp_err_set(err, errno, ISP_STAGE_SUBJECT, "make a pipe");
	r = isp_child_start(&child, err);
	if (r > 0)
		execute(ends[1], uid);
	isp_fd_close(&ends[1]);
	if (r == 0)
		r = isp_child_wait(&child, &status, err);
	if (r == 0)
		r = status == 0 ? read_line(ends[0], text) : -ENOENT;
	if (r == 0)
		r = take_name(text, uid, ret_name);
	isp_fd_close(&ends[0]);
	return r < 0 ? isp_err_set(err, -r, ISP_STAGE_SUBJECT, "ask " GETENT " for uid %u", uid)
		     : 0;
}
