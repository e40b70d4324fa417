/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * spec.h - the frozen build order for one container
 *
 * Theory of operation: a door turns a subject and a decision into a spec, freezes it in a sealed
 * memfd and hands that to the supervisor, which never reads configuration.  The spec is the whole
 * privilege boundary between "what was decided" and "what is built", so it holds only checked,
 * plain values: numbers in one unit, names that are safe in paths, clean absolute paths.  On the
 * wire it is text, `name=value\0` in the order of one table, which is encoder, decoder and range
 * check at once; an unknown, missing, repeated or misplaced field is refused, and the first field
 * is the version, so that an old module and a new supervisor part with a clear error.
 */
#ifndef ISPAWN_POLICY_SPEC_H
#define ISPAWN_POLICY_SPEC_H

#include "ispawn/base/err.h"
#include "ispawn/base/parse.h"

#include <sys/types.h>

#define ISP_SPEC_VERSION 1
#define ISP_SPEC_SIZE_MAX (256 * 1024) /* bytes of an encoded spec */
#define ISP_LIST_MAX 32		       /* binds, groups, variables, resolvers */

enum isp_rootfs { ISP_ROOTFS_OVERLAY, ISP_ROOTFS_COPY, ISP_ROOTFS_EPHEMERAL, ISP_ROOTFS_READONLY };
enum isp_home { ISP_HOME_PRIVATE, ISP_HOME_BIND, ISP_HOME_TMPFS };
enum isp_privilege { ISP_PRIVILEGE_NONE, ISP_PRIVILEGE_SUDO, ISP_PRIVILEGE_ROOT };
enum isp_network { ISP_NETWORK_NONE, ISP_NETWORK_HOST };
enum isp_logout { ISP_LOGOUT_KILL, ISP_LOGOUT_LINGER };

/** struct isp_bind - one host path shown inside; both clean absolute paths, owned by the spec. */
struct isp_bind {
	char *source;
	char *target;
	bool is_read_only;
};

/** struct isp_group - a supplementary group kept inside, with the name the host knows it by. */
struct isp_group {
	gid_t gid;
	char *name;
};

/** struct isp_limits - what bounds all logins of the user together */
struct isp_limits {
	uint64_t memory_bytes;	 /* UINT64_MAX: no limit */
	uint64_t swap_bytes;	 /* beyond memory; UINT64_MAX: no limit */
	uint64_t pids;		 /* tasks; UINT64_MAX: no limit */
	uint64_t cpu_percent;	 /* of one core; 0: no limit */
	uint64_t cpu_weight;	 /* 1..10000, 100 is the kernel's default */
	uint64_t io_weight;	 /* 1..10000, 100 is the kernel's default */
	uint64_t sessions;	 /* open at once */
};

/**
 * struct isp_spec - everything the supervisor is told; starts `= { 0 }`, ends isp_spec_free()
 * Strings are owned by the spec and never NULL once decoded or frozen ("" when there is nothing).
 */
struct isp_spec {
	char session[ISP_SESSION_ID_SIZE];

	/* the subject, resolved on the host */
	char user[ISP_NAME_MAX + 1];
	uid_t uid;		/* never 0, never (uid_t)-1 */
	gid_t gid;		/* likewise */
	char *group;		/* name of @gid */
	char *gecos;		/* no ':' or newline */
	char *service, *tty, *rhost; /* for the log; any printable text */
	struct isp_group groups[ISP_LIST_MAX]; /* supplementary groups kept: `groups` and member of */
	size_t group_count;

	/* the place */
	char template_name[ISP_NAME_MAX + 1]; /* ISPAWN_STORE_DIR/templates/NAME/rootfs */
	enum isp_rootfs rootfs;
	enum isp_home home;
	char *home_path;	/* the passwd entry's home: where it stands inside */
	char *shell;		/* path inside; "" = forwarding only; "?" is never used */
	bool shell_is_fallback; /* @shell came from passwd: /bin/bash, then /bin/sh stand in for it */
	char hostname[64 + 1];
	char *dns[ISP_LIST_MAX]; /* numeric addresses */
	size_t dns_count;
	struct isp_bind binds[ISP_LIST_MAX];
	size_t bind_count;
	uint64_t tmp_size_bytes;
	uint64_t ephemeral_size_bytes;

	/* rights */
	enum isp_privilege privilege;
	uint64_t capabilities; /* bit per capability number: the bounding set for sudo and root */
	enum isp_network network;
	struct isp_limits limits;
	uint64_t nofile;	/* RLIMIT_NOFILE */
	char *environment[ISP_LIST_MAX]; /* further variable names let through */
	size_t environment_count;

	/* time, all in seconds, 0 = never */
	enum isp_logout on_logout;
	uint64_t idle_timeout_s;
	uint64_t max_session_s;
	uint64_t start_timeout_s; /* never 0 */
};

/** isp_spec_free() - free every string; leaves the spec zeroed. */
void isp_spec_free(struct isp_spec *spec);
#define cleanup_spec __attribute__((cleanup(isp_spec_free)))

/**
 * isp_spec_encode() - the spec as bytes for a memfd
 * @ret_bytes: the caller frees
 * Checks every field as isp_spec_decode() would: what cannot be read back is not written.
 * Return: 0; -EINVAL a field out of range (the record names it); -E2BIG; -ENOMEM.
 */
ISP_MUST_CHECK int isp_spec_encode(const struct isp_spec *spec, char **ret_bytes, size_t *ret_size,
				   struct isp_error *err);

/**
 * isp_spec_decode() - read a spec back
 * @bytes: @size bytes, treated as hostile
 * @ret_spec: zeroed by the caller; on failure left zeroed
 * Return: 0; -EPROTO other version; -EINVAL unknown, missing, repeated or bad field (named).
 */
ISP_MUST_CHECK int isp_spec_decode(const char *bytes, size_t size, struct isp_spec *ret_spec,
				   struct isp_error *err);

#endif
