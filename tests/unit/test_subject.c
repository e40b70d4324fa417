/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Who is logging in, as far as a machine's own accounts can tell without root. */
#include "ispawn/base/fd.h"
#include "ispawn/policy/subject.h"

#include <grp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void root_is_found_and_exempt(void **state)
{
	cleanup_subject struct isp_subject s = {.uid = 1};
	struct isp_error err = {0};

	(void)state;
	assert_int_equal(isp_subject_resolve("root", "sshd", NULL, "192.0.2.7", &s, &err), 0);
	assert_int_equal(err.code, 0);
	assert_string_equal(s.user, "root");
	assert_int_equal(s.uid, 0);
	assert_int_equal(s.gid, 0);
	assert_string_equal(s.group, "root");
	assert_string_equal(s.service, "sshd");
	assert_string_equal(s.tty, "");
	assert_string_equal(s.rhost, "192.0.2.7");
	assert_true(s.home[0] == '/');
	assert_true(isp_subject_is_exempt(&s));
}

static void an_ordinary_account_is_not_exempt(void **state)
{
	cleanup_subject struct isp_subject s = {.uid = 0};
	struct isp_error err = {0};
	struct group *group;

	(void)state;
	assert_int_equal(isp_subject_resolve("daemon", "login", "tty1", "", &s, &err), 0);
	assert_int_not_equal(s.uid, 0);
	assert_string_equal(s.tty, "tty1");
	group = getgrgid(s.gid);
	assert_non_null(group);
	assert_string_equal(s.group, group->gr_name);
	assert_false(isp_subject_is_exempt(&s));
	for (size_t i = 0; i < s.group_count; i++)
		assert_int_not_equal(s.groups[i].gid, s.gid);
}

static void an_unknown_user_is_refused_by_name(void **state)
{
	struct isp_subject s = {.uid = 0};
	struct isp_error err = {0};

	(void)state;
	assert_int_equal(isp_subject_resolve("no-such-user-x7", "sshd", "", "", &s, &err), -ENOENT);
	assert_int_equal(err.stage, ISP_STAGE_SUBJECT);
	assert_non_null(strstr(err.text, "no-such-user-x7"));
	assert_null(s.home);
	assert_null(s.service);
}

static void names_of_any_bytes_are_looked_up_and_shown_escaped(void **state)
{
	static const char *const names[] = {"",   "../root", "a/b",  "-x",
					    ".x", "a b",     "a\nb", "\033[2J"};

	(void)state;
	for (size_t i = 0; i < ISP_ARRAY_SIZE(names); i++) {
		struct isp_subject s = {.uid = 0};
		struct isp_error err = {0};

		assert_int_equal(isp_subject_resolve(names[i], "sshd", "", "", &s, &err), -ENOENT);
		assert_null(strchr(err.text, '\033'));
	}
}

static void the_break_glass_group_is_exempt_however_it_is_held(void **state)
{
	char exempt[] = ISPAWN_EXEMPT_GROUP;
	char longer[] = ISPAWN_EXEMPT_GROUP "s";
	char users[] = "users";
	struct isp_group groups[] = {{.gid = 100, .name = users}, {.gid = 7, .name = exempt}};
	struct isp_subject s = {.uid = 1000, .gid = 1000, .group = users};

	(void)state;
	assert_false(isp_subject_is_exempt(&s));
	s.group = exempt;
	assert_true(isp_subject_is_exempt(&s));
	s.group = longer;
	assert_false(isp_subject_is_exempt(&s));
	s.groups = groups;
	s.group_count = 1;
	assert_false(isp_subject_is_exempt(&s));
	s.group_count = 2;
	assert_true(isp_subject_is_exempt(&s));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(root_is_found_and_exempt),
		cmocka_unit_test(an_ordinary_account_is_not_exempt),
		cmocka_unit_test(an_unknown_user_is_refused_by_name),
		cmocka_unit_test(names_of_any_bytes_are_looked_up_and_shown_escaped),
		cmocka_unit_test(the_break_glass_group_is_exempt_however_it_is_held),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
