/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Messages: one size, one magic, the types of the moment; and no descriptor stays of the rest. */
#include "ispawn/session/protocol.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#define ALL_TYPES (~0u)

_Static_assert(ISP_MESSAGE_COUNT <= 32, "a mask holds every type");

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

struct link {
	int near_fd, far_fd;
};

static struct link make_link(void)
{
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	return (struct link){.near_fd = ends[0], .far_fd = ends[1]};
}

static void close_link(struct link *link)
{
	isp_fd_close(&link->near_fd);
	isp_fd_close(&link->far_fd);
}
#define cleanup_link __attribute__((cleanup(close_link)))

static void a_message_arrives_as_it_was_sent(void **state)
{
	cleanup_link struct link link = make_link();
	struct isp_message sent = {.type = ISP_MESSAGE_EXITED, .tenant = 7, .value = -3};
	struct isp_message got = {0};
	int fds[ISP_FDS_MAX];
	size_t count = 99;

	(void)state;
	strcpy(sent.text, "text");
	(void)isp_err_set(&sent.error, ENOENT, ISP_STAGE_TENANT, "words");
	assert_int_equal(isp_message_send(link.near_fd, &sent, &link.near_fd, 1, 0), 0);
	assert_int_equal(
		isp_message_receive(link.far_fd, 1u << ISP_MESSAGE_EXITED, &got, fds, &count, 0),
		1);
	assert_int_equal(got.magic, ISP_MESSAGE_MAGIC);
	assert_memory_equal(&got, &sent, sizeof(got));
	assert_int_equal(count, 1);
	isp_message_close_fds(fds, count);
	assert_int_equal(fds[0], -EBADF);
}

/* Sends @message with @fd_count descriptors as a hostile peer would, and expects @result. */
static void refuse(const struct isp_message *message, size_t size, size_t fd_count,
		   uint32_t allowed, int result)
{
	cleanup_link struct link link = make_link();
	struct isp_message got = {.tenant = 5};
	int sent[ISP_FDS_MAX], fds[ISP_FDS_MAX] = {-1};
	size_t count = 99;
	size_t before = count_fds();

	for (size_t i = 0; i < fd_count; i++)
		sent[i] = link.near_fd;
	assert_int_equal(isp_fd_send(link.near_fd, message, size, sent, fd_count, 0), 0);
	assert_int_equal(isp_message_receive(link.far_fd, allowed, &got, fds, &count, 0), result);
	assert_int_equal(count_fds(), before);
	assert_int_equal(got.tenant, 5);
	assert_int_equal(count, 99);
	assert_int_equal(fds[0], -1);
}

static void another_magic_is_refused(void **state)
{
	struct isp_message message = {.magic = ISP_MESSAGE_MAGIC + 1, .type = ISP_MESSAGE_READY};

	(void)state;
	refuse(&message, sizeof(message), 3, ALL_TYPES, -EPROTO);
	message.magic = 0;
	refuse(&message, sizeof(message), ISP_FDS_MAX, ALL_TYPES, -EPROTO);
}

static void a_type_that_is_not_awaited_is_refused(void **state)
{
	(void)state;
	for (uint32_t type = 0; type < ISP_MESSAGE_COUNT; type++) {
		const struct isp_message message = {.magic = ISP_MESSAGE_MAGIC, .type = type};

		refuse(&message, sizeof(message), 2, ALL_TYPES & ~(1u << type), -EPROTO);
		refuse(&message, sizeof(message), 0, 0, -EPROTO);
	}
}

static void a_type_that_does_not_exist_is_refused(void **state)
{
	/* Among them those that would shift a mask out of its width. */
	static const uint32_t types[] = {ISP_MESSAGE_COUNT, 31,        32, 33, 64,
					 0x80000000u,       UINT32_MAX};

	(void)state;
	for (size_t i = 0; i < ISP_ARRAY_SIZE(types); i++) {
		const struct isp_message message = {.magic = ISP_MESSAGE_MAGIC, .type = types[i]};

		refuse(&message, sizeof(message), 2, ALL_TYPES, -EPROTO);
	}
}

static void another_size_is_refused(void **state)
{
	struct {
		struct isp_message message;
		char more[8];
	} longer = {.message = {.magic = ISP_MESSAGE_MAGIC, .type = ISP_MESSAGE_READY}};

	(void)state;
	refuse(&longer.message, sizeof(longer.message) - 1, 3, ALL_TYPES, -EPROTO);
	refuse(&longer.message, 1, 1, ALL_TYPES, -EPROTO);
	refuse(&longer.message, sizeof(longer.message) + 1, 3, ALL_TYPES, -EPROTO);
	refuse(&longer.message, 0, 1, ALL_TYPES, 0); /* reads as end of file: it means stop */
}

static void texts_are_terminated_whatever_was_sent(void **state)
{
	cleanup_link struct link link = make_link();
	struct isp_message sent = {.type = ISP_MESSAGE_NOTICE};
	struct isp_message got = {0};
	int fds[ISP_FDS_MAX];
	size_t count = 0;

	(void)state;
	memset(sent.text, 't', sizeof(sent.text));
	memset(sent.error.text, 'e', sizeof(sent.error.text));
	assert_int_equal(isp_message_send(link.near_fd, &sent, NULL, 0, 0), 0);
	assert_int_equal(isp_message_receive(link.far_fd, ALL_TYPES, &got, fds, &count, 0), 1);
	assert_int_equal(strlen(got.text), sizeof(got.text) - 1);
	assert_int_equal(strlen(got.error.text), sizeof(got.error.text) - 1);
}

static void end_of_file_and_nothing_yet_are_told_apart(void **state)
{
	cleanup_link struct link link = make_link();
	struct isp_message got = {0};
	int fds[ISP_FDS_MAX];
	size_t count = 0;

	(void)state;
	assert_int_equal(
		isp_message_receive(link.far_fd, ALL_TYPES, &got, fds, &count, MSG_DONTWAIT),
		-EAGAIN);
	isp_fd_close(&link.near_fd);
	assert_int_equal(
		isp_message_receive(link.far_fd, ALL_TYPES, &got, fds, &count, MSG_DONTWAIT), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_arrives_as_it_was_sent),
		cmocka_unit_test(another_magic_is_refused),
		cmocka_unit_test(a_type_that_is_not_awaited_is_refused),
		cmocka_unit_test(a_type_that_does_not_exist_is_refused),
		cmocka_unit_test(another_size_is_refused),
		cmocka_unit_test(texts_are_terminated_whatever_was_sent),
		cmocka_unit_test(end_of_file_and_nothing_yet_are_told_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
