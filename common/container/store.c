/* SPDX-License-Identifier: GPL-3.0-or-later */
/* store.c - what stays on disk; contract in ispawn/container/store.h */
#include "ispawn/container/store.h"
#include "ispawn/base/clock.h"
#include "ispawn/base/fd.h"
#include "ispawn/base/path.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>

#define LOCK_RETRY_MS 5
#define HOME "home"
#define HOME_NEW "home.new"
#define COPY_PREFIX "rootfs-"

/* flock has no timeout: try, and watch the door in between. */
static int lock_user(int user_fd, int64_t deadline_ms, int cancel_fd, struct isp_error *err)
{
	struct pollfd cancel = {.fd = cancel_fd, .events = POLLRDHUP};

	while (flock(user_fd, LOCK_EX | LOCK_NB) != 0) {
		if (errno != EWOULDBLOCK)
			return isp_err_set(err, errno, ISP_STAGE_ROOTFS, "lock the user's store");
		if (isp_clock_left(deadline_ms) == 0)
			return isp_err_set(err, ETIMEDOUT, ISP_STAGE_DEADLINE,
					   "another login of this user is still being built");
		if (poll(&cancel, 1, LOCK_RETRY_MS) > 0)
			return isp_err_set(err, ECANCELED, ISP_STAGE_START, "the login is gone");
	}
	return 0;
}

