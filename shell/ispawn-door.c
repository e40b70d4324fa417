/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ispawn-door - door 2: a container for whoever has ispawn-shell as login shell, without PAM
 *
 * Runs as host root, one process per connection of ISPAWN_DOOR_SOCKET, started by a service manager
 * that accepts (ispawn.socket, Accept=yes): the connection is descriptor 3, as sd_listen_fds(3)
 * says.  Its life in order:
 *
 *	1. who is connecting? the kernel's word (SO_PEERCRED), and nothing that the peer says
 *	2. the same decision and the same spec as at the PAM module
 *	3. the supervisor builds; the answer goes to the peer: READY with the session's id,
 *	   or FAILED with a sentence
 *	4. rights are given up; the connection's end, or one byte on it, ends the session
 *
 * Threat: a user who connects a thousand times, sends garbage, or takes no answer.  Nothing is read
 * before the end, nothing waits for the peer, and of one user at most STARTS_MAX connections get as
 * far as the name service; `sessions` of ispawn.conf(5) bounds those that stand.
 */
#include "ispawn/base/clock.h"
#include "ispawn/base/fd.h"
#include "ispawn/base/log.h"
#include "ispawn/base/path.h"
#include "ispawn/base/sys.h"
#include "ispawn/policy/freeze.h"
#include "ispawn/session/denial.h"
#include "ispawn/session/launch.h"
#include "ispawn/session/protocol.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#define CONNECTION_FD 3 /* sd_listen_fds(3): SD_LISTEN_FDS_START */
#define STARTS_MAX 16
#define NOBODY 65534

/* struct door - one connection; everything in it is owned */
struct door {
	int connection_fd;
	int start_fd; /* one of the user's STARTS_MAX places, while the container is being built */
	int control_fd;
	struct ucred peer;
	char *user;
	struct isp_spec spec;
};

/* --- who is there --------------------------------------------------------------------------- */

static bool is_for_us(const char *variable, const char *expected)
{
	const char *value = getenv(variable);

	return value && strcmp(value, expected) == 0;
}

static int take_connection(struct door *door, struct isp_error *err)
{
	socklen_t size = sizeof(door->peer);
	char pid[16];
	int type = 0;
	socklen_t type_size = sizeof(type);

	(void)snprintf(pid, sizeof(pid), "%d", getpid()); /* fits */
	if (!is_for_us("LISTEN_PID", pid) || !is_for_us("LISTEN_FDS", "1"))
		return isp_err_set(err, EBADF, ISP_STAGE_START,
				   "no connection: ispawn-door is started by ispawn.socket, not by "
				   "hand");
	if (fcntl(CONNECTION_FD, F_SETFD, FD_CLOEXEC) != 0 ||
	    isp_sys_close_range(CONNECTION_FD + 1, ~0u, 0) != 0)
		return isp_err_set(err, errno, ISP_STAGE_START, "take the connection");
	door->connection_fd = CONNECTION_FD;
	if (getsockopt(CONNECTION_FD, SOL_SOCKET, SO_TYPE, &type, &type_size) != 0 ||
	    type != SOCK_SEQPACKET ||
	    getsockopt(CONNECTION_FD, SOL_SOCKET, SO_PEERCRED, &door->peer, &size) != 0)
		return isp_err_set(
			err, EPROTO, ISP_STAGE_START,
			"descriptor 3 is not a connection of a Unix SOCK_SEQPACKET socket");
	return 0;
}

/* Takes a place among the starts of this user.  The lock goes with the process, however it ends. */
static int take_place(struct door *door, struct isp_error *err)
{
	cleanup_close int starts_fd = -EBADF;
	int r = isp_path_make_run_dir("starts", 0700, &starts_fd);

	if (r < 0)
		return isp_err_set(err, -r, ISP_STAGE_START, "make \"" ISPAWN_STARTS_DIR "\"");
	for (int i = 0; i < STARTS_MAX; i++) {
		cleanup_close int fd = -EBADF;
		char name[32];

		(void)snprintf(name, sizeof(name), "%u.%d", door->peer.uid, i); /* fits */
		fd = openat(starts_fd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0) {
			door->start_fd = steal_fd(&fd);
			return 0;
		}
	}
	return isp_err_set(err, EUSERS, ISP_STAGE_START,
			   "%d logins of this user are being started already", STARTS_MAX);
}

/* --- decision and container ----------------------------------------------------------------- */

/* Threat: two names for one uid, of which another than the looked-up one is confined. */
static int resolve(struct door *door, struct isp_subject *subject, struct isp_error *err)
{
	int r = isp_subject_name(door->peer.uid, &door->user, err);

	if (r == 0)
		r = isp_subject_resolve(door->user, ISPAWN_DOOR_SERVICE, NULL, NULL, subject, err);
	if (r == 0 && subject->uid != door->peer.uid)
		r = isp_err_set(err, EPERM, ISP_STAGE_SUBJECT,
				"uid %u has a name that belongs to uid %u", door->peer.uid,
				subject->uid);
	return r;
}

