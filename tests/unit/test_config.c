/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The configuration: what is refused, with which words, and what is kept as written. */
#include "ispawn/base/fd.h"
#include "ispawn/policy/config.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

static int parse(const char *text, struct isp_config *config, struct isp_error *err)
{
	return isp_config_parse_text(config, "/etc/x.conf", text, strlen(text), err);
}

/* The value of @key in the section number @index; NULL when it is not set. */
static const char *value(const struct isp_config *config, size_t index, const char *key)
{
	const struct isp_config_section *s = config->sections[index];

	for (size_t i = 0; i < s->value_count; i++)
		if (strcmp(isp_options[s->values[i].option].name, key) == 0)
			return s->values[i].text;
	return NULL;
}

static void sections_and_values_are_kept_as_written(void **state)
{
	static const char text[] = "# comment \xc3\xa4 [x] = ;\n"
				   "\n"
				   "  [defaults]  \n"
				   "confine = no\n"
				   "\t memory=2G ; a comment \xc3\xa4\n"
				   "template = \"debian-12\" # quoted\n"
				   "dns = ''\n"
				   "groups =\n"
				   "environment = ; nothing\n"
				   "[user Alice]\n"
				   "confine = yes\n"
				   "[user alice]\n"
				   "[user DOM\\bob]\n"
				   "pids = 9\n"
				   "[group   domain users ]\n"
				   "bind = \"/srv/a:/a:ro, /srv/b#1\"\n"
				   "[service su-l]\n"
				   "confine = no";
	cleanup_config struct isp_config c = {.file_count = 0};
	struct isp_error err = {0};

	(void)state;
	assert_int_equal(parse(text, &c, &err), 0);
	assert_int_equal(c.file_count, 1);
	assert_int_equal(c.section_count, 6);
	assert_int_equal(c.sections[0]->kind, ISP_SECTION_DEFAULTS);
	assert_string_equal(c.sections[0]->name, "");
	assert_int_equal(c.sections[0]->line, 3);
	assert_string_equal(value(&c, 0, "confine"), "no");
	assert_string_equal(value(&c, 0, "memory"), "2G");
	assert_string_equal(value(&c, 0, "template"), "debian-12");
	assert_string_equal(value(&c, 0, "dns"), "");
	assert_string_equal(value(&c, 0, "groups"), "");
	assert_string_equal(value(&c, 0, "environment"), "");
	assert_int_equal(c.sections[0]->values[1].line, 5);
	assert_int_equal(c.sections[1]->kind, ISP_SECTION_USER);
	assert_string_equal(c.sections[1]->name, "Alice");
	assert_string_equal(value(&c, 1, "confine"), "yes");
	assert_string_equal(c.sections[2]->name, "alice");
	assert_int_equal(c.sections[2]->value_count, 0);
	assert_string_equal(c.sections[3]->name, "DOM\\bob");
	assert_int_equal(c.sections[4]->kind, ISP_SECTION_GROUP);
	assert_string_equal(c.sections[4]->name, "domain users");
	assert_string_equal(value(&c, 4, "bind"), "/srv/a:/a:ro, /srv/b#1");
	assert_int_equal(c.sections[5]->kind, ISP_SECTION_SERVICE);
	assert_string_equal(c.sections[5]->name, "su-l");
	assert_string_equal(value(&c, 5, "confine"), "no");
}

static void ten_users_with_odd_names_keep_them(void **state)
{
	static const char *const names[] = {"A",   "a",       "a.b",      "a-b",  "svc$",
					    "a+b", "CORP\\x", "u@ex.org", "_apt", "0day"};
	cleanup_config struct isp_config c = {.file_count = 0};
	struct isp_error err = {0};
	char text[1024] = "";

	(void)state;
	for (size_t i = 0; i < ISP_ARRAY_SIZE(names); i++) {
		size_t used = strlen(text);

		(void)snprintf(text + used, sizeof(text) - used, "[user %s]\npids = %zu\n",
			       names[i], 100 + i);
	}
	assert_int_equal(parse(text, &c, &err), 0);
	assert_int_equal(c.section_count, ISP_ARRAY_SIZE(names));
	for (size_t i = 0; i < ISP_ARRAY_SIZE(names); i++) {
		char pids[16];

		(void)snprintf(pids, sizeof(pids), "%zu", 100 + i);
		assert_string_equal(c.sections[i]->name, names[i]);
		assert_string_equal(value(&c, i, "pids"), pids);
	}
}

