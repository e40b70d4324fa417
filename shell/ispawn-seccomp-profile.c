/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ispawn-seccomp-profile.c - from JSON to rules; contract in ispawn-seccomp.h
 *
 * The format is the OCI runtime specification's, with what Docker (archMap, includes, excludes,
 * name, comment) and Podman (errno, defaultErrno) add, each with the meaning it has there.  The
 * parser is jansson: it takes RFC 8259 and nothing else, refuses a key that stands twice - of two
 * actions one would be lost silently - and keeps 64-bit integers (cJSON makes doubles of them;
 * json-c takes comments, and of two keys the last).
 */
#include "ispawn-seccomp-json.h"
#include "ispawn-seccomp.h"

#include "ispawn/base/fd.h"
#include "ispawn/base/parse.h"
#include "ispawn/policy/capability.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#define ERRNO_MAX 4095 /* Kernel: MAX_ERRNO; seccomp cuts to it */
#define SHOWN 64

/* struct word - a name of the format and what it stands for */
struct word {
	const char *name;
	uint32_t value;
};

static const struct member profile_members[] = {
	{"defaultAction", JSON_STRING}, {"defaultErrnoRet", JSON_INTEGER},
	{"defaultErrno", JSON_STRING},  {"architectures", JSON_ARRAY},
	{"archMap", JSON_ARRAY},        {"flags", JSON_ARRAY},
	{"syscalls", JSON_ARRAY},
};
static const struct member map_members[] = {
	{"architecture", JSON_STRING},
	{"subArchitectures", JSON_ARRAY},
};
static const struct member rule_members[] = {
	{"names", JSON_ARRAY},      {"name", JSON_STRING},     {"action", JSON_STRING},
	{"errnoRet", JSON_INTEGER}, {"errno", JSON_STRING},    {"args", JSON_ARRAY},
	{"comment", JSON_STRING},   {"includes", JSON_OBJECT}, {"excludes", JSON_OBJECT},
};
static const struct member comparison_members[] = {
	{"index", JSON_INTEGER},
	{"value", JSON_INTEGER},
	{"valueTwo", JSON_INTEGER},
	{"op", JSON_STRING},
};
static const struct member condition_members[] = {
	{"caps", JSON_ARRAY},
	{"arches", JSON_ARRAY},
	{"minKernel", JSON_STRING},
};

/* Not SCMP_ACT_TRACE: whoever traces himself would be let through.  Not SCMP_ACT_NOTIFY: nobody
 * here answers. */
