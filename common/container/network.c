/* SPDX-License-Identifier: GPL-3.0-or-later */
/* network.c - the container's own loopback, and what resolves names; contract in
 * ispawn/container/builder.h */
#include "ispawn/base/fd.h"
#include "ispawn/container/builder.h"

#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define RESOLV_MAX 65536

static char *format_resolvers(const struct isp_spec *spec)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	for (size_t i = 0; i < spec->dns_count; i++)
		(void)fprintf(out, "nameserver %s\n", spec->dns[i]); /* checked by fclose */
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

/* `dns` wins; network = host without it resolves as the host does; else nothing is there to ask. */
int isp_network_read_resolv(struct isp_builder *b, struct isp_error *err)
{
	cleanup_close int fd = -EBADF;
	ssize_t n;

	if (b->spec->dns_count > 0 || b->spec->network != ISP_NETWORK_HOST) {
		b->resolv = format_resolvers(b->spec);
		return b->resolv ? 0
				 : isp_err_set(err, ENOMEM, ISP_STAGE_NETWORK, "write resolv.conf");
	}
	/* Usually a symlink, of the host's own: followed, on the host's side. */
	fd = open("/etc/resolv.conf", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	b->resolv = calloc(1, RESOLV_MAX);
	if (!b->resolv)
		return isp_err_set(err, ENOMEM, ISP_STAGE_NETWORK, "read resolv.conf");
	n = fd < 0 ? 0 : isp_fd_read_all(fd, b->resolv, RESOLV_MAX - 1);
	return n < 0 ? isp_err_set(err, (int)-n, ISP_STAGE_NETWORK,
				   "read the host's \"/etc/resolv.conf\"")
		     : 0;
}

int isp_network_raise_loopback(struct isp_builder *b, struct isp_error *err)
{
	cleanup_close int fd = -EBADF;
	struct ifreq request = {.ifr_name = "lo"};

	if (b->spec->network == ISP_NETWORK_HOST)
		return 0;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	request.ifr_flags = IFF_UP | IFF_RUNNING;
	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) != 0)
		return isp_err_set(err, errno, ISP_STAGE_NETWORK, "raise the loopback interface");
	return 0;
}
