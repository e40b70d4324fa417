/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What may stand where inside: asked when the configuration is read, and again by the supervisor.
 */
#include "ispawn/base/fd.h"
#include "ispawn/policy/spec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

typedef bool check(const char *text);

/* Both lists end with NULL. */
static void expect(check *is_valid, const char *const *fine, const char *const *refused)
{
	for (; *fine; fine++)
		if (!is_valid(*fine))
			fail_msg("refused: %s", *fine);
	for (; *refused; refused++)
		if (is_valid(*refused))
			fail_msg("taken: %s", *refused);
}

static void texts_for_the_log_hold_no_control_byte(void **state)
{
	static const char *const fine[] = {"", "ssh", "a:b,c", "G\xc3\xbcnter", "\x80\xff", NULL};
	static const char *const refused[] = {"\n", "a\tb", "\033[2J", "x\x7f", "\x01", NULL};
	char text[ISP_SPEC_TEXT_MAX + 2];

	(void)state;
	expect(isp_spec_text_is_printable, fine, refused);
	memset(text, 'x', sizeof(text));
	text[ISP_SPEC_TEXT_MAX + 1] = '\0';
	assert_false(isp_spec_text_is_printable(text));
	text[ISP_SPEC_TEXT_MAX] = '\0';
	assert_true(isp_spec_text_is_printable(text));
}

static void a_line_of_passwd_or_group_is_not_broken(void **state)
{
	static const char *const gecos[] = {"", "Guest,Room 1", NULL};
	static const char *const not_gecos[] = {"a:b", ":", "a\nroot::0:0:::", NULL};
	static const char *const group[] = {"users", "domain users", "1000", NULL};
	static const char *const not_group[] = {"", "a,b", "a:b", "a\n", ",", NULL};

	(void)state;
	expect(isp_spec_passwd_text_is_valid, gecos, not_gecos);
	expect(isp_spec_group_name_is_valid, group, not_group);
}

static void a_shell_is_a_path_or_none(void **state)
{
	static const char *const fine[] = {"", "/bin/sh", "/a b", NULL};
	static const char *const refused[] = {"/",        "sh",        "/bin/", "/bin/../sh",
					      "/bin/a:b", "/bin/sh\n", " ",     NULL};

	(void)state;
	expect(isp_spec_shell_is_valid, fine, refused);
}

static void a_hostname_is_one_label(void **state)
{
	static const char *const fine[] = {
		"a",
		"0",
		"guest-lab1",
		"a--b",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		NULL};
	static const char *const refused[] = {
		"",
		"-",
		"-a",
		"a-",
		"A",
		"a.b",
		"a_b",
		"a b",
		"\xc3\xa4",
		"a\n",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		NULL};

	(void)state;
	expect(isp_spec_hostname_is_valid, fine, refused);
}

static void resolvers_are_numbers(void **state)
{
	static const char *const fine[] = {
		"192.0.2.1", "0.0.0.0", "::", "2001:db8::1", "::ffff:192.0.2.1", NULL};
	static const char *const refused[] = {
		"",           "localhost", "192.0.2",      "192.0.2.256",
		"192.0.2.1 ", " ::1",      "fe80::1%eth0", "192.0.2.1:53",
		"[::1]",      "0x7f.1",    "192.0.2.1\n",  NULL};

	(void)state;
	expect(isp_spec_address_is_valid, fine, refused);
}

static void homes_that_hide_the_system_are_refused(void **state)
{
	static const char *const refused[] = {
		"/",        "/proc",  "/proc/1", "/sys",     "/dev/shm", "/run",
		"/tmp",     "/etc",   "/usr",    "/bin",     "/sbin",    "/usr/games",
		"/etc/x",   "/var",   "/home",   "home/x",   "",         "/home/a/../b",
		"/home//a", "/lib64", "/boot",   "/var/lib",
	};
	static const char *const fine[] = {
		"/home/a",   "/root",  "/var/lib/x", "/nonexistent",   "/export/home/a",
		"/etcetera", "/tmp/x", "/procure",   "/home/DOM\\bob",
	};

	(void)state;
	for (size_t i = 0; i < ISP_ARRAY_SIZE(refused); i++)
		if (isp_spec_home_is_usable(refused[i]))
			fail_msg("taken: %s", refused[i]);
	for (size_t i = 0; i < ISP_ARRAY_SIZE(fine); i++)
		if (!isp_spec_home_is_usable(fine[i]))
			fail_msg("refused: %s", fine[i]);
}

