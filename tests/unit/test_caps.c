/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * test_caps.c - capability sets
 *
 * The cases need capabilities to drop, so each runs in a child that makes a user namespace first;
 * where that is not allowed, they are skipped, saying so.
 */
#include "ispawn/base/fd.h"
#include "ispawn/container/caps.h"

#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <cmocka.h>

#define NO_NAMESPACE 77
#define ALL_BITS UINT64_MAX

/* Checks in a child, which has no cmocka: the line that failed is its exit status. */
#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			(void)fprintf(stderr, "line %d: " #condition ": %s\n", __LINE__,           \
				      err.text);                                                   \
			return 1;                                                                  \
		}                                                                                  \
	} while (0)

static void in_user_namespace(int (*body)(void))
{
	int status = 0;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(unshare(CLONE_NEWUSER) == 0 ? body() : NO_NAMESPACE);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == NO_NAMESPACE) {
		print_message("skipped: this machine allows no user namespaces here\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}

static int apply_and_verify(void)
{
	uint64_t mask = ISP_CAP(CAP_KILL) | ISP_CAP(CAP_CHOWN);
	uint64_t bounding = mask | ISP_CAP(CAP_SETUID);
	struct isp_error err = {.code = 0};

	CHECK(isp_caps_apply(mask, bounding, &err) == 0);
	CHECK(isp_caps_verify(mask, bounding, &err) == 0);
	CHECK(prctl(PR_CAPBSET_READ, CAP_SETUID, 0, 0, 0) == 1);
	CHECK(prctl(PR_CAPBSET_READ, CAP_SYS_ADMIN, 0, 0, 0) == 0);
	/* And once more, to nothing: CAP_SETPCAP is gone, and not needed. */
	CHECK(isp_caps_apply(0, bounding, &err) == 0);
	CHECK(isp_caps_verify(0, bounding, &err) == 0);
	return 0;
}

static void what_is_applied_is_read_back(void **state)
{
	(void)state;
	in_user_namespace(apply_and_verify);
}

static int verify_names_each_difference(void)
{
	static const struct {
		uint64_t mask, bounding;
		const char *words;
	} cases[] = {
		{ISP_CAP(CAP_KILL), ALL_BITS, "chown (0) is still permitted"},
		{ISP_CAP(CAP_KILL) | ISP_CAP(CAP_CHOWN) | ISP_CAP(CAP_MKNOD), ALL_BITS,
		 "mknod (27) is no longer permitted"},
		{ISP_CAP(CAP_KILL) | ISP_CAP(CAP_CHOWN), ISP_CAP(CAP_KILL),
		 "chown (0) is still in the bounding set"},
	};
	uint64_t mask = ISP_CAP(CAP_KILL) | ISP_CAP(CAP_CHOWN);
	struct isp_error err = {.code = 0};

	CHECK(isp_caps_apply(mask, mask, &err) == 0);
	for (size_t i = 0; i < ISP_ARRAY_SIZE(cases); i++) {
		err = (struct isp_error){.code = 0};
		CHECK(isp_caps_verify(cases[i].mask, cases[i].bounding, &err) == -EPERM);
		CHECK(err.stage == ISP_STAGE_PROVE);
		CHECK(strstr(err.text, cases[i].words));
	}
	return 0;
}

static void a_capability_too_many_or_too_few_fails_the_proof_by_name(void **state)
{
	(void)state;
	in_user_namespace(verify_names_each_difference);
}

static int drop_inherited(void)
{
	struct isp_error err = {.code = 0};
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct sets[2];
	extern int capget(void *, void *);
	extern int capset(void *, const void *);

	CHECK(capget(&header, sets) == 0);
	sets[0].inheritable = 1U << CAP_CHOWN;
	CHECK(capset(&header, sets) == 0);
	CHECK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0) == 0);
	CHECK(isp_caps_verify(ALL_BITS, ALL_BITS, &err) == -EPERM);
	err = (struct isp_error){.code = 0};
	CHECK(isp_caps_apply(ISP_CAP(CAP_CHOWN), ALL_BITS, &err) == 0);
	CHECK(isp_caps_verify(ISP_CAP(CAP_CHOWN), ALL_BITS, &err) == 0);
	CHECK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_CHOWN, 0, 0) == 0);
	return 0;
}

/* Pitfall 26 */
static void inheritable_and_ambient_sets_are_emptied(void **state)
{
	(void)state;
	in_user_namespace(drop_inherited);
}

