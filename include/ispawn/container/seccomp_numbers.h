/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * seccomp_numbers.h - what numbers libseccomp knows; for the programs that compile filters
 *
 * Not by name: for i386's sockets libseccomp answers with numbers of its own that stand for both
 * the direct call and socketcall.
 */
#ifndef ISPAWN_CONTAINER_SECCOMP_NUMBERS_H
#define ISPAWN_CONTAINER_SECCOMP_NUMBERS_H

#include <seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ISP_SECCOMP_NUMBERS_END 1024 /* no architecture here has as many */

/* Does libseccomp know @number, and as @wanted?  NULL: as anything. */
static inline bool isp_seccomp_number_is(uint32_t arch, int number, const char *wanted)
{
	char *name = seccomp_syscall_resolve_num_arch(arch, number);
	bool is_it = name && (!wanted || strcmp(name, wanted) == 0);

	free(name);
	return is_it;
}

/** isp_seccomp_number() - the kernel's own number of a call; -1: no such call. */
static inline int isp_seccomp_number(uint32_t arch, const char *name)
{
	int number = 0;

	while (number < ISP_SECCOMP_NUMBERS_END && !isp_seccomp_number_is(arch, number, name))
		number++;
	return number < ISP_SECCOMP_NUMBERS_END ? number : -1;
}

/** isp_seccomp_last_number() - the highest one known: those above are the future's. */
static inline uint32_t isp_seccomp_last_number(uint32_t arch)
{
	int last = ISP_SECCOMP_NUMBERS_END - 1;

	while (last > 0 && !isp_seccomp_number_is(arch, last, NULL))
		last--;
	return (uint32_t)last;
}

#endif
