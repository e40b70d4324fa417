/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * spec.c - the frozen build order; contract in ispawn/policy/spec.h
 *
 * One table describes every field: its name and place, how it is written, what it may hold.
 * Encoding is "check, print", decoding is "parse, check", with the same check, so that nothing can
 * be written that cannot be read back.  Each value has one spelling only.  A list is its length,
 * `groups=2`, followed by that many fields of the same name.
 */
#include "ispawn/policy/spec.h"
#include "ispawn/base/fd.h"
#include "ispawn/base/path.h"
#include "ispawn/policy/capability.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *const bool_words[] = {"no", "yes", NULL};

/* Words are written through these types; the table below names them by offset. */
_Static_assert(sizeof(enum isp_rootfs) == sizeof(unsigned int), "enums are unsigned int");
_Static_assert(sizeof(uid_t) == sizeof(uint32_t) && sizeof(gid_t) == sizeof(uint32_t), "ids");

enum kind {
	NUMBER,     /* uint64_t, in @min..@max */
	ID,         /* uid_t or gid_t, one that check_id() takes */
	WORD,       /* enum, one of @words */
	FLAG,       /* bool */
	FIXED,      /* char[@max + 1] that @is_valid */
	TEXT,       /* char * that @is_valid */
	LIST_TEXT,  /* char *[ISP_LIST_MAX], each @is_valid; length at @count */
	LIST_GROUP, /* struct isp_group[ISP_LIST_MAX], written GID:NAME */
	LIST_BIND,  /* struct isp_bind[ISP_LIST_MAX], written ro:SOURCE:TARGET or rw:... */
};

struct field {
	const char *name;
	enum kind kind;
	size_t offset;
	uint64_t min, max;
	const char *const *words;
	bool (*is_valid)(const char *text);
	size_t count;
};

#define AT(member) offsetof(struct isp_spec, member)
#define NUMBER_IN(name, member, low, high)                                                         \
	{                                                                                          \
		name, NUMBER, AT(member), low, high, NULL, NULL, 0                                 \
	}
#define AN_ID(name, member)                                                                        \
	{                                                                                          \
		name, ID, AT(member), 0, 0, NULL, NULL, 0                                          \
	}
#define ONE_OF(name, member, words)                                                                \
	{                                                                                          \
		name, WORD, AT(member), 0, 0, words, NULL, 0                                       \
	}
#define YES_NO(name, member)                                                                       \
	{                                                                                          \
		name, FLAG, AT(member), 0, 0, bool_words, NULL, 0                                  \
	}
#define TEXT_THAT(name, member, is)                                                                \
	{                                                                                          \
		name, TEXT, AT(member), 0, 0, NULL, is, 0                                          \
	}
#define ARRAY_THAT(name, member, is)                                                               \
	{                                                                                          \
		name, FIXED, AT(member), 0, sizeof(((struct isp_spec *)0)->member) - 1, NULL, is,  \
			0                                                                          \
	}
#define LIST_OF(name, kind, member, length, is)                                                    \
	{                                                                                          \
		name, kind, AT(member), 0, 0, NULL, is, AT(length)                                 \
	}

static bool is_directory(const char *text)
{
	return text[0] == '\0' || isp_path_is_clean(text);
}

/* Where no home is mounted it may be anywhere; check_whole() knows. */
static bool is_home(const char *text)
{
	return isp_path_is_clean(text) && !strchr(text, ':');
}

