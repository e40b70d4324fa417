/* SPDX-License-Identifier: GPL-3.0-or-later */
/* spread.c - which processors do the other sessions use? contract in ispawn/session/supervise.h */
#include "ispawn/base/fd.h"
#include "ispawn/container/cpus.h"
#include "ispawn/session/supervise.h"
#include "registry_private.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* A sample is enough to spread by, and a login's cost must not grow with all that are open. */
#define SAMPLE_MAX 32

/* The supervisor's, which has its container's processors.  Its number may be another process's by
 * now: that would put a session on a busier processor than need be, and nothing else. */
static pid_t supervisor_of(int sessions_fd, const char *id)
{
	char path[NAME_MAX + sizeof("/pid")];

	(void)snprintf(path, sizeof(path), "%s/pid", id); /* fits */
	return isp_registry_read_pid(sessions_fd, path);
}

static void look_around(int entry_fd, const struct isp_spec *spec, struct isp_cpus_taken *taken)
{
	const char *owner = isp_spec_owner_name(spec);
	/* Root's containers have each a quota of its own. */
	bool has_shared_quota = strcmp(owner, ISP_ROOT_NAME) != 0;
	cleanup_close int sessions_fd = openat(entry_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup_closedir DIR *dir = sessions_fd < 0 ? NULL : fdopendir(sessions_fd);
	struct dirent *e;

	if (!dir)
		return;
	(void)steal_fd(&sessions_fd); /* the stream's now */
	for (size_t i = 0; i < SAMPLE_MAX && isp_fd_next(dir, &e) > 0; i++) {
		pid_t pid;

		if (!isp_session_id_is_valid(e->d_name) || strcmp(e->d_name, spec->session) == 0)
			continue;
		pid = supervisor_of(dirfd(dir), e->d_name);
		if (pid > 0)
			isp_cpus_note(pid, has_shared_quota && isp_registry_is_of(e->d_name, owner),
				      taken);
	}
}

void isp_session_narrow(struct isp_supervisor *s)
{
	const struct isp_spec *spec = &s->spec;
	struct isp_cpus_taken taken = {.count = {0}};

	if (spec->is_unlimited || spec->limits.cpu_percent == 0)
		return;
	/* Ignored: whatever fails, the choice is a worse one. */
	look_around(s->entry.dir_fd, spec, &taken);
	s->is_narrowed = isp_cpus_narrow(spec->limits.cpu_percent, &taken, &s->processors);
}

void isp_session_settle(const struct isp_supervisor *s)
{
	if (!s->is_narrowed)
		return;
	/* Kernel: the creator of a user namespace has all rights over it, CAP_SYS_NICE too; who
	 * sleeps is moved at once, who runs by a thread that has to be waited for.
	 * Ignored: EINVAL, when they were just taken off line.  It is a view, and no limit. */
	(void)sched_setaffinity(s->init_pid, sizeof(s->processors), &s->processors);
	(void)sched_setaffinity(0, sizeof(s->processors), &s->processors);
}