/* Return: 0 to be confined; -errno, with the denial set. */
static int decide(struct door *door, enum isp_denial *ret_denial, struct isp_error *err)
{
	cleanup_subject struct isp_subject subject = {0};
	enum isp_verdict verdict = ISP_VERDICT_DENY;
	int r = resolve(door, &subject, err);

	*ret_denial = ISP_DENIAL_UNDECIDED;
	if (r < 0)
		return r;
	if (isp_subject_is_exempt(&subject))
		verdict = ISP_VERDICT_IGNORE;
	else
		r = isp_policy_freeze(ISPAWN_CONFIG_FILE, &subject, &verdict, &door->spec, err);
	if (r < 0 || verdict == ISP_VERDICT_CONFINE)
		return r;
	*ret_denial = ISP_DENIAL_POLICY;
	return isp_err_set(err, EACCES, ISP_STAGE_POLICY,
			   "this account is not confined: ispawn-shell is no login shell for it");
}

static int build(struct door *door, struct isp_error *err)
{
	cleanup_close int net_fd = -EBADF; /* the peer has no use for it */
	int r = isp_launch(&door->spec, -EBADF, &door->control_fd, err);

	if (r == 0)
		r = isp_launch_await(door->control_fd, &door->spec, &net_fd, err);
	isp_fd_close(&door->start_fd);
	return r;
}

/* --- answers -------------------------------------------------------------------------------- */

static int deny(struct door *door, enum isp_denial denial, const struct isp_error *err)
{
	struct isp_message failed = {.type = ISP_MESSAGE_FAILED, .error = {.code = EACCES}};
	char sentence[ISP_DENIAL_SENTENCE_SIZE];
	struct isp_line line = {0};

	isp_denial_line("denied", door->user, door->spec.session, err, &line);
	isp_line_add(&line, "uid", "%u", door->peer.uid);
	isp_log(isp_denial_priority(denial), &line);
	isp_denial_sentence(denial, door->spec.session, sentence);
	_Static_assert(sizeof(sentence) <= sizeof(failed.text), "a sentence fits a message");
	memcpy(failed.text, sentence, sizeof(sentence));
	/* Ignored: a peer that takes no answer, or is gone, is denied all the same. */
	isp_ignore(isp_message_send(door->connection_fd, &failed, NULL, 0, MSG_DONTWAIT));
	return EXIT_FAILURE;
}

static int tell_ready(struct door *door)
{
	struct isp_message ready = {.type = ISP_MESSAGE_READY};

	memcpy(ready.text, door->spec.session, sizeof(door->spec.session));
	return isp_message_send(door->connection_fd, &ready, NULL, 0, MSG_DONTWAIT);
}

/* What is left to do needs no right: two descriptors are watched.  Kernel: a change of ids takes
 * the capabilities, and dumpable says who may trace us. */
static int give_up_rights(struct isp_error *err)
{
	if (isp_sys_become(NOBODY) != 0 || prctl(PR_SET_DUMPABLE, 0) != 0)
		return isp_err_set(err, errno, ISP_STAGE_DROP, "become nobody");
	if (setuid(0) == 0)
		return isp_err_set(err, EPERM, ISP_STAGE_PROVE, "root's id could be taken back");
	return 0;
}

/* Until the peer is gone, says anything, or the supervisor is gone.  Return: in whose hands it
 * was. */
static bool is_peer_done(const struct door *door)
{
	struct pollfd watched[] = {
		{.fd = door->connection_fd, .events = POLLIN | POLLRDHUP},
		{.fd = door->control_fd, .events = POLLIN | POLLRDHUP},
	};

	while (poll(watched, ISP_ARRAY_SIZE(watched), -1) < 0 && errno == EINTR)
		;
	return watched[1].revents == 0;
}

static int stay(struct door *door)
{
	struct isp_error err = {0};

	if (give_up_rights(&err) < 0)
		return deny(door, ISP_DENIAL_NOT_READY, &err);
	if (tell_ready(door) < 0)
		return EXIT_FAILURE; /* gone: the control socket's end takes the container with it
				      */
	if (is_peer_done(door) && isp_launch_end(&door->control_fd, &err) < 0) {
		struct isp_line line = {0};

		isp_denial_line("trouble", door->user, door->spec.session, &err, &line);
		isp_log(LOG_WARNING, &line);
	}
	return EXIT_SUCCESS;
}

int main(void)
{
	static struct door door;
	enum isp_denial denial = ISP_DENIAL_UNDECIDED;
	struct isp_error err = {0};
	int r;

	door.connection_fd = door.start_fd = door.control_fd = -EBADF;
	r = take_connection(&door, &err);
	/* Order: the log's own descriptor must not be among those just closed. */
	isp_log_open("ispawn-door");
	(void)umask(022);
	if (r == 0)
		r = take_place(&door, &err);
	if (r == 0)
		r = decide(&door, &denial, &err);
	if (r < 0)
		return deny(&door, denial, &err);
	if (build(&door, &err) < 0)
		return deny(&door, isp_denial_of_start(&err), &err);
	return stay(&door);
}
