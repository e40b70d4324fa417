/* SPDX-License-Identifier: GPL-3.0-or-later */
/* line.c - a log line's words and fields; contract in ispawn/base/line.h
 *
 * A field is `NAME=value`, or, where the value holds a newline, the name alone on a line, the
 * value's size as 64 bits, least significant byte first, and the value
 * (systemd.io/JOURNAL_NATIVE_PROTOCOL). */
#include "ispawn/base/line.h"

#include <endian.h>
#include <stdio.h>
#include <string.h>

#define PREFIX "ISPAWN_"
#define NAME_SIZE 64

static void append(struct isp_line *line, const void *bytes, size_t size)
{
	memcpy(line->fields + line->fields_size, bytes, size);
	line->fields_size += size;
}

static void put_field(struct isp_line *line, const char *name, const char *value)
{
	size_t name_size = strlen(name), size = strlen(value);
	uint64_t wire_size = htole64(size);
	bool is_plain = memchr(value, '\n', size) == NULL;

	if (name_size + 1 + sizeof(wire_size) + size + 1 > sizeof(line->fields) - line->fields_size)
		return;
	append(line, name, name_size);
	append(line, is_plain ? "=" : "\n", 1);
	if (!is_plain)
		append(line, &wire_size, sizeof(wire_size));
	append(line, value, size);
	append(line, "\n", 1);
}

/* Upper case by hand: toupper(3) asks the locale of a process that may not be ours. */
static void put(struct isp_line *line, const char *key, const char *value)
{
	char name[NAME_SIZE] = PREFIX;
	size_t used = sizeof(PREFIX) - 1;

	for (; *key && used + 1 < sizeof(name); key++)
		name[used++] = (char)(*key >= 'a' && *key <= 'z' ? *key - 'a' + 'A' : *key);
	name[used] = '\0';
	put_field(line, name, value);
}

static void say(struct isp_line *line, const char *fmt, va_list args) ISP_PRINTF(2, 0);
static void say(struct isp_line *line, const char *fmt, va_list args)
{
	size_t room = sizeof(line->text) - line->text_size;
	int n;

	if (line->text_size > 0 && room > 1) {
		line->text[line->text_size++] = ' ';
		line->text[line->text_size] = '\0';
		room--;
	}
	n = vsnprintf(line->text + line->text_size, room, fmt, args);
	if (n > 0)
		line->text_size += (size_t)n < room ? (size_t)n : room - 1; /* cut */
}

void isp_line_say(struct isp_line *line, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	say(line, fmt, args);
	va_end(args);
}

void isp_line_add(struct isp_line *line, const char *key, const char *fmt, ...)
{
	char value[ISP_LINE_VALUE_SIZE];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(value, sizeof(value), fmt, args); /* cut is fine */
	va_end(args);
	isp_line_say(line, "%s=%s", key, value);
	put(line, key, value);
}

void isp_line_quote(struct isp_line *line, const char *key, const char *untrusted, size_t max)
{
	char value[ISP_LINE_VALUE_SIZE];

	isp_escape(value, max < sizeof(value) ? max : sizeof(value), untrusted);
	isp_line_say(line, "%s=\"%s\"", key, value);
	put(line, key, value);
}

void isp_line_note(struct isp_line *line, const char *key, const char *untrusted)
{
	char value[ISP_LINE_VALUE_SIZE];

	isp_escape(value, sizeof(value), untrusted);
	put(line, key, value);
}

void isp_line_error(struct isp_line *line, const struct isp_error *err)
{
	/* `stage=NAME: `, the text, words for the errno */
	char words[ISP_ERROR_TEXT_SIZE + 120];
	char number[16];

	isp_err_describe(err, words, sizeof(words));
	isp_line_say(line, "%s", words);
	put(line, "stage", isp_err_stage_name(err->stage));
	(void)snprintf(number, sizeof(number), "%d", err->code); /* fits */
	put_field(line, "ERRNO", number); /* systemd.journal-fields(7) has this one */
}
