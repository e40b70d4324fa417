/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ispawn-run-supervisor.c - the supervisor of a run
 *
 * For root it is a copy of the runner: both work for whoever has called, and nothing that the one
 * knows is a secret from the other, so that executing a program in between would be time spent on
 * nothing.  What the copy has no use for it forgets: variables and arguments may hold passwords,
 * and this process stays.
 *
 * For an ordinary user it is the program that logins have, see isp_launch_copy().
 */
#include "ispawn.h"

#include "ispawn-supervisor.h"

#include "ispawn/session/launch.h"

#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static char name[] = "ispawn-supervisor";

/* Wipes them.  Return: the end of those that lie one after the other, from @end on. */
static char *forget(char **strings, char *end)
{
	for (; strings && *strings; strings++) {
		size_t size = strlen(*strings) + 1;

		if (*strings == end)
			end += size;
		explicit_bzero(*strings, size);
	}
	return end;
}

/* Kernel: proc(5), cmdline: what is to be read there are the strings themselves, and beyond their
 * end those of the environment where the last byte is none that ends a string. */
static void rename_process(char *first, size_t size)
{
	if (size > 0)
		memcpy(first, name, size < sizeof(name) ? size - 1 : sizeof(name));
	(void)prctl(PR_SET_NAME, name); /* Ignored: cannot fail; cut to 15 bytes */
}

static int live(void *closure)
{
	char **argv = ((struct run *)closure)->argv;
	char *first = argv[0];
	char *end = forget(environ, forget(argv, first));

	environ = NULL;
	rename_process(first, (size_t)(end - first));
	return supervisor_live();
}

int supervisor_start(struct run *run, const struct isp_spec *spec, int *ret_control_fd,
		     struct isp_error *err)
{
	const struct isp_life life = {.live = live, .closure = run};

	if (spec->is_rootless)
		return isp_launch(spec, run->directory_fd, ret_control_fd, err);
	return isp_launch_copy(spec, run->directory_fd, &life, ret_control_fd, err);
}