static const struct word actions[] = {
	{"SCMP_ACT_ALLOW", SCMP_ACT_ALLOW},
	{"SCMP_ACT_ERRNO", SCMP_ACT_ERRNO(EPERM)},
	{"SCMP_ACT_KILL", SCMP_ACT_KILL_THREAD},
	{"SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS},
	{"SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD},
	{"SCMP_ACT_LOG", SCMP_ACT_LOG},
	{"SCMP_ACT_TRAP", SCMP_ACT_TRAP},
};
static const struct word operators[] = {
	{"SCMP_CMP_NE", SCMP_CMP_NE},
	{"SCMP_CMP_LT", SCMP_CMP_LT},
	{"SCMP_CMP_LE", SCMP_CMP_LE},
	{"SCMP_CMP_EQ", SCMP_CMP_EQ},
	{"SCMP_CMP_GE", SCMP_CMP_GE},
	{"SCMP_CMP_GT", SCMP_CMP_GT},
	{"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ},
};
static const struct word architectures[] = {
	{"SCMP_ARCH_X86_64", SCMP_ARCH_X86_64},   {"SCMP_ARCH_X86", SCMP_ARCH_X86},
	{"SCMP_ARCH_AARCH64", SCMP_ARCH_AARCH64}, {"SCMP_ARCH_ARM", SCMP_ARCH_ARM},
	{"SCMP_ARCH_RISCV64", SCMP_ARCH_RISCV64},
};

/* --- words ------------------------------------------------------------------------------------ */

static const struct word *find_word(const struct word *words, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(words[i].name, name) == 0)
			return &words[i];
	return NULL;
}

/* --- actions ---------------------------------------------------------------------------------- */

static int errno_of(const char *name)
{
	for (int number = 1; number <= ERRNO_MAX; number++) {
		const char *known = strerrorname_np(number);

		if (known && strcmp(known, name) == 0)
			return number;
	}
	return -1;
}

/* Docker's number and Podman's name may stand side by side, if they say the same. */
static int read_errno(const json_t *object, const char *number_key, const char *name_key,
		      uint32_t *ret_errno, struct isp_error *err)
{
	const char *name = object_get_text(object, name_key);
	uint64_t number = 0;
	int named = name ? errno_of(name) : 0;
	int r = object_get_number(object, number_key, ERRNO_MAX, &number, err);

	if (r < 0)
		return r;
	if (named < 0)
		return profile_refuse_word(err, name, "is not the name of an errno");
	/* Threat: a call that seems to succeed and has done nothing: setuid(), for one. */
	if (object_get(object, number_key) && number == 0)
		return isp_err_set(err, EINVAL, ISP_STAGE_SECCOMP,
				   "%s: with 0 a refused call would seem to succeed", number_key);
	if (named != 0 && number != 0 && (uint64_t)named != number)
		return isp_err_set(err, EINVAL, ISP_STAGE_SECCOMP, "%s and %s differ", number_key,
				   name_key);
	*ret_errno = named != 0 ? (uint32_t)named : (uint32_t)number;
	return 0;
}

static int read_action(const json_t *object, const char *key, const char *number_key,
		       const char *name_key, uint32_t *ret_action, struct isp_error *err)
{
	const char *name = object_get_text(object, key);
	const struct word *action = name ? find_word(actions, ISP_ARRAY_SIZE(actions), name) : NULL;
	uint32_t number = 0;
	int r;

	if (!name)
		return isp_err_set(err, EINVAL, ISP_STAGE_SECCOMP, "%s: missing", key);
	if (!action) {
		(void)profile_refuse_word(err, name, "is not an action that is possible here");
		return profile_inside(err, key);
	}
	r = read_errno(object, number_key, name_key, &number, err);
	if (r < 0)
		return r;
	*ret_action = action->value;
	if (number == 0)
		return 0;
	if (action->value != SCMP_ACT_ERRNO(EPERM))
		return isp_err_set(err, EINVAL, ISP_STAGE_SECCOMP, "%s: \"%s\" has no errno", key,
				   name);
	*ret_action = SCMP_ACT_ERRNO(number);
	return 0;
}

/* --- conditions ------------------------------------------------------------------------------- */

/* Two numbers; of a release, @has_more, whatever follows. */
static int parse_version(const char *text, bool has_more, unsigned int *ret_kernel,
			 unsigned int *ret_patch)
{
	char major[8] = "", minor[8] = "", more = 0;
	uint64_t kernel = 0, patch = 0;
	int count = sscanf(text, "%7[0-9].%7[0-9]%c", major, minor, &more);

	if (count < 2 || (count > 2 && !has_more) ||
	    isp_parse_u64(major, 1, UINT16_MAX, &kernel) < 0 ||
	    isp_parse_u64(minor, 0, UINT16_MAX, &patch) < 0)
		return -EINVAL;
	*ret_kernel = (unsigned int)kernel;
	*ret_patch = (unsigned int)patch;
	return 0;
}

int circumstances_now(uint64_t capabilities, struct circumstances *ret, struct isp_error *err)
{
	static const struct word spellings[] = {
		{"amd64", SCMP_ARCH_X86_64},
		{"arm64", SCMP_ARCH_AARCH64},
		{"riscv64", SCMP_ARCH_RISCV64},
	};
	struct utsname host;

	if (uname(&host) != 0)
		return isp_err_set(err, errno, ISP_STAGE_SECCOMP, "ask for the kernel's release");
	if (parse_version(host.release, true, &ret->kernel, &ret->patch) < 0)
		return isp_err_set(err, EINVAL, ISP_STAGE_SECCOMP,
				   "the kernel's release is no version");
	ret->capabilities = capabilities;
	ret->architecture = "";
	for (size_t i = 0; i < ISP_ARRAY_SIZE(spellings); i++)
		if (spellings[i].value == seccomp_arch_native())
			ret->architecture = spellings[i].name;
	return 0;
}

/* struct findings - of one includes or excludes: how many of its words hold, and of how many */
struct findings {
	size_t held, count;
};

static int find_caps(const json_t *list, const struct circumstances *now, struct findings *ret,
		     struct isp_error *err)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *name = json_string_value(json_array_get(list, i));
		uint64_t bit = 0;
		int r = name ? isp_capability_parse(name, &bit) : -EINVAL;

		/* One that is never granted is never held. */
		if (r < 0 && r != -EPERM) {
			(void)profile_refuse_word(err, name ? name : "?", "is not a capability");
			return profile_inside_item(err, "caps", i);
		}
		ret->held += r == 0 && (now->capabilities & bit);
		ret->count++;
	}
	return 0;
}

