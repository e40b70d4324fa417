/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tree_subject.c - one of a directory's own users; contract in ispawn/policy/subject.h */
#include "ispawn/base/fd.h"
#include "ispawn/base/path.h"
#include "ispawn/base/sys.h"
#include "ispawn/policy/subject.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define DATABASE_MAX (1u << 20) /* bytes of the tree's passwd or group */
#define FIELDS_MAX 7
#define LINE_MAX_BYTES 1024

enum passwd_field { PASSWD_NAME, PASSWD_PASSWORD, PASSWD_UID, PASSWD_GID, PASSWD_GECOS };
enum { PASSWD_HOME = 5, PASSWD_SHELL = 6, PASSWD_FIELDS = 7 };
enum { GROUP_NAME = 0, GROUP_GID = 2, GROUP_FIELDS_MIN = 3 };

/* One line of a database, cut at its colons. */
struct entry {
	char bytes[LINE_MAX_BYTES];
	char *fields[FIELDS_MAX];
	size_t count;
};

/* Return: 0; -ENOENT; -EINVAL not a plain file; -EFBIG; -errno. */
static int read_database(int directory_fd, const char *path, char **ret_text)
{
	/* Threat: a symlink to a file of a file system that is mounted below: reading the host's
	 * /proc/kmsg takes for ever.  The container has none of those. */
	cleanup_close int path_fd =
		isp_sys_openat2(directory_fd, path, O_PATH,
				RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV);
	cleanup_close int fd = -EBADF;
	cleanup_free char *text = NULL;
	char again[32];
	struct stat st;
	ssize_t n;

	if (path_fd < 0 || fstat(path_fd, &st) != 0)
		return -errno;
	/* Order: before it is opened.  Opening a device alone can do something. */
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	(void)snprintf(again, sizeof(again), "/proc/self/fd/%d", path_fd); /* fits */
	fd = open(again, O_RDONLY | O_CLOEXEC);
	text = calloc(1, DATABASE_MAX + 1);
	if (fd < 0 || !text)
		return fd < 0 ? -errno : -ENOMEM;
	n = isp_fd_read_all(fd, text, DATABASE_MAX + 1);
	if (n < 0)
		return (int)n;
	if ((size_t)n > DATABASE_MAX)
		return -EFBIG;
	*ret_text = steal_pointer(&text);
	return 0;
}

/* Cuts the next line off; false when there is none.  What is too long is no entry. */
static bool next_entry(const char **text, struct entry *ret)
{
	char *at = ret->bytes;
	size_t size;

	if (!*text || !**text)
		return false;
	size = strcspn(*text, "\n");
	ret->count = 0;
	if (size < sizeof(ret->bytes)) {
		memcpy(ret->bytes, *text, size);
		ret->bytes[size] = '\0';
		while (at && ret->count < FIELDS_MAX) {
			ret->fields[ret->count++] = at;
			at = strchr(at, ':');
			if (at)
				*at++ = '\0';
		}
	}
	*text += size + ((*text)[size] ? 1 : 0);
	return true;
}

static bool parse_id(const char *text, uint32_t *ret_id)
{
	uint64_t id = 0;

	if (isp_parse_u64(text, 0, ISP_TREE_IDS - 1, &id) < 0)
		return false;
	*ret_id = (uint32_t)id;
	return true;
}

/* By @name, or by @uid when that is NULL.  The first one counts, as for getpwnam(3). */
static bool find_user(const char *passwd, const char *name, uint32_t uid, struct entry *ret)
{
	while (next_entry(&passwd, ret)) {
		uint32_t found = 0;

		if (ret->count != PASSWD_FIELDS || !parse_id(ret->fields[PASSWD_UID], &found))
			continue;
		if (name ? strcmp(ret->fields[PASSWD_NAME], name) == 0 : found == uid)
			return true;
	}
	return false;
}

static bool find_group(const char *group, uint32_t gid, struct entry *ret)
{
	while (next_entry(&group, ret)) {
		uint32_t found = 0;

		if (ret->count >= GROUP_FIELDS_MIN && parse_id(ret->fields[GROUP_GID], &found) &&
		    found == gid)
			return true;
	}
	return false;
}

/* What was asked for. */
struct wanted {
	const char *name; /* NULL: by number */
	uint32_t uid, gid;
	bool has_gid;
};

static int parse_wanted(const char *user, struct wanted *ret, struct isp_error *err)
{
	char uid[16];
	const char *colon = strchr(user, ':');
	size_t size = colon ? (size_t)(colon - user) : strlen(user);
	bool is_number = size > 0 && strspn(user, "0123456789") == size;

	if (!is_number && !colon && isp_name_is_safe(user)) {
		ret->name = user;
		return 0;
	}
	ret->has_gid = colon != NULL;
	if (is_number && size < sizeof(uid)) {
		memcpy(uid, user, size);
		uid[size] = '\0';
		if (parse_id(uid, &ret->uid) && (!colon || parse_id(colon + 1, &ret->gid)))
			return 0;
	}
	return isp_err_set(err, EINVAL, ISP_STAGE_SUBJECT,
			   "neither a user's name, nor UID or UID:GID with numbers from 0 to %d",
			   ISP_TREE_IDS - 1);
}

