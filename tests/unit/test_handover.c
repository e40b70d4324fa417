/* SPDX-License-Identifier: GPL-3.0-or-later */
/* test_handover.c - what the supervisor has made arrives whole, or not at all */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ispawn/base/fd.h"
#include "ispawn/session/handover.h"
#include "ispawn/session/protocol.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* struct ends - both sides of one socket */
struct ends {
	int supervisor_fd, builder_fd;
	struct isp_spec spec;
	struct isp_builder parts, builder;
	int descriptors; /* open before */
};

static int open_descriptors(void)
{
	int count = 0;

	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static int begin(void **state)
{
	static struct ends e;
	int fds[2];

	e = (struct ends){.descriptors = open_descriptors()};
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
		return -1;
	e.supervisor_fd = fds[0];
	e.builder_fd = fds[1];
	e.spec = (struct isp_spec){.seccomp = ISP_SECCOMP_DEFAULT,
				   .home = ISP_HOME_TMPFS,
				   .network = ISP_NETWORK_NONE};
	isp_builder_init(&e.parts, &e.spec);
	isp_builder_init(&e.builder, &e.spec);
	e.builder.fs_fds[ISP_FS_SYS] = open("/", O_PATH | O_CLOEXEC); /* made by its first steps */
	*state = &e;
	return 0;
}

static int end(void **state)
{
	struct ends *e = *state;

	isp_builder_close(&e->parts);
	isp_builder_close(&e->builder);
	isp_fd_close(&e->supervisor_fd);
	isp_fd_close(&e->builder_fd);
	return open_descriptors() == e->descriptors ? 0 : -1;
}

/* A descriptor that can be told from others. */
static int numbered(int number)
{
	int fd = memfd_create("part", MFD_CLOEXEC);

	assert_int_equal(ftruncate(fd, number), 0);
	return fd;
}

static int number_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return (int)st.st_size;
}

static int receive(struct ends *e)
{
	struct isp_error err = {0};
	int r = isp_handover_receive(e->builder_fd, &e->builder, &err);

	assert_true(r == 0 || (err.code == -r && strstr(err.text, "take over")));
	return r;
}

static void send_part(struct ends *e, int32_t part, uint32_t first, size_t count)
{
	struct isp_message message = {.type = ISP_MESSAGE_PART, .value = part, .tenant = first};
	int fds[ISP_FDS_MAX];

	for (size_t i = 0; i < count; i++)
		fds[i] = numbered(1);
	assert_int_equal(isp_message_send(e->supervisor_fd, &message, fds, count, 0), 0);
	isp_message_close_fds(fds, count);
}

static void send_go(struct ends *e)
{
	struct isp_message go = {.type = ISP_MESSAGE_GO};

	assert_int_equal(isp_message_send(e->supervisor_fd, &go, NULL, 0, 0), 0);
}

static void everything_arrives_in_its_place(void **state)
{
	struct sock_filter code[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
				     BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP)};
	struct ends *e = *state;

	e->spec.home = ISP_HOME_PRIVATE;
	strcpy(e->spec.seccomp, "strict");
	e->spec.bind_count = ISP_LIST_MAX;
	e->parts.root_fd = numbered(1);
	e->parts.home_fd = numbered(2);
	for (int i = 0; i < ISP_LIST_MAX; i++)
		e->parts.bind_fds[i] = numbered(100 + i);
	for (int i = 0; i < ISP_CGROUP_HIERARCHIES_MAX; i++)
		e->parts.cgroup_fds[i] = numbered(200 + i);
	e->parts.lxcfs_fds[1] = numbered(301); /* others are missing */
	e->parts.lxcfs_fds[4] = numbered(304);
	e->parts.profile.code = malloc(sizeof(code));
	assert_non_null(e->parts.profile.code);
	memcpy(e->parts.profile.code, code, sizeof(code));
	e->parts.profile.count = 2;
	e->parts.is_home_new = true;
	memset(e->parts.machine_id, 'a', ISP_MACHINE_ID_SIZE - 1);

	assert_int_equal(isp_handover_send(e->supervisor_fd, &e->parts), 0);
	assert_int_equal(receive(e), 0);
	assert_int_equal(number_of(e->builder.root_fd), 1);
	assert_int_equal(number_of(e->builder.home_fd), 2);
	for (int i = 0; i < ISP_LIST_MAX; i++)
		assert_int_equal(number_of(e->builder.bind_fds[i]), 100 + i);
	for (int i = 0; i < ISP_CGROUP_HIERARCHIES_MAX; i++)
		assert_int_equal(number_of(e->builder.cgroup_fds[i]), 200 + i);
	assert_int_equal(e->builder.cgroup_count, ISP_CGROUP_HIERARCHIES_MAX);
	for (int i = 0; i < ISP_LXCFS_FILES; i++)
		assert_int_equal(e->builder.lxcfs_fds[i] >= 0, i == 1 || i == 4);
	assert_int_equal(number_of(e->builder.lxcfs_fds[4]), 304);
	assert_int_equal(e->builder.profile.count, 2);
	assert_memory_equal(e->builder.profile.code, code, sizeof(code));
	assert_true(e->builder.is_home_new);
	assert_string_equal(e->builder.processors, "");
	assert_string_equal(e->builder.machine_id, e->parts.machine_id);
}

