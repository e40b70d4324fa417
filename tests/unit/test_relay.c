/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A channel: every byte in order, each end told of the other's end, and never a wait. */
#include "ispawn/base/fd.h"
#include "ispawn/session/relay.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>

#include <cmocka.h>

/* A channel between two pipes; the test holds their outer ends. */
struct scene {
	struct isp_channel channel;
	int in_fd, out_fd;  /* the outer ends */
	int from_fd, to_fd; /* numbers of the channel's own, to see them closed */
};

static void open_scene(struct scene *s, unsigned int flags)
{
	int in[2], out[2];

	assert_int_equal(pipe2(in, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC | O_NONBLOCK), 0);
	s->in_fd = in[1];
	s->out_fd = out[0];
	s->from_fd = in[0];
	s->to_fd = out[1];
	isp_channel_open(&s->channel, &in[0], &out[1], flags);
	assert_int_equal(in[0], -EBADF);
	assert_int_equal(out[1], -EBADF);
}

static void close_scene(struct scene *s)
{
	isp_channel_close(&s->channel);
	isp_fd_close(&s->in_fd);
	isp_fd_close(&s->out_fd);
}
#define cleanup_scene __attribute__((cleanup(close_scene)))
#define SCENE                                                                                      \
	{                                                                                          \
		.in_fd = -EBADF, .out_fd = -EBADF                                                  \
	}

/* One turn of a caller's loop, without waiting; false when nothing was to be done. */
static bool turn(struct isp_channel *channel)
{
	struct pollfd polled[2];
	bool is_ready = isp_channel_prepare(channel, polled);

	if (poll(polled, 2, 0) == 0 && !is_ready)
		return false;
	isp_channel_move(channel, polled);
	return true;
}

