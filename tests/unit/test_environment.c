/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The tenant's variables: the identity is the spec's, and nothing passes that nobody named. */
#include "ispawn/base/fd.h"
#include "ispawn/session/environment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define FACTS 5 /* HOME, USER, LOGNAME, SHELL, ISPAWN_SESSION */

static char home[] = "/home/guest", editor[] = "EDITOR", pager[] = "PAGER";

static const struct isp_spec guest = {
	.session = "guest.0123abcd",
	.user = "guest",
	.home_path = home,
	.environment = {editor, pager},
	.environment_count = 2,
};

/* Builds what a tenant gets that asks for @entries (NULL-terminated). */
static char **build(const struct isp_spec *spec, const char *const *entries, const char *tty)
{
	char *asked[ISP_REQUEST_ENVIRONMENT_MAX + 1];
	struct isp_request request = {.environment = asked};
	char **environment = NULL;

	while (entries[request.environment_count]) {
		size_t i = request.environment_count++;

		asked[i] = (char *)(uintptr_t)entries[i];
	}
	assert_int_equal(isp_environment_build(spec, &request, "/bin/zsh", tty, &environment), 0);
	assert_non_null(environment);
	return environment;
}

static void expect(char *const *environment, const char *const *expected)
{
	size_t i = 0;

	for (; environment[i] && expected[i]; i++)
		assert_string_equal(environment[i], expected[i]);
	assert_null(environment[i]);
	assert_null(expected[i]);
}

static void the_identity_is_the_specs_whatever_is_asked(void **state)
{
	static const char *const asked[] = {"HOME=/root",   "USER=root",
					    "LOGNAME=root", "SHELL=/bin/evil",
					    "PATH=/tmp",    "ISPAWN_SESSION=root.00000000",
					    "LANG=C",       NULL};
	static const char *const expected[] = {"HOME=/home/guest",
					       "USER=guest",
					       "LOGNAME=guest",
					       "SHELL=/bin/zsh",
					       "ISPAWN_SESSION=guest.0123abcd",
					       "LANG=C",
					       "PATH=/usr/local/bin:/usr/bin:/bin",
					       NULL};
	cleanup_free char **environment = build(&guest, asked, NULL);

	(void)state;
	expect(environment, expected);
}

static void root_of_the_container_is_root_there(void **state)
{
	static const char *const asked[] = {NULL};
	static const char *const expected[] = {
		"HOME=/root",
		"USER=root",
		"LOGNAME=root",
		"SHELL=/bin/zsh",
		"ISPAWN_SESSION=guest.0123abcd",
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		NULL};
	struct isp_spec spec = guest;
	cleanup_free char **environment = NULL;

	(void)state;
	spec.privilege = ISP_PRIVILEGE_ROOT;
	environment = build(&spec, asked, NULL);
	expect(environment, expected);
}

/* Pitfall 6: AcceptEnv, PermitUserEnvironment, su without a dash. */
static void variables_that_steer_programs_do_not_pass(void **state)
{
	static const char *const names[] = {
		"LD_PRELOAD",
		"LD_LIBRARY_PATH",
		"LD_AUDIT",
		"BASH_ENV",
		"ENV",
		"SHELLOPTS",
		"IFS",
		"PS4",
		"PROMPT_COMMAND",
		"PYTHONPATH",
		"PERL5OPT",
		"GCONV_PATH",
		"LOCPATH",
		"MALLOC_TRACE",
		"GLIBC_TUNABLES",
		"HOSTALIASES",
		"ISPAWN_SESSION",
		"HOME",
		"PATH",
		"USER",
		"SHELL",
		"SSH_AUTH_SOCK",
		"DBUS_SESSION_BUS_ADDRESS",
		"XDG_RUNTIME_DIR",
		"MAIL",
		"SSH_TTY",
		"lang",
		"LAN",
		"LANGX",
		"TERMX",
		"LC",
		"LC_",
		"TER",
		"BASH_FUNC_ls%%",
		"EDITORS",
		"EDITO",
		"",
	};

	(void)state;
	for (size_t i = 0; i < ISP_ARRAY_SIZE(names); i++) {
		char entry[64];
		bool is_expected = strcmp(names[i], "LC_") == 0; /* LC_*: any ending, none too */

		(void)snprintf(entry, sizeof(entry), "%s=x", names[i]);
		if (isp_environment_is_allowed(entry, &guest) != is_expected ||
		    isp_environment_is_allowed(names[i], &guest) != is_expected)
			fail_msg("%s", names[i]);
	}
}

static void everyday_variables_and_the_administrators_pass(void **state)
{
	static const char *const asked[] = {"TERM=xterm",
					    "COLORTERM=truecolor",
					    "NO_COLOR=1",
					    "LANG=de_DE.UTF-8",
					    "LANGUAGE=de:en",
					    "LC_ALL=C",
					    "LC_TIME=C",
					    "TZ=UTC",
					    "DISPLAY=localhost:10.0",
					    "SSH_CONNECTION=a 1 b 2",
					    "SSH_CLIENT=a 1 2",
					    "SSH_ORIGINAL_COMMAND=x",
					    "GIT_PROTOCOL=version=2",
					    "EDITOR=",
					    "PAGER=less",
					    NULL};
	cleanup_free char **environment = build(&guest, asked, NULL);

	(void)state;
	for (size_t i = 0; asked[i]; i++)
		assert_string_equal(environment[FACTS + i], asked[i]);
}

