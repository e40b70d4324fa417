/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ispawnctl-jobs.c - may a user leave jobs for cron and at? contract in ispawnctl-host.h
 *
 * crontab(1) and at(1) look into an allow and a deny file when a job is left, the daemons look into
 * neither when it is due: whoever has jobs already keeps them.
 */
#include "ispawnctl-host.h"

#include "ispawn/base/fd.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#define LIST_MAX (1024 * 1024)

static const struct kind {
	const char *way, *allow, *deny;
	bool needs_a_list; /* without either file nobody but root may */
	const char
		*tables[2]; /* a job is the file of the user's name; where distributions differ */
	const char *spools[2]; /* a job is a file that the user owns */
} kinds[] = {
	{"cron",
	 "/etc/cron.allow",
	 "/etc/cron.deny",
	 false,
	 {"/var/spool/cron/crontabs", "/var/spool/cron"},
	 {0}},
	{"at",
	 "/etc/at.allow",
	 "/etc/at.deny",
	 true,
	 {0},
	 {"/var/spool/cron/atjobs", "/var/spool/at"}},
};

static bool has_line(const char *text, const char *name)
{
	size_t size = strlen(name);

	for (const char *line = text; *line;) {
		size_t length = strcspn(line, "\n");

		if (length == size && memcmp(line, name, size) == 0)
			return true;
		line += length + (line[length] == '\n');
	}
	return false;
}

/* Return: the file that forbids it; NULL: none does, or it cannot be known. */
static const char *forbidding_file(const struct kind *kind, const char *user)
{
	cleanup_free char *text = NULL;
	int r = isp_fd_read_file(AT_FDCWD, kind->allow, LIST_MAX, &text);

	if (r == 0)
		return has_line(text, user) ? NULL : kind->allow;
	if (r != -ENOENT)
		return NULL;
	r = isp_fd_read_file(AT_FDCWD, kind->deny, LIST_MAX, &text);
	if (r == 0)
		return has_line(text, user) ? kind->deny : NULL;
	return r == -ENOENT && kind->needs_a_list ? kind->allow : NULL;
}

static bool has_table(const char *directory, const char *user)
{
	char path[PATH_MAX];
	struct stat st;

	if (snprintf(path, sizeof(path), "%s/%s", directory, user) >= (int)sizeof(path))
		return true;
	return lstat(path, &st) == 0 ? S_ISREG(st.st_mode) : errno != ENOENT;
}

static bool owns_one(const char *directory, unsigned int uid)
{
	cleanup_closedir DIR *dir = opendir(directory);
	struct dirent *entry = NULL;
	int r = 0;

	if (!dir)
		return errno != ENOENT;
	while ((r = isp_fd_next(dir, &entry)) == 1) {
		struct stat st;

		if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(st.st_mode) && st.st_uid == uid)
			return true;
	}
	return r < 0;
}

static bool has_jobs(const struct kind *kind, const struct isp_subject *subject)
{
	for (size_t i = 0; i < ISP_ARRAY_SIZE(kind->tables); i++)
		if (kind->tables[i] && has_table(kind->tables[i], subject->user))
			return true;
	for (size_t i = 0; i < ISP_ARRAY_SIZE(kind->spools); i++)
		if (kind->spools[i] && owns_one(kind->spools[i], subject->uid))
			return true;
	return false;
}

void jobs_judge(const struct isp_subject *subject, const char *way, struct verdict *v)
{
	for (size_t i = 0; i < ISP_ARRAY_SIZE(kinds); i++) {
		const char *file;

		if (strcmp(kinds[i].way, way) != 0 || v->place != PLACE_HOST || subject->uid == 0)
			continue;
		file = forbidding_file(&kinds[i], subject->user);
		if (file && !has_jobs(&kinds[i], subject))
			verdict_set(v, PLACE_DENIED, "",
				    "\"%s\" lets this user leave no jobs, and there are none",
				    file);
	}
}
