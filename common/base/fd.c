/* SPDX-License-Identifier: GPL-3.0-or-later */
/* fd.c - descriptors; contract in ispawn/base/fd.h */
#include "ispawn/base/fd.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define FIRST_ROOM 4096 /* bytes, for a file of unknown length */
#define ALL_SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

ssize_t isp_fd_read_all(int fd, void *ret_bytes, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = read(fd, (char *)ret_bytes + done, size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

int isp_fd_write_all(int fd, const void *bytes, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = write(fd, (const char *)bytes + done, size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	return 0;
}

/* A failed call's errno, and never 0: the caller would take what was not read for read. */
static int failure(void)
{
	return errno > 0 ? -errno : -EIO;
}

/* Up to @max bytes and a NUL.  Most files are short, and memory that is mapped for the longest one
 * costs more than reading. */
static int read_growing(int fd, size_t max, char **ret_text)
{
	cleanup_free char *text = NULL;
	size_t room = 0, used = 0;

	do {
		ssize_t n;
		char *larger;

		if (room > max)
			return -EFBIG;
		room = room ? room * 8 : FIRST_ROOM;
		if (room > max)
			room = max + 1;
		larger = realloc(text, room + 1);
		if (!larger)
			return -ENOMEM;
		text = larger;
		n = isp_fd_read_all(fd, text + used, room - used);
		if (n < 0)
			return (int)n;
		used += (size_t)n;
	} while (used == room);
	text[used] = '\0';
	if (strlen(text) != used)
		return -EINVAL;
	*ret_text = steal_pointer(&text);
	return 0;
}

int isp_fd_read_file(int dir_fd, const char *path, size_t max, char **ret_text)
{
	cleanup_close int fd = -EBADF;
	struct stat st;

	fd = openat(dir_fd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return failure();
	if (fstat(fd, &st) != 0)
		return failure();
	return S_ISREG(st.st_mode) ? read_growing(fd, max, ret_text) : -EINVAL;
}

int isp_fd_write_file(int dir_fd, const char *path, const char *text)
{
	cleanup_close int fd = openat(dir_fd, path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
	size_t size = strlen(text);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = write(fd, text, size);
	if (n < 0)
		return -errno;
	return (size_t)n == size ? 0 : -EIO;
}

int isp_fd_list(int dir_fd, DIR **ret_dir)
{
	cleanup_close int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir)
		return -errno;
	(void)steal_fd(&fd); /* the stream's now */
	*ret_dir = dir;
	return 0;
}

int isp_fd_next(DIR *dir, struct dirent **ret_entry)
{
	struct dirent *entry;

	errno = 0;
	entry = readdir(dir);
	if (!entry)
		return -errno;
	*ret_entry = entry;
	return 1;
}

/* Room for one SCM_RIGHTS message, aligned as the kernel wants it. */
union control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(int) * ISP_FDS_MAX)];
};

int isp_fd_send(int sock_fd, const void *bytes, size_t size, const int *fds, size_t fd_count,
		int flags)
{
	union control control = {.bytes = {0}};
	struct iovec part = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = size};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	ssize_t n;

	if (fd_count > ISP_FDS_MAX)
		return -E2BIG;
	if (fd_count > 0) {
		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
		struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
		rights->cmsg_level = SOL_SOCKET;
		rights->cmsg_type = SCM_RIGHTS;
		rights->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
		memcpy(CMSG_DATA(rights), fds, sizeof(int) * fd_count);
	}
	do
		n = sendmsg(sock_fd, &message, flags | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return (size_t)n == size ? 0 : -EMSGSIZE;
}

static size_t collect_fds(struct msghdr *message, int *ret_fds)
{
	size_t count = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n && count < ISP_FDS_MAX; i++)
			memcpy(&ret_fds[count++], CMSG_DATA(c) + i * sizeof(int), sizeof(int));
	}
	return count;
}

int isp_fd_receive(int sock_fd, void *ret_bytes, size_t size, int *ret_fds, size_t *ret_fd_count,
		   int flags)
{
	union control control = {.bytes = {0}};
	struct iovec part = {.iov_base = ret_bytes, .iov_len = size};
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = control.bytes,
				 .msg_controllen = sizeof(control.bytes)};
	int fds[ISP_FDS_MAX];
	size_t count;
	ssize_t n;

	do
		n = recvmsg(sock_fd, &message, flags | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	count = collect_fds(&message, fds);
	/* Kernel: unix(7): descriptors beyond the buffer are closed by the kernel, MSG_CTRUNC set.
	 */
	if (n > 0 && (size_t)n == size && !(message.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
		memcpy(ret_fds, fds, count * sizeof(int));
		*ret_fd_count = count;
		return 1;
	}
	for (size_t i = 0; i < count; i++)
		isp_fd_close(&fds[i]);
	return n == 0 ? 0 : -EMSGSIZE;
}

int isp_fd_move_up(int *fd, int *ret_fd, struct isp_error *err)
{
	int moved = fcntl(*fd, F_DUPFD_CLOEXEC, ISP_FD_MOVED_FIRST);

	if (moved < 0)
		return isp_err_set(err, errno, ISP_STAGE_START, "find a free descriptor number");
	isp_fd_close(fd);
	*ret_fd = moved;
	return 0;
}

int isp_fd_memfd(const char *name, const void *bytes, size_t size, int *ret_fd)
{
	cleanup_close int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int r;

	if (fd < 0)
		return -errno;
	r = isp_fd_write_all(fd, bytes, size);
	if (r < 0)
		return r;
	if (fcntl(fd, F_ADD_SEALS, ALL_SEALS) != 0)
		return -errno;
	*ret_fd = steal_fd(&fd);
	return 0;
}

int isp_fd_memfd_read(int fd, size_t max, char **ret_bytes, size_t *ret_size)
{
	cleanup_free char *bytes = NULL;
	struct stat st;
	ssize_t n;
	int seals = fcntl(fd, F_GET_SEALS);

	if (seals < 0 || (seals & ALL_SEALS) != ALL_SEALS)
		return -EPERM;
	if (fstat(fd, &st) != 0)
		return -errno;
	if (st.st_size < 0 || (uint64_t)st.st_size > max)
		return -EFBIG;
	bytes = malloc((size_t)st.st_size + 1);
	if (!bytes)
		return -ENOMEM;
	/* pread: the sender's file offset is shared with ours. */
	n = pread(fd, bytes, (size_t)st.st_size, 0);
	if (n < 0)
		return -errno;
	if (n != st.st_size)
		return -EIO;
	bytes[n] = '\0';
	*ret_size = (size_t)n;
	*ret_bytes = steal_pointer(&bytes);
	return 0;
}
