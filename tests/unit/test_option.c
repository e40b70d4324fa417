/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The option table: defaults, ranges, and what each type takes. */
#include "ispawn/base/fd.h"
#include "ispawn/policy/capability.h"
#include "ispawn/policy/option.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static int set(const char *key, const char *text, struct isp_settings *s, struct isp_error *err)
{
	size_t index = 0;

	assert_int_equal(isp_option_find(key, &index), 0);
	return isp_option_set(&isp_options[index], text, s, err);
}

static void the_defaults_are_the_documented_ones(void **state)
{
	static const char *const services[] = {"sshd", "login", "su", "su-l", "remote"};
	cleanup_settings struct isp_settings s = {.confine = true};
	struct isp_error err = {0};

	(void)state;
	assert_int_equal(isp_settings_default(&s, &err), 0);
	assert_false(s.confine);
	assert_int_equal(s.services.count, ISP_ARRAY_SIZE(services));
	for (size_t i = 0; i < ISP_ARRAY_SIZE(services); i++)
		assert_string_equal(s.services.words[i], services[i]);
	assert_int_equal(s.other_services, ISP_ELSEWHERE_DENY);
	assert_string_equal(s.template_name, "default");
	assert_int_equal(s.rootfs, ISP_ROOTFS_OVERLAY);
	assert_int_equal(s.home, ISP_HOME_PRIVATE);
	assert_string_equal(s.shell, "passwd");
	assert_int_equal(s.privilege, ISP_PRIVILEGE_NONE);
	assert_true(s.capabilities == isp_capability_reduced());
	assert_string_equal(s.seccomp, "default");
	assert_int_equal(s.network, ISP_NETWORK_NONE);
	assert_int_equal(s.dns.count, 0);
	assert_true(s.limits.memory_bytes == 1ULL << 30);
	assert_true(s.limits.swap_bytes == 0);
	assert_true(s.limits.pids == 256);
	assert_true(s.limits.cpu_percent == 100);
	assert_true(s.limits.cpu_weight == 100);
	assert_true(s.limits.io_weight == 100);
	assert_true(s.limits.sessions == 16);
	assert_true(s.tmp_size_bytes == 256ULL << 20);
	assert_true(s.ephemeral_size_bytes == 1ULL << 30);
	assert_true(s.nofile == 4096);
	assert_int_equal(s.binds.count, 0);
	assert_int_equal(s.groups.count, 0);
	assert_int_equal(s.environment.count, 0);
	assert_int_equal(s.on_logout, ISP_LOGOUT_KILL);
	assert_true(s.idle_timeout_s == 0);
	assert_true(s.max_session_s == 0);
	assert_true(s.start_timeout_s == 10);
}

static void each_key_is_found_under_its_own_name_only(void **state)
{
	size_t found = 99;

	(void)state;
	for (size_t i = 0; i < ISP_OPTION_TOTAL; i++) {
		char type[160];

		assert_int_equal(isp_option_find(isp_options[i].name, &found), 0);
		assert_int_equal(found, i);
		assert_true(isp_options[i].doc[0] != '\0');
		isp_option_type_text(&isp_options[i], type, sizeof(type));
		assert_true(strlen(type) > 2);
	}
	found = 99;
	assert_int_equal(isp_option_find("Confine", &found), -ENOENT);
	assert_int_equal(isp_option_find("allow", &found), -ENOENT);
	assert_int_equal(isp_option_find("", &found), -ENOENT);
	assert_int_equal(found, 99);
}

