/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ispawnctl-gc.c - `ispawnctl gc`: what the next logins would clean up, now
 *
 * Dead sessions are everybody's next login's business; what a first login had begun to make when
 * it was killed waits for the same user's next one.  Both cost nothing but space until then.
 */
#include "ispawnctl.h"

#include "ispawn/base/fd.h"
#include "ispawn/base/path.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define DIRECTORY (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

/* Names under which a first login makes what it renames when the container stands (store.h). */
static bool is_half_made(const char *name)
{
	static const char *const names[] = {"home.new", "copy.new", "owner.new", "machine-id.new"};

	for (size_t i = 0; i < ISP_ARRAY_SIZE(names); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

static bool is_copy(const char *name)
{
	return strncmp(name, "rootfs-", strlen("rootfs-")) == 0;
}

/* Removes what is half made in @dir_fd. Return: 0; -errno of the first failure. */
static int remove_half_made(int dir_fd, size_t *count)
{
	cleanup_closedir DIR *dir = NULL;
	struct dirent *e;
	int next = 0;
	int r = isp_fd_list(dir_fd, &dir);

	while (dir && (next = isp_fd_next(dir, &e)) > 0) {
		int one;

		if (!is_half_made(e->d_name))
			continue;
		one = isp_path_remove_tree(dir_fd, e->d_name);
		*count += one == 0;
		if (r == 0)
			r = one;
	}
	return r == 0 ? next : r;
}

static int clean_copies(int user_fd, size_t *count)
{
	cleanup_closedir DIR *dir = NULL;
	struct dirent *e;
	int next = 0;
	int r = isp_fd_list(user_fd, &dir);

	while (dir && (next = isp_fd_next(dir, &e)) > 0) {
		cleanup_close int copy_fd = -EBADF;
		int one;

		if (!is_copy(e->d_name))
			continue;
		copy_fd = openat(user_fd, e->d_name, DIRECTORY);
		one = copy_fd < 0 ? -errno : remove_half_made(copy_fd, count);
		if (r == 0)
			r = one;
	}
	return r == 0 ? next : r;
}

/* Under the user's store lock: whoever holds it is making these very things. */
static int clean_user(int users_fd, const char *user, size_t *count, struct isp_error *err)
{
	cleanup_close int user_fd = openat(users_fd, user, DIRECTORY);
	int r;

	if (user_fd >= 0 && flock(user_fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
		(void)printf("store of %s: left alone, a login is being built\n", user);
		return 0;
	}
	r = user_fd < 0 ? -errno : remove_half_made(user_fd, count);
	if (r == 0)
		r = clean_copies(user_fd, count);
	return r < 0 ? isp_err_set(err, -r, ISP_STAGE_ROOTFS,
				   "clean up \"" ISPAWN_STORE_DIR "/users/%s\"", user)
		     : 0;
}

static int clean_store(size_t *count, struct isp_error *err)
{
	cleanup_close int users_fd = open(ISPAWN_STORE_DIR "/users", DIRECTORY);
	cleanup_closedir DIR *dir = NULL;
	struct dirent *e;
	int next = 0;
	int r;

	if (users_fd < 0 && errno == ENOENT)
		return 0; /* nobody has ever logged in */
	r = users_fd < 0 ? -errno : isp_fd_list(users_fd, &dir);
	while (dir && (next = isp_fd_next(dir, &e)) > 0) {
		int one = isp_name_is_safe(e->d_name) ? clean_user(users_fd, e->d_name, count, err)
						      : 0;

		if (r == 0)
			r = one;
	}
	if (r == 0)
		r = next;
	return r < 0 ? isp_err_set(err, -r, ISP_STAGE_ROOTFS, "list \"" ISPAWN_STORE_DIR "/users\"")
		     : 0;
}

int gc_run(int argc, char **argv)
{
	struct isp_error registry = {0};
	struct isp_error store = {0};
	size_t sessions = 0;
	size_t half_made = 0;
	int status = STATUS_OK;

	if (argc > 0)
		return refuse_argument("gc", argv[0]);
	if (isp_registry_sweep(NULL, ISP_SWEEP_MS, &sessions, &registry) < 0)
		status = say_error(&registry);
	if (clean_store(&half_made, &store) < 0)
		status = say_error(&store);
	(void)printf("cleaned up: dead sessions %zu, half-made homes and copies %zu\n", sessions,
		     half_made);
	return status;
}
