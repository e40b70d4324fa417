/* SPDX-License-Identifier: GPL-3.0-or-later */
/* ispawn-seccomp-json.c - objects and their keys; contract in ispawn-seccomp-json.h */
#include "ispawn-seccomp-json.h"

#include <errno.h>
#include <string.h>

#define SHOWN 64

int profile_refuse(struct isp_error *err, const char *what)
{
	return isp_err_set(err, EINVAL, ISP_STAGE_SECCOMP, "%s", what);
}

int profile_refuse_word(struct isp_error *err, const char *word, const char *why)
{
	char shown[SHOWN];

	isp_escape(shown, sizeof(shown), word);
	return isp_err_set(err, EINVAL, ISP_STAGE_SECCOMP, "\"%s\" %s", shown, why);
}

int profile_inside(struct isp_error *err, const char *key)
{
	return isp_err_prefix(err, "%s", key);
}

int profile_inside_item(struct isp_error *err, const char *key, size_t i)
{
	return isp_err_prefix(err, "%s[%zu]", key, i);
}

static int check_member(const char *name, const json_t *value, const struct member *members,
			size_t count, struct isp_error *err)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(members[i].name, name) != 0)
			continue;
		if (json_is_null(value) || json_typeof(value) == members[i].type)
			return 0;
		return profile_refuse_word(err, name, "has a value of a wrong type");
	}
	return profile_refuse_word(err, name, "is not a key that is understood here");
}

int object_check(json_t *object, const struct member *members, size_t count, struct isp_error *err)
{
	if (!json_is_object(object))
		return profile_refuse(err, "not an object");
	for (void *i = json_object_iter(object); i; i = json_object_iter_next(object, i)) {
		int r = check_member(json_object_iter_key(i), json_object_iter_value(i), members,
				     count, err);

		if (r < 0)
			return r;
	}
	return 0;
}

json_t *object_get(const json_t *object, const char *name)
{
	json_t *value = json_object_get(object, name);

	return json_is_null(value) ? NULL : value;
}

const char *object_get_text(const json_t *object, const char *name)
{
	return json_string_value(object_get(object, name));
}

int object_get_number(const json_t *object, const char *name, uint64_t max, uint64_t *ret_value,
		      struct isp_error *err)
{
	const json_t *value = object_get(object, name);

	if (value && (json_integer_value(value) < 0 || (uint64_t)json_integer_value(value) > max))
		return isp_err_set(err, EINVAL, ISP_STAGE_SECCOMP, "%s: %lld is out of range", name,
				   json_integer_value(value));
	*ret_value = value ? (uint64_t)json_integer_value(value) : 0;
	return 0;
}
