/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ispawn-supervisor.h - what whoever becomes a supervisor has to know
 *
 * Theory of operation: a supervisor finds these descriptors, closes all others, and needs nothing
 * else of whoever started it:
 *
 *	0 1 2	something, /dev/null as a rule
 *	3	the socket to the door, whose end of file ends the session
 *	4	the frozen spec, a sealed memfd
 *	5	a pidfd of the PAM application (may be closed: then the socket alone counts)
 *	6	the directory that is run in place; closed where the spec names none
 *
 * It reads no configuration.  It answers READY, or FAILED when everything it had begun is undone.
 */
#ifndef ISPAWN_SHELL_ISPAWN_SUPERVISOR_H
#define ISPAWN_SHELL_ISPAWN_SUPERVISOR_H

#include "ispawn/base/err.h"

/**
 * supervisor_live() - build, guard and clean up one session
 * Runs as: host root, or root of an ordinary user's own namespace; once in a process.
 * Return: the exit status.
 */
ISP_MUST_CHECK int supervisor_live(void);

#endif
