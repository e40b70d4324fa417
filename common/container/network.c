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

/* The spec's resolvers and no others: with network = host the door has put the host's own there. */
int isp_network_write_resolv(struct isp_builder *b, struct isp_error *err)
{
	cleanup_free char *text = format_resolvers(b->spec);
	int r;

	/* In a directory that is run in place the tree's own file stays, unless there are some. */
	if (b->spec->directory[0] && b->spec->dns_count == 0)
		return 0;
	if (text && b->spec->directory[0])
		r = isp_tree_show("/etc/resolv.conf", text, 0);
	else
		r = text ? isp_tree_write("/etc/resolv.conf", text, 0644) : -ENOMEM;

	return r < 0 ? isp_err_set(err, -r, ISP_STAGE_NETWORK,
				   "write the copy's \"/etc/resolv.conf\"")
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
