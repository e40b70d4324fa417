/* SPDX-License-Identifier: GPL-3.0-or-later */
/* option.c - the keys of ispawn.conf; contract in ispawn/policy/option.h */
#include "ispawn/policy/option.h"
#include "ispawn/base/fd.h"
#include "ispawn/base/path.h"
#include "ispawn/policy/capability.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

static const char *const elsewhere_words[] = {"deny", "allow", NULL};

_Static_assert(sizeof(enum isp_elsewhere) == sizeof(unsigned int), "enums are unsigned int");

#define KEY(key, kind, member, standard, about, ...)                                               \
	{                                                                                          \
		.name = (key), .type = ISP_OPTION_##kind,                                          \
		.offset = offsetof(struct isp_settings, member), .default_text = (standard),       \
		.doc = (about), __VA_ARGS__                                                        \
	}
#define RANGE(low, high) .min = (low), .max = (high)

const struct isp_option isp_options[ISP_OPTION_TOTAL] = {
	KEY("confine", BOOL, confine, "no", "place the user's logins in containers"),
	KEY("services", LIST, services, "sshd login su su-l remote",
	    "PAM services in which a confined user gets a container", .is_item = isp_name_is_safe),
	KEY("other_services", WORD, other_services, "deny",
	    "what a confined user gets in all other PAM services", .words = elsewhere_words),
	KEY("template", NAME, template_name, "default",
	    "the root filesystem that the container is made from"),
	KEY("rootfs", WORD, rootfs, "overlay", "where the container's changes to its files go",
	    .words = isp_rootfs_words),
	KEY("home", WORD, home, "private", "which home directory the user has inside",
	    .words = isp_home_words),
	KEY("shell", SHELL, shell, "passwd", "the shell that is run inside"),
	KEY("privilege", WORD, privilege, "none",
	    "whether the user can become root of the container", .words = isp_privilege_words,
	    .run = "whether the command can be root of the container"),
	KEY("capabilities", CAPABILITIES, capabilities, "default",
	    "what root of the container may do", .run = "what root of the container may do"),
	KEY("seccomp", FILTER, seccomp, "default", "the system call filter",
	    .hint = " (NAME stands for " ISPAWN_SYSCONFDIR
		    "/seccomp/NAME.json; there is no login without a filter)",
	    .run = "the system call filter"),
	KEY("network", WORD, network, "none",
	    "which network the container and forwarded connections see", .words = isp_network_words,
	    .hint = "; nat does not exist yet", .run = "which network the container sees"),
	KEY("dns", LIST, dns, "", "addresses of the resolvers in the container's resolv.conf",
	    .is_item = isp_spec_address_is_valid, .hint = " (numeric addresses only)",
	    .run = "addresses of the resolvers in the container's resolv.conf"),
	KEY("memory", SIZE, limits.memory_bytes, "1G", "memory of all logins of the user together",
	    RANGE(ISP_MEMORY_MIN, UINT64_MAX), .run = "memory of the container"),
	KEY("swap", SIZE, limits.swap_bytes, "0", "swap space beyond memory", RANGE(0, UINT64_MAX),
	    .run = "swap space beyond memory"),
	KEY("pids", COUNT, limits.pids, "256",
	    "processes and threads of all logins of the user together",
	    RANGE(ISP_PIDS_MIN, 4194304), .run = "processes and threads of the container"),
	KEY("cpu", PERCENT, limits.cpu_percent, "100%",
	    "processor time, in percent of one core; 0% = no limit", RANGE(0, ISP_CPU_PERCENT_MAX),
	    .run = "processor time, in percent of one core; 0% = no limit"),
	KEY("cpu_weight", NUMBER, limits.cpu_weight, "100", "share of contended processor time",
	    RANGE(1, ISP_WEIGHT_MAX), .run = "share of contended processor time"),
	KEY("io_weight", NUMBER, limits.io_weight, "100", "share of contended disk bandwidth",
	    RANGE(1, ISP_WEIGHT_MAX), .run = "share of contended disk bandwidth"),
	KEY("sessions", NUMBER, limits.sessions, "16", "sessions of the user open at once",
	    RANGE(1, ISP_SESSIONS_MAX)),
	KEY("tmp_size", SIZE, tmp_size_bytes, "256M", "size of /tmp",
	    RANGE(ISP_TMPFS_MIN, ISP_TMPFS_MAX), .run = "size of /tmp"),
	KEY("ephemeral_size", SIZE, ephemeral_size_bytes, "1G",
	    "size of the upper layer for rootfs = ephemeral", RANGE(ISP_TMPFS_MIN, ISP_TMPFS_MAX),
	    .run = "size of the changes with --ephemeral"),
	KEY("nofile", NUMBER, nofile, "4096", "open files of one process (RLIMIT_NOFILE)",
	    RANGE(ISP_NOFILE_MIN, ISP_NOFILE_MAX),
	    .run = "open files of one process (RLIMIT_NOFILE)"),
	KEY("bind", BINDS, binds, "", "host paths shown inside, each SOURCE[:TARGET][:ro]",
	    .run = "host paths shown inside, each SOURCE[:TARGET][:ro]"),
	KEY("groups", LIST, groups, "", "supplementary groups that the user keeps inside",
	    .is_item = isp_name_is_safe),
	KEY("environment", LIST, environment, "", "further environment variables let through",
	    .is_item = isp_spec_variable_is_allowed,
	    .hint = " (not a name, or ispawn sets it, or it makes programs load code)",
	    .run = "further environment variables let through"),
	KEY("on_logout", WORD, on_logout, "kill", "what becomes of background programs at logout",
	    .words = isp_logout_words),
	KEY("idle_timeout", DURATION, idle_timeout_s, "0",
	    "end a session without input or output; 0 = never", RANGE(0, ISP_TIMEOUT_MAX_S),
	    .run = "end the container without input or output; 0 = never"),
	KEY("max_session", DURATION, max_session_s, "0", "end a session after this long; 0 = never",
	    RANGE(0, ISP_TIMEOUT_MAX_S), .run = "end the container after this long; 0 = never"),
	KEY("start_timeout", DURATION, start_timeout_s, "10s",
	    "deny the login when its container is not ready by then",
	    RANGE(1, ISP_START_TIMEOUT_MAX_S),
	    .run = "fail when the container is not ready by then"),
};

