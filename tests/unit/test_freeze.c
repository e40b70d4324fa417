/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From a subject to a spec: what the name service says is untrusted, and what is frozen encodes. */
#include "ispawn/base/fd.h"
#include "ispawn/base/path.h"
#include "ispawn/policy/freeze.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* A subject whose strings are literals: nothing of it is freed or written. */
static struct isp_subject subject_of(const char *group, const char *gecos, const char *home,
				     const char *shell)
{
	struct isp_subject s = {.user = "guest", .uid = 1000, .gid = 1001};

	s.group = (char *)(uintptr_t)group;
	s.gecos = (char *)(uintptr_t)gecos;
	s.home = (char *)(uintptr_t)home;
	s.shell = (char *)(uintptr_t)shell;
	s.service = (char *)(uintptr_t) "sshd";
	s.tty = (char *)(uintptr_t) "ssh";
	s.rhost = (char *)(uintptr_t) "192.0.2.7";
	return s;
}

static struct isp_subject usual(void)
{
	return subject_of("guests", "Guest", "/home/guest", "/bin/zsh");
}

/* Freezes with the defaults and these `key=value` settings; what is frozen must encode. */
static void freeze(const struct isp_subject *subject, const char *const *settings_texts,
		   const char *hostname, const char *resolvers, struct isp_spec *spec)
{
	cleanup_settings struct isp_settings settings = {.confine = false};
	cleanup_free char *bytes = NULL;
	struct isp_error err = {0};
	size_t size = 0;

	assert_int_equal(isp_settings_default(&settings, &err), 0);
	for (; settings_texts && *settings_texts; settings_texts += 2) {
		size_t option = 0;

		assert_int_equal(isp_option_find(settings_texts[0], &option), 0);
		assert_int_equal(
			isp_option_set(&isp_options[option], settings_texts[1], &settings, &err),
			0);
	}
	assert_int_equal(
		isp_policy_freeze_spec(&settings, subject, hostname, resolvers, spec, &err), 0);
	assert_int_equal(err.code, 0);
	if (isp_spec_encode(spec, &bytes, &size, &err) < 0)
		fail_msg("%s", err.text);
}

static void the_subject_arrives_in_the_spec(void **state)
{
	cleanup_spec struct isp_spec spec = {0};
	struct isp_subject s = usual();

	(void)state;
	freeze(&s, NULL, "lab1.example.org", "", &spec);
	assert_string_equal(spec.user, "guest");
	assert_int_equal(spec.uid, 1000);
	assert_int_equal(spec.gid, 1001);
	assert_string_equal(spec.group, "guests");
	assert_string_equal(spec.gecos, "Guest");
	assert_string_equal(spec.service, "sshd");
	assert_string_equal(spec.tty, "ssh");
	assert_string_equal(spec.rhost, "192.0.2.7");
	assert_string_equal(spec.home_path, "/home/guest");
	assert_string_equal(spec.shell, "/bin/zsh");
	assert_true(spec.shell_is_fallback);
	assert_string_equal(spec.hostname, "guest-lab1");
	assert_true(isp_session_id_is_valid(spec.session));
	assert_int_equal(strncmp(spec.session, "guest.", 6), 0);
}

