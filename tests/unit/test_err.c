/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The error record: it never reads as success, and whoever prints it need not ask what is in it. */
#include "ispawn/base/err.h"
#include "ispawn/base/fd.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void an_error_never_reads_as_success(void **state)
{
	static const int numbers[] = {0, -EPERM, INT32_MIN};

	(void)state;
	for (size_t i = 0; i < ISP_ARRAY_SIZE(numbers); i++) {
		struct isp_error err = {0};

		assert_int_equal(isp_err_set(&err, numbers[i], ISP_STAGE_DROP, "x"), -EPROTO);
		assert_int_equal(err.code, EPROTO);
	}
}

static void the_first_failure_wins(void **state)
{
	struct isp_error err = {0};
	struct isp_error later = {.code = EIO, .stage = ISP_STAGE_INIT, .text = "later"};

	(void)state;
	assert_int_equal(isp_err_set(&err, ENOENT, ISP_STAGE_MOUNTS, "first %d", 1), -ENOENT);
	assert_int_equal(isp_err_set(&err, EIO, ISP_STAGE_INIT, "second"), -ENOENT);
	assert_int_equal(isp_err_adopt(&err, &later), -ENOENT);
	assert_int_equal(err.stage, ISP_STAGE_MOUNTS);
	assert_string_equal(err.text, "first 1");
}

static void callers_say_where_they_were(void **state)
{
	struct isp_error err = {0};

	(void)state;
	assert_int_equal(isp_err_prefix(&err, "outer"), 0);
	assert_string_equal(err.text, "");
	(void)isp_err_set(&err, ENOENT, ISP_STAGE_MOUNTS, "inner");
	assert_int_equal(isp_err_prefix(&err, "bind %d", 3), -ENOENT);
	assert_int_equal(isp_err_prefix(&err, "outer"), -ENOENT);
	assert_string_equal(err.text, "outer: bind 3: inner");
}

static void a_long_text_is_cut_and_terminated(void **state)
{
	char text[2 * ISP_ERROR_TEXT_SIZE];
	struct isp_error err = {0};

	(void)state;
	memset(text, 'a', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	(void)isp_err_set(&err, EIO, ISP_STAGE_INIT, "%s", text);
	assert_int_equal(strlen(err.text), ISP_ERROR_TEXT_SIZE - 1);
	(void)isp_err_prefix(&err, "outer");
	assert_int_equal(strlen(err.text), ISP_ERROR_TEXT_SIZE - 1);
	assert_int_equal(strncmp(err.text, "outer: aaa", 10), 0);
	memset(text, 'b', sizeof(text) - 1);
	(void)isp_err_prefix(&err, "%s", text);
	assert_int_equal(strlen(err.text), ISP_ERROR_TEXT_SIZE - 1);
	assert_int_equal(strspn(err.text, "b"), ISP_ERROR_TEXT_SIZE - 1);
}

/* Pitfall 41: an administrator's terminal obeys escape sequences. */
static void what_is_not_printable_does_not_reach_the_record(void **state)
{
	struct isp_error err = {0};

	(void)state;
	(void)isp_err_set(&err, EIO, ISP_STAGE_INIT, "a\033[2J\n\x9b\x7f\xc3\xa4z");
	assert_string_equal(err.text, "a?[2J?????z");
	(void)isp_err_prefix(&err, "\rx");
	assert_string_equal(err.text, "?x: a?[2J?????z");
}

static void a_record_from_a_peer_is_distrusted(void **state)
{
	static const struct {
		int32_t code;
		int code_taken;
		uint32_t stage, stage_taken;
	} cases[] = {
		{0, EPROTO, ISP_STAGE_INIT, ISP_STAGE_INIT},
		{-1, EPROTO, ISP_STAGE_COUNT, ISP_STAGE_PROTOCOL},
		{INT32_MIN, EPROTO, UINT32_MAX, ISP_STAGE_PROTOCOL},
		{4096, EPROTO, ISP_STAGE_DROP, ISP_STAGE_DROP},
		{4095, 4095, ISP_STAGE_NONE, ISP_STAGE_NONE},
		{EPERM, EPERM, ISP_STAGE_COUNT - 1, ISP_STAGE_COUNT - 1},
	};

	(void)state;
	for (size_t i = 0; i < ISP_ARRAY_SIZE(cases); i++) {
		struct isp_error err = {0};
		struct isp_error from = {.code = cases[i].code, .stage = cases[i].stage};

		/* Not terminated, and a format's own character. */
		memset(from.text, '\033', sizeof(from.text));
		memcpy(from.text, "%s%n", 4);
		assert_int_equal(isp_err_adopt(&err, &from), -cases[i].code_taken);
		assert_int_equal(err.code, cases[i].code_taken);
		assert_int_equal(err.stage, cases[i].stage_taken);
		assert_int_equal(strlen(err.text), ISP_ERROR_TEXT_SIZE - 1);
		assert_int_equal(strncmp(err.text, "%s%n??", 6), 0);
	}
}

static void every_stage_has_a_name_of_its_own(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < ISP_STAGE_COUNT; i++)
		for (uint32_t k = 0; k < i; k++)
			assert_string_not_equal(isp_err_stage_name(i), isp_err_stage_name(k));
	assert_string_equal(isp_err_stage_name(ISP_STAGE_COUNT), "unknown");
	assert_string_equal(isp_err_stage_name(UINT32_MAX), "unknown");
}

