/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * cgroup_limits.c - writing a user's limits, in the words of v2 and of v1; contracts in
 * ispawn/container/cgroup.h and cgroup_internal.h
 */
#include "cgroup_internal.h"

#include "ispawn/base/fd.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NO_LIMIT UINT64_MAX
#define DEFAULT_WEIGHT 100
#define CPU_PERIOD_US 100000
#define US_PER_PERCENT (CPU_PERIOD_US / 100)
#define V1_DEFAULT_SHARES 1024
#define V1_SHARES_MIN 2
#define NUMBER_TEXT_SIZE 32
#define LIST_TEXT_MAX 4096
#define SWAPS_TEXT_MAX 65536

/* "pids.max" is the pids controller's. */
static bool is_owner(const char *controller, const char *file)
{
	size_t size = controller ? strlen(controller) : 0;

	return size > 0 && strncmp(file, controller, size) == 0 && file[size] == '.';
}

int isp_cgroup_find(const struct isp_cgroup *cgroup, const int *fds, const char *file)
{
	/* Controllers that are mounted together go by one's name: hence all others, too. */
	for (int is_guess = 1; is_guess >= 0; is_guess--) {
		for (size_t i = 0; i < cgroup->count; i++) {
			if (fds[i] < 0 || is_owner(cgroup->controller[i], file) != is_guess)
				continue;
			if (faccessat(fds[i], file, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
				return fds[i];
			if (errno != ENOENT)
				return -errno;
		}
	}
	return -ENOENT;
}

bool isp_cgroup_has_word(const char *list, const char *word)
{
	size_t size = strlen(word);

	for (const char *p = list; *p; p += strcspn(p, " \n")) {
		p += strspn(p, " \n");
		if (strcspn(p, " \n") == size && memcmp(p, word, size) == 0)
			return true;
	}
	return false;
}

/* What a limit is called in ispawn.conf, and whether it was asked for. */
struct need {
	const char *controller;
	const char *key;
	bool is_required;
};

static int enable_one(int dir_fd, const char *where, const struct need *need, struct isp_error *err)
{
	char text[NUMBER_TEXT_SIZE];
	int r;

	(void)snprintf(text, sizeof(text), "+%s", need->controller); /* Ignored: always fits */
	r = isp_fd_write_file(dir_fd, "cgroup.subtree_control", text);
	if (r == 0 || !need->is_required)
		return 0;
	/* Kernel: cgroup-v2.rst, "no internal process constraint". */
	if (r == -EBUSY)
		return isp_err_set(err, EBUSY, ISP_STAGE_CGROUP,
				   "%s: %s holds processes itself, so that the kernel does not "
				   "enable the %s controller below it",
				   need->key, where, need->controller);
	return isp_err_set(err, -r, ISP_STAGE_CGROUP, "%s: enable the %s controller below %s",
			   need->key, need->controller, where);
}

int isp_cgroup_enable(int dir_fd, const char *where, const struct isp_limits *limits,
		      struct isp_error *err)
{
	const struct need needs[] = {
		{"memory", "memory",
		 limits->memory_bytes != NO_LIMIT || limits->swap_bytes != NO_LIMIT},
		{"pids", "pids", limits->pids != NO_LIMIT},
		{"cpu", "cpu", limits->cpu_percent != 0 || limits->cpu_weight != DEFAULT_WEIGHT},
		{"io", "io_weight", limits->io_weight != DEFAULT_WEIGHT},
	};
	cleanup_free char *available = NULL;
	cleanup_free char *enabled = NULL;
	int r = isp_fd_read_file(dir_fd, "cgroup.controllers", LIST_TEXT_MAX, &available);

	if (r == 0)
		r = isp_fd_read_file(dir_fd, "cgroup.subtree_control", LIST_TEXT_MAX, &enabled);
	if (r != 0)
		return isp_err_set(err, -r, ISP_STAGE_CGROUP, "read the controllers of %s", where);
	for (size_t i = 0; i < ISP_ARRAY_SIZE(needs); i++) {
		const struct need *need = &needs[i];

		if (isp_cgroup_has_word(enabled, need->controller))
			continue;
		if (isp_cgroup_has_word(available, need->controller))
			r = enable_one(dir_fd, where, need, err);
		else if (need->is_required)
			r = isp_err_set(err, ENOTSUP, ISP_STAGE_CGROUP,
					"%s: %s has no %s controller", need->key, where,
					need->controller);
		if (r < 0)
			return r;
	}
	return 0;
}

/* struct setting - one write to one file of the user's directories */
struct setting {
	const char *key; /* in ispawn.conf */
	const char *file;
	bool is_default; /* nothing is asked for that the kernel does not do by itself */
	bool is_of_swap;
};

/* A host without swap does not need the files that limit it (kernel command line swapaccount=0). */
static bool has_swap(void)
{
	cleanup_free char *text = NULL;
	const char *line;

	if (isp_fd_read_file(AT_FDCWD, "/proc/swaps", SWAPS_TEXT_MAX, &text) < 0)
		return true;
	line = strchr(text, '\n'); /* the first line is a heading */
	return line && line[1] != '\0';
}

static int missing(const struct setting *setting, struct isp_error *err)
{
	if (setting->is_default || (setting->is_of_swap && !has_swap()))
		return 0;
	return isp_err_set(err, ENOTSUP, ISP_STAGE_CGROUP, "%s: this machine's cgroups have no %s",
			   setting->key, setting->file);
}

static int set_text(const struct isp_cgroup *cgroup, const struct setting *setting,
		    const char *text, struct isp_error *err)
{
	int dir_fd, r;

	/* What the kernel starts with needs to be said only after something else was. */
	if (setting->is_default && cgroup->is_user_new)
		return 0;
	dir_fd = isp_cgroup_find(cgroup, cgroup->user_fd, setting->file);
	if (dir_fd == -ENOENT)
		return missing(setting, err);
	if (dir_fd < 0)
		return isp_err_set(err, -dir_fd, ISP_STAGE_CGROUP, "%s: look for %s", setting->key,
				   setting->file);
	r = isp_fd_write_file(dir_fd, setting->file, text);
	if (r < 0)
		return isp_err_set(err, -r, ISP_STAGE_CGROUP, "%s: write \"%s\" to %s",
				   setting->key, text, setting->file);
	return 0;
}

static int set_number(const struct isp_cgroup *cgroup, const struct setting *setting,
		      uint64_t value, const char *no_limit, struct isp_error *err)
{
	char text[NUMBER_TEXT_SIZE];

	if (value == NO_LIMIT)
		return set_text(cgroup, setting, no_limit, err);
	(void)snprintf(text, sizeof(text), "%" PRIu64, value); /* Ignored: 20 digits fit */
	return set_text(cgroup, setting, text, err);
}

static int write_memory_v2(const struct isp_cgroup *cgroup, const struct isp_limits *limits,
			   struct isp_error *err)
{
	const struct setting memory = {"memory", "memory.max", limits->memory_bytes == NO_LIMIT,
				       false};
	const struct setting swap = {"swap", "memory.swap.max", limits->swap_bytes == NO_LIMIT,
				     true};
	int r = set_number(cgroup, &memory, limits->memory_bytes, "max", err);

	return r == 0 ? set_number(cgroup, &swap, limits->swap_bytes, "max", err) : r;
}

/* v1 limits memory, and memory with swap together. */
static uint64_t memory_and_swap(const struct isp_limits *limits)
{
	uint64_t sum;

	if (limits->memory_bytes == NO_LIMIT || limits->swap_bytes == NO_LIMIT ||
	    __builtin_add_overflow(limits->memory_bytes, limits->swap_bytes, &sum))
		return NO_LIMIT;
	return sum;
}

static int write_memory_v1(const struct isp_cgroup *cgroup, const struct isp_limits *limits,
			   struct isp_error *err)
{
	const struct setting memory = {"memory", "memory.limit_in_bytes",
				       limits->memory_bytes == NO_LIMIT, false};
	const struct setting both = {"swap", "memory.memsw.limit_in_bytes",
				     limits->swap_bytes == NO_LIMIT, true};
	uint64_t sum = memory_and_swap(limits);
	struct isp_error first = {.code = 0};
	int r;

	if (sum == NO_LIMIT && limits->swap_bytes != NO_LIMIT && has_swap())
		return isp_err_set(err, ENOTSUP, ISP_STAGE_CGROUP,
				   "swap: cgroup v1 cannot limit swap when memory has no limit");
	/* Order: the kernel keeps memory <= both.  Lowering, memory goes first; raising above the
	 * old limit of both, it answers EINVAL, and both goes first. */
	r = set_number(cgroup, &memory, limits->memory_bytes, "-1", &first);
	if (r == -EINVAL) {
		r = set_number(cgroup, &both, sum, "-1", err);
		if (r == 0)
			r = set_number(cgroup, &memory, limits->memory_bytes, "-1", err);
		return r;
	}
	if (r < 0)
		return isp_err_adopt(err, &first);
	return set_number(cgroup, &both, sum, "-1", err);
}

static int write_cpu_v2(const struct isp_cgroup *cgroup, const struct isp_limits *limits,
			struct isp_error *err)
{
	const struct setting quota = {"cpu", "cpu.max", limits->cpu_percent == 0, false};
	const struct setting weight = {"cpu_weight", "cpu.weight",
				       limits->cpu_weight == DEFAULT_WEIGHT, false};
	char text[2 * NUMBER_TEXT_SIZE] = "max 100000";
	int r;

	if (limits->cpu_percent != 0)
		(void)snprintf(text, sizeof(text), "%" PRIu64 " %d", /* Ignored: always fits */
			       limits->cpu_percent * US_PER_PERCENT, CPU_PERIOD_US);
	r = set_text(cgroup, &quota, text, err);
	return r == 0 ? set_number(cgroup, &weight, limits->cpu_weight, "", err) : r;
}

static int write_cpu_v1(const struct isp_cgroup *cgroup, const struct isp_limits *limits,
			struct isp_error *err)
{
	bool has_quota = limits->cpu_percent != 0;
	const struct setting period = {"cpu", "cpu.cfs_period_us", !has_quota, false};
	const struct setting quota = {"cpu", "cpu.cfs_quota_us", !has_quota, false};
	const struct setting weight = {"cpu_weight", "cpu.shares",
				       limits->cpu_weight == DEFAULT_WEIGHT, false};
	uint64_t shares = limits->cpu_weight * V1_DEFAULT_SHARES / DEFAULT_WEIGHT;
	int r = set_number(cgroup, &period, CPU_PERIOD_US, "", err);

	if (r == 0)
		r = set_number(cgroup, &quota,
			       has_quota ? limits->cpu_percent * US_PER_PERCENT : NO_LIMIT, "-1",
			       err);
	if (r < 0)
		return r;
	return set_number(cgroup, &weight, shares < V1_SHARES_MIN ? V1_SHARES_MIN : shares, "",
			  err);
}

/* Which file counts depends on the I/O scheduler of the disk, and a kernel may offer two: all that
 * exist are set, and one must. */
static int write_io(const struct isp_cgroup *cgroup, const struct isp_limits *limits,
		    struct isp_error *err)
{
	static const char *const files_v2[] = {"io.weight", "io.bfq.weight"};
	static const char *const files_v1[] = {"blkio.weight", "blkio.bfq.weight"};
	const char *const *files = cgroup->is_v2 ? files_v2 : files_v1;
	bool is_default = limits->io_weight == DEFAULT_WEIGHT;
	bool was_set = false;

	if (is_default && cgroup->is_user_new)
		return 0;
	for (size_t i = 0; i < ISP_ARRAY_SIZE(files_v2); i++) {
		const struct setting weight = {"io_weight", files[i], is_default, false};
		int r;

		if (isp_cgroup_find(cgroup, cgroup->user_fd, files[i]) == -ENOENT)
			continue;
		r = set_number(cgroup, &weight, limits->io_weight, "", err);
		if (r < 0)
			return r;
		was_set = true;
	}
	if (!was_set && !is_default)
		return isp_err_set(err, ENOTSUP, ISP_STAGE_CGROUP,
				   "io_weight: this machine's cgroups have no %s and no %s",
				   files[0], files[1]);
	return 0;
}

int isp_cgroup_write_limits(const struct isp_cgroup *cgroup, const struct isp_limits *limits,
			    struct isp_error *err)
{
	const struct setting pids = {"pids", "pids.max", limits->pids == NO_LIMIT, false};
	int r;

	r = cgroup->is_v2 ? write_memory_v2(cgroup, limits, err)
			  : write_memory_v1(cgroup, limits, err);
	if (r == 0)
		r = set_number(cgroup, &pids, limits->pids, "max", err);
	if (r == 0)
		r = cgroup->is_v2 ? write_cpu_v2(cgroup, limits, err)
				  : write_cpu_v1(cgroup, limits, err);
	return r == 0 ? write_io(cgroup, limits, err) : r;
}