static void bad_files_are_refused_with_file_section_and_key(void **state)
{
	static const struct {
		const char *text;
		const char *parts[3];
	} cases[] = {
		{"[defaults]\nmemry = 1G\n",
		 {"/etc/x.conf: ", "[defaults] memry: ", "unknown key"}},
		{"[defaults]\nMemory = 1G\n", {"[defaults] Memory: ", "unknown key", ""}},
		{"[defaults]\n= 1G\n", {"[defaults] : ", "unknown key", ""}},
		{"[user bob]\npids = 1x\n", {"[user bob] pids: ", "\"1x\"", "8 to 4194304"}},
		{"[user bob]\npids = 7\n", {"[user bob] pids: ", "\"7\"", "8 to 4194304"}},
		{"[user bob]\npids =\n", {"[user bob] pids: ", "\"\"", "number"}},
		{"[user b]\npids = 8\npids = 9\n", {"[user b] pids: ", "twice in the section", ""}},
		{"[user b]\npids = 8\n[user b]\n", {"line 3", "twice in the file", ""}},
		{"[defaults]\n[defaults]\n", {"line 2", "twice in the file", ""}},
		{"[group a b]\n[group  a b]\n", {"line 2", "twice in the file", ""}},
		{"confine = yes\n", {"line 1", "before the first section", ""}},
		{"[defaults]\nconfine\n", {"line 2", "neither [section] nor key = value", ""}},
		{"[defaults]\nconfine = no\\\n", {"line 2", "backslash", ""}},
		{"[defaults]\n# comment \\ \nconfine = no\n", {"line 2", "backslash", ""}},
		{"[defaults\nconfine = no\n", {"line 1", "brackets", ""}},
		{"[defaults] # comment\n", {"line 1", "brackets", ""}},
		{"[user a]b]\n", {"line 1", "brackets", ""}},
		{"[[user a]]\n", {"line 1", "brackets", ""}},
		{"[]\n", {"line 1", "unknown kind", ""}},
		{"[", {"line 1", "brackets", ""}},
		{"[default]\n", {"line 1", "unknown kind", "[service NAME]"}},
		{"[Defaults]\n", {"line 1", "unknown kind", ""}},
		{"[users]\n", {"line 1", "unknown kind", ""}},
		{"[defaults x]\n", {"line 1", "[defaults] takes no name", ""}},
		{"[user]\n", {"line 1", "name is missing", ""}},
		{"[user a b]\n", {"line 1", "not a name", ""}},
		{"[user ../x]\n", {"line 1", "not a name", ""}},
		{"[service a/b]\n", {"line 1", "not a name", ""}},
		{"[group a:b]\n", {"line 1", "not a name", ""}},
		{"[group \xc3\xa4]\n", {"line 1", "ASCII", ""}},
		{"[defaults]\r\nconfine = no\r\n", {"line 1", "carriage return", ""}},
		{"[defaults]\nconfine = \033no\n", {"line 2", "control byte", ""}},
		{"[defaults]\n# \177\n", {"line 2", "control byte", ""}},
		{"[defaults]\ntemplate = \xc3\xa4\n", {"[defaults] template: ", "ASCII", ""}},
		{"[defaults]\nbind = /a#b\n", {"[defaults] bind: ", "put the value in quotes", ""}},
		{"[defaults]\nbind = /a;b\n", {"[defaults] bind: ", "put the value in quotes", ""}},
		{"[defaults]\nbind = \"/a\n", {"[defaults] bind: ", "closing quote", ""}},
		{"[defaults]\nbind = '/a\n", {"[defaults] bind: ", "closing quote", ""}},
		{"[defaults]\nbind = \"/a\" /b\n", {"bind: ", "follows the closing quote", ""}},
		{"[defaults]\nbind = /a\"b\"\n", {"bind: ", "quote within a value", ""}},
		{"[defaults]\nconfine = Yes\n",
		 {"[defaults] confine: ", "\"Yes\"", "one of yes, no"}},
		{"[defaults]\nconfine = yes yes\n", {"confine: ", "\"yes yes\"", ""}},
		{"[defaults]\nconfine = yes=no\n", {"confine: ", "\"yes=no\"", ""}},
		{"[defaults]\nconfine == yes\n", {"confine: ", "\"= yes\"", ""}},
		{"[defaults]\nnetwork = nat\n", {"network: ", "\"nat\"", "nat does not exist yet"}},
		{"[defaults]\nallow = 1.2.3.4\n", {"[defaults] allow: ", "unknown key", ""}},
		{"[defaults]\nseccomp = none\n", {"seccomp: ", "\"none\"", "NAME.json"}},
	};

	(void)state;
	for (size_t i = 0; i < ISP_ARRAY_SIZE(cases); i++) {
		cleanup_config struct isp_config c = {.file_count = 0};
		struct isp_error err = {0};
		int r = parse(cases[i].text, &c, &err);

		if (r != -EINVAL || err.stage != ISP_STAGE_CONFIG)
			fail_msg("%s: %d", cases[i].text, r);
		assert_true(strncmp(err.text, "/etc/x.conf: ", 13) == 0);
		for (size_t k = 0; k < 3; k++)
			if (!strstr(err.text, cases[i].parts[k]))
				fail_msg("%s: \"%s\" is not in: %s", cases[i].text,
					 cases[i].parts[k], err.text);
	}
}