static void *place(struct isp_settings *settings, const struct isp_option *option)
{
	return (char *)settings + option->offset;
}

int isp_option_find(const char *name, size_t *ret_index)
{
	for (size_t i = 0; i < ISP_OPTION_TOTAL; i++) {
		if (strcmp(isp_options[i].name, name) == 0) {
			*ret_index = i;
			return 0;
		}
	}
	return -ENOENT;
}

/* --- types in words -------------------------------------------------------------------------- */

struct unit {
	char letter;
	uint64_t factor;
};

static const struct unit size_units[] = {
	{'T', 1ULL << 40}, {'G', 1ULL << 30}, {'M', 1ULL << 20}, {'K', 1ULL << 10}, {0, 1},
};
static const struct unit time_units[] = {
	{'d', 86400}, {'h', 3600}, {'m', 60}, {'s', 1}, {0, 1},
};
static const struct unit no_units[] = {{0, 1}};

/* The shortest exact spelling. */
static void number_text(const struct isp_option *option, uint64_t value, char *ret, size_t size)
{
	const struct unit *u = option->type == ISP_OPTION_SIZE       ? size_units
			       : option->type == ISP_OPTION_DURATION ? time_units
								     : no_units;

	if (value == UINT64_MAX) {
		(void)snprintf(ret, size, "max");
		return;
	}
	while (u->letter && (value == 0 || value % u->factor != 0))
		u++;
	/* Ignored, here and below: a text that does not fit is cut. */
	if (u->letter)
		(void)snprintf(ret, size, "%" PRIu64 "%c", value / u->factor, u->letter);
	else
		(void)snprintf(ret, size, "%" PRIu64 "%s", value,
			       option->type == ISP_OPTION_PERCENT ? "%" : "");
}

