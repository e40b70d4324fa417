/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * line.h - a log line that is being put together
 *
 * Theory of operation: a line is `key=value` words for people and for syslog, and the same words as
 * fields for a log that keeps them apart (journald).  Both grow together, so that they cannot say
 * different things.  Untrusted values are escaped by isp_escape(), in quotes where they stand in
 * the text and without them in their field: what an administrator's terminal is shown of either is
 * printable ASCII.  Everything is bounded: a text is cut, a field that finds no room is left out.
 */
#ifndef ISPAWN_BASE_LINE_H
#define ISPAWN_BASE_LINE_H

#include "ispawn/base/err.h"

#define ISP_LINE_TEXT_SIZE 2048
#define ISP_LINE_FIELDS_SIZE 4096
#define ISP_LINE_VALUE_SIZE 512 /* of one value, escaped */

/**
 * struct isp_line - starts as {0}
 * @text:   NUL-terminated
 * @fields: in journald's native form, each with its final newline; not terminated
 */
struct isp_line {
	size_t text_size, fields_size;
	char text[ISP_LINE_TEXT_SIZE];
	char fields[ISP_LINE_FIELDS_SIZE];
};

/** isp_line_add() - a word ` key=value` of our own, and the field ISPAWN_KEY. */
void isp_line_add(struct isp_line *line, const char *key, const char *fmt, ...) ISP_PRINTF(3, 4);

/** isp_line_quote() - the same for what others have chosen: ` key="value"`, escaped, of @max bytes
 * at most. */
void isp_line_quote(struct isp_line *line, const char *key, const char *untrusted, size_t max);

/** isp_line_note() - a field alone, escaped; the text says it in other words or not at all. */
void isp_line_note(struct isp_line *line, const char *key, const char *untrusted);

/** isp_line_say() - words that are no field. */
void isp_line_say(struct isp_line *line, const char *fmt, ...) ISP_PRINTF(2, 3);

/** isp_line_error() - ` stage=STAGE: what: why`, and the fields ISPAWN_STAGE and ERRNO. */
void isp_line_error(struct isp_line *line, const struct isp_error *err);

#endif
