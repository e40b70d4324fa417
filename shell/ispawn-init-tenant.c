/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ispawn-init-tenant.c - from an OPEN to a running program
 *
 * Runs as PID 1 of the container, with the tenant's own identity; the child below is the tenant
 * from its first instruction, so nothing here is a privilege boundary.  What it owes the tenant is
 * what a login owes it: a session of its own, a terminal that exists inside, clean signals, the
 * three standard descriptors and no other, and the environment of the spec.
 */
#include "ispawn-init.h"

#include "ispawn/base/sys.h"
#include "ispawn/session/environment.h"
#include "ispawn/session/request.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#define TTY_NAME_SIZE 32

/* What the child writes when it does not become a program. */
enum step { STEP_PREPARE, STEP_DIRECTORY, STEP_EXECUTE };
struct report {
	int32_t error;
	uint32_t step;
};

/* What the child needs, gathered before the fork. */
struct start {
	const struct init *init;
	const struct isp_request *request;
	const int *passed_fds;
	int peer_fd; /* -EBADF without a pty */
	char tty_name[TTY_NAME_SIZE];
};

/* Kernel: TIOCGPTPEER since Linux 4.13, ioctl_tty(2): the peer of this very pty, whatever has been
 * mounted over /dev/pts. */
static int open_pty(const struct isp_request *request, struct isp_tenant *tenant,
		    struct isp_error *err)
{
	int unlock = 0;

	tenant->primary_fd = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (tenant->primary_fd < 0)
		return isp_err_set(err, errno, ISP_STAGE_TENANT, "open /dev/ptmx inside");
	if (ioctl(tenant->primary_fd, TIOCSPTLCK, &unlock) != 0)
		return isp_err_set(err, errno, ISP_STAGE_TENANT, "unlock the pty");
	tenant->peer_fd = ioctl(tenant->primary_fd, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (tenant->peer_fd < 0)
		return isp_err_set(err, errno, ISP_STAGE_TENANT, "open the pty's inner side");
	if (tcsetattr(tenant->peer_fd, TCSANOW, &request->termios) != 0 ||
	    ioctl(tenant->primary_fd, TIOCSWINSZ, &request->winsize) != 0)
		return isp_err_set(err, errno, ISP_STAGE_TENANT, "set the pty's modes and size");
	return 0;
}

static void name_pty(int primary_fd, char ret_name[TTY_NAME_SIZE])
{
	unsigned int number = 0;

	ret_name[0] = '\0';
	if (ioctl(primary_fd, TIOCGPTN, &number) == 0)
		(void)snprintf(ret_name, TTY_NAME_SIZE, "/dev/pts/%u", number);
}

/* --- the child, from fork to exec ------------------------------------------------------------- */

/* An ignored signal stays ignored through exec: nohup-like surprises for every tenant. */
static int reset_signals(void)
{
	sigset_t none;

	if (isp_sys_default_signals() != 0)
		return -errno;
	(void)sigemptyset(&none);
	return sigprocmask(SIG_SETMASK, &none, NULL) != 0 ? -errno : 0;
}

/* The container's own device: init's 0, 1 and 2 were opened by somebody else. */
static int place_null(int number)
{
	cleanup_close int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	return null_fd < 0 ? -1 : dup2(null_fd, number);
}

/* init's 0, 1 and 2 are open and all else is above them, so no dup2 hits a source. */
static int place_stream(const struct start *start, int number, size_t *passed)
{
	int r = 0;

	switch (start->request->streams[number]) {
	case ISP_STREAM_NULL:
		r = place_null(number);
		break;
	case ISP_STREAM_PASSED:
		r = dup2(start->passed_fds[(*passed)++], number);
		break;
	case ISP_STREAM_TTY:
		r = dup2(start->peer_fd, number);
		break;
	case ISP_STREAM_CLOSED:
	case ISP_STREAM_COUNT:
		(void)close(number);
		break;
	}
	return r < 0 ? -errno : 0;
}

static int place_streams(const struct start *start)
{
	size_t passed = 0;
	int r = 0;

	for (int number = 0; r == 0 && number < ISP_REQUEST_STREAMS; number++)
		r = place_stream(start, number, &passed);
	if (r == 0 && isp_sys_close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) != 0)
		r = -errno;
	return r;
}

