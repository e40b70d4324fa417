/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * test_seccomp_programs.c - the built-in filters, read as the kernel reads them when they are
 * loaded
 *
 * What they answer, test_seccomp.c tries by making the calls.  Here is what loading one costs, in
 * each start of a session: the kernel compiles each instruction, and runs the filter for the number
 * of each call, to remember those that are always allowed; it gives up where an argument is
 * looked at (kernel/seccomp.c, seccomp_is_const_allow()), and such a call pays for the filter each
 * time.
 */
#include "ispawn/base/fd.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include "seccomp_default.h"

#define NUMBERS_END 1024 /* no architecture here has as many calls */
/* libseccomp's own program has more than 900 on x86_64, and paths of more than 30. */
#define INSTRUCTIONS_MAX 256
#define PATH_MAX_LENGTH 24

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#define ARCH_SECOND AUDIT_ARCH_I386
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#define ARCH_SECOND AUDIT_ARCH_ARM
#elif defined(__riscv)
#define ARCH AUDIT_ARCH_RISCV64
#endif

struct filter {
	const char *name;
	const struct sock_filter *code;
	size_t count;
};

static const struct filter filters[] = {
	{"default", isp_seccomp_default, ISP_ARRAY_SIZE(isp_seccomp_default)},
	{"learn", isp_seccomp_learn, ISP_ARRAY_SIZE(isp_seccomp_learn)},
};

static const uint32_t arches[] = {
	ARCH,
#ifdef ARCH_SECOND
	ARCH_SECOND,
#endif
};

/* struct outcome - of one number: its answer, or that it needs an argument, after @steps */
struct outcome {
	bool needs_argument;
	uint32_t answer;
	size_t steps;
};

static bool is_taken(const struct sock_filter *f, uint32_t a)
{
	switch (f->code) {
	case BPF_JMP | BPF_JEQ | BPF_K:
		return a == f->k;
	case BPF_JMP | BPF_JGE | BPF_K:
		return a >= f->k;
	case BPF_JMP | BPF_JGT | BPF_K:
		return a > f->k;
	case BPF_JMP | BPF_JSET | BPF_K:
		return (a & f->k) != 0;
	default:
		fail_msg("instruction 0x%x, which the kernel's search does not know", f->code);
		return false;
	}
}

/* As seccomp_is_const_allow(): what it does not know is a finding. */
static struct outcome find_outcome(const struct filter *filter, uint32_t arch, uint32_t number)
{
	struct outcome outcome = {.needs_argument = false};
	uint32_t a = 0;

	for (size_t pc = 0; pc < filter->count; pc++) {
		const struct sock_filter *f = &filter->code[pc];

		outcome.steps++;
		if (f->code == (BPF_RET | BPF_K)) {
			outcome.answer = f->k;
			return outcome;
		}
		if (f->code == (BPF_LD | BPF_W | BPF_ABS)) {
			outcome.needs_argument = f->k > offsetof(struct seccomp_data, arch);
			if (outcome.needs_argument)
				return outcome;
			a = f->k == offsetof(struct seccomp_data, nr) ? number : arch;
		} else if (f->code == (BPF_JMP | BPF_JA)) {
			pc += f->k;
		} else {
			pc += is_taken(f, a) ? f->jt : f->jf;
		}
	}
	fail_msg("\"%s\" does not answer to call %u", filter->name, number);
	return outcome;
}

static void programs_are_short(void **state)
{
	(void)state;
	for (size_t i = 0; i < ISP_ARRAY_SIZE(filters); i++)
		assert_in_range(filters[i].count, 1, INSTRUCTIONS_MAX);
}

static void paths_are_short(void **state)
{
	(void)state;
	for (size_t i = 0; i < ISP_ARRAY_SIZE(filters); i++)
		for (size_t j = 0; j < ISP_ARRAY_SIZE(arches); j++)
			for (uint32_t number = 0; number < NUMBERS_END; number++)
				assert_in_range(find_outcome(&filters[i], arches[j], number).steps,
						1, PATH_MAX_LENGTH);
}

