/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ispawn - door 3: run a directory as a container, and a command in it
 *
 * Runs as host root or as an ordinary user, by hand or from a script, and is not setuid.  Its life
 * in order:
 *
 *	1. the command line, the directory (opened once), the policy: a spec
 *	   and for an ordinary user: a user namespace of his own, in which he is root
 *	2. the supervisor builds, as it does for a login; init inside answers to nobody but it
 *	3. when it stands, a request to init names the command
 *	4. from here on what ispawn-shell does for a login is done here: bytes, window size,
 *	   signals, status
 *	5. with the command the container ends, in order: when we are gone, no process and no mount
 *	   of it is left, and its cgroup and entry go a moment later
 *
 * Whatever ends this process ends the container: its end of the control socket is the lifetime.
 *
 * Threat: everything that comes out of the container, the exit status included; see
 * ispawn-shell-relay.c.  The directory and what is in it: see ispawn-run-directory.c.
 */
#include "ispawn.h"

#include "ispawn-shell.h"

#include "ispawn/base/fd.h"
#include "ispawn/session/launch.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

void warn(const char *fmt, ...)
{
	va_list args;

	/* Ignored, all: what cannot be said on stderr cannot be reported either. */
	(void)fputs("ispawn: ", stderr);
	va_start(args, fmt);
	(void)vfprintf(stderr, fmt, args);
	va_end(args);
	(void)fputc('\n', stderr);
}

/* --- start ------------------------------------------------------------------------------------ */

/* The text was escaped when it was recorded.  Of what was typed wrongly, or asks for what cannot
 * be, it says all there is. */
static int refuse(const struct isp_error *err)
{
	if (err->stage == ISP_STAGE_CONFIG || err->stage == ISP_STAGE_SUBJECT ||
	    err->stage == ISP_STAGE_POLICY)
		warn("%s", err->text);
	else
		warn("%s: %s", err->text, strerror(err->code));
	return STATUS_OURS;
}

static int check_caller(struct isp_error *err)
{
	if (getuid() != geteuid() || getgid() != getegid())
		return isp_err_set(err, EPERM, ISP_STAGE_START,
				   "ispawn must not be setuid or setgid; it has no use for it");
	return 0;
}

/* Order: signals first.  Before, one ends us, and with us all that was begun; the command must not
 * run yet then, for whom it could have been meant. */
static int ask(const struct run *run, struct shell *shell, const bool *is_closed,
	       struct isp_error *err)
{
	int r = relay_open_signals(shell);

	if (r < 0)
		r = isp_err_set(err, -r, ISP_STAGE_TENANT, "signalfd");
	if (r == 0)
		r = streams_plan(shell, is_closed, err);
	if (r == 0)
		r = streams_ask(shell, run->command_count, run->command, err);
	if (r < 0)
		isp_launch_cancel(&shell->door_fd);
	return r;
}

/* The supervisor has the directory now, and we need no network of the container's. */
static int build(struct run *run, const struct isp_spec *spec, struct shell *shell,
		 const bool *is_closed, struct isp_error *err)
{
	cleanup_close int net_fd = -EBADF;
	int r = supervisor_start(run, spec, &shell->door_fd, err);

	isp_fd_close(&run->directory_fd);
	memcpy(shell->session, spec->session, sizeof(shell->session));
	if (r == 0)
		r = isp_launch_connect(shell->door_fd, &shell->connection_fd, err);
	if (r == 0)
		r = isp_launch_await(shell->door_fd, spec, &net_fd, err);
	return r < 0 ? r : ask(run, shell, is_closed, err);
}

static int begin(struct run *run, struct shell *shell, const bool *is_closed, struct isp_error *err)
{
	cleanup_spec struct isp_spec spec = {.uid = 0};
	int r = check_caller(err);

	if (r == 0)
		r = directory_open(run, err);
	if (r == 0)
		r = policy_freeze(run, &spec, err);
	if (r == 0 && getuid() != 0)
		r = rootless_enter(run, &spec, err);
	if (r == 0)
		r = build(run, &spec, shell, is_closed, err);
	return r;
}

/* --- how it ends ------------------------------------------------------------------------------ */

static int tell_exit(const struct run *run, int status)
{
	if (!run->is_quiet)
		(void)fprintf(stderr, "exited with status %d\n", status); /* Ignored: see warn() */
	return status;
}

static int tell_signal(const struct run *run, int number)
{
	const char *name = sigabbrev_np(number);

	if (!run->is_quiet && name)
		(void)fprintf(stderr, "killed by signal SIG%s (%d)\n", name, number);
	else if (!run->is_quiet)
		(void)fprintf(stderr, "killed by signal %d (%d)\n", number, number);
	return 128 + number;
}

static int tell_tenant(const struct run *run, const struct ending *ending)
{
	if (WIFEXITED(ending->value))
		return tell_exit(run, WEXITSTATUS(ending->value));
	return WIFSIGNALED(ending->value) ? tell_signal(run, WTERMSIG(ending->value)) : STATUS_OURS;
}

static int tell_refused(const struct run *run, const struct ending *ending)
{
	char command[80], escaped[ISP_ERROR_TEXT_SIZE * 2];
	bool is_about_command = ending->value == 126 || ending->value == 127;

	isp_escape(command, sizeof(command), run->command[0]);
	isp_escape(escaped, sizeof(escaped), ending->error.text);
	warn("%s: %s", is_about_command ? command : escaped, strerror(ending->error.code));
	return is_about_command ? ending->value : STATUS_OURS;
}

static int tell(const struct run *run, const struct ending *ending)
{
	char escaped[ISP_MESSAGE_TEXT_SIZE * 2];

	if (ending->notice[0]) {
		isp_escape(escaped, sizeof(escaped), ending->notice);
		warn("%s", escaped);
	}
	switch (ending->outcome) {
	case OUTCOME_EXITED:
		return tell_tenant(run, ending);
	case OUTCOME_REFUSED:
		return tell_refused(run, ending);
	case OUTCOME_HANGUP:
		return tell_signal(run, SIGHUP); /* the container's end, or the caller's */
	case OUTCOME_LOST:
		break;
	}
	warn("the container has ended");
	return STATUS_OURS;
}

static int run_container(struct run *run, const bool *is_closed)
{
	static struct shell shell; /* zeroed: what no channel uses is never touched */
	static struct ending ending;
	struct isp_error err = {0};

	shell.connection_fd = shell.signal_fd = shell.primary_fd = shell.terminal.fd = -EBADF;
	shell.door_fd = -EBADF;
	shell.is_command = true;
	shell.directory = run->working_directory ? run->working_directory : "/";
	if (begin(run, &shell, is_closed, &err) < 0)
		return refuse(&err);
	relay_run(&shell, &ending);
	terminal_restore(&shell.terminal);
	if (isp_launch_end(&shell.door_fd, &err) < 0)
		(void)refuse(&err); /* the command's status is what counts */
	return tell(run, &ending);
}

int main(int argc, char **argv)
{
	static struct run run = {.directory_fd = -EBADF};
	bool is_closed[ISP_REQUEST_STREAMS];
	struct isp_error err = {0};
	int status;

	/* Order: first, so that no descriptor of ours can become a standard one. */
	if (streams_hold(is_closed) < 0)
		return STATUS_OURS;
	run.argv = argv;
	if (options_parse(argc, argv, &run, &err) < 0)
		status = refuse(&err);
	else if (run.wants_help || !run.command)
		status = options_print_help() < 0 ? STATUS_OURS : 0;
	else
		status = run_container(&run, is_closed);
	options_free(&run);
	return status;
}
