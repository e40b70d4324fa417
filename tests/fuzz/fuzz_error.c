/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A record from another process, and text for an administrator's terminal. */
#include "fuzz.h"

/* Reading escapes back: what was shown is what was there, or its beginning and "...".  Buffers too
 * small for "..." show what they can of it. */
static void promise_escape(const char *text, size_t size)
{
	char *shown = malloc(size + 1);
	const char *from = text;
	char *p;

	PROMISE(shown);
	shown[size] = 'X';
	isp_escape(shown, size, text);
	PROMISE(shown[size] == 'X');
	PROMISE(size == 0 || memchr(shown, '\0', size));
	PROMISE(size == 0 || is_printable_ascii(shown));
	for (p = shown; size >= 4 && *p && strcmp(p, "...") != 0; from++) {
		unsigned int byte = (unsigned char)*p;

		PROMISE(*p != '"'); /* it would end the quotes that the log puts around */
		if (p[0] == '\\' && p[1] == 'x') {
			PROMISE(sscanf(p + 2, "%2x", &byte) == 1);
			p += 4;
		} else {
			byte = (unsigned char)p[p[0] == '\\'];
			p += p[0] == '\\' ? 2 : 1;
		}
		PROMISE((unsigned char)*from == byte);
	}
	PROMISE(size < 4 || *p || !*from);
	free(shown);
}

static void promise_record(const struct isp_error *from)
{
	struct isp_error err = {0};
	char line[400];
	int r = isp_err_adopt(&err, from);

	PROMISE(r < 0 && err.code == -r && err.code < 4096 && err.stage < ISP_STAGE_COUNT);
	PROMISE(memchr(err.text, '\0', sizeof(err.text)) && is_printable_ascii(err.text));
	PROMISE(isp_err_prefix(&err, "%s", err.code % 2 ? "outer" : "") == r);
	PROMISE(memchr(err.text, '\0', sizeof(err.text)) && is_printable_ascii(err.text));
	isp_err_describe(&err, line, sizeof(line));
	PROMISE(is_printable_ascii(line) && strncmp(line, "stage=", 6) == 0);
	PROMISE(strcmp(isp_err_stage_name(from->stage), "") != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	cleanup_free char *text = NULL;
	struct isp_error from = {0};

	if (size == 0)
		return 0;
	memcpy(&from, bytes + 1, size - 1 < sizeof(from) ? size - 1 : sizeof(from));
	promise_record(&from);
	text = fuzz_string(bytes + 1, size - 1);
	promise_escape(text, bytes[0]);
	return 0;
}
