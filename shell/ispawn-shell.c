/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ispawn-shell - the login shell that runs the user's shell inside the login's container
 *
 * Runs on the host, as the user, started by sshd, login or su under any name: in place of the
 * user's shell (the PAM module's cover) or as the shell of the passwd entry.  It is not setuid and
 * holds nothing that the user has not: all it does is to ask the session's supervisor for a program
 * and to stand in for that program's terminal, signals and exit status.  It never runs a shell of
 * the host, whatever fails; the one exception is root in a covered mount namespace, for whom the
 * program under the cover is run as if there were no cover.
 *
 * Two doors lead to a supervisor.  At a login by PAM the module has prepared a container and says
 * so in ISPAWN_SESSION.  Without that, the socket ISPAWN_DOOR_SOCKET is asked for one.
 *
 * Threat: who starts it chooses argv, the environment, descriptors, limits and signal state.
 * Identity is getuid()'s answer.  Of the environment one variable is looked at, ISPAWN_SESSION, and
 * it is an id, not a path: whose session it is, the socket's owner and mode decide.
 */
#include "ispawn-shell.h"

#include "ispawn/base/path.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

_Static_assert(sizeof(ISPAWN_SESSIONS_DIR "/") + ISP_SESSION_ID_SIZE + sizeof("/" ISP_SOCKET_NAME) <
		       sizeof(((struct sockaddr_un *)NULL)->sun_path),
	       "every session's socket has a path that fits");

/* --- who is asking ---------------------------------------------------------------------------- */

static bool is_ourselves(const char *path)
{
	struct stat it, self;

	return stat(path, &it) == 0 && stat("/proc/self/exe", &self) == 0 &&
	       it.st_dev == self.st_dev && it.st_ino == self.st_ino;
}

/* Root is never confined.  In a namespace where the module has covered the user's shell, root's
 * scripts (`#!/bin/sh` of a PAM service at logout) find us in its place and mean the original. */
static int run_covered(const struct shell *shell, char **argv)
{
	if (!is_ourselves(ISPAWN_COVERED_SHELL))
		(void)execv(ISPAWN_COVERED_SHELL, argv);
	shell_say(shell,
		  "root is never confined, so this is no shell for root; give root another one "
		  "(chsh, /etc/passwd)");
	return STATUS_OURS;
}

/* Threat: a directory under /run that somebody else made.  The one who listens must be root. */
static int check_peer(int connection_fd)
{
	struct ucred peer = {.uid = (uid_t)-1};
	socklen_t size = sizeof(peer);

	if (getsockopt(connection_fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
		return -errno;
	return peer.uid == 0 ? 0 : -EPERM;
}

static int connect_to(const char *path, int *ret_fd)
{
	cleanup_close int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int r;

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s",
		       path); /* fits, see above */
	if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0)
		return -errno;
	r = check_peer(fd);
	if (r == 0)
		*ret_fd = steal_fd(&fd);
	return r;
}

static int connect_session(struct shell *shell)
{
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	int r;

	(void)snprintf(path, sizeof(path), "%s/%s/%s", ISPAWN_SESSIONS_DIR, shell->session,
		       ISP_SOCKET_NAME);
	r = connect_to(path, &shell->connection_fd);
	if (r < 0)
		shell_say(shell,
			  "cannot reach the container of session %s: %s. Log in again, or tell "
			  "the administrator this session id",
			  shell->session, strerror(-r));
	return r;
}

/* Door 1: the PAM module has prepared a container and says which. */
static bool has_session(struct shell *shell)
{
	const char *id = getenv(ISPAWN_SESSION_VARIABLE);

	if (!id || !isp_session_id_is_valid(id))
		return false;
	(void)snprintf(shell->session, sizeof(shell->session), "%s", id);
	return true;
}

/* Waits for what the door decides, which has a deadline of its own.  Return: 0; -errno, with what
 * the user is to know said. */
static int hear_door(struct shell *shell)
{
	const uint32_t answers = 1u << ISP_MESSAGE_READY | 1u << ISP_MESSAGE_FAILED;
	struct isp_message message = {0};
	char escaped[ISP_MESSAGE_TEXT_SIZE * 2];
	int fds[ISP_FDS_MAX];
	size_t fd_count = 0;
	int r = isp_message_receive(shell->door_fd, answers, &message, fds, &fd_count, 0);

	if (r <= 0) {
		shell_say(shell,
			  "the door to the containers closed without an answer. Log in again, or "
			  "tell the administrator");
		return r < 0 ? r : -EPIPE;
	}
	isp_message_close_fds(fds, fd_count);
	if (message.type == ISP_MESSAGE_READY && isp_session_id_is_valid(message.text)) {
		memcpy(shell->session, message.text, sizeof(shell->session)); /* ends in it */
		return 0;
	}
	isp_escape(escaped, sizeof(escaped), message.text);
	shell_say(shell, "%s", escaped);
	return -EACCES;
}

