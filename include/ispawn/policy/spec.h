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

#define ISP_SPEC_VERSION 2
#define ISP_SPEC_SIZE_MAX (256 * 1024) /* bytes of an encoded spec */
#define ISP_LIST_MAX 32                /* binds, groups, variables, resolvers */
#define ISP_TREE_IDS 65536             /* ids of a tree: 0..65535 */
#define ISP_SPEC_TEXT_MAX 1024         /* bytes of gecos, service, tty, rhost, group names */

/* Ranges of the numbers, for the spec and the configuration alike. */
#define ISP_MEMORY_MIN (UINT64_C(16) << 20) /* a shell and its libraries, with room to fail */
#define ISP_TMPFS_MIN (UINT64_C(1) << 20)
#define ISP_TMPFS_MAX (UINT64_C(1) << 40) /* never unbounded: a tmpfs is the host's memory */
#define ISP_PIDS_MIN 8                    /* init, a shell, a small pipeline */
#define ISP_CPU_PERCENT_MAX 409600        /* 4096 cores */
#define ISP_WEIGHT_MAX 10000
#define ISP_SESSIONS_MAX 1024
#define ISP_NOFILE_MIN 64
#define ISP_NOFILE_MAX 1048576 /* fs.nr_open's default */
#define ISP_TIMEOUT_MAX_S (UINT64_C(366) * 86400)
#define ISP_START_TIMEOUT_MAX_S 600

enum isp_rootfs { ISP_ROOTFS_OVERLAY, ISP_ROOTFS_COPY, ISP_ROOTFS_EPHEMERAL, ISP_ROOTFS_READONLY };
enum isp_home { ISP_HOME_PRIVATE, ISP_HOME_BIND, ISP_HOME_TMPFS };
enum isp_privilege { ISP_PRIVILEGE_NONE, ISP_PRIVILEGE_SUDO, ISP_PRIVILEGE_ROOT };
enum isp_network { ISP_NETWORK_NONE, ISP_NETWORK_HOST };
enum isp_logout { ISP_LOGOUT_KILL, ISP_LOGOUT_LINGER };

/*
 * Whose container it is on the host: whose session it counts as, and who may ask for programs.
 * USER: the user's, whose own ids stand for themselves inside.  ROOT: root's, started by hand; no
 * id of the host stands inside, and user, uid and gid are the tree's own, where 0 is one of them.
 */
enum isp_owner { ISP_OWNER_USER, ISP_OWNER_ROOT };
#define ISP_ROOT_NAME "root" /* of root's sessions, whatever passwd calls uid 0 */

/* Their words in the spec and in ispawn.conf, in the order of the enums; NULL ends each. */
extern const char *const isp_rootfs_words[];
extern const char *const isp_home_words[];
extern const char *const isp_privilege_words[];
extern const char *const isp_network_words[];
extern const char *const isp_logout_words[];
extern const char *const isp_owner_words[];

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
	uint64_t memory_bytes; /* UINT64_MAX: no limit */
	uint64_t swap_bytes;   /* beyond memory; UINT64_MAX: no limit */
	uint64_t pids;         /* tasks; UINT64_MAX: no limit */
	uint64_t cpu_percent;  /* of one core; 0: no limit */
	uint64_t cpu_weight;   /* 1..10000, 100 is the kernel's default */
	uint64_t io_weight;    /* 1..10000, 100 is the kernel's default */
	uint64_t sessions;     /* open at once */
};

/**
 * struct isp_spec - everything the supervisor is told; starts `= { 0 }`, ends isp_spec_free()
 * Strings are owned by the spec and never NULL once decoded or frozen ("" when there is nothing).
 */
struct isp_spec {
	char session[ISP_SESSION_ID_SIZE];

	enum isp_owner owner;

	/* the subject, resolved on the host, or with ISP_OWNER_ROOT in the tree */
	char user[ISP_NAME_MAX + 1];
	uid_t uid;                   /* never (uid_t)-1, and 0 only with ISP_OWNER_ROOT */
	gid_t gid;                   /* likewise */
	char *group;                 /* name of @gid */
	char *gecos;                 /* no ':' or newline */
	char *service, *tty, *rhost; /* for the log; any printable text */
	struct isp_group
		groups[ISP_LIST_MAX]; /* supplementary groups kept: `groups` and member of */
	size_t group_count;