/* "-bash" tells a shell that it is a login shell, as login(1) and sshd do. */
static int make_shell_argv(const struct start *start, char ***ret_argv)
{
	const struct isp_request *request = start->request;
	const char *slash = strrchr(start->init->shell, '/');
	char **argv = calloc(request->arg_count + 2, sizeof(*argv));

	if (!argv)
		return -ENOMEM;
	if (asprintf(&argv[0], "%s%s", request->is_login ? "-" : "",
		     slash ? slash + 1 : start->init->shell) < 0) {
		free(argv);
		return -ENOMEM;
	}
	for (size_t i = 0; i < request->arg_count; i++)
		argv[i + 1] = request->args[i];
	*ret_argv = argv;
	return 0;
}

static void enter_home(const struct isp_spec *spec)
{
	const char *home = spec->privilege == ISP_PRIVILEGE_ROOT ? "/root" : spec->home_path;

	if (chdir(home) != 0 && chdir("/") != 0)
		_exit(STATUS_OURS);
}

/* A command's own name, looked for as a shell does; execvp(3) reads PATH of the tenant's own
 * environment, and hands a script without "#!" to the container's /bin/sh. */
static void execute(const struct start *start, char **argv, char **environment)
{
	if (start->request->is_command) {
		environ = environment;
		(void)execvp(argv[0], argv);
	} else {
		(void)execve(start->init->shell, argv, environment);
	}
}

/* Returns only when something fails: -errno. @ret_step: what did */
static int become_tenant(const struct start *start, uint32_t *ret_step)
{
	char **argv = NULL, **environment = NULL;
	int r;

	if (setsid() < 0)
		return -errno;
	if (start->peer_fd >= 0 && ioctl(start->peer_fd, TIOCSCTTY, 0) != 0)
		return -errno;
	r = place_streams(start);
	if (r == 0 && start->request->is_command)
		argv = start->request->args;
	else if (r == 0)
		r = make_shell_argv(start, &argv);
	if (r == 0)
		r = isp_environment_build(&start->init->spec, start->request, start->init->shell,
					  start->tty_name[0] ? start->tty_name : NULL,
					  &environment);
	if (r != 0)
		return r;
	(void)umask(start->request->umask);
	if (start->request->directory && chdir(start->request->directory) != 0) {
		*ret_step = STEP_DIRECTORY;
		return -errno;
	}
	if (!start->request->directory)
		enter_home(&start->init->spec);
	r = reset_signals();
	if (r < 0)
		return r;
	*ret_step = STEP_EXECUTE;
	execute(start, argv, environment);
	return -errno;
}

static pid_t fork_tenant(const struct start *start, int report_fd)
{
	pid_t pid = fork();

	if (pid == 0) {
		struct report report = {.step = STEP_PREPARE};

		report.error = -become_tenant(start, &report.step);
		/* Ignored: init is gone then, and with it this whole container. */
		(void)!write(report_fd, &report, sizeof(report));
		_exit(STATUS_OURS);
	}
	return pid;
}

/* --- PID 1's side ----------------------------------------------------------------------------- */

static int launch(const struct init *init, const struct isp_request *request,
		  struct isp_tenant *tenant, const int *passed_fds, struct isp_error *err)
{
	cleanup_close int report_fd = -EBADF;
	struct start start = {.init = init, .request = request, .passed_fds = passed_fds};
	int report[2], r;

	if (isp_request_count(request, ISP_STREAM_TTY) > 0) {
		r = open_pty(request, tenant, err);
		if (r < 0)
			return r;
		name_pty(tenant->primary_fd, start.tty_name);
	}
	start.peer_fd = tenant->peer_fd;
	if (pipe2(report, O_CLOEXEC) != 0)
		return isp_err_set(err, errno, ISP_STAGE_TENANT, "pipe");
	tenant->start_fd = report[0];
	report_fd = report[1];
	tenant->pid = fork_tenant(&start, report_fd);
	if (tenant->pid < 0)
		return isp_err_set(err, errno, ISP_STAGE_TENANT, "start a process inside");
	return 0;
}

