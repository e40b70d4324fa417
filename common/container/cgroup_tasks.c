/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cgroup_tasks.c - counting and killing what runs in a leaf; contract in ispawn/container/cgroup.h
 */
#include "cgroup_internal.h"

#include "ispawn/base/clock.h"
#include "ispawn/base/fd.h"
#include "ispawn/base/parse.h"
#include "ispawn/base/sys.h"

#include <fcntl.h>
#include <string.h>

#define COUNTER_TEXT_MAX 65536
#define TASKS_TEXT_MAX (1 << 20)
#define BATCH 64 /* pidfds open at once */
#define PAUSE_MAX_MS 64

/* Reads the number that ends at a space, a newline or the end. */
static int parse_counter(const char *text, uint64_t *ret_value)
{
	char digits[24];
	size_t size = strcspn(text, " \n");

	if (size >= sizeof(digits))
		return -EINVAL;
	memcpy(digits, text, size);
	digits[size] = '\0';
	return isp_parse_u64(digits, 0, UINT64_MAX, ret_value);
}

int isp_cgroup_read_counter(int dir_fd, const char *file, const char *key, uint64_t *ret_value)
{
	cleanup_free char *text = NULL;
	size_t key_size = key ? strlen(key) : 0;
	int r = isp_fd_read_file(dir_fd, file, COUNTER_TEXT_MAX, &text);

	if (r < 0)
		return r;
	if (!key)
		return parse_counter(text, ret_value);
	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, key_size) == 0 && line[key_size] == ' ')
			return parse_counter(line + key_size + 1, ret_value);
	}
	return -ENOENT;
}

uint64_t isp_cgroup_count(const struct isp_cgroup *cgroup, const int *fds, const char *file,
			  const char *key)
{
	int dir_fd = isp_cgroup_find(cgroup, fds, file);
	uint64_t value = 0;

	if (dir_fd >= 0)
		isp_ignore(isp_cgroup_read_counter(dir_fd, file, key, &value)); /* stays 0 */
	return value;
}

/* In the session's leaf. */
static uint64_t counter(const struct isp_cgroup *cgroup, const char *file, const char *key)
{
	return isp_cgroup_count(cgroup, cgroup->session_fd, file, key);
}

/*
 * Kernel: who counts a refused fork differs: v1, and v2 before 6.11, count in the cgroup of the
 * process that forked (the leaf), later ones in that whose limit was hit (USER) and above.  Never
 * in both, so the sum of the leaf's and of what USER has gained is right on each; on the later ones
 * it holds the refusals of the user's other sessions too, as does the limit.
 */
static uint64_t count_refusals(const struct isp_cgroup *cgroup)
{
	uint64_t at_user = isp_cgroup_count(cgroup, cgroup->user_fd, "pids.events", "max");
	uint64_t in_leaf = counter(cgroup, "pids.events", "max");

	return in_leaf + (at_user > cgroup->refused_before ? at_user - cgroup->refused_before : 0);
}

void isp_cgroup_refusals(const struct isp_cgroup *cgroup, struct isp_usage *ret_usage)
{
	const char *file = cgroup->is_v2 ? "memory.events" : "memory.oom_control";

	*ret_usage = (struct isp_usage){.oom_kills = counter(cgroup, file, "oom_kill"),
					.pids_refusals = count_refusals(cgroup)};
}

void isp_cgroup_usage(const struct isp_cgroup *cgroup, struct isp_usage *ret_usage)
{
	struct isp_usage usage;

	isp_cgroup_refusals(cgroup, &usage);
	usage.tasks = counter(cgroup, "pids.current", NULL);
	if (cgroup->is_v2) {
		usage.cpu_us = counter(cgroup, "cpu.stat", "usage_usec");
		usage.memory_bytes = counter(cgroup, "memory.current", NULL);
		usage.memory_peak_bytes = counter(cgroup, "memory.peak", NULL); /* Linux 5.19 */
	} else {
		usage.cpu_us = counter(cgroup, "cpuacct.usage", NULL) / 1000;
		usage.memory_bytes = counter(cgroup, "memory.usage_in_bytes", NULL);
		usage.memory_peak_bytes = counter(cgroup, "memory.max_usage_in_bytes", NULL);
	}
	*ret_usage = usage;
}