static int need_what_is_missing(void)
{
	struct isp_error err = {.code = 0};

	CHECK(isp_caps_apply(ISP_CAP(CAP_KILL), ISP_CAP(CAP_KILL), &err) == 0);
	CHECK(isp_caps_apply(ISP_CAP(CAP_KILL) | ISP_CAP(CAP_SYS_ADMIN), ALL_BITS, &err) == -EPERM);
	CHECK(strstr(err.text, "sys_admin (21) is needed and not permitted"));
	err = (struct isp_error){.code = 0};
	CHECK(isp_caps_verify(ISP_CAP(CAP_KILL), ISP_CAP(CAP_KILL), &err) == 0);
	return 0;
}

static void a_missing_capability_is_named(void **state)
{
	(void)state;
	in_user_namespace(need_what_is_missing);
}

static int go_without_sys_resource(void)
{
	uint64_t without = isp_caps_supervisor_build() & ~ISP_CAP(CAP_SYS_RESOURCE);
	struct isp_error err = {.code = 0};

	CHECK(without != isp_caps_supervisor_build());
	CHECK(isp_caps_apply(without, without, &err) == 0);
	CHECK(isp_caps_apply(isp_caps_supervisor_build(), ALL_BITS, &err) == 0);
	CHECK(isp_caps_verify(isp_caps_supervisor_build(), ALL_BITS, &err) == 0);
	CHECK(isp_caps_verify(without, without, &err) == 0);
	return 0;
}

static void sys_resource_may_be_missing(void **state)
{
	(void)state;
	in_user_namespace(go_without_sys_resource);
}

static int build_then_rest(void)
{
	uint64_t build = isp_caps_supervisor_build();
	uint64_t rest = isp_caps_supervisor_rest();
	struct isp_error err = {.code = 0};

	CHECK(isp_caps_apply(build, build, &err) == 0);
	CHECK(isp_caps_verify(build, build, &err) == 0);
	CHECK(isp_caps_apply(rest, rest, &err) == 0);
	CHECK(isp_caps_verify(rest, rest, &err) == 0);
	CHECK(unshare(CLONE_NEWNS) == -1 && errno == EPERM);
	return 0;
}

static void the_supervisor_comes_to_rest(void **state)
{
	(void)state;
	assert_true(isp_caps_supervisor_rest() == ISP_CAP(CAP_KILL));
	assert_true((isp_caps_supervisor_rest() & ~isp_caps_supervisor_build()) == 0);
	in_user_namespace(build_then_rest);
}

static int drop_only_bounding(void)
{
	struct isp_error err = {.code = 0};
	uint64_t keep = ISP_CAP(CAP_KILL);

	CHECK(isp_caps_drop_bounding(keep, &err) == 0);
	CHECK(prctl(PR_CAPBSET_READ, CAP_KILL, 0, 0, 0) == 1);
	CHECK(prctl(PR_CAPBSET_READ, CAP_CHOWN, 0, 0, 0) == 0);
	CHECK(isp_caps_apply(keep, keep, &err) == 0);
	CHECK(isp_caps_drop_bounding(0, &err) == -EPERM);
	CHECK(strstr(err.text, "kill (5)"));
	return 0;
}

static void the_bounding_set_shrinks_while_setpcap_is_there(void **state)
{
	(void)state;
	in_user_namespace(drop_only_bounding);
}

static int lock_unprivileged(void)
{
	struct isp_error err = {.code = 0};
	int bits;

	CHECK(isp_caps_lock_securebits(true, &err) == 0);
	bits = prctl(PR_GET_SECUREBITS, 0, 0, 0, 0);
	CHECK(bits == (SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
		       SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
		       SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED));
	CHECK(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == -1);
	CHECK(prctl(PR_SET_SECUREBITS, 0, 0, 0, 0) == -1);
	return 0;
}

static int lock_for_sudo(void)
{
	struct isp_error err = {.code = 0};
	int bits;

	CHECK(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0);
	CHECK(isp_caps_lock_securebits(false, &err) == 0);
	bits = prctl(PR_GET_SECUREBITS, 0, 0, 0, 0);
	CHECK(bits == (SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
		       SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED));
	return 0;
}

static void securebits_are_locked(void **state)
{
	(void)state;
	in_user_namespace(lock_unprivileged);
	in_user_namespace(lock_for_sudo);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_applied_is_read_back),
		cmocka_unit_test(a_capability_too_many_or_too_few_fails_the_proof_by_name),
		cmocka_unit_test(inheritable_and_ambient_sets_are_emptied),
		cmocka_unit_test(a_missing_capability_is_named),
		cmocka_unit_test(sys_resource_may_be_missing),
		cmocka_unit_test(the_supervisor_comes_to_rest),
		cmocka_unit_test(the_bounding_set_shrinks_while_setpcap_is_there),
		cmocka_unit_test(securebits_are_locked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
