/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * container_driver.c - the cgroup and capability rooms as commands, for container_run
 *
 *	create USER SESSION [LIMIT=VALUE...]          make a leaf, say "ok" or the error's line
 *	run USER SESSION [LIMIT=VALUE...] -- WORK...  make it, do WORK inside, say what it used
 *	kill USER SESSION | remove USER SESSION | usage USER SESSION
 *	churn USER HEX TIMES                          make and remove a leaf again and again
 *	leave                                         leave the login's cgroups, say where we are
 *	caps build | caps rest                        hold that set, prove it, try what it is for
 * WORK: eat BYTES | forks COUNT SECONDS | bomb | sleep SECONDS | where
 *
 * Exit status: 0 when what was asked succeeded, 1 when it failed, 2 for a command not understood.
 */
#include "ispawn/base/fd.h"
#include "ispawn/base/sys.h"
#include "ispawn/container/caps.h"
#include "ispawn/container/cgroup.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define KILL_TIMEOUT_MS 10000

static int report(const struct isp_error *err)
{
	char text[512];

	isp_err_describe(err, text, sizeof(text));
	printf("%s\n", text);
	return 1;
}

static int say(int r)
{
	printf("%s\n", r == 0 ? "ok" : strerrorname_np(-r));
	return r == 0 ? 0 : 1;
}

/* Takes LIMIT=VALUE words. Return: the first word that is none. */
static char **read_limits(char **words, struct isp_limits *limits)
{
	const struct {
		const char *name;
		uint64_t *value;
	} known[] = {
		{"memory=", &limits->memory_bytes},
		{"swap=", &limits->swap_bytes},
		{"pids=", &limits->pids},
		{"cpu=", &limits->cpu_percent},
		{"cpu_weight=", &limits->cpu_weight},
		{"io_weight=", &limits->io_weight},
	};

	for (; *words; words++) {
		size_t i = 0;

		while (i < ISP_ARRAY_SIZE(known) &&
		       strncmp(*words, known[i].name, strlen(known[i].name)) != 0)
			i++;
		if (i == ISP_ARRAY_SIZE(known))
			break;
		*known[i].value = strtoull(*words + strlen(known[i].name), NULL, 10);
	}
	return words;
}

static int work_eat(uint64_t bytes)
{
	char *memory =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return 3;
	for (uint64_t i = 0; i < bytes; i += 4096)
		((volatile char *)memory)[i] = 1;
	return 0;
}

/* Return: 0 all forks succeeded, 9 some were refused. */
static int work_forks(unsigned long count, unsigned int seconds)
{
	int result = 0;

	for (unsigned long i = 0; i < count; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			(void)sleep(seconds);
			_exit(0);
		}
		if (pid < 0)
			result = 9;
	}
	while (wait(NULL) > 0)
		;
	return result;
}

static _Noreturn void work_bomb(void)
{
	for (;;)
		if (fork() < 0)
			(void)usleep(1);
}

static int work(char **words)
{
	if (words[0] && strcmp(words[0], "where") == 0)
		return execlp("cat", "cat", "/proc/self/cgroup", (char *)NULL);
	if (words[0] && strcmp(words[0], "bomb") == 0)
		work_bomb();
	if (!words[0] || !words[1])
		return 2;
	if (strcmp(words[0], "eat") == 0)
		return work_eat(strtoull(words[1], NULL, 10));
	if (strcmp(words[0], "sleep") == 0)
		return (int)sleep((unsigned int)strtoul(words[1], NULL, 10));
	if (strcmp(words[0], "forks") == 0 && words[2])
		return work_forks(strtoul(words[1], NULL, 10),
				  (unsigned int)strtoul(words[2], NULL, 10));
	return 2;
}

/* The container stand-in: born in its leaf on v2, entering it on v1 before it does anything. */
static pid_t start_work(const struct isp_cgroup *cgroup, char **words, struct isp_error *err)
{
	struct clone_args args = {.exit_signal = SIGCHLD};
	int gate[2];
	pid_t pid;
	char go = 0;

	if (isp_cgroup_clone_fd(cgroup) >= 0) {
		args.flags = CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)isp_cgroup_clone_fd(cgroup);
	}
	if (pipe2(gate, O_CLOEXEC) != 0)
		return -errno;
	pid = isp_sys_clone3(&args, sizeof(args));
	if (pid == 0) {
		int fds[ISP_CGROUP_HIERARCHIES_MAX];
		size_t count = 0;

		isp_fd_close(&gate[1]);
		if (isp_cgroup_open_members(cgroup, fds, &count, err) != 0 ||
		    isp_cgroup_enter(fds, count, err) != 0)
			_exit(report(err) + 4);
		_exit(read(gate[0], &go, 1) == 1 ? work(words) : 4);
	}
	if (pid > 0 && write(gate[1], &go, 1) != 1)
		pid = -EIO;
	isp_fd_close(&gate[0]);
	isp_fd_close(&gate[1]);
	return pid;
}

static void print_usage_line(const struct isp_cgroup *cgroup)
{
	struct isp_usage usage;

	isp_cgroup_usage(cgroup, &usage);
	printf("tasks=%" PRIu64 " oom=%" PRIu64 " refusals=%" PRIu64 " cpu_us=%" PRIu64
	       " memory=%" PRIu64 " peak=%" PRIu64 "\n",
	       usage.tasks, usage.oom_kills, usage.pids_refusals, usage.cpu_us, usage.memory_bytes,
	       usage.memory_peak_bytes);
}

