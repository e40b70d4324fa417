/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ispawn-supervisor-life.c - the life of a supervisor in order; each step's work is in common/
 *
 * Whoever starts it has left open what ispawn-supervisor.h says.
 */
#include "ispawn-supervisor.h"

#include "ispawn/base/fd.h"
#include "ispawn/base/log.h"
#include "ispawn/base/sys.h"
#include "ispawn/container/caps.h"
#include "ispawn/session/supervise.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>

enum { DOOR_FD = 3, SPEC_FD = 4, APPLICATION_FD = 5, DIRECTORY_FD = 6, FIRST_FREE_FD = 7 };

static int take_descriptors(struct isp_supervisor *s, struct isp_error *err)
{
	/* Order: first of all, so that the door hears of whatever fails.  Was it never opened, then
	 * sending to it fails, and the log is told instead. */
	s->door_fd = DOOR_FD;
	for (int fd = 0; fd < FIRST_FREE_FD; fd++)
		if (fcntl(fd, F_GETFD) < 0 && fd < APPLICATION_FD)
			return isp_err_set(
				err, EBADF, ISP_STAGE_START,
				"descriptor %d is closed: ispawn-supervisor is started by "
				"pam_ispawn, not by hand",
				fd);
	if (isp_sys_close_range(FIRST_FREE_FD, ~0u, 0) != 0)
		return isp_err_set(err, errno, ISP_STAGE_START, "close_range (Linux 5.9)");
	s->spec_fd = SPEC_FD;
	if (fcntl(APPLICATION_FD, F_SETFD, FD_CLOEXEC) == 0)
		s->application_fd = APPLICATION_FD;
	if (fcntl(DIRECTORY_FD, F_SETFD, FD_CLOEXEC) == 0)
		s->directory_fd = DIRECTORY_FD;
	if (fcntl(DOOR_FD, F_SETFD, FD_CLOEXEC) != 0 || fcntl(SPEC_FD, F_SETFD, FD_CLOEXEC) != 0)
		return isp_err_set(err, errno, ISP_STAGE_START, "set close-on-exec");
	return 0;
}

static int read_spec(struct isp_supervisor *s, struct isp_error *err)
{
	int r = isp_fd_memfd_read(s->spec_fd, ISP_SPEC_SIZE_MAX, &s->spec_bytes, &s->spec_size);

	if (r < 0)
		return isp_err_set(err, -r, ISP_STAGE_SPEC, "read the spec (a sealed memfd)");
	r = isp_spec_decode(s->spec_bytes, s->spec_size, &s->spec, err);
	if (r == 0 && (s->spec.directory[0] != '\0') != (s->directory_fd >= 0))
		r = isp_err_set(err, EPROTO, ISP_STAGE_SPEC,
				"a directory without its descriptor, or the other way round");
	return r;
}

/* The login's soft limit may be too low for as many connections as there may be: accept(2) would
 * fail, and poll(2) report the same connection for ever. */
static int allow_descriptors(struct isp_error *err)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) != 0)
		return isp_err_set(err, errno, ISP_STAGE_START, "read the limit of open files");
	files.rlim_cur = files.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &files) != 0)
		return isp_err_set(err, errno, ISP_STAGE_START, "raise the limit of open files");
	return 0;
}

/* A process of its own: not of the login's terminal, directory, cgroup or signals. */
static int leave_login(struct isp_supervisor *s, struct isp_error *err)
{
	sigset_t all, ending;

	(void)setsid();   /* Ignored: EPERM when the door has done it */
	(void)umask(022); /* what is to be narrower says so */
	(void)sigfillset(&all);
	(void)sigemptyset(&ending);
	(void)sigaddset(&ending, SIGTERM);
	(void)sigaddset(&ending, SIGINT);
	/* A SIGCHLD inherited as ignored would reap the builder behind our back. */
	(void)signal(SIGCHLD, SIG_DFL);
	if (chdir("/") != 0 || sigprocmask(SIG_SETMASK, &all, NULL) != 0 ||
	    prctl(PR_SET_DUMPABLE, 0) != 0)
		return isp_err_set(err, errno, ISP_STAGE_START, "leave the login's surroundings");
	s->signal_fd = signalfd(-1, &ending, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->signal_fd < 0)
		return isp_err_set(err, errno, ISP_STAGE_START, "make a signalfd");
	return s->spec.is_unlimited ? 0 : isp_cgroup_leave_login(err);
}

static int start(struct isp_supervisor *s, struct isp_error *err)
{
	int r = take_descriptors(s, err);

	/* Order: the log's own descriptor must not be among those just closed. */
	isp_log_open("ispawn-supervisor");
	if (r == 0)
		r = read_spec(s, err);
	/* Its user and its ids are those of the user's own namespace: to whoever reads the host's
	 * log they would be somebody else's. */
	if (r == 0 && s->spec.is_rootless)
		isp_log_mute();
	if (r == 0)
		r = leave_login(s, err);
	if (r == 0)
		r = allow_descriptors(err);
	if (r == 0)
		r = isp_caps_apply(isp_caps_supervisor_build(), isp_caps_supervisor_build(), err);
	if (r == 0)
		r = isp_session_start(s, err);
	/* From here on the only right that is needed is to signal the user's processes. */
	if (r == 0)
		r = isp_caps_apply(isp_caps_supervisor_rest(), isp_caps_supervisor_rest(), err);
	if (r == 0)
		r = isp_caps_verify(isp_caps_supervisor_rest(), isp_caps_supervisor_rest(), err);
	return r;
}

static int report_ready(struct isp_supervisor *s, struct isp_error *err)
{
	struct isp_message ready = {.type = ISP_MESSAGE_READY};
	int r = isp_message_send(s->door_fd, &ready, &s->netns_fd, s->netns_fd >= 0 ? 1 : 0, 0);

	return r < 0 ? isp_err_set(err, -r, ISP_STAGE_START, "report READY to the door") : 0;
}

/* The door logs what it hears; what it cannot hear any more is logged here. */
static int deny(struct isp_supervisor *s, const struct isp_error *err)
{
	struct isp_message failed = {.type = ISP_MESSAGE_FAILED, .error = *err};
	struct isp_error trouble = {0};

	if (isp_session_finish(s, &trouble) < 0)
		isp_journal_trouble(s, &trouble);
	if (s->door_fd < 0 || isp_message_send(s->door_fd, &failed, NULL, 0, 0) < 0)
		isp_journal_denied(s, err);
	return 1;
}

int supervisor_live(void)
{
	static struct isp_supervisor supervisor;
	struct isp_error err = {0};

	isp_supervisor_init(&supervisor);
	if (start(&supervisor, &err) < 0 || report_ready(&supervisor, &err) < 0)
		return deny(&supervisor, &err);
	isp_session_settle(&supervisor);
	isp_journal_start(&supervisor);
	isp_session_admit(&supervisor);
	isp_fd_close(&supervisor.netns_fd); /* the application holds it, for as long as it lives */
	if (isp_registry_sweep(NULL, ISP_SWEEP_OTHERS_MS, NULL, &err) < 0)
		isp_journal_trouble(&supervisor, &err);
	isp_session_supervise(&supervisor);
	err = (struct isp_error){0};
	if (isp_session_finish(&supervisor, &err) < 0)
		isp_journal_trouble(&supervisor, &err);
	isp_session_tell_closed(&supervisor);
	return 0;
}