/* Takes the next pid of a list. Return: its value; 0 at the end, or for a process outside our PID
 * namespace, which the kernel lists as 0. */
static pid_t next_pid(const char **list)
{
	uint64_t value = 0;
	int r = parse_counter(*list, &value);

	*list += strcspn(*list, "\n");
	*list += **list == '\n';
	return r == 0 && value <= INT32_MAX ? (pid_t)value : 0;
}

static bool lists_pid(const char *list, pid_t wanted)
{
	pid_t pid;

	while ((pid = next_pid(&list)) != 0)
		if (pid == wanted)
			return true;
	return false;
}

/*
 * Threat: a process of the list ends, and its number is taken by somebody else's process before the
 * signal.  So each gets a pidfd first, and the signal goes to those that the list, read again,
 * still holds: a pidfd opened on a stranger cannot pass, for then the number is not in the list, or
 * it is by yet another process and the pidfd's own is dead.
 */
static int kill_batch(int dir_fd, const char **list)
{
	cleanup_free char *again = NULL;
	int pid_fds[BATCH];
	pid_t pids[BATCH];
	size_t count = 0;
	int r;

	while (count < BATCH && (pids[count] = next_pid(list)) != 0) {
		pid_fds[count] = isp_sys_pidfd_open(pids[count], 0);
		if (pid_fds[count] >= 0)
			count++;
	}
	r = isp_fd_read_file(dir_fd, "cgroup.procs", TASKS_TEXT_MAX, &again);
	for (size_t i = 0; i < count; i++) {
		if (r == 0 && lists_pid(again, pids[i]))
			(void)isp_sys_pidfd_send_signal(pid_fds[i], SIGKILL); /* ESRCH: dead */
		isp_fd_close(&pid_fds[i]);
	}
	return r;
}

/* Return: 1 something is left; 0 the directory is empty or gone; -errno. */
static int kill_round(int dir_fd)
{
	cleanup_free char *text = NULL;
	const char *list;
	int r = isp_fd_read_file(dir_fd, "cgroup.procs", TASKS_TEXT_MAX, &text);

	/* Kernel: ENODEV, for a cgroup that was removed while its directory is open. */
	if (r == -ENOENT || r == -ENODEV)
		return 0;
	if (r < 0)
		return r;
	list = text;
	if (*list == '\0')
		return 0;
	while (*list != '\0' && r == 0)
		r = kill_batch(dir_fd, &list);
	return 1;
}

/* Threat: a fork bomb that makes processes as fast as they are listed: from now on it cannot.
 * v2 needs neither this nor the rounds: it has cgroup.kill. */
static void forbid_forks(const struct isp_cgroup *cgroup)
{
	int dir_fd = isp_cgroup_find(cgroup, cgroup->session_fd, "pids.max");

	if (dir_fd >= 0)
		isp_ignore(isp_fd_write_file(dir_fd, "pids.max", "0")); /* a help, not a must */
}

static bool is_anything_left(const struct isp_cgroup *cgroup)
{
	bool is_left = false;

	for (size_t i = 0; i < cgroup->count; i++)
		if (cgroup->session_fd[i] >= 0 && kill_round(cgroup->session_fd[i]) != 0)
			is_left = true;
	return is_left;
}

int isp_cgroup_kill(const struct isp_cgroup *cgroup, unsigned int timeout_ms)
{
	int64_t deadline_ms = isp_clock_ms() + timeout_ms;
	long pause_ms = 1;

	if (cgroup->is_v2 && cgroup->session_fd[0] >= 0)
		isp_ignore(isp_fd_write_file(cgroup->session_fd[0], "cgroup.kill", "1"));
	while (is_anything_left(cgroup)) {
		struct timespec pause = {.tv_nsec = pause_ms * 1000000};

		if (isp_clock_left(deadline_ms) == 0)
			return -ETIMEDOUT;
		forbid_forks(cgroup);
		(void)nanosleep(&pause, NULL); /* Ignored: EINTR; the clock decides */
		pause_ms = pause_ms < PAUSE_MAX_MS ? pause_ms * 2 : pause_ms;
	}
	return 0;
}
