/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ispawn-run-policy.c - from the command line to a spec
 *
 * The settings are those of a login, laid over one another from weak to strong: each key's own
 * default, [defaults] and the section that --config names, the command line.  Keys that are about
 * logins (home, shell, services, ...) have no meaning here, and a section may hold them.
 */
#include "ispawn.h"

#include "ispawn/base/fd.h"
#include "ispawn/base/path.h"
#include "ispawn/policy/freeze.h"

#include <stdio.h>
#include <string.h>

static int lay_section(const struct isp_config_section *section, struct isp_settings *settings,
		       struct isp_error *err)
{
	int r = 0;

	for (size_t i = 0; i < section->value_count && r == 0; i++) {
		const struct isp_option *option = &isp_options[section->values[i].option];

		if (option->run)
			r = isp_option_set(option, section->values[i].text, settings, err);
	}
	return r;
}

static bool is_called(const struct isp_config_section *section, const char *name)
{
	char title[ISP_NAME_MAX * 2 + 16];
	size_t size;

	isp_config_section_title(section, title, sizeof(title));
	size = strlen(title);
	return size > 2 && strlen(name) == size - 2 && strncmp(title + 1, name, size - 2) == 0;
}

/* [defaults] first, whatever its place in the files; a name may head several sections. */
static int lay_config(const char *name, struct isp_settings *settings, struct isp_error *err)
{
	cleanup_config struct isp_config config = {.file_count = 0};
	int r = isp_config_load(ISPAWN_CONFIG_FILE, &config, err);
	bool is_found = false;
	char shown[80];

	for (size_t i = 0; i < config.section_count && r == 0; i++)
		if (config.sections[i]->kind == ISP_SECTION_DEFAULTS)
			r = lay_section(config.sections[i], settings, err);
	for (size_t i = 0; i < config.section_count && r == 0; i++) {
		if (!is_called(config.sections[i], name))
			continue;
		is_found = true;
		if (config.sections[i]->kind != ISP_SECTION_DEFAULTS)
			r = lay_section(config.sections[i], settings, err);
	}
	if (r < 0 || is_found)
		return r < 0 ? isp_err_prefix(err, "--config") : 0;
	isp_escape(shown, sizeof(shown), name);
	return isp_err_set(err, ENOENT, ISP_STAGE_CONFIG,
			   "--config: no section [%s] in ispawn.conf: \"defaults\", \"user NAME\", "
			   "\"group NAME\" or \"service NAME\"",
			   shown);
}

static int add_variables(const struct run *run, struct isp_words *list, struct isp_error *err)
{
	for (size_t i = 0; i < run->setenv_count; i++) {
		const char *text = run->setenvs[i];
		char *name = strndup(text, strcspn(text, "="));
		bool is_listed = false;

		if (!name || setenv(name, strchr(text, '=') + 1, 1) != 0) {
			free(name);
			return isp_err_set(err, ENOMEM, ISP_STAGE_CONFIG, "--setenv");
		}
		for (size_t k = 0; k < list->count && !is_listed; k++)
			is_listed = strcmp(list->words[k], name) == 0;
		if (!is_listed && list->count < ISP_LIST_MAX) {
			list->words[list->count++] = name;
			continue;
		}
		free(name);
		if (!is_listed)
			return isp_err_set(err, E2BIG, ISP_STAGE_CONFIG,
					   "--setenv: more than %d variables", ISP_LIST_MAX);
	}
	return 0;
}

static int settle(const struct run *run, const struct isp_subject *subject,
		  struct isp_settings *settings, struct isp_error *err)
{
	int r = isp_settings_default(settings, err);

	/* Who runs a directory as its root means its root, who can install a package, say. */
	if (r == 0 && subject->uid == 0)
		settings->privilege = ISP_PRIVILEGE_ROOT;
	if (r == 0 && run->config_section)
		r = lay_config(run->config_section, settings, err);
	for (size_t i = 0; i < ISP_OPTION_TOTAL && r == 0; i++)
		if (run->policy[i])
			r = isp_option_set(&isp_options[i], run->policy[i], settings, err);
	if (r == 0)
		r = add_variables(run, &settings->environment, err);
	if (r == 0 && settings->privilege == ISP_PRIVILEGE_ROOT && subject->uid != 0)
		r = isp_err_set(err, EINVAL, ISP_STAGE_CONFIG,
				"--privilege root runs the command as uid 0, and --user says %u",
				subject->uid);
	/* Not the run's to choose. */
	settings->home = ISP_HOME_TMPFS;
	settings->limits.sessions = ISP_SESSIONS_MAX;
	settings->rootfs = run->is_ephemeral  ? ISP_ROOTFS_EPHEMERAL
			   : run->is_readonly ? ISP_ROOTFS_READONLY
					      : ISP_ROOTFS_COPY;
	(void)snprintf(settings->template_name, sizeof(settings->template_name), "directory");
	return r;
}

int policy_freeze(const struct run *run, struct isp_spec *ret_spec, struct isp_error *err)
{
	cleanup_settings struct isp_settings settings = {.confine = false};
	cleanup_subject struct isp_subject subject = {.uid = 0};
	cleanup_free char *resolvers = NULL;
	const char *name = strrchr(run->path, '/') + 1; /* an absolute path */
	int r = isp_subject_find_in_tree(run->directory_fd, run->user, RUN_SERVICE, &subject, err);

	if (r < 0)
		return run->user ? isp_err_prefix(err, "--user") : r;
	r = settle(run, &subject, &settings, err);
	if (r == 0 && isp_policy_read_resolvers(&resolvers) < 0)
		r = isp_err_set(err, ENOMEM, ISP_STAGE_POLICY, "read resolv.conf");
	if (r == 0)
		r = isp_policy_freeze_spec(&settings, &subject, name, resolvers, ret_spec, err);
	if (r < 0)
		return r;
	ret_spec->runs_commands = true;
	ret_spec->shell_is_fallback = true;
	free(ret_spec->directory);
	ret_spec->directory = strdup(run->path);
	if (!ret_spec->directory)
		return isp_err_set(err, ENOMEM, ISP_STAGE_POLICY, "out of memory");
	if (run->hostname)
		(void)snprintf(ret_spec->hostname, sizeof(ret_spec->hostname), "%s",
			       run->hostname); /* fits: checked */
	return 0;
}