static const struct field fields[] = {
	ARRAY_THAT("session", session, isp_session_id_is_valid),
	ONE_OF("owner", owner, isp_owner_words),
	ARRAY_THAT("user", user, isp_name_is_safe),
	AN_ID("uid", uid),
	AN_ID("gid", gid),
	TEXT_THAT("group", group, isp_spec_group_name_is_valid),
	TEXT_THAT("gecos", gecos, isp_spec_passwd_text_is_valid),
	TEXT_THAT("service", service, isp_spec_text_is_printable),
	TEXT_THAT("tty", tty, isp_spec_text_is_printable),
	TEXT_THAT("rhost", rhost, isp_spec_text_is_printable),
	LIST_OF("groups", LIST_GROUP, groups, group_count, NULL),
	TEXT_THAT("directory", directory, is_directory),
	YES_NO("runs_commands", runs_commands),
	YES_NO("is_rootless", is_rootless),
	YES_NO("is_unlimited", is_unlimited),
	YES_NO("has_one_id", has_one_id),
	ARRAY_THAT("template", template_name, isp_name_is_safe),
	ONE_OF("rootfs", rootfs, isp_rootfs_words),
	ONE_OF("home", home, isp_home_words),
	TEXT_THAT("home_path", home_path, is_home),
	TEXT_THAT("shell", shell, isp_spec_shell_is_valid),
	YES_NO("shell_is_fallback", shell_is_fallback),
	ARRAY_THAT("hostname", hostname, isp_spec_hostname_is_valid),
	LIST_OF("dns", LIST_TEXT, dns, dns_count, isp_spec_address_is_valid),
	LIST_OF("bind", LIST_BIND, binds, bind_count, NULL),
	NUMBER_IN("tmp_size", tmp_size_bytes, ISP_TMPFS_MIN, ISP_TMPFS_MAX),
	NUMBER_IN("ephemeral_size", ephemeral_size_bytes, ISP_TMPFS_MIN, ISP_TMPFS_MAX),
	ONE_OF("privilege", privilege, isp_privilege_words),
	NUMBER_IN("capabilities", capabilities, 0, UINT64_MAX),
	ARRAY_THAT("seccomp", seccomp, isp_spec_filter_is_valid),
	ONE_OF("network", network, isp_network_words),
	NUMBER_IN("memory", limits.memory_bytes, ISP_MEMORY_MIN, UINT64_MAX),
	NUMBER_IN("swap", limits.swap_bytes, 0, UINT64_MAX),
	NUMBER_IN("pids", limits.pids, ISP_PIDS_MIN, UINT64_MAX),
	NUMBER_IN("cpu", limits.cpu_percent, 0, ISP_CPU_PERCENT_MAX),
	NUMBER_IN("cpu_weight", limits.cpu_weight, 1, ISP_WEIGHT_MAX),
	NUMBER_IN("io_weight", limits.io_weight, 1, ISP_WEIGHT_MAX),
	NUMBER_IN("sessions", limits.sessions, 1, ISP_SESSIONS_MAX),
	NUMBER_IN("nofile", nofile, ISP_NOFILE_MIN, ISP_NOFILE_MAX),
	LIST_OF("environment", LIST_TEXT, environment, environment_count,
		isp_spec_variable_is_allowed),
	ONE_OF("on_logout", on_logout, isp_logout_words),
	NUMBER_IN("idle_timeout", idle_timeout_s, 0, ISP_TIMEOUT_MAX_S),
	NUMBER_IN("max_session", max_session_s, 0, ISP_TIMEOUT_MAX_S),
	NUMBER_IN("start_timeout", start_timeout_s, 1, ISP_START_TIMEOUT_MAX_S),
};

static void *place(struct isp_spec *spec, size_t offset)
{
	return (char *)spec + offset;
}

static const void *look(const struct isp_spec *spec, size_t offset)
{
	return (const char *)spec + offset;
}

static int bad(struct isp_error *err, const char *name, const char *why)
{
	return isp_err_set(err, EINVAL, ISP_STAGE_SPEC, "spec field \"%s\": %s", name, why);
}

static bool is_id(uint32_t id)
{
	return id != 0 && id != UINT32_MAX;
}

/* Order: the owner stands before the ids.  Of root's own trees every id is one of 0..65535. */
static const char *check_id(const struct isp_spec *spec, uint32_t id)
{
	if (spec->owner == ISP_OWNER_ROOT)
		return id < ISP_TREE_IDS ? NULL : "an id that no tree of root's has";
	return is_id(id) ? NULL : "an id that is never a user's";
}

/* --- the check, shared by both directions -------------------------------------------------- */

static const char *check_groups(const struct isp_spec *spec)
{
	for (size_t i = 0; i < spec->group_count; i++)
		if (!is_id(spec->groups[i].gid) || !spec->groups[i].name ||
		    !isp_spec_group_name_is_valid(spec->groups[i].name))
			return "not a group that can be kept";
	return NULL;
}

static const char *check_binds(const struct isp_spec *spec)
{
	const char *why = NULL;

	for (size_t i = 0; i < spec->bind_count; i++) {
		const struct isp_bind *b = &spec->binds[i];

		if (!b->source || !b->target)
			return "missing";
		if (!isp_spec_bind_is_allowed(b->source, b->target, &why))
			return why;
	}
	return NULL;
}

static const char *check_text(const struct field *f, const char *text)
{
	if (!text)
		return "missing";
	return f->is_valid(text) ? NULL : "not a value that is allowed here";
}

