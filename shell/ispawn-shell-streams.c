/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ispawn-shell-streams.c - stdin, stdout and stderr, and the request that describes them
 *
 * Pipes and connected Unix stream sockets (what sshd gives a command) travel inside themselves:
 * full speed, every byte as it is, and a half-close is the kernel's own.  A terminal gives the
 * tenant a pty.  Everything else stays outside and is relayed through a pipe.
 *
 * Threat: a descriptor of the host inside the container.  A directory is a way out (openat), a
 * regular file can be mapped, truncated and reopened, a device takes ioctls, a TCP socket can be
 * connected anew in the network namespace it was made in, a bound Unix socket accepts from there.
 */
#include "ispawn-shell.h"

#include "ispawn/session/environment.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/vfs.h>

#define ENVIRONMENT_BYTES_MAX (ISP_REQUEST_SIZE_MAX / 4)

int streams_hold(bool ret_is_closed[ISP_REQUEST_STREAMS])
{
	for (int i = 0; i < ISP_REQUEST_STREAMS; i++) {
		ret_is_closed[i] = fcntl(i, F_GETFD) < 0;
		/* The lowest free number is the one wanted: those below are open by now. */
		if (ret_is_closed[i] && open("/dev/null", O_RDWR) != i)
			return -EBADF;
	}
	return 0;
}

static bool has_option(int fd, int option, int wanted)
{
	int value = -1;
	socklen_t size = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 && value == wanted;
}

/* Threat: another user's process at the other end of the pair (su with a socket as stdin) hands
 * descriptors of the host in, with SCM_RIGHTS.  Kernel: unix(7): who made the pair. */
static bool is_pair_of_ours(int fd)
{
	struct ucred maker = {.uid = (uid_t)-1};
	socklen_t size = sizeof(maker);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &maker, &size) == 0 &&
	       (maker.uid == getuid() || maker.uid == 0);
}

/* One of a socketpair: no name, so nobody can connect to it, and it can connect to nobody. */
static bool is_plain_socket(int fd)
{
	struct sockaddr_un name = {0};
	socklen_t size = sizeof(name);

	return has_option(fd, SO_DOMAIN, AF_UNIX) && has_option(fd, SO_TYPE, SOCK_STREAM) &&
	       has_option(fd, SO_ACCEPTCONN, 0) && is_pair_of_ours(fd) &&
	       getsockname(fd, (struct sockaddr *)&name, &size) == 0 &&
	       size == sizeof(sa_family_t) && getpeername(fd, (struct sockaddr *)&name, &size) == 0;
}

/* A FIFO with a name can be opened again for the other direction; one without cannot be found. */
static bool is_plain_pipe(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && fs.f_type == PIPEFS_MAGIC;
}

static bool may_travel(int fd, const struct stat *st)
{
	return (S_ISFIFO(st->st_mode) && is_plain_pipe(fd)) ||
	       (S_ISSOCK(st->st_mode) && is_plain_socket(fd));
}

/* A pipe whose inner end travels in the descriptor's place. */
static int plan_pipe(struct shell *shell, int number, struct isp_error *err)
{
	struct streams *streams = &shell->streams;
	int inner = number == STDIN_FILENO ? 0 : 1, ends[2];

	if (pipe2(ends, O_CLOEXEC) != 0)
		return isp_err_set(err, errno, ISP_STAGE_TENANT, "a pipe for descriptor %d",
				   number);
	streams->sent_fds[number] = ends[inner];
	streams->is_ours[number] = true;
	streams->outer_fds[number] = ends[!inner];
	if (fcntl(ends[!inner], F_SETFL, O_NONBLOCK) != 0)
		return isp_err_set(err, errno, ISP_STAGE_TENANT, "F_SETFL of a pipe");
	if (shell->keeps_streams && fchown(ends[inner], shell->pipe_uid, (gid_t)-1) != 0)
		return isp_err_set(err, errno, ISP_STAGE_TENANT, "give the pipe to the program");
	return 0;
}

/* `>file 2>&1`: through one pipe, so that lines keep their order. */
static bool is_stdout_again(const struct streams *streams, const struct stat *st)
{
	struct stat out;

	return streams->outer_fds[STDOUT_FILENO] >= 0 && fstat(STDOUT_FILENO, &out) == 0 &&
	       out.st_dev == st->st_dev && out.st_ino == st->st_ino &&
	       fcntl(STDOUT_FILENO, F_GETFL) == fcntl(STDERR_FILENO, F_GETFL);
}

