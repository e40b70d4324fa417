/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Written JSON: for any bytes one document of ASCII that RFC 8259's grammar takes. */
#include "fuzz.h"

#include "ispawn/base/json.h"

/* A reader of the grammar, no more: each function takes one thing off the text, or NULL. */
static const char *read_value(const char *p, unsigned int depth);

static const char *read_string(const char *p)
{
	if (*p++ != '"')
		return NULL;
	while (*p != '"') {
		unsigned char c = (unsigned char)*p++;

		if (c < 0x20 || c >= 0x7f)
			return NULL;
		if (c != '\\')
			continue;
		if (*p == 'u' && strspn(p + 1, "0123456789abcdefABCDEF") >= 4)
			p += 5;
		else if (*p && strchr("\"\\/bfnrt", *p))
			p++;
		else
			return NULL;
	}
	return p + 1;
}

static const char *read_members(const char *p, char close, unsigned int depth)
{
	if (*p == close)
		return p + 1;
	for (;;) {
		if (close == '}') {
			p = read_string(p);
			if (!p || strncmp(p, ": ", 2) != 0)
				return NULL;
			p += 2;
		}
		p = read_value(p, depth + 1);
		if (!p || *p == close)
			return p ? p + 1 : NULL;
		if (strncmp(p, ", ", 2) != 0)
			return NULL;
		p += 2;
	}
}

static const char *read_value(const char *p, unsigned int depth)
{
	size_t digits = strspn(p, "0123456789");

	if (depth > 8)
		return NULL;
	if (digits > 0)
		return p[0] == '0' && digits > 1 ? NULL : p + digits;
	if (strncmp(p, "null", 4) == 0)
		return p + 4;
	if (*p == '[' || *p == '{')
		return read_members(p + 1, *p == '[' ? ']' : '}', depth);
	return read_string(p);
}

/* A list of objects as `ispawnctl list --json` writes it, the input as every text in it. */
static void write_document(FILE *out, const char *text)
{
	struct isp_json json = {.out = out};

	isp_json_begin(&json, NULL, '[');
	isp_json_begin(&json, NULL, '{');
	isp_json_string(&json, text, text);
	isp_json_number(&json, "size", strlen(text));
	isp_json_null(&json, "nothing");
	isp_json_begin(&json, text, '[');
	isp_json_string(&json, NULL, text);
	isp_json_string(&json, NULL, text);
	isp_json_end(&json, ']');
	isp_json_end(&json, '}');
	isp_json_begin(&json, NULL, '{');
	isp_json_end(&json, '}');
	isp_json_end(&json, ']');
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	cleanup_free char *text = fuzz_string(bytes, size);
	cleanup_free char *document = NULL;
	size_t document_size = 0;
	FILE *out = open_memstream(&document, &document_size);
	const char *end;

	PROMISE(out);
	write_document(out, text);
	PROMISE(fclose(out) == 0 && strlen(document) == document_size);
	end = read_value(document, 0);
	PROMISE(end && !*end);
	return 0;
}