static void a_nul_byte_is_refused(void **state)
{
	static const char text[] = "[defaults]\nconfine = no\0\n";
	cleanup_config struct isp_config c = {.file_count = 0};
	struct isp_error err = {0};

	(void)state;
	assert_int_equal(isp_config_parse_text(&c, "f", text, sizeof(text) - 1, &err), -EINVAL);
	assert_non_null(strstr(err.text, "control byte"));
}

static void lines_up_to_a_thousand_bytes_are_read_whole(void **state)
{
	struct isp_error err = {0};

	(void)state;
	for (size_t size = 999; size <= 1001; size++) {
		cleanup_config struct isp_config c = {.file_count = 0};
		char text[1100] = "[defaults]\n";
		size_t head = strlen(text);

		(void)snprintf(text + head, sizeof(text) - head, "services = ");
		memset(text + strlen(text), 'a', head + size - strlen(text));
		for (size_t i = head + 40; i < head + size; i += 41)
			text[i] = ' ';
		for (size_t i = head + 12, n = 0; i < head + size; i += 41, n++)
			text[i] = (char)('b' + n); /* no word twice */
		text[head + size - 1] = 'z';
		if (size <= 1000) {
			assert_int_equal(parse(text, &c, &err), 0);
			assert_int_equal(strlen(value(&c, 0, "services")), size - 11);
		} else {
			assert_int_equal(parse(text, &c, &err), -EINVAL);
			assert_non_null(strstr(err.text, "line 2: longer than 1000"));
		}
	}
}

static void an_empty_file_is_a_configuration(void **state)
{
	static const char *const texts[] = {"", "\n\n", "# nothing\n;nothing", "   "};

	(void)state;
	for (size_t i = 0; i < ISP_ARRAY_SIZE(texts); i++) {
		cleanup_config struct isp_config c = {.file_count = 0};
		struct isp_error err = {0};

		assert_int_equal(parse(texts[i], &c, &err), 0);
		assert_int_equal(c.section_count, 0);
		assert_int_equal(c.file_count, 1);
	}
}

static void a_section_may_stand_in_several_files(void **state)
{
	cleanup_config struct isp_config c = {.file_count = 0};
	struct isp_error err = {0};

	(void)state;
	assert_int_equal(parse("[user a]\npids = 8\n", &c, &err), 0);
	assert_int_equal(parse("[user a]\npids = 9\n[user b]\npids = 10\n", &c, &err), 0);
	assert_int_equal(c.section_count, 3);
	assert_int_equal(c.sections[0]->file, 0);
	assert_int_equal(c.sections[1]->file, 1);
	assert_string_equal(value(&c, 0, "pids"), "8");
	assert_string_equal(value(&c, 1, "pids"), "9");
	assert_string_equal(value(&c, 2, "pids"), "10");
}

static void too_much_is_refused(void **state)
{
	cleanup_config struct isp_config c = {.file_count = 0};
	cleanup_config struct isp_config d = {.file_count = 0};
	struct isp_error err = {0};
	struct isp_error many = {0};
	size_t size = ISP_CONFIG_SIZE_MAX + 1;
	cleanup_free char *text = malloc(size);
	size_t used = 0;

	(void)state;
	assert_non_null(text);
	memset(text, '\n', size);
	assert_int_equal(isp_config_parse_text(&c, "f", text, size, &err), -EFBIG);
	assert_int_equal(isp_config_parse_text(&c, "f", text, size - 1, &(struct isp_error){0}), 0);
	for (unsigned int i = 0; i <= ISP_CONFIG_SECTIONS_MAX; i++)
		used += (size_t)snprintf(text + used, size - used, "[user u%u]\n", i);
	assert_int_equal(isp_config_parse_text(&d, "f", text, used, &many), -E2BIG);
	assert_non_null(strstr(many.text, "4096 sections"));
}

