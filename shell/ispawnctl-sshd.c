/* SPDX-License-Identifier: GPL-3.0-or-later */
/* ispawnctl-sshd.c - sshd's effective configuration for one user; contract in ispawnctl-host.h */
#include "ispawnctl-host.h"

#include "ispawn/base/fd.h"

#include <fnmatch.h>
#include <stdio.h>

#define SSHD_MS 10000

static const char *const paths[] = {"/usr/sbin/sshd", "/usr/local/sbin/sshd", "/usr/bin/sshd"};

/* sshd(8) on standard error, or nothing at all: its first line is the cause. */
static int refuse(const char *output, int status, struct isp_error *err)
{
	char line[120];
	char escaped[160];

	(void)snprintf(line, sizeof(line), "%.*s", (int)strcspn(output, "\r\n"),
		       output); /* Ignored: cut is fine */
	isp_escape(escaped, sizeof(escaped), line);
	return isp_err_set(err, EINVAL, ISP_STAGE_CONFIG, "sshd -T ended with %d: %s", status,
			   escaped);
}

static int ask(const char *path, const char *user, const char *address, char **ret_output,
	       struct isp_error *err)
{
	char whom[2 * ISP_SPEC_TEXT_MAX];
	const char *const argv[] = {path, "-T", "-C", whom, NULL};
	const struct program program = {.argv = argv, .timeout_ms = SSHD_MS};
	int status = 0;
	int r;

	(void)snprintf(whom, sizeof(whom), "user=%s,host=%s,addr=%s", user, address,
		       address); /* fits: a name and an address */
	r = program_run(&program, ret_output, &status, err);
	if (r == 0 && status != 0) {
		r = refuse(*ret_output, status, err);
		free(steal_pointer(ret_output));
	}
	return r;
}

static void cut_lines(struct sshd *sshd)
{
	sshd->size = strlen(sshd->lines);
	for (size_t i = 0; i < sshd->size; i++)
		if (sshd->lines[i] == '\n')
			sshd->lines[i] = '\0';
}

void sshd_ask(const char *user, const char *address, struct sshd *ret_sshd)
{
	for (size_t i = 0; i < ISP_ARRAY_SIZE(paths) && !ret_sshd->is_installed; i++) {
		struct isp_error err = {0};
		int r;

		r = ask(paths[i], user, address, &ret_sshd->lines, &err);
		ret_sshd->is_installed = r != -ENOENT;
		if (ret_sshd->is_installed)
			ret_sshd->err = err;
	}
	if (ret_sshd->lines)
		cut_lines(ret_sshd);
}

const char *sshd_value(const struct sshd *sshd, const char *keyword, const char *after)
{
	const char *line = after ? after + strlen(after) + 1 : sshd->lines;
	size_t size = strlen(keyword);

	if (!sshd->lines)
		return NULL;
	for (; line < sshd->lines + sshd->size; line += strlen(line) + 1)
		if (strncmp(line, keyword, size) == 0 && line[size] == ' ')
			return line + size + 1;
	return NULL;
}

bool sshd_is(const struct sshd *sshd, const char *keyword, const char *value)
{
	const char *found = sshd_value(sshd, keyword, NULL);

	return found && strcmp(found, value) == 0;
}

bool sshd_accepts_variable(const struct sshd *sshd, const char *name)
{
	for (const char *value = sshd_value(sshd, "acceptenv", NULL); value;
	     value = sshd_value(sshd, "acceptenv", value))
		if (fnmatch(value, name, 0) == 0)
			return true;
	return false;
}

void sshd_free(struct sshd *sshd)
{
	free(sshd->lines);
	memset(sshd, 0, sizeof(*sshd));
}