static int find_arches(const json_t *list, const struct circumstances *now, struct findings *ret,
		       struct isp_error *err)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *name = json_string_value(json_array_get(list, i));

		if (!name) {
			(void)profile_refuse(err, "not a name");
			return profile_inside_item(err, "arches", i);
		}
		ret->held += strcmp(name, now->architecture) == 0;
		ret->count++;
	}
	return 0;
}

static int find_kernel(const json_t *value, const struct circumstances *now, struct findings *ret,
		       struct isp_error *err)
{
	const char *text = json_string_value(value);
	unsigned int kernel = 0, patch = 0;

	if (!text)
		return 0;
	if (parse_version(text, false, &kernel, &patch) < 0) {
		(void)profile_refuse_word(err, text, "is not a version such as 4.8");
		return profile_inside(err, "minKernel");
	}
	ret->count = 1;
	ret->held = now->kernel > kernel || (now->kernel == kernel && now->patch >= patch);
	return 0;
}

/* Docker's meaning: includes wants all of caps, the machine among arches, and the kernel; excludes
 * is met by any one of them. */
static int is_meant(const json_t *rule, const char *key, const struct circumstances *now,
		    bool *ret_is_meant, struct isp_error *err)
{
	bool is_excludes = strcmp(key, "excludes") == 0;
	struct findings caps = {0}, arches = {0}, kernel = {0};
	json_t *condition = object_get(rule, key);
	int r;

	if (!condition)
		return 0;
	r = object_check(condition, condition_members, ISP_ARRAY_SIZE(condition_members), err);
	if (r == 0)
		r = find_caps(object_get(condition, "caps"), now, &caps, err);
	if (r == 0)
		r = find_arches(object_get(condition, "arches"), now, &arches, err);
	if (r == 0)
		r = find_kernel(object_get(condition, "minKernel"), now, &kernel, err);
	if (r < 0)
		return profile_inside(err, key);
	if (is_excludes ? caps.held + arches.held + kernel.held > 0
			: caps.held < caps.count || (arches.count > 0 && arches.held == 0) ||
				  kernel.held < kernel.count)
		*ret_is_meant = false;
	return 0;
}

/* --- rules ------------------------------------------------------------------------------------ */

