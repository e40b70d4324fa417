/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ispawn-seccomp-rules.c - rules by libseccomp; contract in ispawn-seccomp.h
 *
 * A filter for each architecture, merged at the end: libseccomp cuts a comparison to 32 bits where
 * arguments have no more, so that "equals 0x100000001" would hold for 1 there.  What such a
 * comparison means for an argument whose upper half is zero is known here, and decided here.
 */
#include "ispawn-seccomp.h"

#include "ispawn/container/seccomp_numbers.h"
#include "ispawn/base/fd.h"

#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>

#define LOW_HALF UINT64_C(0xffffffff)

/* Without these no container is built, nor a program started in one: the builder drops ids and
 * capabilities under the filter, and its failures could not even be reported. */
/* clang-format off */
static const char *const needed[] = {
	"capget", "capset", "clone", "close_range", "execve", "exit_group", "openat",
	"prctl", "recvmsg", "sendmsg", "setgroups", "setresgid", "setresuid",
};
/* clang-format on */
#define ALL_NEEDED ((1U << ISP_ARRAY_SIZE(needed)) - 1)

/* What a comparison is worth where arguments have 32 bits. */
enum worth { ALWAYS, NEVER, COMPARE };

static int from_library(struct isp_error *err, int r, const char *what)
{
	return isp_err_set(err, -r, ISP_STAGE_SECCOMP, "libseccomp: %s", what);
}

uint32_t rules_second_arch(void)
{
	switch (seccomp_arch_native()) {
	case SCMP_ARCH_X86_64:
		return SCMP_ARCH_X86;
	case SCMP_ARCH_AARCH64:
		return SCMP_ARCH_ARM;
	default:
		return 0;
	}
}

static int add_target(struct rules *rules, uint32_t arch, struct isp_error *err)
{
	scmp_filter_ctx filter = seccomp_init(rules->default_action);
	int r = 0;

	if (!filter)
		return isp_err_set(err, ENOMEM, ISP_STAGE_SECCOMP, "libseccomp: make a filter");
	rules->targets[rules->target_count++] = (struct target){
		.filter = filter, .arch = arch, .is_narrow = arch != seccomp_arch_native()};
	if (arch != seccomp_arch_native()) {
		r = seccomp_arch_remove(filter, SCMP_ARCH_NATIVE);
		if (r == 0)
			r = seccomp_arch_add(filter, arch);
	}
	if (r == 0)
		r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
	if (r == 0)
		r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	return r < 0 ? from_library(err, r, "set a filter up") : 0;
}

static bool lets_through(uint32_t action)
{
	return action == SCMP_ACT_ALLOW || action == SCMP_ACT_LOG;
}

int rules_begin(struct rules *rules, uint32_t default_action, bool has_second,
		struct isp_error *err)
{
	int r;

	rules->default_action = default_action;
	rules->needed = lets_through(default_action) ? ALL_NEEDED : 0;
	r = add_target(rules, seccomp_arch_native(), err);
	if (r == 0 && has_second && rules_second_arch() != 0)
		r = add_target(rules, rules_second_arch(), err);
	return r;
}

void rules_free(struct rules *rules)
{
	for (size_t i = 0; i < rules->target_count; i++)
		seccomp_release(rules->targets[i].filter);
	rules->target_count = 0;
	for (size_t i = 0; i < ADDED_LISTS; i++) {
		while (rules->added[i]) {
			struct added *first = rules->added[i];

			rules->added[i] = first->next;
			free(first);
		}
	}
}

/* --- narrow arguments ------------------------------------------------------------------------- */

static enum worth weigh_masked(struct scmp_arg_cmp *c)
{
	if (c->datum_b > LOW_HALF)
		return NEVER;
	c->datum_a &= LOW_HALF;
	return c->datum_a == 0 ? ALWAYS : COMPARE;
}

static enum worth weigh(struct scmp_arg_cmp *c)
{
	if (c->op == SCMP_CMP_MASKED_EQ)
		return weigh_masked(c);
	if (c->datum_a <= LOW_HALF)
		return COMPARE;
	return c->op == SCMP_CMP_NE || c->op == SCMP_CMP_LT || c->op == SCMP_CMP_LE ? ALWAYS
										    : NEVER;
}

/* Return: can the rule ever apply? */
static bool narrow(const struct rule *rule, struct rule *ret)
{
	*ret = *rule;
	ret->count = 0;
	for (unsigned int i = 0; i < rule->count; i++) {
		struct scmp_arg_cmp c = rule->comparisons[i];

		switch (weigh(&c)) {
		case NEVER:
			return false;
		case COMPARE:
			ret->comparisons[ret->count++] = c;
			break;
		case ALWAYS:
			break;
		}
	}
	return true;
}

/* --- rules ------------------------------------------------------------------------------------ */

/* Return: 1 it stands already; 0 it is remembered; -EINVAL it clashes with one; -ENOMEM. */
static int remember(struct rules *rules, const struct rule *rule, int number)
{
	struct added **list = &rules->added[(unsigned int)number % ADDED_LISTS];
	struct added *fresh;

	for (const struct added *a = *list; a; a = a->next) {
		if (a->number != number)
			continue;
		if (a->rule.action != rule->action && rule_overlaps(&a->rule, rule))
			return -EINVAL;
		if (a->rule.action == rule->action && a->rule.count == rule->count &&
		    memcmp(a->rule.comparisons, rule->comparisons, sizeof(rule->comparisons)) == 0)
			return 1;
	}
	fresh = calloc(1, sizeof(*fresh));
	if (!fresh)
		return -ENOMEM;
	fresh->number = number;
	fresh->rule = *rule;
	fresh->rule.name = NULL;
	fresh->next = *list;
	*list = fresh;
	return 0;
}

