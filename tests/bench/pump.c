/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * pump - seconds that bulk bytes take through a command's pipes or its terminal
 *
 *	pump pipes MIB COMMAND...	COMMAND copies its input to its output; both are pipes
 *	pump output MIB COMMAND...	COMMAND is, in the end, `pump source MIB` on a terminal
 *	pump input MIB COMMAND...	likewise `pump sink MIB`
 *	pump source MIB, sink MIB	the other ends of these
 *
 * Static, so that the same file runs on the host and in a container.  The clock starts when the
 * command has said that it is there.  The bytes are checked where they arrive: what they prove is
 * that none was lost, doubled or changed, in a period that no buffer's size divides.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum { PERIOD = 65521, BLOCK = 64 * 1024, STATUS_OURS = 125 };

static unsigned char pattern[PERIOD + BLOCK];

static _Noreturn void fail(const char *what)
{
	(void)fprintf(stderr, "pump: %s: %s\n", what, strerror(errno));
	_exit(STATUS_OURS);
}

static void make_pattern(void)
{
	unsigned int state = 1;

	for (size_t i = 0; i < sizeof(pattern); i++) {
		state = state * 1103515245u + 12345u;
		pattern[i] = i < PERIOD ? (unsigned char)(state >> 16) : pattern[i - PERIOD];
	}
}

static void send_bytes(int fd, size_t total)
{
	for (size_t sent = 0; sent < total;) {
		size_t want = total - sent < BLOCK ? total - sent : BLOCK;
		ssize_t n = write(fd, pattern + sent % PERIOD, want);

		if (n <= 0)
			fail("write");
		sent += (size_t)n;
	}
}

static void take_bytes(int fd, size_t total)
{
	static unsigned char buffer[BLOCK];

	for (size_t taken = 0; taken < total;) {
		size_t want = total - taken < BLOCK ? total - taken : BLOCK;
		ssize_t n = read(fd, buffer, want);

		if (n <= 0)
			fail("read");
		if (memcmp(buffer, pattern + taken % PERIOD, (size_t)n) != 0) {
			errno = EBADMSG;
			fail("the bytes are not those that were sent");
		}
		taken += (size_t)n;
	}
}

/* A byte that says "go on": the first of the pattern, so that cat's echo of it passes as well. */
static void say(int fd)
{
	send_bytes(fd, 1);
}

static void hear(int fd)
{
	take_bytes(fd, 1);
}

/* --- the command ------------------------------------------------------------------------------ */

static pid_t run(char **argv, int in_fd, int out_fd, int has_terminal)
{
	pid_t child = fork();

	if (child != 0)
		return child;
	if (has_terminal && (setsid() < 0 || ioctl(in_fd, TIOCSCTTY, 0) != 0))
		fail("the terminal");
	if (dup2(in_fd, STDIN_FILENO) < 0 || dup2(out_fd, STDOUT_FILENO) < 0)
		fail("dup2");
	(void)execvp(argv[0], argv);
	fail(argv[0]);
}

static void expect_success(pid_t child)
{
	int status = -1;

	if (waitpid(child, &status, 0) != child || status != 0) {
		(void)fprintf(stderr, "pump: the command ended with wait status %#x\n", status);
		_exit(STATUS_OURS);
	}
}

static double now(void)
{
	struct timespec time;

	(void)clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* --- what is measured ------------------------------------------------------------------------- */

static double pipes(char **argv, size_t total)
{
	int to[2], from[2];
	pid_t command, writer;
	double began, taken;

	if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0)
		fail("pipe2");
	command = run(argv, to[0], from[1], 0);
	(void)close(to[0]);
	(void)close(from[1]);
	say(to[1]);
	hear(from[0]);
	began = now();
	writer = fork();
	if (writer == 0) {
		send_bytes(to[1], total);
		_exit(0);
	}
	(void)close(to[1]);
	take_bytes(from[0], total);
	taken = now() - began;
	expect_success(writer);
	expect_success(command);
	return taken;
}

/* Raw: every byte as it is, as under ssh.  The other side is kept open until the command has it. */
static pid_t on_terminal(char **argv, int *ret_primary)
{
	int primary = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), other = -1;
	struct termios modes;
	pid_t command;

	if (primary < 0 || unlockpt(primary) != 0)
		fail("posix_openpt");
	other = ioctl(primary, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (other < 0 || tcgetattr(other, &modes) != 0)
		fail("the terminal's other side");
	cfmakeraw(&modes);
	if (tcsetattr(other, TCSANOW, &modes) != 0)
		fail("tcsetattr");
	command = run(argv, other, other, 1);
	(void)close(other);
	*ret_primary = primary;
	return command;
}

static double output(char **argv, size_t total)
{
	int primary = -1;
	pid_t command = on_terminal(argv, &primary);
	double began, taken;

	hear(primary);
	began = now();
	say(primary);
	take_bytes(primary, total);
	taken = now() - began;
	expect_success(command);
	return taken;
}

static double input(char **argv, size_t total)
{
	int primary = -1;
	pid_t command = on_terminal(argv, &primary);
	double began, taken;

	hear(primary);
	began = now();
	send_bytes(primary, total);
	hear(primary);
	taken = now() - began;
	expect_success(command);
	return taken;
}

int main(int argc, char **argv)
{
	size_t total = argc >= 3 ? strtoul(argv[2], NULL, 10) << 20 : 0;
	const char *verb = argc >= 2 ? argv[1] : "";

	make_pattern();
	if (argc == 3 && strcmp(verb, "source") == 0) {
		say(STDOUT_FILENO);
		hear(STDIN_FILENO);
		send_bytes(STDOUT_FILENO, total);
	} else if (argc == 3 && strcmp(verb, "sink") == 0) {
		say(STDOUT_FILENO);
		take_bytes(STDIN_FILENO, total);
		say(STDOUT_FILENO);
	} else if (argc > 3 && strcmp(verb, "pipes") == 0) {
		(void)printf("%.6f\n", pipes(argv + 3, total));
	} else if (argc > 3 && strcmp(verb, "output") == 0) {
		(void)printf("%.6f\n", output(argv + 3, total));
	} else if (argc > 3 && strcmp(verb, "input") == 0) {
		(void)printf("%.6f\n", input(argv + 3, total));
	} else {
		(void)fprintf(stderr, "usage: pump pipes|output|input MIB COMMAND... | "
				      "source|sink MIB\n");
		return STATUS_OURS;
	}
	return 0;
}
