/* SPDX-License-Identifier: GPL-3.0-or-later */
/* denial.c - what is said when a door lets nobody in; contract in ispawn/session/denial.h */
#include "ispawn/session/denial.h"

#include "ispawn/base/parse.h"

#include <errno.h>
#include <stdio.h>
#include <syslog.h>

static const struct {
	int priority;
	const char *sentence;
} outcomes[] = {
	[ISP_DENIAL_UNDECIDED] = {LOG_ERR, "the rules for this account could not be read"},
	[ISP_DENIAL_POLICY] = {LOG_NOTICE, "this account may not use this service"},
	[ISP_DENIAL_LIMIT] = {LOG_NOTICE, "this account has as many sessions open as it may have"},
	[ISP_DENIAL_NOT_READY] = {LOG_ERR, "the container could not be made ready"},
};
_Static_assert(sizeof(outcomes) / sizeof(outcomes[0]) == ISP_DENIAL_COUNT,
	       "every denial has an outcome");

/* EUSERS is the supervisor's word for `sessions` of ispawn.conf. */
enum isp_denial isp_denial_of_start(const struct isp_error *err)
{
	return err->code == EUSERS ? ISP_DENIAL_LIMIT : ISP_DENIAL_NOT_READY;
}

int isp_denial_priority(enum isp_denial denial)
{
	return outcomes[denial].priority;
}

void isp_denial_line(const char *event, const char *user, const char *session,
		     const struct isp_error *err, struct isp_line *line)
{
	isp_line_add(line, "session", "%s", session && session[0] ? session : "-");
	isp_line_note(line, "event", event);
	isp_line_quote(line, "user", user ? user : "", 4 * ISP_NAME_MAX + 1);
	isp_line_error(line, err);
}

void isp_denial_sentence(enum isp_denial denial, const char *session,
			 char ret_sentence[ISP_DENIAL_SENTENCE_SIZE])
{
	char which[ISP_SESSION_ID_SIZE + 16] = "";

	if (session && session[0])
		(void)snprintf(which, sizeof(which), " (session %s)", session); /* fits */
	(void)snprintf(ret_sentence, ISP_DENIAL_SENTENCE_SIZE,
		       "Login denied: %s%s. The system log has the reason.",
		       outcomes[denial].sentence, which); /* fits */
}