static void words_text(const char *const *words, char *ret, size_t size)
{
	size_t used = (size_t)snprintf(ret, size, "one of ");

	for (size_t i = 0; words[i] && used < size; i++)
		used += (size_t)snprintf(ret + used, size - used, "%s%s", i ? ", " : "", words[i]);
}

static void range_text(const struct isp_option *option, const char *what, char *ret, size_t size)
{
	char low[32];
	char high[32];

	number_text(option, option->min, low, sizeof(low));
	number_text(option, option->max, high, sizeof(high));
	(void)snprintf(ret, size, "%s, %s to %s%s", what, low, high,
		       option->type == ISP_OPTION_COUNT ? ", or max" : "");
}

bool isp_option_is_list(const struct isp_option *option)
{
	return option->type == ISP_OPTION_LIST || option->type == ISP_OPTION_BINDS ||
	       option->type == ISP_OPTION_CAPABILITIES;
}

void isp_option_type_text(const struct isp_option *option, char *ret_text, size_t size)
{
	static const char *const bool_words[] = {"yes", "no", NULL};
	static const char *const what[] = {
		[ISP_OPTION_NUMBER] = "number",
		[ISP_OPTION_COUNT] = "number",
		[ISP_OPTION_SIZE] = "size",
		[ISP_OPTION_DURATION] = "duration",
		[ISP_OPTION_PERCENT] = "percentage",
		[ISP_OPTION_NAME] = "name",
		[ISP_OPTION_FILTER] = "default, learn, or a name",
		[ISP_OPTION_SHELL] = "path, passwd, or none",
		[ISP_OPTION_CAPABILITIES] = "default, or a list",
		[ISP_OPTION_LIST] = "list",
		[ISP_OPTION_BINDS] = "list",
	};

	if (option->type == ISP_OPTION_BOOL || option->type == ISP_OPTION_WORD)
		words_text(option->words ? option->words : bool_words, ret_text, size);
	else if (option->max > 0)
		range_text(option, what[option->type], ret_text, size);
	else
		(void)snprintf(ret_text, size, "%s", what[option->type]);
}

/* --- parsing --------------------------------------------------------------------------------- */

/* Refuses @untrusted: a quoted word and the reason. */
static int refuse(struct isp_error *err, const char *untrusted, const char *why, const char *hint)
{
	char shown[64];

	isp_escape(shown, sizeof(shown), untrusted);
	(void)isp_err_set(err, EINVAL, ISP_STAGE_CONFIG, "\"%s\" %s%s", shown, why,
			  hint ? hint : "");
	return -EINVAL;
}

static int refuse_type(struct isp_error *err, const struct isp_option *option, const char *text)
{
	char type[128];
	char why[160];

	isp_option_type_text(option, type, sizeof(type));
	(void)snprintf(why, sizeof(why), "is not allowed: %s", type);
	return refuse(err, text, why, option->hint);
}

static int parse_number(const struct isp_option *option, const char *text, uint64_t *ret_value)
{
	const uint64_t min = option->min;
	const uint64_t max = option->max;

	if (option->type == ISP_OPTION_SIZE)
		return isp_parse_size(text, min, max, ret_value);
	if (option->type == ISP_OPTION_DURATION)
		return isp_parse_duration(text, min, max, ret_value);
	if (option->type == ISP_OPTION_PERCENT)
		return isp_parse_percent(text, min, max, ret_value);
	if (option->type == ISP_OPTION_COUNT && strcmp(text, "max") == 0) {
		*ret_value = UINT64_MAX;
		return 0;
	}
	return isp_parse_u64(text, min, max, ret_value);
}

static int parse_word(const struct isp_option *option, const char *text, unsigned int *ret_word)
{
	for (unsigned int i = 0; option->words[i]; i++) {
		if (strcmp(option->words[i], text) == 0) {
			*ret_word = i;
			return 0;
		}
	}
	return -EINVAL;
}

static void free_words(struct isp_words *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->words[i]);
	list->count = 0;
}
#define cleanup_words __attribute__((cleanup(free_words)))

