/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The strict readers: the whole string or nothing, and nothing is changed when it is nothing. */
#include "ispawn/base/fd.h"
#include "ispawn/base/parse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define UNTOUCHED UINT64_C(0x5a5a5a5a)

struct number {
	const char *text;
	int result;
	uint64_t value;
};

typedef int reader(const char *text, uint64_t min, uint64_t max, uint64_t *ret_value);

static void read_each(reader *read_one, uint64_t min, uint64_t max, const struct number *cases,
		      size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t value = UNTOUCHED;
		int r = read_one(cases[i].text, min, max, &value);

		if (r != cases[i].result || value != (r < 0 ? UNTOUCHED : cases[i].value))
			fail_msg("\"%s\": %d, %llu", cases[i].text, r, (unsigned long long)value);
	}
}

static void numbers_are_digits_and_nothing_else(void **state)
{
	static const struct number cases[] = {
		{"0", 0, 0},
		{"1", 0, 1},
		{"18446744073709551615", 0, UINT64_MAX},
		{"18446744073709551616", -ERANGE, 0},
		{"99999999999999999999999", -ERANGE, 0},
		{"", -EINVAL, 0},
		{" 1", -EINVAL, 0},
		{"1 ", -EINVAL, 0},
		{"+1", -EINVAL, 0},
		{"-1", -EINVAL, 0},
		{"0x10", -EINVAL, 0},
		{"1e3", -EINVAL, 0},
		{"1.0", -EINVAL, 0},
		{"1\n", -EINVAL, 0},
		{"\xd9\xa1", -EINVAL, 0}, /* a digit, but of another script */
		{"one", -EINVAL, 0},
	};

	(void)state;
	read_each(isp_parse_u64, 0, UINT64_MAX, cases, ISP_ARRAY_SIZE(cases));
}

static void a_range_holds_both_its_ends(void **state)
{
	static const struct number cases[] = {
		{"7", -ERANGE, 0},
		{"8", 0, 8},
		{"9", 0, 9},
		{"10", -ERANGE, 0},
	};

	(void)state;
	read_each(isp_parse_u64, 8, 9, cases, ISP_ARRAY_SIZE(cases));
	read_each(isp_parse_size, 8, 9, cases, ISP_ARRAY_SIZE(cases));
	read_each(isp_parse_duration, 8, 9, cases, ISP_ARRAY_SIZE(cases));
}

static void yes_and_no_are_the_only_two_answers(void **state)
{
	static const char *const refused[] = {"",     "y",    "Yes",  "YES", "true", "1",   "on",
					      " yes", "yes ", "yess", "n",   "nO",   "not", "none"};
	bool value = false;

	(void)state;
	assert_int_equal(isp_parse_bool("yes", &value), 0);
	assert_true(value);
	for (size_t i = 0; i < ISP_ARRAY_SIZE(refused); i++) {
		assert_int_equal(isp_parse_bool(refused[i], &value), -EINVAL);
		assert_true(value);
	}
	assert_int_equal(isp_parse_bool("no", &value), 0);
	assert_false(value);
}

static void sizes_are_in_powers_of_1024(void **state)
{
	static const struct number cases[] = {
		{"0", 0, 0},
		{"1023", 0, 1023},
		{"1K", 0, 1024},
		{"3M", 0, UINT64_C(3) << 20},
		{"2G", 0, UINT64_C(2) << 30},
		{"4T", 0, UINT64_C(4) << 40},
		{"16777215T", 0, UINT64_C(16777215) << 40},
		{"16777216T", -ERANGE, 0},
		{"max", 0, UINT64_MAX},
		{"MAX", -EINVAL, 0},
		{"max ", -EINVAL, 0},
		{"1k", -EINVAL, 0},
		{"1KB", -EINVAL, 0},
		{"1KK", -EINVAL, 0},
		{"1 K", -EINVAL, 0},
		{"1P", -EINVAL, 0},
		{"K", -EINVAL, 0},
		{"1.5G", -EINVAL, 0},
		{"", -EINVAL, 0},
	};

	(void)state;
	read_each(isp_parse_size, 0, UINT64_MAX, cases, ISP_ARRAY_SIZE(cases));
}

static void max_is_a_size_only_where_it_is_in_range(void **state)
{
	uint64_t bytes = UNTOUCHED;

	(void)state;
	assert_int_equal(isp_parse_size("max", 0, UINT64_MAX - 1, &bytes), -ERANGE);
	assert_true(bytes == UNTOUCHED);
}

static void durations_are_in_seconds(void **state)
{
	static const struct number cases[] = {
		{"0", 0, 0},         {"90", 0, 90},
		{"90s", 0, 90},      {"5m", 0, 300},
		{"2h", 0, 7200},     {"3d", 0, 259200},
		{"1w", -EINVAL, 0},  {"1M", -EINVAL, 0},
		{"1ms", -EINVAL, 0}, {"1h30m", -EINVAL, 0},
		{"h", -EINVAL, 0},   {"max", -EINVAL, 0},
		{"", -EINVAL, 0},    {"213503982334602d", -ERANGE, 0},
	};

	(void)state;
	read_each(isp_parse_duration, 0, UINT64_MAX, cases, ISP_ARRAY_SIZE(cases));
}

