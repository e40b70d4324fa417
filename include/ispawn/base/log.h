/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * log.h - one line to the system log
 *
 * Theory of operation: only mains, the supervisor's top level and the PAM module log; everything
 * below returns an error record.  A line goes to journald with its fields where journald is, to
 * syslog(3) elsewhere, with the same text.  The facility is LOG_AUTHPRIV, as sshd's and pam_unix's.
 * openlog() is static state of the process, so the PAM module must not use this file: it has
 * isp_journald_send() and pam_syslog(3).
 */
#ifndef ISPAWN_BASE_LOG_H
#define ISPAWN_BASE_LOG_H

#include "ispawn/base/line.h"

#include <syslog.h>

/** isp_log_open() - name the program, which is kept by reference. */
void isp_log_open(const char *program);

/** isp_log_mute() - no line any more: the log is the administrator's, and this is no session of
 * his. */
void isp_log_mute(void);

/** isp_log() - one line; @priority as for syslog(3). */
void isp_log(int priority, const struct isp_line *line);

#endif
