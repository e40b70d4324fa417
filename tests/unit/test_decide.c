/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The decision: which section wins, which verdict follows, and where it says that came from. */
#include "ispawn/base/fd.h"
#include "ispawn/policy/decide.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static char own_group[] = "guests", audio[] = "audio", video[] = "video", service[] = "sshd";
static struct isp_group both[] = {{.gid = 29, .name = audio}, {.gid = 44, .name = video}};

static const struct isp_subject guest = {
	.user = "guest",
	.uid = 1000,
	.gid = 1000,
	.group = own_group,
	.groups = both,
	.group_count = ISP_ARRAY_SIZE(both),
	.service = service,
};

/* One scene: up to two files and what is decided for one subject. */
struct scene {
	struct isp_config config;
	struct isp_decision decision;
};

static void scene_free(struct scene *scene)
{
	isp_decision_free(&scene->decision);
	isp_config_free(&scene->config);
}
#define cleanup_scene __attribute__((cleanup(scene_free)))

static void decide(struct scene *scene, const char *first, const char *second,
		   const struct isp_subject *subject)
{
	const char *const texts[] = {first, second};
	const char *const names[] = {"/etc/x.conf", "/etc/conf.d/y.conf"};
	struct isp_error err = {0};

	for (size_t i = 0; i < 2; i++)
		if (texts[i] && isp_config_parse_text(&scene->config, names[i], texts[i],
						      strlen(texts[i]), &err) < 0)
			fail_msg("%s", err.text);
	assert_int_equal(isp_decide(&scene->config, subject, &scene->decision, &err), 0);
	assert_int_equal(err.code, 0);
}

#define SCENE                                                                                      \
	{                                                                                          \
		.config = {.file_count = 0}, .decision = {.verdict = ISP_VERDICT_DENY }            \
	}

/* Each kind of section overrides the ones before it, wherever in the file it stands. */
static void the_stronger_kind_wins_wherever_it_stands(void **state)
{
	static const char *const sections[] = {
		"[defaults]\npids = 101\n",
		"[service sshd]\npids = 102\n",
		"[group audio]\npids = 103\n",
		"[user guest]\npids = 104\n",
	};

	(void)state;
	for (unsigned int present = 0; present < 16; present++) {
		for (unsigned int is_reversed = 0; is_reversed < 2; is_reversed++) {
			cleanup_scene struct scene scene = SCENE;
			char text[256] = "";
			uint64_t expected = 256;

			for (unsigned int i = 0; i < 4; i++) {
				unsigned int k = is_reversed ? 3 - i : i;

				if (present & 1u << k)
					(void)strcat(text, sections[k]);
				if (present & 1u << i)
					expected = 101 + i;
			}
			decide(&scene, text, NULL, &guest);
			assert_true(scene.decision.settings.limits.pids == expected);
		}
	}
}

static void the_later_group_in_the_file_wins(void **state)
{
	cleanup_scene struct scene one = SCENE;
	cleanup_scene struct scene other = SCENE;
	cleanup_scene struct scene files = SCENE;

	(void)state;
	/* The order of the file, and not the one of the user's groups. */
	decide(&one, "[group video]\npids = 11\n[group audio]\npids = 12\n", NULL, &guest);
	assert_true(one.decision.settings.limits.pids == 12);
	decide(&other, "[group audio]\npids = 12\n[group video]\npids = 11\n", NULL, &guest);
	assert_true(other.decision.settings.limits.pids == 11);
	decide(&files, "[group audio]\npids = 12\n", "[group guests]\npids = 13\n", &guest);
	assert_true(files.decision.settings.limits.pids == 13);
}

static void a_later_file_wins_within_a_kind_and_not_over_a_stronger_one(void **state)
{
	cleanup_scene struct scene scene = SCENE;

	(void)state;
	decide(&scene, "[defaults]\npids = 11\nnofile = 101\n[user guest]\nsessions = 3\n",
	       "[defaults]\npids = 12\nsessions = 4\n", &guest);
	assert_true(scene.decision.settings.limits.pids == 12);
	assert_true(scene.decision.settings.nofile == 101);
	assert_true(scene.decision.settings.limits.sessions == 3);
}