static bool has_word(const struct isp_words *list, const char *word)
{
	for (size_t i = 0; i < list->count; i++)
		if (strcmp(list->words[i], word) == 0)
			return true;
	return false;
}

static int add_word(struct isp_words *list, const char *text, size_t size, struct isp_error *err)
{
	char *word;
	int r;

	if (list->count == ISP_LIST_MAX)
		return isp_err_set(err, EINVAL, ISP_STAGE_CONFIG, "more than %d words",
				   ISP_LIST_MAX);
	word = strndup(text, size);
	if (!word)
		return isp_err_set(err, ENOMEM, ISP_STAGE_CONFIG, "list");
	if (has_word(list, word)) {
		r = refuse(err, word, "stands twice", NULL);
		free(word);
		return r;
	}
	list->words[list->count++] = word;
	return 0;
}

/* Cuts @text at spaces, tabs and commas. */
static int split(const char *text, struct isp_words *list, struct isp_error *err)
{
	static const char separators[] = " \t,";
	int r = 0;

	text += strspn(text, separators);
	while (r == 0 && *text) {
		size_t size = strcspn(text, separators);

		r = add_word(list, text, size, err);
		text += size + strspn(text + size, separators);
	}
	return r;
}

static int set_list(const struct isp_option *option, const char *text, struct isp_words *list,
		    struct isp_error *err)
{
	cleanup_words struct isp_words fresh = {.count = 0};
	int r = split(text, &fresh, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < fresh.count; i++)
		if (!option->is_item(fresh.words[i]))
			return refuse(err, fresh.words[i], "is not allowed here", option->hint);
	free_words(list);
	*list = fresh;
	fresh.count = 0;
	return 0;
}

static int set_capabilities(const char *text, uint64_t *ret_mask, struct isp_error *err)
{
	cleanup_words struct isp_words names = {.count = 0};
	uint64_t mask = 0;
	int r = split(text, &names, err);

	if (r < 0)
		return r;
	if (names.count == 0)
		return refuse(err, text, "is not allowed: \"default\", or a list", NULL);
	if (names.count == 1 && strcmp(names.words[0], "default") == 0) {
		*ret_mask = isp_capability_reduced();
		return 0;
	}
	for (size_t i = 0; i < names.count; i++) {
		uint64_t bit = 0;

		r = isp_capability_parse(names.words[i], &bit);
		if (r == -EPERM)
			return refuse(err, names.words[i],
				      "is never granted: in a user namespace it opens more of the "
				      "kernel to attack than a container can bear",
				      NULL);
		if (r < 0)
			return refuse(err, names.words[i], "is not a capability", NULL);
		if (mask & bit)
			return refuse(err, names.words[i], "stands twice", NULL);
		mask |= bit;
	}
	*ret_mask = mask;
	return 0;
}

static int set_shell(const struct isp_option *option, const char *text, char *ret_shell,
		     struct isp_error *err)
{
	if (strcmp(text, "passwd") != 0 && strcmp(text, "none") != 0 &&
	    (text[0] == '\0' || !isp_spec_shell_is_valid(text)))
		return refuse_type(err, option, text);
	(void)snprintf(ret_shell, PATH_MAX, "%s", text); /* fits: a clean path */
	return 0;
}

static void free_binds(struct isp_binds *list)
{
	for (size_t i = 0; i < list->count; i++) {
		free(list->binds[i].source);
		free(list->binds[i].target);
	}
	list->count = 0;
}
#define cleanup_binds __attribute__((cleanup(free_binds)))

