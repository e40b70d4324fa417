/* SPDX-License-Identifier: GPL-3.0-or-later */
/* seccomp_generate.h - what the parts of seccomp_generate share; nothing of it is in a program */
#ifndef ISPAWN_CONTAINER_SECCOMP_GENERATE_H
#define ISPAWN_CONTAINER_SECCOMP_GENERATE_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** struct program - BPF as it grows */
struct program {
	struct sock_filter code[BPF_MAXINSNS];
	size_t count;
	bool is_learning; /* what is refused is logged and allowed */
};

/** fail() - say what is wrong and end the build. */
_Noreturn void fail(const char *what, const char *name, int errnum);

/** emit() - one more instruction; jumps are patched by the caller. */
void emit(struct program *p, unsigned int code, uint32_t k);

/**
 * flatten() - make a program that gives the same answers in fewer steps
 * @p: complete: every path returns
 * @arches: those it distinguishes, as in struct seccomp_data; what is none of them gets one answer
 * Ends the build where it does not understand @p, or where a trial finds another answer.
 */
void flatten(struct program *p, const uint32_t *arches, size_t arch_count);

/**
 * share_ends() - let instructions that do the same and go on alike stand once
 * @p: complete: every path returns
 * For flatten(), which tries the result.  Ends the build where a path does not return.
 */
void share_ends(struct program *p);

#endif