static void values_at_the_edge_are_taken_and_beyond_it_refused(void **state)
{
	static const struct {
		const char *key, *text;
		bool is_taken;
	} cases[] = {
		{"memory", "16M", true},
		{"memory", "16383K", false},
		{"memory", "max", true},
		{"memory", "1", false},
		{"memory", "1g", false},
		{"memory", "-1", false},
		{"memory", " 1G", false},
		{"memory", "1.5G", false},
		{"memory", "99999999999T", false},
		{"swap", "0", true},
		{"swap", "max", true},
		{"swap", "", false},
		{"pids", "8", true},
		{"pids", "7", false},
		{"pids", "4194304", true},
		{"pids", "4194305", false},
		{"pids", "max", true},
		{"pids", "Max", false},
		{"pids", "18446744073709551615", false},
		{"cpu", "0%", true},
		{"cpu", "100", false},
		{"cpu", "1%", true},
		{"cpu", "409600%", true},
		{"cpu", "409601%", false},
		{"cpu_weight", "0", false},
		{"cpu_weight", "1", true},
		{"cpu_weight", "10000", true},
		{"cpu_weight", "10001", false},
		{"io_weight", "0", false},
		{"io_weight", "10000", true},
		{"sessions", "0", false},
		{"sessions", "1", true},
		{"sessions", "1024", true},
		{"sessions", "1025", false},
		{"tmp_size", "1M", true},
		{"tmp_size", "1023K", false},
		{"tmp_size", "1T", true},
		{"tmp_size", "max", false},
		{"ephemeral_size", "max", false},
		{"ephemeral_size", "2G", true},
		{"nofile", "63", false},
		{"nofile", "64", true},
		{"nofile", "1048576", true},
		{"nofile", "1048577", false},
		{"idle_timeout", "0", true},
		{"idle_timeout", "366d", true},
		{"idle_timeout", "367d", false},
		{"max_session", "12h", true},
		{"start_timeout", "0", false},
		{"start_timeout", "1s", true},
		{"start_timeout", "10m", true},
		{"start_timeout", "601", false},
		{"start_timeout", "10M", false},
		{"confine", "true", false},
		{"confine", "yes", true},
		{"rootfs", "copy", true},
		{"rootfs", "Copy", false},
		{"rootfs", "", false},
		{"home", "bind", true},
		{"home", "copy", false},
		{"privilege", "root", true},
		{"privilege", "admin", false},
		{"network", "host", true},
		{"network", "nat", false},
		{"seccomp", "default", true},
		{"seccomp", "learn", true},
		{"seccomp", "lab-2.strict", true},
		{"seccomp", "none", false},
		{"seccomp", "unconfined", false},
		{"seccomp", "", false},
		{"seccomp", "../lab", false},
		{"seccomp", ".lab", false},
		{"seccomp", "a b", false},
		{"on_logout", "linger", true},
		{"on_logout", "stay", false},
		{"other_services", "allow", true},
		{"other_services", "confine", false},
		{"template", "debian-12", true},
		{"template", "../x", false},
		{"template", "", false},
		{"template", "a b", false},
		{"shell", "passwd", true},
		{"shell", "none", true},
		{"shell", "/bin/zsh", true},
		{"shell", "zsh", false},
		{"shell", "/", false},
		{"shell", "", false},
		{"shell", "/bin/../x", false},
		{"services", "", true},
		{"services", "sshd,su", true},
		{"services", "sshd /etc", false},
		{"services", "su su", false},
		{"dns", "1.1.1.1 2001:db8::1", true},
		{"dns", "dns.example", false},
		{"groups", "audio, video", true},
		{"groups", "a:b", false},
		{"environment", "EDITOR PAGER", true},
		{"environment", "LD_PRELOAD", false},
		{"environment", "GIT_*", false},
		{"capabilities", "default", true},
		{"capabilities", "", false},
		{"capabilities", "chown CAP_KILL Cap_Sys_Ptrace", true},
		{"capabilities", "sys_admin", false},
		{"capabilities", "sys_resource", false},
		{"capabilities", "nonsense", false},
		{"capabilities", "kill CAP_KILL", false},
		{"capabilities", "default kill", false},
	};

	(void)state;
	for (size_t i = 0; i < ISP_ARRAY_SIZE(cases); i++) {
		cleanup_settings struct isp_settings s = {.confine = false};
		struct isp_error err = {0};
		int r = set(cases[i].key, cases[i].text, &s, &err);

		if ((r == 0) != cases[i].is_taken)
			fail_msg("%s = %s: %d", cases[i].key, cases[i].text, r);
		if (r < 0)
			assert_int_equal(err.stage, ISP_STAGE_CONFIG);
	}
}

