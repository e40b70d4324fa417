/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * parse.h - strict readers of small values
 *
 * Theory of operation: one reader per kind of value, used by the configuration, the spec and the
 * command lines alike.  A reader takes the whole string or nothing: no leading space or sign, no
 * trailing garbage, no silent overflow, no second spelling.  ret_ parameters stay untouched on
 * failure.  The readers do not know what the value is for; callers name file, section and key.
 */
#ifndef ISPAWN_BASE_PARSE_H
#define ISPAWN_BASE_PARSE_H

#include "ispawn/base/err.h"

#define ISP_NAME_MAX 64 /* longest user, group or template name, without the NUL */
#define ISP_SESSION_ID_SIZE (ISP_NAME_MAX + 1 + 8 + 1) /* USER.HEX8 and the NUL */

/** isp_parse_u64() - decimal digits only. Return: 0; -EINVAL; -ERANGE outside @min..@max. */
ISP_MUST_CHECK int isp_parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret_value);

/** isp_parse_bool() - exactly "yes" or "no". Return: 0; -EINVAL. */
ISP_MUST_CHECK int isp_parse_bool(const char *text, bool *ret_value);

/** isp_parse_size() - bytes: digits, then nothing or one of K M G T (1024-based), or "max" for
 * UINT64_MAX. Return: 0; -EINVAL; -ERANGE. */
ISP_MUST_CHECK int isp_parse_size(const char *text, uint64_t min, uint64_t max,
				  uint64_t *ret_bytes);

/** isp_parse_duration() - seconds: digits, then nothing or one of s m h d. */
ISP_MUST_CHECK int isp_parse_duration(const char *text, uint64_t min, uint64_t max,
				      uint64_t *ret_seconds);

/** isp_parse_percent() - digits followed by "%". */
ISP_MUST_CHECK int isp_parse_percent(const char *text, uint64_t min, uint64_t max,
				     uint64_t *ret_percent);

/**
 * isp_name_is_safe() - may this user, group or template name stand in a path, a cgroup, a log?
 * 1 to ISP_NAME_MAX bytes of [A-Za-z0-9_.@$+\-], backslash for domain users; first not '-' or '.'.
 */
bool isp_name_is_safe(const char *name);

/** isp_session_id_is_valid() - USER.HEX8, USER a safe name, HEX8 eight lower-case hex digits. */
bool isp_session_id_is_valid(const char *id);

/** isp_session_id_make() - a fresh id from getrandom(2). Return: 0; -EINVAL unsafe name; -errno. */
ISP_MUST_CHECK int isp_session_id_make(const char *user, char ret_id[ISP_SESSION_ID_SIZE]);

#endif
