/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cases_start.c - starting the supervisor, its answers, and the end of the session */
#include "login.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#define NOT_READY                                                                                  \
	"Login denied: the container could not be made ready (session guest.ID). The system log "  \
	"has the reason.\n"

static const char *without_id(char *text)
{
	char *dot = strstr(text, "guest.");

	if (dot && strlen(dot) > 14) {
		memcpy(dot + 6, "ID", 2);
		memmove(dot + 8, dot + 14, strlen(dot + 14) + 1);
	}
	return text;
}

static void expect_denied(const char *log, const char *said)
{
	struct login login;
	const char *before;

	login_start(&login, "sshd", "guest");
	before = state();
	CHECK_INT(login_open(&login, 0), PAM_SESSION_ERR);
	CHECK_TEXT(log_lines(), log);
	CHECK_TEXT(without_id(login.said), said);
	CHECK_TEXT(state(), before);
	CHECK_TEXT(login_session(&login), "");
	CHECK_INT(login_close(&login), CLOSE_AFTER_DENIAL);
	CHECK_TEXT(log_lines(), "");
	login_end(&login);
}

static void expect_denied_after(const char *behaviour, const char *reason)
{
	char log[512];

	scene_write(BEHAVIOUR, behaviour);
	(void)snprintf(log, sizeof(log), "<3>session=guest.ID user=\"guest\" %s\n", reason);
	expect_denied(log, NOT_READY);
}

static void ready_supervisor_opens_a_session(void)
{
	struct login login;
	const char *before;

	login_start(&login, "sshd", "guest");
	before = state();
	CHECK_INT(login_open(&login, 0), PAM_SUCCESS);
	CHECK_TEXT(log_lines(), "");
	CHECK_TEXT(login.said, "");
	CHECK(strncmp(login_session(&login), "guest.", 6) == 0);
	CHECK_INT(strlen(login_session(&login)), strlen("guest.") + 8);
	CHECK_INT(login_close(&login), PAM_SUCCESS);
	CHECK_TEXT(log_lines(), "");
	CHECK_TEXT(ended(), "CLOSE");
	CHECK_TEXT(state(), before);
	CHECK_TEXT(login_session(&login), "");
	CHECK_INT(login_close(&login), PAM_IGNORE);
	login_end(&login);
}

static void debug_tells_of_open_and_close(void)
{
	struct login login;

	write_service("sshd", "conf=" CONFIG " debug");
	login_start(&login, "sshd", "guest");
	CHECK_INT(login_open(&login, 0), PAM_SUCCESS);
	CHECK_TEXT(log_lines(), "<7>session=guest.ID user=\"guest\" opened\n");
	CHECK_INT(login_close(&login), PAM_SUCCESS);
	CHECK_TEXT(log_lines(), "<7>session=guest.ID user=\"guest\" closing\n");
	login_end(&login);
}

static void default_configuration_path_is_the_built_in_one(void)
{
	struct login login;

	login_start(&login, "login", "guest");
	CHECK_INT(login_open(&login, 0), PAM_SUCCESS);
	CHECK_INT(login_close(&login), PAM_SUCCESS);
	login_end(&login);
}

static void missing_supervisor_is_denied(void)
{
	CHECK(unlink(SUPERVISOR) == 0);
	expect_denied("<3>session=guest.ID user=\"guest\" stage=start: open \"" SUPERVISOR
		      "\": No such file or directory\n",
		      NOT_READY);
}

static void supervisor_that_others_can_write_is_denied(void)
{
	CHECK(chmod(SUPERVISOR, 0775) == 0);
	expect_denied("<3>session=guest.ID user=\"guest\" stage=start: \"" SUPERVISOR
		      "\": it, or a directory above it, can be changed by others than root: "
		      "Operation not permitted\n",
		      NOT_READY);
}

