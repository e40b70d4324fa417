/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ispawnctl-profile.c - system call filters other than the default; contract in ispawnctl.h
 *
 * A profile is compiled anew, whatever the cache holds, and so a stale entry is replaced.  Then it
 * is put in force as a login would, in a child that must still be able to run a program: what else
 * a session's programs need, only they can tell.
 */
#include "ispawnctl.h"

#include "ispawn/base/clock.h"
#include "ispawn/base/fd.h"
#include "ispawn/base/path.h"
#include "ispawn/container/profile.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define COMPILE_MS 10000
#define RUN_S 5 /* of time, and of processor time, for what is tried under a filter */
#define ACTIONS_LOGGED "/proc/sys/kernel/seccomp/actions_logged"
#define ACTIONS_SIZE_MAX 4096

/* struct filter - what a child is to run under */
struct filter {
	const char *name;
	const struct isp_profile *profile;
};

/* Runs under the filter: a shell of the host's starts a program. */
static int run_program(struct isp_error *err)
{
	char shell[] = "/bin/sh", option[] = "-c", command[] = "exec /bin/true; exit 1";
	char *const argv[] = {shell, option, command, NULL};
	char *const envp[] = {NULL};
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		/* Ignored: a filter that refuses this is told of by what follows. */
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)execve(argv[0], argv, envp); /* Ignored: reported as 127 */
		_exit(127);
	}
	if (pid < 0)
		return isp_err_set(err, errno, ISP_STAGE_SECCOMP, "fork under the filter");
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return isp_err_set(err, errno, ISP_STAGE_SECCOMP, "wait under the filter");
	if (status != 0)
		return isp_err_set(err, EPERM, ISP_STAGE_SECCOMP,
				   "no program can be run under it (wait status %d)", status);
	return 0;
}

/* Libraries that are refused what they never are may try for ever. */
static int bound_time(struct isp_error *err)
{
	const struct rlimit cpu = {RUN_S, RUN_S};

	(void)alarm(RUN_S);
	if (setrlimit(RLIMIT_CPU, &cpu) != 0)
		return isp_err_set(err, errno, ISP_STAGE_SECCOMP, "set a limit");
	return 0;
}

/* Order: the bounds first, since the filter may refuse them. */
static int try_filter(const void *closure, struct isp_error *err)
{
	const struct filter *f = closure;
	const struct isp_profile none = {.count = 0};
	const struct isp_profile *profile = f->profile ? f->profile : &none;
	int r = bound_time(err);

	if (r == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		r = isp_err_set(err, errno, ISP_STAGE_SECCOMP, "set no_new_privs");
	if (r == 0)
		r = isp_seccomp_load(f->name, profile->code, profile->count, err);
	if (r == 0)
		r = isp_seccomp_verify(err);
	return r < 0 ? r : run_program(err);
}

/* Does the kernel write what SECCOMP_RET_LOG asks it to? */
static int try_log(struct isp_error *err)
{
	cleanup_free char *text = NULL;
	int r = isp_fd_read_file(AT_FDCWD, ACTIONS_LOGGED, ACTIONS_SIZE_MAX, &text);
	const char *word = r == 0 ? text : "";

	if (r < 0)
		return isp_err_set(err, -r, ISP_STAGE_SECCOMP, "read \"" ACTIONS_LOGGED "\"");
	while (*word) {
		size_t size = strcspn(word, " \n");

		if (size == 3 && strncmp(word, "log", size) == 0)
			return 0;
		word += size + strspn(word + size, " \n");
	}
	return isp_err_set(err, ENOENT, ISP_STAGE_SECCOMP, "no \"log\" in \"" ACTIONS_LOGGED "\"");
}

int probe_learn(struct isp_error *err)
{
	const struct filter filter = {.name = ISP_SECCOMP_LEARN};
	int r = try_log(err);

	return r < 0 ? r : probe_in_child(try_filter, &filter, err);
}

int probe_profile(const char *name, uint64_t capabilities, struct isp_profile *ret_profile,
		  struct isp_error *err)
{
	const struct isp_profile_wanted wanted = {
		.name = name,
		.capabilities = capabilities,
		.cancel_fd = -EBADF,
		.deadline_ms = isp_clock_ms() + COMPILE_MS,
		.is_anew = true,
	};
	const struct filter filter = {.name = name, .profile = ret_profile};
	int r = isp_profile_find(&wanted, ret_profile, err);

	if (r == 0)
		r = probe_in_child(try_filter, &filter, err);
	if (r == 0 && !ret_profile->is_kept)
		r = isp_err_set(err, EACCES, ISP_STAGE_SECCOMP,
				"its compiled form cannot be kept in \"" ISPAWN_CACHE_DIR
				"\", so that each login compiles");
	return r;
}

int profiles_each(profile_function *each, void *closure, struct isp_error *err)
{
	static const char suffix[] = ".json";
	cleanup_close int dir_fd = -EBADF;
	cleanup_closedir DIR *dir = NULL;
	struct dirent *entry = NULL;
	struct stat st;
	int r = 0;

	if (stat(ISPAWN_PROFILES_DIR, &st) != 0 && errno == ENOENT)
		return 0;
	r = isp_path_open_trusted(ISPAWN_PROFILES_DIR, O_RDONLY | O_DIRECTORY, ISP_STAGE_SECCOMP,
				  &dir_fd, err);
	if (r == 0 && isp_fd_list(dir_fd, &dir) < 0)
		r = isp_err_set(err, errno, ISP_STAGE_SECCOMP, "list \"" ISPAWN_PROFILES_DIR "\"");
	if (r < 0)
		return r;
	while ((r = isp_fd_next(dir, &entry)) > 0) {
		char *end = strrchr(entry->d_name, '.');

		if (!end || strcmp(end, suffix) != 0)
			continue;
		*end = '\0';
		each(closure, entry->d_name);
	}
	return r < 0 ? isp_err_set(err, -r, ISP_STAGE_SECCOMP, "list \"" ISPAWN_PROFILES_DIR "\"")
		     : 0;
}
