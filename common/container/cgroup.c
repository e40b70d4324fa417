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

#define ROOT "/sys/fs/cgroup"
#define OURS "ispawn"
#define SUPERVISORS ".supervisors" /* no user's name starts with a dot */
#define UNIFIED "unified"          /* v2, alone or beside v1 */
#define V1_MEMBERS "tasks"
#define V2_MEMBERS "cgroup.procs"
#define MYSELF "0"
#define MEMBERSHIP_TEXT_MAX 65536
#define MAKE_ATTEMPTS 100
#define REMOVE_DEADLINE_MS 200
#define REMOVE_PAUSE_MS 2
#define DIRECTORY (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define DIRECTORY_MODE 0755

/* Where v1 mounts what we limit and count by; and v2 beside them, where it has no controllers, for
 * it is the hierarchy that a container sees: its root there must hold nobody else. */
static const struct {
	const char *name;
	bool is_v2;
} hierarchies[] = {
	{"memory", false},  {"pids", false},  {"cpu", false},
	{"cpuacct", false}, {"blkio", false}, {UNIFIED, true},
};
_Static_assert(ISP_ARRAY_SIZE(hierarchies) <= ISP_CGROUP_HIERARCHIES_MAX,
	       "each hierarchy has its place");

/* Where else a login manager puts a login's processes: the supervisor leaves this one too, or
 * systemd counts it to the login's scope and kills it with that. */
#define LOGIN_HIERARCHY "systemd"

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

