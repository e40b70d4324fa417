/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * profile.h - system call filters that the administrator writes
 *
 * Theory of operation: a profile is ISPAWN_PROFILES_DIR/NAME.json, in the OCI format as Docker and
 * Podman use it.  The supervisor never parses it: ispawn-seccomp, a program of its own that gives
 * up all rights first, reads the file's bytes and answers with BPF.  What it answered is kept under
 * ISPAWN_CACHE_DIR together with all that it was made from, so that a login pays for the
 * compilation once: the profile's own bytes, the capabilities, the kernel's release, and the
 * compiler and the libseccomp that made it, by inode, size and time.  The bytes themselves are
 * compared, not a hash of them: nothing can collide, and nothing more is linked.  The cache is a
 * convenience: what in it is missing, old, cut or untrusted is made again, and where it cannot be
 * written, each login compiles.
 *
 * No profile stands alone: isp_seccomp_load() puts the mandatory filter in front of it.
 */
#ifndef ISPAWN_CONTAINER_PROFILE_H
#define ISPAWN_CONTAINER_PROFILE_H

#include "ispawn/container/seccomp.h"

#define ISP_PROFILE_SIZE_MAX (256 * 1024) /* bytes; Docker's has about 16 KiB */
#define ISP_PROFILE_LIBRARY_MAX 256       /* path of the library, with the NUL */
#define ISP_PROFILE_UNKNOWN_SIZE 160      /* text, with the NUL */
#define ISP_ANSWER_MAGIC 0x70637369U

/**
 * struct isp_answer - what ispawn-seccomp writes; the instructions follow
 * @error:   why the profile is refused; then @count is 0
 * @library: the file of the libseccomp that compiled it
 * @unknown: the calls of the profile that this libseccomp has no number for: how many names, and
 *           the first of them, printable
 */
struct isp_answer {
	uint32_t magic;
	uint32_t count;
	struct isp_error error;
	char library[ISP_PROFILE_LIBRARY_MAX];
	uint32_t unknown_count;
	char unknown[ISP_PROFILE_UNKNOWN_SIZE];
};

/**
 * struct isp_profile_wanted - what to find
 * @name:         isp_spec_filter_is_valid(), neither "default" nor "learn"
 * @capabilities: the bounding set inside, which `includes` and `excludes` ask for
 * @cancel_fd:    a socket whose end cancels; borrowed, -EBADF for none
 * @deadline_ms:  as isp_clock_ms()
 * @is_anew:      compile, whatever the cache holds
 */
struct isp_profile_wanted {
	const char *name;
	uint64_t capabilities;
	int cancel_fd;
	int64_t deadline_ms;
	bool is_anew;
};

/** struct isp_profile - a compiled profile; starts `= { 0 }`, ends isp_profile_free() */
struct isp_profile {
	struct sock_filter *code;
	size_t count;
	bool is_kept; /* it is in the cache now */
	uint32_t unknown_count;
	char unknown[ISP_PROFILE_UNKNOWN_SIZE];
};

void isp_profile_free(struct isp_profile *profile);
#define cleanup_profile __attribute__((cleanup(isp_profile_free)))

/**
 * isp_profile_find() - the BPF of a profile, from the cache or compiled now
 * Runs as: host root, before the builder is cloned.
 * Return: 0; -EPERM others than root can write the profile; -ENOENT; -EINVAL the profile is
 * refused, with its file and key named; -ETIMEDOUT; -ECANCELED; else -errno.
 */
ISP_MUST_CHECK int isp_profile_find(const struct isp_profile_wanted *wanted,
				    struct isp_profile *ret_profile, struct isp_error *err);

/**
 * isp_profile_compile() - hand the bytes of a profile to ispawn-seccomp
 * @bytes: @size of them; a whole JSON text
 * @ret_answer: its @count is that of *@ret_code, which the caller frees
 * Return: as above; -EPROTO the compiler died or answered nonsense.
 */
ISP_MUST_CHECK int isp_profile_compile(const struct isp_profile_wanted *wanted, const char *bytes,
				       size_t size, struct isp_answer *ret_answer,
				       struct sock_filter **ret_code, struct isp_error *err);

#endif