static void supervisor_that_cannot_be_executed_is_denied(void)
{
	CHECK(chmod(SUPERVISOR, 0644) == 0);
	expect_denied("<3>session=guest.ID user=\"guest\" stage=start: execute \"" SUPERVISOR
		      "\": Permission denied\n",
		      NOT_READY);
	scene_write(SUPERVISOR, "this is no program\n");
	CHECK(chmod(SUPERVISOR, 0755) == 0);
	expect_denied("<3>session=guest.ID user=\"guest\" stage=start: execute \"" SUPERVISOR
		      "\": Exec format error\n",
		      NOT_READY);
}

static void failure_of_the_supervisor_is_logged_with_its_words(void)
{
	expect_denied_after("failed", "stage=rootfs: open \"/templates/x?[2J\": "
				      "No such file or directory");
}

static void failure_without_errno_is_a_failure(void)
{
	expect_denied_after("failed-zero", "stage=protocol: no reason: Protocol error");
}

static void user_is_told_of_the_limit_of_sessions(void)
{
	scene_write(BEHAVIOUR, "limit");
	expect_denied("<5>session=guest.ID user=\"guest\" stage=registry: 16 sessions are open: "
		      "Too many users\n",
		      "Login denied: this account has as many sessions open as it may have "
		      "(session guest.ID). The system log has the reason.\n");
}

static void end_of_the_supervisor_is_denied(void)
{
	const char *reason = "stage=start: the supervisor ended before the container was ready: "
			     "Connection reset by peer";

	expect_denied_after("exit", reason);
	expect_denied_after("crash", reason);
}

static void hanging_supervisor_meets_the_deadline(void)
{
	time_t start = time(NULL);

	expect_denied_after("hang", "stage=deadline: the container was not ready within 1 s: "
				    "Connection timed out");
	CHECK(time(NULL) - start <= 4);
	CHECK_TEXT(ended(), "EOF");
}

static void garbage_is_denied(void)
{
	const char *reason = "stage=protocol: answer of the supervisor to the start: "
			     "Protocol error";

	expect_denied_after("wrong-magic", reason);
	expect_denied_after("short", reason);
	expect_denied_after("stranger", reason);
}

static void wrong_descriptors_are_denied(void)
{
	expect_denied_after("no-fd", "stage=protocol: READY of the supervisor came with 0 "
				     "descriptors, not 1: Protocol error");
	expect_denied_after("two-fds", "stage=protocol: READY of the supervisor came with 2 "
				       "descriptors, not 1: Protocol error");
	expect_denied_after("wrong-fd",
			    "stage=network: move the application into the container's network: "
			    "Invalid argument");
}

static void close_after_the_supervisor_died_succeeds(void)
{
	struct login login;
	const char *before;

	scene_write(BEHAVIOUR, "dies");
	login_start(&login, "sshd", "guest");
	before = state();
	CHECK_INT(login_open(&login, 0), PAM_SUCCESS);
	(void)usleep(200 * 1000);
	CHECK_INT(login_close(&login), PAM_SUCCESS);
	CHECK_TEXT(log_lines(), "");
	CHECK_TEXT(state(), before);
	login_end(&login);
}

static void deaf_supervisor_is_given_five_seconds_to_close(void)
{
	struct login login;
	const char *before;
	time_t start;

	scene_write(BEHAVIOUR, "deaf");
	login_start(&login, "sshd", "guest");
	before = state();
	CHECK_INT(login_open(&login, 0), PAM_SUCCESS);
	start = time(NULL);
	CHECK_INT(login_close(&login), PAM_SUCCESS);
	CHECK(time(NULL) - start >= 4 && time(NULL) - start <= 7);
	CHECK_TEXT(log_lines(), "<4>session=guest.ID user=\"guest\" stage=deadline: the supervisor "
				"did not confirm the end within 5 s: Connection timed out\n");
	CHECK_TEXT(state(), before);
	login_end(&login);
}

