/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * session.c - what lives from open to close; contract in module.h
 *
 * PAM data is looked up by name, and setting a name again destroys what it held.  So one list is
 * set once for a handle, and sessions come and go in it: an application may open two.
 */
#include "module.h"

#include "ispawn/base/fd.h"

#include <stdlib.h>

#define DATA_NAME "ispawn_sessions"

struct sessions {
	struct isp_module_session *last;
};

static void session_free(struct isp_module_session *session)
{
	isp_fd_close(&session->control_fd);
	isp_module_place_close(&session->place);
	free(session);
}

/* libpam calls this when the handle ends, in whatever process that happens: in the application,
 * which ends its sessions by it (end of file), and in its children, which only let go of copies.
 * So it closes and frees, and does not go back to the namespaces of before: those who end a handle
 * without closing its session are about to go, and a child may still be needed where it is. */
static void sessions_free(pam_handle_t *pamh, void *data, int status)
{
	struct sessions *sessions = data;

	(void)pamh;
	(void)status;
	while (sessions->last) {
		struct isp_module_session *session = sessions->last;

		sessions->last = session->outer;
		session_free(session);
	}
	free(sessions);
}

static struct sessions *sessions_of(pam_handle_t *pamh)
{
	const void *data = NULL;

	if (pam_get_data(pamh, DATA_NAME, &data) != PAM_SUCCESS)
		return NULL;
	/* const is the interface's way of saying whose it is; it is ours. */
	return (struct sessions *)(uintptr_t)data;
}

int isp_module_session_add(pam_handle_t *pamh, struct isp_module_session **ret_session,
			   struct isp_error *err)
{
	cleanup_free struct isp_module_session *session = calloc(1, sizeof(*session));
	struct sessions *sessions = sessions_of(pamh);

	if (!session)
		return isp_err_set(err, ENOMEM, ISP_STAGE_START, "remember the session");
	if (!sessions) {
		cleanup_free struct sessions *fresh = calloc(1, sizeof(*fresh));

		if (!fresh || pam_set_data(pamh, DATA_NAME, fresh, sessions_free) != PAM_SUCCESS)
			return isp_err_set(err, ENOMEM, ISP_STAGE_START, "remember the session");
		sessions = steal_pointer(&fresh);
	}
	session->control_fd = -EBADF;
	session->place = (struct isp_module_place)ISP_MODULE_NO_PLACE;
	session->outer = sessions->last;
	sessions->last = session;
	*ret_session = steal_pointer(&session);
	return 0;
}

struct isp_module_session *isp_module_session_last(pam_handle_t *pamh)
{
	struct sessions *sessions = sessions_of(pamh);

	return sessions ? sessions->last : NULL;
}

void isp_module_session_remove(pam_handle_t *pamh)
{
	struct sessions *sessions = sessions_of(pamh);
	struct isp_module_session *session = sessions ? sessions->last : NULL;

	if (!session)
		return;
	sessions->last = session->outer;
	session_free(session);
}
