/* SPDX-License-Identifier: GPL-3.0-or-later */
/* err.c - the error record; contract in ispawn/base/err.h */
#include "ispawn/base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *const stage_names[] = {
	[ISP_STAGE_NONE] = "none",         [ISP_STAGE_SUBJECT] = "subject",
	[ISP_STAGE_CONFIG] = "config",     [ISP_STAGE_POLICY] = "policy",
	[ISP_STAGE_START] = "start",       [ISP_STAGE_SPEC] = "spec",
	[ISP_STAGE_REGISTRY] = "registry", [ISP_STAGE_CGROUP] = "cgroup",
	[ISP_STAGE_ROOTFS] = "rootfs",     [ISP_STAGE_NAMESPACES] = "namespaces",
	[ISP_STAGE_IDMAP] = "idmap",       [ISP_STAGE_MOUNTS] = "mounts",
	[ISP_STAGE_PIVOT] = "pivot",       [ISP_STAGE_DEVICES] = "devices",
	[ISP_STAGE_IDENTITY] = "identity", [ISP_STAGE_NETWORK] = "network",
	[ISP_STAGE_DROP] = "drop",         [ISP_STAGE_SECCOMP] = "seccomp",
	[ISP_STAGE_PROVE] = "prove",       [ISP_STAGE_INIT] = "init",
	[ISP_STAGE_PROTOCOL] = "protocol", [ISP_STAGE_COVER] = "cover",
	[ISP_STAGE_TENANT] = "tenant",     [ISP_STAGE_DEADLINE] = "deadline",
};
_Static_assert(sizeof(stage_names) / sizeof(stage_names[0]) == ISP_STAGE_COUNT,
	       "every stage has a name");

const char *isp_err_stage_name(uint32_t stage)
{
	return stage < ISP_STAGE_COUNT ? stage_names[stage] : "unknown";
}

static bool is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x7f;
}

static size_t escaped_size(unsigned char c)
{
	return !is_plain(c) ? 4 : (c == '\\' || c == '"') ? 2 : 1;
}

/* Does the whole of @text, escaped, fit into @room bytes with its terminator? */
static bool fits(const char *text, size_t room)
{
	size_t used = 1;

	while (*text && used <= room)
		used += escaped_size((unsigned char)*text++);
	return used <= room;
}

void isp_escape(char *ret_text, size_t size, const char *untrusted)
{
	static const char hex[] = "0123456789abcdef";
	size_t used = 0;

	if (size == 0)
		return;
	for (const char *p = untrusted; *p; p++) {
		unsigned char c = (unsigned char)*p;
		size_t need = escaped_size(c);

		/* Room for this character, "..." and the terminator, or for the rest as it is. */
		if (used + need + 4 > size && !fits(p, size - used)) {
			for (size_t dots = 0; dots < 3 && used + 1 < size; dots++)
				ret_text[used++] = '.';
			break;
		}
		if (need == 4) {
			ret_text[used++] = '\\';
			ret_text[used++] = 'x';
			ret_text[used++] = hex[c >> 4];
			ret_text[used++] = hex[c & 15];
			continue;
		}
		if (need == 2)
			ret_text[used++] = '\\';
		ret_text[used++] = (char)c;
	}
	ret_text[used] = '\0';
}

/* Error texts hold quoted, already escaped names; here only what is not printable is replaced, so
 * that escaping twice does not double the backslashes. */
static void scrub(char *text)
{
	for (; *text; text++)
		if (!is_plain((unsigned char)*text))
			*text = '?';
}

int isp_err_set(struct isp_error *err, int errnum, enum isp_stage stage, const char *fmt, ...)
{
	va_list args;

	if (err->code != 0)
		return -err->code;
	err->code = errnum > 0 ? errnum : EPROTO;
	err->stage = stage;
	va_start(args, fmt);
	(void)vsnprintf(err->text, sizeof(err->text), fmt, args); /* Ignored: cut is fine */
	va_end(args);
	scrub(err->text);
	return -err->code;
}

int isp_err_prefix(struct isp_error *err, const char *fmt, ...)
{
	char inner[ISP_ERROR_TEXT_SIZE];
	va_list args;
	int used;

	if (err->code == 0)
		return 0;
	memcpy(inner, err->text, sizeof(inner));
	va_start(args, fmt);
	used = vsnprintf(err->text, sizeof(err->text), fmt, args);
	va_end(args);
	if (used >= 0 && (size_t)used < sizeof(err->text) &&
	    snprintf(err->text + used, sizeof(err->text) - (size_t)used, ": %s", inner) < 0)
		err->text[used] = '\0'; /* cut is fine, half a text is not */
	scrub(err->text);
	return -err->code;
}

int isp_err_adopt(struct isp_error *err, const struct isp_error *from)
{
	char text[ISP_ERROR_TEXT_SIZE];
	int code = from->code > 0 && from->code < 4096 ? from->code : EPROTO;

	memcpy(text, from->text, sizeof(text));
	text[sizeof(text) - 1] = '\0';
	return isp_err_set(err, code,
			   from->stage < ISP_STAGE_COUNT ? (enum isp_stage)from->stage
							 : ISP_STAGE_PROTOCOL,
			   "%s", text);
}

void isp_err_describe(const struct isp_error *err, char *ret_text, size_t size)
{
	const char *words = strerrordesc_np(err->code);

	(void)snprintf(ret_text, size, "stage=%s: %s: %s", isp_err_stage_name(err->stage),
		       err->text, words ? words : "unknown error");
}
