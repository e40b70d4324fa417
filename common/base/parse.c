/* SPDX-License-Identifier: GPL-3.0-or-later */
/* parse.c - strict readers of small values; contract in ispawn/base/parse.h */
#include "ispawn/base/parse.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

/* Reads digits up to the first other byte. */
static int parse_digits(const char *text, uint64_t *ret_value, const char **ret_end)
{
	uint64_t value = 0;
	const char *p = text;

	for (; *p >= '0' && *p <= '9'; p++) {
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
			return -ERANGE;
	}
	if (p == text)
		return -EINVAL;
	*ret_value = value;
	*ret_end = p;
	return 0;
}

static int check_range(uint64_t value, uint64_t min, uint64_t max, uint64_t *ret_value)
{
	if (value < min || value > max)
		return -ERANGE;
	*ret_value = value;
	return 0;
}

int isp_parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret_value)
{
	const char *end = NULL;
	uint64_t value = 0;
	int r = parse_digits(text, &value, &end);

	if (r < 0)
		return r;
	return *end ? -EINVAL : check_range(value, min, max, ret_value);
}

int isp_parse_bool(const char *text, bool *ret_value)
{
	if (strcmp(text, "yes") != 0 && strcmp(text, "no") != 0)
		return -EINVAL;
	*ret_value = text[0] == 'y';
	return 0;
}

struct unit {
	char letter;
	uint64_t factor;
};

/* Digits and at most one unit letter out of @units, which ends with letter 0. */
static int parse_with_unit(const char *text, const struct unit *units, uint64_t *ret_value)
{
	const char *end = NULL;
	uint64_t value = 0;
	int r = parse_digits(text, &value, &end);

	if (r < 0)
		return r;
	if (*end) {
		const struct unit *u = units;

		while (u->letter && u->letter != *end)
			u++;
		if (!u->letter || end[1])
			return -EINVAL;
		if (__builtin_mul_overflow(value, u->factor, &value))
			return -ERANGE;
	}
	*ret_value = value;
	return 0;
}

int isp_parse_size(const char *text, uint64_t min, uint64_t max, uint64_t *ret_bytes)
{
	static const struct unit units[] = {
		{'K', 1ULL << 10}, {'M', 1ULL << 20}, {'G', 1ULL << 30}, {'T', 1ULL << 40}, {0, 0},
	};
	uint64_t value = UINT64_MAX;
	int r = strcmp(text, "max") == 0 ? 0 : parse_with_unit(text, units, &value);

	return r < 0 ? r : check_range(value, min, max, ret_bytes);
}

int isp_parse_duration(const char *text, uint64_t min, uint64_t max, uint64_t *ret_seconds)
{
	static const struct unit units[] = {
		{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {0, 0},
	};
	uint64_t value = 0;
	int r = parse_with_unit(text, units, &value);

	return r < 0 ? r : check_range(value, min, max, ret_seconds);
}

int isp_parse_percent(const char *text, uint64_t min, uint64_t max, uint64_t *ret_percent)
{
	const char *end = NULL;
	uint64_t value = 0;
	int r = parse_digits(text, &value, &end);

	if (r < 0)
		return r;
	return strcmp(end, "%") != 0 ? -EINVAL : check_range(value, min, max, ret_percent);
}

bool isp_name_is_safe(const char *name)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				      "0123456789_.@$+\\-";
	size_t size = strlen(name);

	return size >= 1 && size <= ISP_NAME_MAX && name[0] != '-' && name[0] != '.' &&
	       strspn(name, allowed) == size;
}

bool isp_session_id_is_valid(const char *id)
{
	char user[ISP_NAME_MAX + 1];
	size_t size = strnlen(id, ISP_SESSION_ID_SIZE);

	if (size < 10 || size >= ISP_SESSION_ID_SIZE || id[size - 9] != '.')
		return false;
	memcpy(user, id, size - 9);
	user[size - 9] = '\0';
	return isp_name_is_safe(user) && strspn(id + size - 8, "0123456789abcdef") == 8;
}

int isp_session_id_make(const char *user, char ret_id[ISP_SESSION_ID_SIZE])
{
	uint32_t number = 0;

	if (!isp_name_is_safe(user))
		return -EINVAL;
	if (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number))
		return -EIO;
	(void)snprintf(ret_id, ISP_SESSION_ID_SIZE, "%s.%08x", user, number);
	return 0;
}