static int create_or_run(char **words, bool is_run)
{
	struct isp_limits limits = {.memory_bytes = UINT64_MAX,
				    .swap_bytes = UINT64_MAX,
				    .pids = UINT64_MAX,
				    .cpu_weight = 100,
				    .io_weight = 100};
	cleanup_cgroup struct isp_cgroup cgroup = {.count = 0};
	struct isp_error err = {.code = 0};
	int status = 0;
	char **rest = read_limits(words + 2, &limits);
	pid_t pid;

	for (size_t i = 0; i < ISP_CGROUP_HIERARCHIES_MAX; i++)
		cgroup.parent_fd[i] = cgroup.user_fd[i] = cgroup.session_fd[i] = -EBADF;
	if (isp_cgroup_create(words[0], words[1], &limits, &cgroup, &err) != 0)
		return report(&err);
	if (!is_run)
		return say(0);
	if (!*rest || strcmp(*rest, "--") != 0)
		return 2;
	pid = start_work(&cgroup, rest + 1, &err);
	if (pid < 0)
		return err.code != 0 ? report(&err) : say(pid);
	if (waitpid(pid, &status, 0) != pid)
		return say(-errno);
	printf("status=%d ", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	print_usage_line(&cgroup);
	return 0;
}

static int with_existing(const char *command, char **words)
{
	cleanup_cgroup struct isp_cgroup cgroup = {.count = 0};
	int r;

	for (size_t i = 0; i < ISP_CGROUP_HIERARCHIES_MAX; i++)
		cgroup.parent_fd[i] = cgroup.user_fd[i] = cgroup.session_fd[i] = -EBADF;
	r = isp_cgroup_open(words[0], words[1], &cgroup);
	if (r < 0)
		return say(r);
	if (strcmp(command, "kill") == 0)
		return say(isp_cgroup_kill(&cgroup, KILL_TIMEOUT_MS));
	if (strcmp(command, "remove") == 0)
		return say(isp_cgroup_remove(&cgroup));
	print_usage_line(&cgroup);
	return 0;
}

static int churn(char **words)
{
	const struct isp_limits limits = {.memory_bytes = 64 << 20,
					  .swap_bytes = UINT64_MAX,
					  .pids = 32,
					  .cpu_weight = 100,
					  .io_weight = 100};
	unsigned long times = strtoul(words[2], NULL, 10);
	char session[ISP_SESSION_ID_SIZE];

	(void)snprintf(session, sizeof(session), "%s.%s", words[0], words[1]);
	for (unsigned long i = 0; i < times; i++) {
		struct isp_cgroup cgroup;
		struct isp_error err = {.code = 0};
		int r;

		if (isp_cgroup_create(words[0], session, &limits, &cgroup, &err) != 0)
			return report(&err);
		r = isp_cgroup_remove(&cgroup);
		isp_cgroup_close(&cgroup);
		if (r < 0)
			return say(r);
	}
	return say(0);
}

static int leave(void)
{
	struct isp_error err = {.code = 0};

	if (isp_cgroup_leave_login(&err) != 0)
		return report(&err);
	return execlp("cat", "cat", "/proc/self/cgroup", (char *)NULL);
}

/* What the build phase's ids and SETFCAP are for: maps of a child that hold uid 0 and others. */
static int map_a_child(void)
{
	int ready[2];
	char path[64], c = 0;
	pid_t pid;
	int r;

	if (pipe2(ready, O_CLOEXEC) != 0)
		return -errno;
	pid = fork();
	if (pid == 0) {
		(void)(unshare(CLONE_NEWUSER) == 0 && write(ready[1], &c, 1) == 1);
		_exit(pause());
	}
	if (pid < 0 || read(ready[0], &c, 1) != 1)
		return -EIO;
	(void)snprintf(path, sizeof(path), "/proc/%d/uid_map", pid);
	r = isp_fd_write_file(AT_FDCWD, path, "0 0 1\n1 100001 65535\n");
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	isp_fd_close(&ready[0]);
	isp_fd_close(&ready[1]);
	return r;
}

static int try_caps(const char *phase)
{
	bool is_build = strcmp(phase, "build") == 0;
	uint64_t mask = is_build ? isp_caps_supervisor_build() : isp_caps_supervisor_rest();
	struct isp_error err = {.code = 0};
	int mapped, mounts;

	if (isp_caps_apply(mask, mask, &err) != 0 || isp_caps_verify(mask, mask, &err) != 0)
		return report(&err);
	mapped = map_a_child();
	mounts = unshare(CLONE_NEWNS) == 0 ? 0 : -errno;
	printf("map=%d namespace=%d bounding_admin=%d\n", mapped, mounts,
	       prctl(PR_CAPBSET_READ, CAP_SYS_ADMIN, 0, 0, 0));
	return 0;
}

int main(int argc, char **argv)
{
	(void)setvbuf(stdout, NULL, _IOLBF, 0); /* before forks: nothing is printed twice */
	if (argc == 2 && strcmp(argv[1], "leave") == 0)
		return leave();
	if (argc == 3 && strcmp(argv[1], "caps") == 0)
		return try_caps(argv[2]);
	if (argc == 5 && strcmp(argv[1], "churn") == 0)
		return churn(argv + 2);
	if (argc >= 4 && (strcmp(argv[1], "create") == 0 || strcmp(argv[1], "run") == 0))
		return create_or_run(argv + 2, strcmp(argv[1], "run") == 0);
	if (argc == 4)
		return with_existing(argv[1], argv + 2);
	return 2;
}