static void a_failure_is_one_line_for_the_log(void **state)
{
	struct isp_error err = {.code = EACCES, .stage = ISP_STAGE_MOUNTS, .text = "open \"proc\""};
	char line[400];

	(void)state;
	isp_err_describe(&err, line, sizeof(line));
	assert_string_equal(line, "stage=mounts: open \"proc\": Permission denied");
	err.code = 4000;
	isp_err_describe(&err, line, sizeof(line));
	assert_string_equal(line, "stage=mounts: open \"proc\": unknown error");
	memset(line, 'x', sizeof(line));
	isp_err_describe(&err, line, 8);
	assert_string_equal(line, "stage=m");
}

static void untrusted_bytes_become_printable(void **state)
{
	static const struct {
		const char *from, *to;
	} cases[] = {
		{"", ""},
		{"plain text ~!", "plain text ~!"},
		{"\033[2J", "\\x1b[2J"},
		{"a\nb\t", "a\\x0ab\\x09"},
		{"\x7f\x80\xff", "\\x7f\\x80\\xff"},
		{"\xc3\xa4", "\\xc3\\xa4"},
		{"say \"x\\y\"", "say \\\"x\\\\y\\\""},
	};
	char shown[64];

	(void)state;
	for (size_t i = 0; i < ISP_ARRAY_SIZE(cases); i++) {
		isp_escape(shown, sizeof(shown), cases[i].from);
		assert_string_equal(shown, cases[i].to);
	}
}

/* What is left of "a\033b\"cdefgh" in each size of buffer: no escape is ever cut in two. */
static void what_does_not_fit_is_cut_between_characters(void **state)
{
	static const char *const shown[] = {
		NULL, "", ".", "..", "...", "a...", "a...", "a...", "a...", "a\\x1b...",
	};
	char buffer[16];

	(void)state;
	for (size_t size = 0; size < ISP_ARRAY_SIZE(shown); size++) {
		memset(buffer, 'X', sizeof(buffer));
		isp_escape(buffer, size, "a\033b\"cdefgh");
		if (shown[size])
			assert_string_equal(buffer, shown[size]);
		for (size_t i = size; i < sizeof(buffer); i++)
			assert_int_equal(buffer[i], 'X');
	}
}

static void what_fits_is_not_cut(void **state)
{
	static const char *const whole[] = {"a", "abcdefg", "abc\033", "\"\"\"", "a\\b\\c"};

	(void)state;
	for (size_t i = 0; i < ISP_ARRAY_SIZE(whole); i++) {
		char wide[64];
		char exact[8];

		isp_escape(wide, sizeof(wide), whole[i]);
		assert_true(strlen(wide) < sizeof(exact));
		isp_escape(exact, strlen(wide) + 1, whole[i]);
		assert_string_equal(exact, wide);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_error_never_reads_as_success),
		cmocka_unit_test(the_first_failure_wins),
		cmocka_unit_test(callers_say_where_they_were),
		cmocka_unit_test(a_long_text_is_cut_and_terminated),
		cmocka_unit_test(what_is_not_printable_does_not_reach_the_record),
		cmocka_unit_test(a_record_from_a_peer_is_distrusted),
		cmocka_unit_test(every_stage_has_a_name_of_its_own),
		cmocka_unit_test(a_failure_is_one_line_for_the_log),
		cmocka_unit_test(untrusted_bytes_become_printable),
		cmocka_unit_test(what_does_not_fit_is_cut_between_characters),
		cmocka_unit_test(what_fits_is_not_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
