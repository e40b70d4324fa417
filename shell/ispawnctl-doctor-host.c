/* SPDX-License-Identifier: GPL-3.0-or-later */
/* ispawnctl-doctor-host.c - store, cgroups, installed files; contract in ispawnctl-host.h */
#include "ispawnctl-host.h"

#include "ispawn/base/fd.h"
#include "ispawn/base/path.h"
#include "ispawn/session/protocol.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <mntent.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define FILE_MAX (64 * 1024 * 1024)
#define CGROUPS "/sys/fs/cgroup"
#define CONTROLLERS_MAX 4096

/* --- the store -------------------------------------------------------------------------------- */

/* The mount that @path is on: of those above it the longest, of two on one place the later. */
static void find_mount(const char *path, char *ret_text, size_t size)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	struct mntent *entry;
	size_t best = 0;

	(void)snprintf(ret_text, size, "?");
	while (mounts && (entry = getmntent(mounts))) {
		size_t length = strlen(entry->mnt_dir);
		bool is_root = strcmp(entry->mnt_dir, "/") == 0;
		char raw[200];

		if (length < best || strncmp(path, entry->mnt_dir, length) != 0 ||
		    (!is_root && path[length] != '/' && path[length] != '\0'))
			continue;
		best = length;
		(void)snprintf(raw, sizeof(raw), "%s, %.160s", entry->mnt_type, entry->mnt_opts);
		isp_escape(ret_text, size, raw);
	}
	if (mounts)
		(void)endmntent(mounts); /* says 1, always */
}

static void check_store(struct doctor *doctor)
{
	cleanup_close int fd = -EBADF;
	struct isp_error err = {0};
	struct statfs fs;
	struct stat st;
	char mount[240];

	if (isp_path_open_trusted(ISPAWN_STORE_DIR, O_PATH | O_DIRECTORY, ISP_STAGE_ROOTFS, &fd,
				  &err) < 0 ||
	    fstat(fd, &st) != 0 || fstatfs(fd, &fs) != 0) {
		doctor_fail(doctor, "make it, root's, mode 0700",
			    "\"" ISPAWN_STORE_DIR "\" is not there, or not root's alone");
		return;
	}
	find_mount(ISPAWN_STORE_DIR, mount, sizeof(mount));
	/* Threat: what a user makes setuid in his copy is a file of the host. */
	if (st.st_mode & 077)
		doctor_fail(doctor, "chmod 0700",
			    "others than root can enter \"" ISPAWN_STORE_DIR "\"");
	else if (fs.f_bavail == 0 || (fs.f_files > 0 && fs.f_ffree == 0))
		doctor_fail(doctor, "make room", "the store's file system is full (%s)", mount);
	else
		doctor_ok("store \"" ISPAWN_STORE_DIR "\": %s, %llu MiB free", mount,
			  (unsigned long long)fs.f_bavail * (unsigned long long)fs.f_bsize >> 20);
}

/* --- cgroups ---------------------------------------------------------------------------------- */

static const char *const controllers[] = {"cpu", "io", "memory", "pids"};
static const char *const v1_names[] = {"cpu", "blkio", "memory", "pids"};

static bool is_v2(void)
{
	struct statfs fs;

	return statfs(CGROUPS, &fs) == 0 &&
	       (unsigned long)fs.f_type == (unsigned long)CGROUP2_SUPER_MAGIC;
}

static bool has_v1(const char *name)
{
	char path[64];
	struct statfs fs;

	(void)snprintf(path, sizeof(path), CGROUPS "/%s", name); /* fits */
	return statfs(path, &fs) == 0 &&
	       (unsigned long)fs.f_type == (unsigned long)CGROUP_SUPER_MAGIC;
}

static bool has_v2(const char *list, const char *name)
{
	char copy[CONTROLLERS_MAX];
	char *save = NULL;

	(void)snprintf(copy, sizeof(copy), "%s", list);
	for (char *word = strtok_r(copy, " \n", &save); word; word = strtok_r(NULL, " \n", &save))
		if (strcmp(word, name) == 0)
			return true;
	return false;
}

