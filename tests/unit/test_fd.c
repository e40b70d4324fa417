/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Descriptors: what is read and sent whole or not at all, and that none is ever left open. */
#include "ispawn/base/fd.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cmocka.h>

static size_t count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t count = 0;

	assert_non_null(dir);
	while (readdir(dir))
		count++;
	isp_dir_close(&dir);
	return count;
}

/* Each case that makes files does so in a directory of its own; *state is its path. */
static int make_place(void **state)
{
	char *path = strdup("/tmp/ispawn-fd-XXXXXX");

	if (!path || !mkdtemp(path) || chdir(path) != 0)
		return -1;
	*state = path;
	return 0;
}

static int remove_place(void **state)
{
	static const char *const names[] = {"file", "link", "fifo", "empty", "nul"};

	for (size_t i = 0; i < ISP_ARRAY_SIZE(names); i++)
		(void)unlink(names[i]); /* Ignored: not every case makes all of them */
	if (chdir("/") != 0 || rmdir(*state) != 0)
		return -1;
	free(*state);
	return 0;
}

static void put(const char *name, const char *bytes, size_t size)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(isp_fd_write_all(fd, bytes, size), 0);
	isp_fd_close(&fd);
}

static void a_descriptor_is_closed_once_and_errno_kept(void **state)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int number = fd;
	int reused;

	(void)state;
	assert_true(fd >= 0);
	errno = ELOOP;
	isp_fd_close(&fd);
	assert_int_equal(errno, ELOOP);
	assert_int_equal(fd, -EBADF);
	reused = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(reused, number);
	isp_fd_close(&fd); /* must not close what has the number now */
	assert_true(fcntl(reused, F_GETFD) >= 0);
	assert_int_equal(steal_fd(&reused), number);
	assert_int_equal(reused, -EBADF);
	assert_int_equal(close(number), 0);
}

static void a_stolen_pointer_is_not_freed_twice(void **state)
{
	cleanup_free char *mine = strdup("x");
	cleanup_free char *taken = steal_pointer(&mine);

	(void)state;
	assert_null(mine);
	assert_string_equal(taken, "x");
}