static void sections_of_others_have_no_say(void **state)
{
	cleanup_scene struct scene scene = SCENE;

	(void)state;
	decide(&scene,
	       "[user Guest]\npids = 11\n[user guest2]\npids = 12\n[user gues]\npids = 13\n"
	       "[group guest]\npids = 14\n[group Audio]\npids = 15\n[group sshd]\npids = 16\n"
	       "[service su]\npids = 17\n[service SSHD]\npids = 18\n",
	       NULL, &guest);
	assert_true(scene.decision.settings.limits.pids == 256);
}

static void the_primary_group_counts_as_well(void **state)
{
	cleanup_scene struct scene scene = SCENE;

	(void)state;
	decide(&scene, "[group guests]\nconfine = yes\n", NULL, &guest);
	assert_int_equal(scene.decision.verdict, ISP_VERDICT_CONFINE);
}

static void a_list_replaces_the_weaker_sections_list(void **state)
{
	cleanup_scene struct scene scene = SCENE;

	(void)state;
	decide(&scene,
	       "[defaults]\nbind = /srv/a /srv/b\ngroups = audio video\n"
	       "[user guest]\nbind = /srv/c\ngroups =\n",
	       NULL, &guest);
	assert_int_equal(scene.decision.settings.binds.count, 1);
	assert_string_equal(scene.decision.settings.binds.binds[0].source, "/srv/c");
	assert_int_equal(scene.decision.settings.groups.count, 0);
}

static void a_verdict_follows_from_three_keys(void **state)
{
	static const struct {
		const char *text, *service;
		enum isp_verdict verdict;
		const char *reason;
	} cases[] = {
		{"", "sshd", ISP_VERDICT_IGNORE, "confine = no (the default)"},
		{"", "cron", ISP_VERDICT_IGNORE, "confine = no (the default)"},
		{"[user guest]\nconfine = yes\n", "sshd", ISP_VERDICT_CONFINE,
		 "confine = yes ([user guest] in /etc/x.conf)"},
		{"[user guest]\nconfine = yes\n", "su-l", ISP_VERDICT_CONFINE, "confine = yes"},
		/* Pitfall 9: a way in that nobody thought of. */
		{"[user guest]\nconfine = yes\n", "cron", ISP_VERDICT_DENY,
		 "service \"cron\" is not in services, other_services = deny (the default)"},
		{"[user guest]\nconfine = yes\n", "", ISP_VERDICT_DENY, "service \"\" is not"},
		{"[user guest]\nconfine = yes\n", "SSHD", ISP_VERDICT_DENY, "\"SSHD\""},
		{"[user guest]\nconfine = yes\nother_services = allow\n", "cron",
		 ISP_VERDICT_IGNORE, "other_services = allow ([user guest] in /etc/x.conf)"},
		{"[defaults]\nconfine = yes\n[service cron]\nother_services = allow\n", "cron",
		 ISP_VERDICT_IGNORE, "([service cron] in /etc/x.conf)"},
		{"[defaults]\nconfine = yes\n[user guest]\nconfine = no\n", "cron",
		 ISP_VERDICT_IGNORE, "confine = no ([user guest] in /etc/x.conf)"},
		{"[defaults]\nconfine = yes\nservices = cron\n", "cron", ISP_VERDICT_CONFINE,
		 "confine = yes ([defaults] in /etc/x.conf)"},
		{"[defaults]\nconfine = yes\nservices =\n", "sshd", ISP_VERDICT_DENY,
		 "\"sshd\" is not in services"},
		{"[defaults]\nconfine = yes\n", "\033[2J", ISP_VERDICT_DENY, "\"\\x1b[2J\""},
	};

	(void)state;
	for (size_t i = 0; i < ISP_ARRAY_SIZE(cases); i++) {
		cleanup_scene struct scene scene = SCENE;
		cleanup_free char *name = strdup(cases[i].service);
		struct isp_subject subject = guest;

		subject.service = name;
		decide(&scene, cases[i].text, NULL, &subject);
		if (scene.decision.verdict != cases[i].verdict ||
		    !strstr(scene.decision.reason, cases[i].reason))
			fail_msg("%s, %s: %s, %s", cases[i].text, cases[i].service,
				 isp_verdict_name(scene.decision.verdict), scene.decision.reason);
	}
}