static int plan_one(struct shell *shell, int number, struct isp_error *err)
{
	struct streams *streams = &shell->streams;
	struct stat st;

	if (fstat(number, &st) != 0)
		return isp_err_set(err, errno, ISP_STAGE_TENANT, "descriptor %d", number);
	if (isatty(number)) {
		streams->kinds[number] = ISP_STREAM_TTY;
		return 0;
	}
	if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3)) {
		streams->kinds[number] = ISP_STREAM_NULL;
		return 0;
	}
	streams->kinds[number] = ISP_STREAM_PASSED;
	if (!shell->keeps_streams && may_travel(number, &st))
		streams->sent_fds[number] = number;
	else if (number == STDERR_FILENO && is_stdout_again(streams, &st))
		streams->sent_fds[number] = streams->sent_fds[STDOUT_FILENO];
	else
		return plan_pipe(shell, number, err);
	return 0;
}

int streams_plan(struct shell *shell, const bool is_closed[ISP_REQUEST_STREAMS],
		 struct isp_error *err)
{
	struct streams *streams = &shell->streams;
	int r = 0;

	for (int i = 0; i < ISP_REQUEST_STREAMS; i++) {
		streams->kinds[i] = ISP_STREAM_CLOSED;
		streams->sent_fds[i] = streams->outer_fds[i] = -EBADF;
		streams->is_ours[i] = false;
	}
	for (int i = 0; r == 0 && i < ISP_REQUEST_STREAMS; i++)
		if (!is_closed[i])
			r = plan_one(shell, i, err);
	terminal_find(&shell->terminal, streams->kinds);
	return r;
}

/* --- the request ------------------------------------------------------------------------------ */

/* What does not fit is left out rather than refused: init lets few names through anyway. */
static size_t collect_environment(char **ret_entries)
{
	size_t count = 0, bytes = 0;

	for (char **entry = environ; *entry && count < ISP_REQUEST_ENVIRONMENT_MAX; entry++) {
		size_t size = strnlen(*entry, ISP_ENVIRONMENT_ENTRY_MAX) + 1;

		if (!isp_environment_is_sane(*entry) || bytes + size > ENVIRONMENT_BYTES_MAX)
			continue;
		bytes += size;
		ret_entries[count++] = *entry;
	}
	return count;
}

static mode_t current_umask(void)
{
	mode_t mask = umask(077);

	(void)umask(mask);
	return mask;
}

void streams_describe(char ret_text[ISP_MESSAGE_TEXT_SIZE], int argc, char **argv)
{
	size_t used = 0;

	for (int i = 0; i < argc && used + 1 < ISP_MESSAGE_TEXT_SIZE; i++) {
		int n = snprintf(ret_text + used, ISP_MESSAGE_TEXT_SIZE - used, "%s%.*s",
				 i > 0 ? " " : "", ISP_MESSAGE_TEXT_SIZE, argv[i]);

		if (n < 0)
			return;
		used += (size_t)n;
	}
}

static int write_request(const struct shell *shell, bool is_login, int argc, char **argv,
			 int *ret_fd, struct isp_error *err)
{
	char *environment[ISP_REQUEST_ENVIRONMENT_MAX];
	struct isp_request request = {0};
	cleanup_free char *bytes = NULL;
	size_t size = 0;
	int r;

	request.is_login = is_login;
	request.is_command = shell->is_command;
	request.directory = shell->directory;
	request.umask = current_umask();
	memcpy(request.streams, shell->streams.kinds, sizeof(request.streams));
	terminal_describe(&shell->terminal, &request);
	request.args = argv;
	request.arg_count = (size_t)argc;
	request.environment = environment;
	request.environment_count = collect_environment(environment);
	r = isp_request_encode(&request, &bytes, &size, err);
	if (r < 0)
		return r;
	r = isp_fd_memfd("ispawn-request", bytes, size, ret_fd);
	return r < 0 ? isp_err_set(err, -r, ISP_STAGE_TENANT, "a memfd for the request") : 0;
}

/* Order: right after OPEN.  As long as we hold the write end of a pipe, its reader on the host
 * never sees the tenant close it.  stderr stays: the supervisor's last words go there. */