static void a_refusal_says_what_is_allowed(void **state)
{
	static const struct {
		const char *key, *text, *says;
	} cases[] = {
		{"memory", "1", "\"1\" is not allowed: size, 16M to max"},
		{"start_timeout", "0", "\"0\" is not allowed: duration, 1s to 10m"},
		{"cpu", "x", "percentage, 0% to 409600%"},
		{"pids", "1", "number, 8 to 4194304, or max"},
		{"rootfs", "x", "one of overlay, copy, ephemeral, readonly"},
		{"network", "nat", "one of none, host; nat does not exist yet"},
		{"seccomp", "none",
		 "default, learn, or a name (NAME stands for /etc/ispawn/seccomp/NAME.json"},
		{"shell", "x", "path, passwd, or none"},
		{"dns", "x", "\"x\" is not allowed here (numeric addresses only)"},
		{"environment", "PATH", "ispawn sets it"},
		{"capabilities", "SYS_ADMIN", "\"SYS_ADMIN\" is never granted"},
		{"capabilities", "x", "\"x\" is not a capability"},
		{"groups", "a a", "\"a\" stands twice"},
		{"template", "\033[2J", "\\x1b[2J"},
	};

	(void)state;
	for (size_t i = 0; i < ISP_ARRAY_SIZE(cases); i++) {
		cleanup_settings struct isp_settings s = {.confine = false};
		struct isp_error err = {0};

		assert_int_equal(set(cases[i].key, cases[i].text, &s, &err), -EINVAL);
		if (!strstr(err.text, cases[i].says))
			fail_msg("\"%s\" is not in: %s", cases[i].says, err.text);
	}
}

static void a_refused_value_changes_nothing(void **state)
{
	cleanup_settings struct isp_settings s = {.confine = false};
	struct isp_settings before;
	struct isp_error err = {0};

	(void)state;
	assert_int_equal(isp_settings_default(&s, &err), 0);
	assert_int_equal(set("bind", "/srv", &s, &err), 0);
	before = s;
	for (size_t i = 0; i < ISP_OPTION_TOTAL; i++) {
		memset(&err, 0, sizeof(err));
		assert_int_equal(isp_option_set(&isp_options[i], "/a:/b:/c:/d /proc", &s, &err),
				 -EINVAL);
	}
	assert_memory_equal(&before, &s, sizeof(s));
}

static void a_list_replaces_the_one_before(void **state)
{
	cleanup_settings struct isp_settings s = {.confine = false};
	struct isp_error err = {0};

	(void)state;
	assert_int_equal(set("groups", " a,b\tc ,, d ", &s, &err), 0);
	assert_int_equal(s.groups.count, 4);
	assert_string_equal(s.groups.words[2], "c");
	assert_int_equal(set("groups", "x", &s, &err), 0);
	assert_int_equal(s.groups.count, 1);
	assert_string_equal(s.groups.words[0], "x");
	assert_int_equal(set("groups", "", &s, &err), 0);
	assert_int_equal(s.groups.count, 0);
}

static void a_list_holds_thirty_two_words(void **state)
{
	cleanup_settings struct isp_settings s = {.confine = false};
	struct isp_error err = {0};
	char text[256] = "";

	(void)state;
	for (unsigned int i = 0; i < ISP_LIST_MAX; i++)
		(void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "g%u ", i);
	assert_int_equal(set("groups", text, &s, &err), 0);
	assert_int_equal(s.groups.count, ISP_LIST_MAX);
	(void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "more");
	assert_int_equal(set("groups", text, &s, &err), -EINVAL);
	assert_non_null(strstr(err.text, "more than 32 words"));
	assert_int_equal(s.groups.count, ISP_LIST_MAX);
}