static const char *check_texts(const struct field *f, const char *const *texts, size_t count)
{
	const char *why = NULL;

	for (size_t i = 0; i < count && !why; i++)
		why = check_text(f, texts[i]);
	return why;
}

static const char *check_word(const struct field *f, unsigned int word)
{
	unsigned int count = 0;

	while (f->words[count])
		count++;
	return word < count ? NULL : "no such word";
}

/* Return: NULL, or why the field's value cannot be. */
static const char *check_field(const struct isp_spec *spec, const struct field *f)
{
	const void *value = look(spec, f->offset);
	size_t count = f->count ? *(const size_t *)look(spec, f->count) : 0;

	if (count > ISP_LIST_MAX)
		return "too many";
	switch (f->kind) {
	case NUMBER:
		return *(const uint64_t *)value < f->min || *(const uint64_t *)value > f->max
			       ? "out of range"
			       : NULL;
	case ID:
		return check_id(spec, *(const uint32_t *)value);
	case WORD:
		return check_word(f, *(const unsigned int *)value);
	case FLAG:
		return NULL;
	case FIXED:
		return memchr(value, '\0', f->max + 1) ? check_text(f, value) : "not terminated";
	case TEXT:
		return check_text(f, *(const char *const *)value);
	case LIST_TEXT:
		return check_texts(f, value, count);
	case LIST_GROUP:
		return check_groups(spec);
	case LIST_BIND:
		return check_binds(spec);
	}
	return "unknown kind";
}

/* What no field can tell alone. */
static int check_whole(const struct isp_spec *spec, struct isp_error *err)
{
	const char *field = "";
	const char *why = isp_spec_contradiction(spec, &field);

	return why ? bad(err, field, why) : 0;
}

/* --- encoding ------------------------------------------------------------------------------ */

static void print_list(FILE *out, const struct isp_spec *spec, const struct field *f)
{
	size_t count = *(const size_t *)look(spec, f->count);
	const void *value = look(spec, f->offset);

	(void)fprintf(out, "%s=%zu%c", f->name, count, '\0');
	for (size_t i = 0; i < count; i++) {
		(void)fprintf(out, "%s=", f->name);
		if (f->kind == LIST_GROUP)
			(void)fprintf(out, "%" PRIu32 ":%s", spec->groups[i].gid,
				      spec->groups[i].name);
		else if (f->kind == LIST_BIND)
			(void)fprintf(out, "%s:%s:%s", spec->binds[i].is_read_only ? "ro" : "rw",
				      spec->binds[i].source, spec->binds[i].target);
		else
			(void)fputs(((const char *const *)value)[i], out);
		(void)fputc('\0', out);
	}
}

static void print_field(FILE *out, const struct isp_spec *spec, const struct field *f)
{
	const void *value = look(spec, f->offset);

	if (f->count) {
		print_list(out, spec, f);
		return;
	}
	/* Ignored: the stream remembers its errors; isp_spec_encode() asks once at the end. */
	(void)fprintf(out, "%s=", f->name);
	if (f->kind == NUMBER)
		(void)fprintf(out, "%" PRIu64, *(const uint64_t *)value);
	else if (f->kind == ID)
		(void)fprintf(out, "%" PRIu32, *(const uint32_t *)value);
	else if (f->kind == WORD)
		(void)fputs(f->words[*(const unsigned int *)value], out);
	else if (f->kind == FLAG)
		(void)fputs(f->words[*(const bool *)value], out);
	else
		(void)fputs(f->kind == FIXED ? value : *(const char *const *)value, out);
	(void)fputc('\0', out);
}

int isp_spec_encode(const struct isp_spec *spec, char **ret_bytes, size_t *ret_size,
		    struct isp_error *err)
{
	cleanup_free char *bytes = NULL;
	size_t size = 0;
	FILE *out = NULL;
	bool is_written;
	int r;

