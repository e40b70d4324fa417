/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ispawnctl-screen.h - a terminal that is drawn on again and again
 *
 * Theory of operation: the terminal's second screen is taken, so that what stood there comes back;
 * a picture is drawn from its upper left corner, each line cut to the width and cleared to its end,
 * so that nothing flickers.  Signals are blocked and read between two pictures: whatever ends the
 * program, it ends in order, and the terminal is put back.
 */
#ifndef ISPAWN_SHELL_ISPAWNCTL_SCREEN_H
#define ISPAWN_SHELL_ISPAWNCTL_SCREEN_H

#include "ispawn/base/err.h"

#include <termios.h>

/** struct screen - starts `= { 0 }`; the size is that of the last screen_begin() */
struct screen {
	int rows, columns;
	int used_rows;
	int signal_fd;
	bool is_input; /* standard input is a terminal, and its keys come at once */
	struct termios saved;
};

enum screen_event { SCREEN_TIME, SCREEN_REDRAW, SCREEN_END };

/** screen_is_there() - is standard output a terminal that can be drawn on? */
bool screen_is_there(void);

/** screen_open() - take the terminal.  Return: 0; -errno, the terminal as it was. */
ISP_MUST_CHECK int screen_open(struct screen *screen);
/** screen_close() - put it back. */
void screen_close(struct screen *screen);

/** screen_begin(), screen_line(), screen_end() - one picture; lines beyond the last row are left
 * out. @text: printable, without a newline */
void screen_begin(struct screen *screen);
void screen_line(struct screen *screen, const char *text);
void screen_end(void);

/** screen_wait() - until @deadline_ms (isp_clock_ms()), a key or a signal */
enum screen_event screen_wait(struct screen *screen, int64_t deadline_ms);

#endif