	/* the place */
	/* "" for logins, and a must with ISP_OWNER_ROOT.  Else a path for messages: the directory
	 * itself comes as a descriptor, and is the copy (rootfs = copy: changes stay in it), or
	 * takes the template's place.  Nothing is written into it but what the tenants write, and
	 * no home is mounted. */
	char *directory;
	/* Only with ISP_OWNER_ROOT: a request may name any program, not only arguments for the
	 * shell, and a directory to start in. */
	bool runs_commands;

	/* What an ordinary user's own container lacks; the last two only with the first. */
	bool is_rootless;  /* "the host's root" is this user in a user namespace of his own */
	bool is_unlimited; /* no cgroup: limits stand in the spec as none, or as the kernel's own */
	bool has_one_id;   /* 0 is the only id inside, and groups cannot be given up */
	char template_name[ISP_NAME_MAX + 1]; /* ISPAWN_STORE_DIR/templates/NAME/rootfs */
	enum isp_rootfs rootfs;
	enum isp_home home;
	char *home_path;        /* the passwd entry's home: where it stands inside */
	char *shell;            /* path inside; "" = forwarding only; "?" is never used */
	bool shell_is_fallback; /* @shell came from passwd: /bin/bash, then /bin/sh stand in for it
				 */
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
	char seccomp[ISP_NAME_MAX + 1]; /* "default", "learn" or the name of a profile */
	enum isp_network network;
	struct isp_limits limits;
	uint64_t nofile;                 /* RLIMIT_NOFILE */
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

/** isp_spec_bounding() - the capabilities that can be had inside, of those that are configured */
static inline uint64_t isp_spec_bounding(enum isp_privilege privilege, uint64_t capabilities)
{
	return privilege == ISP_PRIVILEGE_NONE ? 0 : capabilities;
}

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

/**
 * isp_spec_contradiction() - what no field can tell alone
 * @spec: each field for itself is as it may be
 * @ret_field: on failure the name of the one that is wrong; a static string
 * Return: NULL; the reason, a static string.
 */
const char *isp_spec_contradiction(const struct isp_spec *spec, const char **ret_field);

/** isp_spec_owner_name(), isp_spec_owner_uid() - by what name and id the host knows the session */
const char *isp_spec_owner_name(const struct isp_spec *spec);
uid_t isp_spec_owner_uid(const struct isp_spec *spec);

/** isp_spec_text_is_printable() - no control byte, at most ISP_SPEC_TEXT_MAX bytes; may be empty.
 */
bool isp_spec_text_is_printable(const char *text);

/** isp_spec_passwd_text_is_valid() - printable, and may stand between the colons of a passwd line.
 */
bool isp_spec_passwd_text_is_valid(const char *text);

/** isp_spec_group_name_is_valid() - not empty, printable, no ':' and no ',' (group's own list). */
bool isp_spec_group_name_is_valid(const char *text);

/** isp_spec_shell_is_valid() - "" for none, or a clean path without ':' that is not "/". */
bool isp_spec_shell_is_valid(const char *text);

/** isp_spec_filter_is_valid() - a safe name that does not ask for no filter at all. */
bool isp_spec_filter_is_valid(const char *text);

/** isp_spec_hostname_is_valid() - one label: 1 to 63 of [a-z0-9-], no '-' at either end. */
bool isp_spec_hostname_is_valid(const char *text);

/**
 * isp_spec_home_is_usable() - may the home directory stand at @path inside?
 * A clean path that shadows neither the system's own directories nor anything in /proc, /dev, ...
 */
bool isp_spec_home_is_usable(const char *path);

/**
 * isp_spec_bind_is_allowed() - may the host's @source be shown at @target inside?
 * @ret_why: on false, the reason: a static string
 * Both clean, without ':'.  Refused sources: the host's root, all in /proc, /sys, /dev and /run,
 * and ispawn's own directories.  Refused targets: /, /proc, /sys, /dev, all below these three, and
 * /run and /tmp themselves.
 */
bool isp_spec_bind_is_allowed(const char *source, const char *target, const char **ret_why);

/** isp_spec_variable_is_allowed() - may the environment variable @name be let through?  Not the
 * ones that ispawn sets itself, nor those that make programs load or run what they name. */
bool isp_spec_variable_is_allowed(const char *name);

/** isp_spec_address_is_valid() - a numeric IPv4 or IPv6 address. */
bool isp_spec_address_is_valid(const char *text);

#endif