	for (size_t i = 0; i < ISP_ARRAY_SIZE(fields); i++) {
		const char *why = check_field(spec, &fields[i]);

		if (why)
			return bad(err, fields[i].name, why);
	}
	r = check_whole(spec, err);
	if (r < 0)
		return r;
	out = open_memstream(&bytes, &size);
	if (!out)
		return isp_err_set(err, ENOMEM, ISP_STAGE_SPEC, "encode the spec");
	(void)fprintf(out, "version=%d%c", ISP_SPEC_VERSION, '\0');
	for (size_t i = 0; i < ISP_ARRAY_SIZE(fields); i++)
		print_field(out, spec, &fields[i]);
	is_written = !ferror(out);
	if (fclose(out) != 0 || !is_written)
		return isp_err_set(err, ENOMEM, ISP_STAGE_SPEC, "encode the spec");
	if (size > ISP_SPEC_SIZE_MAX)
		return isp_err_set(err, E2BIG, ISP_STAGE_SPEC, "encode the spec: %zu bytes", size);
	*ret_size = size;
	*ret_bytes = steal_pointer(&bytes);
	return 0;
}

/* --- decoding ------------------------------------------------------------------------------ */

/* What is left to read. */
struct cursor {
	const char *next;
	size_t left;
};

/* Cuts `@name=value\0` off; *ret_value points into the bytes. */
static int take(struct cursor *c, const char *name, const char **ret_value, struct isp_error *err)
{
	size_t size = strnlen(c->next, c->left);
	size_t name_size = strlen(name);
	char found[64];

	if (c->left == 0)
		return bad(err, name, "missing: the spec ends before it");
	if (size == c->left)
		return bad(err, name, "cut off");
	if (size <= name_size || strncmp(c->next, name, name_size) != 0 ||
	    c->next[name_size] != '=') {
		isp_escape(found, sizeof(found), c->next);
		return isp_err_set(err, EINVAL, ISP_STAGE_SPEC,
				   "spec field \"%s\": missing, found \"%s\"", name, found);
	}
	*ret_value = c->next + name_size + 1;
	c->next += size + 1;
	c->left -= size + 1;
	return 0;
}

/* One spelling for each number: no zeros before it. */
static int parse_number(const char *text, uint64_t max, uint64_t *ret_value)
{
	if (text[0] == '0' && text[1])
		return -EINVAL;
	return isp_parse_u64(text, 0, max, ret_value);
}

static int parse_word(const char *text, const char *const *words, unsigned int *ret_word)
{
	for (unsigned int i = 0; words[i]; i++) {
		if (strcmp(words[i], text) == 0) {
			*ret_word = i;
			return 0;
		}
	}
	return -EINVAL;
}

static int parse_text(const char *text, char **ret_text)
{
	char *copy = strdup(text);

	if (!copy)
		return -ENOMEM;
	*ret_text = copy;
	return 0;
}

static int parse_group(const char *text, struct isp_group *ret)
{
	const char *colon = strchr(text, ':');
	char digits[16] = "";
	uint64_t gid = 0;

	if (!colon || (size_t)(colon - text) >= sizeof(digits))
		return -EINVAL;
	memcpy(digits, text, (size_t)(colon - text));
	if (parse_number(digits, UINT32_MAX, &gid) < 0)
		return -EINVAL;
	ret->gid = (gid_t)gid;
	return parse_text(colon + 1, &ret->name);
}

static int parse_bind(const char *text, struct isp_bind *ret)
{
	const char *colon;

	if (strncmp(text, "ro:", 3) != 0 && strncmp(text, "rw:", 3) != 0)
		return -EINVAL;
	colon = strchr(text + 3, ':');
	if (!colon)
		return -EINVAL;
	ret->is_read_only = text[1] == 'o';
	ret->source = strndup(text + 3, (size_t)(colon - text) - 3);
	if (!ret->source)
		return -ENOMEM;
	return parse_text(colon + 1, &ret->target);
}

static int parse_item(struct isp_spec *spec, const struct field *f, size_t i, const char *text)
{
	char **texts;

	if (f->kind == LIST_GROUP)
		return parse_group(text, &spec->groups[i]);
	if (f->kind == LIST_BIND)
		return parse_bind(text, &spec->binds[i]);
	texts = place(spec, f->offset);
	return parse_text(text, &texts[i]);
}

/* @text was the length; the items follow. */
static int decode_list(struct isp_spec *spec, const struct field *f, const char *text,
		       struct cursor *c, struct isp_error *err)
{
	size_t *count = place(spec, f->count);
	uint64_t length = 0;

	if (parse_number(text, ISP_LIST_MAX, &length) < 0)
		return bad(err, f->name, "bad length");
	while (*count < length) {
		int r = take(c, f->name, &text, err);

		if (r < 0)
			return r;
		r = parse_item(spec, f, (*count)++, text);
		if (r < 0)
			return isp_err_set(err, -r, ISP_STAGE_SPEC, "spec field \"%s\", item %zu",
					   f->name, *count);
	}
	return 0;
}

