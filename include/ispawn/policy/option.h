/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * option.h - the keys of ispawn.conf
 *
 * Theory of operation: one table holds every key with its type, place, range, default and a line of
 * documentation.  It is parser, range check, defaults and reference at once: ispawn.conf(5) and the
 * shipped ispawn.conf are compared with it by tests/check/options.  A value is taken whole or
 * refused with a reason; nothing is trimmed to fit.  A list replaces the list of a weaker section,
 * it does not add to it.
 */
#ifndef ISPAWN_POLICY_OPTION_H
#define ISPAWN_POLICY_OPTION_H

#include "ispawn/policy/spec.h"

#include <limits.h>

enum isp_elsewhere { ISP_ELSEWHERE_DENY, ISP_ELSEWHERE_ALLOW };

/** struct isp_words - a list of words; owned */
struct isp_words {
	char *words[ISP_LIST_MAX];
	size_t count;
};

/** struct isp_binds - a list of binds; owned */
struct isp_binds {
	struct isp_bind binds[ISP_LIST_MAX];
	size_t count;
};

/** struct isp_settings - one value for each key; starts `= { 0 }`, ends isp_settings_free() */
struct isp_settings {
	bool confine;
	struct isp_words services;
	enum isp_elsewhere other_services;
	char template_name[ISP_NAME_MAX + 1];
	enum isp_rootfs rootfs;
	enum isp_home home;
	char shell[PATH_MAX]; /* "passwd", "none" or a clean path */
	enum isp_privilege privilege;
	uint64_t capabilities;
	char seccomp[ISP_NAME_MAX + 1]; /* "default", "learn" or a profile's name */
	enum isp_network network;
	struct isp_words dns;
	struct isp_limits limits;
	uint64_t tmp_size_bytes;
	uint64_t ephemeral_size_bytes;
	uint64_t nofile;
	struct isp_binds binds;
	struct isp_words groups;
	struct isp_words environment;
	enum isp_logout on_logout;
	uint64_t idle_timeout_s;
	uint64_t max_session_s;
	uint64_t start_timeout_s;
};

/** enum isp_option_type - how a value is written */
enum isp_option_type {
	ISP_OPTION_BOOL,     /* yes or no */
	ISP_OPTION_WORD,     /* one of @words */
	ISP_OPTION_NUMBER,   /* digits */
	ISP_OPTION_COUNT,    /* digits, or max */
	ISP_OPTION_SIZE,     /* digits with K M G T, or max */
	ISP_OPTION_DURATION, /* digits with s m h d */
	ISP_OPTION_PERCENT,  /* digits with % */
	ISP_OPTION_NAME,     /* a template's name */
	ISP_OPTION_FILTER,   /* default, learn, or a profile's name */
	ISP_OPTION_SHELL,    /* passwd, none, or a path */
	ISP_OPTION_CAPABILITIES,
	ISP_OPTION_LIST, /* words, each of which @is_item */
	ISP_OPTION_BINDS,
};

/** struct isp_option - one key */
struct isp_option {
	const char *name;
	enum isp_option_type type;
	size_t offset; /* in struct isp_settings */
	uint64_t min, max;
	const char *const *words;
	bool (*is_item)(const char *text);
	const char *default_text; /* as it would stand in the file */
	const char *doc;
	const char *hint; /* what to add to a refusal; NULL = nothing */
	const char *run;  /* what it means to ispawn(1); NULL = no option there */
};

#define ISP_OPTION_TOTAL 29

extern const struct isp_option isp_options[ISP_OPTION_TOTAL];

/** isp_option_find() - the index of a key. Return: 0; -ENOENT (keys are lower case). */
ISP_MUST_CHECK int isp_option_find(const char *name, size_t *ret_index);

/**
 * isp_option_set() - parse @text and put it in its place
 * @settings: untouched on failure
 * Return: 0; -EINVAL with the reason (the caller prefixes file, section and key); -ENOMEM.
 */
ISP_MUST_CHECK int isp_option_set(const struct isp_option *option, const char *text,
				  struct isp_settings *settings, struct isp_error *err);

/** isp_option_is_list() - does a second value add to the first one's words? */
bool isp_option_is_list(const struct isp_option *option);

/** isp_option_type_text() - type and range in words: "size, 16M to max", "one of none, host". */
void isp_option_type_text(const struct isp_option *option, char *ret_text, size_t size);

/** isp_settings_default() - every key at its default. Return: 0; -ENOMEM. */
ISP_MUST_CHECK int isp_settings_default(struct isp_settings *ret_settings, struct isp_error *err);

/** isp_settings_free() - free what is owned; leaves the settings zeroed. */
void isp_settings_free(struct isp_settings *settings);
#define cleanup_settings __attribute__((cleanup(isp_settings_free)))

#endif