static void binds_of_and_onto_system_directories_are_refused(void **state)
{
	static const struct {
		const char *source, *target;
		bool is_allowed;
	} cases[] = {
		{"/srv", "/srv", true},
		{"/srv", "/", false},
		{"/srv", "/proc", false},
		{"/srv", "/proc/self", false},
		{"/srv", "/sys/fs/cgroup", false},
		{"/srv", "/dev", false},
		{"/srv", "/dev/shm", false},
		{"/srv", "/run", false},
		{"/srv", "/tmp", false},
		{"/srv", "/run/x", true},
		{"/srv", "/tmp/x", true},
		{"/srv", "/devices", true},
		{"/", "/host", false},
		{"/proc", "/p", false},
		{"/dev/sda", "/disk", false},
		{"/run", "/hostrun", false},
		{"/var/run", "/hostrun", false},
		{"/run/postgres", "/pg", false},
		{"/run/ispawn/sessions", "/s", false},
		{"/var/lib/ispawn", "/s", false},
		{"/var/lib/ispawn2", "/s", true},
		{"srv", "/srv", false},
		{"/srv", "srv", false},
		{"/srv/..", "/srv", false},
		{"/srv", "/a/", false},
		{"/s:rv", "/srv", false},
		{"/etc/ispawn", "/s", false},
	};

	(void)state;
	for (size_t i = 0; i < ISP_ARRAY_SIZE(cases); i++) {
		const char *why = NULL;
		bool got = isp_spec_bind_is_allowed(cases[i].source, cases[i].target, &why);

		if (got != cases[i].is_allowed)
			fail_msg("%s on %s: %d", cases[i].source, cases[i].target, got);
		assert_true(got == !why);
	}
}

static void variables_that_load_code_are_never_let_through(void **state)
{
	static const char *const refused[] = {
		"LD_PRELOAD",
		"LD_X",
		"BASH_ENV",
		"ENV",
		"PATH",
		"HOME",
		"USER",
		"SHELL",
		"IFS",
		"ISPAWN_SESSION",
		"GCONV_PATH",
		"1A",
		"",
		"A B",
		"A=B",
		"A-B",
		"LOGNAME",
		"PS4",
		"PROMPT_COMMAND",
		"BASHOPTS",
		"HOSTALIASES",
		"RES_OPTIONS",
		"LOCALDOMAIN",
		"PYTHONSTARTUP",
		"RUBYLIB",
		"SSH_TTY",
	};
	static const char *const fine[] = {"EDITOR", "_x", "GIT_AUTHOR_NAME", "A1", "LDAP", "ENVY"};

	(void)state;
	for (size_t i = 0; i < ISP_ARRAY_SIZE(refused); i++)
		if (isp_spec_variable_is_allowed(refused[i]))
			fail_msg("taken: %s", refused[i]);
	for (size_t i = 0; i < ISP_ARRAY_SIZE(fine); i++)
		if (!isp_spec_variable_is_allowed(fine[i]))
			fail_msg("refused: %s", fine[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts_for_the_log_hold_no_control_byte),
		cmocka_unit_test(a_line_of_passwd_or_group_is_not_broken),
		cmocka_unit_test(a_shell_is_a_path_or_none),
		cmocka_unit_test(a_hostname_is_one_label),
		cmocka_unit_test(resolvers_are_numbers),
		cmocka_unit_test(homes_that_hide_the_system_are_refused),
		cmocka_unit_test(binds_of_and_onto_system_directories_are_refused),
		cmocka_unit_test(variables_that_load_code_are_never_let_through),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
