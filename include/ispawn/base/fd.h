/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * fd.h - file descriptors and memory that clean up after themselves
 *
 * Theory of operation: whatever owns a descriptor holds it in a `cleanup_close int`, starts it at
 * -EBADF and gives it away with steal_fd(), so that every early return closes what it must and
 * nothing twice.  A borrowed descriptor is a parameter `int x_fd`, a consumed one `int *x_fd`, one
 * returned `int *ret_fd`.  All descriptors are born close-on-exec.  close() is called once: after
 * EINTR Linux has already released the number, and a retry would close somebody else's.
 */
#ifndef ISPAWN_BASE_FD_H
#define ISPAWN_BASE_FD_H

#include "ispawn/base/err.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#define ISP_FDS_MAX 8 /* descriptors in one message */

/** isp_fd_close() - close *@fd if it is open, keep errno, leave -EBADF behind. */
static inline void isp_fd_close(int *fd)
{
	int keep = errno;

	if (*fd >= 0)
		(void)close(*fd); /* Ignored: EINTR and EIO; the number is free either way */
	*fd = -EBADF;
	errno = keep;
}

static inline int steal_fd(int *fd)
{
	int taken = *fd;

	*fd = -EBADF;
	return taken;
}

/* memcpy: the variable is a pointer to something else than void, which may not be read as one. */
static inline void isp_free_pointer(void *pointer)
{
	void *memory;

	memcpy(&memory, pointer, sizeof(memory));
	free(memory);
}

static inline void isp_dir_close(DIR **dir)
{
	if (*dir)
		(void)closedir(*dir); /* Ignored: nothing was written */
}

#define cleanup_close __attribute__((cleanup(isp_fd_close)))
#define cleanup_free __attribute__((cleanup(isp_free_pointer)))
#define cleanup_closedir __attribute__((cleanup(isp_dir_close)))
/* steal_pointer() - for pointers what steal_fd() is for descriptors; NULL is left behind. */
#define steal_pointer(p)                                                                           \
	({                                                                                         \
		__typeof__(p) place_ = (p);                                                        \
		__typeof__(*place_) taken_ = *place_;                                              \
		*place_ = NULL;                                                                    \
		taken_;                                                                            \
	})

#define ISP_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/**
 * isp_fd_read_all() - read up to @size bytes, through short reads and EINTR
 * Return: bytes read (less than @size only at end of file); -errno of read.
 */
ISP_MUST_CHECK ssize_t isp_fd_read_all(int fd, void *ret_bytes, size_t size);

/** isp_fd_write_all() - write all @size bytes. Return: 0; -errno of write. */
ISP_MUST_CHECK int isp_fd_write_all(int fd, const void *bytes, size_t size);

/**
 * isp_fd_read_file() - a small regular file as a string
 * @dir_fd: borrowed; AT_FDCWD for absolute paths
 * @path:   not followed when its last part is a symlink
 * @max:    more bytes than this are refused
 * @ret_text: NUL-terminated, the caller frees; holds no embedded NUL
 * Threat: a FIFO or a device where a file was expected blocks the login: opened with O_NONBLOCK
 * and refused by fstat.
 * Return: 0; -errno of open or read; -EFBIG; -EINVAL not a regular file, or an embedded NUL.
 */
ISP_MUST_CHECK int isp_fd_read_file(int dir_fd, const char *path, size_t max, char **ret_text);

/**
 * isp_fd_write_file() - open an existing file (cgroup, proc, sysctl), write @text in one write
 * Return: 0; -errno of open or write; -EIO on a short write.
 */
ISP_MUST_CHECK int isp_fd_write_file(int dir_fd, const char *path, const char *text);

/**
 * isp_fd_list() - read the directory @dir_fd from its first entry on
 * @dir_fd: borrowed, O_PATH is enough; the stream has a descriptor of its own
 * @ret_dir: the caller closes (cleanup_closedir)
 * Return: 0; -ENOMEM; -errno of openat.
 */
ISP_MUST_CHECK int isp_fd_list(int dir_fd, DIR **ret_dir);

/**
 * isp_fd_next() - the next entry of a directory
 * Threat: readdir(3) says NULL at the end and at an error alike, and half a list is a list in which
 * a session, a socket or a file is missing.
 * Return: 1 and *@ret_entry, valid until the next call; 0 no more; -errno.
 */
ISP_MUST_CHECK int isp_fd_next(DIR *dir, struct dirent **ret_entry);

/**
 * isp_fd_send() - one datagram with descriptors over a SOCK_SEQPACKET socket
 * @fds: borrowed; @fd_count at most ISP_FDS_MAX
 * @flags: MSG_DONTWAIT or 0; MSG_NOSIGNAL is always added
 * Return: 0; -errno of sendmsg; -EMSGSIZE cut.
 */
ISP_MUST_CHECK int isp_fd_send(int sock_fd, const void *bytes, size_t size, const int *fds,
			       size_t fd_count, int flags);

/**
 * isp_fd_receive() - one datagram with descriptors, all of them close-on-exec
 * @size:     exact size expected
 * @ret_fds:  ISP_FDS_MAX entries, the first *@ret_fd_count become the caller's
 * @flags:    MSG_DONTWAIT or 0
 * Must: close every descriptor received when it fails.
 * Return: 1 a datagram; 0 end of file; -EMSGSIZE wrong size or too many descriptors; -errno.
 */
ISP_MUST_CHECK int isp_fd_receive(int sock_fd, void *ret_bytes, size_t size, int *ret_fds,
				  size_t *ret_fd_count, int flags);

/**
 * isp_fd_move_up() - move *@fd to the first free number from ISP_FD_MOVED_FIRST on, close-on-exec
 * @fd: consumed on success
 * An application may run with 0, 1 and 2 closed, and a descriptor opened then gets one of these
 * numbers: what the application prints would go into our socket, or what it opens as its terminal
 * would be our namespace.  So what a guest keeps is moved out of the numbers that have a meaning,
 * those that the supervisor finds its own on (0 to 6) included.
 * Return: 0; -EMFILE or -EINVAL the limit of descriptors leaves no such number.
 */
#define ISP_FD_MOVED_FIRST 10
ISP_MUST_CHECK int isp_fd_move_up(int *fd, int *ret_fd, struct isp_error *err);

/**
 * isp_fd_memfd() - a sealed memfd that holds @bytes: nobody can change, grow or shrink it
 * Return: 0; -errno of memfd_create, write, fcntl.
 */
ISP_MUST_CHECK int isp_fd_memfd(const char *name, const void *bytes, size_t size, int *ret_fd);

/**
 * isp_fd_memfd_read() - the bytes of a memfd sealed by isp_fd_memfd()
 * @max: more bytes than this are refused
 * @ret_bytes: the caller frees; one NUL is appended that does not count in *@ret_size
 * Threat: a writer that changes the bytes between check and use: refused without all four seals.
 * Return: 0; -EPERM not sealed; -EFBIG; -errno.
 */
ISP_MUST_CHECK int isp_fd_memfd_read(int fd, size_t max, char **ret_bytes, size_t *ret_size);

#endif
