/* SPDX-License-Identifier: GPL-3.0-or-later */
/* profile.c - profiles and their cache; contract in ispawn/container/profile.h */
#include "ispawn/container/profile.h"

#include "ispawn/base/fd.h"
#include "ispawn/base/parse.h"
#include "ispawn/base/path.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#define ENTRY_SIZE (ISP_NAME_MAX + 1 + 16 + 1) /* NAME.CAPABILITIES and the NUL */
#define CODE_SIZE_MAX (BPF_MAXINSNS * sizeof(struct sock_filter))

/* struct stamp - which file it is; all 0: none */
struct stamp {
	uint64_t device, inode, size, changed_ns;
};

/* struct entry - what stands before the profile's bytes and the instructions in a cached file */
struct entry {
	char magic[8];
	uint32_t profile_size, count, unknown_count, reserved;
	uint64_t capabilities;
	struct stamp compiler, library;
	char kernel[sizeof(((struct utsname *)0)->release)];
	char library_path[ISP_PROFILE_LIBRARY_MAX];
	char unknown[ISP_PROFILE_UNKNOWN_SIZE];
};

static const char magic[8] = "ISPBPF1";

/* struct text - the profile's bytes; owned */
struct text {
	char *bytes;
	size_t size;
};

static struct stamp stamp_of(const char *path)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return (struct stamp){0};
	return (struct stamp){.device = st.st_dev,
			      .inode = st.st_ino,
			      .size = (uint64_t)st.st_size,
			      .changed_ns = (uint64_t)st.st_mtim.tv_sec * 1000000000 +
					    (uint64_t)st.st_mtim.tv_nsec};
}

static bool is_same_stamp(const struct stamp *a, const struct stamp *b)
{
	return a->inode != 0 && memcmp(a, b, sizeof(*a)) == 0;
}

void isp_profile_free(struct isp_profile *profile)
{
	free(profile->code);
	*profile = (struct isp_profile){0};
}

/* --- the profile ------------------------------------------------------------------------------ */

static int read_text(const char *path, struct text *ret, struct isp_error *err)
{
	cleanup_close int fd = -EBADF;
	cleanup_free char *bytes = malloc(ISP_PROFILE_SIZE_MAX + 1);
	struct stat st;
	ssize_t size;
	int r = isp_path_open_trusted(path, O_RDONLY | O_NONBLOCK | O_NOCTTY, ISP_STAGE_SECCOMP,
				      &fd, err);

	if (r < 0)
		return r;
	if (!bytes)
		return isp_err_set(err, ENOMEM, ISP_STAGE_SECCOMP, "read \"%s\"", path);
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return isp_err_set(err, EINVAL, ISP_STAGE_SECCOMP, "\"%s\": not a regular file",
				   path);
	size = isp_fd_read_all(fd, bytes, ISP_PROFILE_SIZE_MAX + 1);
	if (size < 0)
		return isp_err_set(err, (int)-size, ISP_STAGE_SECCOMP, "read \"%s\"", path);
	if (size > ISP_PROFILE_SIZE_MAX)
		return isp_err_set(err, EFBIG, ISP_STAGE_SECCOMP, "\"%s\": more than %d KiB", path,
				   ISP_PROFILE_SIZE_MAX >> 10);
	ret->bytes = steal_pointer(&bytes);
	ret->size = (size_t)size;
	return 0;
}

/* --- the cache -------------------------------------------------------------------------------- */

static void name_entry(const struct isp_profile_wanted *wanted, char ret_name[ENTRY_SIZE])
{
	(void)snprintf(ret_name, ENTRY_SIZE, "%s.%016llx", wanted->name,
		       (unsigned long long)wanted->capabilities); /* fits: a safe name */
}

/* What an entry made here and now holds, but for what the compiler says. */
static struct entry entry_of_now(const struct isp_profile_wanted *wanted, const struct text *text)
{
	struct entry entry;
	struct utsname host = {.release = ""};

	memset(&entry, 0, sizeof(entry));
	memcpy(entry.magic, magic, sizeof(magic));
	entry.profile_size = (uint32_t)text->size;
	entry.capabilities = wanted->capabilities;
	entry.compiler = stamp_of(ISPAWN_SECCOMP);
	if (uname(&host) == 0) /* without it no entry is ever taken: "" is no release */
		memcpy(entry.kernel, host.release, sizeof(entry.kernel));
	return entry;
}

/* Was @found made from what there is now? */
static bool is_current(const struct entry *found, size_t size, const struct entry *now)
{
	struct stamp library;

	if (memcmp(found->magic, now->magic, sizeof(magic)) != 0 || found->count == 0 ||
	    found->count > BPF_MAXINSNS || found->profile_size != now->profile_size ||
	    size != sizeof(*found) + found->profile_size +
			    found->count * sizeof(struct sock_filter) ||
	    found->capabilities != now->capabilities ||
	    found->library_path[sizeof(found->library_path) - 1] != '\0' ||
	    found->unknown[sizeof(found->unknown) - 1] != '\0')
		return false;
	library = stamp_of(found->library_path);
	return now->kernel[0] && memcmp(found->kernel, now->kernel, sizeof(now->kernel)) == 0 &&
	       is_same_stamp(&found->compiler, &now->compiler) &&
	       is_same_stamp(&found->library, &library);
}

