/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A container's processors: as many as its quota fills, the least taken first. */
#include "ispawn/container/cpus.h"

#include "ispawn/base/fd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static cpu_set_t set(const char *digits)
{
	cpu_set_t ret;

	CPU_ZERO(&ret);
	for (; *digits; digits++)
		CPU_SET((size_t)(*digits - '0'), &ret);
	return ret;
}

static void a_quota_is_worth_its_hundreds_rounded_up(void **state)
{
	(void)state;
	assert_int_equal(isp_cpus_wanted(1, 4), 1);
	assert_int_equal(isp_cpus_wanted(100, 4), 1);
	assert_int_equal(isp_cpus_wanted(101, 4), 2);
	assert_int_equal(isp_cpus_wanted(400, 4), 4);
	assert_int_equal(isp_cpus_wanted(401, 4), 4);
	assert_int_equal(isp_cpus_wanted(0, 4), 4);
	assert_int_equal(isp_cpus_wanted(UINT64_MAX, 4), 4);
}

static void expect(const char *allowed, const struct isp_cpus_taken *taken, size_t first,
		   size_t wanted, const char *expected)
{
	cpu_set_t all = set(allowed), chosen, right = set(expected);

	isp_cpus_choose(&all, taken, first, wanted, &chosen);
	assert_true(CPU_EQUAL(&chosen, &right));
}

static void the_least_taken_come_first(void **state)
{
	const struct isp_cpus_taken taken = {.count = {2, 1, 3, 1}};

	(void)state;
	expect("0123", &taken, 0, 1, "1");
	expect("0123", &taken, 0, 2, "13");
	expect("0123", &taken, 0, 3, "013");
	expect("0123", &taken, 0, 4, "0123");
}

static void among_equals_it_begins_where_it_is_told(void **state)
{
	const struct isp_cpus_taken taken = {.count = {0}};

	(void)state;
	expect("0123", &taken, 2, 1, "2");
	expect("0123", &taken, 3, 2, "30");
	expect("0123", &taken, 1000, 1, "0");
}

static void only_allowed_ones_are_taken(void **state)
{
	const struct isp_cpus_taken taken = {.count = {0, 5, 0, 6}};

	(void)state;
	expect("13", &taken, 0, 1, "1");
	expect("13", &taken, 2, 2, "13");
}

static void sessions_under_one_quota_share(void **state)
{
	struct isp_cpus_taken taken = {.count = {0, 0, 9, 0}, .own = set("2")};

	(void)state;
	expect("0123", &taken, 0, 1, "2");
	expect("0123", &taken, 0, 2, "01"); /* the quota was changed */
	expect("013", &taken, 0, 1, "0");   /* not allowed any more */
}

static void the_list_is_written_as_the_kernel_does(void **state)
{
	const cpu_set_t some = set("01267"), one = set("3");
	char text[16], tiny[2];

	(void)state;
	assert_int_equal(isp_cpus_list(&some, text, sizeof(text)), 0);
	assert_string_equal(text, "0-2,6-7\n");
	assert_int_equal(isp_cpus_list(&one, text, sizeof(text)), 0);
	assert_string_equal(text, "3\n");
	assert_int_equal(isp_cpus_list(&some, tiny, sizeof(tiny)), -EMSGSIZE);
}

static void narrowing_leaves_one(void **state)
{
	const struct isp_cpus_taken taken = {.count = {0}};
	cpu_set_t mine, chosen, both;
	bool is_many;

	(void)state;
	CPU_ZERO(&chosen);
	assert_int_equal(sched_getaffinity(0, sizeof(mine), &mine), 0);
	is_many = CPU_COUNT(&mine) > 1;
	assert_false(isp_cpus_narrow(0, &taken, &chosen));
	assert_int_equal(isp_cpus_narrow(100, &taken, &chosen), is_many);
	assert_int_equal(CPU_COUNT(&chosen), is_many ? 1 : 0);
	CPU_AND(&both, &mine, &chosen);
	assert_true(CPU_EQUAL(&both, &chosen));
}

static void what_may_run_everywhere_takes_nothing(void **state)
{
	struct isp_cpus_taken taken = {.count = {0}};

	(void)state;
	isp_cpus_note(getpid(), true, &taken);
	isp_cpus_note(-1, true, &taken);
	assert_int_equal(CPU_COUNT(&taken.own), 0);
	for (size_t i = 0; i < CPU_SETSIZE; i++)
		assert_int_equal(taken.count[i], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_quota_is_worth_its_hundreds_rounded_up),
		cmocka_unit_test(the_least_taken_come_first),
		cmocka_unit_test(among_equals_it_begins_where_it_is_told),
		cmocka_unit_test(only_allowed_ones_are_taken),
		cmocka_unit_test(sessions_under_one_quota_share),
		cmocka_unit_test(the_list_is_written_as_the_kernel_does),
		cmocka_unit_test(narrowing_leaves_one),
		cmocka_unit_test(what_may_run_everywhere_takes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
