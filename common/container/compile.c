/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * compile.c - running ispawn-seccomp; contract in ispawn/container/profile.h
 *
 * It gets two descriptors: standard input, a sealed memfd with the profile, and standard output,
 * another memfd, which is read when it has ended.  So neither waits for the other, and nothing can
 * be half said.  Its answer is bounded and checked; what BPF it holds, the kernel checks.
 */
#include "ispawn/base/fd.h"
#include "ispawn/base/path.h"
#include "ispawn/base/sys.h"
#include "ispawn/container/child.h"
#include "ispawn/container/profile.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/filter.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

/* struct pipework - what the child is given; borrowed */
struct pipework {
	int program_fd, profile_fd, answer_fd;
	const char *capabilities;
};

/* Runs in the child: straight to exec. */
static _Noreturn void exec_compiler(const struct pipework *p)
{
	char name[] = "ispawn-seccomp", capabilities[32];
	char *const argv[] = {name, capabilities, NULL};
	char *const envp[] = {NULL};
	int program = fcntl(p->program_fd, F_DUPFD_CLOEXEC, 10);
	int profile = fcntl(p->profile_fd, F_DUPFD_CLOEXEC, 10);
	int answer = fcntl(p->answer_fd, F_DUPFD_CLOEXEC, 10);

	(void)snprintf(capabilities, sizeof(capabilities), "%s", p->capabilities); /* fits */
	if (program >= 0 && profile >= 0 && answer >= 0 && dup2(profile, STDIN_FILENO) >= 0 &&
	    dup2(answer, STDOUT_FILENO) >= 0 &&
	    isp_sys_close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC) == 0)
		(void)isp_sys_execveat_fd(program, argv, envp); /* Ignored: reported as 127 */
	isp_sys_exit_group(127);
}

static int run(const struct isp_profile_wanted *wanted, const struct pipework *p,
	       struct isp_error *err)
{
	struct isp_child child = {.what = "the compilation of the profile",
				  .stage = ISP_STAGE_SECCOMP,
				  .cancel_fd = wanted->cancel_fd,
				  .deadline_ms = wanted->deadline_ms};
	int status = 0;
	int r = isp_child_start(&child, err);

	if (r > 0)
		exec_compiler(p);
	if (r == 0)
		r = isp_child_wait(&child, &status, err);
	if (r == 0 && (!WIFEXITED(status) || WEXITSTATUS(status) != 0))
		r = isp_err_set(err, EPROTO, ISP_STAGE_SECCOMP,
				"\"" ISPAWN_SECCOMP "\" ended with status %d",
				WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	return r;
}

static bool is_sound(const struct isp_answer *answer)
{
	return answer->magic == ISP_ANSWER_MAGIC && answer->count > 0 &&
	       answer->count <= BPF_MAXINSNS &&
	       memchr(answer->library, '\0', sizeof(answer->library)) &&
	       memchr(answer->unknown, '\0', sizeof(answer->unknown));
}

/* @fd: the answer, which nobody writes any more */
static int read_answer(int fd, struct isp_answer *ret_answer, struct sock_filter **ret_code,
		       struct isp_error *err)
{
	cleanup_free struct sock_filter *code = NULL;
	struct isp_answer answer = {0};
	char more;
	size_t size;

	if (lseek(fd, 0, SEEK_SET) != 0 ||
	    isp_fd_read_all(fd, &answer, sizeof(answer)) != (ssize_t)sizeof(answer))
		return isp_err_set(err, EPROTO, ISP_STAGE_SECCOMP,
				   "\"" ISPAWN_SECCOMP "\" gave no answer");
	if (answer.magic == ISP_ANSWER_MAGIC && answer.error.code != 0)
		return isp_err_adopt(err, &answer.error);
	if (!is_sound(&answer))
		return isp_err_set(err, EPROTO, ISP_STAGE_SECCOMP,
				   "\"" ISPAWN_SECCOMP "\" gave an answer of another release");
	code = calloc(answer.count, sizeof(*code));
	if (!code)
		return isp_err_set(err, ENOMEM, ISP_STAGE_SECCOMP, "read the compiled profile");
	size = answer.count * sizeof(*code);
	if (isp_fd_read_all(fd, code, size) != (ssize_t)size || isp_fd_read_all(fd, &more, 1) != 0)
		return isp_err_set(err, EPROTO, ISP_STAGE_SECCOMP,
				   "\"" ISPAWN_SECCOMP "\" gave an answer of a wrong size");
	*ret_answer = answer;
	*ret_code = steal_pointer(&code);
	return 0;
}

int isp_profile_compile(const struct isp_profile_wanted *wanted, const char *bytes, size_t size,
			struct isp_answer *ret_answer, struct sock_filter **ret_code,
			struct isp_error *err)
{
	cleanup_close int program_fd = -EBADF;
	cleanup_close int profile_fd = -EBADF;
	cleanup_close int answer_fd = -EBADF;
	char capabilities[32];
	struct pipework p = {.capabilities = capabilities};
	int r = isp_path_open_trusted(ISPAWN_SECCOMP, O_PATH, ISP_STAGE_SECCOMP, &program_fd, err);

	if (r < 0)
		return r;
	r = isp_fd_memfd("seccomp-profile", bytes, size, &profile_fd);
	if (r < 0)
		return isp_err_set(err, -r, ISP_STAGE_SECCOMP, "copy the profile into a memfd");
	answer_fd = memfd_create("seccomp-answer", MFD_CLOEXEC);
	if (answer_fd < 0 || lseek(profile_fd, 0, SEEK_SET) != 0)
		return isp_err_set(err, errno, ISP_STAGE_SECCOMP, "make a memfd for the answer");
	(void)snprintf(capabilities, sizeof(capabilities), "0x%llx",
		       (unsigned long long)wanted->capabilities); /* fits */
	p.program_fd = program_fd;
	p.profile_fd = profile_fd;
	p.answer_fd = answer_fd;
	r = run(wanted, &p, err);
	return r < 0 ? r : read_answer(answer_fd, ret_answer, ret_code, err);
}
