/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * relay.h - bytes from one descriptor to another, without ever waiting
 *
 * Theory of operation: a channel owns its two descriptors and a bounded buffer, and moves bytes
 * when poll(2) says so; the caller's loop owns the poll.  End of file on one side closes the other
 * once the buffer is empty, so that a half-close travels through; a writer that gets an error
 * closes both, so that the source learns it too.  A primary whose other side is closed reports EIO:
 * that is its end of file.  Bytes are never looked at.
 *
 * Where no call can wait, a channel reads and writes on for a while before it goes back to poll:
 * the kernel hands out a terminal's bytes in pieces of 4 KiB at most, and a poll for each side of
 * each piece costs as much as the piece.
 *
 * After the tenant's end a channel gets its last call: whatever the kernel already holds is moved,
 * nothing more is waited for, and the amount is bounded, since a process that the tenant left
 * behind may go on writing for ever.
 *
 * Threat: the other side of a primary can hold the same open file and clear its O_NONBLOCK between
 * our poll and our read.  Channels with ISP_CHANNEL_SHARED set it again before each call; what
 * remains of the race ends with the container, whose last process closes the other side.
 */
#ifndef ISPAWN_SESSION_RELAY_H
#define ISPAWN_SESSION_RELAY_H

#include "ispawn/base/err.h"

#include <poll.h>

#define ISP_CHANNEL_BUFFER_SIZE (16 * 1024)
#define ISP_CHANNEL_LAST_CALL_MAX                                                                  \
	(1024 * 1024) /* the largest pipe an unprivileged user can make                            \
		       */

/** enum isp_channel_flags - what is special about a channel's descriptors */
enum isp_channel_flags {
	ISP_CHANNEL_PLAIN = 0,
	ISP_CHANNEL_FROM_SHARED = 1 << 0, /* set O_NONBLOCK on the source before each read */
	ISP_CHANNEL_TO_SHARED = 1 << 1,   /* likewise on the sink before each write */
	ISP_CHANNEL_FROM_OWN = 1 << 2,    /* opened O_NONBLOCK by us: nobody else can clear it */
	ISP_CHANNEL_TO_OWN = 1 << 3,
};

/**
 * struct isp_channel - one direction; zeroed is a channel that is over
 * All fields are the channel's own; the caller looks at none.
 */
struct isp_channel {
	bool is_open;
	bool is_last_call;
	bool has_source_ended;
	unsigned int flags;
	int from_fd; /* -EBADF after end of file */
	int to_fd;
	size_t start, end; /* bytes that wait in @buffer */
	size_t budget;     /* bytes that may still be read in the last call */
	char buffer[ISP_CHANNEL_BUFFER_SIZE];
};

/** isp_channel_open() - start relaying; consumes both descriptors. */
void isp_channel_open(struct isp_channel *channel, int *from_fd, int *to_fd, unsigned int flags);

/** isp_channel_close() - close both sides and drop what was not written. */
void isp_channel_close(struct isp_channel *channel);

/**
 * isp_channel_prepare() - fill in two entries for poll
 * @ret_poll: [0] the source, [1] the sink; fd -1 for a side that is not waited for
 * Return: true when isp_channel_move() has something to do already: poll must not wait.
 */
ISP_MUST_CHECK bool isp_channel_prepare(const struct isp_channel *channel,
					struct pollfd ret_poll[2]);

/** isp_channel_move() - read and write as @polled allows: once, or where neither can wait a bounded
 * number of times, so that the caller hears of other things as well. */
void isp_channel_move(struct isp_channel *channel, const struct pollfd polled[2]);

/**
 * isp_channel_source_ended() - did the channel close because its source came to an end?
 * Tells a terminal that has hung up from a sink that takes no more.
 */
bool isp_channel_source_ended(const struct isp_channel *channel);

/** isp_channel_last_call() - from now on move only what is there already, then close. */
void isp_channel_last_call(struct isp_channel *channel);

#endif