static void each_setting_arrives_in_the_spec(void **state)
{
	static const char *const settings[] = {
		"template",
		"debian",
		"rootfs",
		"ephemeral",
		"home",
		"tmpfs",
		"privilege",
		"root",
		"capabilities",
		"chown",
		"seccomp",
		"lab",
		"network",
		"host",
		"dns",
		"192.0.2.1 ::1",
		"memory",
		"64M",
		"swap",
		"1M",
		"pids",
		"99",
		"cpu",
		"150%",
		"cpu_weight",
		"50",
		"io_weight",
		"60",
		"sessions",
		"3",
		"tmp_size",
		"2M",
		"ephemeral_size",
		"3M",
		"nofile",
		"77",
		"bind",
		"/srv/a:/a:ro /srv/b",
		"environment",
		"EDITOR PAGER",
		"on_logout",
		"linger",
		"idle_timeout",
		"5m",
		"max_session",
		"2h",
		"start_timeout",
		"7",
		NULL,
	};
	static const struct isp_limits limits = {.memory_bytes = 64 << 20,
						 .swap_bytes = 1 << 20,
						 .pids = 99,
						 .cpu_percent = 150,
						 .cpu_weight = 50,
						 .io_weight = 60,
						 .sessions = 3};
	cleanup_spec struct isp_spec spec = {0};
	struct isp_subject s = usual();

	(void)state;
	freeze(&s, settings, "lab1", "nameserver 192.0.2.99\n", &spec);
	assert_string_equal(spec.template_name, "debian");
	assert_string_equal(spec.seccomp, "lab");
	assert_int_equal(spec.rootfs, ISP_ROOTFS_EPHEMERAL);
	assert_int_equal(spec.home, ISP_HOME_TMPFS);
	assert_int_equal(spec.privilege, ISP_PRIVILEGE_ROOT);
	assert_true(spec.capabilities == 1);
	assert_int_equal(spec.network, ISP_NETWORK_HOST);
	assert_int_equal(spec.dns_count, 2); /* the policy's, and not the host's */
	assert_string_equal(spec.dns[1], "::1");
	assert_memory_equal(&spec.limits, &limits, sizeof(limits));
	assert_true(spec.tmp_size_bytes == 2 << 20 && spec.ephemeral_size_bytes == 3 << 20);
	assert_true(spec.nofile == 77);
	assert_int_equal(spec.bind_count, 2);
	assert_string_equal(spec.binds[0].source, "/srv/a");
	assert_string_equal(spec.binds[0].target, "/a");
	assert_true(spec.binds[0].is_read_only && !spec.binds[1].is_read_only);
	assert_int_equal(spec.environment_count, 2);
	assert_string_equal(spec.environment[1], "PAGER");
	assert_int_equal(spec.on_logout, ISP_LOGOUT_LINGER);
	assert_true(spec.idle_timeout_s == 300 && spec.max_session_s == 7200);
	assert_true(spec.start_timeout_s == 7);
}

/* Threat: a directory service in which users edit their own entries. */
static void what_the_name_service_says_cannot_break_a_line(void **state)
{
	cleanup_spec struct isp_spec spec = {0};
	struct isp_subject s =
		subject_of("a:b,c\nd", "G:0:0:-/:/bin/sh\nroot2:x:0:0", "/home/guest", "/bin/zsh");
	char rhost[] = "\033[2Jx\n";

	(void)state;
	s.rhost = rhost;
	freeze(&s, NULL, "lab1", "", &spec);
	assert_string_equal(spec.group, "a?b?c?d");
	assert_string_equal(spec.gecos, "G?0?0?-/?/bin/sh?root2?x?0?0");
	assert_string_equal(spec.rhost, "?[2Jx?");
}

