/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * identity.c - the names of the place and of its user; contract in ispawn/container/builder.h
 *
 * Everything here is written from the spec, as container root, after the pivot.  Who the user is
 * was asked on the host before; no name service ever runs from inside (CVE-2019-14271,
 * CVE-2025-32463), and the container's own can name an LDAP user because he stands in its passwd.
 * Files are rewritten only when they do not say so already: a second login writes nothing.
 */
#include "ispawn/base/fd.h"
#include "ispawn/container/builder.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define DATABASE_MAX (1u << 20) /* bytes of the copy's passwd or group */

int isp_identity_set_hostname(struct isp_builder *b, struct isp_error *err)
{
	if (sethostname(b->spec->hostname, strlen(b->spec->hostname)) != 0 ||
	    setdomainname("", 0) != 0)
		return isp_err_set(err, errno, ISP_STAGE_IDENTITY, "set the hostname");
	return 0;
}

/* Is field @number (from 0, ':' between) of @line exactly @value? */
static bool field_is(const char *line, size_t size, unsigned int number, const char *value)
{
	const char *end = line + size;
	size_t n;

	for (; number > 0; number--) {
		line = memchr(line, ':', (size_t)(end - line));
		if (!line)
			return false;
		line++;
	}
	n = strlen(value);
	return (size_t)(end - line) >= n && memcmp(line, value, n) == 0 &&
	       (line + n == end || line[n] == ':');
}

static bool has_line(const char *text, const char *wanted)
{
	size_t size = strlen(wanted);

	for (const char *line = text; *line;) {
		size_t n = strcspn(line, "\n");

		if (n == size && memcmp(line, wanted, n) == 0)
			return true;
		line += n + (line[n] == '\n');
	}
	return false;
}

/*
 * @text with @entry in it: before the first line that has the same id (so that the id gets this
 * name), without any line of the same name.  NULL when out of memory.
 */
static char *with_entry(const char *text, const char *entry, const char *name, const char *id)
{
	char *result = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&result, &size);
	bool is_in = false;

	if (!out)
		return NULL;
	for (const char *line = text; *line;) {
		size_t n = strcspn(line, "\n");
		bool is_same_id = field_is(line, n, 2, id);

		if (is_same_id && !is_in) {
			(void)fprintf(out, "%s\n", entry); /* checked by fclose, as all below */
			is_in = true;
		}
		if (n > 0 && !field_is(line, n, 0, name))
			(void)fprintf(out, "%.*s\n", (int)n, line);
		line += n + (line[n] == '\n');
	}
	if (!is_in)
		(void)fprintf(out, "%s\n", entry);
	if (fclose(out) != 0) {
		free(result);
		return NULL;
	}
	return result;
}

/* Puts @entry into the database at @path; a missing one is made. */
static int ensure_entry(const char *path, const char *entry, const char *name, uint32_t id,
			struct isp_error *err)
{
	cleanup_free char *text = NULL;
	cleanup_free char *fresh = NULL;
	char number[16];
	int r = isp_fd_read_file(AT_FDCWD, path, DATABASE_MAX, &text);

	if (r == -ENOENT) {
		text = strdup("");
		r = text ? 0 : -ENOMEM;
	}
	if (r < 0)
		return isp_err_set(err, -r, ISP_STAGE_IDENTITY,
				   "read the copy's \"%s\" (must be a plain file)", path);
	if (has_line(text, entry))
		return 0;
	(void)snprintf(number, sizeof(number), "%u", id);
	fresh = with_entry(text, entry, name, number);
	r = fresh ? isp_tree_write(path, fresh, 0644) : -ENOMEM;
	return r < 0 ? isp_err_set(err, -r, ISP_STAGE_IDENTITY, "write the copy's \"%s\"", path)
		     : 0;
}

static int ensure_user(const struct isp_builder *b, struct isp_error *err)
{
	const struct isp_spec *spec = b->spec;
	cleanup_free char *entry = NULL;

	/* "*" and not "x": no password opens the account, and no line in shadow is missing. */
	if (asprintf(&entry, "%s:*:%u:%u:%s:%s:%s", spec->user, spec->uid, spec->gid, spec->gecos,
		     spec->home_path, b->shell[0] ? b->shell : "/bin/false") < 0)
		return isp_err_set(err, ENOMEM, ISP_STAGE_IDENTITY, "write the passwd entry");
	return ensure_entry("/etc/passwd", entry, spec->user, spec->uid, err);
}

