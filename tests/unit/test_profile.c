/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * test_profile.c - seccomp profiles: which are taken, and what is said of the others
 *
 * Texts are read and compiled here; what a compiled one does is tried in a child that loads it
 * behind the mandatory filter, as a login does.
 */
#include "../../shell/ispawn-seccomp.h"

#include "ispawn/base/fd.h"
#include "ispawn/container/seccomp.h"

#include <linux/capability.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

static const struct circumstances here = {
	.capabilities = 1U << CAP_CHOWN,
	.kernel = 6,
	.patch = 1,
	.architecture = "amd64",
};

struct compiled {
	struct sock_filter code[BPF_MAXINSNS];
	size_t count;
	uint32_t unknown_count;
	char unknown[ISP_PROFILE_UNKNOWN_SIZE];
};

static int compile(const char *text, struct compiled *ret, struct isp_error *err)
{
	cleanup_rules struct rules rules = {.target_count = 0};
	int r = profile_read(text, strlen(text), &here, &rules, err);

	if (r == 0)
		r = rules_compile(&rules, ret->code, &ret->count, err);
	ret->unknown_count = rules.unknown_count;
	memcpy(ret->unknown, rules.unknown, sizeof(ret->unknown));
	return r;
}

/* A profile that allows all but what @members of its one rule for sync() say. */
static char *with_rule(const char *members)
{
	char *text = NULL;

	assert_true(asprintf(&text, "{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"syscalls\": [{%s}]}",
			     members) > 0);
	return text;
}

struct refusal {
	const char *text, *says;
};

static void check_refusal(const char *text, const char *says)
{
	static struct compiled compiled;
	struct isp_error err = {.code = 0};
	int r = compile(text, &compiled, &err);

	if (r >= 0 || !strstr(err.text, says))
		fail_msg("%s\nis refused with \"%s\", not \"%s\"", text, err.text, says);
	assert_int_equal(err.stage, ISP_STAGE_SECCOMP);
}

#define DEFAULT "\"defaultAction\": \"SCMP_ACT_ALLOW\""

static void profiles_that_are_not_understood_are_refused(void **state)
{
	static const struct refusal cases[] = {
		{"", "line 1"},
		{"[]", "not an object"},
		{"{}", "defaultAction: missing"},
		{"{" DEFAULT "} {}", "line 1"},
		{"{" DEFAULT ", " DEFAULT "}", "duplicate"},
		{"{" DEFAULT ",}", "line 1"},
		{"{" DEFAULT ", /* no */ \"syscalls\": []}", "line 1"},
		{"{\"defaultaction\": \"SCMP_ACT_ALLOW\"}", "\"defaultaction\" is not a key"},
		{"{\"defaultAction\": 1}", "\"defaultAction\" has a value of a wrong type"},
		{"{\"defaultAction\": \"allow\"}", "\"allow\" is not an action"},
		{"{\"defaultAction\": \"SCMP_ACT_TRACE\"}", "\"SCMP_ACT_TRACE\" is not an action"},
		{"{\"defaultAction\": \"\\u001b[2J\"}", "\\x1b[2J"},
		{"{" DEFAULT ", \"listenerPath\": \"/run/x\"}", "\"listenerPath\" is not a key"},
		{"{" DEFAULT ", \"syscalls\": {}}", "\"syscalls\" has a value of a wrong type"},
		{"{" DEFAULT ", \"syscalls\": [1]}", "syscalls[0]: not an object"},
		{"{" DEFAULT ", \"flags\": [\"SECCOMP_FILTER_FLAG_LOG\"]}", "flags[0]: "},
		{"{" DEFAULT ", \"flags\": [1]}", "flags[0]: "},
		{"{" DEFAULT ", \"defaultErrnoRet\": 1}", "\"SCMP_ACT_ALLOW\" has no errno"},
		{"{\"defaultAction\": \"SCMP_ACT_ERRNO\", \"defaultErrnoRet\": 0}", "succeed"},
		{"{\"defaultAction\": \"SCMP_ACT_ERRNO\", \"defaultErrnoRet\": -1}",
		 "out of range"},
		{"{\"defaultAction\": \"SCMP_ACT_ERRNO\", \"defaultErrnoRet\": 4096}",
		 "out of range"},
		{"{\"defaultAction\": \"SCMP_ACT_ERRNO\", \"defaultErrnoRet\": 1.5}", "wrong type"},
		{"{\"defaultAction\": \"SCMP_ACT_ERRNO\", \"defaultErrno\": \"EWHAT\"}",
		 "not the name of an errno"},
		{"{\"defaultAction\": \"SCMP_ACT_ERRNO\", \"defaultErrno\": \"EPERM\", "
		 "\"defaultErrnoRet\": 38}",
		 "differ"},
		{"{\"defaultAction\": \"SCMP_ACT_ERRNO\"}", "\"capget\" is not allowed, and no "},
		{"{" DEFAULT ", \"syscalls\": [{\"names\": [\"exit_group\"], "
		 "\"action\": \"SCMP_ACT_KILL\"}]}",
		 "\"exit_group\" is not allowed"},
		{"{" DEFAULT ", \"architectures\": [\"SCMP_ARCH_S390X\"]}",
		 "this machine's architecture"},
		{"{" DEFAULT ", \"architectures\": [\"x86_64\"]}", "architectures[0]: \"x86_64\""},
		{"{" DEFAULT ", \"architectures\": [\"SCMP_ARCH_X86_64\"], \"archMap\": "
		 "[{\"architecture\": \"SCMP_ARCH_X86_64\"}]}",
		 "exclude each other"},
		{"{" DEFAULT ", \"archMap\": [{\"architecture\": \"SCMP_ARCH_X86_64\", "
		 "\"sub\": []}]}",
		 "archMap[0]: \"sub\""},
		{"{" DEFAULT ", \"archMap\": [{}]}", "archMap[0]: architecture: "},
	};

	(void)state;
	for (size_t i = 0; i < ISP_ARRAY_SIZE(cases); i++)
		check_refusal(cases[i].text, cases[i].says);
}

