/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * loop COUNT - nanoseconds per system call, of the cheapest one there is
 *
 * Static, so that the same file runs on the host and in a container.  What a filter costs is seen
 * here at its worst: every real call does more than getppid.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	long count = argc == 2 ? strtol(argv[1], NULL, 10) : 0;
	struct timespec from, to;

	if (count <= 0)
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
