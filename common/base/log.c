/* SPDX-License-Identifier: GPL-3.0-or-later */
/* log.c - one line to the system log; contract in ispawn/base/log.h */
#include "ispawn/base/log.h"

#include <stdarg.h>

void isp_log_open(const char *program, bool to_stderr)
{
	/* LOG_NDELAY: the socket is opened now, on the host, and not when a first line is due. */
	openlog(program, LOG_PID | LOG_NDELAY | (to_stderr ? LOG_PERROR : 0), LOG_AUTHPRIV);
}

void isp_log_mute(void)
{
	/* Kernel's own priority, which nothing here uses: a mask of 0 would change nothing. */
	(void)setlogmask(LOG_MASK(LOG_EMERG));
	closelog();
}

void isp_log(int priority, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsyslog(priority, fmt, args);
	va_end(args);
}
