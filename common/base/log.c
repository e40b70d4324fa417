/* SPDX-License-Identifier: GPL-3.0-or-later */
/* log.c - one line to the system log; contract in ispawn/base/log.h */
#include "ispawn/base/log.h"

#include "ispawn/base/journald.h"

/* What openlog(3) keeps as well, and does not tell. */
static const char *name;
static bool is_muted;

void isp_log_open(const char *program)
{
	name = program;
	/* LOG_NDELAY: the socket is opened now, on the host, and not when a first line is due. */
	openlog(program, LOG_PID | LOG_NDELAY, LOG_AUTHPRIV);
}

void isp_log_mute(void)
{
	is_muted = true;
	closelog();
}

void isp_log(int priority, const struct isp_line *line)
{
	const struct isp_journald_entry entry = {
		.identifier = name, .priority = priority, .prefix = "", .line = line};

	if (!is_muted && isp_journald_send(&entry) < 0)
		syslog(priority, "%s", line->text);
}
