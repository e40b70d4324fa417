/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cpus.c - choosing a container's processors; contract in ispawn/container/cpus.h */
#include "ispawn/container/cpus.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>

size_t isp_cpus_wanted(uint64_t percent, size_t available)
{
	uint64_t wanted = percent / 100 + (percent % 100 != 0);

	return percent == 0 || wanted > available ? available : (size_t)wanted;
}

/* The least taken one that is allowed and not chosen yet; CPU_SETSIZE when there is none. */
static size_t least_taken(const cpu_set_t *allowed, const cpu_set_t *chosen,
			  const struct isp_cpus_taken *taken, size_t first)
{
	size_t best = CPU_SETSIZE;

	for (size_t i = 0; i < CPU_SETSIZE; i++) {
		size_t cpu = (first + i) % CPU_SETSIZE;

		if (!CPU_ISSET(cpu, allowed) || CPU_ISSET(cpu, chosen))
			continue;
		if (best == CPU_SETSIZE || taken->count[cpu] < taken->count[best])
			best = cpu;
	}
	return best;
}

static bool is_within(const cpu_set_t *some, const cpu_set_t *all)
{
	cpu_set_t both;

	CPU_AND(&both, some, all);
	return CPU_EQUAL(&both, some);
}

void isp_cpus_choose(const cpu_set_t *allowed, const struct isp_cpus_taken *taken, size_t first,
		     size_t wanted, cpu_set_t *ret)
{
	if ((size_t)CPU_COUNT(&taken->own) == wanted && is_within(&taken->own, allowed)) {
		*ret = taken->own;
		return;
	}
	CPU_ZERO(ret);
	for (size_t i = 0; i < wanted; i++) {
		size_t cpu = least_taken(allowed, ret, taken, first);

		if (cpu < CPU_SETSIZE)
			CPU_SET(cpu, ret);
	}
}

void isp_cpus_note(pid_t pid, bool is_own, struct isp_cpus_taken *taken)
{
	cpu_set_t mine, theirs;

	/* Ignored: a session that is just ending, or a machine with more processors than a mask of
	 * this size holds. */
	if (sched_getaffinity(0, sizeof(mine), &mine) != 0 ||
	    sched_getaffinity(pid, sizeof(theirs), &theirs) != 0 || CPU_EQUAL(&mine, &theirs))
		return;
	if (is_own)
		taken->own = theirs;
	for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &theirs))
			taken->count[cpu]++;
}

bool isp_cpus_narrow(uint64_t percent, const struct isp_cpus_taken *taken, cpu_set_t *ret_chosen)
{
	cpu_set_t allowed;
	size_t available, wanted;
	int current = sched_getcpu();

	if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0)
		return false;
	available = (size_t)CPU_COUNT(&allowed);
	wanted = isp_cpus_wanted(percent, available);
	if (wanted >= available)
		return false;
	isp_cpus_choose(&allowed, taken, current < 0 ? 0 : (size_t)current, wanted, ret_chosen);
	return true;
}

int isp_cpus_list(const cpu_set_t *cpus, char *ret_text, size_t size)
{
	size_t used = 0;

	for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		size_t last = cpu;
		int n;

		if (!CPU_ISSET(cpu, cpus))
			continue;
		while (last + 1 < CPU_SETSIZE && CPU_ISSET(last + 1, cpus))
			last++;
		n = snprintf(ret_text + used, size - used, last > cpu ? "%s%zu-%zu" : "%s%zu",
			     used ? "," : "", cpu, last);
		if (n < 0 || (size_t)n + 1 >= size - used)
			return -EMSGSIZE;
		used += (size_t)n;
		cpu = last;
	}
	ret_text[used++] = '\n';
	ret_text[used] = '\0';
	return 0;
}