#define NAMED "\"names\": [\"sync\"], "
#define ERRNO NAMED "\"action\": \"SCMP_ACT_ERRNO\""
#define ARGS(text) ERRNO ", \"args\": [" text "]"

static void rules_that_are_not_understood_are_refused(void **state)
{
	static const struct refusal cases[] = {
		{"", "syscalls[0]: action: missing"},
		{"\"action\": \"SCMP_ACT_ERRNO\"", "one of names and name"},
		{ERRNO ", \"name\": \"sync\"", "one of names and name"},
		{"\"names\": [1], \"action\": \"SCMP_ACT_ERRNO\"",
		 "syscalls[0]: names[0]: not a name"},
		{"\"names\": [\"sink\"], \"action\": \"SCMP_ACT_ERRNO\"",
		 "names[0]: \"sink\" is not a system call"},
		{"\"name\": \"sink\", \"action\": \"SCMP_ACT_KILL\"", "name: \"sink\" is not"},
		{NAMED "\"action\": \"SCMP_ACT_NOTIFY\"", "syscalls[0]: action: "},
		{NAMED "\"action\": \"SCMP_ACT_KILL\", \"errnoRet\": 1", "has no errno"},
		{ERRNO ", \"errnoRet\": 0", "succeed"},
		{ERRNO ", \"priority\": 1", "\"priority\" is not a key"},
		{ARGS("1"), "args[0]: not an object"},
		{ARGS("{\"index\": 0, \"value\": 1}"), "args[0]: \"\" is not a comparison"},
		{ARGS("{\"index\": 6, \"value\": 1, \"op\": \"SCMP_CMP_EQ\"}"),
		 "args[0]: index: 6 is out of range"},
		{ARGS("{\"index\": -1, \"value\": 1, \"op\": \"SCMP_CMP_EQ\"}"), "out of range"},
		{ARGS("{\"index\": 0, \"value\": -1, \"op\": \"SCMP_CMP_EQ\"}"), "out of range"},
		{ARGS("{\"index\": 0, \"value\": 1e3, \"op\": \"SCMP_CMP_EQ\"}"), "wrong type"},
		{ARGS("{\"index\": 0, \"value\": 18446744073709551616, "
		      "\"op\": \"SCMP_CMP_EQ\"}"),
		 "too big"},
		{ARGS("{\"index\": 0, \"value\": 1, \"op\": \"==\"}"), "not a comparison"},
		{ARGS("{\"index\": 0, \"value\": 1, \"valueTwo\": 1, \"op\": \"SCMP_CMP_EQ\"}"),
		 "valueTwo belongs to"},
		{ARGS("{\"index\": 0, \"value\": 1, \"valueTwo\": 2, "
		      "\"op\": \"SCMP_CMP_MASKED_EQ\"}"),
		 "never true"},
		{ARGS("{\"index\": 0, \"value\": 1, \"op\": \"SCMP_CMP_EQ\"}, "
		      "{\"index\": 0, \"value\": 2, \"op\": \"SCMP_CMP_EQ\"}"),
		 "args[1]: two comparisons of one argument"},
		{ERRNO ", \"includes\": {\"cap\": []}", "includes: \"cap\" is not a key"},
		{ERRNO ", \"includes\": {\"caps\": [\"CAP_CHOWM\"]}",
		 "includes: caps[0]: \"CAP_CHOWM\" is not a capability"},
		{ERRNO ", \"excludes\": {\"caps\": [1]}", "excludes: caps[0]: "},
		{ERRNO ", \"includes\": {\"arches\": [1]}", "includes: arches[0]: "},
		{ERRNO ", \"includes\": {\"minKernel\": \"4.8.1\"}", "minKernel: \"4.8.1\""},
		{ERRNO ", \"includes\": {\"minKernel\": \"new\"}", "minKernel: \"new\""},
		{ERRNO ", \"includes\": {\"minKernel\": 4.8}", "wrong type"},
	};

	(void)state;
	for (size_t i = 0; i < ISP_ARRAY_SIZE(cases); i++) {
		cleanup_free char *text = with_rule(cases[i].text);

		check_refusal(text, cases[i].says);
	}
}