static int let_go(struct streams *streams)
{
	cleanup_close int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int i = 0; i < ISP_REQUEST_STREAMS; i++) {
		if (streams->is_ours[i])
			isp_fd_close(&streams->sent_fds[i]);
		else if (streams->sent_fds[i] == i && i != STDERR_FILENO && dup2(null_fd, i) < 0)
			return -errno;
		streams->sent_fds[i] = -EBADF;
	}
	return 0;
}

int streams_ask(struct shell *shell, int argc, char **argv, struct isp_error *err)
{
	struct isp_message open = {.type = ISP_MESSAGE_OPEN};
	cleanup_close int request_fd = -EBADF;
	int fds[1 + ISP_REQUEST_STREAMS], r;
	bool is_login = !shell->is_command && argc > 0 && argv[0][0] == '-';
	size_t count = 1;

	/* The name by which we were called is init's to choose; a command has its own. */
	if (!shell->is_command && argc > 0) {
		argc--;
		argv++;
	}
	r = write_request(shell, is_login, argc, argv, &request_fd, err);
	if (r < 0)
		return r;
	streams_describe(open.text, argc, argv);
	fds[0] = request_fd;
	for (int i = 0; i < ISP_REQUEST_STREAMS; i++)
		if (shell->streams.kinds[i] == ISP_STREAM_PASSED)
			fds[count++] = shell->streams.sent_fds[i];
	r = isp_message_send(shell->connection_fd, &open, fds, count, 0);
	/* A peer that has closed already may have said why: that is heard next. */
	if (r == -EPIPE)
		r = 0;
	if (r == 0)
		r = let_go(&shell->streams);
	return r < 0 ? isp_err_set(err, -r, ISP_STAGE_TENANT, "ask for a program") : 0;
}

/* --- the channels ----------------------------------------------------------------------------- */

static int duplicate(int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, ISP_REQUEST_STREAMS);

	return copy < 0 ? -errno : copy;
}

/* Opens one channel from two fresh descriptors, each of which may be a -errno. */
static int open_channel(struct isp_channel *channel, int from, int to, unsigned int flags)
{
	cleanup_close int from_fd = from, to_fd = to;

	if (from_fd < 0)
		return from_fd;
	if (to_fd < 0)
		return to_fd;
	isp_channel_open(channel, &from_fd, &to_fd, flags);
	return 0;
}

static int connect_pty(struct shell *shell)
{
	const enum isp_stream *kinds = shell->streams.kinds;
	int number = kinds[STDOUT_FILENO] == ISP_STREAM_TTY   ? STDOUT_FILENO
		     : kinds[STDERR_FILENO] == ISP_STREAM_TTY ? STDERR_FILENO
							      : STDIN_FILENO;
	bool is_own = false;
	int fd = terminal_open(number, &is_own);
	int r = open_channel(&shell->channels[CHANNEL_PTY], duplicate(shell->primary_fd), fd,
			     ISP_CHANNEL_FROM_SHARED | (is_own ? ISP_CHANNEL_TO_OWN : 0));

	if (r < 0 || !shell->terminal.is_input)
		return r;
	fd = terminal_open(STDIN_FILENO, &is_own);
	return open_channel(&shell->channels[CHANNEL_INPUT], fd, duplicate(shell->primary_fd),
			    ISP_CHANNEL_TO_SHARED | (is_own ? ISP_CHANNEL_FROM_OWN : 0));
}

static int connect_relayed(struct shell *shell, int number, struct isp_channel *channel)
{
	int outer = steal_fd(&shell->streams.outer_fds[number]);

	if (outer < 0)
		return 0;
	if (number == STDIN_FILENO)
		return open_channel(channel, duplicate(number), outer, ISP_CHANNEL_PLAIN);
	return open_channel(channel, outer, duplicate(number), ISP_CHANNEL_PLAIN);
}

int streams_connect(struct shell *shell, struct isp_error *err)
{
	int r = 0;

	if (shell->primary_fd >= 0)
		r = connect_pty(shell);
	if (r == 0)
		r = connect_relayed(shell, STDIN_FILENO, &shell->channels[CHANNEL_INPUT]);
	if (r == 0)
		r = connect_relayed(shell, STDOUT_FILENO, &shell->channels[CHANNEL_STDOUT]);
	if (r == 0)
		r = connect_relayed(shell, STDERR_FILENO, &shell->channels[CHANNEL_STDERR]);
	return r < 0 ? isp_err_set(err, -r, ISP_STAGE_TENANT, "connect the program's streams") : 0;
}