/* Whether a comparison holds for our own calls is not asked: then the login says so. */
static void note_needed(struct rules *rules, const struct rule *rule)
{
	for (size_t i = 0; i < ISP_ARRAY_SIZE(needed); i++) {
		if (strcmp(needed[i], rule->name) != 0)
			continue;
		if (lets_through(rule->action))
			rules->needed |= 1U << i;
		else if (rule->count == 0)
			rules->needed &= ~(1U << i);
	}
}

static int check_needed(const struct rules *rules, struct isp_error *err)
{
	for (size_t i = 0; i < ISP_ARRAY_SIZE(needed); i++)
		if (!(rules->needed & (1U << i)))
			return isp_err_set(err, EINVAL, ISP_STAGE_SECCOMP,
					   "\"%s\" is not allowed, and no container can be built "
					   "without it",
					   needed[i]);
	return 0;
}

/*
 * Profiles name calls that are younger than this libseccomp, and calls of other architectures.
 * Allowed ones only stay refused.  One that the profile means to refuse is refused if the default
 * does that; otherwise it may be misspelt, and would be let through.
 */
static int take_unknown(struct rules *rules, const struct rule *rule, const char *shown,
			struct isp_error *err)
{
	size_t used = strlen(rules->unknown);

	if (!lets_through(rule->action) && lets_through(rules->default_action))
		return isp_err_set(err, EINVAL, ISP_STAGE_SECCOMP,
				   "\"%s\" is not a system call that libseccomp knows, and would "
				   "be let through",
				   shown);
	rules->unknown_count++;
	/* Ignored: cut; the count tells of the rest. */
	(void)snprintf(rules->unknown + used, sizeof(rules->unknown) - used, "%s%s",
		       used ? ", " : "", shown);
	return 0;
}

static int add_to(const struct target *target, const struct rule *rule, int number)
{
	struct rule narrowed;

	if (target->is_narrow) {
		if (!narrow(rule, &narrowed))
			return 0;
		rule = &narrowed;
	}
	return seccomp_rule_add_array(target->filter, rule->action, number, rule->count,
				      rule->comparisons);
}

int rules_add(struct rules *rules, const struct rule *rule, struct isp_error *err)
{
	int number = seccomp_syscall_resolve_name(rule->name);
	char shown[80];
	int r;

	isp_escape(shown, sizeof(shown), rule->name);
	if (number == __NR_SCMP_ERROR)
		return take_unknown(rules, rule, shown, err);
	r = remember(rules, rule, number);
	if (r == -EINVAL)
		return isp_err_set(err, EINVAL, ISP_STAGE_SECCOMP,
				   "\"%s\" has another action in another rule", shown);
	if (r < 0)
		return isp_err_set(err, -r, ISP_STAGE_SECCOMP, "add \"%s\"", shown);
	if (r > 0 || rule->action == rules->default_action)
		return 0; /* libseccomp takes no rule that has the default's action */
	note_needed(rules, rule);
	for (size_t i = 0; i < rules->target_count; i++) {
		r = add_to(&rules->targets[i], rule, number);
		if (r < 0)
			return isp_err_set(err, -r, ISP_STAGE_SECCOMP,
					   "libseccomp takes no such rule for \"%s\"", shown);
	}
	return 0;
}

/* --- the program ------------------------------------------------------------------------------ */

/* EPERM for a call that is younger than the profile breaks C libraries, which try the newest first
 * (pitfall 43); and a profile that allows by default knows nothing of it. */
static size_t write_unknown(uint32_t arch, struct sock_filter *ret_code)
{
	const struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, arch, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, isp_seccomp_last_number(arch), 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
	};

	/* 32-bit ARM has calls of its own far above the others; there the kernel answers. */
	if (arch == SCMP_ARCH_ARM)
		return 0;
	memcpy(ret_code, code, sizeof(code));
	return ISP_ARRAY_SIZE(code);
}

/* The first filter swallows the second. */
static int merge(struct rules *rules, struct isp_error *err)
{
	int r = 0;

	if (rules->target_count == 2) {
		r = seccomp_merge(rules->targets[0].filter, rules->targets[1].filter);
		if (r == 0)
			rules->target_count = 1;
	}
	return r < 0 ? from_library(err, r, "merge the architectures") : 0;
}

int rules_compile(struct rules *rules, struct sock_filter *ret_code, size_t *ret_count,
		  struct isp_error *err)
{
	cleanup_close int fd = memfd_create("bpf", MFD_CLOEXEC);
	size_t count = 0;
	ssize_t size;
	int r = check_needed(rules, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < rules->target_count; i++)
		count += write_unknown(rules->targets[i].arch, ret_code + count);
	r = merge(rules, err);
	if (r < 0)
		return r;
	if (fd < 0)
		return isp_err_set(err, errno, ISP_STAGE_SECCOMP, "make a memfd for the program");
	r = seccomp_export_bpf(rules->targets[0].filter, fd);
	if (r < 0)
		return from_library(err, r, "compile");
	if (lseek(fd, 0, SEEK_SET) != 0)
		return isp_err_set(err, errno, ISP_STAGE_SECCOMP, "read the program back");
	size = isp_fd_read_all(fd, ret_code + count, (BPF_MAXINSNS - count) * sizeof(*ret_code));
	if (size <= 0 || (size_t)size % sizeof(*ret_code) != 0 ||
	    (size_t)size == (BPF_MAXINSNS - count) * sizeof(*ret_code))
		return isp_err_set(err, E2BIG, ISP_STAGE_SECCOMP,
				   "the compiled profile has more than %d instructions",
				   BPF_MAXINSNS);
	*ret_count = count + (size_t)size / sizeof(*ret_code);
	return 0;
}
