/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * denial.h - what is said when a door lets nobody in
 *
 * Theory of operation: every door refuses in the same words.  The log gets the cause, as an error
 * record, in one line.  The user gets a sentence without details, which may tell too much about the
 * host, and the session's id, by which the administrator finds that line.  How a line and a
 * sentence travel is the door's business.
 */
#ifndef ISPAWN_SESSION_DENIAL_H
#define ISPAWN_SESSION_DENIAL_H

#include "ispawn/base/line.h"

#define ISP_DENIAL_SENTENCE_SIZE 240

/** enum isp_denial - what kind of refusal it is: sentence and priority follow. */
enum isp_denial {
	ISP_DENIAL_UNDECIDED, /* user, options or configuration could not be read */
	ISP_DENIAL_POLICY,    /* decided: not in this service */
	ISP_DENIAL_LIMIT,     /* decided: too many sessions */
	ISP_DENIAL_NOT_READY, /* to be confined, and that failed */
	ISP_DENIAL_COUNT,
};

/** isp_denial_of_start() - which one is it when the supervisor reports @err? */
enum isp_denial isp_denial_of_start(const struct isp_error *err);

/** isp_denial_priority() - of its log line, as for syslog(3). */
int isp_denial_priority(enum isp_denial denial);

/**
 * isp_denial_line() - `session=ID user="NAME" stage=...: cause`
 * @event:   the line's ISPAWN_EVENT: "denied", or "trouble" where nobody was denied
 * @user:    untrusted; NULL is taken as ""
 * @session: its id; NULL or "" before there is one
 * @line:    starts as {0}
 */
void isp_denial_line(const char *event, const char *user, const char *session,
		     const struct isp_error *err, struct isp_line *line);

/** isp_denial_sentence() - for the user. @session: as above */
void isp_denial_sentence(enum isp_denial denial, const char *session,
			 char ret_sentence[ISP_DENIAL_SENTENCE_SIZE]);

#endif
