/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ispawnctl-join.c - `ispawnctl enter --root`: starting ispawn-enter; contract in
 * ispawnctl-enter.h
 *
 * What it is handed is all it ever knows: a socket to us, the session's frozen spec, a pidfd of
 * init.  It gets no other descriptor, no environment and no argument.  It is executed, not just
 * forked, so that what stands in our memory - the administrator's environment - is not in its.
 */
#include "ispawnctl-enter.h"

#include "ispawn/base/clock.h"
#include "ispawn/base/path.h"
#include "ispawn/base/sys.h"

#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define PLACE_MS 10000
#define END_MS 2000
#define MAP_TEXT_MAX 65536

enum { STEWARD_SOCKET_FD = 3, STEWARD_SPEC_FD, STEWARD_INIT_FD, STEWARD_FDS };

/* --- the place -------------------------------------------------------------------------------- */

static void describe(const struct entry_wish *wish, char ret_text[ISP_MESSAGE_TEXT_SIZE])
{
	(void)snprintf(ret_text, ISP_MESSAGE_TEXT_SIZE, "ispawnctl enter --root%s%.*s",
		       wish->command_count > 0 ? " " : "", ISP_MESSAGE_TEXT_SIZE,
		       wish->command_count > 0 ? wish->command[0] : ""); /* Ignored: cut is fine */
}

/* Return: 0 and a pidfd of the session's init; -errno. */
static int ask_place(const struct entry_wish *wish, int connection_fd, int *ret_init_fd,
		     struct isp_error *err)
{
	const uint32_t answers = 1u << ISP_MESSAGE_PLACE | 1u << ISP_MESSAGE_REFUSED;
	struct isp_message message = {.type = ISP_MESSAGE_JOIN};
	struct pollfd answer = {.fd = connection_fd, .events = POLLIN};
	int fds[ISP_FDS_MAX];
	size_t count = 0;
	int r;

	describe(wish, message.text);
	r = isp_message_send(connection_fd, &message, NULL, 0, MSG_DONTWAIT);
	if (r == 0 && poll(&answer, 1, PLACE_MS) != 1)
		r = -ETIMEDOUT;
	if (r == 0)
		r = isp_message_receive(connection_fd, answers, &message, fds, &count,
					MSG_DONTWAIT);
	if (r < 0 || r == 0)
		return isp_err_set(err, r < 0 ? -r : ECONNRESET, ISP_STAGE_TENANT,
				   "ask the supervisor where the container is");
	if (message.type == ISP_MESSAGE_PLACE && count == 1) {
		*ret_init_fd = fds[0];
		return 0;
	}
	isp_message_close_fds(fds, count);
	return isp_err_adopt(err, &message.error);
}

/* Kernel: proc(5), fdinfo of a pidfd: "Pid:", in our own PID namespace; -1 once it is reaped. */
static int read_pid(int pid_fd, uint64_t *ret_pid)
{
	cleanup_free char *text = NULL;
	char path[64];
	char *line;
	int r;

	(void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pid_fd); /* fits */
	r = isp_fd_read_file(AT_FDCWD, path, MAP_TEXT_MAX, &text);
	if (r < 0)
		return r;
	line = strstr(text, "\nPid:\t");
	if (!line)
		return -ESRCH;
	line += strlen("\nPid:\t");
	line[strcspn(line, "\n")] = '\0';
	return isp_parse_u64(line, 1, INT32_MAX, ret_pid);
}

/* Whose the pipes are to be.  Kernel: user_namespaces(7): lines of inside, outside, length; the
 * first is for 0.  In vain: the container's /dev/stdout cannot be opened then, and that is all. */
static uid_t read_root_uid(int init_fd)
{
	cleanup_free char *text = NULL;
	char path[64];
	char *end = NULL;
	uint64_t pid = 0;
	unsigned long inside, outside;

	if (read_pid(init_fd, &pid) < 0)
		return (uid_t)-1;
	(void)snprintf(path, sizeof(path), "/proc/%llu/uid_map", (unsigned long long)pid);
	if (isp_fd_read_file(AT_FDCWD, path, MAP_TEXT_MAX, &text) < 0)
		return (uid_t)-1;
	inside = strtoul(text, &end, 10);
	outside = strtoul(end, &end, 10);
	/* The number was init's: it still is when init has not been reaped since. */
	if (inside != 0 || outside == 0 || outside > UINT32_MAX ||
	    isp_sys_pidfd_send_signal(init_fd, 0) != 0)
		return (uid_t)-1;
	return (uid_t)outside;
}

/* Threat: a tenant with the rights of the container's root may trace the program that is started
 * there, and would have the administrator's limits, where a login's own are lower.
 * Kernel: unix(7): the peer of a connection is who listened, the supervisor, whose limits are those
 * of the login.  Not init's: a tenant can lower those, and lock the administrator out. */
