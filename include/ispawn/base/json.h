/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * json.h - writing JSON (RFC 8259), never reading it
 *
 * Theory of operation: the caller opens and closes arrays and objects in pairs, the writer puts the
 * commas and escapes the text.  What comes out is ASCII alone: every control byte and every
 * character above ASCII leaves as an escape, bytes that are not UTF-8 as U+FFFD, so that untrusted
 * text can neither break the syntax nor reach a terminal that would obey it.  Errors of the stream
 * are the stream's: the caller asks ferror(3) once, at the end.
 */
#ifndef ISPAWN_BASE_JSON_H
#define ISPAWN_BASE_JSON_H

#include "ispawn/base/err.h"

#include <stdio.h>

/** struct isp_json - starts `= {.out = stream}`; the stream is borrowed */
struct isp_json {
	FILE *out;
	bool has_sibling; /* a comma is due before the next value */
};

/*
 * @key: the member's name inside an object; NULL inside an array and at the top
 */

/** isp_json_begin() / isp_json_end() - @bracket: '[' or '{', closed by ']' or '}' */
void isp_json_begin(struct isp_json *json, const char *key, char bracket);
void isp_json_end(struct isp_json *json, char bracket);

/** isp_json_string() - untrusted, NUL-terminated */
void isp_json_string(struct isp_json *json, const char *key, const char *untrusted);

/** isp_json_number() - as digits; readers that keep numbers as doubles are exact up to 2^53. */
void isp_json_number(struct isp_json *json, const char *key, uint64_t value);

/** isp_json_null() - nothing is known */
void isp_json_null(struct isp_json *json, const char *key);

#endif