static void a_decision_that_was_not_made_denies(void **state)
{
	static const struct isp_decision zeroed;

	(void)state;
	assert_int_equal(zeroed.verdict, ISP_VERDICT_DENY);
	assert_string_equal(isp_verdict_name(ISP_VERDICT_DENY), "deny");
	assert_string_equal(isp_verdict_name(ISP_VERDICT_IGNORE), "ignore");
	assert_string_equal(isp_verdict_name(ISP_VERDICT_CONFINE), "confine");
}

static void each_value_knows_where_it_stands(void **state)
{
	cleanup_scene struct scene scene = SCENE;
	size_t pids = 0, nofile = 0, memory = 0;

	(void)state;
	decide(&scene, "[defaults]\npids = 11\nnofile = 99\n",
	       "\n[user guest]\n# twelve\npids = 12\n", &guest);
	assert_int_equal(isp_option_find("pids", &pids), 0);
	assert_int_equal(isp_option_find("nofile", &nofile), 0);
	assert_int_equal(isp_option_find("memory", &memory), 0);
	assert_string_equal(scene.decision.value[pids]->text, "12");
	assert_int_equal(scene.decision.value[pids]->line, 4);
	assert_int_equal(scene.decision.section[pids]->kind, ISP_SECTION_USER);
	assert_string_equal(scene.config.files[scene.decision.section[pids]->file],
			    "/etc/conf.d/y.conf");
	assert_string_equal(scene.decision.value[nofile]->text, "99");
	assert_int_equal(scene.decision.section[nofile]->file, 0);
	assert_null(scene.decision.section[memory]);
	assert_null(scene.decision.value[memory]);
}

/* A root that is not let through before: the decision itself makes no exception for anybody. */
static void nobody_is_exempt_here(void **state)
{
	cleanup_scene struct scene scene = SCENE;
	char exempt[] = ISPAWN_EXEMPT_GROUP;
	struct isp_subject root = guest;

	(void)state;
	root.uid = 0;
	root.group = exempt;
	decide(&scene, "[defaults]\nconfine = yes\n", NULL, &root);
	assert_int_equal(scene.decision.verdict, ISP_VERDICT_CONFINE);
}

static void long_names_do_not_overrun_the_reason(void **state)
{
	cleanup_scene struct scene scene = SCENE;
	struct isp_error err = {0};
	char file[512] = "/";
	char text[128] = "[user ";
	struct isp_subject subject = guest;

	(void)state;
	memset(file + 1, 'f', sizeof(file) - 2);
	memset(subject.user, '\\', ISP_NAME_MAX);
	(void)strcat(strcat(text, subject.user), "]\nconfine = no\n");
	if (isp_config_parse_text(&scene.config, file, text, strlen(text), &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(isp_decide(&scene.config, &subject, &scene.decision, &err), 0);
	assert_true(strlen(scene.decision.reason) < sizeof(scene.decision.reason));
	assert_non_null(strstr(scene.decision.reason, "confine = no ([user \\\\"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_stronger_kind_wins_wherever_it_stands),
		cmocka_unit_test(the_later_group_in_the_file_wins),
		cmocka_unit_test(a_later_file_wins_within_a_kind_and_not_over_a_stronger_one),
		cmocka_unit_test(sections_of_others_have_no_say),
		cmocka_unit_test(the_primary_group_counts_as_well),
		cmocka_unit_test(a_list_replaces_the_weaker_sections_list),
		cmocka_unit_test(a_verdict_follows_from_three_keys),
		cmocka_unit_test(a_decision_that_was_not_made_denies),
		cmocka_unit_test(each_value_knows_where_it_stands),
		cmocka_unit_test(nobody_is_exempt_here),
		cmocka_unit_test(long_names_do_not_overrun_the_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