/* Reads users/USER/@name, or makes it with @fresh. */
static int read_or_make(int user_fd, const char *name, const char *fresh, char **ret_text)
{
	cleanup_close int fd = -EBADF;
	char new_name[32];
	int r = isp_fd_read_file(user_fd, name, 64, ret_text);

	if (r != -ENOENT)
		return r;
	(void)snprintf(new_name, sizeof(new_name), "%s.new", name);
	fd = openat(user_fd, new_name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = isp_fd_write_all(fd, fresh, strlen(fresh));
	/* Kernel: a name can reach the disk long before what it names: after a power cut the file
	 * would be there, empty, and the user locked out. */
	if (r == 0 && fsync(fd) != 0)
		r = -errno;
	if (r == 0 && renameat(user_fd, new_name, user_fd, name) != 0)
		r = -errno;
	if (r < 0) {
		(void)unlinkat(user_fd, new_name, 0); /* Ignored: the next login writes it again */
		return r;
	}
	*ret_text = strdup(fresh);
	return *ret_text ? 0 : -ENOMEM;
}

/* Threat: an account removed and made again under the same name with another uid would be given
 * the files of the one before. */
static int check_owner(int user_fd, const struct isp_spec *spec, struct isp_error *err)
{
	cleanup_free char *text = NULL;
	char uid[16];
	int r;

	(void)snprintf(uid, sizeof(uid), "%u\n", isp_spec_owner_uid(spec));
	r = read_or_make(user_fd, "owner", uid, &text);
	if (r < 0)
		return isp_err_set(err, -r, ISP_STAGE_ROOTFS,
				   "read or make \"" ISPAWN_STORE_DIR "/users/%s/owner\"",
				   isp_spec_owner_name(spec));
	if (strcmp(text, uid) != 0)
		return isp_err_set(
			err, EPERM, ISP_STAGE_ROOTFS,
			"\"" ISPAWN_STORE_DIR
			"/users/%s\" belongs to another uid than %u: remove it or correct "
			"its file \"owner\"",
			isp_spec_owner_name(spec), isp_spec_owner_uid(spec));
	return 0;
}

static int find_machine_id(struct isp_store *store, const struct isp_spec *spec,
			   struct isp_error *err)
{
	cleanup_free char *text = NULL;
	unsigned char bytes[16];
	char fresh[34];
	int r;

	/* Kernel: getrandom(2): up to 256 bytes are never cut short. */
	if (getrandom(bytes, sizeof(bytes), 0) < 0)
		return isp_err_set(err, errno, ISP_STAGE_ROOTFS, "make a machine-id");
	/* machine-id(5): a version 4 UUID without dashes. */
	bytes[6] = (unsigned char)((bytes[6] & 0x0f) | 0x40);
	bytes[8] = (unsigned char)((bytes[8] & 0x3f) | 0x80);
	for (size_t i = 0; i < sizeof(bytes); i++)
		(void)snprintf(fresh + 2 * i, 3, "%02x", bytes[i]);
	fresh[32] = '\n';
	fresh[33] = '\0';
	r = read_or_make(store->user_fd, "machine-id", fresh, &text);
	if (r < 0 || strspn(text, "0123456789abcdef") != 32)
		return isp_err_set(err, r < 0 ? -r : EINVAL, ISP_STAGE_ROOTFS,
				   "read or make \"" ISPAWN_STORE_DIR "/users/%s/machine-id\"",
				   isp_spec_owner_name(spec));
	memcpy(store->machine_id, text, 32);
	store->machine_id[32] = '\0';
	return 0;
}

static int open_template(const struct isp_spec *spec, int directory_fd, int *ret_fd,
			 struct isp_error *err)
{
	char path[PATH_MAX];
	int r;

	if (spec->directory[0]) {
		*ret_fd = fcntl(directory_fd, F_DUPFD_CLOEXEC, 0);
		return *ret_fd < 0 ? isp_err_set(err, errno, ISP_STAGE_ROOTFS,
						 "take the descriptor of \"%s\"", spec->directory)
				   : 0;
	}
	(void)snprintf(path, sizeof(path), ISPAWN_STORE_DIR "/templates/%s/rootfs",
		       spec->template_name);
	r = isp_path_open_trusted(path, O_PATH | O_DIRECTORY, ISP_STAGE_ROOTFS, ret_fd, err);
	return r < 0 ? isp_err_prefix(err, "template \"%s\"", spec->template_name) : 0;
}

/* The directories from the store down to the user's copy. */
static int make_directories(struct isp_store *store, const struct isp_spec *spec,
			    struct isp_error *err)
{
	cleanup_close int users_fd = -EBADF;
	cleanup_close int parent_fd = open("/var/lib", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int r = parent_fd < 0 ? -errno : 0;

	_Static_assert(sizeof(ISPAWN_STORE_DIR) == sizeof("/var/lib/ispawn"),
		       "the store is made in /var/lib");
	if (r == 0)
		r = isp_path_make_dir(parent_fd, "ispawn", 0700, &store->store_fd);
	if (r == 0)
		r = isp_path_make_dir(store->store_fd, "users", 0700, &users_fd);
	if (r == 0)
		r = isp_path_make_dir(users_fd, isp_spec_owner_name(spec), 0700, &store->user_fd);
	if (r < 0)
		return isp_err_set(err, -r, ISP_STAGE_ROOTFS,
				   "make \"" ISPAWN_STORE_DIR "/users/%s\", mode 0700, root's",
				   isp_spec_owner_name(spec));
	return 0;
}

int isp_store_open(const struct isp_spec *spec, int directory_fd, int64_t deadline_ms,
		   int cancel_fd, struct isp_store *ret_store, struct isp_error *err)
{
	cleanup_store struct isp_store store = ISP_STORE_CLOSED;
	char copy[sizeof(COPY_PREFIX) + ISP_NAME_MAX];
	int r = open_template(spec, directory_fd, &store.template_fd, err);

	if (r == 0)
		r = make_directories(&store, spec, err);
	if (r == 0)
		r = lock_user(store.user_fd, deadline_ms, cancel_fd, err);
	if (r == 0)
		r = check_owner(store.user_fd, spec, err);
	if (r == 0)
		r = find_machine_id(&store, spec, err);
	if (r < 0)
		return r;
	(void)snprintf(copy, sizeof(copy), COPY_PREFIX "%s", spec->template_name);
	r = isp_path_make_dir(store.user_fd, copy, 0700, &store.copy_fd);
	if (r < 0)
		return isp_err_set(err, -r, ISP_STAGE_ROOTFS,
				   "make \"" ISPAWN_STORE_DIR "/users/%s/%s\"",
				   isp_spec_owner_name(spec), copy);
	*ret_store = store;
	store = ISP_STORE_CLOSED;
	return 0;
}

int isp_store_home(struct isp_store *store, const struct isp_spec *spec, int *ret_fd,
		   struct isp_error *err)
{
	int fd = openat(store->user_fd, HOME, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int r;

	if (fd >= 0) {
		*ret_fd = fd;
		return 0;
	}
	/* What a crashed first login left was never given to anybody. */
	r = errno == ENOENT ? isp_path_remove_tree(store->user_fd, HOME_NEW) : -errno;
	if (r == 0 && mkdirat(store->user_fd, HOME_NEW, 0700) != 0)
		r = -errno;
	/* From here on isp_store_close() removes it, unless it is committed. */
	store->is_home_new = r == 0;
	if (r == 0) {
		fd = openat(store->user_fd, HOME_NEW, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = fd < 0 ? -errno : 0;
	}
	/* On disk the ids are the container's, and the user's own stands for itself. */
	if (r == 0 && fchown(fd, spec->uid, spec->gid) != 0)
		r = -errno;
	if (r < 0) {
		isp_fd_close(&fd);
		return isp_err_set(err, -r, ISP_STAGE_ROOTFS,
				   "make \"" ISPAWN_STORE_DIR "/users/%s/home\"", spec->user);
	}
	*ret_fd = fd;
	return 0;
}

int isp_store_commit(struct isp_store *store, struct isp_error *err)
{
	if (!store->is_home_new)
		return 0;
	if (renameat(store->user_fd, HOME_NEW, store->user_fd, HOME) != 0)
		return isp_err_set(err, errno, ISP_STAGE_ROOTFS, "keep the new home directory");
	store->is_home_new = false;
	return 0;
}

void isp_store_unlock(struct isp_store *store)
{
	if (store->user_fd >= 0)
		(void)flock(store->user_fd, LOCK_UN); /* Ignored: closing unlocks as well */
}

void isp_store_close(struct isp_store *store)
{
	/* A home that was not committed is a failed login's: nothing half made stays. */
	if (store->is_home_new)
		isp_ignore(
			isp_path_remove_tree(store->user_fd, HOME_NEW)); /* the next login does */
	store->is_home_new = false;
	isp_fd_close(&store->template_fd);
	isp_fd_close(&store->copy_fd);
	isp_fd_close(&store->user_fd);
	isp_fd_close(&store->store_fd);
}