static void reading_goes_on_through_short_reads(void **state)
{
	char bytes[8] = "";
	int ends[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(write(ends[1], "ab", 2), 2);
	assert_int_equal(write(ends[1], "cde", 3), 3);
	isp_fd_close(&ends[1]);
	assert_int_equal(isp_fd_read_all(ends[0], bytes, sizeof(bytes)), 5);
	assert_memory_equal(bytes, "abcde", 5);
	isp_fd_close(&ends[0]);
	assert_int_equal(isp_fd_read_all(ends[0], bytes, 1), -EBADF);
	assert_int_equal(isp_fd_write_all(ends[0], "x", 1), -EBADF);
}

static void a_full_pipe_is_an_error_and_not_a_short_write(void **state)
{
	static const char bytes[128 * 1024];
	int ends[2];

	(void)state;
	assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(isp_fd_write_all(ends[1], bytes, sizeof(bytes)), -EAGAIN);
	isp_fd_close(&ends[0]);
	isp_fd_close(&ends[1]);
}

static void a_small_file_is_read_as_a_string(void **state)
{
	cleanup_free char *text = NULL;
	cleanup_free char *empty = NULL;

	(void)state;
	put("file", "four", 4);
	put("empty", "", 0);
	assert_int_equal(isp_fd_read_file(AT_FDCWD, "file", 4, &text), 0);
	assert_string_equal(text, "four");
	assert_int_equal(isp_fd_read_file(AT_FDCWD, "empty", 4, &empty), 0);
	assert_string_equal(empty, "");
}

/* Pitfall 32: a FIFO, a device or a socket where a file was expected. */
static void what_is_not_a_plain_small_file_is_refused_without_waiting(void **state)
{
	static const struct {
		const char *path;
		int result;
	} cases[] = {
		{"fifo", -EINVAL},    {"link", -ELOOP}, {"/dev/zero", -EINVAL}, {".", -EINVAL},
		{"missing", -ENOENT}, {"file", -EFBIG}, {"nul", -EINVAL},
	};
	char untouched[] = "untouched";
	size_t before = count_fds();

	(void)state;
	put("file", "12345", 5);
	put("nul", "a\0b", 3);
	assert_int_equal(mkfifo("fifo", 0600), 0);
	assert_int_equal(symlink("nul", "link"), 0);
	for (size_t i = 0; i < ISP_ARRAY_SIZE(cases); i++) {
		char *text = untouched;

		assert_int_equal(isp_fd_read_file(AT_FDCWD, cases[i].path, 4, &text),
				 cases[i].result);
		assert_ptr_equal(text, untouched);
	}
	assert_int_equal(count_fds(), before);
}

static void only_files_that_exist_are_written(void **state)
{
	cleanup_free char *text = NULL;

	(void)state;
	put("file", "", 0);
	assert_int_equal(symlink("file", "link"), 0);
	assert_int_equal(isp_fd_write_file(AT_FDCWD, "missing", "x"), -ENOENT);
	assert_int_equal(access("missing", F_OK), -1);
	assert_int_equal(isp_fd_write_file(AT_FDCWD, "link", "x"), -ELOOP);
	assert_int_equal(isp_fd_write_file(AT_FDCWD, "file", "text"), 0);
	assert_int_equal(isp_fd_read_file(AT_FDCWD, "file", 9, &text), 0);
	assert_string_equal(text, "text");
	/* Kernel: /dev/full: each write fails. */
	assert_int_equal(isp_fd_write_file(AT_FDCWD, "/dev/full", "x"), -ENOSPC);
}

/* --- datagrams with descriptors ----------------------------------------------------------------
 */

#define SIZE 8

static void make_pair(int ends[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
}

static void close_pair(int ends[2])
{
	isp_fd_close(&ends[0]);
	isp_fd_close(&ends[1]);
}

static ino_t inode(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_ino;
}

static void descriptors_arrive_in_order_and_close_on_exec(void **state)
{
	int ends[2], sent[ISP_FDS_MAX], got[ISP_FDS_MAX];
	char bytes[SIZE] = "";
	size_t count = 99;
	size_t before = count_fds();

	(void)state;
	make_pair(ends);
	for (size_t i = 0; i < ISP_FDS_MAX; i++) {
		sent[i] = memfd_create("sent", 0); /* the sender's is not close-on-exec */
		assert_true(sent[i] >= 0);
	}
	assert_int_equal(isp_fd_send(ends[0], "12345678", SIZE, sent, ISP_FDS_MAX, 0), 0);
	assert_int_equal(isp_fd_receive(ends[1], bytes, SIZE, got, &count, 0), 1);
	assert_memory_equal(bytes, "12345678", SIZE);
	assert_int_equal(count, ISP_FDS_MAX);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(inode(got[i]), inode(sent[i]));
		assert_int_equal(fcntl(got[i], F_GETFD), FD_CLOEXEC);
		isp_fd_close(&got[i]);
		isp_fd_close(&sent[i]);
	}
	close_pair(ends);
	assert_int_equal(count_fds(), before);
}

static void a_datagram_without_descriptors_has_none(void **state)
{
	int ends[2], got[ISP_FDS_MAX];
	char bytes[SIZE];
	size_t count = 99;

	(void)state;
	make_pair(ends);
	assert_int_equal(isp_fd_send(ends[0], "12345678", SIZE, NULL, 0, 0), 0);
	assert_int_equal(isp_fd_receive(ends[1], bytes, SIZE, got, &count, 0), 1);
	assert_int_equal(count, 0);
	close_pair(ends);
}

static void too_many_descriptors_are_not_sent(void **state)
{
	int ends[2], sent[ISP_FDS_MAX + 1] = {0};
	char bytes[SIZE];

	(void)state;
	make_pair(ends);
	assert_int_equal(isp_fd_send(ends[0], "12345678", SIZE, sent, ISP_FDS_MAX + 1, 0), -E2BIG);
	assert_int_equal(recv(ends[1], bytes, SIZE, MSG_DONTWAIT), -1);
	close_pair(ends);
}

/* As a hostile peer sends: any size, any number of descriptors. */
static void send_raw(int sock_fd, size_t size, size_t fd_count)
{
	static const char bytes[2 * SIZE];
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int) * 64)];
	} control = {.bytes = {0}};
	struct iovec part = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = size};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

	if (fd_count > 0) {
		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
		struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
		rights->cmsg_level = SOL_SOCKET;
		rights->cmsg_type = SCM_RIGHTS;
		rights->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
		for (size_t i = 0; i < fd_count; i++)
			memcpy(CMSG_DATA(rights) + i * sizeof(int), &sock_fd, sizeof(int));
	}
	assert_int_equal(sendmsg(sock_fd, &message, MSG_NOSIGNAL), size);
}