static void wrong_answer_to_close_is_logged(void)
{
	struct login login;

	scene_write(BEHAVIOUR, "liar");
	login_start(&login, "sshd", "guest");
	CHECK_INT(login_open(&login, 0), PAM_SUCCESS);
	CHECK_INT(login_close(&login), PAM_SUCCESS);
	CHECK_TEXT(log_lines(), "<4>session=guest.ID user=\"guest\" stage=protocol: answer of the "
				"supervisor to the end: Protocol error\n");
	login_end(&login);
}

static void end_of_the_handle_ends_the_session(void)
{
	struct login login;

	login_start(&login, "sshd", "guest");
	CHECK_INT(login_open(&login, 0), PAM_SUCCESS);
	login_end(&login);
	CHECK_TEXT(ended(), "EOF");
	CHECK_TEXT(log_lines(), "");
}

static void death_of_the_application_ends_the_session(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		struct login login;

		login_start(&login, "sshd", "guest");
		CHECK_INT(login_open(&login, 0), PAM_SUCCESS);
		(void)raise(SIGKILL);
	}
	CHECK_INT(waitpid(pid, NULL, 0), pid);
	CHECK_TEXT(ended(), "EOF");
}

/* sshd's child of the user and systemd's (sd-pam) end their copies of the handle. */
static void end_of_a_forked_handle_keeps_the_session(void)
{
	struct login login;
	int status = -1;
	char word[8];
	pid_t pid;

	login_start(&login, "sshd", "guest");
	CHECK_INT(login_open(&login, 0), PAM_SUCCESS);
	pid = fork();
	if (pid == 0)
		_exit(pam_end(login.pamh, PAM_SUCCESS | PAM_DATA_SILENT));
	CHECK_INT(waitpid(pid, &status, 0), pid);
	CHECK_INT(status, 0);
	(void)usleep(100 * 1000);
	scene_read(ENDED, word, sizeof(word));
	CHECK_TEXT(word, "");
	CHECK_INT(login_close(&login), PAM_SUCCESS);
	CHECK_TEXT(ended(), "CLOSE");
	login_end(&login);
}

/* systemd's (sd-pam) closes what its parent opened. */
static void forked_process_can_close(void)
{
	struct login login;
	int status = -1;
	pid_t pid;

	login_start(&login, "sshd", "guest");
	CHECK_INT(login_open(&login, 0), PAM_SUCCESS);
	pid = fork();
	if (pid == 0)
		_exit(pam_close_session(login.pamh, 0));
	CHECK_INT(waitpid(pid, &status, 0), pid);
	CHECK_INT(status, 0);
	CHECK_TEXT(ended(), "CLOSE");
	CHECK_INT(login_close(&login), PAM_SUCCESS);
	CHECK_TEXT(log_lines(), "");
	login_end(&login);
}

#define CASE(function)                                                                             \
	{                                                                                          \
#function, function                                                                \
	}

const struct test_case start_cases[] = {
	CASE(ready_supervisor_opens_a_session),
	CASE(debug_tells_of_open_and_close),
	CASE(default_configuration_path_is_the_built_in_one),
	CASE(missing_supervisor_is_denied),
	CASE(supervisor_that_others_can_write_is_denied),
	CASE(supervisor_that_cannot_be_executed_is_denied),
	CASE(failure_of_the_supervisor_is_logged_with_its_words),
	CASE(failure_without_errno_is_a_failure),
	CASE(user_is_told_of_the_limit_of_sessions),
	CASE(end_of_the_supervisor_is_denied),
	CASE(hanging_supervisor_meets_the_deadline),
	CASE(garbage_is_denied),
	CASE(wrong_descriptors_are_denied),
	CASE(close_after_the_supervisor_died_succeeds),
	CASE(deaf_supervisor_is_given_five_seconds_to_close),
	CASE(wrong_answer_to_close_is_logged),
	CASE(end_of_the_handle_ends_the_session),
	CASE(death_of_the_application_ends_the_session),
	CASE(end_of_a_forked_handle_keeps_the_session),
	CASE(forked_process_can_close),
	{NULL, NULL},
};
