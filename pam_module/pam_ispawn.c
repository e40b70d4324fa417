/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * pam_ispawn.c - door 1: the PAM module's entry points
 *
 * A session opens in this order, and the order is the point:
 *   1. root, then members of ISPAWN_EXEMPT_GROUP, go through before anything is read that an
 *      administrator may have broken: they are the ones who can mend it.
 *   2. options, configuration, verdict.
 *   3. the supervisor builds; one answer within the deadline.
 *   4. only when the container stands is the application's thread moved (cover, network), so that
 *      a container that fails costs the application nothing.
 *   5. ISPAWN_SESSION, by which ispawn-shell finds the container, comes last.
 * Whatever fails denies, and leaves the application as it was.
 *
 * The module is for `session` lines only.  What has state is open and close; pitfall: sshd runs
 * authentication in another process than sessions.
 */
#include "module.h"

#include "ispawn/base/fd.h"
#include "ispawn/base/path.h"
#include "ispawn/policy/freeze.h"
#include "ispawn/session/launch.h"

#include <pthread.h>
#include <pwd.h>
#include <security/pam_ext.h>
#include <security/pam_modutil.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

/* Everything is hidden by the compiler's flags; the map then exports these and nothing else. */
#define ENTRY __attribute__((visibility("default")))

/* struct login - one call of open_session */
struct login {
	pam_handle_t *pamh;
	int flags;
	const char *user; /* untrusted until resolved; borrowed from PAM */
	struct isp_module_options options;
};

static const char *item(pam_handle_t *pamh, int type)
{
	const void *value = NULL;

	return pam_get_item(pamh, type, &value) == PAM_SUCCESS ? value : NULL;
}

/* Asked by itself and not of the subject: root must not depend on the lookup of his groups. */
static bool is_root(pam_handle_t *pamh, const char *user)
{
	const struct passwd *entry = pam_modutil_getpwnam(pamh, user);

	return entry && entry->pw_uid == 0;
}

static int deny(const struct login *login, enum isp_denial denial, const char *session,
		const struct isp_error *err)
{
	return isp_module_deny(login->pamh, login->flags, denial, login->user, session, err);
}

/* Tells ispawn-shell which container is meant: that of @session, or none when NULL. */
static int announce(pam_handle_t *pamh, const struct isp_module_session *session,
		    struct isp_error *err)
{
	char variable[sizeof(ISPAWN_SESSION_VARIABLE) + ISP_SESSION_ID_SIZE];

	/* libpam logs an error of its own when there is no such variable to take away. */
	if (!session && !pam_getenv(pamh, ISPAWN_SESSION_VARIABLE))
		return 0;
	(void)snprintf(variable, sizeof(variable), "%s%s%s", ISPAWN_SESSION_VARIABLE,
		       session ? "=" : "", session ? session->id : "");
	if (pam_putenv(pamh, variable) == PAM_SUCCESS)
		return 0;
	return isp_err_set(err, ENOMEM, ISP_STAGE_START,
			   "set " ISPAWN_SESSION_VARIABLE " in the PAM environment");
}

/* Steps 3 to 5.  On failure what has been done stands in @session, for finish(). */
static int build(pam_handle_t *pamh, struct isp_module_session *session,
		 const struct isp_spec *spec, const char *shell, struct isp_error *err)
{
	cleanup_close int net_fd = -EBADF;
	int r = isp_module_place_save(&session->place, err);

	if (r == 0)
		r = isp_launch(spec, -EBADF, &session->control_fd, err);
	if (r < 0)
		return r;
	r = isp_launch_await(session->control_fd, spec, &net_fd, err);
	if (r < 0) {
		/* Nothing stands that could be ended in order, and a supervisor that hangs would
		 * not confirm it. */
		isp_fd_close(&session->control_fd);
		return r;
	}
	r = isp_module_cover(shell, &session->place, err);
	if (r == 0 && spec->network != ISP_NETWORK_HOST)
		r = isp_module_place_join(&session->place, net_fd, err);
	return r < 0 ? r : announce(pamh, session, err);
}

static int go_back(pam_handle_t *pamh, struct isp_module_session *session)
{
	struct isp_error err = {0};
	int r = isp_module_place_restore(&session->place, &err);

	if (r < 0)
		isp_module_trouble(pamh, LOG_CRIT, session->user, session->id, &err);
	return r;
}

/* Ends the last session of the handle: first the thread goes back to where it was, then the
 * container ends. */
static int finish(pam_handle_t *pamh, struct isp_module_session *session)
{
	struct isp_error err = {0};
	int r = go_back(pamh, session);

	if (session->control_fd >= 0 && isp_launch_end(&session->control_fd, &err) < 0)
		isp_module_trouble(pamh, LOG_WARNING, session->user, session->id, &err);
	isp_ignore(announce(pamh, session->outer, &err)); /* the session it named is gone */
	isp_module_session_remove(pamh);
	return r;
}

/* Order: back first, so that the application's conversation runs where the application was. */
static int abandon(const struct login *login, struct isp_module_session *session,
		   const struct isp_error *err)
{
	int code;

	isp_ignore(go_back(login->pamh, session)); /* logged there, and denied anyway */
	code = deny(login, isp_denial_of_start(err), session->id, err);
	isp_ignore(finish(login->pamh, session)); /* likewise */
	return code;
}

