/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One of a directory's own users: two text files that somebody else may have written. */
#include "ispawn/base/fd.h"
#include "ispawn/policy/subject.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static char tree[] = "/tmp/ispawn-tree-XXXXXX";
static int tree_fd = -EBADF;

static const char passwd[] = "root:x:0:0:root:/root:/bin/bash\n"
			     "# a comment\n"
			     "short:x:1\n"
			     "daemon:*:1:2:a daemon:/usr/sbin:/usr/sbin/nologin\n"
			     "daemon:*:9:9:second of its name:/:/bin/sh\n"
			     "also-one:*:1:3::/also:/bin/sh\n"
			     "large:x:65536:1::/:/bin/sh\n"
			     "minus:x:-1:1::/:/bin/sh\n"
			     "blank name:x:7:7::/:/bin/sh\n"
			     "odd:x:8:8:g:../..:bin/sh\n"
			     "last:x:65535:65534::/home/last:";
static const char group[] = "root:x:0:\ndae mon:x:2:daemon\n:x:3:\nmore:x:7:a:b\n";

static void put(const char *name, const char *text)
{
	cleanup_close int fd = openat(tree_fd, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(isp_fd_write_all(fd, text, strlen(text)), 0);
}

static int make_tree(void **state)
{
	(void)state;
	if (!mkdtemp(tree))
		return -1;
	tree_fd = open(tree, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return tree_fd < 0 || mkdirat(tree_fd, "etc", 0755) != 0 ? -1 : 0;
}

static int empty_tree(void **state)
{
	(void)state;
	(void)unlinkat(tree_fd, "etc/passwd", 0);
	(void)unlinkat(tree_fd, "etc/group", 0);
	return 0;
}

static int remove_tree(void **state)
{
	(void)empty_tree(state);
	(void)unlinkat(tree_fd, "etc", AT_REMOVEDIR);
	isp_fd_close(&tree_fd);
	return rmdir(tree);
}

static int find(const char *user, struct isp_subject *subject, struct isp_error *err)
{
	return isp_subject_find_in_tree(tree_fd, user, "ispawn", subject, err);
}

static void users_are_found_by_name_and_by_number(void **state)
{
	static const struct {
		const char *asked, *user, *group, *home, *shell;
		uid_t uid;
		gid_t gid;
	} cases[] = {
		{NULL, "root", "root", "/root", "/bin/bash", 0, 0},
		{"root", "root", "root", "/root", "/bin/bash", 0, 0},
		{"0", "root", "root", "/root", "/bin/bash", 0, 0},
		{"0:2", "root", "dae mon", "/root", "/bin/bash", 0, 2},
		{"daemon", "daemon", "dae mon", "/usr/sbin", "/usr/sbin/nologin", 1, 2},
		{"1", "daemon", "dae mon", "/usr/sbin", "/usr/sbin/nologin", 1, 2},
		{"1:9", "daemon", "9", "/usr/sbin", "/usr/sbin/nologin", 1, 9},
		{"also-one", "also-one", "3", "/also", "/bin/sh", 1, 3},
		{"7", "7", "more", "/", "/bin/sh", 7, 7},
		{"odd", "odd", "8", "/", "", 8, 8},
		{"last", "last", "65534", "/home/last", "", 65535, 65534},
		{"65535", "last", "65534", "/home/last", "", 65535, 65534},
		{"4711", "4711", "4711", "/", "", 4711, 4711},
		{"4711:0", "4711", "root", "/", "", 4711, 0},
	};

	(void)state;
	put("etc/passwd", passwd);
	put("etc/group", group);
	for (size_t i = 0; i < ISP_ARRAY_SIZE(cases); i++) {
		cleanup_subject struct isp_subject s = {.uid = 99};
		struct isp_error err = {0};

		assert_int_equal(find(cases[i].asked, &s, &err), 0);
		assert_int_equal(err.code, 0);
		assert_int_equal(s.owner, ISP_OWNER_ROOT);
		assert_string_equal(s.user, cases[i].user);
		assert_string_equal(s.group, cases[i].group);
		assert_string_equal(s.home, cases[i].home);
		assert_string_equal(s.shell, cases[i].shell);
		assert_int_equal(s.uid, cases[i].uid);
		assert_int_equal(s.gid, cases[i].gid);
		assert_string_equal(s.service, "ispawn");
	}
}

static void others_are_refused(void **state)
{
	static const struct {
		const char *asked;
		int result;
	} cases[] = {
		{"nobody", -ENOENT},
		{"large", -ENOENT},
		{"minus", -ENOENT},
		{"short", -ENOENT},
		{"", -EINVAL},
		{":", -EINVAL},
		{"1:", -EINVAL},
		{":1", -EINVAL},
		{"65536", -EINVAL},
		{"1:65536", -EINVAL},
		{"-1", -EINVAL},
		{"1:2:3", -EINVAL},
		{"daemon:1", -EINVAL},
		{"../etc", -EINVAL},
		{"+1", -ENOENT},
		{"a b", -EINVAL},
		{" 1", -EINVAL},
		{"4294967296", -EINVAL},
		{"99999999999999999999", -EINVAL},
	};

	(void)state;
	put("etc/passwd", passwd);
	for (size_t i = 0; i < ISP_ARRAY_SIZE(cases); i++) {
		static const struct isp_subject zeroed;
		struct isp_subject s = zeroed;
		struct isp_error err = {0};
		int r = find(cases[i].asked, &s, &err);

		if (r != cases[i].result)
			fail_msg("\"%s\": %d, %s", cases[i].asked, r, err.text);
		assert_int_equal(err.stage, ISP_STAGE_SUBJECT);
		assert_memory_equal(&s, &zeroed, sizeof(s));
	}
}

static void a_tree_without_files_has_numbers(void **state)
{
	cleanup_subject struct isp_subject root = {.uid = 99};
	cleanup_subject struct isp_subject other = {.uid = 99};
	struct isp_subject nobody = {.uid = 0};
	struct isp_error err = {0};

	(void)state;
	assert_int_equal(find(NULL, &root, &err), 0);
	assert_string_equal(root.user, "root");
	assert_string_equal(root.home, "/root");
	assert_int_equal(find("12:13", &other, &err), 0);
	assert_string_equal(other.group, "13");
	assert_int_equal(find("root", &nobody, &err), -ENOENT);
}

static void what_is_no_plain_file_is_not_opened(void **state)
{
	struct isp_subject s = {.uid = 0};
	struct isp_error err = {0};

	(void)state;
	/* Without O_NONBLOCK, opening it would wait for ever. */
	assert_int_equal(mkfifoat(tree_fd, "etc/passwd", 0600), 0);
	assert_int_equal(find(NULL, &s, &err), -EINVAL);
	assert_non_null(strstr(err.text, "etc/passwd"));
}

/* The tree's symlinks lead back into the tree: this one to a file that is not there. */
static void symlinks_stay_inside(void **state)
{
	cleanup_subject struct isp_subject s = {.uid = 99};
	struct isp_subject none = {.uid = 0};
	struct isp_error err = {0};

	(void)state;
	assert_int_equal(symlinkat("/../../../../etc/./group", tree_fd, "etc/passwd"), 0);
	put("etc/group", "inside:x:5:5::/in:/bin/sh\n");
	assert_int_equal(find("inside", &s, &err), 0);
	assert_string_equal(s.home, "/in");
	assert_int_equal(find("root", &none, &err), -ENOENT);
}

static void a_file_without_end_is_refused(void **state)
{
	struct isp_subject s = {.uid = 0};
	struct isp_error err = {0};

	(void)state;
	put("etc/passwd", passwd);
	{
		cleanup_close int fd = openat(tree_fd, "etc/passwd", O_WRONLY);

		assert_int_equal(ftruncate(fd, 1 << 30), 0);
	}
	assert_int_equal(find(NULL, &s, &err), -EFBIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(users_are_found_by_name_and_by_number, NULL,
						empty_tree),
		cmocka_unit_test_setup_teardown(others_are_refused, NULL, empty_tree),
		cmocka_unit_test_setup_teardown(a_tree_without_files_has_numbers, NULL, empty_tree),
		cmocka_unit_test_setup_teardown(what_is_no_plain_file_is_not_opened, NULL,
						empty_tree),
		cmocka_unit_test_setup_teardown(symlinks_stay_inside, NULL, empty_tree),
		cmocka_unit_test_setup_teardown(a_file_without_end_is_refused, NULL, empty_tree),
	};

	return cmocka_run_group_tests(tests, make_tree, remove_tree);
}
