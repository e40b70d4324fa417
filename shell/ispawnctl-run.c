/* SPDX-License-Identifier: GPL-3.0-or-later */
/* ispawnctl-run.c - other programs' words; contract in ispawnctl-host.h */
#include "ispawnctl-host.h"

#include "ispawn/base/clock.h"
#include "ispawn/base/fd.h"
#include "ispawn/base/path.h"
#include "ispawn/base/sys.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

/* struct output - what has been read so far */
struct output {
	char *text;
	size_t size, room;
};

/* Runs as the child, root still; what fails here is told by the exit status alone. */
static int become(const struct isp_subject *as)
{
	if (!as)
		return 0;
	if (initgroups(as->user, as->gid) != 0 || setresgid(as->gid, as->gid, as->gid) != 0 ||
	    setresuid(as->uid, as->uid, as->uid) != 0)
		return -1;
	return as->uid != 0 && setuid(0) == 0 ? -1 : 0;
}

/* The path was found trusted a moment ago, and only root can have changed that. */
static _Noreturn void be_program(const struct program *program, int out_fd)
{
	static const char *const nothing[] = {NULL};
	cleanup_close int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	char *const *argv;
	char *const *envp;

	/* execve(2) takes what it does not change as not const, for compatibility only. */
	memcpy(&argv, &program->argv, sizeof(argv));
	memcpy(&envp, &(const char *const *){nothing}, sizeof(envp));
	if (null_fd < 0 || setsid() < 0 || dup2(null_fd, 0) < 0 || dup2(out_fd, 1) < 0 ||
	    dup2(out_fd, 2) < 0 || isp_sys_close_range(3, ~0u, 0) != 0)
		_exit(125);
	(void)signal(SIGPIPE, SIG_DFL); /* Ignored: cannot fail for this signal */
	if (become(program->as) < 0 || chdir("/") != 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
		_exit(125);
	(void)execve(argv[0], argv, envp);
	_exit(errno == ENOENT ? 127 : 126);
}

/* Return: 1 there may be more; 0 the end; -errno. */
static int take(int fd, struct output *output)
{
	ssize_t n;

	if (output->size == output->room)
		return -EFBIG;
	n = read(fd, output->text + output->size, output->room - output->size);
	if (n < 0)
		return errno == EINTR ? 1 : -errno;
	for (size_t i = output->size; i < output->size + (size_t)n; i++)
		if (output->text[i] == '\0')
			output->text[i] = '?';
	output->size += (size_t)n;
	return n > 0;
}

static int take_all(int fd, int timeout_ms, struct output *output)
{
	int64_t deadline_ms = isp_clock_ms() + timeout_ms;
	int r = 1;

	while (r > 0) {
		struct pollfd watched = {.fd = fd, .events = POLLIN};
		int n = poll(&watched, 1, isp_clock_left(deadline_ms));

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return -ETIMEDOUT;
		r = n < 0 ? 1 : take(fd, output);
	}
	return r;
}

static int shell_status(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* @pid is our unreaped child, so the number is its own, as is that of its group. */
static int collect(pid_t pid, int fd, const struct program *program, struct output *output,
		   int *ret_status)
{
	int r = take_all(fd, program->timeout_ms, output);
	int status = 0;

	if (r < 0) {
		(void)kill(-pid, SIGKILL); /* Ignored: it may not have made its group yet */
		(void)kill(pid, SIGKILL);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	*ret_status = shell_status(status);
	return r;
}

static int run(const struct program *program, struct output *output, int *ret_status)
{
	cleanup_close int read_fd = -EBADF;
	cleanup_close int write_fd = -EBADF;
	int pipe_fds[2];
	pid_t pid;

	if (pipe2(pipe_fds, O_CLOEXEC) != 0)
		return -errno;
	read_fd = pipe_fds[0];
	write_fd = pipe_fds[1];
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		be_program(program, write_fd);
	isp_fd_close(&write_fd);
	return collect(pid, read_fd, program, output, ret_status);
}

int program_run(const struct program *program, char **ret_output, int *ret_status,
		struct isp_error *err)
{
	cleanup_free char *text = calloc(1, PROGRAM_OUTPUT_MAX + 1);
	struct output output = {.text = text, .room = PROGRAM_OUTPUT_MAX};
	cleanup_close int fd = -EBADF;
	int r;

	if (!text)
		return isp_err_set(err, ENOMEM, ISP_STAGE_START, "run a program");
	r = isp_path_open_trusted(program->argv[0], O_PATH, ISP_STAGE_START, &fd, err);
	if (r < 0)
		return r;
	r = run(program, &output, ret_status);
	if (r < 0)
		return isp_err_set(err, -r, ISP_STAGE_START, "run \"%s\"", program->argv[0]);
	*ret_output = steal_pointer(&text);
	return 0;
}