static int confine(const struct login *login, const struct isp_spec *spec, const char *shell)
{
	struct isp_module_session *session = NULL;
	struct isp_error err = {0};
	int r = isp_module_session_add(login->pamh, &session, &err);

	if (r < 0)
		return deny(login, ISP_DENIAL_NOT_READY, spec->session, &err);
	memcpy(session->id, spec->session, sizeof(session->id));
	memcpy(session->user, spec->user, sizeof(session->user));
	r = build(login->pamh, session, spec, shell, &err);
	if (r < 0)
		return abandon(login, session, &err);
	if (login->options.is_debug)
		isp_module_debug(login->pamh, spec->user, spec->session, "opened");
	return PAM_SUCCESS;
}

static int decide(struct login *login, const struct isp_subject *subject, struct isp_error *err)
{
	cleanup_spec struct isp_spec spec = {0};
	enum isp_verdict verdict = ISP_VERDICT_DENY;

	if (isp_policy_freeze(login->options.config_path, subject, &verdict, &spec, err) < 0)
		return deny(login, ISP_DENIAL_UNDECIDED, NULL, err);
	switch (verdict) {
	case ISP_VERDICT_IGNORE:
		if (login->options.is_debug)
			isp_module_debug(login->pamh, subject->user, "-", "not confined");
		return PAM_IGNORE;
	case ISP_VERDICT_CONFINE:
		return confine(login, &spec, subject->shell);
	case ISP_VERDICT_DENY:
	default:
		isp_ignore(isp_err_set(err, EACCES, ISP_STAGE_POLICY,
				       "denied")); /* if no reason is set */
		return deny(login, ISP_DENIAL_POLICY, NULL, err);
	}
}

static int open_session(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	cleanup_subject struct isp_subject subject = {0};
	struct login login = {.pamh = pamh, .flags = flags};
	struct isp_error err = {0};
	int code = pam_get_user(pamh, &login.user, NULL);

	if (code != PAM_SUCCESS || !login.user) {
		isp_ignore(isp_err_set(&err, ENOENT, ISP_STAGE_SUBJECT, "ask PAM for the user: %s",
				       pam_strerror(pamh, code)));
		return deny(&login, ISP_DENIAL_UNDECIDED, NULL, &err);
	}
	if (is_root(pamh, login.user))
		return PAM_IGNORE;
	if (isp_subject_resolve(login.user, item(pamh, PAM_SERVICE), item(pamh, PAM_TTY),
				item(pamh, PAM_RHOST), &subject, &err) < 0)
		return deny(&login, ISP_DENIAL_UNDECIDED, NULL, &err);
	if (isp_subject_is_exempt(&subject))
		return PAM_IGNORE;
	if (isp_module_options(argc, argv, &login.options, &err) < 0)
		return deny(&login, ISP_DENIAL_UNDECIDED, NULL, &err);
	return decide(&login, &subject, &err);
}

static int close_session(pam_handle_t *pamh, int argc, const char **argv)
{
	struct isp_module_session *session = isp_module_session_last(pamh);
	struct isp_module_options options = {0};
	struct isp_error err = {0};

	if (!session)
		return PAM_IGNORE; /* as was the answer to open, for whoever was not confined */
	/* Ignored: open_session took these options, and ending must not depend on them. */
	isp_ignore(isp_module_options(argc, argv, &options, &err));
	if (options.is_debug)
		isp_module_debug(pamh, session->user, session->id, "closing");
	return finish(pamh, session) < 0 ? PAM_SESSION_ERR : PAM_SUCCESS;
}

/* A thread that is cancelled half way would leave a container, descriptors and itself in the wrong
 * namespaces behind: poll() and friends are cancellation points.  So cancellation waits. */
ENTRY int pam_sm_open_session(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	int before = PTHREAD_CANCEL_ENABLE;
	int code;

	(void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE,
				     &before); /* fails on bad values only */
	code = open_session(pamh, flags, argc, argv);
	(void)pthread_setcancelstate(before, NULL);
	return code;
}

ENTRY int pam_sm_close_session(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	int before = PTHREAD_CANCEL_ENABLE;
	int code;

	(void)flags;
	(void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
	code = close_session(pamh, argc, argv);
	(void)pthread_setcancelstate(before, NULL);
	return code;
}

/* The others exist so that a line of the wrong type has no say, instead of failing to load. */
#define HAS_NO_SAY(name)                                                                           \
	ENTRY int name(pam_handle_t *pamh, int flags, int argc, const char **argv)                 \
	{                                                                                          \
		(void)pamh;                                                                        \
		(void)flags;                                                                       \
		(void)argc;                                                                        \
		(void)argv;                                                                        \
		return PAM_IGNORE;                                                                 \
	}

HAS_NO_SAY(pam_sm_authenticate)
HAS_NO_SAY(pam_sm_setcred)
HAS_NO_SAY(pam_sm_acct_mgmt)
HAS_NO_SAY(pam_sm_chauthtok)