static int parse_id(const char *text, uint32_t *ret_id)
{
	uint64_t id = 0;
	int r = parse_number(text, UINT32_MAX, &id);

	if (r == 0)
		*ret_id = (uint32_t)id;
	return r;
}

static int parse_fixed(const char *text, uint64_t max, char *ret_text)
{
	size_t size = strlen(text);

	if (size > max)
		return -EINVAL;
	memcpy(ret_text, text, size + 1);
	return 0;
}

static int parse_plain(struct isp_spec *spec, const struct field *f, const char *text)
{
	void *value = place(spec, f->offset);
	unsigned int word = 0;
	int r = -EINVAL;

	if (f->kind == NUMBER)
		return parse_number(text, UINT64_MAX, value);
	if (f->kind == ID)
		return parse_id(text, value);
	if (f->kind == WORD)
		return parse_word(text, f->words, value);
	if (f->kind == FIXED)
		return parse_fixed(text, f->max, value);
	if (f->kind == TEXT)
		return parse_text(text, value);
	r = parse_word(text, f->words, &word);
	if (r == 0)
		*(bool *)value = word == 1;
	return r;
}

static int decode_field(struct isp_spec *spec, const struct field *f, struct cursor *c,
			struct isp_error *err)
{
	const char *text = "";
	const char *why;
	int r = take(c, f->name, &text, err);

	if (r < 0)
		return r;
	r = f->count ? decode_list(spec, f, text, c, err) : parse_plain(spec, f, text);
	if (r < 0)
		return isp_err_set(err, -r, ISP_STAGE_SPEC, "spec field \"%s\"", f->name);
	why = check_field(spec, f);
	return why ? bad(err, f->name, why) : 0;
}

static int decode_version(struct cursor *c, struct isp_error *err)
{
	const char *text = "";
	char shown[32];
	int r = take(c, "version", &text, err);

	if (r < 0)
		return r;
	(void)snprintf(shown, sizeof(shown), "%d", ISP_SPEC_VERSION); /* fits */
	if (strcmp(text, shown) == 0)
		return 0;
	isp_escape(shown, sizeof(shown), text);
	return isp_err_set(err, EPROTO, ISP_STAGE_SPEC,
			   "the spec has version \"%s\", this program reads version %d: the module "
			   "and the supervisor are from different releases",
			   shown, ISP_SPEC_VERSION);
}

static int decode_all(struct cursor *c, struct isp_spec *spec, struct isp_error *err)
{
	int r = decode_version(c, err);

	for (size_t i = 0; r == 0 && i < ISP_ARRAY_SIZE(fields); i++)
		r = decode_field(spec, &fields[i], c, err);
	if (r == 0 && c->left > 0)
		r = isp_err_set(err, EINVAL, ISP_STAGE_SPEC,
				"%zu bytes after the spec's last field", c->left);
	return r == 0 ? check_whole(spec, err) : r;
}

int isp_spec_decode(const char *bytes, size_t size, struct isp_spec *ret_spec,
		    struct isp_error *err)
{
	struct cursor cursor = {.next = bytes, .left = size};
	int r;

	if (size > ISP_SPEC_SIZE_MAX)
		return isp_err_set(err, EINVAL, ISP_STAGE_SPEC, "the spec has %zu bytes", size);
	r = decode_all(&cursor, ret_spec, err);
	if (r < 0)
		isp_spec_free(ret_spec);
	return r;
}

/* --- the end ------------------------------------------------------------------------------- */

static void free_list(struct isp_spec *spec, const struct field *f)
{
	size_t count = *(size_t *)place(spec, f->count);

	for (size_t i = 0; i < count && i < ISP_LIST_MAX; i++) {
		if (f->kind == LIST_GROUP) {
			free(spec->groups[i].name);
		} else if (f->kind == LIST_BIND) {
			free(spec->binds[i].source);
			free(spec->binds[i].target);
		} else {
			free(((char **)place(spec, f->offset))[i]);
		}
	}
}

void isp_spec_free(struct isp_spec *spec)
{
	for (size_t i = 0; i < ISP_ARRAY_SIZE(fields); i++) {
		if (fields[i].count)
			free_list(spec, &fields[i]);
		else if (fields[i].kind == TEXT)
			free(*(char **)place(spec, fields[i].offset));
	}
	memset(spec, 0, sizeof(*spec));
}
