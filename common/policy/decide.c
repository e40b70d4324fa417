/* SPDX-License-Identifier: GPL-3.0-or-later */
/* decide.c - what applies to one subject; contract in ispawn/policy/decide.h */
#include "ispawn/policy/decide.h"
#include "ispawn/base/fd.h"

#include <stdio.h>
#include <string.h>

static const char *const verdict_names[] = {
	[ISP_VERDICT_DENY] = "deny",
	[ISP_VERDICT_IGNORE] = "ignore",
	[ISP_VERDICT_CONFINE] = "confine",
};

const char *isp_verdict_name(enum isp_verdict verdict)
{
	return verdict_names[verdict];
}

void isp_decision_free(struct isp_decision *decision)
{
	isp_settings_free(&decision->settings);
	memset(decision, 0, sizeof(*decision));
}

static bool is_member(const struct isp_subject *subject, const char *group)
{
	if (strcmp(subject->group, group) == 0)
		return true;
	for (size_t i = 0; i < subject->group_count; i++)
		if (strcmp(subject->groups[i].name, group) == 0)
			return true;
	return false;
}

static bool applies(const struct isp_config_section *section, const struct isp_subject *subject)
{
	switch (section->kind) {
	case ISP_SECTION_DEFAULTS:
		return true;
	case ISP_SECTION_SERVICE:
		return strcmp(section->name, subject->service) == 0;
	case ISP_SECTION_GROUP:
		return is_member(subject, section->name);
	case ISP_SECTION_USER:
		return strcmp(section->name, subject->user) == 0;
	case ISP_SECTION_KINDS:
		break;
	}
	return false;
}

static int lay_over(struct isp_decision *decision, const struct isp_config_section *section,
		    struct isp_error *err)
{
	for (size_t i = 0; i < section->value_count; i++) {
		const struct isp_config_value *value = &section->values[i];
		int r = isp_option_set(&isp_options[value->option], value->text,
				       &decision->settings, err);

		if (r < 0)
			return r;
		decision->section[value->option] = section;
		decision->value[value->option] = value;
	}
	return 0;
}

static int settle(const struct isp_config *config, const struct isp_subject *subject,
		  struct isp_decision *decision, struct isp_error *err)
{
	int r = isp_settings_default(&decision->settings, err);

	for (unsigned int kind = 0; kind < ISP_SECTION_KINDS; kind++) {
		for (size_t i = 0; r == 0 && i < config->section_count; i++) {
			const struct isp_config_section *section = config->sections[i];

			if (section->kind == kind && applies(section, subject))
				r = lay_over(decision, section, err);
		}
	}
	return r;
}

static bool is_listed(const struct isp_words *list, const char *word)
{
	for (size_t i = 0; i < list->count; i++)
		if (strcmp(list->words[i], word) == 0)
			return true;
	return false;
}

/* "[user guest] in FILE", or "the default", for the value of @key. */
static void origin(const struct isp_config *config, const struct isp_decision *decision,
		   const char *key, char *ret_text, size_t size)
{
	const struct isp_config_section *section;
	char title[ISP_NAME_MAX * 2 + 16];
	char file[80];
	size_t option = 0;

	if (isp_option_find(key, &option) < 0 || !decision->section[option]) {
		(void)snprintf(ret_text, size, "the default");
		return;
	}
	section = decision->section[option];
	isp_config_section_title(section, title, sizeof(title));
	isp_escape(file, sizeof(file), config->files[section->file]);
	(void)snprintf(ret_text, size, "%.64s in %s", title, file); /* Ignored: cut is fine */
}

static void judge(const struct isp_config *config, const struct isp_subject *subject,
		  struct isp_decision *d)
{
	char service[32];
	char from[150];

	isp_escape(service, sizeof(service), subject->service);
	if (!d->settings.confine) {
		origin(config, d, "confine", from, sizeof(from));
		d->verdict = ISP_VERDICT_IGNORE;
		(void)snprintf(d->reason, sizeof(d->reason), "confine = no (%s)", from);
	} else if (is_listed(&d->settings.services, subject->service) ||
		   strcmp(subject->service, ISPAWN_DOOR_SERVICE) == 0) {
		origin(config, d, "confine", from, sizeof(from));
		d->verdict = ISP_VERDICT_CONFINE;
		(void)snprintf(d->reason, sizeof(d->reason), "confine = yes (%s)", from);
	} else {
		bool is_allowed = d->settings.other_services == ISP_ELSEWHERE_ALLOW;

		origin(config, d, "other_services", from, sizeof(from));
		d->verdict = is_allowed ? ISP_VERDICT_IGNORE : ISP_VERDICT_DENY;
		(void)snprintf(d->reason, sizeof(d->reason),
			       "service \"%s\" is not in services, other_services = %s (%s)",
			       service, is_allowed ? "allow" : "deny", from);
	}
}

int isp_decide(const struct isp_config *config, const struct isp_subject *subject,
	       struct isp_decision *ret_decision, struct isp_error *err)
{
	int r = settle(config, subject, ret_decision, err);

	if (r < 0) {
		isp_decision_free(ret_decision);
		return r;
	}
	judge(config, subject, ret_decision);
	return 0;
}