static int read_request(const struct isp_message *open, const int *fds, size_t fd_count,
			char **ret_bytes, struct isp_request *ret_request, struct isp_error *err)
{
	cleanup_free char *bytes = NULL;
	size_t size = 0;
	int r;

	if (fd_count < 1)
		return isp_err_set(err, EPROTO, ISP_STAGE_TENANT, "program %u came without request",
				   open->tenant);
	r = isp_fd_memfd_read(fds[0], ISP_REQUEST_SIZE_MAX, &bytes, &size);
	if (r < 0)
		return isp_err_set(err, -r, ISP_STAGE_TENANT, "read the request");
	r = isp_request_decode(bytes, size, ret_request, err);
	if (r < 0)
		return r;
	*ret_bytes = steal_pointer(&bytes);
	if (isp_request_count(ret_request, ISP_STREAM_PASSED) != fd_count - 1)
		return isp_err_set(err, EPROTO, ISP_STAGE_TENANT,
				   "the request names other descriptors than came");
	return 0;
}

/* The policy is about what the user runs; the administrator looks after the place. */
static bool runs_commands(const struct init *init, const struct isp_message *open)
{
	return init->spec.runs_commands || open->value == ISP_ASKER_ADMIN;
}

/* Threat: an account that its policy holds to one shell, which may be a restricted one, asks for
 * another program by name, or to start elsewhere than at home. */
static int check_program(const struct init *init, const struct isp_message *open,
			 const struct isp_request *request, struct isp_error *err)
{
	if (request->is_command && !runs_commands(init, open))
		return isp_err_set(err, EACCES, ISP_STAGE_TENANT,
				   "this account runs its shell and nothing else by name");
	if (request->directory && !runs_commands(init, open))
		return isp_err_set(err, EACCES, ISP_STAGE_TENANT,
				   "this account starts in its home and nowhere else");
	if (!request->is_command && !init->shell[0])
		return isp_err_set(err, ENOENT, ISP_STAGE_TENANT,
				   "there is no shell in this container");
	return 0;
}

int tenant_start(struct init *init, const struct isp_message *open, int *fds, size_t fd_count,
		 int *ret_status, struct isp_error *err)
{
	cleanup_free char *bytes = NULL;
	cleanup_request struct isp_request request = {0};
	struct isp_tenant *tenant = NULL;
	int r;

	*ret_status = STATUS_OURS;
	if (!init->shell[0] && !runs_commands(init, open))
		return isp_err_set(err, EACCES, ISP_STAGE_TENANT,
				   "this account is for forwarding only");
	r = read_request(open, fds, fd_count, &bytes, &request, err);
	if (r == 0)
		r = check_program(init, open, &request, err);
	if (r < 0)
		return r;
	r = isp_tenants_add(&init->tenants, open->tenant, &tenant);
	if (r < 0)
		return isp_err_set(err, -r, ISP_STAGE_TENANT, "one more program than %d at once",
				   ISP_TENANTS_ALL);
	tenant->is_command = request.is_command;
	r = launch(init, &request, tenant, fds + 1, err);
	if (r < 0)
		isp_tenants_remove(tenant);
	return r;
}

int tenant_exec_result(const struct init *init, struct isp_tenant *tenant, int *ret_status,
		       struct isp_error *err)
{
	struct report report = {0};
	ssize_t n = isp_fd_read_all(tenant->start_fd, &report, sizeof(report));

	isp_fd_close(&tenant->start_fd);
	if (n != (ssize_t)sizeof(report)) /* closed by the exec, or by an end before it */
		return 0;
	*ret_status = report.step == STEP_DIRECTORY ? STATUS_OURS
		      : report.error == ENOENT      ? STATUS_NOT_FOUND
						    : STATUS_CANNOT_RUN;
	if (report.step == STEP_DIRECTORY)
		return isp_err_set(err, report.error, ISP_STAGE_TENANT,
				   "enter the working directory inside the container");
	if (tenant->is_command)
		return isp_err_set(err, report.error, ISP_STAGE_TENANT,
				   "run the command inside the container");
	return isp_err_set(err, report.error, ISP_STAGE_TENANT,
			   "run the shell %s inside the container", init->shell);
}
