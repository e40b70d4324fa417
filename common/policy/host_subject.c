/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * host_subject.c - who is logging in, asked of the host; contract in ispawn/policy/subject.h
 *
 * All that calls the name service stands here, so that a static program, which must not have it,
 * links what is in subject.c and tree_subject.c alone.
 *
 * Only the reentrant calls of the name service are used: the PAM application may be threaded, and
 * the static buffers of the others may be in its use.  All buffers grow: an entry of LDAP with ten
 * thousand members is an entry like any other.
 */
#include "ispawn/policy/subject.h"
#include "ispawn/base/fd.h"

#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

#define BUFFER_MIN 1024u
#define BUFFER_MAX (16u << 20)
#define GROUPS_MAX 65536 /* NGROUPS_MAX: the kernel keeps no more */

static int copy_text(const char *text, char **ret_text)
{
	char *copy = strdup(text ? text : "");

	if (!copy)
		return -ENOMEM;
	*ret_text = copy;
	return 0;
}

/* Where the name service writes an entry. */
struct buffer {
	char *bytes;
	size_t size;
};

static void free_buffer(struct buffer *buffer)
{
	free(buffer->bytes);
}
#define cleanup_buffer __attribute__((cleanup(free_buffer)))

/* Doubles the buffer, without what was in it. Return: 0; -ERANGE as large as it gets; -ENOMEM. */
static int grow(struct buffer *buffer)
{
	size_t larger = buffer->size ? buffer->size * 2 : BUFFER_MIN;

	if (larger > BUFFER_MAX)
		return -ERANGE;
	free(buffer->bytes);
	buffer->size = 0;
	buffer->bytes = malloc(larger);
	if (!buffer->bytes)
		return -ENOMEM;
	buffer->size = larger;
	return 0;
}

/* Looks an entry up by @user, or by @uid when that is NULL.  Return: 0; -ENOENT; -errno. */
static int look_up(const char *user, uid_t uid, struct buffer *buffer, struct passwd *ret_entry)
{
	struct passwd *found = NULL;
	int error = ERANGE;

	while (error == ERANGE) {
		int r = grow(buffer);

		if (r < 0)
			return r;
		do
			error = user ? getpwnam_r(user, ret_entry, buffer->bytes, buffer->size,
						  &found)
				     : getpwuid_r(uid, ret_entry, buffer->bytes, buffer->size,
						  &found);
		while (error == EINTR);
	}
	if (found)
		return 0;
	return error == 0 ? -ENOENT : -error;
}

/* Takes what is needed from the user's passwd entry. Return: 0; -ENOENT; -errno. */
static int take_user(const char *user, struct isp_subject *subject)
{
	cleanup_buffer struct buffer buffer = {.bytes = NULL};
	struct passwd entry = {.pw_uid = (uid_t)-1};
	int r = look_up(user, 0, &buffer, &entry);

	if (r < 0)
		return r;
	/* The name service's spelling, not the caller's: where case does not matter to it, ALICE
	 * must meet the sections written for alice. */
	/* A name of other bytes (directories have blanks and umlauts) is in no [user] section and
	 * cannot be confined, which freezing refuses; who is not confined may be called anything.
	 */
	(void)snprintf(subject->user, sizeof(subject->user), "%s",
		       isp_name_is_safe(entry.pw_name) ? entry.pw_name : "?"); /* fits */
	subject->uid = entry.pw_uid;
	subject->gid = entry.pw_gid;
	r = copy_text(entry.pw_gecos, &subject->gecos);
	if (r == 0)
		r = copy_text(entry.pw_dir, &subject->home);
	if (r == 0)
		r = copy_text(entry.pw_shell, &subject->shell);
	return r;
}

