/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ispawn-seccomp.h - what the parts of ispawn-seccomp share
 *
 * Theory of operation: ispawn-seccomp.c gives up all rights, reads the profile and writes the
 * answer; ispawn-seccomp-profile.c walks the JSON, key by key, and makes rules of it;
 * ispawn-seccomp-rules.c hands each rule to libseccomp and takes the program from it.  Whatever is
 * not understood refuses the whole profile, with the path of the key.
 */
#ifndef ISPAWN_SHELL_ISPAWN_SECCOMP_H
#define ISPAWN_SHELL_ISPAWN_SECCOMP_H

#include "ispawn/container/profile.h"

#include <linux/filter.h>
#include <seccomp.h>

#define ARGUMENTS_MAX 6 /* of a system call */
#define ADDED_LISTS 512
#define TARGETS_MAX 2 /* the native architecture, and i386 or the like beside it */

/* struct target - a filter for one architecture: what a comparison means differs with its width */
struct target {
	scmp_filter_ctx filter;
	uint32_t arch;
	bool is_narrow; /* arguments have 32 bits */
};

/** struct rule - one call under one action */
struct rule {
	const char *name; /* borrowed; NULL once it has been added */
	uint32_t action;  /* SCMP_ACT_* */
	struct scmp_arg_cmp comparisons[ARGUMENTS_MAX];
	unsigned int count;
};

/* struct added - a rule that stands already, among others whose numbers fall together */
struct added {
	struct added *next;
	int number;
	struct rule rule;
};

/** struct rules - the profile as it grows; starts `= { 0 }`, ends rules_free() */
struct rules {
	struct target targets[TARGETS_MAX];
	size_t target_count;
	uint32_t default_action;
	uint32_t needed; /* bit per call of a table: those that are let through */
	struct added *added[ADDED_LISTS];
	uint32_t unknown_count; /* as in struct isp_answer */
	char unknown[ISP_PROFILE_UNKNOWN_SIZE];
};

/** struct circumstances - what `includes` and `excludes` ask for */
struct circumstances {
	uint64_t capabilities;      /* the bounding set inside */
	unsigned int kernel, patch; /* its first two numbers */
	const char *architecture;   /* the native one as Go spells it: amd64 */
};

/** circumstances_now() - those of this machine. Return: 0; -errno. */
ISP_MUST_CHECK int circumstances_now(uint64_t capabilities, struct circumstances *ret,
				     struct isp_error *err);

/** profile_read() - a JSON text as rules. Return: 0; -EINVAL with the key named; -ENOMEM. */
ISP_MUST_CHECK int profile_read(const char *bytes, size_t size, const struct circumstances *now,
				struct rules *ret_rules, struct isp_error *err);

/**
 * rules_begin() - empty filters
 * @has_second: also for the second architecture that the kernel runs
 */
ISP_MUST_CHECK int rules_begin(struct rules *rules, uint32_t default_action, bool has_second,
			       struct isp_error *err);

/** rules_add() - one rule, to each filter. Return: 0; -EINVAL a name or a clash; -ENOMEM. */
ISP_MUST_CHECK int rules_add(struct rules *rules, const struct rule *rule, struct isp_error *err);

/**
 * rules_compile() - the finished program
 * Numbers above the last one that libseccomp knows get ENOSYS, whatever the profile's default is.
 * @ret_code: BPF_MAXINSNS instructions have room
 */
ISP_MUST_CHECK int rules_compile(struct rules *rules, struct sock_filter *ret_code,
				 size_t *ret_count, struct isp_error *err);

/** rule_overlaps() - can both apply to one call of the same number?  In doubt: yes. */
bool rule_overlaps(const struct rule *a, const struct rule *b);

/** rules_second_arch() - the architecture beside the native one; 0: none */
uint32_t rules_second_arch(void);

void rules_free(struct rules *rules);
#define cleanup_rules __attribute__((cleanup(rules_free)))

#endif