/* Door 2: whoever listens at ISPAWN_DOOR_SOCKET makes a container for this uid.  The connection is
 * the session's lifetime: nobody else holds it. */
static int knock(struct shell *shell)
{
	int r = connect_to(ISPAWN_DOOR_SOCKET, &shell->door_fd);

	if (r == 0)
		return hear_door(shell);
	if (r == -ENOENT || r == -ECONNREFUSED)
		shell_say(shell,
			  "no container was prepared for this login, so nothing is run. Please "
			  "tell the administrator: confine this account in ispawn.conf(5), or the "
			  "PAM service of this login needs the line "
			  "\"session required pam_ispawn.so\" in /etc/pam.d/SERVICE, see "
			  "pam_ispawn(8), or ispawn.socket must run, see ispawn-door(8)");
	else
		shell_say(shell,
			  "cannot reach the door to the containers: %s. Please tell the "
			  "administrator",
			  strerror(-r));
	return r;
}

/* --- how it ends ------------------------------------------------------------------------------ */

static bool is_deadly(int number)
{
	return number > 0 && number < NSIG && number != SIGSTOP && number != SIGTSTP &&
	       number != SIGTTIN && number != SIGTTOU;
}

/* As the tenant died, so that sshd reports the signal (exit-signal) and su and login do too.
 * Kernel: core(5): a limit of 0 does not keep a core from a pipe in core_pattern, which is a
 * program of the host; a process that is not dumpable leaves none at all. */
static int die_by(int number)
{
	static const struct rlimit none = {0, 0};
	sigset_t set;

	if (is_deadly(number)) {
		(void)setrlimit(RLIMIT_CORE, &none);
		(void)prctl(PR_SET_DUMPABLE, 0);
		(void)signal(number, SIG_DFL);
		(void)kill(getpid(), number);
		(void)sigemptyset(&set);
		(void)sigaddset(&set, number);
		(void)sigprocmask(SIG_UNBLOCK, &set, NULL);
	}
	/* Here for signals that do not end a process: init would have to be lying. */
	return number > 0 && number < NSIG ? 128 + number : STATUS_OURS;
}

static int exit_as_tenant(const struct shell *shell, const struct ending *ending)
{
	char escaped[ISP_MESSAGE_TEXT_SIZE * 2];

	if (ending->notice[0]) {
		isp_escape(escaped, sizeof(escaped), ending->notice);
		shell_say(shell, "%s", escaped);
	}
	if (WIFEXITED(ending->value))
		return WEXITSTATUS(ending->value);
	return WIFSIGNALED(ending->value) ? die_by(WTERMSIG(ending->value)) : STATUS_OURS;
}

static int exit_refused(const struct shell *shell, const struct ending *ending)
{
	char escaped[ISP_ERROR_TEXT_SIZE * 2];

	isp_escape(escaped, sizeof(escaped), ending->error.text);
	shell_say(shell, "session %s: %s: %s", shell->session, escaped,
		  strerror(ending->error.code));
	return ending->value >= STATUS_OURS && ending->value <= 127 ? ending->value : STATUS_OURS;
}

static int finish(struct shell *shell, const struct ending *ending)
{
	terminal_restore(&shell->terminal);
	switch (ending->outcome) {
	case OUTCOME_EXITED:
		return exit_as_tenant(shell, ending);
	case OUTCOME_REFUSED:
		return exit_refused(shell, ending);
	case OUTCOME_HANGUP:
		return die_by(SIGHUP);
	case OUTCOME_LOST:
		break;
	}
	shell_say(shell, "the container of session %s has ended", shell->session);
	return STATUS_OURS;
}

/* --- start ------------------------------------------------------------------------------------ */

static int run(struct shell *shell, int argc, char **argv,
	       const bool is_closed[ISP_REQUEST_STREAMS])
{
	static struct ending ending;

	relay_tenant(shell, is_closed, argc, argv, &ending);
	return finish(shell, &ending);
}

int main(int argc, char **argv)
{
	static struct shell shell; /* zeroed: what no channel uses is never touched */
	bool is_closed[ISP_REQUEST_STREAMS];

	shell.connection_fd = shell.signal_fd = shell.primary_fd = shell.terminal.fd = -EBADF;
	shell.door_fd = -EBADF;
	/* Threat: another process of the user that traces us or opens our descriptors. */
	(void)prctl(PR_SET_DUMPABLE, 0);
	if (streams_hold(is_closed) < 0)
		return STATUS_OURS;
	if (getuid() != geteuid() || getgid() != getegid()) {
		shell_say(&shell,
			  "ispawn-shell must not be setuid or setgid; it has no use for it");
		return STATUS_OURS;
	}
	if (getuid() == 0)
		return run_covered(&shell, argv);
	if (!has_session(&shell) && knock(&shell) < 0)
		return STATUS_OURS;
	if (connect_session(&shell) < 0)
		return STATUS_OURS;
	return run(&shell, argc, argv, is_closed);
}
