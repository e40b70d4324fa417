/* SPDX-License-Identifier: GPL-3.0-or-later */
/* ispawn.conf: any bytes are a configuration that decides, or are refused in words. */
#include "fuzz.h"

#include "ispawn/policy/decide.h"

/* Outside comments there is ASCII alone; blanks within a value may be tabs. */
static bool is_plain(const char *text)
{
	for (; *text; text++)
		if (*text != '\t' && ((unsigned char)*text < 0x20 || (unsigned char)*text >= 0x7f))
			return false;
	return true;
}

/* A value is never anything that does not stand in its line: iniparser guessed nothing. */
static void promise_values(const struct isp_config *config, const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < config->section_count; i++) {
		const struct isp_config_section *s = config->sections[i];

		PROMISE(is_printable_ascii(s->name));
		for (size_t k = 0; k < s->value_count; k++) {
			const uint8_t *line = bytes;
			const uint8_t *end = bytes + size;
			const char *text = s->values[k].text;

			for (unsigned int n = 1; n < s->values[k].line; n++)
				line = (const uint8_t *)memchr(line, '\n', (size_t)(end - line)) +
				       1;
			end = memchr(line, '\n', (size_t)(end - line)) ?: end;
			PROMISE(is_plain(text));
			PROMISE(memmem(line, (size_t)(end - line), text, strlen(text)));
		}
	}
}

static void promise_decision(const struct isp_config *config)
{
	static char name[] = "guest", group[] = "guests", service[] = "sshd", audio[] = "audio";
	static struct isp_group groups[] = {{.gid = 29, .name = audio}};
	static const struct isp_subject subject = {.user = "guest",
						   .uid = 1000,
						   .gid = 1000,
						   .group = group,
						   .gecos = name,
						   .groups = groups,
						   .group_count = 1,
						   .service = service};
	cleanup_decision struct isp_decision decision = {.verdict = ISP_VERDICT_DENY};
	struct isp_error err = {0};

	/* What was let in is never refused later. */
	PROMISE(isp_decide(config, &subject, &decision, &err) == 0);
	PROMISE(decision.reason[0] && is_printable_ascii(decision.reason));
	PROMISE(decision.verdict != ISP_VERDICT_CONFINE || decision.settings.confine);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	cleanup_config struct isp_config config = {.file_count = 0};
	cleanup_free char *text = fuzz_copy(bytes, size);
	struct isp_error err = {0};
	int r = isp_config_parse_text(&config, "/etc/x.conf", text + 1, size, &err);

	if (r < 0) {
		promise_refusal(r, &err);
		PROMISE(strncmp(err.text, "/etc/x.conf: ", 13) == 0);
		return 0;
	}
	promise_values(&config, bytes, size);
	promise_decision(&config);
	return 0;
}