static void turn_until_still(struct isp_channel *channel)
{
	for (unsigned int i = 0; i < 1000; i++)
		if (!turn(channel))
			return;
	fail_msg("the channel spins");
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void put(int fd, const char *text)
{
	assert_int_equal(isp_fd_write_all(fd, text, strlen(text)), 0);
}

static void expect(int fd, const char *text)
{
	char got[64] = "";

	assert_int_equal(read(fd, got, sizeof(got) - 1), strlen(text));
	assert_string_equal(got, text);
}

/* What waits in a pipe; either end may be asked. */
static int bytes_in(int fd)
{
	int count = -1;

	assert_int_equal(ioctl(fd, FIONREAD, &count), 0);
	return count;
}

static void bytes_pass_unchanged(void **state)
{
	static const char bytes[] = "\0\377\021\023\004\r\n\033[2J";
	cleanup_scene struct scene s = SCENE;
	char got[64];

	(void)state;
	open_scene(&s, ISP_CHANNEL_PLAIN);
	assert_int_equal(write(s.in_fd, bytes, sizeof(bytes)), sizeof(bytes));
	turn_until_still(&s.channel);
	assert_int_equal(read(s.out_fd, got, sizeof(got)), sizeof(bytes));
	assert_memory_equal(got, bytes, sizeof(bytes));
}

static void a_channel_that_is_over_waits_for_nothing(void **state)
{
	struct isp_channel zeroed = {0};
	struct pollfd polled[2];

	(void)state;
	assert_false(isp_channel_prepare(&zeroed, polled));
	assert_true(polled[0].fd < 0 && polled[1].fd < 0);
	isp_channel_move(&zeroed, polled);
	isp_channel_close(&zeroed); /* must not close descriptor 0 */
	assert_true(is_open(0));
}

/* Pitfall 16 and 8-bit transfers: what a full sink cannot take waits, and nothing is lost. */
static void a_slow_sink_gets_every_byte_in_order(void **state)
{
	cleanup_scene struct scene s = SCENE;
	size_t sent = 0, got = 0;
	unsigned char chunk[997];

	(void)state;
	open_scene(&s, ISP_CHANNEL_PLAIN);
	assert_true(fcntl(s.to_fd, F_SETPIPE_SZ, 4096) >= 4096);
	for (unsigned int i = 0; i < 20000 && got < 300000; i++) {
		ssize_t n;

		for (size_t k = 0; k < sizeof(chunk); k++)
			chunk[k] = (unsigned char)((sent + k) * 31 >> 3);
		n = sent < 300000 ? write(s.in_fd, chunk, sizeof(chunk)) : 0;
		sent += n > 0 ? (size_t)n : 0;
		(void)turn(&s.channel);
		n = i % 3 ? 0 : read(s.out_fd, chunk, 700);
		for (ssize_t k = 0; k < n; k++)
			assert_int_equal(chunk[k], (unsigned char)(got++ * 31 >> 3));
	}
	assert_true(got >= 300000);
}

static void only_one_side_is_waited_for(void **state)
{
	cleanup_scene struct scene s = SCENE;
	struct pollfd polled[2];

	(void)state;
	open_scene(&s, ISP_CHANNEL_PLAIN);
	assert_false(isp_channel_prepare(&s.channel, polled));
	assert_true(polled[0].fd == s.from_fd && polled[0].events == POLLIN && polled[1].fd < 0);
	put(s.in_fd, "x");
	assert_true(turn(&s.channel));
	/* With bytes in hand the source is not asked: its hang-up would make poll spin. */
	isp_fd_close(&s.in_fd);
	assert_false(isp_channel_prepare(&s.channel, polled));
	assert_true(polled[0].fd < 0 && polled[1].fd == s.to_fd && polled[1].events == POLLOUT);
}

static void end_of_file_travels_after_the_last_byte(void **state)
{
	cleanup_scene struct scene s = SCENE;
	char byte;

	(void)state;
	open_scene(&s, ISP_CHANNEL_PLAIN);
	put(s.in_fd, "last");
	isp_fd_close(&s.in_fd);
	turn_until_still(&s.channel);
	expect(s.out_fd, "last");
	assert_int_equal(read(s.out_fd, &byte, 1), 0);
	assert_true(isp_channel_source_ended(&s.channel));
	assert_false(is_open(s.from_fd));
	assert_false(is_open(s.to_fd));
}

static void a_sink_that_is_gone_closes_the_source(void **state)
{
	cleanup_scene struct scene s = SCENE;

	(void)state;
	assert_true(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
	open_scene(&s, ISP_CHANNEL_PLAIN);
	isp_fd_close(&s.out_fd);
	put(s.in_fd, "lost");
	turn_until_still(&s.channel);
	assert_int_equal(write(s.in_fd, "x", 1), -1);
	assert_int_equal(errno, EPIPE);
	assert_false(isp_channel_source_ended(&s.channel));
}

/* What a terminal has is handed out in small pieces: no poll between them, where none can wait. */
static void a_channel_that_cannot_wait_goes_on(void **state)
{
	cleanup_scene struct scene s = SCENE;
	static const char bytes[3 * ISP_CHANNEL_BUFFER_SIZE];

	(void)state;
	open_scene(&s, ISP_CHANNEL_FROM_OWN | ISP_CHANNEL_TO_OWN);
	assert_int_equal(write(s.in_fd, bytes, sizeof(bytes)), sizeof(bytes));
	assert_true(turn(&s.channel));
	assert_int_equal(bytes_in(s.out_fd), sizeof(bytes));
}

/* A source of somebody else's may wait: it is read once for each time that poll has named it. */
static void a_channel_that_might_wait_asks_first(void **state)
{
	cleanup_scene struct scene s = SCENE;
	static const char bytes[2 * ISP_CHANNEL_BUFFER_SIZE];

	(void)state;
	open_scene(&s, ISP_CHANNEL_TO_OWN);
	assert_int_equal(write(s.in_fd, bytes, sizeof(bytes)), sizeof(bytes));
	assert_true(turn(&s.channel));
	assert_int_equal(bytes_in(s.out_fd), ISP_CHANNEL_BUFFER_SIZE);
}

/* A flood does not keep the caller from its signals: a turn ends although there is more. */
static void a_turn_is_bounded(void **state)
{
	cleanup_scene struct scene s = SCENE;
	static const char bytes[1024 * 1024];
	ssize_t put_in;

	(void)state;
	open_scene(&s, ISP_CHANNEL_FROM_OWN | ISP_CHANNEL_TO_OWN);
	assert_true(fcntl(s.from_fd, F_SETPIPE_SZ, sizeof(bytes)) >= (int)sizeof(bytes));
	assert_true(fcntl(s.to_fd, F_SETPIPE_SZ, sizeof(bytes)) >= (int)sizeof(bytes));
	put_in = write(s.in_fd, bytes, sizeof(bytes));
	assert_int_equal(put_in, sizeof(bytes));
	assert_true(turn(&s.channel));
	assert_true(bytes_in(s.in_fd) > 0);
	assert_int_equal(bytes_in(s.in_fd) + bytes_in(s.out_fd), put_in);
}

static void a_shared_sink_is_tried_at_once(void **state)
{
	cleanup_scene struct scene s = SCENE;

	(void)state;
	open_scene(&s, ISP_CHANNEL_TO_SHARED);
	put(s.in_fd, "now");
	assert_true(turn(&s.channel));
	expect(s.out_fd, "now");
}

/* Threat: whoever holds the same open file clears O_NONBLOCK between our poll and our read. */
static void a_flag_that_the_other_holder_cleared_is_set_again(void **state)
{
	cleanup_scene struct scene s = SCENE;
	static const char fill[4096];
	struct pollfd polled[2];

	(void)state;
	open_scene(&s, ISP_CHANNEL_FROM_SHARED | ISP_CHANNEL_TO_SHARED);
	(void)alarm(20); /* a read or write that waits never ends */
	assert_int_equal(fcntl(s.from_fd, F_SETFL, 0), 0);
	isp_ignore(isp_channel_prepare(&s.channel, polled));
	polled[0].revents = POLLIN; /* somebody else has read it meanwhile */
	isp_channel_move(&s.channel, polled);
	assert_true(is_open(s.from_fd));
	while (write(s.to_fd, fill, sizeof(fill)) > 0)
		continue;
	assert_int_equal(fcntl(s.to_fd, F_SETFL, 0), 0);
	put(s.in_fd, "x");
	assert_true(turn(&s.channel));
	(void)alarm(0);
	assert_true(is_open(s.to_fd));
}

/* A primary reports EIO when its other side is closed. */
static void a_terminal_that_hung_up_is_end_of_file(void **state)
{
	int primary = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	struct isp_channel channel = {0};
	int out[2], peer;
	char byte;

	(void)state;
	assert_true(primary >= 0 && grantpt(primary) == 0 && unlockpt(primary) == 0);
	peer = open(ptsname(primary), O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(peer >= 0);
	assert_int_equal(pipe2(out, O_CLOEXEC | O_NONBLOCK), 0);
	isp_channel_open(&channel, &primary, &out[1], ISP_CHANNEL_FROM_SHARED);
	put(peer, "bye");
	isp_fd_close(&peer);
	turn_until_still(&channel);
	expect(out[0], "bye");
	assert_int_equal(read(out[0], &byte, 1), 0);
	assert_true(isp_channel_source_ended(&channel));
	isp_fd_close(&out[0]);
}

static void the_last_call_moves_what_is_there_and_closes(void **state)
{
	cleanup_scene struct scene s = SCENE;
	char byte;

	(void)state;
	open_scene(&s, ISP_CHANNEL_PLAIN);
	put(s.in_fd, "left behind");
	isp_channel_last_call(&s.channel);
	/* The writer is still there: without the last call this would wait for it. */
	turn_until_still(&s.channel);
	expect(s.out_fd, "left behind");
	assert_int_equal(read(s.out_fd, &byte, 1), 0);
	assert_true(isp_channel_source_ended(&s.channel));
	assert_false(is_open(s.from_fd));
}

/* A process that the tenant left behind may go on writing for ever. */
static void the_last_call_is_bounded(void **state)
{
	cleanup_scene struct scene s = SCENE;
	static char chunk[16384];
	size_t got = 0;

	(void)state;
	open_scene(&s, ISP_CHANNEL_PLAIN);
	isp_channel_last_call(&s.channel);
	for (unsigned int i = 0; i < 10000; i++) {
		ssize_t n = write(s.in_fd, chunk, sizeof(chunk));

		if (n < 0 && errno == EPIPE)
			break;
		(void)turn(&s.channel);
		n = read(s.out_fd, chunk, sizeof(chunk));
		got += n > 0 ? (size_t)n : 0;
	}
	assert_int_equal(got, ISP_CHANNEL_LAST_CALL_MAX);
	assert_false(is_open(s.from_fd));
}

static void a_channel_is_closed_twice_without_harm(void **state)
{
	cleanup_scene struct scene s = SCENE;
	int reused;

	(void)state;
	open_scene(&s, ISP_CHANNEL_PLAIN);
	isp_channel_close(&s.channel);
	assert_false(is_open(s.from_fd));
	assert_false(isp_channel_source_ended(&s.channel));
	reused = open("/dev/null", O_RDONLY | O_CLOEXEC);
	isp_channel_close(&s.channel);
	assert_true(is_open(reused));
	isp_fd_close(&reused);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_pass_unchanged),
		cmocka_unit_test(a_channel_that_is_over_waits_for_nothing),
		cmocka_unit_test(a_slow_sink_gets_every_byte_in_order),
		cmocka_unit_test(only_one_side_is_waited_for),
		cmocka_unit_test(end_of_file_travels_after_the_last_byte),
		cmocka_unit_test(a_sink_that_is_gone_closes_the_source),
		cmocka_unit_test(a_shared_sink_is_tried_at_once),
		cmocka_unit_test(a_channel_that_cannot_wait_goes_on),
		cmocka_unit_test(a_channel_that_might_wait_asks_first),
		cmocka_unit_test(a_turn_is_bounded),
		cmocka_unit_test(a_flag_that_the_other_holder_cleared_is_set_again),
		cmocka_unit_test(a_terminal_that_hung_up_is_end_of_file),
		cmocka_unit_test(the_last_call_moves_what_is_there_and_closes),
		cmocka_unit_test(the_last_call_is_bounded),
		cmocka_unit_test(a_channel_is_closed_twice_without_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
