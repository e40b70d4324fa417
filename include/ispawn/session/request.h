/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * request.h - what ispawn-shell asks of init
 *
 * Theory of operation: a tenant's arguments, environment and terminal are too long for a message,
 * so they travel from the user's ispawn-shell to init in a sealed memfd that the supervisor passes
 * on without looking.  The bytes are a fixed header followed by NUL-terminated strings, arguments
 * first; decoding accepts exactly what encoding writes.  Both ends run with the user's rights, and
 * init still reads the bytes as hostile: a tenant that speaks to the session's socket itself must
 * gain nothing over one that runs ispawn-shell.  The environment travels unfiltered; init alone
 * decides what of it a tenant sees (environment.h).
 */
#ifndef ISPAWN_SESSION_REQUEST_H
#define ISPAWN_SESSION_REQUEST_H

#include "ispawn/base/err.h"

#include <sys/ioctl.h>
#include <sys/types.h>
#include <termios.h>

#define ISP_REQUEST_ARGS_MAX 4096
#define ISP_REQUEST_ENVIRONMENT_MAX 512
#define ISP_REQUEST_STREAMS 3 /* stdin, stdout, stderr */

/** enum isp_stream - what a tenant finds on one of its standard descriptors */
enum isp_stream {
	ISP_STREAM_CLOSED, /* nothing */
	ISP_STREAM_NULL,   /* the container's own /dev/null */
	ISP_STREAM_PASSED, /* a pipe or socket that travels in OPEN, in the order of the streams */
	ISP_STREAM_TTY,    /* the pty that init makes inside */
	ISP_STREAM_COUNT,
};

/**
 * struct isp_request - one tenant to start; starts `= { 0 }`, ends isp_request_free()
 * @is_command: the first of @args names a program, looked for in the container's PATH, and the
 *              others are its arguments; init takes such a request where the spec says so
 * @directory: likewise; to start in, a clean absolute path; NULL: the home, or "/"
 * @umask: permission bits only; what the PAM stack left for the login
 * @termios, @winsize: how the pty starts; only with a TTY among @streams
 * @args: after argv[0], which init chooses unless @is_command; NULL-terminated; the strings are
 * borrowed
 * @environment: NAME=value, each isp_environment_is_sane(); likewise
 */
struct isp_request {
	bool is_login;
	bool is_command;
	const char *directory;
	mode_t umask;
	enum isp_stream streams[ISP_REQUEST_STREAMS];
	struct termios termios;
	struct winsize winsize;
	char **args;
	size_t arg_count;
	char **environment;
	size_t environment_count;
};

/** isp_request_count() - how many of the streams are @kind */
size_t isp_request_count(const struct isp_request *request, enum isp_stream kind);

/**
 * isp_request_encode() - the bytes for a memfd
 * @ret_bytes: the caller frees
 * Checks everything that isp_request_decode() would.
 * Return: 0; -EINVAL out of range; -E2BIG more than ISP_REQUEST_SIZE_MAX or too many strings;
 * -ENOMEM.
 */
ISP_MUST_CHECK int isp_request_encode(const struct isp_request *request, char **ret_bytes,
				      size_t *ret_size, struct isp_error *err);

/**
 * isp_request_decode() - read a request back
 * @bytes: @size bytes, hostile; borrowed, and must outlive the request, which points into them
 * @ret_request: zeroed by the caller; on failure left zeroed; ends with isp_request_free()
 * Return: 0; -EPROTO other version; -EINVAL bad field, count or string (named); -E2BIG; -ENOMEM.
 */
ISP_MUST_CHECK int isp_request_decode(char *bytes, size_t size, struct isp_request *ret_request,
				      struct isp_error *err);

/** isp_request_free() - free what isp_request_decode() allocated; leaves the request zeroed. */
void isp_request_free(struct isp_request *request);
#define cleanup_request __attribute__((cleanup(isp_request_free)))

#endif
