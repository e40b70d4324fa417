/* SPDX-License-Identifier: GPL-3.0-or-later */
/* sweep.c - cleaning up after dead sessions, and listing all; contract in
 * ispawn/session/registry.h */
#include "ispawn/base/fd.h"
#include "ispawn/base/path.h"
#include "ispawn/container/cgroup.h"
#include "ispawn/session/registry.h"
#include "registry_private.h"

#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

/* A dead session's leaf: whatever still runs in it has lost its supervisor. */
static int sweep_cgroup(const char *id, unsigned int kill_ms)
{
	cleanup_cgroup struct isp_cgroup cgroup = {0};
	char user[ISP_NAME_MAX + 1];
	size_t size = strlen(id) - 9;
	int r;

	memcpy(user, id, size);
	user[size] = '\0';
	r = isp_cgroup_open(user, id, &cgroup);
	/* It may have died between the two: then the user's directory is all there is. */
	if (r == -ENOENT)
		return isp_cgroup_forget(user, id);
	if (r < 0)
		return r;
	r = isp_cgroup_kill(&cgroup, kill_ms);
	return r < 0 ? r : isp_cgroup_remove(&cgroup);
}

/* Locks the entry when its supervisor is dead. Return: 1 and *ret_fd; 0 alive or gone. */
static int lock_dead(int sessions_fd, const char *id, int *ret_fd)
{
	cleanup_close int fd =
		openat(sessions_fd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) != 0)
		return 0;
	*ret_fd = steal_fd(&fd);
	return 1;
}

static int sweep_one(int sessions_fd, const char *id, unsigned int kill_ms, size_t *count,
		     struct isp_error *err)
{
	cleanup_close int lock_fd = -EBADF;
	int is_dead;
	int r;

	if (flock(sessions_fd, LOCK_EX) != 0)
		return isp_err_set(err, errno, ISP_STAGE_REGISTRY, "lock the registry");
	is_dead = lock_dead(sessions_fd, id, &lock_fd);
	(void)flock(sessions_fd, LOCK_UN); /* Ignored: closing unlocks as well */
	if (is_dead == 0)
		return 0;
	r = sweep_cgroup(id, kill_ms);
	if (r == 0)
		r = isp_path_remove_tree(sessions_fd, id);
	if (r < 0)
		return isp_err_set(err, -r, ISP_STAGE_REGISTRY, "clean up after session %s", id);
	++*count;
	return 0;
}

int isp_registry_sweep(const char *user, unsigned int kill_ms, size_t *ret_count,
		       struct isp_error *err)
{
	cleanup_close int sessions_fd = -EBADF;
	cleanup_closedir DIR *dir = NULL;
	struct dirent *e;
	size_t count = 0;
	int next;
	int r = isp_registry_open_sessions(&sessions_fd);

	if (r == 0)
		r = isp_fd_list(sessions_fd, &dir);
	if (r < 0)
		return isp_err_set(err, -r, ISP_STAGE_REGISTRY, "open \"" ISPAWN_SESSIONS_DIR "\"");
	while ((next = isp_fd_next(dir, &e)) > 0) {
		bool is_wanted = user ? isp_registry_is_of(e->d_name, user)
				      : isp_session_id_is_valid(e->d_name);
		int one = is_wanted ? sweep_one(sessions_fd, e->d_name, kill_ms, &count, err) : 0;

		if (r == 0)
			r = one;
	}
	if (next < 0 && r == 0)
		r = isp_err_set(err, -next, ISP_STAGE_REGISTRY, "list \"" ISPAWN_SESSIONS_DIR "\"");
	if (ret_count)
		*ret_count = count;
	return r;
}

void isp_listed_free(struct isp_listed *listed)
{
	isp_spec_free(&listed->spec);
}

pid_t isp_registry_read_pid(int dir_fd, const char *path)
{
	cleanup_free char *text = NULL;
	uint64_t number = 0;

	if (isp_fd_read_file(dir_fd, path, 16, &text) < 0)
		return 0;
	text[strcspn(text, "\n")] = '\0';
	return isp_parse_u64(text, 1, INT32_MAX, &number) == 0 ? (pid_t)number : 0;
}

static int read_listed(int sessions_fd, const char *id, struct isp_listed *ret)
{
	cleanup_close int fd =
		openat(sessions_fd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	cleanup_close int spec_fd = -EBADF;
	cleanup_free char *bytes = NULL;
	struct isp_error ignored = {0};
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) != 0)
		return -errno;
	memcpy(ret->id, id, strlen(id) + 1);
	ret->started_s = st.st_ctim.tv_sec;
	/* Under the registry's lock, so that a login that is just entering is not in our way. */
	if (flock(sessions_fd, LOCK_EX) != 0)
		return -errno;
	ret->is_live = flock(fd, LOCK_EX | LOCK_NB) != 0;
	(void)flock(fd, LOCK_UN); /* Ignored, both: closing unlocks as well */
	(void)flock(sessions_fd, LOCK_UN);
	spec_fd = openat(fd, "spec", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	bytes = malloc(ISP_SPEC_SIZE_MAX);
	if (spec_fd < 0 || !bytes)
		return -ENOENT;
	n = isp_fd_read_all(spec_fd, bytes, ISP_SPEC_SIZE_MAX);
	if (n < 0 || isp_spec_decode(bytes, (size_t)n, &ret->spec, &ignored) < 0)
		return -EINVAL;
	if (fstat(spec_fd, &st) == 0)
		ret->started_s = st.st_mtim.tv_sec;
	ret->supervisor = isp_registry_read_pid(fd, "pid");
	return 0;
}

int isp_registry_visit(isp_registry_visitor *visit, void *closure, struct isp_error *err)
{
	cleanup_close int sessions_fd =
		open(ISPAWN_SESSIONS_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup_closedir DIR *dir = NULL;
	struct dirent *e;
	int next = 0, r;

	if (sessions_fd < 0 && errno == ENOENT)
		return 0; /* no session was ever made since boot */
	r = sessions_fd < 0 ? -errno : isp_fd_list(sessions_fd, &dir);
	if (r < 0)
		return isp_err_set(err, -r, ISP_STAGE_REGISTRY, "open \"" ISPAWN_SESSIONS_DIR "\"");
	while (r == 0 && (next = isp_fd_next(dir, &e)) > 0) {
		struct isp_listed listed = {.started_s = 0};

		if (!isp_session_id_is_valid(e->d_name))
			continue;
		if (read_listed(sessions_fd, e->d_name, &listed) == 0)
			r = visit(&listed, closure);
		isp_listed_free(&listed);
	}
	if (next < 0 && r == 0)
		r = isp_err_set(err, -next, ISP_STAGE_REGISTRY, "list \"" ISPAWN_SESSIONS_DIR "\"");
	return r;
}