static void texts_that_are_too_long_are_cut(void **state)
{
	cleanup_spec struct isp_spec spec = {0};
	char text[2 * ISP_SPEC_TEXT_MAX];
	struct isp_subject s = subject_of("", text, "/home/guest", "/bin/zsh");

	(void)state;
	memset(text, 'g', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	s.tty = text;
	freeze(&s, NULL, "lab1", "", &spec);
	assert_int_equal(strlen(spec.gecos), ISP_SPEC_TEXT_MAX);
	assert_int_equal(strlen(spec.tty), ISP_SPEC_TEXT_MAX);
	assert_string_equal(spec.group, "?"); /* without a name there would be no line for it */
}

/* Pitfall 25: container root on the host's root, or on nobody's id. */
static void root_and_no_id_at_all_are_never_frozen(void **state)
{
	static const struct {
		uid_t uid;
		gid_t gid;
	} ids[] = {{0, 1}, {1, 0}, {0, 0}, {UINT32_MAX, 1}, {1, UINT32_MAX}};
	cleanup_settings struct isp_settings settings = {.confine = false};
	struct isp_error none = {0};
	static const struct isp_spec zeroed;

	(void)state;
	assert_int_equal(isp_settings_default(&settings, &none), 0);
	for (size_t i = 0; i < ISP_ARRAY_SIZE(ids); i++) {
		struct isp_subject s = usual();
		struct isp_spec spec = {0};
		struct isp_error err = {0};

		s.uid = ids[i].uid;
		s.gid = ids[i].gid;
		assert_int_equal(isp_policy_freeze_spec(&settings, &s, "h", "", &spec, &err),
				 -EPERM);
		assert_int_equal(err.stage, ISP_STAGE_POLICY);
		assert_memory_equal(&spec, &zeroed, sizeof(spec));
	}
}

static void a_user_whose_name_fits_no_path_is_never_frozen(void **state)
{
	cleanup_settings struct isp_settings settings = {.confine = false};
	cleanup_spec struct isp_spec spec = {0};
	struct isp_subject s = usual();
	struct isp_error err = {0};

	(void)state;
	/* What isp_subject_resolve() makes of such a name. */
	(void)snprintf(s.user, sizeof(s.user), "?");
	assert_int_equal(isp_settings_default(&settings, &err), 0);
	assert_int_equal(isp_policy_freeze_spec(&settings, &s, "lab1", "", &spec, &err), -EPERM);
	assert_non_null(strstr(err.text, "cannot be confined"));
	assert_null(spec.group);
}

/* Root's own runs go by it, and each has limits of its own. */
static void a_user_of_roots_name_is_never_frozen(void **state)
{
	cleanup_settings struct isp_settings settings = {.confine = false};
	cleanup_spec struct isp_spec spec = {0};
	struct isp_subject s = usual();
	struct isp_error err = {0};

	(void)state;
	(void)snprintf(s.user, sizeof(s.user), "root");
	assert_int_equal(isp_settings_default(&settings, &err), 0);
	assert_int_equal(isp_policy_freeze_spec(&settings, &s, "lab1", "", &spec, &err), -EPERM);
	assert_non_null(strstr(err.text, "\"root\""));
	assert_null(spec.group);
}

static void only_listed_groups_of_the_user_are_kept(void **state)
{
	static const char *const settings[] = {"groups", "audio video root guests staff nosuch",
					       NULL};
	char names[][8] = {"audio", "disk", "root", "guests", "video", "staff"};
	struct isp_group groups[] = {
		{29, names[0]},   {6, names[1]},  {0, names[2]},
		{1001, names[3]}, {44, names[4]}, {UINT32_MAX, names[5]},
	};
	cleanup_spec struct isp_spec spec = {0};
	struct isp_subject s = usual();

	(void)state;
	s.groups = groups;
	s.group_count = ISP_ARRAY_SIZE(groups);
	freeze(&s, settings, "lab1", "", &spec);
	/* Not disk, which nobody listed; not group 0; not the primary; not an id that is none. */
	assert_int_equal(spec.group_count, 2);
	assert_int_equal(spec.groups[0].gid, 29);
	assert_string_equal(spec.groups[0].name, "audio");
	assert_int_equal(spec.groups[1].gid, 44);
	assert_string_equal(spec.groups[1].name, "video");
}

static void more_groups_than_fit_are_refused_and_not_cut(void **state)
{
	cleanup_settings struct isp_settings settings = {.confine = false};
	struct isp_group groups[ISP_LIST_MAX + 1];
	char name[] = "many";
	struct isp_subject s = usual();
	struct isp_spec spec = {0};
	struct isp_error err = {0};
	size_t option = 0;

	(void)state;
	assert_int_equal(isp_settings_default(&settings, &err), 0);
	assert_int_equal(isp_option_find("groups", &option), 0);
	assert_int_equal(isp_option_set(&isp_options[option], name, &settings, &err), 0);
	for (size_t i = 0; i < ISP_ARRAY_SIZE(groups); i++)
		groups[i] = (struct isp_group){.gid = (gid_t)(2000 + i), .name = name};
	s.groups = groups;
	s.group_count = ISP_ARRAY_SIZE(groups);
	assert_int_equal(isp_policy_freeze_spec(&settings, &s, "h", "", &spec, &err), -E2BIG);
	assert_int_equal(spec.group_count, 0);
	s.group_count = ISP_LIST_MAX;
	err = (struct isp_error){0};
	assert_int_equal(isp_policy_freeze_spec(&settings, &s, "h", "", &spec, &err), 0);
	assert_int_equal(spec.group_count, ISP_LIST_MAX);
	isp_spec_free(&spec);
}

static void the_shell_is_the_policys_or_the_users_own(void **state)
{
	static const struct {
		const char *setting, *passwd, *shell;
		bool is_fallback;
	} cases[] = {
		{"passwd", "/bin/zsh", "/bin/zsh", true},
		{"passwd", "", "/bin/bash", true},
		{"passwd", "zsh", "/bin/bash", true},
		{"passwd", "/bin/../bin/sh", "/bin/bash", true},
		{"passwd", "/bin/a:b", "/bin/bash", true},
		{"passwd", ISPAWN_SHELL, "/bin/bash", true},
		{"passwd", "/opt/bin/ispawn-shell", "/bin/bash", true},
		{"passwd", "/usr/sbin/nologin", "/usr/sbin/nologin", true},
		{"none", "/bin/zsh", "", false},
		{"/bin/dash", "/bin/zsh", "/bin/dash", false},
		{"/bin/dash", "", "/bin/dash", false},
	};

	(void)state;
	for (size_t i = 0; i < ISP_ARRAY_SIZE(cases); i++) {
		const char *settings[] = {"shell", cases[i].setting, NULL};
		cleanup_spec struct isp_spec spec = {0};
		struct isp_subject s = subject_of("g", "", "/home/guest", cases[i].passwd);

		freeze(&s, settings, "lab1", "", &spec);
		assert_string_equal(spec.shell, cases[i].shell);
		assert_int_equal(spec.shell_is_fallback, cases[i].is_fallback);
	}
}

static void a_home_that_cannot_stand_inside_gets_a_place_in_home(void **state)
{
	static const char *const cases[][2] = {
		{"/export/guest", "/export/guest"},
		{"/nonexistent", "/nonexistent"},
		{"/", "/home/guest"},
		{"/etc", "/home/guest"},
		{"/home", "/home/guest"},
		{"", "/home/guest"},
		{"home/guest", "/home/guest"},
		{"/home/../etc", "/home/guest"},
		{"/home/guest/", "/home/guest"},
		{"/proc/1/root", "/home/guest"},
		{"/a:b", "/home/guest"},
	};

	(void)state;
	for (size_t i = 0; i < ISP_ARRAY_SIZE(cases); i++) {
		cleanup_spec struct isp_spec spec = {0};
		struct isp_subject s = subject_of("g", "", cases[i][0], "/bin/sh");

		freeze(&s, NULL, "lab1", "", &spec);
		assert_string_equal(spec.home_path, cases[i][1]);
	}
}

static void a_hostname_is_always_one_label(void **state)
{
	static const char *const cases[][3] = {
		{"guest", "lab1", "guest-lab1"},
		{"guest", "lab1.example.org", "guest-lab1"},
		{"Guest", "LAB", "guest-lab"},
		{"DOM\\bob", "lab", "dom-bob-lab"},
		{"u@ex.org", "lab", "u-ex-org-lab"},
		{"a..b__c", "lab", "a-b-c-lab"},
		{"svc$", "lab", "svc-lab"},
		{"_apt", "lab", "apt-lab"},
		{"guest", "", "guest"},
		{"guest", ".local", "guest"},
		{"guest", "\xc3\xa4-x", "guest-x"},
		{"__", "..", "ispawn"},
		{"+++", "\033", "ispawn"},
	};

	(void)state;
	for (size_t i = 0; i < ISP_ARRAY_SIZE(cases); i++) {
		cleanup_spec struct isp_spec spec = {0};
		struct isp_subject s = usual();

		(void)snprintf(s.user, sizeof(s.user), "%s", cases[i][0]);
		freeze(&s, NULL, cases[i][1], "", &spec);
		assert_string_equal(spec.hostname, cases[i][2]);
	}
}

static void a_long_hostname_is_cut_at_63_and_never_ends_in_a_hyphen(void **state)
{
	(void)state;
	for (size_t size = 60; size <= ISP_NAME_MAX; size++) {
		cleanup_spec struct isp_spec spec = {0};
		struct isp_subject s = usual();

		memset(s.user, 'u', size);
		s.user[size] = '\0';
		freeze(&s, NULL, "lab1", "", &spec);
		assert_int_equal(strlen(spec.hostname), size == 62 ? 62 : 63);
		assert_true(isp_spec_hostname_is_valid(spec.hostname));
	}
}

static void the_hosts_resolvers_go_with_the_hosts_network_only(void **state)
{
	static const char *const host[] = {"network", "host", NULL};
	static const char resolvers[] = "# nameserver 192.0.2.9\n"
					"nameserver 192.0.2.1\n"
					"search example.org\n"
					"nameserver\t2001:db8::1 # trailing\r\n"
					"nameserver\n"
					"nameserver \n"
					"nameserver192.0.2.8\n"
					"nameserver not.an.address\n"
					"nameserver fe80::1%eth0\n"
					" nameserver 192.0.2.7\n"
					"nameservers 192.0.2.6\n"
					"nameserver 127.0.0.53";
	cleanup_spec struct isp_spec with = {0};
	cleanup_spec struct isp_spec without = {0};
	struct isp_subject s = usual();

	(void)state;
	freeze(&s, host, "lab1", resolvers, &with);
	assert_int_equal(with.dns_count, 3);
	assert_string_equal(with.dns[0], "192.0.2.1");
	assert_string_equal(with.dns[1], "2001:db8::1");
	assert_string_equal(with.dns[2], "127.0.0.53");
	freeze(&s, NULL, "lab1", resolvers, &without);
	assert_int_equal(without.dns_count, 0);
}

static void more_resolvers_than_fit_are_left_out(void **state)
{
	static const char *const host[] = {"network", "host", NULL};
	cleanup_spec struct isp_spec spec = {0};
	struct isp_subject s = usual();
	char resolvers[40 * 32] = "";

	(void)state;
	for (size_t i = 0; i < 40; i++)
		(void)snprintf(resolvers + strlen(resolvers), sizeof(resolvers) - strlen(resolvers),
			       "nameserver 192.0.2.%zu\n", i);
	freeze(&s, host, "lab1", resolvers, &spec);
	assert_int_equal(spec.dns_count, ISP_LIST_MAX);
}

static void an_unreadable_configuration_reaches_no_verdict(void **state)
{
	enum isp_verdict verdict = ISP_VERDICT_IGNORE;
	struct isp_subject s = usual();
	struct isp_spec spec = {0};
	struct isp_error err = {0};

	(void)state;
	assert_int_equal(
		isp_policy_freeze("/etc/no-such-dir-x7/ispawn.conf", &s, &verdict, &spec, &err),
		-ENOENT);
	assert_int_equal(verdict, ISP_VERDICT_IGNORE); /* untouched: the caller has set deny */
	assert_null(spec.shell);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_subject_arrives_in_the_spec),
		cmocka_unit_test(each_setting_arrives_in_the_spec),
		cmocka_unit_test(what_the_name_service_says_cannot_break_a_line),
		cmocka_unit_test(texts_that_are_too_long_are_cut),
		cmocka_unit_test(root_and_no_id_at_all_are_never_frozen),
		cmocka_unit_test(a_user_whose_name_fits_no_path_is_never_frozen),
		cmocka_unit_test(a_user_of_roots_name_is_never_frozen),
		cmocka_unit_test(only_listed_groups_of_the_user_are_kept),
		cmocka_unit_test(more_groups_than_fit_are_refused_and_not_cut),
		cmocka_unit_test(the_shell_is_the_policys_or_the_users_own),
		cmocka_unit_test(a_home_that_cannot_stand_inside_gets_a_place_in_home),
		cmocka_unit_test(a_hostname_is_always_one_label),
		cmocka_unit_test(a_long_hostname_is_cut_at_63_and_never_ends_in_a_hyphen),
		cmocka_unit_test(the_hosts_resolvers_go_with_the_hosts_network_only),
		cmocka_unit_test(more_resolvers_than_fit_are_left_out),
		cmocka_unit_test(an_unreadable_configuration_reaches_no_verdict),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