static void the_first_of_a_name_is_taken(void **state)
{
	static const char *const asked[] = {"LANG=C",     "LANG=de", "LC_ALL=C",
					    "LANGUAGE=x", "LANG=",   NULL};
	static const char *const expected[] = {"HOME=/home/guest",
					       "USER=guest",
					       "LOGNAME=guest",
					       "SHELL=/bin/zsh",
					       "ISPAWN_SESSION=guest.0123abcd",
					       "LANG=C",
					       "LC_ALL=C",
					       "LANGUAGE=x",
					       "PATH=/usr/local/bin:/usr/bin:/bin",
					       NULL};
	cleanup_free char **environment = build(&guest, asked, NULL);

	(void)state;
	expect(environment, expected);
}

/* Pitfall 47: the host's tty does not exist inside. */
static void the_tty_is_named_as_it_is_called_inside(void **state)
{
	static const char *const with[] = {"SSH_TTY=/dev/pts/77", "TERM=xterm", NULL};
	static const char *const without[] = {"TERM=xterm", NULL};
	static const char *const renamed[] = {"HOME=/home/guest",
					      "USER=guest",
					      "LOGNAME=guest",
					      "SHELL=/bin/zsh",
					      "ISPAWN_SESSION=guest.0123abcd",
					      "SSH_TTY=/dev/pts/0",
					      "TERM=xterm",
					      "PATH=/usr/local/bin:/usr/bin:/bin",
					      NULL};
	cleanup_free char **over_ssh = build(&guest, with, "/dev/pts/0");
	cleanup_free char **without_tty = build(&guest, with, NULL);
	cleanup_free char **on_console = build(&guest, without, "/dev/pts/0");

	(void)state;
	expect(over_ssh, renamed);
	for (size_t i = 0; without_tty[i]; i++)
		assert_null(strstr(without_tty[i], "SSH_TTY"));
	for (size_t i = 0; on_console[i]; i++)
		assert_null(strstr(on_console[i], "SSH_TTY"));
}

static void the_largest_request_fits_with_all_facts(void **state)
{
	static char texts[ISP_REQUEST_ENVIRONMENT_MAX][16];
	const char *asked[ISP_REQUEST_ENVIRONMENT_MAX + 1];
	cleanup_free char **environment = NULL;
	size_t count = 0;

	(void)state;
	for (size_t i = 0; i < ISP_REQUEST_ENVIRONMENT_MAX; i++) {
		(void)snprintf(texts[i], sizeof(texts[i]), "LC_%zu=x", i);
		asked[i] = texts[i];
	}
	asked[0] = "SSH_TTY=/dev/pts/9";
	asked[ISP_REQUEST_ENVIRONMENT_MAX] = NULL;
	environment = build(&guest, asked, "/dev/pts/0");
	while (environment[count])
		count++;
	assert_int_equal(count, FACTS + 1 + (ISP_REQUEST_ENVIRONMENT_MAX - 1) + 1);
	assert_string_equal(environment[count - 2], "LC_511=x");
	assert_int_equal(strncmp(environment[count - 1], "PATH=", 5), 0);
}

static void an_entry_is_a_c_name_and_a_value(void **state)
{
	static const char *const refused[] = {"",      "=",          "=x",    "A",
					      "1A=x",  "A-B=x",      "A B=x", " A=x",
					      "A\n=x", "\xc3\xa4=x", "A.B=x", "BASH_FUNC_f%%=() {"};
	static const char *const fine[] = {"A=",  "a=b",      "_=x",      "A1=x",
					   "A==", "A=\n\033", "_A_=b c=d"};
	cleanup_free char *large = malloc(ISP_ENVIRONMENT_ENTRY_MAX + 1);

	(void)state;
	for (size_t i = 0; i < ISP_ARRAY_SIZE(refused); i++)
		if (isp_environment_is_sane(refused[i]))
			fail_msg("taken: %s", refused[i]);
	for (size_t i = 0; i < ISP_ARRAY_SIZE(fine); i++)
		if (!isp_environment_is_sane(fine[i]))
			fail_msg("refused: %s", fine[i]);
	assert_non_null(large);
	memset(large, 'x', ISP_ENVIRONMENT_ENTRY_MAX);
	large[1] = '=';
	large[ISP_ENVIRONMENT_ENTRY_MAX] = '\0';
	assert_false(isp_environment_is_sane(large));
	large[ISP_ENVIRONMENT_ENTRY_MAX - 1] = '\0';
	assert_true(isp_environment_is_sane(large));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_identity_is_the_specs_whatever_is_asked),
		cmocka_unit_test(root_of_the_container_is_root_there),
		cmocka_unit_test(variables_that_steer_programs_do_not_pass),
		cmocka_unit_test(everyday_variables_and_the_administrators_pass),
		cmocka_unit_test(the_first_of_a_name_is_taken),
		cmocka_unit_test(the_tty_is_named_as_it_is_called_inside),
		cmocka_unit_test(the_largest_request_fits_with_all_facts),
		cmocka_unit_test(an_entry_is_a_c_name_and_a_value),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
