/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which process is which tenant: a number that has ended means nothing, and nothing stays open. */
#include "ispawn/base/fd.h"
#include "ispawn/session/reap.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>

#include <cmocka.h>

static struct isp_tenant *add(struct isp_tenants *tenants, uint32_t number, pid_t pid)
{
	struct isp_tenant *tenant = NULL;

	assert_int_equal(isp_tenants_add(tenants, number, &tenant), 0);
	tenant->pid = pid;
	return tenant;
}

static void a_tenant_is_found_by_number_and_by_process(void **state)
{
	struct isp_tenants tenants = {0};
	struct isp_tenant *one = add(&tenants, 1, 100);
	struct isp_tenant *two = add(&tenants, UINT32_MAX, 200);

	(void)state;
	assert_ptr_equal(isp_tenants_by_number(&tenants, 1), one);
	assert_ptr_equal(isp_tenants_by_number(&tenants, UINT32_MAX), two);
	assert_ptr_equal(isp_tenants_by_pid(&tenants, 100), one);
	assert_ptr_equal(isp_tenants_by_pid(&tenants, 200), two);
	assert_null(isp_tenants_by_number(&tenants, 2));
	assert_null(isp_tenants_by_pid(&tenants, 300));
}

/* Threat: kill(0) and kill(-1) reach everybody. */
static void zero_and_negative_are_never_a_tenant(void **state)
{
	struct isp_tenants tenants = {0};

	(void)state;
	(void)add(&tenants, 1, 0); /* added, not yet forked */
	assert_null(isp_tenants_by_number(&tenants, 0));
	assert_null(isp_tenants_by_pid(&tenants, 0));
	assert_null(isp_tenants_by_pid(&tenants, -1));
	isp_tenants_by_number(&tenants, 1)->pid = -1;
	assert_null(isp_tenants_by_pid(&tenants, -1));
}

static void a_number_that_is_taken_or_zero_is_refused(void **state)
{
	struct isp_tenants tenants = {0};
	struct isp_tenant *untouched = NULL;

	(void)state;
	(void)add(&tenants, 7, 100);
	assert_int_equal(isp_tenants_add(&tenants, 7, &untouched), -EEXIST);
	assert_int_equal(isp_tenants_add(&tenants, 0, &untouched), -EINVAL);
	assert_null(untouched);
	assert_int_equal(isp_tenants_by_number(&tenants, 7)->pid, 100);
}

/* Pitfall 22: the kernel gives the pid to somebody else at once. */
static void a_tenant_that_has_ended_means_nothing(void **state)
{
	struct isp_tenants tenants = {0};

	(void)state;
	isp_tenants_remove(add(&tenants, 1, 100));
	assert_null(isp_tenants_by_number(&tenants, 1));
	assert_null(isp_tenants_by_pid(&tenants, 100));
	(void)add(&tenants, 1, 101);
	assert_null(isp_tenants_by_pid(&tenants, 100));
}

static void a_new_entry_inherits_nothing(void **state)
{
	struct isp_tenants tenants = {0};
	struct isp_tenant *tenant = add(&tenants, 1, 100);

	(void)state;
	tenant->is_refused = true;
	isp_tenants_remove(tenant);
	tenant = add(&tenants, 2, 0);
	assert_false(tenant->is_refused);
	assert_int_equal(tenant->pid, 0);
	assert_int_equal(tenant->start_fd, -EBADF);
	assert_int_equal(tenant->primary_fd, -EBADF);
	assert_int_equal(tenant->peer_fd, -EBADF);
}

static void the_table_is_full_at_its_size_and_not_before(void **state)
{
	struct isp_tenants tenants = {0};
	struct isp_tenant *tenant = NULL;

	(void)state;
	for (uint32_t i = 1; i <= ISP_TENANTS_ALL; i++)
		(void)add(&tenants, i, (pid_t)(100 + i));
	assert_int_equal(isp_tenants_add(&tenants, 1000, &tenant), -ENOSPC);
	for (uint32_t i = 1; i <= ISP_TENANTS_ALL; i++)
		assert_int_equal(isp_tenants_by_number(&tenants, i)->pid, 100 + i);
	isp_tenants_remove(isp_tenants_by_number(&tenants, 30));
	assert_int_equal(isp_tenants_add(&tenants, 1000, &tenant), 0);
	assert_int_equal(isp_tenants_add(&tenants, 1001, &tenant), -ENOSPC);
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void an_ended_tenant_leaves_no_descriptor(void **state)
{
	struct isp_tenants tenants = {0};
	struct isp_tenant *tenant = add(&tenants, 1, 100);
	int fds[3];

	(void)state;
	for (size_t i = 0; i < 3; i++)
		fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	tenant->start_fd = fds[0];
	tenant->primary_fd = fds[1];
	tenant->peer_fd = fds[2];
	isp_tenants_close_pty(tenant);
	assert_true(is_open(fds[0]) && !is_open(fds[1]) && !is_open(fds[2]));
	assert_ptr_equal(isp_tenants_by_number(&tenants, 1), tenant);
	isp_tenants_remove(tenant);
	assert_false(is_open(fds[0]));
}

/* --- reaping --------------------------------------------------------------------------------- */

static pid_t start_waiting(int *ret_go_fd)
{
	int ends[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		isp_fd_close(&ends[1]);
		_exit(read(ends[0], &byte, 1) == 0 ? 7 : 8);
	}
	isp_fd_close(&ends[0]);
	*ret_go_fd = ends[1];
	return pid;
}

/* Waits without reaping, so that isp_reap() is asked once. */
static void await_end(pid_t pid)
{
	siginfo_t info;

	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
}

static void an_ended_child_is_reaped_without_waiting_for_the_others(void **state)
{
	int first_fd = -EBADF, second_fd = -EBADF;
	pid_t first = start_waiting(&first_fd), second = start_waiting(&second_fd);
	pid_t pid = -5;
	int status = -5;

	(void)state;
	assert_int_equal(isp_reap(&pid, &status), 0);
	assert_true(pid == -5 && status == -5);
	assert_int_equal(kill(second, SIGTERM), 0);
	await_end(second);
	assert_int_equal(isp_reap(&pid, &status), 1);
	assert_int_equal(pid, second);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
	assert_int_equal(isp_reap(&pid, &status), 0);
	isp_fd_close(&second_fd);
	isp_fd_close(&first_fd);
	await_end(first);
	assert_int_equal(isp_reap(&pid, &status), 1);
	assert_int_equal(pid, first);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	assert_int_equal(isp_reap(&pid, &status), -ECHILD);
	assert_int_equal(pid, first);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_tenant_is_found_by_number_and_by_process),
		cmocka_unit_test(zero_and_negative_are_never_a_tenant),
		cmocka_unit_test(a_number_that_is_taken_or_zero_is_refused),
		cmocka_unit_test(a_tenant_that_has_ended_means_nothing),
		cmocka_unit_test(a_new_entry_inherits_nothing),
		cmocka_unit_test(the_table_is_full_at_its_size_and_not_before),
		cmocka_unit_test(an_ended_tenant_leaves_no_descriptor),
		cmocka_unit_test(an_ended_child_is_reaped_without_waiting_for_the_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