/* SOURCE[:TARGET][:ro], cut in place. */
static int parse_bind(char *word, struct isp_bind *ret, struct isp_error *err)
{
	char *target = strchr(word, ':');
	char *flag = target ? strchr(target + 1, ':') : NULL;
	const char *why = NULL;

	if (target)
		*target++ = '\0';
	if (flag)
		*flag++ = '\0';
	if (target && !flag && strcmp(target, "ro") == 0) {
		flag = target;
		target = NULL;
	}
	if (flag && strcmp(flag, "ro") != 0)
		return refuse(err, flag, "is not a flag of a bind: SOURCE[:TARGET][:ro]", NULL);
	if (!target)
		target = word;
	if (!isp_spec_bind_is_allowed(word, target, &why))
		return refuse(err, word, "cannot be bound: ", why);
	ret->source = strdup(word);
	ret->target = strdup(target);
	ret->is_read_only = flag != NULL;
	if (ret->source && ret->target)
		return 0;
	(void)isp_err_set(err, ENOMEM, ISP_STAGE_CONFIG, "bind");
	return -ENOMEM;
}

static int set_binds(const char *text, struct isp_binds *list, struct isp_error *err)
{
	cleanup_words struct isp_words words = {.count = 0};
	cleanup_binds struct isp_binds fresh = {.count = 0};
	int r = split(text, &words, err);

	if (r < 0)
		return r;
	while (fresh.count < words.count) {
		struct isp_bind *bind = &fresh.binds[fresh.count];

		r = parse_bind(words.words[fresh.count++], bind, err);
		if (r != 0)
			return r;
		for (size_t i = 0; i + 1 < fresh.count; i++)
			if (strcmp(fresh.binds[i].target, bind->target) == 0)
				return refuse(err, bind->target, "is the target of two binds",
					      NULL);
	}
	free_binds(list);
	*list = fresh;
	fresh.count = 0;
	return 0;
}

static int set_name(const struct isp_option *option, const char *text, char *ret_name,
		    struct isp_error *err)
{
	if (!isp_name_is_safe(text) ||
	    (option->type == ISP_OPTION_FILTER && !isp_spec_filter_is_valid(text)))
		return refuse_type(err, option, text);
	(void)snprintf(ret_name, ISP_NAME_MAX + 1, "%s", text); /* fits: a safe name */
	return 0;
}

static int set_number(const struct isp_option *option, const char *text, uint64_t *ret_value,
		      struct isp_error *err)
{
	return parse_number(option, text, ret_value) < 0 ? refuse_type(err, option, text) : 0;
}

int isp_option_set(const struct isp_option *option, const char *text, struct isp_settings *settings,
		   struct isp_error *err)
{
	void *value = place(settings, option);

	switch (option->type) {
	case ISP_OPTION_BOOL:
		return isp_parse_bool(text, value) < 0 ? refuse_type(err, option, text) : 0;
	case ISP_OPTION_WORD:
		return parse_word(option, text, value) < 0 ? refuse_type(err, option, text) : 0;
	case ISP_OPTION_NUMBER:
	case ISP_OPTION_COUNT:
	case ISP_OPTION_SIZE:
	case ISP_OPTION_DURATION:
	case ISP_OPTION_PERCENT:
		return set_number(option, text, value, err);
	case ISP_OPTION_NAME:
	case ISP_OPTION_FILTER:
		return set_name(option, text, value, err);
	case ISP_OPTION_SHELL:
		return set_shell(option, text, value, err);
	case ISP_OPTION_CAPABILITIES:
		return set_capabilities(text, value, err);
	case ISP_OPTION_LIST:
		return set_list(option, text, value, err);
	case ISP_OPTION_BINDS:
		return set_binds(text, value, err);
	}
	return isp_err_set(err, EINVAL, ISP_STAGE_CONFIG, "key of an unknown type");
}

int isp_settings_default(struct isp_settings *ret_settings, struct isp_error *err)
{
	for (size_t i = 0; i < ISP_OPTION_TOTAL; i++) {
		int r = isp_option_set(&isp_options[i], isp_options[i].default_text, ret_settings,
				       err);

		if (r < 0) {
			isp_settings_free(ret_settings);
			return isp_err_prefix(err, "default of %s", isp_options[i].name);
		}
	}
	return 0;
}

void isp_settings_free(struct isp_settings *settings)
{
	free_words(&settings->services);
	free_words(&settings->dns);
	free_words(&settings->groups);
	free_words(&settings->environment);
	free_binds(&settings->binds);
	memset(settings, 0, sizeof(*settings));
}