/* Return: has @ret been filled?  Whatever is wrong with an entry, it is made again. */
static bool take_cached(const struct isp_profile_wanted *wanted, const struct text *text,
			struct isp_profile *ret)
{
	const size_t room = sizeof(struct entry) + text->size + CODE_SIZE_MAX;
	const struct entry now = entry_of_now(wanted, text);
	cleanup_free char *bytes = malloc(room + 1);
	cleanup_close int fd = -EBADF;
	struct isp_error ignored = {0};
	struct entry found;
	char path[sizeof(ISPAWN_CACHE_DIR) + ENTRY_SIZE], name[ENTRY_SIZE];
	ssize_t size;

	name_entry(wanted, name);
	(void)snprintf(path, sizeof(path), ISPAWN_CACHE_DIR "/%s", name); /* fits */
	if (!bytes || !text->bytes ||
	    isp_path_open_trusted(path, O_RDONLY | O_NONBLOCK | O_NOCTTY, ISP_STAGE_SECCOMP, &fd,
				  &ignored) < 0)
		return false;
	size = isp_fd_read_all(fd, bytes, room + 1);
	if (size < (ssize_t)sizeof(found))
		return false;
	memcpy(&found, bytes, sizeof(found));
	if (!is_current(&found, (size_t)size, &now) ||
	    memcmp(bytes + sizeof(found), text->bytes, text->size) != 0)
		return false;
	ret->code = calloc(found.count, sizeof(*ret->code));
	if (!ret->code)
		return false;
	memcpy(ret->code, bytes + sizeof(found) + text->size, found.count * sizeof(*ret->code));
	ret->count = found.count;
	ret->is_kept = true;
	ret->unknown_count = found.unknown_count;
	memcpy(ret->unknown, found.unknown, sizeof(ret->unknown));
	return true;
}

static int write_entry(int fd, const struct entry *entry, const struct text *text,
		       const struct isp_profile *profile)
{
	int r = isp_fd_write_all(fd, entry, sizeof(*entry));

	if (r == 0)
		r = isp_fd_write_all(fd, text->bytes, text->size);
	if (r == 0)
		r = isp_fd_write_all(fd, profile->code, profile->count * sizeof(*profile->code));
	/* Kernel: a name can reach the disk long before what it names. */
	if (r == 0 && fsync(fd) != 0)
		r = -errno;
	return r;
}

static int open_cache(int *ret_fd)
{
	cleanup_close int parent_fd = -EBADF;
	struct isp_error ignored = {0};
	int r = isp_path_open_trusted(ISPAWN_CACHE_PARENT, O_RDONLY | O_DIRECTORY,
				      ISP_STAGE_SECCOMP, &parent_fd, &ignored);

	return r < 0 ? r : isp_path_make_dir(parent_fd, ISPAWN_CACHE_NAME, 0700, ret_fd);
}

/* Under a lock that is not waited for: whoever holds it is about to write the same. */
static int keep(const struct isp_profile_wanted *wanted, const struct text *text,
		const struct isp_answer *answer, const struct isp_profile *profile)
{
	static const char unfinished[] = ".new"; /* no entry's name begins with a dot */
	struct entry entry = entry_of_now(wanted, text);
	cleanup_close int dir_fd = -EBADF;
	cleanup_close int fd = -EBADF;
	char name[ENTRY_SIZE];
	int r = open_cache(&dir_fd);

	if (r < 0)
		return r;
	if (flock(dir_fd, LOCK_EX | LOCK_NB) != 0)
		return -errno;
	entry.count = (uint32_t)profile->count;
	entry.unknown_count = answer->unknown_count;
	memcpy(entry.unknown, answer->unknown, sizeof(entry.unknown));
	memcpy(entry.library_path, answer->library, sizeof(entry.library_path));
	entry.library = stamp_of(answer->library);
	(void)unlinkat(dir_fd, unfinished, 0); /* Ignored: open says so if it is still there */
	fd = openat(dir_fd, unfinished, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = write_entry(fd, &entry, text, profile);
	name_entry(wanted, name);
	if (r == 0 && renameat(dir_fd, unfinished, dir_fd, name) != 0)
		r = -errno;
	if (r < 0)
		(void)unlinkat(dir_fd, unfinished, 0); /* Ignored: the next one removes it */
	return r;
}

/* --- both ------------------------------------------------------------------------------------- */

static int compile(const struct isp_profile_wanted *wanted, const struct text *text,
		   struct isp_profile *ret, struct isp_error *err)
{
	struct isp_answer answer = {0};
	int r = isp_profile_compile(wanted, text->bytes, text->size, &answer, &ret->code, err);

	if (r < 0)
		return r;
	ret->count = answer.count;
	ret->unknown_count = answer.unknown_count;
	memcpy(ret->unknown, answer.unknown, sizeof(ret->unknown));
	ret->is_kept = keep(wanted, text, &answer, ret) == 0;
	return 0;
}

int isp_profile_find(const struct isp_profile_wanted *wanted, struct isp_profile *ret_profile,
		     struct isp_error *err)
{
	struct text text = {.size = 0};
	char path[sizeof(ISPAWN_PROFILES_DIR) + ISP_NAME_MAX + sizeof("/.json")];
	int r;

	(void)snprintf(path, sizeof(path), ISPAWN_PROFILES_DIR "/%s.json", wanted->name); /* fits */
	r = read_text(path, &text, err);
	if (r == 0 && (wanted->is_anew || !take_cached(wanted, &text, ret_profile))) {
		r = compile(wanted, &text, ret_profile, err);
		if (r < 0)
			isp_err_prefix(err, "\"%s\"", path);
	}
	free(text.bytes);
	return r;
}
