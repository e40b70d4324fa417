/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * cgroup.c - finding the hierarchies, making and removing a session's leaf; contract in
 * ispawn/container/cgroup.h
 *
 * Two supervisors of one user may make and remove USER at the same moment.  Nothing is locked:
 * whoever makes a leaf makes USER and the leaf again and again until both exist, and from then on
 * USER cannot go, since rmdir refuses a directory with children.  The limits are written after
 * that, and before any task.
 */
#include "cgroup_internal.h"

#include "ispawn/base/clock.h"
#include "ispawn/base/fd.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define MAKE_ATTEMPTS 100
#define REMOVE_DEADLINE_MS 200
#define REMOVE_PAUSE_MS 2
#define DIRECTORY_MODE 0755

/* Where v1 mounts what we limit and count by; and v2 beside them, where it has no controllers, for
 * it is the hierarchy that a container sees: its root there must hold nobody else. */
static const struct {
	const char *name;
	bool is_v2;
} hierarchies[] = {
	{"memory", false},  {"pids", false},  {"cpu", false},
	{"cpuacct", false}, {"blkio", false}, {ISP_CGROUP_UNIFIED, true},
};
_Static_assert(ISP_ARRAY_SIZE(hierarchies) <= ISP_CGROUP_HIERARCHIES_MAX,
	       "each hierarchy has its place");

struct isp_cgroup isp_cgroup_empty(void)
{
	struct isp_cgroup cgroup = {.is_v2 = false};

	for (size_t i = 0; i < ISP_CGROUP_HIERARCHIES_MAX; i++) {
		cgroup.parent_fd[i] = -EBADF;
		cgroup.user_fd[i] = -EBADF;
		cgroup.session_fd[i] = -EBADF;
	}
	return cgroup;
}

void isp_cgroup_close(struct isp_cgroup *cgroup)
{
	/* Only as many as are in use: a zeroed cgroup holds none, and number 0 is not its. */
	for (size_t i = 0; i < cgroup->count; i++) {
		isp_fd_close(&cgroup->parent_fd[i]);
		isp_fd_close(&cgroup->user_fd[i]);
		isp_fd_close(&cgroup->session_fd[i]);
	}
	cgroup->count = 0;
}

bool isp_cgroup_is_mounted_at(int fd, bool is_v2)
{
	struct statfs st;

	return fstatfs(fd, &st) == 0 &&
	       (unsigned long)st.f_type ==
		       (unsigned long)(is_v2 ? CGROUP2_SUPER_MAGIC : CGROUP_SUPER_MAGIC);
}

