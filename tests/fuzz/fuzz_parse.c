/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The readers of small values: names, session ids, paths, numbers. */
#include "fuzz.h"

#include "ispawn/base/parse.h"
#include "ispawn/base/path.h"
#include "ispawn/session/environment.h"

/* What is safe in a path stays one part of it. */
static void promise_name(const char *text)
{
	char id[ISP_SESSION_ID_SIZE];

	if (!isp_name_is_safe(text)) {
		PROMISE(isp_session_id_make(text, id) == -EINVAL);
		return;
	}
	PROMISE(strlen(text) <= ISP_NAME_MAX && !strchr(text, '/') && is_printable_ascii(text));
	PROMISE(text[0] && text[0] != '.' && text[0] != '-');
	PROMISE(isp_session_id_make(text, id) == 0 && isp_session_id_is_valid(id));
	PROMISE(isp_spec_group_name_is_valid(text));
}

static void promise_id(const char *text)
{
	char user[ISP_NAME_MAX + 1] = "";

	if (!isp_session_id_is_valid(text))
		return;
	PROMISE(strlen(text) < ISP_SESSION_ID_SIZE && !strchr(text, '/'));
	memcpy(user, text, strlen(text) - 9);
	PROMISE(isp_name_is_safe(user));
}

static void promise_path(const char *text)
{
	char joined[PATH_MAX + 2];

	if (!isp_path_is_clean(text))
		return;
	PROMISE(text[0] == '/' && strlen(text) < PATH_MAX);
	(void)snprintf(joined, sizeof(joined), "%s/", text);
	PROMISE(strcmp(text, "/") == 0 || !strstr(joined, "//"));
	PROMISE(!strstr(joined, "/../") && !strstr(joined, "/./"));
}

typedef int reader(const char *text, uint64_t min, uint64_t max, uint64_t *ret_value);

static void promise_number(reader *read_one, const char *text)
{
	uint64_t value = 12345;
	uint64_t narrow = 12345;
	int r = read_one(text, 0, UINT64_MAX, &value);

	PROMISE(r == 0 || r == -EINVAL || r == -ERANGE);
	PROMISE(r == 0 || value == 12345);
	if (r == 0 && value > 0)
		PROMISE(read_one(text, 0, value - 1, &narrow) == -ERANGE && narrow == 12345);
	if (r == 0)
		PROMISE(read_one(text, value, value, &narrow) == 0 && narrow == value);
}

/* The slow and obvious way. */
static void promise_digits(const char *text)
{
	uint64_t value = 0;
	unsigned __int128 sum = 0;
	size_t digits = strspn(text, "0123456789");

	for (size_t i = 0; i < digits && sum <= UINT64_MAX; i++)
		sum = sum * 10 + (unsigned int)(text[i] - '0');
	if (isp_parse_u64(text, 0, UINT64_MAX, &value) == 0)
		PROMISE(digits > 0 && !text[digits] && sum == value);
	else
		PROMISE(digits == 0 || text[digits] || sum > UINT64_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static reader *const readers[] = {isp_parse_u64, isp_parse_size, isp_parse_duration,
					  isp_parse_percent};
	cleanup_free char *text = fuzz_string(bytes, size);
	bool answer = false;

	promise_name(text);
	promise_id(text);
	promise_path(text);
	promise_digits(text);
	for (size_t i = 0; i < ISP_ARRAY_SIZE(readers); i++)
		promise_number(readers[i], text);
	PROMISE(isp_parse_bool(text, &answer) == -EINVAL ||
		strcmp(text, answer ? "yes" : "no") == 0);
	if (isp_environment_is_sane(text))
		PROMISE(strchr(text, '=') > text && strlen(text) < ISP_ENVIRONMENT_ENTRY_MAX);
	return 0;
}