static void hosts_sysfs_comes_with_the_hosts_network_alone(void **state)
{
	struct ends *e = *state;

	e->spec.network = ISP_NETWORK_HOST;
	isp_fd_close(&e->builder.fs_fds[ISP_FS_SYS]);
	e->parts.root_fd = numbered(1);
	e->parts.fs_fds[ISP_FS_SYS] = numbered(7);
	strcpy(e->parts.processors, "0-2,5\n");
	assert_int_equal(isp_handover_send(e->supervisor_fd, &e->parts), 0);
	assert_int_equal(receive(e), 0);
	assert_int_equal(number_of(e->builder.fs_fds[ISP_FS_SYS]), 7);
	assert_string_equal(e->builder.processors, "0-2,5\n");
	assert_false(e->builder.is_home_new);
	assert_int_equal(e->builder.cgroup_count, 0);
}

static void what_is_missing_is_refused(void **state)
{
	struct ends *e = *state;

	send_go(e); /* no root */
	assert_int_equal(receive(e), -EPROTO);
	e->builder.root_fd = numbered(1);
	e->spec.home = ISP_HOME_PRIVATE;
	send_go(e); /* no home */
	assert_int_equal(receive(e), -EPROTO);
	e->spec.home = ISP_HOME_TMPFS;
	e->spec.bind_count = 1;
	send_go(e); /* no bind */
	assert_int_equal(receive(e), -EPROTO);
	e->spec.bind_count = 0;
	strcpy(e->spec.seccomp, "strict");
	send_go(e); /* no profile: never without a filter */
	assert_int_equal(receive(e), -EPROTO);
	strcpy(e->spec.seccomp, ISP_SECCOMP_DEFAULT);
	send_go(e);
	assert_int_equal(receive(e), 0);
}

static void what_does_not_fit_is_refused(void **state)
{
	static const struct {
		int32_t part;
		uint32_t first;
		size_t count;
	} cases[] = {
		{-1, 0, 1},
		{ISP_PART_COUNT, 0, 1},
		{ISP_PART_ROOT, 0, 0},
		{ISP_PART_ROOT, 0, 2},
		{ISP_PART_ROOT, 1, 1},
		{ISP_PART_BINDS, ISP_LIST_MAX - 1, 2},
		{ISP_PART_BINDS, UINT32_MAX, 1},
		{ISP_PART_SYSFS, 0, 1},   /* it has its own */
		{ISP_PART_PROFILE, 0, 1}, /* not sealed */
	};
	struct ends *e = *state;

	for (size_t i = 0; i < ISP_ARRAY_SIZE(cases); i++) {
		send_part(e, cases[i].part, cases[i].first, cases[i].count);
		assert_true(receive(e) < 0);
	}
	send_part(e, ISP_PART_ROOT, 0, 1);
	send_part(e, ISP_PART_ROOT, 0, 1); /* twice */
	assert_int_equal(receive(e), -EPROTO);
}

static void supervisor_that_ends_is_no_go(void **state)
{
	struct ends *e = *state;

	send_part(e, ISP_PART_ROOT, 0, 1);
	isp_fd_close(&e->supervisor_fd);
	assert_int_equal(receive(e), -EPIPE);
}

static void builder_that_has_ended_is_told_of(void **state)
{
	struct ends *e = *state;

	isp_fd_close(&e->builder_fd);
	e->parts.root_fd = numbered(1);
	assert_int_equal(isp_handover_send(e->supervisor_fd, &e->parts), -EPIPE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(everything_arrives_in_its_place, begin, end),
		cmocka_unit_test_setup_teardown(hosts_sysfs_comes_with_the_hosts_network_alone,
						begin, end),
		cmocka_unit_test_setup_teardown(what_is_missing_is_refused, begin, end),
		cmocka_unit_test_setup_teardown(what_does_not_fit_is_refused, begin, end),
		cmocka_unit_test_setup_teardown(supervisor_that_ends_is_no_go, begin, end),
		cmocka_unit_test_setup_teardown(builder_that_has_ended_is_told_of, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
