/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cgroup_members.c - who is in which cgroup; contracts in ispawn/container/cgroup.h */
#include "cgroup_internal.h"

#include "ispawn/base/fd.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define SUPERVISORS ".supervisors" /* no user's name starts with a dot */
#define V1_MEMBERS "tasks"
#define V2_MEMBERS "cgroup.procs"
#define MYSELF "0"
#define MEMBERSHIP_TEXT_MAX 65536

/* Where else a login manager puts a login's processes: the supervisor leaves this one too, or
 * systemd counts it to the login's scope and kills it with that. */
#define LOGIN_HIERARCHY "systemd"

int isp_cgroup_clone_fd(const struct isp_cgroup *cgroup)
{
	for (size_t i = 0; i < cgroup->count; i++)
		if (isp_cgroup_is_unified(cgroup->controller[i]))
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

int isp_cgroup_open_members(const struct isp_cgroup *cgroup, int *ret_fds, size_t *ret_count,
			    struct isp_error *err)
{
	size_t count = 0;

	for (size_t i = 0; i < cgroup->count; i++) {
		if (isp_cgroup_is_unified(cgroup->controller[i]))
			continue;
		ret_fds[count] = openat(cgroup->session_fd[i], V1_MEMBERS,
					O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
		if (ret_fds[count] < 0) {
			int r = isp_err_set(err, errno, ISP_STAGE_CGROUP,
					    "open the members of %s cgroup \"%s\"",
					    cgroup->controller[i], cgroup->session);

			while (count > 0)
				isp_fd_close(&ret_fds[--count]);
			return r;
		}
		count++;
	}
	*ret_count = count;
	return 0;
}

int isp_cgroup_enter(const int *members_fds, size_t count, struct isp_error *err)
{
	for (size_t i = 0; i < count; i++)
		if (write(members_fds[i], MYSELF, strlen(MYSELF)) < 0)
			return isp_err_set(err, errno, ISP_STAGE_CGROUP,
					   "move the container into its cgroup, hierarchy %zu of "
					   "%zu",
					   i + 1, count);
	return 0;
}

int isp_cgroup_join(const struct isp_cgroup *cgroup, struct isp_error *err)
{
	int r = 0;

	for (size_t i = 0; i < cgroup->count && r == 0; i++)
		r = enter_leaf(cgroup, i,
			       isp_cgroup_is_unified(cgroup->controller[i]) ? V2_MEMBERS
									    : V1_MEMBERS,
			       err);
	return r;
}

static int open_supervisors(int root_fd, int *ret_fd)
{
	cleanup_close int ours_fd = -EBADF;
	int r = isp_cgroup_make_and_open(root_fd, ISP_CGROUP_OURS, &ours_fd);

	if (r >= 0)
		r = isp_cgroup_make_and_open(ours_fd, SUPERVISORS, ret_fd);
	return r < 0 ? r : 0;
}

int isp_cgroup_open_supervisors(int *ret_fd)
{
	cleanup_close int root_fd = -EBADF;
	int r = isp_cgroup_open_unified(&root_fd);

	return r < 0 ? r : open_supervisors(root_fd, ret_fd);
}

/* struct membership - a line of /proc/PID/cgroup (cgroups(7)): number:hierarchy:path */
struct membership {
	const char *hierarchy, *path;
	size_t hierarchy_size, path_size;
};

/* Return: the next line; NULL when there is none, or it is not understood. */
static const char *parse_membership(const char *line, struct membership *ret)
{
	size_t size = strcspn(line, "\n");
	const char *end = line + size;
	const char *second = memchr(line, ':', size);
	const char *third = second ? memchr(second + 1, ':', (size_t)(end - second - 1)) : NULL;

	if (!third)
		return NULL;
	*ret = (struct membership){second + 1, third + 1, (size_t)(third - second - 1),
				   (size_t)(end - third - 1)};
	return end + (*end == '\n');
}

static bool is_text(const char *bytes, size_t size, const char *text)
{
	return size == strlen(text) && memcmp(bytes, text, size) == 0;
}

/* On v2 it was cloned into its place.  On v1 the hierarchy's root is as good a one: it has no
 * limits, nothing counts or kills by it, and a move costs more than all else that is done here. */
static bool is_well_placed(const struct membership *m)
{
	return is_text(m->path, m->path_size,
		       m->hierarchy_size == 0 ? "/" ISP_CGROUP_OURS "/" SUPERVISORS : "/");
}

/* Of the hierarchy that @field names as /proc/PID/cgroup does.  What cannot be read says no. */
static bool is_placed(const char *memberships, const char *hierarchy, const char *field)
{
	struct membership m;

	if (isp_cgroup_is_unified(hierarchy))
		field = "";
	for (const char *line = memberships; line && *line;) {
		line = parse_membership(line, &m);
		if (line && is_text(m.hierarchy, m.hierarchy_size, field))
			return is_well_placed(&m);
	}
	return false;
}

/* As a rule: then no hierarchy needs to be looked for. */
static bool is_placed_everywhere(const char *memberships)
{
	const char *line = memberships;
	struct membership m;

	while (*line) {
		line = parse_membership(line, &m);
		if (!line || !is_well_placed(&m))
			return false;
	}
	return *memberships != '\0';
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
				      isp_cgroup_is_unified(hierarchy) ? V2_MEMBERS : V1_MEMBERS,
				      MYSELF);
	if (r < 0)
		return isp_err_set(err, -r, ISP_STAGE_CGROUP,
				   "move the supervisor to " ISP_CGROUP_OURS "/" SUPERVISORS
				   " in the %s cgroup hierarchy",
				   hierarchy);
	return 0;
}

int isp_cgroup_leave_login(struct isp_error *err)
{
	cleanup_roots struct isp_cgroup_roots roots = {.count = 0};
	cleanup_close int top_fd = -EBADF;
	cleanup_close int login_fd = -EBADF;
	cleanup_free char *memberships = read_memberships();
	int r;

	if (!memberships)
		return isp_err_set(err, ENOMEM, ISP_STAGE_CGROUP, "read the supervisor's cgroups");
	if (is_placed_everywhere(memberships))
		return 0;
	r = isp_cgroup_find_roots(&roots, err);
	for (size_t i = 0; i < roots.count && r == 0; i++)
		if (!is_placed(memberships, roots.controller[i], roots.controller[i]))
			r = enter_supervisors(roots.fd[i], roots.controller[i], err);
	if (r < 0 || roots.is_v2 ||
	    is_placed(memberships, LOGIN_HIERARCHY, "name=" LOGIN_HIERARCHY))
		return r;
	top_fd = open(ISP_CGROUP_ROOT, ISP_CGROUP_DIRECTORY);
	if (top_fd < 0)
		return isp_err_set(err, errno, ISP_STAGE_CGROUP, "open %s", ISP_CGROUP_ROOT);
	login_fd = openat(top_fd, LOGIN_HIERARCHY, ISP_CGROUP_DIRECTORY);
	/* ELOOP, ENOTDIR: a host may link the name to a hierarchy that has been left already. */
	if (login_fd < 0 && errno != ENOENT && errno != ELOOP && errno != ENOTDIR)
		return isp_err_set(err, errno, ISP_STAGE_CGROUP, "open %s/%s", ISP_CGROUP_ROOT,
				   LOGIN_HIERARCHY);
	if (login_fd >= 0 && isp_cgroup_is_mounted_at(login_fd, false))
		r = enter_supervisors(login_fd, LOGIN_HIERARCHY, err);
	return r;
}