static void percentages_carry_their_sign(void **state)
{
	static const struct number cases[] = {
		{"0%", 0, 0},       {"250%", 0, 250},     {"401%", -ERANGE, 0},
		{"50", -EINVAL, 0}, {"50 %", -EINVAL, 0}, {"50%%", -EINVAL, 0},
		{"%", -EINVAL, 0},  {"-1%", -EINVAL, 0},  {"0.5%", -EINVAL, 0},
	};

	(void)state;
	read_each(isp_parse_percent, 0, 400, cases, ISP_ARRAY_SIZE(cases));
}

static void names_that_could_leave_a_directory_are_not_safe(void **state)
{
	static const char *const refused[] = {
		"",    ".",   "..",  ".x",  "-x",   "-",        "a/b",      "/",
		"a b", "a\n", "a:b", "a,b", "a\"b", "a\033[2J", "\xc3\xa4", "a*",
		"a%s", "a~",  "a;b", "a#",  "a(b)", "a=b",
	};
	static const char *const fine[] = {"a",        "A.b-c_d", "u@ex.org", "svc$", "a+b",
					   "DOM\\bob", "_apt",    "0day",     "1000"};
	char name[ISP_NAME_MAX + 2];

	(void)state;
	for (size_t i = 0; i < ISP_ARRAY_SIZE(refused); i++)
		if (isp_name_is_safe(refused[i]))
			fail_msg("taken: %s", refused[i]);
	for (size_t i = 0; i < ISP_ARRAY_SIZE(fine); i++)
		if (!isp_name_is_safe(fine[i]))
			fail_msg("refused: %s", fine[i]);
	memset(name, 'a', sizeof(name));
	name[ISP_NAME_MAX + 1] = '\0';
	assert_false(isp_name_is_safe(name));
	name[ISP_NAME_MAX] = '\0';
	assert_true(isp_name_is_safe(name));
}

static void a_session_id_is_a_user_and_eight_digits(void **state)
{
	static const char *const refused[] = {
		"",
		"guest",
		"guest.0123abc",
		"guest.0123abcde",
		"guest.0123ABCD",
		"guest.0123abcg",
		"guest-0123abcd",
		".0123abcd",
		"-x.0123abcd",
		"../x.0123abcd",
		"a/b.0123abcd",
		"guest.0123abcd ",
		"guest.0123abcd/",
		"..0123abcd",
	};
	static const char *const fine[] = {"a.00000000", "guest.0123abcd", "a.b.ffffffff",
					   "a.00000000.00000000"};

	(void)state;
	for (size_t i = 0; i < ISP_ARRAY_SIZE(refused); i++)
		if (isp_session_id_is_valid(refused[i]))
			fail_msg("taken: %s", refused[i]);
	for (size_t i = 0; i < ISP_ARRAY_SIZE(fine); i++)
		if (!isp_session_id_is_valid(fine[i]))
			fail_msg("refused: %s", fine[i]);
}

static void the_longest_name_makes_the_longest_id(void **state)
{
	char user[ISP_NAME_MAX + 2];
	char id[ISP_SESSION_ID_SIZE + 8] = "untouched";

	(void)state;
	memset(user, 'u', sizeof(user));
	user[ISP_NAME_MAX + 1] = '\0';
	assert_int_equal(isp_session_id_make(user, id), -EINVAL);
	assert_string_equal(id, "untouched");
	user[ISP_NAME_MAX] = '\0';
	assert_int_equal(isp_session_id_make(user, id), 0);
	assert_int_equal(strlen(id), ISP_SESSION_ID_SIZE - 1);
	assert_true(isp_session_id_is_valid(id));
	/* One byte longer is not an id, and does not read past what an id can be. */
	memmove(id + 1, id, ISP_SESSION_ID_SIZE);
	assert_false(isp_session_id_is_valid(id));
}

static void two_ids_of_one_user_differ(void **state)
{
	char first[ISP_SESSION_ID_SIZE];
	char second[ISP_SESSION_ID_SIZE];

	(void)state;
	assert_int_equal(isp_session_id_make("guest", first), 0);
	assert_int_equal(isp_session_id_make("guest", second), 0);
	assert_int_equal(strncmp(first, "guest.", 6), 0);
	assert_string_not_equal(first, second);
	assert_int_equal(isp_session_id_make("../guest", first), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_digits_and_nothing_else),
		cmocka_unit_test(a_range_holds_both_its_ends),
		cmocka_unit_test(yes_and_no_are_the_only_two_answers),
		cmocka_unit_test(sizes_are_in_powers_of_1024),
		cmocka_unit_test(max_is_a_size_only_where_it_is_in_range),
		cmocka_unit_test(durations_are_in_seconds),
		cmocka_unit_test(percentages_carry_their_sign),
		cmocka_unit_test(names_that_could_leave_a_directory_are_not_safe),
		cmocka_unit_test(a_session_id_is_a_user_and_eight_digits),
		cmocka_unit_test(the_longest_name_makes_the_longest_id),
		cmocka_unit_test(two_ids_of_one_user_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