/* Whether the limits of the policy can be set is tried by `check`; here is what is missing. */
static void check_cgroups(struct doctor *doctor)
{
	cleanup_free char *list = NULL;
	bool is_unified = is_v2();
	size_t missing = 0;

	if (is_unified &&
	    isp_fd_read_file(AT_FDCWD, CGROUPS "/cgroup.controllers", CONTROLLERS_MAX, &list) < 0)
		doctor_fail(doctor, "mount cgroup2 there", "no \"" CGROUPS "/cgroup.controllers\"");
	for (size_t i = 0; i < ISP_ARRAY_SIZE(controllers); i++) {
		if (is_unified ? list && has_v2(list, controllers[i]) : has_v1(v1_names[i]))
			continue;
		missing++;
		doctor_note("no cgroup controller %s: limits that need it deny the login",
			    is_unified ? controllers[i] : v1_names[i]);
	}
	if (missing < ISP_ARRAY_SIZE(controllers))
		doctor_ok("cgroups: %s, controllers %zu of %zu", is_unified ? "v2" : "v1 or hybrid",
			  ISP_ARRAY_SIZE(controllers) - missing, ISP_ARRAY_SIZE(controllers));
	else
		doctor_fail(doctor, "mount the cgroup file systems", "there are no cgroups");
}

/* --- installed files -------------------------------------------------------------------------- */

static const struct {
	const char *path;
	mode_t mode, mask;
} installed[] = {
	{ISPAWN_PAMDIR "/pam_ispawn.so", 0444, 06444},
	{ISPAWN_SUPERVISOR, 0100, 06100},
	{ISPAWN_INIT, 0711, 07777},
	{ISPAWN_SHELL, 0555, 06555},
	{ISPAWN_DOOR, 0100, 06100},
	{ISPAWN_SECCOMP, 0100, 06100},
	{ISPAWN_RUNNER, 0555, 06555},
	{ISPAWN_ENTER, 0100, 06100},
};

static bool is_digest(const char *text)
{
	return strspn(text, "0123456789abcdef") == ISP_BUILD_DIGITS;
}

/* The build that stands in a program's file; 0 and @ret_digest, or -ENOENT. */
static int find_build(const char *bytes, size_t size, char ret_digest[ISP_BUILD_DIGITS + 1])
{
	static const char prefix[] = ISP_BUILD_PREFIX;
	size_t length = sizeof(prefix) - 1;
	const char *end = bytes + size;

	for (const char *at = bytes; at < end; at++) {
		at = memmem(at, (size_t)(end - at), prefix, length);
		if (!at || (size_t)(end - at) < length + ISP_BUILD_DIGITS)
			return -ENOENT;
		memcpy(ret_digest, at + length, ISP_BUILD_DIGITS);
		ret_digest[ISP_BUILD_DIGITS] = '\0';
		if (is_digest(ret_digest))
			return 0;
	}
	return -ENOENT;
}

static int read_build(int fd, size_t size, char ret_digest[ISP_BUILD_DIGITS + 1])
{
	void *bytes;
	int r;

	if (size == 0 || size > FILE_MAX)
		return -EFBIG;
	bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (bytes == MAP_FAILED)
		return -errno;
	r = find_build(bytes, size, ret_digest);
	(void)munmap(bytes, size); /* Ignored: ours, and whole */
	return r;
}

static void check_file(struct doctor *doctor, size_t i)
{
	const char *path = installed[i].path;
	cleanup_close int fd = -EBADF;
	struct isp_error err = {0};
	char digest[ISP_BUILD_DIGITS + 1] = "";
	struct stat st;

	if (isp_path_open_trusted(path, O_RDONLY | O_NONBLOCK, ISP_STAGE_START, &fd, &err) < 0)
		doctor_fail(doctor, "install it again", "%s: %s", path, err.text);
	else if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) ||
		 (st.st_mode & installed[i].mask) != installed[i].mode)
		doctor_fail(doctor, "install it again", "%s has a wrong mode", path);
	else if (read_build(fd, (size_t)st.st_size, digest) < 0)
		doctor_fail(doctor, "install all programs again",
			    "%s does not say of which build it is", path);
	else if (strcmp(digest, isp_protocol_build()) != 0)
		doctor_fail(doctor, "install all programs again",
			    "%s is of build %s, ispawnctl of build %s", path, digest,
			    isp_protocol_build());
	else
		doctor_ok("%s: build %s", path, digest);
}

void doctor_host(struct doctor *doctor)
{
	check_store(doctor);
	check_cgroups(doctor);
	for (size_t i = 0; i < ISP_ARRAY_SIZE(installed); i++)
		check_file(doctor, i);
}
