/* SPDX-License-Identifier: GPL-3.0-or-later */
/* journald.c - the native protocol's sender; contract in ispawn/base/journald.h */
#include "ispawn/base/journald.h"

#include "ispawn/base/fd.h"

#include <endian.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <syslog.h>

#define SYSLOG_SOCKET "/dev/log"
#define HEADER_SIZE 256
#define IDENTIFIER_SIZE 65
#define FACILITY LOG_FAC(LOG_AUTHPRIV)

static struct iovec part(const void *bytes, size_t size)
{
	struct iovec ret = {.iov_len = size};

	/* Kernel: sendmsg(2) reads only; its type cannot say so. */
	memcpy(&ret.iov_base, &bytes, sizeof(ret.iov_base));
	return ret;
}

static int send_to(const char *path, struct iovec *parts, size_t count)
{
	cleanup_close int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct msghdr message = {.msg_name = &address,
				 .msg_namelen = sizeof(address),
				 .msg_iov = parts,
				 .msg_iovlen = count};

	memcpy(address.sun_path, path, strlen(path) + 1);
	if (fd < 0 || sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return -errno;
	return 0;
}

/* Threat: a set-user-ID application's name is what its caller calls it, and a newline in it would
 * end the field and begin the next. */
static int send_native(const struct isp_journald_entry *entry)
{
	char identifier[IDENTIFIER_SIZE];
	const struct isp_line *line = entry->line;
	size_t prefix_size = strlen(entry->prefix);
	uint64_t size = htole64(prefix_size + line->text_size);
	char header[HEADER_SIZE];
	struct iovec parts[] = {
		part(header, 0),
		part(&size, sizeof(size)),
		part(entry->prefix, prefix_size),
		part(line->text, line->text_size),
		part("\n", 1),
		part(line->fields, line->fields_size),
	};
	int n;

	isp_escape(identifier, sizeof(identifier), entry->identifier);
	/* The message in the form that holds whatever bytes. */
	n = snprintf(header, sizeof(header),
		     "SYSLOG_IDENTIFIER=%s\nSYSLOG_FACILITY=%d\nSYSLOG_PID=%d\n"
		     "PRIORITY=%d\nMESSAGE\n",
		     identifier, FACILITY, getpid(), entry->priority);
	parts[0].iov_len = n > 0 ? (size_t)n : 0;
	return send_to(ISP_JOURNALD_SOCKET, parts, ISP_ARRAY_SIZE(parts));
}

static int send_syslog(const struct isp_journald_entry *entry)
{
	char header[HEADER_SIZE], identifier[IDENTIFIER_SIZE];
	struct iovec parts[] = {
		part(header, 0),
		part(entry->prefix, strlen(entry->prefix)),
		part(entry->line->text, entry->line->text_size),
	};
	int n;

	isp_escape(identifier, sizeof(identifier), entry->identifier);
	/* Without a time: whoever receives it has a clock, too. */
	n = snprintf(header, sizeof(header), "<%d>%s[%d]: ", LOG_AUTHPRIV | entry->priority,
		     identifier, getpid());
	parts[0].iov_len = n > 0 ? (size_t)n : 0;
	return send_to(SYSLOG_SOCKET, parts, ISP_ARRAY_SIZE(parts));
}

int isp_journald_send(const struct isp_journald_entry *entry)
{
	int r = send_native(entry);

	if (r != -EAGAIN)
		return r;
	/* Order: not by syslog(3), which would wait.  Threat: a login that hangs because the log
	 * does.  Ignored: the same journald may serve this socket, and hang. */
	isp_ignore(send_syslog(entry));
	return 0;
}
