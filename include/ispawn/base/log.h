/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * log.h - one line to the system log
 *
 * Theory of operation: only mains, the supervisor's top level and the PAM module log; everything
 * below returns an error record.  A line is `key=value` words, untrusted values quoted and escaped
 * by isp_escape().  The facility is LOG_AUTHPRIV, as sshd's and pam_unix's.  openlog() is static
 * state of the process, so the PAM module must not use this file: it has pam_syslog(3).
 */
#ifndef ISPAWN_BASE_LOG_H
#define ISPAWN_BASE_LOG_H

#include "ispawn/base/err.h"

#include <syslog.h>

/** isp_log_open() - name the program; @to_stderr also prints there (debugging). */
void isp_log_open(const char *program, bool to_stderr);

/** isp_log_mute() - no line any more: the log is the administrator's, and this is no session of
 * his. */
void isp_log_mute(void);

/** isp_log() - one line; @priority as for syslog(3). */
void isp_log(int priority, const char *fmt, ...) ISP_PRINTF(2, 3);

#endif
