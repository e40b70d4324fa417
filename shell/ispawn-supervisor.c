/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ispawn-supervisor - the host-side process of one session
 *
 * Runs as host root, or for ispawn(1) as an ordinary user who is root of a user namespace of his
 * own (spec: is_rootless), started by a door with an empty environment.  It is a program and not a
 * copy of the door, because a copy of sshd would hold its memory, host keys included; ispawn(1) as
 * root has nothing to hide from it, and lives the same life in a copy of itself.
 */
#include "ispawn-supervisor.h"

int main(void)
{
	return supervisor_live();
}
