/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * clock.h - deadlines
 *
 * Theory of operation: a deadline is a point of CLOCK_MONOTONIC in milliseconds, computed once and
 * passed down, so that many waits in a row cannot add up to more than was promised.
 */
#ifndef ISPAWN_BASE_CLOCK_H
#define ISPAWN_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define ISP_NEVER INT64_MAX

/** isp_clock_ms() - now. */
static inline int64_t isp_clock_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now); /* Ignored: cannot fail for this clock */
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/** isp_clock_left() - for poll(2): milliseconds until @deadline_ms, 0 when past, -1 for never. */
static inline int isp_clock_left(int64_t deadline_ms)
{
	int64_t left;

	if (deadline_ms == ISP_NEVER)
		return -1;
	left = deadline_ms - isp_clock_ms();
	if (left <= 0)
		return 0;
	return left > INT32_MAX ? INT32_MAX : (int)left;
}

#endif
