/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A log line: its fields say what its words say, and nothing that is put into one makes another. */
#include "ispawn/base/line.h"

#include "ispawn/base/fd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void assert_fields(const struct isp_line *line, const char *expected, size_t size)
{
	assert_int_equal(line->fields_size, size);
	assert_memory_equal(line->fields, expected, size);
}
#define ASSERT_FIELDS(line, expected) assert_fields(line, expected, sizeof(expected) - 1)

static void words_and_fields_grow_together(void **state)
{
	struct isp_line line = {0};

	(void)state;
	isp_line_add(&line, "session", "%s.%d", "guest", 7);
	isp_line_quote(&line, "user", "gu\"est", 100);
	isp_line_note(&line, "event", "denied");
	isp_line_say(&line, "and more");
	assert_string_equal(line.text, "session=guest.7 user=\"gu\\\"est\" and more");
	assert_int_equal(line.text_size, strlen(line.text));
	ASSERT_FIELDS(&line,
		      "ISPAWN_SESSION=guest.7\nISPAWN_USER=gu\\\"est\nISPAWN_EVENT=denied\n");
}

static void a_key_becomes_a_name_that_journald_takes(void **state)
{
	struct isp_line line = {0};

	(void)state;
	isp_line_add(&line, "memory_peak_kib", "1");
	ASSERT_FIELDS(&line, "ISPAWN_MEMORY_PEAK_KIB=1\n");
}

/* Of our own values none holds a newline; should one, it stays within its field. */
static void a_newline_makes_no_field(void **state)
{
	struct isp_line line = {0};

	(void)state;
	isp_line_add(&line, "a", "x\nMESSAGE=forged");
	ASSERT_FIELDS(&line, "ISPAWN_A\n\x10\0\0\0\0\0\0\0x\nMESSAGE=forged\n");
}

static void what_others_chose_is_escaped_in_both(void **state)
{
	struct isp_line line = {0};

	(void)state;
	isp_line_quote(&line, "command", "a\nB=\x1b", 100);
	isp_line_note(&line, "user", "\n");
	assert_string_equal(line.text, "command=\"a\\x0aB=\\x1b\"");
	ASSERT_FIELDS(&line, "ISPAWN_COMMAND=a\\x0aB=\\x1b\nISPAWN_USER=\\x0a\n");
}

static void a_value_is_cut(void **state)
{
	struct isp_line line = {0};
	char long_value[4 * ISP_LINE_VALUE_SIZE];

	(void)state;
	memset(long_value, 'x', sizeof(long_value) - 1);
	long_value[sizeof(long_value) - 1] = '\0';
	isp_line_quote(&line, "a", long_value, 8);
	assert_string_equal(line.text, "a=\"xxxx...\"");
	isp_line_quote(&line, "b", long_value, sizeof(long_value));
	isp_line_add(&line, "c", "%s", long_value);
	assert_true(line.text_size < 2 * ISP_LINE_VALUE_SIZE + 20);
}

/* Whole fields or none: half a field would be the start of another. */
static void a_full_line_stays_whole(void **state)
{
	struct isp_line line = {0};
	char value[ISP_LINE_VALUE_SIZE];

	(void)state;
	memset(value, 'x', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	for (int i = 0; i < 100; i++)
		isp_line_add(&line, "key", "%s", value);
	isp_line_say(&line, "%s", value);
	assert_int_equal(line.text_size, sizeof(line.text) - 1);
	assert_int_equal(strlen(line.text), line.text_size);
	assert_true(line.fields_size > 0 && line.fields_size <= sizeof(line.fields));
	assert_int_equal(line.fields_size % (strlen("ISPAWN_KEY=\n") + strlen(value)), 0);
}

static void an_error_has_its_stage_and_number(void **state)
{
	const struct isp_error err = {.code = 2, .stage = ISP_STAGE_MOUNTS, .text = "open \"x\""};
	struct isp_line line = {0};

	(void)state;
	isp_line_add(&line, "session", "s");
	isp_line_error(&line, &err);
	assert_string_equal(line.text,
			    "session=s stage=mounts: open \"x\": No such file or directory");
	ASSERT_FIELDS(&line, "ISPAWN_SESSION=s\nISPAWN_STAGE=mounts\nERRNO=2\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_and_fields_grow_together),
		cmocka_unit_test(a_key_becomes_a_name_that_journald_takes),
		cmocka_unit_test(a_newline_makes_no_field),
		cmocka_unit_test(what_others_chose_is_escaped_in_both),
		cmocka_unit_test(a_value_is_cut),
		cmocka_unit_test(a_full_line_stays_whole),
		cmocka_unit_test(an_error_has_its_stage_and_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
