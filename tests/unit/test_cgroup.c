/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * test_cgroup.c - what is written to cgroup files and read from them
 *
 * Plain directories stand in for cgroups, so that the words for v2 and for v1 are checked wherever
 * this runs.  What the kernel does with them is the module tests' (tests/module/container_run).
 */
#include "../../common/container/cgroup_internal.h"

#include "ispawn/base/fd.h"
#include "ispawn/base/path.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#define MIB (UINT64_C(1) << 20)

static const struct isp_limits usual = {
	.memory_bytes = 1024 * MIB,
	.swap_bytes = 0,
	.pids = 256,
	.cpu_percent = 150,
	.cpu_weight = 100,
	.io_weight = 100,
	.sessions = 16,
};

static const struct isp_limits unlimited = {
	.memory_bytes = UINT64_MAX,
	.swap_bytes = UINT64_MAX,
	.pids = UINT64_MAX,
	.cpu_percent = 0,
	.cpu_weight = 100,
	.io_weight = 100,
	.sessions = 16,
};

/* struct fixture - a directory that plays USER and SESSION at once */
struct fixture {
	char path[64];
	int dir_fd;
	struct isp_cgroup cgroup;
};

static int set_up(void **state)
{
	static struct fixture f;

	f = (struct fixture){.path = "/tmp/ispawn-test-cgroup-XXXXXX"};
	if (!mkdtemp(f.path))
		return -1;
	f.dir_fd = open(f.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f.cgroup = isp_cgroup_empty();
	f.cgroup.is_v2 = true;
	f.cgroup.count = 1;
	f.cgroup.controller[0] = "unified";
	f.cgroup.user_fd[0] = dup(f.dir_fd);
	f.cgroup.session_fd[0] = dup(f.dir_fd);
	*state = &f;
	return f.dir_fd < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	isp_cgroup_close(&f->cgroup);
	isp_fd_close(&f->dir_fd);
	return isp_path_remove_tree(AT_FDCWD, f->path);
}

static void put(const struct fixture *f, const char *file, const char *text)
{
	int fd = openat(f->dir_fd, file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(isp_fd_write_all(fd, text, strlen(text)), 0);
	isp_fd_close(&fd);
}

static void put_all(const struct fixture *f, const char *const *files)
{
	for (; *files; files++)
		put(f, *files, "");
}

static void assert_holds(const struct fixture *f, const char *file, const char *expected)
{
	char *text = NULL;

	assert_int_equal(isp_fd_read_file(f->dir_fd, file, 4096, &text), 0);
	assert_string_equal(text, expected);
	free(text);
}

static const char *const files_v2[] = {"memory.max", "memory.swap.max", "pids.max",      "cpu.max",
				       "cpu.weight", "io.weight",       "io.bfq.weight", NULL};
static const char *const files_v1[] = {"memory.limit_in_bytes",
				       "memory.memsw.limit_in_bytes",
				       "pids.max",
				       "cpu.cfs_quota_us",
				       "cpu.cfs_period_us",
				       "cpu.shares",
				       "blkio.weight",
				       NULL};

static void v2_limits_are_in_its_words(void **state)
{
	struct fixture *f = *state;
	struct isp_limits limits = usual;
	struct isp_error err = {.code = 0};

	limits.cpu_weight = 10000;
	limits.io_weight = 1;
	put_all(f, files_v2);
	assert_int_equal(isp_cgroup_write_limits(&f->cgroup, &limits, &err), 0);
	assert_holds(f, "memory.max", "1073741824");
	assert_holds(f, "memory.swap.max", "0");
	assert_holds(f, "pids.max", "256");
	assert_holds(f, "cpu.max", "150000 100000");
	assert_holds(f, "cpu.weight", "10000");
	assert_holds(f, "io.weight", "1");
	assert_holds(f, "io.bfq.weight", "1");
}

static void v2_takes_limits_away_again(void **state)
{
	struct fixture *f = *state;
	struct isp_error err = {.code = 0};

	put_all(f, files_v2);
	assert_int_equal(isp_cgroup_write_limits(&f->cgroup, &unlimited, &err), 0);
	assert_holds(f, "memory.max", "max");
	assert_holds(f, "memory.swap.max", "max");
	assert_holds(f, "pids.max", "max");
	assert_holds(f, "cpu.max", "max 100000");
	assert_holds(f, "cpu.weight", "100");
}

static void v1_limits_are_in_its_words(void **state)
{
	struct fixture *f = *state;
	struct isp_limits limits = usual;
	struct isp_error err = {.code = 0};

	limits.swap_bytes = 512 * MIB;
	limits.cpu_weight = 1;
	limits.io_weight = 500;
	f->cgroup.is_v2 = false;
	put_all(f, files_v1);
	assert_int_equal(isp_cgroup_write_limits(&f->cgroup, &limits, &err), 0);
	assert_holds(f, "memory.limit_in_bytes", "1073741824");
	assert_holds(f, "memory.memsw.limit_in_bytes", "1610612736"); /* memory and swap */
	assert_holds(f, "pids.max", "256");
	assert_holds(f, "cpu.cfs_period_us", "100000");
	assert_holds(f, "cpu.cfs_quota_us", "150000");
	assert_holds(f, "cpu.shares", "10");
	assert_holds(f, "blkio.weight", "500");
}

static void v1_takes_limits_away_again(void **state)
{
	struct fixture *f = *state;
	struct isp_error err = {.code = 0};

	f->cgroup.is_v2 = false;
	put_all(f, files_v1);
	assert_int_equal(isp_cgroup_write_limits(&f->cgroup, &unlimited, &err), 0);
	assert_holds(f, "memory.limit_in_bytes", "-1");
	assert_holds(f, "memory.memsw.limit_in_bytes", "-1");
	assert_holds(f, "pids.max", "max");
	assert_holds(f, "cpu.cfs_quota_us", "-1");
	assert_holds(f, "cpu.shares", "1024");
}

static void v1_finds_each_file_in_its_own_hierarchy(void **state)
{
	struct fixture *f = *state;
	struct isp_error err = {.code = 0};

	f->cgroup.is_v2 = false;
	put_all(f, files_v1);
	assert_int_equal(mkdirat(f->dir_fd, "pids", 0755), 0);
	put(f, "pids/pids.max", "");
	assert_int_equal(unlinkat(f->dir_fd, "pids.max", 0), 0);
	f->cgroup.user_fd[1] = openat(f->dir_fd, "pids", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f->cgroup.count = 2;
	assert_int_equal(isp_cgroup_write_limits(&f->cgroup, &usual, &err), 0);
	assert_holds(f, "pids/pids.max", "256");
}

/* A limit that is configured and cannot be applied denies the session, by its name in the
 * configuration; one that is not configured is not missed. */
static void a_limit_without_its_file_is_refused_by_name(void **state)
{
	static const struct {
		const char *key, *file;
		struct isp_limits limits;
	} cases[] = {
		{"memory:",
		 "memory.max",
		 {.memory_bytes = 1,
		  .swap_bytes = UINT64_MAX,
		  .pids = UINT64_MAX,
		  .cpu_weight = 100,
		  .io_weight = 100}},
		{"pids:",
		 "pids.max",
		 {.memory_bytes = UINT64_MAX,
		  .swap_bytes = UINT64_MAX,
		  .pids = 9,
		  .cpu_weight = 100,
		  .io_weight = 100}},
		{"cpu:",
		 "cpu.max",
		 {.memory_bytes = UINT64_MAX,
		  .swap_bytes = UINT64_MAX,
		  .pids = UINT64_MAX,
		  .cpu_percent = 5,
		  .cpu_weight = 100,
		  .io_weight = 100}},
		{"cpu_weight:",
		 "cpu.weight",
		 {.memory_bytes = UINT64_MAX,
		  .swap_bytes = UINT64_MAX,
		  .pids = UINT64_MAX,
		  .cpu_weight = 99,
		  .io_weight = 100}},
		{"io_weight:",
		 "io.bfq.weight",
		 {.memory_bytes = UINT64_MAX,
		  .swap_bytes = UINT64_MAX,
		  .pids = UINT64_MAX,
		  .cpu_weight = 100,
		  .io_weight = 101}},
	};
	struct fixture *f = *state;
	struct isp_error err = {.code = 0};

	assert_int_equal(isp_cgroup_write_limits(&f->cgroup, &unlimited, &err), 0);
	for (size_t i = 0; i < ISP_ARRAY_SIZE(cases); i++) {
		err = (struct isp_error){.code = 0};
		assert_int_equal(isp_cgroup_write_limits(&f->cgroup, &cases[i].limits, &err),
				 -ENOTSUP);
		assert_ptr_equal(strstr(err.text, cases[i].key), err.text);
		assert_non_null(strstr(err.text, cases[i].file));
		assert_int_equal(err.stage, ISP_STAGE_CGROUP);
	}
}

static void controllers_are_enabled_or_named(void **state)
{
	struct fixture *f = *state;
	struct isp_limits limits = unlimited;
	struct isp_error err = {.code = 0};

	put(f, "cgroup.controllers", "cpuset cpu io hugetlb pids\n");
	put(f, "cgroup.subtree_control", "cpu io pids\n");
	assert_int_equal(isp_cgroup_enable(f->dir_fd, "ROOT", &limits, &err), 0);
	assert_holds(f, "cgroup.subtree_control", "cpu io pids\n"); /* nothing written */

	put(f, "cgroup.subtree_control", "cpuset cpu io\n");
	assert_int_equal(isp_cgroup_enable(f->dir_fd, "ROOT", &limits, &err), 0);
	assert_holds(f, "cgroup.subtree_control", "+pidst cpu io\n"); /* over the old text */

	limits.swap_bytes = 0;
	assert_int_equal(isp_cgroup_enable(f->dir_fd, "ROOT", &limits, &err), -ENOTSUP);
	assert_string_equal(err.text, "memory: ROOT has no memory controller");
}

static void a_controller_is_a_whole_word(void **state)
{
	(void)state;
	assert_true(isp_cgroup_has_word("cpuset cpu io\n", "cpu"));
	assert_true(isp_cgroup_has_word("cpuset cpu io\n", "io"));
	assert_false(isp_cgroup_has_word("cpuset io\n", "cpu"));
	assert_false(isp_cgroup_has_word("cpu.x\n", "cpu"));
	assert_false(isp_cgroup_has_word("", "cpu"));
	assert_false(isp_cgroup_has_word("\n", "cpu"));
}

static void counters_are_read_whole_or_not_at_all(void **state)
{
	struct fixture *f = *state;
	uint64_t value = 7;

	put(f, "one", "18446744073709551615\n");
	assert_int_equal(isp_cgroup_read_counter(f->dir_fd, "one", NULL, &value), 0);
	assert_true(value == UINT64_MAX);
	put(f, "keys", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n");
	assert_int_equal(isp_cgroup_read_counter(f->dir_fd, "keys", "oom_kill", &value), 0);
	assert_true(value == 3);
	assert_int_equal(isp_cgroup_read_counter(f->dir_fd, "keys", "oom", &value), -ENOENT);
	assert_int_equal(isp_cgroup_read_counter(f->dir_fd, "none", NULL, &value), -ENOENT);
	put(f, "max", "max\n");
	assert_int_equal(isp_cgroup_read_counter(f->dir_fd, "max", NULL, &value), -EINVAL);
	put(f, "empty", "");
	assert_int_equal(isp_cgroup_read_counter(f->dir_fd, "empty", NULL, &value), -EINVAL);
	put(f, "long", "1234567890123456789012345678901234567890\n");
	assert_int_equal(isp_cgroup_read_counter(f->dir_fd, "long", NULL, &value), -EINVAL);
	assert_true(value == 3); /* untouched by failures */
}

static void v2_usage_is_read(void **state)
{
	struct fixture *f = *state;
	struct isp_usage usage;

	put(f, "cpu.stat", "usage_usec 123\nuser_usec 1\n");
	put(f, "memory.current", "4096\n");
	put(f, "memory.peak", "8192\n");
	put(f, "memory.events", "low 0\noom 2\noom_kill 1\n");
	put(f, "pids.current", "5\n");
	isp_cgroup_usage(&f->cgroup, &usage);
	assert_true(usage.cpu_us == 123 && usage.memory_bytes == 4096);
	assert_true(usage.memory_peak_bytes == 8192 && usage.oom_kills == 1 && usage.tasks == 5);
	assert_true(usage.pids_refusals == 0);
}

static void v1_usage_is_read(void **state)
{
	struct fixture *f = *state;
	struct isp_usage usage;

	f->cgroup.is_v2 = false;
	put(f, "cpuacct.usage", "5000\n");
	put(f, "memory.usage_in_bytes", "1\n");
	put(f, "memory.max_usage_in_bytes", "2\n");
	put(f, "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n");
	isp_cgroup_usage(&f->cgroup, &usage);
	assert_true(usage.cpu_us == 5 && usage.memory_bytes == 1);
	assert_true(usage.memory_peak_bytes == 2 && usage.oom_kills == 4 && usage.tasks == 0);
}

static void bytes_of_all_devices_are_added_up(void **state)
{
	struct fixture *f = *state;
	uint64_t in = 7, out = 8;

	assert_int_equal(isp_cgroup_io(&f->cgroup, &in, &out), -ENOENT);
	assert_true(in == 7 && out == 8); /* untouched by failures */
	put(f, "blkio.throttle.io_service_bytes",
	    "8:0 Read 1\n8:0 Write 2\n8:0 Sync 3\n8:0 Total 3\n8:16 Read 10\n8:16 Write 20\nTotal "
	    "33\n");
	assert_int_equal(isp_cgroup_io(&f->cgroup, &in, &out), 0);
	assert_true(in == 11 && out == 22);
	put(f, "io.stat",
	    "8:0 rbytes=100 wbytes=200 rios=1 wios=2 dbytes=7 dios=8\n8:16 rbytes=1 wbytes=2\n");
	assert_int_equal(isp_cgroup_io(&f->cgroup, &in, &out), 0);
	assert_true(in == 101 && out == 202);
	put(f, "io.stat", "8:0 rbytes=18446744073709551615 wbytes=x\n8:16 rbytes=1 wbytes=\n");
	assert_int_equal(isp_cgroup_io(&f->cgroup, &in, &out), 0);
	assert_true(in == UINT64_MAX && out == 0); /* neither wraps nor guesses */
}

/* Kernels count a refused fork in the leaf, or where the limit stands. */
static void refused_forks_are_counted_wherever_the_kernel_counts(void **state)
{
	struct fixture *f = *state;
	struct isp_usage usage;

	assert_int_equal(mkdirat(f->dir_fd, "leaf", 0755), 0);
	isp_fd_close(&f->cgroup.session_fd[0]);
	f->cgroup.session_fd[0] = openat(f->dir_fd, "leaf", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f->cgroup.refused_before = 10;
	put(f, "pids.events", "max 10\n");
	put(f, "leaf/pids.events", "max 2\n");
	isp_cgroup_usage(&f->cgroup, &usage);
	assert_true(usage.pids_refusals == 2);
	put(f, "pids.events", "max 13\n");
	put(f, "leaf/pids.events", "max 0\n");
	isp_cgroup_usage(&f->cgroup, &usage);
	assert_true(usage.pids_refusals == 3);
}

static void names_that_could_leave_the_tree_are_refused(void **state)
{
	static const struct {
		const char *user, *session;
	} cases[] = {
		{"..", "alice.00000000"},  {"alice", "../alice.00000000"},
		{"", "alice.00000000"},    {".supervisors", "alice.00000000"},
		{"a/b", "alice.00000000"}, {"alice", "alice"},
	};
	struct isp_error err;
	struct isp_cgroup cgroup;

	(void)state;
	for (size_t i = 0; i < ISP_ARRAY_SIZE(cases); i++) {
		err = (struct isp_error){.code = 0};
		assert_int_equal(
			isp_cgroup_create(cases[i].user, cases[i].session, &usual, &cgroup, &err),
			-EINVAL);
		assert_int_equal(isp_cgroup_open(cases[i].user, cases[i].session, &cgroup),
				 -EINVAL);
	}
}

static void only_v2_is_cloned_into(void **state)
{
	struct fixture *f = *state;

	f->cgroup.controller[0] = "unified";
	assert_int_equal(isp_cgroup_clone_fd(&f->cgroup), f->cgroup.session_fd[0]);
	f->cgroup.controller[0] = "memory";
	assert_int_equal(isp_cgroup_clone_fd(&f->cgroup), -EBADF);
	isp_cgroup_close(&f->cgroup);
	for (size_t i = 0; i < ISP_CGROUP_HIERARCHIES_MAX; i++)
		assert_true(f->cgroup.user_fd[i] == -EBADF && f->cgroup.session_fd[i] == -EBADF);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		CASE(v2_limits_are_in_its_words),
		CASE(v2_takes_limits_away_again),
		CASE(v1_limits_are_in_its_words),
		CASE(v1_takes_limits_away_again),
		CASE(v1_finds_each_file_in_its_own_hierarchy),
		CASE(a_limit_without_its_file_is_refused_by_name),
		CASE(controllers_are_enabled_or_named),
		CASE(a_controller_is_a_whole_word),
		CASE(counters_are_read_whole_or_not_at_all),
		CASE(v2_usage_is_read),
		CASE(v1_usage_is_read),
		CASE(bytes_of_all_devices_are_added_up),
		CASE(refused_forks_are_counted_wherever_the_kernel_counts),
		CASE(names_that_could_leave_the_tree_are_refused),
		CASE(only_v2_is_cloned_into),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