/* Pitfall 21: a descriptor that nobody asked for stays open. */
static void what_is_refused_leaves_no_descriptor_open(void **state)
{
	static const struct {
		size_t size, fd_count;
		int result;
	} cases[] = {
		{SIZE, ISP_FDS_MAX + 1, -EMSGSIZE}, /* the kernel cuts the rest off */
		{SIZE, 64, -EMSGSIZE},
		{SIZE - 1, 3, -EMSGSIZE},
		{SIZE + 1, ISP_FDS_MAX, -EMSGSIZE},
		{2 * SIZE, 64, -EMSGSIZE},
		{0, 2, 0}, /* an empty datagram reads as end of file */
	};

	(void)state;
	for (size_t i = 0; i < ISP_ARRAY_SIZE(cases); i++) {
		int ends[2], got[ISP_FDS_MAX] = {-1, -1};
		char bytes[SIZE];
		size_t count = 99;
		size_t before;

		make_pair(ends);
		before = count_fds();
		send_raw(ends[0], cases[i].size, cases[i].fd_count);
		assert_int_equal(isp_fd_receive(ends[1], bytes, SIZE, got, &count, 0),
				 cases[i].result);
		assert_int_equal(count_fds(), before);
		assert_int_equal(count, 99);
		assert_int_equal(got[0], -1);
		/* The stream of messages is not disturbed by it. */
		send_raw(ends[0], SIZE, 0);
		assert_int_equal(isp_fd_receive(ends[1], bytes, SIZE, got, &count, 0), 1);
		close_pair(ends);
	}
}

