/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a shell asks of init: what is written is read back, and nothing else is read. */
#include "ispawn/base/fd.h"
#include "ispawn/session/environment.h"
#include "ispawn/session/protocol.h"
#include "ispawn/session/request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static char first[] = "-c", second[] = "echo \xff\n", empty[] = "", lang[] = "LANG=C", var[] = "A=";
static char *sample_args[] = {first, second, empty, NULL};
static char *sample_environment[] = {lang, var, NULL};

static struct isp_request sample(void)
{
	return (struct isp_request){
		.is_login = true,
		.directory = "/srv/work",
		.umask = 027,
		.streams = {ISP_STREAM_TTY, ISP_STREAM_PASSED, ISP_STREAM_NULL},
		.termios = {.c_iflag = ICRNL, .c_cc = {[VMIN] = 1, [VINTR] = 3}},
		.winsize = {.ws_row = 24, .ws_col = 80},
		.args = sample_args,
		.arg_count = 3,
		.environment = sample_environment,
		.environment_count = 2,
	};
}

static void encode(const struct isp_request *request, char **bytes, size_t *size)
{
	struct isp_error err = {0};

	assert_int_equal(isp_request_encode(request, bytes, size, &err), 0);
	assert_int_equal(err.code, 0);
}

/* The places of the header's fields, as request.c lays them out; each is a uint32_t. */
enum place {
	MAGIC,
	IS_LOGIN,
	IS_COMMAND,
	HAS_DIRECTORY,
	UMASK,
	STDIN,
	STDOUT,
	STDERR,
	ARG_COUNT,
	ENVIRONMENT_COUNT
};

static int decode_with(enum place place, uint32_t value, struct isp_error *err)
{
	struct isp_request before = sample();
	struct isp_request after = {0};
	static const struct isp_request zeroed;
	cleanup_free char *bytes = NULL;
	size_t size = 0;
	int r;

	encode(&before, &bytes, &size);
	memcpy(bytes + place * sizeof(value), &value, sizeof(value));
	r = isp_request_decode(bytes, size, &after, err);
	if (r < 0) {
		assert_memory_equal(&after, &zeroed, sizeof(after));
		assert_int_equal(err->stage, ISP_STAGE_TENANT);
	}
	isp_request_free(&after);
	return r;
}

static void every_field_arrives(void **state)
{
	struct isp_request a = sample();
	cleanup_request struct isp_request b = {0};
	cleanup_free char *bytes = NULL;
	struct isp_error err = {0};
	size_t size = 0;

	(void)state;
	encode(&a, &bytes, &size);
	assert_int_equal(isp_request_decode(bytes, size, &b, &err), 0);
	assert_true(b.is_login);
	assert_false(b.is_command);
	assert_string_equal(b.directory, "/srv/work");
	assert_int_equal(b.umask, 027);
	assert_memory_equal(a.streams, b.streams, sizeof(a.streams));
	assert_int_equal(b.termios.c_iflag, ICRNL);
	assert_memory_equal(a.termios.c_cc, b.termios.c_cc, sizeof(a.termios.c_cc));
	assert_memory_equal(&a.winsize, &b.winsize, sizeof(a.winsize));
	assert_int_equal(b.arg_count, 3);
	for (size_t i = 0; i <= 3; i++)
		assert_true(i == 3 ? !b.args[i] : strcmp(a.args[i], b.args[i]) == 0);
	assert_int_equal(b.environment_count, 2);
	for (size_t i = 0; i <= 2; i++)
		assert_true(i == 2 ? !b.environment[i]
				   : strcmp(a.environment[i], b.environment[i]) == 0);
}

static void a_request_without_anything_travels(void **state)
{
	struct isp_request a = {.is_login = false};
	cleanup_request struct isp_request b = {0};
	cleanup_free char *bytes = NULL;
	struct isp_error err = {0};
	size_t size = 0;

	(void)state;
	encode(&a, &bytes, &size);
	assert_int_equal(isp_request_decode(bytes, size, &b, &err), 0);
	assert_int_equal(b.arg_count, 0);
	assert_null(b.args[0]);
	assert_null(b.directory);
	assert_null(b.environment[0]);
	assert_int_equal(isp_request_count(&b, ISP_STREAM_CLOSED), 3);
}

static void streams_are_counted_by_kind(void **state)
{
	struct isp_request a = sample();

	(void)state;
	assert_int_equal(isp_request_count(&a, ISP_STREAM_TTY), 1);
	assert_int_equal(isp_request_count(&a, ISP_STREAM_PASSED), 1);
	assert_int_equal(isp_request_count(&a, ISP_STREAM_CLOSED), 0);
	a.streams[1] = a.streams[2] = ISP_STREAM_TTY;
	assert_int_equal(isp_request_count(&a, ISP_STREAM_TTY), 3);
}

