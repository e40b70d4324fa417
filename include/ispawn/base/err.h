/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * err.h - the error record
 *
 * Theory of operation: every fallible function returns 0 or -errno and fills a record that its
 * caller owns.  The record is plain memory of fixed size, so that it crosses a socket or a process
 * boundary as it is: the builder's failure reaches the administrator's log with the words the
 * builder chose.  The first writer wins, because the first failure is the cause and what follows
 * are consequences; callers add where they were ("outer: inner").  Text is escaped when it is
 * written, so whoever prints a record need not ask where its bytes came from.  An error can never
 * read as success: a record set with errno 0 becomes EPROTO.
 */
#ifndef ISPAWN_BASE_ERR_H
#define ISPAWN_BASE_ERR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ISP_ERROR_TEXT_SIZE 240

#define ISP_MUST_CHECK __attribute__((warn_unused_result))
#define ISP_PRINTF(fmt, va) __attribute__((format(printf, fmt, va)))

/** isp_ignore() - a result ignored on purpose; the reason stands beside the call. GCC lets no cast
 * to void silence warn_unused_result. */
static inline void isp_ignore(int64_t result)
{
	(void)result;
}

/** enum isp_stage - where in a login the failure happened; the `stage=` of the log line. */
enum isp_stage {
	ISP_STAGE_NONE,
	ISP_STAGE_SUBJECT,    /* who is logging in */
	ISP_STAGE_CONFIG,     /* reading the configuration */
	ISP_STAGE_POLICY,     /* deciding, freezing the spec */
	ISP_STAGE_START,      /* starting the supervisor */
	ISP_STAGE_SPEC,       /* reading the frozen spec back */
	ISP_STAGE_REGISTRY,   /* the session's entry under /run */
	ISP_STAGE_CGROUP,     /* limits */
	ISP_STAGE_ROOTFS,     /* template, copy, home, binds */
	ISP_STAGE_NAMESPACES, /* clone3 */
	ISP_STAGE_IDMAP,      /* uid and gid maps, idmapped mounts */
	ISP_STAGE_MOUNTS,     /* proc, sys, dev, tmp ... */
	ISP_STAGE_PIVOT,      /* changing the root */
	ISP_STAGE_DEVICES,    /* /dev */
	ISP_STAGE_IDENTITY,   /* hostname, passwd, hosts ... */
	ISP_STAGE_NETWORK,    /* loopback, joining the namespace */
	ISP_STAGE_DROP,       /* ids, capabilities, rlimits */
	ISP_STAGE_SECCOMP,    /* the filter */
	ISP_STAGE_PROVE,      /* trying to undo the drops */
	ISP_STAGE_INIT,       /* starting PID 1 */
	ISP_STAGE_PROTOCOL,   /* a message that should not be */
	ISP_STAGE_COVER,      /* binding ispawn-shell over the user's shell */
	ISP_STAGE_TENANT,     /* starting or ending a program inside */
	ISP_STAGE_DEADLINE,   /* start_timeout ran out */
	ISP_STAGE_COUNT,
};

/**
 * struct isp_error - one failure, with its number and its words
 * @code:  positive errno; 0 means that nothing has failed yet
 * @stage: enum isp_stage; fixed width, since the record crosses sockets
 * @text:  NUL-terminated, printable ASCII only
 */
struct isp_error {
	int32_t code;
	uint32_t stage;
	char text[ISP_ERROR_TEXT_SIZE];
};

/**
 * isp_err_set() - record a failure; the first writer wins
 * @err:   the caller's record; untouched when it already holds a failure
 * @errnum: positive errno; 0 becomes EPROTO
 * @stage: where
 * @fmt:   what was tried, without strerror: isp_err_describe() adds that
 * Return: -@errnum as recorded now (never 0), so that callers can `return isp_err_set(...)`.
 */
int isp_err_set(struct isp_error *err, int errnum, enum isp_stage stage, const char *fmt, ...)
	ISP_PRINTF(4, 5);

/**
 * isp_err_prefix() - say where the caller was: "outer: inner"
 * @err: a record; untouched when it holds no failure
 * Return: -code of the record, 0 when it holds none.
 */
int isp_err_prefix(struct isp_error *err, const char *fmt, ...) ISP_PRINTF(2, 3);

/**
 * isp_err_adopt() - take over a record that came from another process
 * @err:  the caller's record; first writer wins
 * @from: untrusted: its text is terminated, what is not printable in it becomes "?", its stage and
 *        code are bounded
 * Return: -code, never 0: a peer that reports failure without one gets EPROTO.
 */
int isp_err_adopt(struct isp_error *err, const struct isp_error *from);

/** isp_err_stage_name() - the word for the log; "unknown" for anything out of range. */
const char *isp_err_stage_name(uint32_t stage);

/**
 * isp_err_describe() - one line for a log: `stage=mounts: open "proc": Permission denied`
 * @ret_text: buffer of @size bytes; always terminated
 */
void isp_err_describe(const struct isp_error *err, char *ret_text, size_t size);

/**
 * isp_escape() - make untrusted bytes printable
 * @ret_text: buffer of @size bytes; always terminated, cut with "..." when it does not fit
 * @untrusted: NUL-terminated
 * Everything but printable ASCII becomes \xNN; backslash and double quote get a backslash.
 * Threat: escape sequences in names and command lines that an administrator's terminal obeys.
 */
void isp_escape(char *ret_text, size_t size, const char *untrusted);

#endif