static void a_gone_peer_is_end_of_file_and_no_signal(void **state)
{
	int ends[2], got[ISP_FDS_MAX];
	char bytes[SIZE];
	size_t count = 0;

	(void)state;
	make_pair(ends);
	assert_int_equal(isp_fd_receive(ends[1], bytes, SIZE, got, &count, MSG_DONTWAIT), -EAGAIN);
	isp_fd_close(&ends[0]);
	assert_int_equal(isp_fd_receive(ends[1], bytes, SIZE, got, &count, 0), 0);
	assert_true(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
	assert_int_equal(isp_fd_send(ends[1], "12345678", SIZE, NULL, 0, 0), -EPIPE);
	isp_fd_close(&ends[1]);
}

static void a_full_socket_is_told_when_asked_not_to_wait(void **state)
{
	int ends[2];
	int r = 0;

	(void)state;
	make_pair(ends);
	while (r == 0)
		r = isp_fd_send(ends[0], "12345678", SIZE, NULL, 0, MSG_DONTWAIT);
	assert_int_equal(r, -EAGAIN);
	close_pair(ends);
}

/* --- sealed memory -----------------------------------------------------------------------------
 */

static void what_is_sealed_cannot_be_changed(void **state)
{
	int fd = -EBADF;

	(void)state;
	assert_int_equal(isp_fd_memfd("test", "bytes", 5, &fd), 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(pwrite(fd, "B", 1, 0), -1);
	assert_int_equal(ftruncate(fd, 1), -1);
	assert_int_equal(ftruncate(fd, 100), -1);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, 0), -1);
	assert_ptr_equal(mmap(NULL, 5, PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
	isp_fd_close(&fd);
}

static void sealed_bytes_are_read_whatever_the_offset(void **state)
{
	static const char bytes[] = "a\0b";
	cleanup_free char *got = NULL;
	cleanup_free char *again = NULL;
	cleanup_free char *nothing = NULL;
	size_t size = 0;
	int fd = -EBADF;
	int empty = -EBADF;

	(void)state;
	assert_int_equal(isp_fd_memfd("test", bytes, 3, &fd), 0);
	assert_int_equal(isp_fd_memfd("test", "", 0, &empty), 0);
	assert_int_equal(isp_fd_memfd_read(fd, 3, &got, &size), 0);
	assert_int_equal(size, 3);
	assert_memory_equal(got, "a\0b\0", 4);
	assert_int_equal(lseek(fd, 2, SEEK_SET), 2);
	assert_int_equal(isp_fd_memfd_read(fd, 99, &again, &size), 0);
	assert_memory_equal(again, "a\0b\0", 4);
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 2);
	assert_int_equal(isp_fd_memfd_read(empty, 0, &nothing, &size), 0);
	assert_int_equal(size, 0);
	assert_string_equal(nothing, "");
	isp_fd_close(&fd);
	isp_fd_close(&empty);
}

static void what_is_too_big_or_no_memory_is_refused(void **state)
{
	char untouched[] = "untouched";
	char *bytes = untouched;
	size_t size = 99;
	int ends[2];
	int fd = -EBADF;

	(void)state;
	assert_int_equal(isp_fd_memfd("test", "1234", 4, &fd), 0);
	assert_int_equal(isp_fd_memfd_read(fd, 3, &bytes, &size), -EFBIG);
	isp_fd_close(&fd);
	fd = open("/proc/version", O_RDONLY | O_CLOEXEC);
	assert_int_equal(isp_fd_memfd_read(fd, 3, &bytes, &size), -EPERM);
	isp_fd_close(&fd);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(isp_fd_memfd_read(ends[0], 3, &bytes, &size), -EPERM);
	close_pair(ends);
	assert_ptr_equal(bytes, untouched);
	assert_int_equal(size, 99);
}

/* Threat: a writer that changes the bytes between our check and our use. */
static void memory_without_all_four_seals_is_not_read(void **state)
{
	static const int seals[] = {F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE};
	unsigned int all = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;

	(void)state;
	for (size_t i = 0; i <= ISP_ARRAY_SIZE(seals); i++) {
		unsigned int some = i < ISP_ARRAY_SIZE(seals) ? all & ~(unsigned int)seals[i] : 0;
		char untouched[] = "untouched";
		char *bytes = untouched;
		size_t size = 0;
		int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

		assert_true(fd >= 0);
		assert_int_equal(isp_fd_write_all(fd, "bytes", 5), 0);
		assert_int_equal(fcntl(fd, F_ADD_SEALS, some), 0);
		assert_int_equal(isp_fd_memfd_read(fd, 99, &bytes, &size), -EPERM);
		assert_ptr_equal(bytes, untouched);
		isp_fd_close(&fd);
	}
}

#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, make_place, remove_place)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_descriptor_is_closed_once_and_errno_kept),
		cmocka_unit_test(a_stolen_pointer_is_not_freed_twice),
		cmocka_unit_test(reading_goes_on_through_short_reads),
		cmocka_unit_test(a_full_pipe_is_an_error_and_not_a_short_write),
		IN_PLACE(a_small_file_is_read_as_a_string),
		IN_PLACE(what_is_not_a_plain_small_file_is_refused_without_waiting),
		IN_PLACE(only_files_that_exist_are_written),
		cmocka_unit_test(descriptors_arrive_in_order_and_close_on_exec),
		cmocka_unit_test(a_datagram_without_descriptors_has_none),
		cmocka_unit_test(too_many_descriptors_are_not_sent),
		cmocka_unit_test(what_is_refused_leaves_no_descriptor_open),
		cmocka_unit_test(a_gone_peer_is_end_of_file_and_no_signal),
		cmocka_unit_test(a_full_socket_is_told_when_asked_not_to_wait),
		cmocka_unit_test(what_is_sealed_cannot_be_changed),
		cmocka_unit_test(sealed_bytes_are_read_whatever_the_offset),
		cmocka_unit_test(what_is_too_big_or_no_memory_is_refused),
		cmocka_unit_test(memory_without_all_four_seals_is_not_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
