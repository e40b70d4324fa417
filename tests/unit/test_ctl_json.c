/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The JSON that `ispawnctl list --json` is made of: valid, ASCII, whatever a user called himself.
 */
#include "ispawn/base/fd.h"
#include "ispawn/base/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* What a string is written as, with its quotes; the caller frees. */
static char *written(const char *text)
{
	char *bytes = NULL;
	size_t size = 0;
	struct isp_json json = {.out = open_memstream(&bytes, &size)};

	assert_non_null(json.out);
	isp_json_string(&json, NULL, text);
	assert_int_equal(fclose(json.out), 0);
	return bytes;
}

static void expect(const char *text, const char *json)
{
	cleanup_free char *got = written(text);

	assert_string_equal(got, json);
}

static void plain_text_stays(void **state)
{
	(void)state;
	expect("", "\"\"");
	expect("guest /dev/pts/3 192.0.2.7", "\"guest /dev/pts/3 192.0.2.7\"");
}

static void what_ends_a_string_is_escaped(void **state)
{
	(void)state;
	expect("a\"b\\c", "\"a\\\"b\\\\c\"");
}

static void every_control_byte_is_escaped(void **state)
{
	(void)state;
	for (int c = 1; c < 0x20; c++) {
		char text[] = {(char)c, '\0'};
		char json[16];

		(void)snprintf(json, sizeof(json), "\"\\u%04x\"", (unsigned int)c);
		expect(text, json);
	}
	expect("\x7f", "\"\\u007f\"");
	/* C1 controls are characters of two bytes, and terminals obey them. */
	expect("\xc2\x9b", "\"\\u009b\"");
}

static void other_characters_leave_as_escapes(void **state)
{
	(void)state;
	expect("\xc3\xa9", "\"\\u00e9\"");
	expect("\xe2\x82\xac", "\"\\u20ac\"");
	expect("\xef\xbf\xbf", "\"\\uffff\"");
	expect("\xf0\x9f\x90\x9a", "\"\\ud83d\\udc1a\"");
	expect("\xf4\x8f\xbf\xbf", "\"\\udbff\\udfff\"");
}

static void what_is_not_utf8_is_replaced_byte_by_byte(void **state)
{
	(void)state;
	expect("a\xff"
	       "b",
	       "\"a\\ufffdb\"");
	expect("\x80", "\"\\ufffd\"");
	expect("\xf8\x88\x80\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\"");
	/* Cut off, by the end and by another character. */
	expect("\xe2\x82", "\"\\ufffd\\ufffd\"");
	expect("\xc3\"", "\"\\ufffd\\\"\"");
	/* Longer than it needs to be; a surrogate; above the last character. */
	expect("\xc0\x80", "\"\\ufffd\\ufffd\"");
	expect("\xe0\x80\xa2", "\"\\ufffd\\ufffd\\ufffd\"");
	expect("\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\"");
	expect("\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\"");
}

static void commas_stand_between_values_and_nowhere_else(void **state)
{
	cleanup_free char *bytes = NULL;
	size_t size = 0;
	struct isp_json json = {.out = open_memstream(&bytes, &size)};

	(void)state;
	assert_non_null(json.out);
	isp_json_begin(&json, NULL, '[');
	isp_json_begin(&json, NULL, '{');
	isp_json_end(&json, '}');
	isp_json_begin(&json, NULL, '{');
	isp_json_number(&json, "n", UINT64_MAX);
	isp_json_null(&json, "none");
	isp_json_begin(&json, "list", '[');
	isp_json_string(&json, NULL, "a");
	isp_json_string(&json, NULL, "b");
	isp_json_end(&json, ']');
	isp_json_string(&json, "a\"b", "c");
	isp_json_end(&json, '}');
	isp_json_end(&json, ']');
	assert_int_equal(fclose(json.out), 0);
	assert_string_equal(bytes, "[{}, {\"n\": 18446744073709551615, \"none\": null, "
				   "\"list\": [\"a\", \"b\"], \"a\\\"b\": \"c\"}]");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_text_stays),
		cmocka_unit_test(what_ends_a_string_is_escaped),
		cmocka_unit_test(every_control_byte_is_escaped),
		cmocka_unit_test(other_characters_leave_as_escapes),
		cmocka_unit_test(what_is_not_utf8_is_replaced_byte_by_byte),
		cmocka_unit_test(commas_stand_between_values_and_nowhere_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
