/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * filtered COMMAND [ARG...] - execute a command that finds ispawn's default filter at descriptor 9
 *
 * For `bwrap --seccomp 9`, which reads such a descriptor once: a fresh one for each run, written by
 * a static program, costs what reading a file would.
 */
#include <linux/filter.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "seccomp_default.h"

enum { FILTER_FD = 9 };

int main(int argc, char **argv)
{
	int fd = memfd_create("filter", 0);

	if (argc < 2 || fd < 0 ||
	    write(fd, isp_seccomp_default, sizeof(isp_seccomp_default)) !=
		    (ssize_t)sizeof(isp_seccomp_default) ||
	    lseek(fd, 0, SEEK_SET) != 0 || dup2(fd, FILTER_FD) != FILTER_FD)
		return 125;
	(void)close(fd);
	(void)execvp(argv[1], argv + 1);
	perror("filtered: execvp");
	return 127;
}