static int ensure_groups(const struct isp_spec *spec, struct isp_error *err)
{
	cleanup_free char *own = NULL;
	int r;

	if (asprintf(&own, "%s:x:%u:", spec->group, spec->gid) < 0)
		return isp_err_set(err, ENOMEM, ISP_STAGE_IDENTITY, "write the group entry");
	r = ensure_entry("/etc/group", own, spec->group, spec->gid, err);
	for (size_t i = 0; i < spec->group_count && r == 0; i++) {
		const struct isp_group *group = &spec->groups[i];
		cleanup_free char *entry = NULL;

		if (asprintf(&entry, "%s:x:%u:%s", group->name, group->gid, spec->user) < 0)
			return isp_err_set(err, ENOMEM, ISP_STAGE_IDENTITY, "write group entries");
		r = ensure_entry("/etc/group", entry, group->name, group->gid, err);
	}
	return r;
}

static int ensure_text(const char *path, const char *text, unsigned int mode, struct isp_error *err)
{
	int r = isp_tree_write(path, text, mode);

	return r < 0 ? isp_err_set(err, -r, ISP_STAGE_IDENTITY, "write the copy's \"%s\"", path)
		     : 0;
}

/* A directory that is run in place is not edited: the files stand in /run and are mounted over. */
static int show_files(const char *hostname, const char *hosts, struct isp_error *err)
{
	int r = isp_tree_show("/etc/hostname", hostname, 0);

	if (r == 0)
		r = isp_tree_show("/etc/hosts", hosts, 0);
	return r < 0 ? isp_err_set(err, -r, ISP_STAGE_IDENTITY,
				   "show the container's own \"/etc/hostname\" and \"/etc/hosts\"")
		     : 0;
}

int isp_identity_write_files(struct isp_builder *b, struct isp_error *err)
{
	char hostname[sizeof(b->spec->hostname) + 1];
	char machine_id[40];
	char hosts[256];
	int r;

	(void)snprintf(hostname, sizeof(hostname), "%s\n", b->spec->hostname);
	(void)snprintf(machine_id, sizeof(machine_id), "%s\n", b->machine_id);
	(void)snprintf(hosts, sizeof(hosts),
		       "127.0.0.1\tlocalhost\n127.0.1.1\t%s\n"
		       "::1\tlocalhost ip6-localhost ip6-loopback\n",
		       b->spec->hostname);
	if (b->spec->directory[0])
		return show_files(hostname, hosts, err);
	r = isp_tree_make_dirs("/etc");
	if (r < 0)
		return isp_err_set(err, -r, ISP_STAGE_IDENTITY, "make the copy's \"/etc\"");
	r = ensure_user(b, err);
	if (r == 0)
		r = ensure_groups(b->spec, err);
	if (r == 0)
		r = ensure_text("/etc/hostname", hostname, 0644, err);
	if (r == 0)
		r = ensure_text("/etc/hosts", hosts, 0644, err);
	return r < 0 ? r : ensure_text("/etc/machine-id", machine_id, 0444, err);
}

static bool is_program(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 0111) != 0;
}

int isp_identity_find_shell(struct isp_builder *b, struct isp_error *err)
{
	const char *const candidates[] = {b->spec->shell, "/bin/bash", "/bin/sh"};
	size_t count = b->spec->shell_is_fallback ? ISP_ARRAY_SIZE(candidates) : 1;

	if (!b->spec->shell[0])
		return 0; /* forwarding only: init refuses tenants */
	for (size_t i = 0; i < count; i++) {
		if (!is_program(candidates[i]))
			continue;
		(void)snprintf(b->shell, sizeof(b->shell), "%s", candidates[i]); /* paths fit */
		return 0;
	}
	if (b->spec->runs_commands)
		return 0; /* a tree of one program needs no shell */
	return isp_err_set(err, ENOENT, ISP_STAGE_IDENTITY,
			   "the shell \"%s\" is not a program inside template \"%s\"",
			   b->spec->shell, b->spec->template_name);
}
