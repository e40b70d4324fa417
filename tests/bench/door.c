/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * door - plays the door for the benchmark: starts supervisors as the PAM module does, and no sshd
 *
 *	door start USER COUNT	sessions one after the other; per line the microseconds of deciding,
 *				of start to READY, and of CLOSE to CLOSED
 *	door run USER [-c COMMAND]
 *				one session with one tenant through the real ispawn-shell, started
 *				as the user; ends with the tenant's status
 *	door hold COUNT USER...	COUNT sessions, the users in turn, each with a tenant that waits for
 *				its input; prints "held", and ends them when its own input ends
 *
 * Runs as root in the test host.  A failure prints the error record and exits with 125, so that no
 * time is ever taken of something that did not work.
 */
#include "ispawn/base/fd.h"
#include "ispawn/base/path.h"
#include "ispawn/policy/freeze.h"
#include "ispawn/session/launch.h"

#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

enum { STATUS_OURS = 125 };

/* One session, or a place for one. */
struct session {
	struct isp_subject subject;
	struct isp_spec spec;
	int control_fd;
	int input_fd; /* of the tenant that waits */
	pid_t shell;
};

static _Noreturn void fail(const char *step, const struct isp_error *err)
{
	(void)fprintf(stderr, "door: %s: %s: %s\n", step, err->text, strerror(err->code));
	_exit(STATUS_OURS);
}

static int64_t now_us(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now); /* Ignored: cannot fail for this clock */
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void decide(struct session *s, const char *user)
{
	enum isp_verdict verdict = ISP_VERDICT_DENY;
	struct isp_error err = {0};
	int r = isp_subject_resolve(user, "sshd", "", "", &s->subject, &err);

	if (r == 0)
		r = isp_policy_freeze(ISPAWN_CONFIG_FILE, &s->subject, &verdict, &s->spec, &err);
	if (r == 0 && verdict != ISP_VERDICT_CONFINE)
		r = isp_err_set(&err, EPERM, ISP_STAGE_POLICY, "\"%s\" is not confined", user);
	if (r < 0)
		fail("decide", &err);
}

static void start(struct session *s)
{
	cleanup_close int net_fd = -EBADF;
	struct isp_error err = {0};
	int r;

	s->control_fd = -EBADF;
	r = isp_launch(&s->spec, -EBADF, &s->control_fd, &err);
	if (r == 0)
		r = isp_launch_await(s->control_fd, &s->spec, &net_fd, &err);
	if (r < 0)
		fail("start", &err);
}

static void end(struct session *s)
{
	struct isp_error err = {0};

	if (isp_launch_end(&s->control_fd, &err) < 0)
		fail("end", &err);
}

static void forget(struct session *s)
{
	isp_spec_free(&s->spec);
	isp_subject_free(&s->subject);
}

/* The login shell, as sshd would start it: as the user, with the session's name. */
static void run_shell(struct session *s, char *command)
{
	static char name[] = "ispawn-shell";
	static char option[] = "-c";
	char variable[sizeof(ISPAWN_SESSION_VARIABLE) + ISP_SESSION_ID_SIZE + 1];
	char *const argv[] = {name, command ? option : NULL, command, NULL};
	char *const environment[] = {variable, NULL};

	(void)snprintf(variable, sizeof(variable), "%s=%s", ISPAWN_SESSION_VARIABLE,
		       s->spec.session);
	s->shell = fork();
	if (s->shell != 0)
		return;
	if (setgroups(0, NULL) != 0 || setgid(s->subject.gid) != 0 || setuid(s->subject.uid) != 0 ||
	    execve(ISPAWN_SHELL, argv, environment) != 0)
		_exit(STATUS_OURS);
	__builtin_unreachable();
}

static int start_many(const char *user, long count)
{
	for (long i = 0; i < count; i++) {
		struct session s = {0};
		int64_t began = now_us(), decided, ready, closing;

		decide(&s, user);
		decided = now_us();
		start(&s);
		ready = now_us();
		/* Let init reach its poll: what is asked for is the end of an idle session. */
		(void)usleep(2000);
		closing = now_us();
		end(&s);
		(void)printf("%lld %lld %lld\n", (long long)(decided - began),
			     (long long)(ready - decided), (long long)(now_us() - closing));
		forget(&s);
	}
	return 0;
}

static int run_one(const char *user, char *command)
{
	struct session s = {0};
	int status = 0;

	decide(&s, user);
	start(&s);
	run_shell(&s, command);
	(void)waitpid(s.shell, &status, 0);
	end(&s);
	forget(&s);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void hold_one(struct session *s, const char *user)
{
	static char command[] = "read line";
	int ends[2];

	decide(s, user);
	start(s);
	if (pipe2(ends, O_CLOEXEC) != 0)
		_exit(STATUS_OURS);
	s->input_fd = ends[1];
	(void)dup2(ends[0], STDIN_FILENO);
	(void)close(ends[0]);
	run_shell(s, command);
}

static int hold(long count, char **users, int user_count)
{
	struct session *sessions = calloc((size_t)count, sizeof(*sessions));
	int input_fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 16);
	char byte;

	if (!sessions || input_fd < 0)
		return STATUS_OURS;
	for (long i = 0; i < count; i++)
		hold_one(&sessions[i], users[i % user_count]);
	(void)puts("held");
	(void)fflush(stdout);
	while (read(input_fd, &byte, 1) > 0)
		;
	for (long i = 0; i < count; i++) {
		(void)close(sessions[i].input_fd);
		(void)waitpid(sessions[i].shell, NULL, 0);
		end(&sessions[i]);
		forget(&sessions[i]);
	}
	free(sessions);
	return 0;
}

/* As a hundred sessions need: three descriptors each. */
static void raise_descriptors(void)
{
	struct rlimit limit = {.rlim_cur = 8192, .rlim_max = 8192};

	(void)setrlimit(RLIMIT_NOFILE, &limit); /* Ignored: `hold` fails if it was needed */
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "start") == 0)
		return start_many(argv[2], strtol(argv[3], NULL, 10));
	if (argc == 3 && strcmp(argv[1], "run") == 0)
		return run_one(argv[2], NULL);
	if (argc == 5 && strcmp(argv[1], "run") == 0 && strcmp(argv[3], "-c") == 0)
		return run_one(argv[2], argv[4]);
	raise_descriptors();
	if (argc >= 4 && strcmp(argv[1], "hold") == 0)
		return hold(strtol(argv[2], NULL, 10), argv + 3, argc - 3);
	(void)fprintf(stderr, "usage: door start USER COUNT | run USER [-c COMMAND] | "
			      "hold COUNT USER...\n");
	return STATUS_OURS;
}