static int copy_text(const char *text, char **ret_text)
{
	char *copy = strdup(text);

	if (!copy)
		return -ENOMEM;
	*ret_text = copy;
	return 0;
}

/* A home that is no clean path cannot be entered, and a shell that is none cannot be run. */
static int take_entry(const struct entry *entry, struct isp_subject *subject)
{
	const char *home = entry->fields[PASSWD_HOME];
	const char *shell = entry->fields[PASSWD_SHELL];
	int r = copy_text(isp_path_is_clean(home) ? home : "/", &subject->home);

	if (r == 0)
		r = copy_text(isp_spec_shell_is_valid(shell) ? shell : "", &subject->shell);
	return r == 0 ? copy_text(entry->fields[PASSWD_GECOS], &subject->gecos) : r;
}

static int take_nobody(struct isp_subject *subject)
{
	int r = copy_text(subject->uid == 0 ? "/root" : "/", &subject->home);

	if (r == 0)
		r = copy_text("", &subject->shell);
	return r == 0 ? copy_text("", &subject->gecos) : r;
}

static int take_user(const char *passwd, const struct wanted *wanted, struct isp_subject *subject)
{
	struct entry entry = {.count = 0};
	bool is_there = find_user(passwd, wanted->name, wanted->uid, &entry);

	if (!is_there && wanted->name)
		return -ENOENT;
	subject->uid = wanted->uid;
	subject->gid = wanted->has_gid ? wanted->gid : wanted->uid;
	if (is_there && (!parse_id(entry.fields[PASSWD_UID], &subject->uid) ||
			 (!wanted->has_gid && !parse_id(entry.fields[PASSWD_GID], &subject->gid))))
		return -EINVAL;
	if (is_there && isp_name_is_safe(entry.fields[PASSWD_NAME]))
		memcpy(subject->user, entry.fields[PASSWD_NAME],
		       strlen(entry.fields[PASSWD_NAME]) + 1); /* fits: a safe name */
	else if (subject->uid == 0)
		(void)snprintf(subject->user, sizeof(subject->user), ISP_ROOT_NAME); /* fits */
	else
		(void)snprintf(subject->user, sizeof(subject->user), "%u", subject->uid); /* fits */
	return is_there ? take_entry(&entry, subject) : take_nobody(subject);
}

static int take_group(const char *group, struct isp_subject *subject)
{
	struct entry entry = {.count = 0};
	char number[16];

	if (find_group(group, subject->gid, &entry) &&
	    isp_spec_group_name_is_valid(entry.fields[GROUP_NAME]))
		return copy_text(entry.fields[GROUP_NAME], &subject->group);
	(void)snprintf(number, sizeof(number), "%u", subject->gid); /* fits */
	return copy_text(number, &subject->group);
}

/* A tree without the file has no names, and numbers work. */
static int read_or_nothing(int directory_fd, const char *path, char **ret_text,
			   struct isp_error *err)
{
	int r = read_database(directory_fd, path, ret_text);

	if (r == -ENOENT || r == -ENOTDIR)
		r = copy_text("", ret_text);
	return r < 0 ? isp_err_set(err, -r, ISP_STAGE_ROOTFS,
				   "read \"%s\" of the directory (a plain file, at most 1 MiB)",
				   path)
		     : 0;
}

int isp_subject_find_in_tree(int directory_fd, const char *user, const char *service,
			     struct isp_subject *ret_subject, struct isp_error *err)
{
	cleanup_subject struct isp_subject subject = {.owner = ISP_OWNER_ROOT};
	cleanup_free char *passwd = NULL;
	cleanup_free char *group = NULL;
	struct wanted wanted = {.name = NULL};
	char shown[80];
	int r = parse_wanted(user ? user : "0", &wanted, err);

	if (r == 0)
		r = read_or_nothing(directory_fd, "etc/passwd", &passwd, err);
	if (r == 0)
		r = read_or_nothing(directory_fd, "etc/group", &group, err);
	if (r != 0)
		return r;
	r = take_user(passwd, &wanted, &subject);
	if (r == 0)
		r = take_group(group, &subject);
	if (r == 0)
		r = copy_text(service, &subject.service);
	if (r == 0)
		r = copy_text("", &subject.tty);
	if (r == 0)
		r = copy_text("", &subject.rhost);
	if (r < 0) {
		isp_escape(shown, sizeof(shown), user ? user : "0");
		return isp_err_set(err, -r, ISP_STAGE_SUBJECT,
				   "find user \"%s\" in the directory's etc/passwd", shown);
	}
	*ret_subject = subject;
	subject = (struct isp_subject){.uid = 0};
	return 0;
}
