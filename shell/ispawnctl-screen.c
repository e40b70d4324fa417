/* SPDX-License-Identifier: GPL-3.0-or-later */
/* ispawnctl-screen.c - a terminal that is drawn on; contract in ispawnctl-screen.h
 *
 * The sequences are ECMA-48's and xterm's, which every terminal of today knows; the ones that it
 * does not know it leaves out. */
#include "ispawnctl-screen.h"

#include "ispawn/base/clock.h"
#include "ispawn/base/fd.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>

#define TAKE_SCREEN "\033[?1049h\033[?25l" /* the second screen, no cursor */
#define GIVE_SCREEN "\033[?25h\033[?1049l"
#define HOME "\033[H"
#define CLEAR_LINE "\033[K"
#define CLEAR_REST "\033[J"
#define CTRL_C '\003'

bool screen_is_there(void)
{
	const char *kind = getenv("TERM");

	return isatty(STDOUT_FILENO) && kind && kind[0] && strcmp(kind, "dumb") != 0;
}

/* All writes to standard output: ispawnctl's main asks once whether one of them failed. */
static void put(const char *text)
{
	(void)fputs(text, stdout);
	(void)fflush(stdout);
}

static void take_terminal(struct screen *screen)
{
	struct termios keys;

	screen->is_input = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &screen->saved) == 0;
	if (screen->is_input) {
		keys = screen->saved;
		keys.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		keys.c_cc[VMIN] = 1;
		keys.c_cc[VTIME] = 0;
		(void)tcsetattr(STDIN_FILENO, TCSANOW, &keys); /* Ignored: keys come by the line */
	}
	put(TAKE_SCREEN);
}

static void give_terminal(struct screen *screen)
{
	put(GIVE_SCREEN);
	if (screen->is_input)
		(void)tcsetattr(STDIN_FILENO, TCSANOW, &screen->saved);
}

int screen_open(struct screen *screen)
{
	static const int taken[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGWINCH, SIGCONT};
	sigset_t set;

	(void)sigemptyset(&set);
	for (size_t i = 0; i < ISP_ARRAY_SIZE(taken); i++)
		(void)sigaddset(&set, taken[i]);
	if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
		return -errno;
	screen->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (screen->signal_fd < 0)
		return -errno;
	take_terminal(screen);
	return 0;
}

void screen_close(struct screen *screen)
{
	give_terminal(screen);
	isp_fd_close(&screen->signal_fd);
}

/* --- one picture ------------------------------------------------------------------------------ */

void screen_begin(struct screen *screen)
{
	struct winsize size = {0};

	(void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &size); /* Ignored: then it is a classic one */
	screen->rows = size.ws_row > 0 ? size.ws_row : 24;
	screen->columns = size.ws_col > 0 ? size.ws_col : 80;
	screen->used_rows = 0;
	(void)fputs(HOME, stdout);
}

void screen_line(struct screen *screen, const char *text)
{
	if (screen->used_rows >= screen->rows)
		return;
	/* Order: the newline before the line, since one behind the last would scroll. */
	(void)printf("%s%.*s" CLEAR_LINE, screen->used_rows > 0 ? "\n" : "", screen->columns, text);
	screen->used_rows++;
}

void screen_end(void)
{
	put(CLEAR_REST);
}

/* --- between two ------------------------------------------------------------------------------ */

static enum screen_event take_signal(struct screen *screen)
{
	struct signalfd_siginfo info;

	if (read(screen->signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return SCREEN_TIME;
	switch ((int)info.ssi_signo) {
	case SIGWINCH:
		return SCREEN_REDRAW;
	case SIGTSTP:
		give_terminal(screen);
		(void)kill(getpid(), SIGSTOP);
		take_terminal(screen);
		return SCREEN_REDRAW;
	case SIGCONT:
		return SCREEN_REDRAW;
	default:
		return SCREEN_END;
	}
}

static enum screen_event take_key(void)
{
	char key = 0;

	if (read(STDIN_FILENO, &key, 1) != 1)
		return SCREEN_END; /* the terminal is gone */
	return key == 'q' || key == 'Q' || key == CTRL_C ? SCREEN_END : SCREEN_TIME;
}

enum screen_event screen_wait(struct screen *screen, int64_t deadline_ms)
{
	for (;;) {
		struct pollfd polled[] = {
			{.fd = screen->signal_fd, .events = POLLIN},
			{.fd = screen->is_input ? STDIN_FILENO : -1, .events = POLLIN},
		};
		enum screen_event event = SCREEN_TIME;
		int n = poll(polled, ISP_ARRAY_SIZE(polled), isp_clock_left(deadline_ms));

		if (n == 0 || (n < 0 && errno != EINTR))
			return n == 0 ? SCREEN_TIME : SCREEN_END;
		if (n > 0 && polled[0].revents)
			event = take_signal(screen);
		else if (n > 0 && polled[1].revents)
			event = take_key();
		if (event != SCREEN_TIME)
			return event;
	}
}
