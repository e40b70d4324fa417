/* SPDX-License-Identifier: GPL-3.0-or-later */
/* json.c - writing JSON; contract in ispawn/base/json.h */
#include "ispawn/base/json.h"

#include "ispawn/base/fd.h"

#include <inttypes.h>

#define REPLACEMENT 0xfffdu

/* Lead bytes of UTF-8: how many bytes follow, and the smallest character that needs so many. */
static const struct {
	unsigned char mask, lead;
	unsigned int following;
	uint32_t smallest;
} forms[] = {
	{0x80, 0x00, 0, 0x0},
	{0xe0, 0xc0, 1, 0x80},
	{0xf0, 0xe0, 2, 0x800},
	{0xf8, 0xf0, 3, 0x10000},
};

/* Reads one character, at least one byte; what is no UTF-8 reads as the replacement character, byte
 * by byte.  Never reads past the NUL: that is no following byte. */
static uint32_t next_character(const unsigned char **text)
{
	const unsigned char *p = (*text)++;

	for (size_t i = 0; i < ISP_ARRAY_SIZE(forms); i++) {
		uint32_t c = p[0] & (unsigned char)~forms[i].mask;
		unsigned int n = 0;

		if ((p[0] & forms[i].mask) != forms[i].lead)
			continue;
		for (; n < forms[i].following && (p[n + 1] & 0xc0) == 0x80; n++)
			c = c << 6 | (p[n + 1] & 0x3f);
		if (n < forms[i].following || c < forms[i].smallest || c > 0x10ffff ||
		    (c >= 0xd800 && c < 0xe000))
			return REPLACEMENT;
		*text = p + 1 + n;
		return c;
	}
	return REPLACEMENT;
}

static void put_character(FILE *out, uint32_t c)
{
	if (c == '"' || c == '\\')
		(void)fprintf(out, "\\%c",
			      (char)c); /* Ignored, all: see ferror(3) in the contract */
	else if (c >= 0x20 && c < 0x7f)
		(void)fputc((char)c, out);
	else if (c < 0x10000)
		(void)fprintf(out, "\\u%04" PRIx32, c);
	else
		(void)fprintf(out, "\\u%04" PRIx32 "\\u%04" PRIx32, 0xd800 + ((c - 0x10000) >> 10),
			      0xdc00 + ((c - 0x10000) & 0x3ff));
}

static void put_string(FILE *out, const char *untrusted)
{
	const unsigned char *p = (const unsigned char *)untrusted;

	(void)fputc('"', out);
	while (*p)
		put_character(out, next_character(&p));
	(void)fputc('"', out);
}

static void start_value(struct isp_json *json, const char *key)
{
	if (json->has_sibling)
		(void)fputs(", ", json->out);
	json->has_sibling = true;
	if (!key)
		return;
	put_string(json->out, key);
	(void)fputs(": ", json->out);
}

void isp_json_begin(struct isp_json *json, const char *key, char bracket)
{
	start_value(json, key);
	(void)fputc(bracket, json->out);
	json->has_sibling = false;
}

void isp_json_end(struct isp_json *json, char bracket)
{
	(void)fputc(bracket, json->out);
	json->has_sibling = true;
}

void isp_json_string(struct isp_json *json, const char *key, const char *untrusted)
{
	start_value(json, key);
	put_string(json->out, untrusted);
}

void isp_json_number(struct isp_json *json, const char *key, uint64_t value)
{
	start_value(json, key);
	(void)fprintf(json->out, "%" PRIu64, value);
}

void isp_json_null(struct isp_json *json, const char *key)
{
	start_value(json, key);
	(void)fputs("null", json->out);
}
