/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * fake_shell.c - stands where ispawn-shell stands: says that it ran, or, run by root, becomes the
 * shell that it covers.
 */
#include "ispawn/base/path.h"

#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	(void)argc;
	if (getuid() == 0) {
		execv(ISPAWN_COVERED_SHELL, argv);
		perror(ISPAWN_COVERED_SHELL);
		return 126;
	}
	puts("ispawn-shell");
	return 0;
}
