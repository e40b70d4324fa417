/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cases_decide.c - who is let through, who is confined, who is denied, before anything is built */
#include "login.h"

#include <string.h>

/* A login that must be refused, with the reason in one line, and leave no trace. */
static void expect_denied(const char *service, const char *user, int code, const char *log_start,
			  const char *said)
{
	struct login login;
	const char *before;

	login_start(&login, service, user);
	before = state();
	CHECK_INT(login_open(&login, 0), code);
	CHECK_START(log_lines(), log_start);
	CHECK_TEXT(login.said, said);
	CHECK_TEXT(state(), before);
	CHECK_TEXT(login_session(&login), "");
	CHECK_INT(login_close(&login), CLOSE_AFTER_DENIAL);
	CHECK_TEXT(log_lines(), "");
	login_end(&login);
}

/* A login that the module has nothing to do with. */
static void expect_ignored(const char *service, const char *user)
{
	struct login login;
	const char *before;

	login_start(&login, service, user);
	before = state();
	CHECK_INT(login_open(&login, 0), PAM_IGNORE);
	CHECK_TEXT(log_lines(), "");
	CHECK_TEXT(login.said, "");
	CHECK_TEXT(state(), before);
	CHECK_TEXT(login_session(&login), "");
	CHECK_INT(login_close(&login), PAM_IGNORE);
	CHECK_TEXT(log_lines(), "");
	login_end(&login);
}

#define UNREADABLE                                                                                 \
	"Login denied: the rules for this account could not be read. The system log has the "      \
	"reason.\n"

static void break_everything(void)
{
	scene_write(CONFIG, "this is no configuration\n");
	(void)unlink(SCENE "libexec/ispawn-supervisor");
	write_service("sshd", "conf=relative nonsense conf=/x");
}

static void root_is_ignored(void)
{
	expect_ignored("sshd", "root");
	break_everything();
	expect_ignored("sshd", "root");
}

static void other_name_of_root_is_ignored(void)
{
	break_everything();
	expect_ignored("sshd", "toor");
}

static void exempt_group_is_ignored(void)
{
	expect_ignored("sshd", "rescuer");
	break_everything();
	expect_ignored("sshd", "rescuer");
}

static void unconfined_user_is_ignored(void)
{
	expect_ignored("sshd", "free");
	expect_ignored("cron", "free");
}

static void debug_says_that_a_user_is_not_confined(void)
{
	struct login login;

	write_service("sshd", "debug conf=" CONFIG);
	login_start(&login, "sshd", "free");
	CHECK_INT(login_open(&login, 0), PAM_IGNORE);
	CHECK_TEXT(log_lines(), "<7>session=- user=\"free\" not confined\n");
	login_end(&login);
}

static void other_service_is_denied(void)
{
	expect_denied("cron", "guest", PAM_PERM_DENIED,
		      "<5>session=- user=\"guest\" stage=policy: ",
		      "Login denied: this account may not use this service. The system log has the "
		      "reason.\n");
}

static void silent_application_is_told_nothing(void)
{
	struct login login;

	login_start(&login, "cron", "guest");
	CHECK_INT(login_open(&login, (int)PAM_SILENT), PAM_PERM_DENIED);
	CHECK_START(log_lines(), "<5>session=- user=\"guest\" stage=policy: ");
	CHECK_TEXT(login.said, "");
	login_end(&login);
}

static void unknown_user_is_denied(void)
{
	expect_denied("sshd", "nobody-here", PAM_SESSION_ERR,
		      "<3>session=- user=\"nobody-here\" stage=subject: ", UNREADABLE);
}

static void hostile_name_is_escaped(void)
{
	expect_denied("sshd", "a\033[2J\"\nb", PAM_SESSION_ERR,
		      "<3>session=- user=\"a\\x1b[2J\\\"\\x0ab\" stage=subject: ", UNREADABLE);
}

static void missing_configuration_is_denied(void)
{
	(void)unlink(CONFIG);
	expect_denied("sshd", "guest", PAM_SESSION_ERR,
		      "<3>session=- user=\"guest\" stage=config: ", UNREADABLE);
	expect_denied("login", "guest", PAM_SESSION_ERR,
		      "<3>session=- user=\"guest\" stage=config: ", UNREADABLE);
}

static void broken_configuration_is_denied(void)
{
	scene_write(CONFIG, "[defaults]\nnetwrk = none\n");
	expect_denied("sshd", "guest", PAM_SESSION_ERR,
		      "<3>session=- user=\"guest\" stage=config: ", UNREADABLE);
	expect_denied("sshd", "free", PAM_SESSION_ERR,
		      "<3>session=- user=\"free\" stage=config: ", UNREADABLE);
}