/* --- what a taken one does ----------------------------------------------------------------------
 */

/* The errno of a call under the profile; 0: success; 128+n: killed by signal n. */
static int answer(const struct compiled *compiled, long number, unsigned long first)
{
	int status = 0;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		struct isp_error err = {.code = 0};
		long r;

		(void)signal(SIGSYS, SIG_DFL); /* cmocka takes it for a test's end */
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
		    isp_seccomp_load("lab", compiled->code, compiled->count, &err) != 0)
			_exit(125);
		r = syscall(number, first, 0L, 0L, 0L, 0L, 0L);
		_exit(r < 0 ? errno : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void compiles(const char *text, struct compiled *ret)
{
	struct isp_error err = {.code = 0};

	if (compile(text, ret, &err) != 0)
		fail_msg("%s\n%s", text, err.text);
}

#define TWO(first, second)                                                                         \
	"{" DEFAULT                                                                                \
	", \"syscalls\": [{\"name\": \"sync\", \"action\": \"SCMP_ACT_ERRNO\", \"args\": [" first  \
	"]}, {\"name\": \"sync\", \"action\": \"SCMP_ACT_KILL\", \"args\": [" second "]}]}"
#define CMP(argument, op, value)                                                                   \
	"{\"index\": " #argument ", \"op\": \"SCMP_CMP_" #op "\", \"value\": " #value "}"
#define MASK(mask, value)                                                                          \
	"{\"index\": 0, \"op\": \"SCMP_CMP_MASKED_EQ\", \"value\": " #mask                         \
	", \"valueTwo\": " #value "}"

static void rules_that_overlap_are_refused(void **state)
{
	static const char *const cases[] = {
		TWO("", CMP(0, EQ, 1)),
		TWO(CMP(0, EQ, 1), ""),
		TWO(CMP(0, EQ, 1), CMP(1, EQ, 2)),
		TWO(CMP(0, EQ, 1), CMP(0, LE, 1)),
		TWO(CMP(0, NE, 1), CMP(0, EQ, 2)),
		TWO(CMP(0, NE, 1), CMP(0, NE, 2)),
		TWO(CMP(0, GT, 4), CMP(0, LT, 6)),
		TWO(CMP(0, GE, 1), MASK(3, 1)),
		TWO(CMP(0, EQ, 5), MASK(3, 1)),
		TWO(MASK(3, 1), MASK(12, 4)),
	};

	(void)state;
	for (size_t i = 0; i < ISP_ARRAY_SIZE(cases); i++)
		check_refusal(cases[i], "syscalls[1]: name: \"sync\" has another action");
}

static void rules_that_exclude_each_other_are_taken(void **state)
{
	static const struct {
		const char *text;
		int of_one, of_two; /* sync(1) and sync(2), which takes no argument */
	} cases[] = {
		{TWO(CMP(0, EQ, 1), CMP(0, EQ, 2)), EPERM, 128 + 31},
		{TWO(CMP(0, EQ, 1), CMP(0, NE, 1)), EPERM, 128 + 31},
		{TWO(CMP(0, LT, 2), CMP(0, GE, 2)), EPERM, 128 + 31},
		{TWO(CMP(0, LE, 1), CMP(0, GT, 1)), EPERM, 128 + 31},
		{TWO(MASK(3, 1), MASK(2, 2)), EPERM, 128 + 31},
		{TWO(MASK(3, 1), CMP(0, EQ, 2)), EPERM, 128 + 31},
		{TWO(CMP(0, EQ, 1) "," CMP(1, EQ, 0), CMP(1, NE, 0)), EPERM, 0},
	};
	static struct compiled compiled;

	(void)state;
	for (size_t i = 0; i < ISP_ARRAY_SIZE(cases); i++) {
		compiles(cases[i].text, &compiled);
		assert_int_equal(answer(&compiled, SYS_sync, 1), cases[i].of_one);
		assert_int_equal(answer(&compiled, SYS_sync, 2), cases[i].of_two);
	}
}

static void two_actions_for_one_call_are_refused(void **state)
{
	(void)state;
	check_refusal("{\"defaultAction\": \"SCMP_ACT_KILL\", \"syscalls\": [{\"name\": \"sync\", "
		      "\"action\": \"SCMP_ACT_ALLOW\"}, {\"name\": \"sync\", \"action\": "
		      "\"SCMP_ACT_KILL\"}]}",
		      "syscalls[1]: name: \"sync\" has another action in another rule");
	check_refusal("{" DEFAULT ", \"syscalls\": [{\"name\": \"sync\", \"action\": "
		      "\"SCMP_ACT_ERRNO\"}, {\"name\": \"sync\", \"action\": "
		      "\"SCMP_ACT_KILL\"}]}",
		      "syscalls[1]: name: \"sync\" has another action in another rule");
}

struct effect {
	const char *rule;
	int expected; /* of sync() */
};

static void rules_do_what_they_say_where_they_are_meant(void **state)
{
	static const struct effect cases[] = {
		{ERRNO, EPERM},
		{ERRNO ", \"errnoRet\": null, \"args\": null, \"includes\": {}", EPERM},
		{ERRNO ", \"errnoRet\": 95", EOPNOTSUPP},
		{ERRNO ", \"errno\": \"ENOSYS\", \"errnoRet\": 38, \"comment\": \"x\"", ENOSYS},
		{"\"name\": \"sync\", \"action\": \"SCMP_ACT_ERRNO\"", EPERM},
		{NAMED "\"action\": \"SCMP_ACT_KILL_PROCESS\"", 128 + 31},
		{NAMED "\"action\": \"SCMP_ACT_KILL\"", 128 + 31},
		{NAMED "\"action\": \"SCMP_ACT_TRAP\"", 128 + 31},
		{NAMED "\"action\": \"SCMP_ACT_LOG\"", 0},
		{NAMED "\"action\": \"SCMP_ACT_ALLOW\"", 0},
		{ERRNO ", \"includes\": {\"caps\": [\"CAP_CHOWN\"]}", EPERM},
		{ERRNO ", \"includes\": {\"caps\": [\"CAP_CHOWN\", \"CAP_KILL\"]}", 0},
		{ERRNO ", \"includes\": {\"caps\": [\"CAP_SYS_ADMIN\"]}", 0},
		{ERRNO ", \"excludes\": {\"caps\": [\"CAP_CHOWN\", \"CAP_KILL\"]}", 0},
		{ERRNO ", \"excludes\": {\"caps\": [\"CAP_KILL\"]}", EPERM},
		{ERRNO ", \"includes\": {\"arches\": [\"s390x\", \"amd64\"]}", EPERM},
		{ERRNO ", \"includes\": {\"arches\": [\"x86\"]}", 0},
		{ERRNO ", \"excludes\": {\"arches\": [\"amd64\"]}", 0},
		{ERRNO ", \"includes\": {\"minKernel\": \"6.1\"}", EPERM},
		{ERRNO ", \"includes\": {\"minKernel\": \"6.2\"}", 0},
		{ERRNO ", \"includes\": {\"minKernel\": \"5.19\"}", EPERM},
		{ERRNO ", \"excludes\": {\"minKernel\": \"4.8\"}", 0},
		{ERRNO ", \"excludes\": {\"minKernel\": \"7.0\"}", EPERM},
		{ARGS("{\"index\": 0, \"value\": 4294967297, \"op\": \"SCMP_CMP_EQ\"}"), 0},
		{ARGS("{\"index\": 0, \"value\": 4294967297, \"op\": \"SCMP_CMP_NE\"}"), EPERM},
	};
	static struct compiled compiled;

	(void)state;
	for (size_t i = 0; i < ISP_ARRAY_SIZE(cases); i++) {
		cleanup_free char *text = with_rule(cases[i].rule);
		int got;

		compiles(text, &compiled);
		got = answer(&compiled, SYS_sync, 1);
		if (got != cases[i].expected)
			fail_msg("%s: %d, not %d", cases[i].rule, got, cases[i].expected);
	}
}

static void the_same_rule_twice_is_one(void **state)
{
	static struct compiled compiled;

	(void)state;
	compiles("{" DEFAULT ", \"syscalls\": [{" ERRNO "}, {" ERRNO "}]}", &compiled);
	assert_int_equal(answer(&compiled, SYS_sync, 0), EPERM);
}

static void names_of_the_future_are_counted_where_that_is_safe(void **state)
{
	static struct compiled compiled;

	(void)state;
	compiles("{" DEFAULT ", \"syscalls\": [{\"names\": [\"fly\", \"\\u001b[2J\", \"sync\"], "
		 "\"action\": \"SCMP_ACT_ALLOW\"}]}",
		 &compiled);
	assert_int_equal(compiled.unknown_count, 2);
	assert_string_equal(compiled.unknown, "fly, \\x1b[2J");
}

static void the_mandatory_answers_stand_in_front_of_any_profile(void **state)
{
	static const struct {
		long number;
		unsigned long first;
		int expected;
	} calls[] = {
		{SYS_unshare, 0x10000000, EPERM},
		{SYS_clone, 0x20000, EPERM},
		{SYS_clone3, 0, ENOSYS},
		{SYS_keyctl, 0x7fffffff, EPERM},
		{SYS_add_key, 8, EPERM},
		{SYS_request_key, 8, EPERM},
		{SYS_socket, AF_VSOCK, EAFNOSUPPORT},
	};
	static struct compiled open, fatal = {.count = 1};

	(void)state;
	compiles("{" DEFAULT "}", &open);
	fatal.code[0] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	for (size_t i = 0; i < ISP_ARRAY_SIZE(calls); i++)
		assert_int_equal(answer(&open, calls[i].number, calls[i].first), calls[i].expected);
	/* It kills, but for these; the end of the child is what is killed then. */
	for (size_t i = 0; i < ISP_ARRAY_SIZE(calls); i++)
		assert_int_equal(answer(&fatal, calls[i].number, calls[i].first), 128 + 31);
	/* Above the last number known. */
	assert_int_equal(answer(&open, 9999, 0), ENOSYS);
}

static void a_profile_that_is_no_program_is_not_loaded(void **state)
{
	static struct compiled compiled = {.count = BPF_MAXINSNS};

	(void)state;
	assert_int_equal(answer(&compiled, SYS_getpid, 0), 125);
	compiled.count = 0;
	assert_int_equal(answer(&compiled, SYS_getpid, 0), 125);
	/* Instructions that the kernel does not take. */
	compiled.count = 2;
	assert_int_equal(answer(&compiled, SYS_getpid, 0), 125);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(profiles_that_are_not_understood_are_refused),
		cmocka_unit_test(rules_that_are_not_understood_are_refused),
		cmocka_unit_test(rules_that_overlap_are_refused),
		cmocka_unit_test(rules_that_exclude_each_other_are_taken),
		cmocka_unit_test(two_actions_for_one_call_are_refused),
		cmocka_unit_test(rules_do_what_they_say_where_they_are_meant),
		cmocka_unit_test(the_same_rule_twice_is_one),
		cmocka_unit_test(names_of_the_future_are_counted_where_that_is_safe),
		cmocka_unit_test(the_mandatory_answers_stand_in_front_of_any_profile),
		cmocka_unit_test(a_profile_that_is_no_program_is_not_loaded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
