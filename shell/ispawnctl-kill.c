/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ispawnctl-kill.c - `ispawnctl kill`: end sessions, whatever state they are in
 *
 *	1. the supervisor is asked, and answers when everything is gone
 *	2. it does not answer: what runs inside is killed, which ends a supervisor that still works
 *	3. it stays: it is killed itself
 *	4. a session without a supervisor is swept, as the user's next login would
 */
#include "ispawnctl.h"

#include "ispawn/base/clock.h"
#include "ispawn/base/fd.h"
#include "ispawn/base/path.h"
#include "ispawn/base/sys.h"
#include "ispawn/session/protocol.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>

#define ANSWER_MS 10000
#define CGROUP_MS 5000
#define ENDING_MS 2000 /* from the end of init to that of its supervisor */
#define PAUSE_MS 20

/* Does somebody hold the entry's lock?  The kernel's word, see registry.h. */
static bool is_live(const char *id)
{
	char path[sizeof(ISPAWN_SESSIONS_DIR) + ISP_SESSION_ID_SIZE];
	cleanup_close int fd = -EBADF;

	(void)snprintf(path, sizeof(path), ISPAWN_SESSIONS_DIR "/%s", id); /* fits */
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) != 0;
}

static bool is_gone_within(const char *id, int timeout_ms)
{
	int64_t deadline_ms = isp_clock_ms() + timeout_ms;

	while (is_live(id)) {
		if (isp_clock_left(deadline_ms) == 0)
			return false;
		(void)poll(NULL, 0, PAUSE_MS); /* Ignored: a pause */
	}
	return true;
}

/*
 * The supervisor behind the socket.  Kernel: unix(7): SO_PEERCRED names who called listen(2), the
 * supervisor.  Its pid is still its own when its lock is held after the pidfd was opened.
 */
static int open_supervisor(const char *id, int connection_fd, int *ret_pid_fd)
{
	cleanup_close int pid_fd = -EBADF;
	struct ucred who = {.pid = 0};
	socklen_t size = sizeof(who);

	if (getsockopt(connection_fd, SOL_SOCKET, SO_PEERCRED, &who, &size) != 0)
		return -errno;
	if (who.uid != 0 || who.pid <= 1)
		return -EPERM;
	pid_fd = isp_sys_pidfd_open(who.pid, 0);
	if (pid_fd < 0)
		return -errno;
	if (!is_live(id))
		return -ESRCH;
	*ret_pid_fd = steal_fd(&pid_fd);
	return 0;
}

/* Return: true when the supervisor said that everything is gone, or is gone itself. */
static bool ask(const char *id, int connection_fd)
{
	struct isp_message message = {.type = ISP_MESSAGE_KILL};
	struct pollfd answer = {.fd = connection_fd, .events = POLLIN};
	int64_t deadline_ms = isp_clock_ms() + ANSWER_MS;
	int fds[ISP_FDS_MAX];
	size_t count = 0;
	int r;

	if (isp_message_send(connection_fd, &message, NULL, 0, MSG_DONTWAIT) < 0)
		return false;
	do
		r = poll(&answer, 1, isp_clock_left(deadline_ms));
	while (r < 0 && errno == EINTR);
	if (r != 1)
		return false;
	r = isp_message_receive(connection_fd, 1u << ISP_MESSAGE_CLOSED, &message, fds, &count,
				MSG_DONTWAIT);
	if (r != 1)
		return !is_live(id);
	isp_message_close_fds(fds, count);
	return true;
}

/* Return: true when nothing runs in the session's cgroup any more. */
static bool kill_inside(const struct isp_listed *session)
{
	cleanup_cgroup struct isp_cgroup cgroup = {.count = 0};
	int r = isp_cgroup_open(isp_spec_owner_name(&session->spec), session->id, &cgroup);

	if (r < 0)
		return r == -ENOENT;
	return isp_cgroup_kill(&cgroup, CGROUP_MS) == 0;
}

static int sweep(const struct isp_listed *session, const char *done)
{
	struct isp_error err = {0};

	if (isp_registry_sweep(isp_spec_owner_name(&session->spec), ISP_SWEEP_MS, NULL, &err) < 0)
		return say_error(&err);
	(void)printf("%s: %s\n", session->id, done);
	return STATUS_OK;
}

static int kill_hanging(const struct isp_listed *session, int supervisor_fd)
{
	if (!kill_inside(session)) {
		say("%s: the supervisor does not answer, and its processes cannot be killed",
		    session->id);
		return STATUS_FAILED;
	}
	if (is_gone_within(session->id, ENDING_MS))
		return sweep(session, "the supervisor did not answer: killed what ran inside");
	if (supervisor_fd < 0 || isp_sys_pidfd_send_signal(supervisor_fd, SIGKILL) != 0 ||
	    !is_gone_within(session->id, ENDING_MS)) {
		say("%s: killed what ran inside, but its supervisor (process %d) hangs",
		    session->id, session->supervisor);
		return STATUS_FAILED;
	}
	return sweep(session, "the supervisor did not answer: killed it and what ran inside");
}

static int kill_session(const struct isp_listed *session)
{
	cleanup_close int connection_fd = -EBADF;
	cleanup_close int supervisor_fd = -EBADF;

	if (session->is_live && sessions_connect(session->id, &connection_fd) == 0) {
		/* Ignored: without it a hanging supervisor is left, and named. */
		isp_ignore(open_supervisor(session->id, connection_fd, &supervisor_fd));
		if (ask(session->id, connection_fd)) {
			/* Ignored: it has answered, and exits in a moment. */
			(void)is_gone_within(session->id, ENDING_MS);
			return sweep(session, "ended");
		}
	}
	if (!is_live(session->id))
		return sweep(session, "its supervisor was dead: cleaned up");
	return kill_hanging(session, supervisor_fd);
}

/* An id names one session; whatever is no session's id may be a user's name. */
static int kill_matching(const struct sessions *sessions, const char *name, size_t *found)
{
	int status = STATUS_OK;

	for (size_t i = 0; i < sessions->count; i++)
		if (strcmp(sessions->items[i].id, name) == 0) {
			*found = 1;
			return kill_session(&sessions->items[i]);
		}
	for (size_t i = 0; i < sessions->count; i++) {
		if (strcmp(isp_spec_owner_name(&sessions->items[i].spec), name) != 0)
			continue;
		++*found;
		if (kill_session(&sessions->items[i]) != STATUS_OK)
			status = STATUS_FAILED;
	}
	return status;
}

int kill_run(int argc, char **argv)
{
	cleanup_sessions struct sessions sessions = {.count = 0};
	struct isp_error err = {0};
	char escaped[2 * ISP_SESSION_ID_SIZE];
	size_t found = 0;
	int status;

	if (argc > 1)
		return refuse_argument("kill", argv[1]);
	if (argc < 1) {
		say("kill needs a session's id or a user's name; see ispawnctl --help");
		return STATUS_USAGE;
	}
	if (sessions_collect(&sessions, &err) < 0)
		return say_error(&err);
	status = kill_matching(&sessions, argv[0], &found);
	if (found > 0)
		return status;
	isp_escape(escaped, sizeof(escaped), argv[0]);
	say("no session has the id, and no user with sessions the name, \"%s\"", escaped);
	return STATUS_FAILED;
}