static void configuration_that_others_can_write_is_denied(void)
{
	CHECK(chmod(CONFIG, 0664) == 0);
	expect_denied("sshd", "guest", PAM_SESSION_ERR,
		      "<3>session=- user=\"guest\" stage=config: ", UNREADABLE);
}

static void fifo_as_configuration_does_not_block(void)
{
	(void)unlink(CONFIG);
	CHECK(mkfifo(CONFIG, 0600) == 0);
	expect_denied("sshd", "guest", PAM_SESSION_ERR,
		      "<3>session=- user=\"guest\" stage=config: ", UNREADABLE);
}

static void unknown_option_is_denied(void)
{
	write_service("sshd", "conf=" CONFIG " quiet\033");
	expect_denied("sshd", "free", PAM_SESSION_ERR,
		      "<3>session=- user=\"free\" stage=config: option \"quiet\\x1b\" of "
		      "pam_ispawn.so: unknown (there are conf=PATH and debug): Invalid argument\n",
		      UNREADABLE);
}

static void repeated_option_is_denied(void)
{
	write_service("sshd", "debug debug");
	expect_denied("sshd", "free", PAM_SESSION_ERR,
		      "<3>session=- user=\"free\" stage=config: option \"debug\" of pam_ispawn.so: "
		      "given twice: Invalid argument\n",
		      UNREADABLE);
	write_service("sshd", "conf=" CONFIG " conf=" CONFIG);
	expect_denied("sshd", "free", PAM_SESSION_ERR,
		      "<3>session=- user=\"free\" stage=config: option \"conf=" CONFIG
		      "\" of pam_ispawn.so: given twice: Invalid argument\n",
		      UNREADABLE);
}

static void unclean_path_is_denied(void)
{
	write_service("sshd", "conf=/run/../etc/x");
	expect_denied("sshd", "free", PAM_SESSION_ERR,
		      "<3>session=- user=\"free\" stage=config: option \"conf=/run/../etc/x\" of "
		      "pam_ispawn.so: not an absolute path without . and ..: Invalid argument\n",
		      UNREADABLE);
	write_service("sshd", "conf=");
	expect_denied("sshd", "free", PAM_SESSION_ERR,
		      "<3>session=- user=\"free\" stage=config: option \"conf=\" of pam_ispawn.so: "
		      "not an absolute path without . and ..: Invalid argument\n",
		      UNREADABLE);
}

static void other_facilities_are_ignored(void)
{
	struct login login;

	/* PAM_AUTHINFO_UNAVAIL is what comes after PAM_IGNORE, see login.h. */
	login_start(&login, "sshd", "guest");
	CHECK_INT(pam_authenticate(login.pamh, 0), PAM_AUTHINFO_UNAVAIL);
	CHECK_INT(pam_setcred(login.pamh, PAM_ESTABLISH_CRED), PAM_AUTHINFO_UNAVAIL);
	CHECK_INT(pam_acct_mgmt(login.pamh, 0), PAM_AUTHINFO_UNAVAIL);
	CHECK_INT(pam_chauthtok(login.pamh, 0), PAM_AUTHINFO_UNAVAIL);
	CHECK_TEXT(log_lines(), "");
	login_end(&login);
}

static void close_without_open_is_ignored(void)
{
	struct login login;

	login_start(&login, "sshd", "guest");
	CHECK_INT(login_close(&login), PAM_IGNORE);
	CHECK_TEXT(log_lines(), "");
	login_end(&login);
}

#define CASE(function)                                                                             \
	{                                                                                          \
#function, function                                                                \
	}

const struct test_case decide_cases[] = {
	CASE(root_is_ignored),
	CASE(other_name_of_root_is_ignored),
	CASE(exempt_group_is_ignored),
	CASE(unconfined_user_is_ignored),
	CASE(debug_says_that_a_user_is_not_confined),
	CASE(other_service_is_denied),
	CASE(silent_application_is_told_nothing),
	CASE(unknown_user_is_denied),
	CASE(hostile_name_is_escaped),
	CASE(missing_configuration_is_denied),
	CASE(broken_configuration_is_denied),
	CASE(configuration_that_others_can_write_is_denied),
	CASE(fifo_as_configuration_does_not_block),
	CASE(unknown_option_is_denied),
	CASE(repeated_option_is_denied),
	CASE(unclean_path_is_denied),
	CASE(other_facilities_are_ignored),
	CASE(close_without_open_is_ignored),
	{NULL, NULL},
};