static void every_truncation_is_refused(void **state)
{
	struct isp_request before = sample();
	cleanup_free char *bytes = NULL;
	size_t size = 0;

	(void)state;
	encode(&before, &bytes, &size);
	for (size_t cut = 0; cut < size; cut++) {
		/* A copy of exact size: reading past the end is seen by ASan. */
		cleanup_free char *part = malloc(cut + 1);
		struct isp_request after = {0};
		struct isp_error err = {0};

		assert_non_null(part);
		memcpy(part + 1, bytes, cut);
		assert_int_equal(isp_request_decode(part + 1, cut, &after, &err), -EINVAL);
		assert_null(after.args);
		assert_null(after.environment);
	}
}

static void bytes_after_the_last_string_are_refused(void **state)
{
	struct isp_request before = sample();
	struct isp_request after = {0};
	cleanup_free char *bytes = NULL;
	cleanup_free char *more = NULL;
	struct isp_error err = {0};
	size_t size = 0;

	(void)state;
	encode(&before, &bytes, &size);
	more = calloc(1, size + 1);
	assert_non_null(more);
	memcpy(more, bytes, size);
	assert_int_equal(isp_request_decode(more, size + 1, &after, &err), -EINVAL);
	assert_non_null(strstr(err.text, "after the last string"));
}

static void bad_headers_are_refused_by_name(void **state)
{
	static const struct {
		enum place place;
		uint32_t value;
		int result;
		const char *says;
	} cases[] = {
		{MAGIC, 0, -EPROTO, "another version"},
		{MAGIC, 0x69737230u, -EPROTO, "another version"},
		{IS_LOGIN, 2, -EINVAL, "is_login"},
		{IS_LOGIN, UINT32_MAX, -EINVAL, "is_login"},
		{IS_COMMAND, 2, -EINVAL, "is_command"},
		{HAS_DIRECTORY, 2, -EINVAL, "has_directory"},
		{HAS_DIRECTORY, 0, -EINVAL, "after the last string"},
		{UMASK, 01000, -EINVAL, "umask"},
		{UMASK, 04777, -EINVAL, "umask"},
		{STDIN, ISP_STREAM_COUNT, -EINVAL, "stream 0"},
		{STDOUT, UINT32_MAX, -EINVAL, "stream 1"},
		{STDERR, 0x80000000u, -EINVAL, "stream 2"},
		{ARG_COUNT, 4, -EINVAL, "directory"}, /* takes one of its strings */
		{ARG_COUNT, 2, -EINVAL, "after the last string"},
		{ARG_COUNT, 7, -EINVAL, "arguments"},
		{ARG_COUNT, ISP_REQUEST_ARGS_MAX + 1, -E2BIG, "arguments"},
		{ARG_COUNT, UINT32_MAX, -E2BIG, "arguments"},
		{ENVIRONMENT_COUNT, 1, -EINVAL, "after the last string"},
		{ENVIRONMENT_COUNT, 3, -EINVAL, "directory"},
		{ENVIRONMENT_COUNT, 4, -EINVAL, "environment"},
		{ENVIRONMENT_COUNT, ISP_REQUEST_ENVIRONMENT_MAX + 1, -E2BIG, "variables"},
		{ENVIRONMENT_COUNT, UINT32_MAX, -E2BIG, "variables"},
	};

	(void)state;
	for (size_t i = 0; i < ISP_ARRAY_SIZE(cases); i++) {
		struct isp_error err = {0};
		int r = decode_with(cases[i].place, cases[i].value, &err);

		if (r != cases[i].result || !strstr(err.text, cases[i].says))
			fail_msg("place %d = %u: %d, %s", cases[i].place, cases[i].value, r,
				 err.text);
	}
}

static void a_command_has_a_name(void **state)
{
	struct isp_request a = sample();
	cleanup_request struct isp_request b = {0};
	cleanup_free char *bytes = NULL;
	struct isp_error err = {0};
	size_t size = 0;

	(void)state;
	a.is_command = true;
	encode(&a, &bytes, &size);
	assert_int_equal(isp_request_decode(bytes, size, &b, &err), 0);
	assert_true(b.is_command);
	a.arg_count = 0;
	assert_int_equal(isp_request_encode(&a, &bytes, &size, &err), -EINVAL);
	assert_non_null(strstr(err.text, "is_command"));
}

static void a_directory_is_a_clean_path_on_both_sides(void **state)
{
	static const char *const bad[] = {"", "srv", "/srv/", "/srv/../etc", "/srv/w\nrk"};
	struct isp_request before = sample();
	cleanup_free char *bytes = NULL;
	struct isp_error err = {0};
	size_t size = 0;

	(void)state;
	for (size_t i = 0; i < ISP_ARRAY_SIZE(bad); i++) {
		struct isp_request a = sample();

		err = (struct isp_error){0};
		a.directory = bad[i];
		assert_int_equal(isp_request_encode(&a, &bytes, &size, &err), -EINVAL);
		assert_non_null(strstr(err.text, "directory"));
	}
	assert_null(bytes);
	encode(&before, &bytes, &size);
	bytes[size - 2] = '/';
	bytes[size - 3] = '/';
	err = (struct isp_error){0};
	before = (struct isp_request){0};
	assert_int_equal(isp_request_decode(bytes, size, &before, &err), -EINVAL);
	assert_non_null(strstr(err.text, "directory"));
}