static void nothing_is_ever_printed(void **state)
{
	static const char *const texts[] = {
		"[defaults]\nconfine\n", "garbage", "[defaults]\nconfine = no\\\n=\n", "[x\n", "",
	};
	int keep_out = dup(1);
	int keep_err = dup(2);
	int file = memfd_create("printed", MFD_CLOEXEC);

	(void)state;
	assert_true(keep_out >= 0 && keep_err >= 0 && file >= 0);
	(void)fflush(NULL);
	assert_true(dup2(file, 1) == 1 && dup2(file, 2) == 2);
	for (size_t i = 0; i < ISP_ARRAY_SIZE(texts); i++) {
		struct isp_config c = {.file_count = 0};
		struct isp_error err = {0};

		isp_ignore(parse(texts[i], &c, &err)); /* only what it prints is of interest */
		isp_config_free(&c);
	}
	(void)fflush(NULL);
	(void)dup2(keep_out, 1);
	(void)dup2(keep_err, 2);
	assert_int_equal(lseek(file, 0, SEEK_END), 0);
	isp_fd_close(&keep_out);
	isp_fd_close(&keep_err);
	isp_fd_close(&file);
}

static size_t count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t count = 0;

	assert_non_null(dir);
	while (readdir(dir))
		count++;
	isp_dir_close(&dir);
	return count;
}

static void no_descriptor_is_left_open(void **state)
{
	size_t before = count_fds();
	struct isp_error err = {0};

	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		cleanup_config struct isp_config c = {.file_count = 0};

		memset(&err, 0, sizeof(err));
		isp_ignore(parse(i % 2 ? "[defaults]\npids = 1\n" : "[defaults]\npids = 8\n", &c,
				 &err));
		memset(&err, 0, sizeof(err));
		isp_ignore(isp_config_load("/proc/version", &c, &err)); /* any outcome */
	}
	assert_int_equal(count_fds(), before);
}

static void a_file_that_others_can_write_is_refused(void **state)
{
	char dir[] = "/tmp/ispawn-config-XXXXXX";
	char path[64];
	int fd;
	cleanup_config struct isp_config c = {.file_count = 0};
	struct isp_error err = {0};

	(void)state;
	/* /tmp itself can be written by everybody: nothing below it is trusted, whoever runs this.
	 */
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/ispawn.conf", dir);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(isp_fd_write_all(fd, "[defaults]\n", 11), 0);
	isp_fd_close(&fd);
	assert_int_equal(isp_config_load(path, &c, &err), -EPERM);
	assert_non_null(strstr(err.text, path));
	assert_int_equal(c.file_count, 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
}

static void a_missing_file_is_an_error(void **state)
{
	cleanup_config struct isp_config c = {.file_count = 0};
	struct isp_error err = {0};

	(void)state;
	assert_int_equal(isp_config_load("/etc/no-such-dir-x7/ispawn.conf", &c, &err), -ENOENT);
	assert_int_equal(err.stage, ISP_STAGE_CONFIG);
	assert_non_null(strstr(err.text, "/etc/no-such-dir-x7/ispawn.conf"));
}

static void what_is_not_a_regular_file_is_refused(void **state)
{
	cleanup_config struct isp_config c = {.file_count = 0};
	struct isp_error err = {0};

	(void)state;
	assert_int_equal(isp_config_load("/usr", &c, &err), -EINVAL);
	assert_non_null(strstr(err.text, "not a regular file"));
}

static void a_relative_path_is_refused(void **state)
{
	static const char *const paths[] = {"ispawn.conf", "", "/etc/../etc/passwd"};

	(void)state;
	for (size_t i = 0; i < ISP_ARRAY_SIZE(paths); i++) {
		cleanup_config struct isp_config c = {.file_count = 0};
		struct isp_error err = {0};

		assert_int_equal(isp_config_load(paths[i], &c, &err), -EINVAL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sections_and_values_are_kept_as_written),
		cmocka_unit_test(ten_users_with_odd_names_keep_them),
		cmocka_unit_test(bad_files_are_refused_with_file_section_and_key),
		cmocka_unit_test(a_nul_byte_is_refused),
		cmocka_unit_test(lines_up_to_a_thousand_bytes_are_read_whole),
		cmocka_unit_test(an_empty_file_is_a_configuration),
		cmocka_unit_test(a_section_may_stand_in_several_files),
		cmocka_unit_test(too_much_is_refused),
		cmocka_unit_test(nothing_is_ever_printed),
		cmocka_unit_test(no_descriptor_is_left_open),
		cmocka_unit_test(a_file_that_others_can_write_is_refused),
		cmocka_unit_test(a_missing_file_is_an_error),
		cmocka_unit_test(what_is_not_a_regular_file_is_refused),
		cmocka_unit_test(a_relative_path_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
