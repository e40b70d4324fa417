/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * cpus.h - as many processors as the quota is worth
 *
 * Theory of operation: programs ask the kernel how many processors they may use - nproc, make -j,
 * thread pools - and start that many workers.  With a quota below the machine these burn the quota
 * in a part of each period and stand still for the rest.  So a container starts on as many
 * processors as its quota can fill, and sees these in /sys/devices/system/cpu/online.  It is an
 * affinity mask, which is one system call; the limit is the quota, and a program that widens its
 * mask gains nothing.  A fixed mask must not crowd containers together while other processors
 * idle: the least taken processors are chosen, and among equals those from where the kernel has
 * just put this process on, which is an idle one when there is any.  Sessions of one user share one
 * quota, and so may as well share processors.
 */
#ifndef ISPAWN_CONTAINER_CPUS_H
#define ISPAWN_CONTAINER_CPUS_H

#include "ispawn/base/err.h"

#include <sched.h>

/** struct isp_cpus_taken - what other containers use */
struct isp_cpus_taken {
	unsigned int count[CPU_SETSIZE]; /* containers that may run on each processor */
	cpu_set_t own;                   /* of another session under the same quota; may be empty */
};

/**
 * isp_cpus_wanted() - how many processors a quota can fill
 * @percent: of one processor; 0: no quota
 * Return: 1 to @available.
 */
size_t isp_cpus_wanted(uint64_t percent, size_t available);

/**
 * isp_cpus_choose() - that many of the allowed ones, the least taken first
 * @first: where to begin among equals
 * @wanted: at most as many as are allowed
 */
void isp_cpus_choose(const cpu_set_t *allowed, const struct isp_cpus_taken *taken, size_t first,
		     size_t wanted, cpu_set_t *ret);

/** isp_cpus_note() - count the process @pid's processors as taken, unless it may use all. */
void isp_cpus_note(pid_t pid, bool is_own, struct isp_cpus_taken *taken);

/**
 * isp_cpus_narrow() - which of the caller's processors a quota of @percent is to be spent on
 * @ret_chosen: filled when the answer is true
 * Return: true when these are fewer than there are.
 */
bool isp_cpus_narrow(uint64_t percent, const struct isp_cpus_taken *taken, cpu_set_t *ret_chosen);

/** isp_cpus_list() - @cpus as the kernel writes lists, `0-2,5`, and a newline.
 * Return: 0; -EMSGSIZE. */
ISP_MUST_CHECK int isp_cpus_list(const cpu_set_t *cpus, char *ret_text, size_t size);

#endif
