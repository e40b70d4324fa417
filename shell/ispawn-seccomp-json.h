/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ispawn-seccomp-json.h - objects and their keys, and how a refusal names them
 *
 * Theory of operation: a table for each kind of object says which keys it may have, and of which
 * type.  Any other key may change what the rest means, so it refuses the profile.  null counts as
 * left out, as in Go.  A refusal says what is wrong; each caller on the way up adds where it
 * stands, so that the record reads "syscalls[3]: args[0]: index: 7 is out of range".
 */
#ifndef ISPAWN_SHELL_ISPAWN_SECCOMP_JSON_H
#define ISPAWN_SHELL_ISPAWN_SECCOMP_JSON_H

#include "ispawn/base/err.h"

#include <jansson.h>

/* struct member - a key that an object may have; JSON_INTEGER and so on */
struct member {
	const char *name;
	json_type type;
};

/** profile_refuse() - in words of our own; profile_refuse_word(): of the profile's. Return:
 * -EINVAL. */
int profile_refuse(struct isp_error *err, const char *what);
int profile_refuse_word(struct isp_error *err, const char *word, const char *why);

/** profile_inside() - "key: what is wrong"; profile_inside_item(): "key[3]: ...". Return: -EINVAL.
 */
int profile_inside(struct isp_error *err, const char *key);
int profile_inside_item(struct isp_error *err, const char *key, size_t i);

/** object_check() - is it an object, with no key but @count @members? Return: 0; -EINVAL. */
ISP_MUST_CHECK int object_check(json_t *object, const struct member *members, size_t count,
				struct isp_error *err);

/** object_get() - a key's value; NULL: left out. The value is the object's. */
json_t *object_get(const json_t *object, const char *name);

/** object_get_text() - likewise, of a key whose type is JSON_STRING */
const char *object_get_text(const json_t *object, const char *name);

/** object_get_number() - 0 when it is left out. Return: 0; -EINVAL negative, or over @max. */
ISP_MUST_CHECK int object_get_number(const json_t *object, const char *name, uint64_t max,
				     uint64_t *ret_value, struct isp_error *err);

#endif