static void binds_are_read_in_all_their_forms(void **state)
{
	cleanup_settings struct isp_settings s = {.confine = false};
	struct isp_error err = {0};

	(void)state;
	assert_int_equal(set("bind", "/a /b:ro, /c:/d\t/e:/f:ro", &s, &err), 0);
	assert_int_equal(s.binds.count, 4);
	assert_string_equal(s.binds.binds[0].source, "/a");
	assert_string_equal(s.binds.binds[0].target, "/a");
	assert_false(s.binds.binds[0].is_read_only);
	assert_string_equal(s.binds.binds[1].source, "/b");
	assert_string_equal(s.binds.binds[1].target, "/b");
	assert_true(s.binds.binds[1].is_read_only);
	assert_string_equal(s.binds.binds[2].target, "/d");
	assert_false(s.binds.binds[2].is_read_only);
	assert_string_equal(s.binds.binds[3].source, "/e");
	assert_string_equal(s.binds.binds[3].target, "/f");
	assert_true(s.binds.binds[3].is_read_only);
}

static void bad_binds_are_refused_with_a_reason(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{"a", "source is not a clean absolute path"},
		{"/a:b", "target is not a clean absolute path"},
		{"/a:/b:rw", "\"rw\" is not a flag"},
		{"/a:ro:ro", "target is not a clean absolute path"},
		{"/a:/b:ro:x", "\"ro:x\" is not a flag"},
		{"/a:", "target is not a clean absolute path"},
		{":/a", "source is not a clean absolute path"},
		{"/a/../b", "source is not a clean absolute path"},
		{"/a:/proc/x", "would hide"},
		{"/a:/", "would hide"},
		{"/a:/run", "would hide"},
		{"/a:/tmp", "would hide"},
		{"/", "never shown inside"},
		{"/dev/null:/x", "never shown inside"},
		{"/var/lib/ispawn/users:/x", "never shown inside"},
		{"/a:/x /b:/x", "\"/x\" is the target of two binds"},
		{"/x /b:/x:ro", "\"/x\" is the target of two binds"},
	};

	(void)state;
	for (size_t i = 0; i < ISP_ARRAY_SIZE(cases); i++) {
		cleanup_settings struct isp_settings s = {.confine = false};
		struct isp_error err = {0};

		assert_int_equal(set("bind", cases[i].text, &s, &err), -EINVAL);
		assert_int_equal(s.binds.count, 0);
		if (!strstr(err.text, cases[i].says))
			fail_msg("%s: \"%s\" is not in: %s", cases[i].text, cases[i].says,
				 err.text);
	}
}

static void capabilities_become_a_mask(void **state)
{
	cleanup_settings struct isp_settings s = {.confine = false};
	struct isp_error err = {0};

	(void)state;
	assert_int_equal(set("capabilities", "CAP_CHOWN kill,net_admin", &s, &err), 0);
	assert_true(s.capabilities == (1ULL << 0 | 1ULL << 5 | 1ULL << 12));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_defaults_are_the_documented_ones),
		cmocka_unit_test(each_key_is_found_under_its_own_name_only),
		cmocka_unit_test(values_at_the_edge_are_taken_and_beyond_it_refused),
		cmocka_unit_test(a_refusal_says_what_is_allowed),
		cmocka_unit_test(a_refused_value_changes_nothing),
		cmocka_unit_test(a_list_replaces_the_one_before),
		cmocka_unit_test(a_list_holds_thirty_two_words),
		cmocka_unit_test(binds_are_read_in_all_their_forms),
		cmocka_unit_test(bad_binds_are_refused_with_a_reason),
		cmocka_unit_test(capabilities_become_a_mask),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
