/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * loop COUNT [filtered] - nanoseconds per system call, of the cheapest one there is
 *
 * Static, so that the same file runs on the host and in a container.  What a filter costs is seen
 * here at its worst: every real call does more than getppid.  "filtered" first loads the shortest
 * filter that there can be, one that allows everything: what the kernel takes for having any.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int load_filter(void)
{
	struct sock_filter allow[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
	struct sock_fprog program = {.len = 1, .filter = allow};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return -1;
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}

int main(int argc, char **argv)
{
	long count = argc >= 2 ? strtol(argv[1], NULL, 10) : 0;
	struct timespec from, to;

	if (count <= 0 || (argc == 3 && load_filter() != 0))
		return 2;
	(void)clock_gettime(CLOCK_MONOTONIC, &from);
	for (long i = 0; i < count; i++)
		(void)syscall(SYS_getppid);
	(void)clock_gettime(CLOCK_MONOTONIC, &to);
	(void)printf("%.2f\n", ((double)(to.tv_sec - from.tv_sec) * 1e9 +
				(double)(to.tv_nsec - from.tv_nsec)) /
				       (double)count);
	return 0;
}
