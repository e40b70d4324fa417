/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cases_guest.c - applications of all kinds, none of which may notice the module */
#include "login.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>

static volatile sig_atomic_t sigchld_count, sigalrm_count;

static void count_signal(int number)
{
	if (number == SIGCHLD)
		sigchld_count++;
	else
		sigalrm_count++;
}

static void on_signal(int number, void (*handler)(int))
{
	struct sigaction action = {.sa_handler = handler}; /* no SA_RESTART: calls get EINTR */

	CHECK(sigaction(number, &action, NULL) == 0);
}

static void expect_unnoticed_session(const char *user)
{
	struct login login;
	const char *before;

	login_start(&login, "sshd", user);
	before = state();
	CHECK_INT(login_open(&login, 0), PAM_SUCCESS);
	CHECK_INT(login_close(&login), PAM_SUCCESS);
	CHECK_TEXT(state(), before);
	CHECK_TEXT(log_lines(), "");
	login_end(&login);
}

static void application_sees_no_child(void)
{
	struct login login;

	on_signal(SIGCHLD, count_signal);
	login_start(&login, "sshd", "guest");
	CHECK_INT(login_open(&login, 0), PAM_SUCCESS);
	CHECK_INT(sigchld_count, 0);
	CHECK_INT(waitpid(-1, NULL, 0), -1);
	CHECK_INT(errno, ECHILD);
	CHECK_INT(waitpid(-1, NULL, __WALL), -1);
	CHECK_INT(errno, ECHILD);
	CHECK_INT(login_close(&login), PAM_SUCCESS);
	CHECK_INT(sigchld_count, 0);
	login_end(&login);
}

static void child_of_the_application_is_left_to_it(void)
{
	struct login login;
	int status = -1;
	pid_t pid = fork();

	if (pid == 0)
		_exit(42);
	login_start(&login, "sshd", "guest");
	CHECK_INT(login_open(&login, 0), PAM_SUCCESS);
	CHECK_INT(waitpid(-1, &status, 0), pid);
	CHECK(WIFEXITED(status));
	CHECK_INT(WEXITSTATUS(status), 42);
	CHECK_INT(login_close(&login), PAM_SUCCESS);
	login_end(&login);
}

static void ignored_signals_stay_ignored_and_do_not_reach_the_supervisor(void)
{
	on_signal(SIGCHLD, SIG_IGN);
	on_signal(SIGPIPE, SIG_IGN);
	on_signal(SIGHUP, SIG_IGN);
	on_signal(SIGRTMIN, SIG_IGN);
	expect_unnoticed_session("guest");
}

static void blocked_signals_do_not_reach_the_supervisor(void)
{
	sigset_t all;

	sigfillset(&all);
	CHECK_INT(sigprocmask(SIG_SETMASK, &all, NULL), 0);
	expect_unnoticed_session("guest");
}

static void dead_supervisor_raises_no_sigpipe(void)
{
	struct login login;

	on_signal(SIGPIPE, count_signal);
	scene_write(BEHAVIOUR, "dies");
	login_start(&login, "sshd", "guest");
	CHECK_INT(login_open(&login, 0), PAM_SUCCESS);
	(void)usleep(200 * 1000);
	CHECK_INT(login_close(&login), PAM_SUCCESS);
	CHECK_INT(sigalrm_count, 0);
	login_end(&login);
}

static void signals_do_not_break_the_waiting(void)
{
	struct itimerval every_5_ms = {{0, 5000}, {0, 5000}};
	struct login login;

	scene_write(BEHAVIOUR, "slow");
	login_start(&login, "sshd", "guest");
	on_signal(SIGALRM, count_signal);
	CHECK_INT(setitimer(ITIMER_REAL, &every_5_ms, NULL), 0);
	CHECK_INT(login_open(&login, 0), PAM_SUCCESS);
	CHECK(sigalrm_count > 20);
	CHECK_INT(login_close(&login), PAM_SUCCESS);
	scene_write(BEHAVIOUR, "hang");
	CHECK_INT(login_open(&login, 0), PAM_SESSION_ERR);
	CHECK_START(log_lines(), "<3>session=guest.ID user=\"guest\" stage=deadline: ");
	every_5_ms = (struct itimerval){{0, 0}, {0, 0}};
	CHECK_INT(setitimer(ITIMER_REAL, &every_5_ms, NULL), 0);
	login_end(&login);
}

static void closed_standard_descriptors_stay_closed(void)
{
	struct login login;

	(void)close(0);
	(void)close(1);
	(void)close(2);
	login_start(&login, "sshd", "guest");
	CHECK_INT(login_open(&login, 0), PAM_SUCCESS);
	for (int fd = 0; fd < 3; fd++)
		CHECK_INT(fcntl(fd, F_GETFD), -1);
	CHECK_INT(login_close(&login), PAM_SUCCESS);
	login_end(&login);
	expect_unnoticed_session("guest");
}

static void open_descriptors_do_not_reach_the_supervisor(void)
{
	struct rlimit limit = {4096, 4096};

	CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	for (int i = 0; i < 1000; i++)
		CHECK(dup(1) >= 0);
	expect_unnoticed_session("guest");
}