/* Are exactly @wanted the calls whose answer depends on an argument? */
static void check_arguments(const struct filter *filter, uint32_t arch, const uint32_t *wanted,
			    size_t count)
{
	size_t found = 0;

	for (uint32_t number = 0; number < NUMBERS_END; number++) {
		bool is_wanted = false;

		for (size_t i = 0; i < count; i++)
			is_wanted = is_wanted || wanted[i] == number;
		if (find_outcome(filter, arch, number).needs_argument != is_wanted)
			fail_msg("\"%s\", architecture 0x%x, call %u: %s", filter->name, arch,
				 number, is_wanted ? "no argument is looked at" : "an argument is");
		found += is_wanted;
	}
	assert_int_equal(found, count);
}

/* So the kernel remembers all others that are allowed, and runs no filter for them. */
static void arguments_are_looked_at_for_few_calls(void **state)
{
	static const uint32_t native[] = {SYS_clone, SYS_unshare, SYS_personality,
					  SYS_ioctl, SYS_socket,  SYS_socketpair};
#if defined(__x86_64__)
	/* ioctl, socketcall, clone, personality, unshare, socket, socketpair */
	static const uint32_t second[] = {54, 102, 120, 136, 310, 359, 360};
#elif defined(__aarch64__)
	/* ioctl, clone, personality, socket, socketpair, unshare */
	static const uint32_t second[] = {54, 120, 136, 281, 288, 337};
#endif

	(void)state;
	for (size_t i = 0; i < ISP_ARRAY_SIZE(filters); i++) {
		check_arguments(&filters[i], ARCH, native, ISP_ARRAY_SIZE(native));
#ifdef ARCH_SECOND
		check_arguments(&filters[i], ARCH_SECOND, second, ISP_ARRAY_SIZE(second));
#endif
	}
}

static void everyday_calls_are_allowed_for_good(void **state)
{
	static const uint32_t calls[] = {SYS_read,   SYS_write,  SYS_openat,    SYS_close,
					 SYS_mmap,   SYS_getpid, SYS_futex,     SYS_execve,
					 SYS_wait4,  SYS_fstat,  SYS_lseek,     SYS_ppoll,
					 SYS_sendto, SYS_kill,   SYS_exit_group};

	(void)state;
	for (size_t i = 0; i < ISP_ARRAY_SIZE(filters); i++)
		for (size_t j = 0; j < ISP_ARRAY_SIZE(calls); j++) {
			struct outcome outcome = find_outcome(&filters[i], ARCH, calls[j]);

			assert_false(outcome.needs_argument);
			assert_int_equal(outcome.answer, SECCOMP_RET_ALLOW);
		}
}

/* Pitfall 43, and 44: no call of an architecture that nobody looked at. */
static void unknown_numbers_and_architectures_are_unknown(void **state)
{
	static const uint32_t others[] = {0, ARCH ^ 1, AUDIT_ARCH_S390X, UINT32_MAX};
	static const uint32_t numbers[] = {NUMBERS_END - 1, 100000, INT32_MAX, UINT32_MAX};

	(void)state;
	for (size_t i = 0; i < ISP_ARRAY_SIZE(others); i++)
		for (uint32_t number = 0; number < NUMBERS_END; number++) {
			struct outcome outcome = find_outcome(&filters[0], others[i], number);

			assert_false(outcome.needs_argument);
			assert_int_equal(outcome.answer, SECCOMP_RET_ERRNO | ENOSYS);
		}
	for (size_t i = 0; i < ISP_ARRAY_SIZE(numbers); i++)
		assert_int_equal(find_outcome(&filters[0], ARCH, numbers[i]).answer,
				 SECCOMP_RET_ERRNO | ENOSYS);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(programs_are_short),
		cmocka_unit_test(paths_are_short),
		cmocka_unit_test(arguments_are_looked_at_for_few_calls),
		cmocka_unit_test(everyday_calls_are_allowed_for_good),
		cmocka_unit_test(unknown_numbers_and_architectures_are_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