static int read_comparison(json_t *object, struct rule *rule, struct isp_error *err)
{
	const char *name;
	const struct word *op;
	uint64_t index = 0, value = 0, second = 0;
	int r = object_check(object, comparison_members, ISP_ARRAY_SIZE(comparison_members), err);

	if (r == 0)
		r = object_get_number(object, "index", ARGUMENTS_MAX - 1, &index, err);
	if (r == 0)
		r = object_get_number(object, "value", UINT64_MAX, &value, err);
	if (r == 0)
		r = object_get_number(object, "valueTwo", UINT64_MAX, &second, err);
	if (r < 0)
		return r;
	name = object_get_text(object, "op");
	op = name ? find_word(operators, ISP_ARRAY_SIZE(operators), name) : NULL;
	if (!op)
		return profile_refuse_word(err, name ? name : "", "is not a comparison");
	/* Kernel-side it is (argument & value) == valueTwo. */
	if (op->value == SCMP_CMP_MASKED_EQ && (second & ~value) != 0)
		return profile_refuse(err, "valueTwo has bits outside value, the mask: never true");
	if (op->value != SCMP_CMP_MASKED_EQ && second != 0)
		return profile_refuse(err, "valueTwo belongs to SCMP_CMP_MASKED_EQ alone");
	for (unsigned int i = 0; i < rule->count; i++)
		if (rule->comparisons[i].arg == index)
			/* runc takes them for alternatives, crun refuses them. */
			return profile_refuse(err,
					      "two comparisons of one argument; write two rules");
	rule->comparisons[rule->count++] = (struct scmp_arg_cmp){
		(unsigned int)index, (enum scmp_compare)op->value, value, second};
	return 0;
}

static int read_comparisons(const json_t *object, struct rule *rule, struct isp_error *err)
{
	const json_t *list = object_get(object, "args");

	/* An argument stands once, so that there are never more than a call has. */
	for (size_t i = 0; i < json_array_size(list); i++)
		if (read_comparison(json_array_get(list, i), rule, err) < 0)
			return profile_inside_item(err, "args", i);
	return 0;
}

static int add_names(const json_t *object, struct rule *rule, struct rules *rules,
		     struct isp_error *err)
{
	const json_t *list = object_get(object, "names");
	const char *single = object_get_text(object, "name");

	if ((list != NULL) == (single != NULL))
		return profile_refuse(err, "one of names and name must stand, and not both");
	if (single) {
		rule->name = single;
		return rules_add(rules, rule, err) < 0 ? profile_inside(err, "name") : 0;
	}
	for (size_t i = 0; i < json_array_size(list); i++) {
		rule->name = json_string_value(json_array_get(list, i));
		if (!rule->name)
			(void)profile_refuse(err, "not a name");
		if (!rule->name || rules_add(rules, rule, err) < 0)
			return profile_inside_item(err, "names", i);
	}
	return 0;
}

/* All of a rule is checked, whether it is meant for this machine or not. */
static int read_rule(json_t *object, const struct circumstances *now, struct rules *rules,
		     struct isp_error *err)
{
	struct rule rule = {.count = 0};
	bool is_wanted = true;
	int r = object_check(object, rule_members, ISP_ARRAY_SIZE(rule_members), err);

	if (r == 0)
		r = read_action(object, "action", "errnoRet", "errno", &rule.action, err);
	if (r == 0)
		r = read_comparisons(object, &rule, err);
	if (r == 0)
		r = is_meant(object, "includes", now, &is_wanted, err);
	if (r == 0)
		r = is_meant(object, "excludes", now, &is_wanted, err);
	return r == 0 && is_wanted ? add_names(object, &rule, rules, err) : r;
}

static int read_rules(const json_t *profile, const struct circumstances *now, struct rules *rules,
		      struct isp_error *err)
{
	const json_t *list = object_get(profile, "syscalls");

	for (size_t i = 0; i < json_array_size(list); i++)
		if (read_rule(json_array_get(list, i), now, rules, err) < 0)
			return profile_inside_item(err, "syscalls", i);
	return 0;
}

/* --- architectures ---------------------------------------------------------------------------- */

/* struct coverage - which of this machine's architectures the profile is for */
struct coverage {
	bool has_native, has_second;
};

/* Other machines' architectures are passed over, and x32, which stays refused.  A misspelt one is
 * not covered, which refuses its calls. */
static int cover(const json_t *value, struct coverage *coverage, struct isp_error *err)
{
	const char *name = json_string_value(value);
	const struct word *arch;

	if (!name || strncmp(name, "SCMP_ARCH_", 10) != 0)
		return profile_refuse_word(err, name ? name : "", "is not an architecture");
	arch = find_word(architectures, ISP_ARRAY_SIZE(architectures), name);
	if (arch && arch->value == seccomp_arch_native())
		coverage->has_native = true;
	if (arch && arch->value == rules_second_arch())
		coverage->has_second = true;
	return 0;
}