static bool is_cgroup(int fd, bool is_v2)
{
	struct statfs st;

	return fstatfs(fd, &st) == 0 &&
	       (unsigned long)st.f_type ==
		       (unsigned long)(is_v2 ? CGROUP2_SUPER_MAGIC : CGROUP_SUPER_MAGIC);
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

/* struct roots - the hierarchies' own roots; descriptors owned */
struct roots {
	bool is_v2;
	size_t count;
	int fd[ISP_CGROUP_HIERARCHIES_MAX];
	const char *controller[ISP_CGROUP_HIERARCHIES_MAX];
};

static void close_roots(struct roots *roots)
{
	for (size_t i = 0; i < roots->count; i++)
		isp_fd_close(&roots->fd[i]);
}
#define cleanup_roots __attribute__((cleanup(close_roots)))

static int find_roots(struct roots *roots, struct isp_error *err)
{
	cleanup_close int top_fd = open(ROOT, DIRECTORY);

	if (top_fd < 0)
		return isp_err_set(err, errno, ISP_STAGE_CGROUP, "open %s", ROOT);
	roots->is_v2 = is_cgroup(top_fd, true);
	if (roots->is_v2) {
		roots->controller[0] = UNIFIED;
		roots->fd[roots->count++] = steal_fd(&top_fd);
		return 0;
	}
	for (size_t i = 0; i < ISP_ARRAY_SIZE(hierarchies); i++) {
		/* No O_NOFOLLOW: the names are links where a host mounts several together. */
		cleanup_close int fd =
			openat(top_fd, hierarchies[i].name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (fd < 0 && errno != ENOENT)
			return isp_err_set(err, errno, ISP_STAGE_CGROUP, "open %s/%s", ROOT,
					   hierarchies[i].name);
		if (fd < 0 || !is_cgroup(fd, hierarchies[i].is_v2) ||
		    is_known(roots->fd, roots->count, fd))
			continue;
		roots->controller[roots->count] = hierarchies[i].name;
		roots->fd[roots->count++] = steal_fd(&fd);
	}
	if (roots->count == 0)
		return isp_err_set(err, ENOTSUP, ISP_STAGE_CGROUP,
				   "no cgroup hierarchy is mounted at %s", ROOT);
	return 0;
}

/* Return: 1 @name was made, 0 found, and is open; -ENOENT the parent is gone; -ENOTDIR the name is
 * a file of the kernel's; -errno. */
static int make_and_open(int parent_fd, const char *name, int *ret_fd)
{
	int made = 0;

	for (int attempt = 0; attempt < MAKE_ATTEMPTS; attempt++) {
		/* Order: opened first, since all but the first login finds it made. */
		int fd = openat(parent_fd, name, DIRECTORY);

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

static int make_parent(const struct roots *roots, size_t i, struct isp_cgroup *cgroup,
		       struct isp_error *err)
{
	int r = make_and_open(roots->fd[i], OURS, &cgroup->parent_fd[i]);

	if (r < 0)
		return isp_err_set(err, -r, ISP_STAGE_CGROUP,
				   "make " OURS " in the %s cgroup hierarchy",
				   roots->controller[i]);
	return 0;
}

/* One attempt. Return: 0; -EAGAIN another supervisor removed USER meanwhile; -errno. */
static int make_leaf_once(struct isp_cgroup *cgroup, size_t i, struct isp_error *err)
{
	cleanup_close int user_fd = -EBADF;
	int r = make_and_open(cgroup->parent_fd[i], cgroup->user, &user_fd);

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
	cgroup->session_fd[i] = openat(cgroup->user_fd[i], cgroup->session, DIRECTORY);
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

static int make_all(const struct roots *roots, const struct isp_limits *limits,
		    struct isp_cgroup *cgroup, struct isp_error *err)
{
	int r = 0;

	if (roots->is_v2)
		r = isp_cgroup_enable(roots->fd[0], ROOT, limits, err);
	for (size_t i = 0; i < roots->count && r == 0; i++)
		r = make_parent(roots, i, cgroup, err);
	if (r == 0 && roots->is_v2)
		r = isp_cgroup_enable(cgroup->parent_fd[0], ROOT "/" OURS, limits, err);
	for (size_t i = 0; i < roots->count && r == 0; i++)
		r = make_leaf(cgroup, i, err);
	/* Order: after the leaf, which keeps USER from being removed. */
	if (r == 0 && roots->is_v2)
		r = isp_cgroup_enable(cgroup->user_fd[0], "the user's cgroup", limits, err);
	return r == 0 ? isp_cgroup_write_limits(cgroup, limits, err) : r;
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

int isp_cgroup_create(const char *user, const char *session, const struct isp_limits *limits,
		      struct isp_cgroup *ret, struct isp_error *err)
{
	cleanup_roots struct roots roots = {.count = 0};
	cleanup_cgroup struct isp_cgroup cgroup = isp_cgroup_empty();
	int r = name_cgroup(user, session, &cgroup);

	if (r < 0)
		return isp_err_set(err, -r, ISP_STAGE_CGROUP,
				   "the user's name or the session's id is not fit for a cgroup");
	r = find_roots(&roots, err);
	if (r < 0)
		return r;
	cgroup.is_v2 = roots.is_v2;
	cgroup.count = roots.count;
	memcpy(cgroup.controller, roots.controller, sizeof(cgroup.controller));
	cgroup.is_user_new = true; /* until it is found */
	r = make_all(&roots, limits, &cgroup, err);
	if (r < 0) {
		isp_ignore(isp_cgroup_remove(&cgroup)); /* the first failure is the one to tell */
		return r;
	}
	cgroup.refused_before = refused_at_user(&cgroup);
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
		{&cgroup->parent_fd[i], OURS},
		{&cgroup->user_fd[i], cgroup->user},
		{&cgroup->session_fd[i], cgroup->session},
	};

	for (size_t step = 0; step < ISP_ARRAY_SIZE(way); step++) {
		int fd = openat(root_fd, way[step].name, DIRECTORY);

		if (fd < 0)
			return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
		*way[step].fd = root_fd = fd;
	}
	return 1;
}

int isp_cgroup_open(const char *user, const char *session, struct isp_cgroup *ret)
{
	cleanup_roots struct roots roots = {.count = 0};
	cleanup_cgroup struct isp_cgroup cgroup = isp_cgroup_empty();
	struct isp_error ignored = {.code = 0}; /* the caller goes by the number */
	bool is_there = false;
	int r = name_cgroup(user, session, &cgroup);

	if (r < 0)
		return r;
	r = find_roots(&roots, &ignored);
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
	cleanup_roots struct roots roots = {.count = 0};
	cleanup_cgroup struct isp_cgroup cgroup = isp_cgroup_empty();
	struct isp_error ignored = {.code = 0}; /* the caller goes by the number */
	int r = name_cgroup(user, session, &cgroup);

	if (r == 0)
		r = find_roots(&roots, &ignored);
	for (size_t i = 0; i < roots.count && r == 0; i++) {
		cleanup_close int ours_fd = openat(roots.fd[i], OURS, DIRECTORY);

		/* Ignored: as in remove_by(). */
		if (ours_fd >= 0)
			(void)unlinkat(ours_fd, cgroup.user, AT_REMOVEDIR);
	}
	return r;
}

static bool is_unified(const char *controller)
{
	return strcmp(controller, UNIFIED) == 0;
}

int isp_cgroup_clone_fd(const struct isp_cgroup *cgroup)
{
	for (size_t i = 0; i < cgroup->count; i++)
		if (is_unified(cgroup->controller[i]))
			return cgroup->session_fd[i];
	return -EBADF;
}

static int enter_leaf(const struct isp_cgroup *cgroup, size_t i, const char *members,
		      struct isp_error *err)
{
	int r = isp_fd_write_file(cgroup->session_fd[i], members, MYSELF);

	return r < 0 ? isp_err_set(err, -r, ISP_STAGE_CGROUP,
				   "move the container into its %s cgroup", cgroup->controller[i])
		     : 0;
}

int isp_cgroup_enter(const struct isp_cgroup *cgroup, struct isp_error *err)
{
	int r = 0;

	for (size_t i = 0; i < cgroup->count && r == 0; i++)
		if (!is_unified(cgroup->controller[i]))
			r = enter_leaf(cgroup, i, V1_MEMBERS, err);
	return r;
}

int isp_cgroup_join(const struct isp_cgroup *cgroup, struct isp_error *err)
{
	int r = 0;

	for (size_t i = 0; i < cgroup->count && r == 0; i++)
		r = enter_leaf(cgroup, i,
			       is_unified(cgroup->controller[i]) ? V2_MEMBERS : V1_MEMBERS, err);
	return r;
}

static int open_supervisors(int root_fd, int *ret_fd)
{
	cleanup_close int ours_fd = -EBADF;
	int r = make_and_open(root_fd, OURS, &ours_fd);

	if (r >= 0)
		r = make_and_open(ours_fd, SUPERVISORS, ret_fd);
	return r < 0 ? r : 0;
}

int isp_cgroup_open_supervisors(int *ret_fd)
{
	cleanup_roots struct roots roots = {.count = 0};
	struct isp_error ignored = {0}; /* the caller goes by the number */
	int r = find_roots(&roots, &ignored);

	for (size_t i = 0; i < roots.count && r == 0; i++)
		if (is_unified(roots.controller[i]))
			return open_supervisors(roots.fd[i], ret_fd);
	return r < 0 ? r : -ENOENT;
}

/* Is the caller in the cgroup of this path, of the hierarchy that @field names as the second field
 * of /proc/PID/cgroup does (cgroups(7))?  What cannot be read says no. */
static bool is_member(const char *memberships, const char *field, const char *path)
{
	size_t field_size = strlen(field);

	for (const char *line = memberships; *line;) {
		size_t size = strcspn(line, "\n");
		const char *second = memchr(line, ':', size);
		const char *third =
			second ? memchr(second + 1, ':', size - (size_t)(second + 1 - line)) : NULL;

		if (third && (size_t)(third - second - 1) == field_size &&
		    memcmp(second + 1, field, field_size) == 0 &&
		    (size_t)(line + size - third - 1) == strlen(path) &&
		    memcmp(third + 1, path, strlen(path)) == 0)
			return true;
		line += size + (line[size] == '\n');
	}
	return false;
}

/* On v2 it was cloned into its place.  On v1 the hierarchy's root is as good a one: it has no
 * limits, nothing counts or kills by it, and a move costs more than all else that is done here. */
static bool is_placed(const char *memberships, const char *hierarchy, const char *field)
{
	if (is_unified(hierarchy))
		return is_member(memberships, "", "/" OURS "/" SUPERVISORS);
	return is_member(memberships, field, "/");
}

/* Empty when they cannot be read: then every move is made. NULL: out of memory. */
static char *read_memberships(void)
{
	char *text = NULL;

	if (isp_fd_read_file(AT_FDCWD, "/proc/self/cgroup", MEMBERSHIP_TEXT_MAX, &text) < 0)
		return strdup("");
	return text;
}

static int enter_supervisors(int root_fd, const char *hierarchy, struct isp_error *err)
{
	cleanup_close int supervisors_fd = -EBADF;
	int r = open_supervisors(root_fd, &supervisors_fd);

	if (r == 0)
		r = isp_fd_write_file(supervisors_fd,
				      is_unified(hierarchy) ? V2_MEMBERS : V1_MEMBERS, MYSELF);
	if (r < 0)
		return isp_err_set(err, -r, ISP_STAGE_CGROUP,
				   "move the supervisor to " OURS "/" SUPERVISORS
				   " in the %s cgroup hierarchy",
				   hierarchy);
	return 0;
}

int isp_cgroup_leave_login(struct isp_error *err)
{
	cleanup_roots struct roots roots = {.count = 0};
	cleanup_close int top_fd = -EBADF;
	cleanup_close int login_fd = -EBADF;
	cleanup_free char *memberships = read_memberships();
	int r = find_roots(&roots, err);

	if (!memberships)
		return isp_err_set(err, ENOMEM, ISP_STAGE_CGROUP, "read the supervisor's cgroups");
	for (size_t i = 0; i < roots.count && r == 0; i++)
		if (!is_placed(memberships, roots.controller[i], roots.controller[i]))
			r = enter_supervisors(roots.fd[i], roots.controller[i], err);
	if (r < 0 || roots.is_v2 ||
	    is_placed(memberships, LOGIN_HIERARCHY, "name=" LOGIN_HIERARCHY))
		return r;
	top_fd = open(ROOT, DIRECTORY);
	if (top_fd < 0)
		return isp_err_set(err, errno, ISP_STAGE_CGROUP, "open %s", ROOT);
	login_fd = openat(top_fd, LOGIN_HIERARCHY, DIRECTORY);
	/* ELOOP, ENOTDIR: a host may link the name to a hierarchy that has been left already. */
	if (login_fd < 0 && errno != ENOENT && errno != ELOOP && errno != ENOTDIR)
		return isp_err_set(err, errno, ISP_STAGE_CGROUP, "open %s/%s", ROOT,
				   LOGIN_HIERARCHY);
	if (login_fd >= 0 && is_cgroup(login_fd, false))
		r = enter_supervisors(login_fd, LOGIN_HIERARCHY, err);
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