static void a_variable_without_a_name_is_refused_on_both_sides(void **state)
{
	static const char *const refused[] = {"", "A", "=x", "1=x", "A B=x"};

	(void)state;
	for (size_t i = 0; i < ISP_ARRAY_SIZE(refused); i++) {
		char entry[] = "GOOD=1";
		char *environment[] = {lang, entry, NULL};
		struct isp_request a = sample(), b = {0};
		struct isp_error writing = {0}, reading = {0};
		cleanup_free char *bytes = NULL;
		cleanup_free char *none = NULL;
		size_t size = 0, size_none = 0;

		a.directory = NULL; /* so that it is the last string */
		a.environment = environment;
		encode(&a, &bytes, &size);
		strcpy(entry, refused[i]);
		assert_int_equal(isp_request_encode(&a, &none, &size_none, &writing), -EINVAL);
		assert_non_null(strstr(writing.text, "variable 1"));
		assert_null(none);
		/* The same bytes, the last string's replaced, padded by what is left of it. */
		size -= sizeof("GOOD=1") - sizeof("");
		strcpy(bytes + size - 1, refused[i]);
		assert_int_equal(isp_request_decode(bytes, size + strlen(refused[i]), &b, &reading),
				 -EINVAL);
		assert_non_null(strstr(reading.text, "variable 1"));
		assert_null(b.environment);
	}
}

static void the_size_has_a_bound_on_both_sides(void **state)
{
	cleanup_free char *large = malloc(ISP_REQUEST_SIZE_MAX);
	char *args[] = {large, NULL};
	struct isp_request a = {.args = args, .arg_count = 1};
	struct isp_request b = {0};
	cleanup_free char *bytes = NULL;
	cleanup_free char *over = calloc(1, ISP_REQUEST_SIZE_MAX + 1);
	struct isp_error err = {0};
	size_t size = 0;

	(void)state;
	assert_true(large && over);
	memset(large, 'x', ISP_REQUEST_SIZE_MAX);
	encode(&(struct isp_request){.is_login = true}, &bytes, &size);
	large[ISP_REQUEST_SIZE_MAX - size] = '\0'; /* the terminator is one too many */
	free(steal_pointer(&bytes));
	assert_int_equal(isp_request_encode(&a, &bytes, &size, &err), -E2BIG);
	large[strlen(large) - 1] = '\0';
	encode(&a, &bytes, &size);
	assert_int_equal(size, ISP_REQUEST_SIZE_MAX);
	err = (struct isp_error){0};
	assert_int_equal(isp_request_decode(bytes, size, &b, &err), 0);
	isp_request_free(&b);
	assert_int_equal(isp_request_decode(over, ISP_REQUEST_SIZE_MAX + 1, &b, &err), -E2BIG);
}

static void as_many_strings_as_are_allowed_travel(void **state)
{
	static char *args[ISP_REQUEST_ARGS_MAX + 2];
	static char *variables[ISP_REQUEST_ENVIRONMENT_MAX + 2];
	struct isp_request a = {.args = args, .environment = variables};
	cleanup_request struct isp_request b = {0};
	cleanup_free char *bytes = NULL;
	struct isp_error err = {0};
	size_t size = 0;

	(void)state;
	for (size_t i = 0; i <= ISP_REQUEST_ARGS_MAX; i++)
		args[i] = first;
	for (size_t i = 0; i <= ISP_REQUEST_ENVIRONMENT_MAX; i++)
		variables[i] = lang;
	a.arg_count = ISP_REQUEST_ARGS_MAX + 1;
	assert_int_equal(isp_request_encode(&a, &bytes, &size, &err), -E2BIG);
	a.arg_count = ISP_REQUEST_ARGS_MAX;
	a.environment_count = ISP_REQUEST_ENVIRONMENT_MAX + 1;
	err = (struct isp_error){0};
	assert_int_equal(isp_request_encode(&a, &bytes, &size, &err), -E2BIG);
	a.environment_count = ISP_REQUEST_ENVIRONMENT_MAX;
	encode(&a, &bytes, &size);
	err = (struct isp_error){0};
	assert_int_equal(isp_request_decode(bytes, size, &b, &err), 0);
	assert_int_equal(b.arg_count, ISP_REQUEST_ARGS_MAX);
	assert_string_equal(b.environment[ISP_REQUEST_ENVIRONMENT_MAX - 1], lang);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_field_arrives),
		cmocka_unit_test(a_request_without_anything_travels),
		cmocka_unit_test(streams_are_counted_by_kind),
		cmocka_unit_test(every_truncation_is_refused),
		cmocka_unit_test(bytes_after_the_last_string_are_refused),
		cmocka_unit_test(bad_headers_are_refused_by_name),
		cmocka_unit_test(a_command_has_a_name),
		cmocka_unit_test(a_directory_is_a_clean_path_on_both_sides),
		cmocka_unit_test(a_variable_without_a_name_is_refused_on_both_sides),
		cmocka_unit_test(the_size_has_a_bound_on_both_sides),
		cmocka_unit_test(as_many_strings_as_are_allowed_travel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
