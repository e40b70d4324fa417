/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * journald.h - a line with its fields, for the journal of systemd
 *
 * Theory of operation: one datagram in journald's native protocol
 * (systemd.io/JOURNAL_NATIVE_PROTOCOL) over a socket that lives for this one line: nothing is kept,
 * so that the PAM module leaves nothing in the process it is a guest of, and a journald that was
 * started anew is no case of its own.  No library of systemd's is needed.  A login must not wait
 * for its log: nothing here blocks.  A journald that hangs has a full queue; the line then goes to
 * the syslog socket, whose queue is another one, and is lost when that is full, too.
 */
#ifndef ISPAWN_BASE_JOURNALD_H
#define ISPAWN_BASE_JOURNALD_H

#include "ispawn/base/line.h"

#define ISP_JOURNALD_SOCKET "/run/systemd/journal/socket"

/**
 * struct isp_journald_entry - what is sent
 * @identifier: SYSLOG_IDENTIFIER, the program; untrusted, is escaped
 * @priority:   as for syslog(3), without a facility: it is authpriv
 * @prefix:     before the line's text; "" for none
 */
struct isp_journald_entry {
	const char *identifier;
	int priority;
	const char *prefix;
	const struct isp_line *line;
};

/**
 * isp_journald_send() - give the line to journald
 * Return: 0: nothing is left to do; -errno: journald is not here, and syslog(3) is the log.
 */
ISP_MUST_CHECK int isp_journald_send(const struct isp_journald_entry *entry);

#endif