int isp_cgroup_open_unified(int *ret_fd)
{
	cleanup_close int top_fd = open(ISP_CGROUP_ROOT, ISP_CGROUP_DIRECTORY);
	cleanup_close int beside_fd = -EBADF;

	if (top_fd < 0)
		return -errno;
	if (isp_cgroup_is_mounted_at(top_fd, true)) {
		*ret_fd = steal_fd(&top_fd);
		return 0;
	}
	beside_fd = openat(top_fd, ISP_CGROUP_UNIFIED, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (beside_fd < 0)
		return -errno;
	if (!isp_cgroup_is_mounted_at(beside_fd, true))
		return -ENOENT;
	*ret_fd = steal_fd(&beside_fd);
	return 0;
}

/* Two names of one mount: hosts mount cpu and cpuacct together and link both names to it. */
static bool is_known(const int *fds, size_t count, int fd)
{
	struct stat st, other;

	if (fstat(fd, &st) != 0)
		return false;
	for (size_t i = 0; i < count; i++)
		if (fstat(fds[i], &other) == 0 && other.st_dev == st.st_dev &&
		    other.st_ino == st.st_ino)
			return true;
	return false;
}

void isp_cgroup_close_roots(struct isp_cgroup_roots *roots)
{
	for (size_t i = 0; i < roots->count; i++)
		isp_fd_close(&roots->fd[i]);
}

int isp_cgroup_find_roots(struct isp_cgroup_roots *roots, struct isp_error *err)
{
	cleanup_close int top_fd = open(ISP_CGROUP_ROOT, ISP_CGROUP_DIRECTORY);

	if (top_fd < 0)
		return isp_err_set(err, errno, ISP_STAGE_CGROUP, "open %s", ISP_CGROUP_ROOT);
	roots->is_v2 = isp_cgroup_is_mounted_at(top_fd, true);
	if (roots->is_v2) {
		roots->controller[0] = ISP_CGROUP_UNIFIED;
		roots->fd[roots->count++] = steal_fd(&top_fd);
		return 0;
	}
	for (size_t i = 0; i < ISP_ARRAY_SIZE(hierarchies); i++) {
		/* No O_NOFOLLOW: the names are links where a host mounts several together. */
		cleanup_close int fd =
			openat(top_fd, hierarchies[i].name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (fd < 0 && errno != ENOENT)
			return isp_err_set(err, errno, ISP_STAGE_CGROUP, "open %s/%s",
					   ISP_CGROUP_ROOT, hierarchies[i].name);
		if (fd < 0 || !isp_cgroup_is_mounted_at(fd, hierarchies[i].is_v2) ||
		    is_known(roots->fd, roots->count, fd))
			continue;
		roots->controller[roots->count] = hierarchies[i].name;
		roots->fd[roots->count++] = steal_fd(&fd);
	}
	if (roots->count == 0)
		return isp_err_set(err, ENOTSUP, ISP_STAGE_CGROUP,
				   "no cgroup hierarchy is mounted at %s", ISP_CGROUP_ROOT);
	return 0;
}

int isp_cgroup_make_and_open(int parent_fd, const char *name, int *ret_fd)
{
	int made = 0;

	for (int attempt = 0; attempt < MAKE_ATTEMPTS; attempt++) {
		/* Order: opened first, since all but the first login finds it made. */
		int fd = openat(parent_fd, name, ISP_CGROUP_DIRECTORY);

		if (fd >= 0) {
			*ret_fd = fd;
			return made;
		}
		if (errno != ENOENT)
			return -errno;
		made = mkdirat(parent_fd, name, DIRECTORY_MODE) == 0;
		if (!made && errno != EEXIST)
			return -errno;
	}
	return -EAGAIN;
}

static int make_parent(const struct isp_cgroup_roots *roots, size_t i, struct isp_cgroup *cgroup,
		       struct isp_error *err)
{
	int r = isp_cgroup_make_and_open(roots->fd[i], ISP_CGROUP_OURS, &cgroup->parent_fd[i]);

	if (r < 0)
		return isp_err_set(err, -r, ISP_STAGE_CGROUP,
				   "make " ISP_CGROUP_OURS " in the %s cgroup hierarchy",
				   roots->controller[i]);
	return 0;
}

/* One attempt. Return: 0; -EAGAIN another supervisor removed USER meanwhile; -errno. */
static int make_leaf_once(struct isp_cgroup *cgroup, size_t i, struct isp_error *err)
{
	cleanup_close int user_fd = -EBADF;
	int r = isp_cgroup_make_and_open(cgroup->parent_fd[i], cgroup->user, &user_fd);

	if (r == -ENOTDIR)
		return isp_err_set(err, EEXIST, ISP_STAGE_CGROUP,
				   "the user's name \"%s\" is that of a kernel file in a cgroup",
				   cgroup->user);
	if (r < 0)
		return isp_err_set(err, -r, ISP_STAGE_CGROUP, "make %s cgroup of user \"%s\"",
				   cgroup->controller[i], cgroup->user);
	if (r == 0)
		cgroup->is_user_new = false;
	if (mkdirat(user_fd, cgroup->session, DIRECTORY_MODE) != 0) {
		/* Kernel: ENODEV and ENOENT, for a directory that is removed while open. */
		if (errno == ENOENT || errno == ENODEV)
			return -EAGAIN;
		return isp_err_set(err, errno, ISP_STAGE_CGROUP, "make %s cgroup \"%s\"",
				   cgroup->controller[i], cgroup->session);
	}
	cgroup->user_fd[i] = steal_fd(&user_fd);
	cgroup->session_fd[i] = openat(cgroup->user_fd[i], cgroup->session, ISP_CGROUP_DIRECTORY);
	if (cgroup->session_fd[i] < 0)
		return isp_err_set(err, errno, ISP_STAGE_CGROUP, "open %s cgroup \"%s\"",
				   cgroup->controller[i], cgroup->session);
	return 0;
}

static int make_leaf(struct isp_cgroup *cgroup, size_t i, struct isp_error *err)
{
	for (int attempt = 0; attempt < MAKE_ATTEMPTS; attempt++) {
		int r = make_leaf_once(cgroup, i, err);

		if (r != -EAGAIN || err->code != 0)
			return r;
	}
	return isp_err_set(err, EAGAIN, ISP_STAGE_CGROUP,
			   "%s cgroup of user \"%s\" is removed again and again",
			   cgroup->controller[i], cgroup->user);
}

bool isp_cgroup_is_unified(const char *controller)
{
	return strcmp(controller, ISP_CGROUP_UNIFIED) == 0;
}

/* The leaves of v2, or those of v1. */
static int make_leaves(struct isp_cgroup *cgroup, bool wants_unified, struct isp_error *err)
{
	int r = 0;

	for (size_t i = 0; i < cgroup->count && r == 0; i++)
		if (isp_cgroup_is_unified(cgroup->controller[i]) == wants_unified)
			r = make_leaf(cgroup, i, err);
	return r;
}

static int make_parents(const struct isp_cgroup_roots *roots, const struct isp_limits *limits,
			struct isp_cgroup *cgroup, struct isp_error *err)
{
	int r = 0;

	if (roots->is_v2)
		r = isp_cgroup_enable(roots->fd[0], ISP_CGROUP_ROOT, limits, err);
	for (size_t i = 0; i < roots->count && r == 0; i++)
		r = make_parent(roots, i, cgroup, err);
	if (r == 0 && roots->is_v2)
		r = isp_cgroup_enable(cgroup->parent_fd[0], ISP_CGROUP_ROOT "/" ISP_CGROUP_OURS,
				      limits, err);
	return r;
}

static uint64_t refused_at_user(const struct isp_cgroup *cgroup)
{
	return isp_cgroup_count(cgroup, cgroup->user_fd, "pids.events", "max");
}

static int name_cgroup(const char *user, const char *session, struct isp_cgroup *cgroup)
{
	if (!isp_name_is_safe(user) || !isp_session_id_is_valid(session))
		return -EINVAL;
	/* Root has no limits that all containers share: each run has its own, and runs side by side
	 * must not change one another's. */
	if (strcmp(user, ISP_ROOT_NAME) == 0)
		user = session;
	memcpy(cgroup->user, user, strlen(user) + 1);
	memcpy(cgroup->session, session, strlen(session) + 1);
	return 0;
}

int isp_cgroup_begin(const char *user, const char *session, const struct isp_limits *limits,
		     struct isp_cgroup *ret, struct isp_error *err)
{
	cleanup_roots struct isp_cgroup_roots roots = {.count = 0};
	cleanup_cgroup struct isp_cgroup cgroup = isp_cgroup_empty();
	int r = name_cgroup(user, session, &cgroup);

	if (r < 0)
		return isp_err_set(err, -r, ISP_STAGE_CGROUP,
				   "the user's name or the session's id is not fit for a cgroup");
	r = isp_cgroup_find_roots(&roots, err);
	if (r < 0)
		return r;
	cgroup.is_v2 = roots.is_v2;
	cgroup.count = roots.count;
	memcpy(cgroup.controller, roots.controller, sizeof(cgroup.controller));
	cgroup.is_user_new = true; /* until it is found */
	r = make_parents(&roots, limits, &cgroup, err);
	if (r == 0)
		r = make_leaves(&cgroup, true, err);
	/* Order: after the leaf, which keeps USER from being removed. */
	if (r == 0 && cgroup.is_v2)
		r = isp_cgroup_enable(cgroup.user_fd[0], "the user's cgroup", limits, err);
	if (r == 0 && cgroup.is_v2)
		r = isp_cgroup_write_limits(&cgroup, limits, err);
	if (r < 0) {
		isp_ignore(isp_cgroup_remove(&cgroup)); /* the first failure is the one to tell */
		return r;
	}
	*ret = cgroup;
	cgroup = isp_cgroup_empty();
	return 0;
}

int isp_cgroup_complete(struct isp_cgroup *cgroup, const struct isp_limits *limits,
			struct isp_error *err)
{
	int r = make_leaves(cgroup, false, err);

	if (r == 0 && !cgroup->is_v2)
		r = isp_cgroup_write_limits(cgroup, limits, err);
	if (r == 0)
		cgroup->refused_before = refused_at_user(cgroup);
	return r;
}

int isp_cgroup_create(const char *user, const char *session, const struct isp_limits *limits,
		      struct isp_cgroup *ret, struct isp_error *err)
{
	cleanup_cgroup struct isp_cgroup cgroup = isp_cgroup_empty();
	int r = isp_cgroup_begin(user, session, limits, &cgroup, err);

	if (r < 0)
		return r;
	r = isp_cgroup_complete(&cgroup, limits, err);
	if (r < 0) {
		isp_ignore(isp_cgroup_remove(&cgroup)); /* as above */
		return r;
	}
	*ret = cgroup;
	cgroup = isp_cgroup_empty();
	return 0;
}

/* Return: 1 the leaf is there; 0 not; -errno. */
static int open_leaf(int root_fd, struct isp_cgroup *cgroup, size_t i)
{
	struct {
		int *fd;
		const char *name;
	} const way[] = {
		{&cgroup->parent_fd[i], ISP_CGROUP_OURS},
		{&cgroup->user_fd[i], cgroup->user},
		{&cgroup->session_fd[i], cgroup->session},
	};

	for (size_t step = 0; step < ISP_ARRAY_SIZE(way); step++) {
		int fd = openat(root_fd, way[step].name, ISP_CGROUP_DIRECTORY);

		if (fd < 0)
			return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
		*way[step].fd = root_fd = fd;
	}
	return 1;
}

int isp_cgroup_open(const char *user, const char *session, struct isp_cgroup *ret)
{
	cleanup_roots struct isp_cgroup_roots roots = {.count = 0};
	cleanup_cgroup struct isp_cgroup cgroup = isp_cgroup_empty();
	struct isp_error ignored = {.code = 0}; /* the caller goes by the number */
	bool is_there = false;
	int r = name_cgroup(user, session, &cgroup);

	if (r < 0)
		return r;
	r = isp_cgroup_find_roots(&roots, &ignored);
	if (r < 0)
		return r;
	cgroup.is_v2 = roots.is_v2;
	cgroup.count = roots.count;
	memcpy(cgroup.controller, roots.controller, sizeof(cgroup.controller));
	for (size_t i = 0; i < roots.count; i++) {
		r = open_leaf(roots.fd[i], &cgroup, i);
		if (r < 0)
			return r;
		is_there = is_there || r > 0;
	}
	if (!is_there)
		return -ENOENT;
	*ret = cgroup;
	cgroup = isp_cgroup_empty();
	return 0;
}

int isp_cgroup_forget(const char *user, const char *session)
{
	cleanup_roots struct isp_cgroup_roots roots = {.count = 0};
	cleanup_cgroup struct isp_cgroup cgroup = isp_cgroup_empty();
	struct isp_error ignored = {.code = 0}; /* the caller goes by the number */
	int r = name_cgroup(user, session, &cgroup);

	if (r == 0)
		r = isp_cgroup_find_roots(&roots, &ignored);
	for (size_t i = 0; i < roots.count && r == 0; i++) {
		cleanup_close int ours_fd =
			openat(roots.fd[i], ISP_CGROUP_OURS, ISP_CGROUP_DIRECTORY);

		/* Ignored: as in remove_by(). */
		if (ours_fd >= 0)
			(void)unlinkat(ours_fd, cgroup.user, AT_REMOVEDIR);
	}
	return r;
}

static void pause_ms(long milliseconds)
{
	struct timespec pause = {.tv_nsec = milliseconds * 1000000};

	(void)nanosleep(&pause, NULL); /* Ignored: EINTR; the caller looks at the clock */
}

/* Kernel: EBUSY for a moment after the last process was killed, until it is reaped. */
static int remove_leaf(int user_fd, const char *session, int64_t deadline_ms)
{
	while (unlinkat(user_fd, session, AT_REMOVEDIR) != 0) {
		if (errno == ENOENT)
			return 0;
		if (errno != EBUSY || isp_clock_left(deadline_ms) == 0)
			return -errno;
		pause_ms(REMOVE_PAUSE_MS);
	}
	return 0;
}

static int remove_by(const struct isp_cgroup *cgroup, int64_t deadline_ms)
{
	int first_failure = 0;

	for (size_t i = 0; i < cgroup->count; i++) {
		int r = 0;

		if (cgroup->user_fd[i] >= 0)
			r = remove_leaf(cgroup->user_fd[i], cgroup->session, deadline_ms);
		if (r < 0 && first_failure == 0)
			first_failure = r;
		/* Ignored: EBUSY: the user's other sessions, now or in a moment; ENOENT: another
		 * supervisor was first; EBADF: never made. */
		(void)unlinkat(cgroup->parent_fd[i], cgroup->user, AT_REMOVEDIR);
	}
	return first_failure;
}

int isp_cgroup_remove(const struct isp_cgroup *cgroup)
{
	return remove_by(cgroup, isp_clock_ms() + REMOVE_DEADLINE_MS);
}

int isp_cgroup_remove_empty(const struct isp_cgroup *cgroup)
{
	return remove_by(cgroup, 0);
}