static int cover_list(const json_t *list, const char *key, struct coverage *coverage,
		      struct isp_error *err)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		if (cover(json_array_get(list, i), coverage, err) < 0)
			return profile_inside_item(err, key, i);
	return 0;
}

/* Docker's: the entry of the native architecture, and what it lists below. */
static int cover_entry(json_t *entry, struct coverage *coverage, struct isp_error *err)
{
	struct coverage found = {.has_native = false}, below = {.has_native = false};
	int r = object_check(entry, map_members, ISP_ARRAY_SIZE(map_members), err);

	if (r == 0 && cover(object_get(entry, "architecture"), &found, err) < 0)
		r = profile_inside(err, "architecture");
	if (r == 0)
		r = cover_list(object_get(entry, "subArchitectures"), "subArchitectures", &below,
			       err);
	if (r == 0 && found.has_native) {
		coverage->has_native = true;
		coverage->has_second |= below.has_second;
	}
	return r;
}

static int read_architectures(const json_t *profile, struct coverage *coverage,
			      struct isp_error *err)
{
	const json_t *list = object_get(profile, "architectures");
	const json_t *map = object_get(profile, "archMap");
	int r = cover_list(list, "architectures", coverage, err);

	if (r < 0)
		return r;
	if (json_array_size(list) > 0 && json_array_size(map) > 0)
		return profile_refuse(err, "architectures and archMap exclude each other");
	for (size_t i = 0; i < json_array_size(map); i++)
		if (cover_entry(json_array_get(map, i), coverage, err) < 0)
			return profile_inside_item(err, "archMap", i);
	if (json_array_size(list) + json_array_size(map) == 0)
		coverage->has_native = true;
	if (!coverage->has_native)
		return profile_refuse(
			err, "this machine's architecture is not among those of the profile");
	return 0;
}

/* --- the whole -------------------------------------------------------------------------------- */

/* TSYNC is for threads, of which there is one.  LOG lets a tenant write to the host's log, and
 * SPEC_ALLOW takes a protection of the processor's off. */
static int check_flags(const json_t *profile, struct isp_error *err)
{
	const json_t *list = object_get(profile, "flags");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *name = json_string_value(json_array_get(list, i));

		if (name && strcmp(name, "SECCOMP_FILTER_FLAG_TSYNC") == 0)
			continue;
		(void)profile_refuse_word(err, name ? name : "",
					  "is not a flag that is possible here");
		return profile_inside_item(err, "flags", i);
	}
	return 0;
}

static int read_profile(json_t *profile, const struct circumstances *now, struct rules *rules,
			struct isp_error *err)
{
	struct coverage coverage = {.has_native = false};
	uint32_t action = 0;
	int r = object_check(profile, profile_members, ISP_ARRAY_SIZE(profile_members), err);

	if (r == 0)
		r = check_flags(profile, err);
	if (r == 0)
		r = read_architectures(profile, &coverage, err);
	if (r == 0)
		r = read_action(profile, "defaultAction", "defaultErrnoRet", "defaultErrno",
				&action, err);
	if (r == 0)
		r = rules_begin(rules, action, coverage.has_second, err);
	return r < 0 ? r : read_rules(profile, now, rules, err);
}

int profile_read(const char *bytes, size_t size, const struct circumstances *now,
		 struct rules *ret_rules, struct isp_error *err)
{
	json_error_t where;
	json_t *profile = json_loadb(bytes, size, JSON_REJECT_DUPLICATES, &where);
	char shown[SHOWN * 2];
	int r;

	if (!profile) {
		isp_escape(shown, sizeof(shown), where.text);
		return isp_err_set(err, EINVAL, ISP_STAGE_SECCOMP, "line %d, column %d: %s",
				   where.line, where.column, shown);
	}
	r = read_profile(profile, now, ret_rules, err);
	json_decref(profile);
	return r;
}
