/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * config.h - reading ispawn.conf
 *
 * Theory of operation: iniparser cuts a line into key and value, and nothing else is left to it:
 * it lower-cases section names, overwrites duplicates, cuts long lines, joins lines that end in a
 * backslash and prints to the application's stderr.  So a first pass over the text refuses all that
 * iniparser would guess at, gives each section a number (its name is kept beside, case and all),
 * and hands over a copy that leaves nothing to guess; a second pass compares what iniparser found
 * with what the first pass saw.  Every value of every section is checked, not only those that apply
 * to this login: a broken file is found at the first login, not at the first victim's.
 */
#ifndef ISPAWN_POLICY_CONFIG_H
#define ISPAWN_POLICY_CONFIG_H

#include "ispawn/policy/option.h"

#define ISP_CONFIG_SIZE_MAX (256 * 1024) /* bytes of one file */
#define ISP_CONFIG_LINE_MAX 1000         /* bytes of one line; iniparser cuts at 1024 */
#define ISP_CONFIG_FILES_MAX 256
#define ISP_CONFIG_SECTIONS_MAX 4096

/* In the order of their strength. */
enum isp_section_kind {
	ISP_SECTION_DEFAULTS,
	ISP_SECTION_SERVICE,
	ISP_SECTION_GROUP,
	ISP_SECTION_USER,
	ISP_SECTION_KINDS,
};

/** struct isp_config_value - one line `key = text` */
struct isp_config_value {
	size_t option; /* index into isp_options */
	unsigned int line;
	char *text; /* owned; already accepted by isp_option_set() */
};

struct isp_config_section {
	enum isp_section_kind kind;
	char *name;  /* owned; "" for [defaults] */
	size_t file; /* index into the configuration's files */
	unsigned int line;
	struct isp_config_value values[ISP_OPTION_TOTAL];
	size_t value_count;
};

/** struct isp_config - all files, in the order read; starts `= { 0 }`, ends isp_config_free() */
struct isp_config {
	char *files[ISP_CONFIG_FILES_MAX];
	size_t file_count;
	struct isp_config_section **sections;
	size_t section_count;
};

/**
 * isp_config_parse_text() - add one file's text
 * @file: its name, for messages
 * @text: @size bytes; no NUL at the end is needed
 * Pure but for a memfd.  Return: 0; -EINVAL with "FILE: [section] key: reason" or "FILE: line N:
 * reason"; -EFBIG; -ENOMEM; -errno.  On failure @config may hold part of the file: free it.
 */
ISP_MUST_CHECK int isp_config_parse_text(struct isp_config *config, const char *file,
					 const char *text, size_t size, struct isp_error *err);

/**
 * isp_config_load() - read @path, then the files *.conf of conf.d beside it, sorted by bytes
 * @ret_config: zeroed by the caller; on failure left zeroed
 * Runs as: host root.  Each file, and each directory above it, must be root's alone
 * (isp_path_open_trusted()).  A missing @path is an error, a missing conf.d is none.
 * Return: 0; -EPERM not trusted; -EINVAL; -errno.
 */
ISP_MUST_CHECK int isp_config_load(const char *path, struct isp_config *ret_config,
				   struct isp_error *err);

/** isp_config_section_title() - "[group students]", escaped, for messages. */
void isp_config_section_title(const struct isp_config_section *section, char *ret_text,
			      size_t size);

void isp_config_free(struct isp_config *config);
#define cleanup_config __attribute__((cleanup(isp_config_free)))

#endif
