/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ispawn-shell-terminal.c - the user's terminal on the host
 *
 * The terminal that sshd or login made stays outside; utmp and lastlog name it.  The tenant has a
 * pty of its own, so nothing inside ever holds a descriptor of this one (TIOCSTI, TIOCLINUX). While
 * a tenant runs this terminal is raw: line editing, echo, ^C and ^Z are the inner pty's.
 */
#include "ispawn-shell.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

void shell_say(const struct shell *shell, const char *fmt, ...)
{
	char text[1024] = "ispawn: ";
	size_t used = strlen(text);
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(text + used, sizeof(text) - used - 2, fmt, args);
	va_end(args);
	if (n < 0)
		return;
	used = strlen(text);
	/* A raw terminal does not return the carriage itself. */
	if (shell->terminal.is_raw)
		text[used++] = '\r';
	text[used++] = '\n';
	if (isp_fd_write_all(STDERR_FILENO, text, used) < 0)
		return; /* and there is nowhere else to say it */
}

/* Kernel: Documentation/admin-guide/devices.txt: 5:2 is /dev/ptmx, and every primary side has its
 * number; Unix98 primaries of old kernels have majors 128 to 135. */
static bool is_ptmx(dev_t device)
{
	return major(device) == 5 && minor(device) == 2;
}

void terminal_find(struct terminal *terminal, const enum isp_stream kinds[ISP_REQUEST_STREAMS])
{
	*terminal = (struct terminal){.fd = -EBADF};
	for (int i = ISP_REQUEST_STREAMS - 1; i >= 0; i--)
		if (kinds[i] == ISP_STREAM_TTY)
			terminal->fd = i;
	terminal->is_input = terminal->fd == STDIN_FILENO;
}

void terminal_describe(const struct terminal *terminal, struct isp_request *request)
{
	if (terminal->fd < 0)
		return;
	(void)tcgetattr(terminal->fd, &request->termios); /* Ignored: isatty() said yes */
	(void)ioctl(terminal->fd, TIOCGWINSZ, &request->winsize);
	/* A terminal that is not made raw does its own output processing: not twice. */
	if (!terminal->is_input)
		request->termios.c_oflag &= ~(tcflag_t)OPOST;
}

void terminal_make_raw(struct terminal *terminal)
{
	struct termios raw;

	if (!terminal->is_input || terminal->is_raw || tcgetattr(terminal->fd, &raw) != 0)
		return;
	terminal->saved = raw;
	cfmakeraw(&raw);
	/* Order: TCSANOW leaves what was typed ahead where it is, for the tenant.  In the
	 * background the kernel stops us here with SIGTTOU, as it should. */
	terminal->is_raw = tcsetattr(terminal->fd, TCSANOW, &raw) == 0;
}

/* Only from the foreground: otherwise the terminal is somebody else's by now. */
void terminal_restore(struct terminal *terminal)
{
	if (!terminal->is_raw)
		return;
	terminal->is_raw = false;
	if (tcgetpgrp(terminal->fd) == getpgrp() || getsid(0) != tcgetsid(terminal->fd))
		(void)tcsetattr(terminal->fd, TCSANOW, &terminal->saved);
}

void terminal_resize(const struct terminal *terminal, int primary_fd)
{
	struct winsize size = {0};

	if (terminal->fd >= 0 && primary_fd >= 0 && ioctl(terminal->fd, TIOCGWINSZ, &size) == 0)
		(void)ioctl(primary_fd, TIOCSWINSZ, &size); /* Ignored: gone with the container */
}

/* O_NONBLOCK belongs to the open file, which the terminal's other users share: on theirs it would
 * break the shell that su was called from.  Where the device may not be opened again (su: it is
 * another user's) the borrowed one has to do, and a write may wait for the terminal. */
int terminal_open(int fd, bool *ret_is_own)
{
	char path[32];
	struct stat st;
	int opened = -1;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	/* A primary opened again would be a new pty. */
	if (fstat(fd, &st) == 0 && !is_ptmx(st.st_rdev))
		opened = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	*ret_is_own = opened >= 0;
	if (opened < 0)
		opened = fcntl(fd, F_DUPFD_CLOEXEC, ISP_REQUEST_STREAMS);
	return opened < 0 ? -errno : opened;
}

bool terminal_is_primary(int fd)
{
	unsigned int number;
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && is_ptmx(st.st_rdev) &&
	       ioctl(fd, TIOCGPTN, &number) == 0;
}