static void kept_descriptors_are_closed_by_exec(void)
{
	struct login login;
	int kept = 0;

	CHECK(close_range(3, 800, 0) == 0); /* the C library's connection to the log, too */
	login_start(&login, "sshd", "guest");
	CHECK_INT(login_open(&login, 0), PAM_SUCCESS);
	for (int fd = 3; fd < 800; fd++) {
		int flags = fcntl(fd, F_GETFD);

		CHECK(flags < 0 || (flags & FD_CLOEXEC));
		kept += flags >= 0 && fd >= 10;
	}
	CHECK_INT(kept, 5); /* the session's socket, two namespaces, two directories */
	CHECK_INT(login_close(&login), PAM_SUCCESS);
	login_end(&login);
}

/* Every descriptor that the module opens is once the one too many. */
static void lack_of_descriptors_denies_and_leaks_nothing(void)
{
	int successes = 0, denials = 0;

	for (rlim_t room = 3; successes == 0 && room < 60; room++) {
		struct rlimit limit = {room, 4096};
		struct rlimit enough = {4096, 4096};
		struct login login;
		const char *before;
		int code;

		login_start(&login, "sshd", "guest");
		before = state();
		CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
		code = login_open(&login, 0);
		CHECK(setrlimit(RLIMIT_NOFILE, &enough) == 0);
		if (code == PAM_SUCCESS) {
			successes++;
			CHECK_INT(login_close(&login), PAM_SUCCESS);
		} else {
			denials++;
			/* PAM_SYSTEM_ERR: libpam cannot open its audit socket either. */
			CHECK(code == PAM_SESSION_ERR || code == PAM_SYSTEM_ERR);
			CHECK_START(log_lines(), "<3>session=");
		}
		(void)log_lines();
		CHECK_TEXT(state(), before);
		login_end(&login);
	}
	CHECK_INT(successes, 1);
	CHECK(denials >= 5);
}

/* --- threads --- */

static volatile int must_end;

static void *use_the_heap(void *unused)
{
	(void)unused;
	while (!must_end) {
		void *volatile block = malloc(1 + (size_t)(rand() % 4096));

		free(block);
	}
	return NULL;
}

static void *open_and_close_ten_times(void *unused)
{
	(void)unused;
	for (int i = 0; i < 10; i++)
		expect_unnoticed_session("guest");
	return NULL;
}

static void threads_are_not_disturbed(void)
{
	pthread_t busy[3], opener;
	const char *before;

	before = state();
	for (size_t i = 0; i < 3; i++)
		CHECK_INT(pthread_create(&busy[i], NULL, use_the_heap, NULL), 0);
	CHECK_INT(pthread_create(&opener, NULL, open_and_close_ten_times, NULL), 0);
	CHECK_INT(pthread_join(opener, NULL), 0);
	must_end = 1;
	for (size_t i = 0; i < 3; i++)
		CHECK_INT(pthread_join(busy[i], NULL), 0);
	CHECK_TEXT(state(), before);
}

static void *open_once(void *argument)
{
	struct login *login = argument;

	CHECK_INT(login_open(login, 0), PAM_SUCCESS);
	CHECK(same_file("/bin/bash", SHELL));
	pthread_testcancel(); /* what was held back while the session was being opened */
	return NULL;
}

static void cancelled_thread_finishes_opening(void)
{
	struct login login;
	pthread_t opener;
	void *result = NULL;

	scene_write(BEHAVIOUR, "slow");
	login_start(&login, "sshd", "guest");
	CHECK_INT(pthread_create(&opener, NULL, open_once, &login), 0);
	(void)usleep(100 * 1000);
	CHECK_INT(pthread_cancel(opener), 0);
	CHECK_INT(pthread_join(opener, &result), 0);
	CHECK(result == PTHREAD_CANCELED);
	CHECK(strncmp(login_session(&login), "guest.", 6) == 0);
	CHECK(!same_file("/bin/bash", SHELL)); /* another thread's business */
	login_end(&login);
	CHECK_TEXT(ended(), "EOF");
}

static void *wait_for_any_child(void *unused)
{
	(void)unused;
	while (!must_end)
		(void)waitpid(-1, NULL, __WALL | WNOHANG);
	return NULL;
}

static void thread_that_waits_for_everything_does_no_harm(void)
{
	pthread_t waiter;

	CHECK_INT(pthread_create(&waiter, NULL, wait_for_any_child, NULL), 0);
	for (int i = 0; i < 10; i++)
		expect_unnoticed_session("guest");
	must_end = 1;
	CHECK_INT(pthread_join(waiter, NULL), 0);
}

#define CASE(function)                                                                             \
	{                                                                                          \
#function, function                                                                \
	}

const struct test_case guest_cases[] = {
	CASE(application_sees_no_child),
	CASE(child_of_the_application_is_left_to_it),
	CASE(ignored_signals_stay_ignored_and_do_not_reach_the_supervisor),
	CASE(blocked_signals_do_not_reach_the_supervisor),
	CASE(dead_supervisor_raises_no_sigpipe),
	CASE(signals_do_not_break_the_waiting),
	CASE(closed_standard_descriptors_stay_closed),
	CASE(open_descriptors_do_not_reach_the_supervisor),
	CASE(kept_descriptors_are_closed_by_exec),
	CASE(lack_of_descriptors_denies_and_leaks_nothing),
	CASE(threads_are_not_disturbed),
	CASE(cancelled_thread_finishes_opening),
	CASE(thread_that_waits_for_everything_does_no_harm),
	{NULL, NULL},
};