static int read_limits(int connection_fd, struct rlimit *ret_limits, struct isp_error *err)
{
	struct ucred who = {.pid = 0};
	socklen_t size = sizeof(who);

	if (getsockopt(connection_fd, SOL_SOCKET, SO_PEERCRED, &who, &size) != 0 || who.pid <= 0)
		return isp_err_set(err, ESRCH, ISP_STAGE_TENANT, "find the supervisor");
	for (int i = 0; i < RLIM_NLIMITS; i++) {
		struct rlimit ours, *limit = &ret_limits[i];

		if (getrlimit(i, &ours) != 0 || prlimit(who.pid, i, NULL, limit) != 0)
			return isp_err_set(err, errno, ISP_STAGE_TENANT,
					   "read the supervisor's limits");
		if (limit->rlim_max > ours.rlim_max)
			limit->rlim_max = ours.rlim_max;
		if (limit->rlim_cur > limit->rlim_max)
			limit->rlim_cur = limit->rlim_max;
	}
	return 0;
}

/* --- the program ------------------------------------------------------------------------------ */

/* Between fork and exec.  Threat: an inherited descriptor is a way out of the container
 * (CVE-2024-21626): three are placed, and nothing else stays open. */
static _Noreturn void be_steward(int program_fd, const int *given_fds, const struct rlimit *limits)
{
	static char name[] = "ispawn-enter";
	char *const argv[] = {name, NULL};
	char *const envp[] = {NULL};
	int null_fd = open("/dev/null", O_RDWR | O_NOCTTY | O_CLOEXEC);
	int moved[STEWARD_FDS];
	bool is_done = null_fd >= 0 && setsid() > 0;

	program_fd = fcntl(program_fd, F_DUPFD_CLOEXEC, 2 * STEWARD_FDS);
	for (int number = 0; number < STEWARD_FDS; number++) {
		moved[number] =
			fcntl(number < STEWARD_SOCKET_FD ? null_fd
							 : given_fds[number - STEWARD_SOCKET_FD],
			      F_DUPFD_CLOEXEC, 2 * STEWARD_FDS);
		is_done = is_done && moved[number] >= 0;
	}
	for (int number = 0; number < STEWARD_FDS; number++)
		is_done = is_done && dup2(moved[number], number) == number;
	is_done = is_done && isp_sys_close_range(STEWARD_FDS, ~0u, CLOSE_RANGE_CLOEXEC) == 0;
	for (int i = 0; i < RLIM_NLIMITS; i++)
		is_done = is_done && setrlimit(i, &limits[i]) == 0;
	if (is_done)
		(void)isp_sys_execveat_fd(program_fd, argv, envp); /* returns only on failure */
	_exit(STATUS_OURS);
}

static int start_steward(struct entry_wish *wish, const int *given_fds, const struct rlimit *limits,
			 struct isp_error *err)
{
	cleanup_close int program_fd = -EBADF;
	int r = isp_path_open_program(ISPAWN_ENTER, false, ISP_STAGE_TENANT, &program_fd, err);

	if (r < 0)
		return r;
	wish->steward = fork();
	if (wish->steward == 0)
		be_steward(program_fd, given_fds, limits);
	return wish->steward < 0 ? isp_err_set(err, errno, ISP_STAGE_TENANT, "fork") : 0;
}

static int make_spec(const struct isp_spec *spec, int *ret_fd, struct isp_error *err)
{
	cleanup_free char *bytes = NULL;
	size_t size = 0;
	int r = isp_spec_encode(spec, &bytes, &size, err);

	if (r < 0)
		return r;
	r = isp_fd_memfd("ispawn-spec", bytes, size, ret_fd);
	return r < 0 ? isp_err_set(err, -r, ISP_STAGE_SPEC, "a memfd for the spec") : 0;
}

int join_start(struct entry_wish *wish, int *connection_fd, struct isp_error *err)
{
	cleanup_close int init_fd = -EBADF;
	cleanup_close int spec_fd = -EBADF;
	cleanup_close int ours_fd = -EBADF;
	cleanup_close int theirs_fd = -EBADF;
	struct rlimit limits[RLIM_NLIMITS];
	int pair[2];
	int r = ask_place(wish, *connection_fd, &init_fd, err);

	if (r == 0)
		r = read_limits(*connection_fd, limits, err);
	if (r == 0)
		r = make_spec(&wish->session->spec, &spec_fd, err);
	if (r < 0)
		return r;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		return isp_err_set(err, errno, ISP_STAGE_TENANT, "a socket for ispawn-enter");
	ours_fd = pair[0];
	theirs_fd = pair[1];
	r = start_steward(wish, (int[]){theirs_fd, spec_fd, init_fd}, limits, err);
	if (r < 0)
		return r;
	wish->root_uid = read_root_uid(init_fd);
	wish->place_fd = steal_fd(connection_fd);
	*connection_fd = steal_fd(&ours_fd);
	return 0;
}

/* It ends by itself when its tenant has, or when we are gone; one that does not is the session's,
 * and ends with that. */
void join_end(struct entry_wish *wish)
{
	cleanup_close int pid_fd = -EBADF;
	struct pollfd gone = {.events = POLLIN};

	if (wish->steward <= 0)
		return;
	pid_fd = isp_sys_pidfd_open(wish->steward, 0);
	gone.fd = pid_fd;
	if (pid_fd >= 0 && poll(&gone, 1, END_MS) == 1)
		(void)waitpid(wish->steward, NULL, 0);
	isp_fd_close(&wish->place_fd);
}