/* The name of @gid, or its number when it has none. @buffer serves all calls of one subject. */
static int group_name(gid_t gid, struct buffer *buffer, char **ret_name)
{
	struct group entry = {.gr_gid = (gid_t)-1};
	struct group *found = NULL;
	char number[16];
	int error = buffer->size ? 0 : ERANGE;

	do {
		int r = error == ERANGE ? grow(buffer) : 0;

		if (r < 0)
			return r;
		error = getgrgid_r(gid, &entry, buffer->bytes, buffer->size, &found);
	} while (error == ERANGE || error == EINTR);
	if (found)
		return copy_text(entry.gr_name, ret_name);
	/* ENOENT and its like: getgrnam(3) lists what libraries return for "no such group". */
	if (error != 0 && error != ENOENT && error != ESRCH)
		return -error;
	(void)snprintf(number, sizeof(number), "%u", gid); /* fits */
	return copy_text(number, ret_name);
}

/* All group ids of the user, the primary one included; the caller frees them. */
static gid_t *list_gids(const char *user, gid_t gid, int *ret_count)
{
	for (int room = 64; room <= GROUPS_MAX; room *= 2) {
		gid_t *gids = calloc((size_t)room, sizeof(*gids));

		*ret_count = room;
		if (!gids || getgrouplist(user, gid, gids, ret_count) >= 0)
			return gids;
		free(gids);
		errno = E2BIG;
	}
	return NULL;
}

static int name_groups(struct isp_subject *subject, const gid_t *gids, size_t count)
{
	cleanup_buffer struct buffer buffer = {.bytes = NULL};

	subject->groups = calloc(count + 1, sizeof(*subject->groups));
	if (!subject->groups)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		struct isp_group group = {.gid = gids[i]};
		int r = group.gid == subject->gid ? 0 : group_name(group.gid, &buffer, &group.name);

		if (r < 0)
			return r;
		if (group.name)
			subject->groups[subject->group_count++] = group;
	}
	return 0;
}

static int take_groups(const char *user, struct isp_subject *subject)
{
	cleanup_free gid_t *gids = NULL;
	cleanup_buffer struct buffer buffer = {.bytes = NULL};
	int count = 0;
	int r;

	/* Root is exempt whatever its groups are, and must get in when the directory is down. */
	if (subject->uid == 0)
		return copy_text("root", &subject->group);
	r = group_name(subject->gid, &buffer, &subject->group);
	if (r < 0)
		return r;
	gids = list_gids(user, subject->gid, &count);
	return gids ? name_groups(subject, gids, (size_t)count) : -errno;
}

static int take_login(struct isp_subject *subject, const char *service, const char *tty,
		      const char *rhost)
{
	int r = copy_text(service, &subject->service);

	if (r == 0)
		r = copy_text(tty, &subject->tty);
	return r == 0 ? copy_text(rhost, &subject->rhost) : r;
}

int isp_subject_resolve(const char *user, const char *service, const char *tty, const char *rhost,
			struct isp_subject *ret_subject, struct isp_error *err)
{
	const char *step = "passwd entry";
	char shown[ISP_NAME_MAX * 2];
	int r = take_user(user, ret_subject);

	if (r == 0) {
		step = "groups";
		r = take_groups(user, ret_subject);
	}
	if (r == 0)
		r = take_login(ret_subject, service, tty, rhost);
	if (r == 0)
		return 0;
	isp_subject_free(ret_subject);
	isp_escape(shown, sizeof(shown), user);
	return isp_err_set(err, -r, ISP_STAGE_SUBJECT, "user \"%s\": %s", shown, step);
}

int isp_subject_name(uid_t uid, char **ret_name, struct isp_error *err)
{
	cleanup_buffer struct buffer buffer = {.bytes = NULL};
	struct passwd entry = {.pw_uid = (uid_t)-1};
	int r = look_up(NULL, uid, &buffer, &entry);

	if (r == 0)
		r = copy_text(entry.pw_name, ret_name);
	return r < 0 ? isp_err_set(err, -r, ISP_STAGE_SUBJECT, "user of uid %u: passwd entry", uid)
		     : 0;
}
