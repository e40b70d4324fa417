/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * fake_supervisor.c - stands where ispawn-supervisor stands, and does what a test wants
 *
 * It first checks everything that a supervisor is promised about the world it starts in; what is
 * not as promised it reports as FAILED, so a READY says that the whole promise was kept.  Then it
 * acts out the one word in BEHAVIOUR.  How it came to its end is written to ENDED.
 */
#include "scene.h"

#include "ispawn/policy/spec.h"
#include "ispawn/session/protocol.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CONTROL_FD = 3, SPEC_FD, APPLICATION_FD };

static struct isp_spec spec;

static _Noreturn void answer_failed(int errnum, enum isp_stage stage, const char *text)
{
	struct isp_message message = {.type = ISP_MESSAGE_FAILED};

	message.error.code = errnum;
	message.error.stage = (uint32_t)stage;
	(void)snprintf(message.error.text, sizeof(message.error.text), "%s", text);
	isp_ignore(isp_message_send(CONTROL_FD, &message, NULL, 0, 0));
	exit(1);
}

static void promise(bool is_kept, const char *what)
{
	char text[200];

	if (is_kept)
		return;
	(void)snprintf(text, sizeof(text), "promise broken: %s", what);
	answer_failed(EPROTO, ISP_STAGE_START, text);
}

/* The value of a line of /proc/self/FILE, as a string. */
static bool proc_line_is(const char *file, const char *key, const char *expected)
{
	char line[256];
	bool is_equal = false;
	FILE *stream = fopen(file, "re");

	while (stream && fgets(line, sizeof(line), stream)) {
		size_t n = strlen(key);

		if (strncmp(line, key, n) != 0 || line[n] != ':')
			continue;
		line[strcspn(line, "\n")] = '\0';
		is_equal = strcmp(line + n + 1 + strspn(line + n + 1, "\t "), expected) == 0;
	}
	if (stream)
		(void)fclose(stream);
	return is_equal;
}

static bool links_to(int fd, const char *expected)
{
	char path[64], target[256] = "";

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return readlink(path, target, sizeof(target) - 1) > 0 && strcmp(target, expected) == 0;
}

static int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int count = -1; /* the directory's own */

	for (struct dirent *e = readdir(dir); e; e = readdir(dir))
		count += e->d_name[0] != '.';
	(void)closedir(dir);
	return count;
}

static void check_descriptors(void)
{
	cleanup_free char *bytes = NULL;
	char application[32];
	struct isp_error err = {0};
	size_t size = 0;
	int type = 0;
	socklen_t length = sizeof(type);

	for (int fd = 0; fd < 3; fd++)
		promise(links_to(fd, "/dev/null"), "0, 1 and 2 are /dev/null");
	promise(count_fds() == 6, "no descriptors but 0 to 5");
	promise(getsockopt(CONTROL_FD, SOL_SOCKET, SO_TYPE, &type, &length) == 0 &&
			type == SOCK_SEQPACKET,
		"3 is a SOCK_SEQPACKET socket");
	promise(isp_fd_memfd_read(SPEC_FD, ISP_SPEC_SIZE_MAX, &bytes, &size) == 0,
		"4 is a sealed memfd");
	promise(isp_spec_decode(bytes, size, &spec, &err) == 0, "4 holds a spec");
	scene_read(APPLICATION, application, sizeof(application));
	promise(proc_line_is("/proc/self/fdinfo/5", "Pid", application),
		"5 is a pidfd of the application");
}

static void check_process(int argc, char **argv)
{
	char directory[16] = "";

	promise(argc == 1 && strcmp(argv[0], "ispawn-supervisor") == 0, "argv is fixed");
	promise(environ[0] == NULL, "the environment is empty");
	promise(proc_line_is("/proc/self/status", "SigBlk", "0000000000000000"),
		"no signal is blocked");
	promise(proc_line_is("/proc/self/status", "SigIgn", "0000000000000000"),
		"no signal is ignored");
	promise(proc_line_is("/proc/self/status", "Umask", "0022"), "umask 022");
	promise(getcwd(directory, sizeof(directory)) && strcmp(directory, "/") == 0,
		"the directory is /");
	promise(getsid(0) == getpid() && getpgid(0) == getpid(), "it leads a session of its own");
	/* The middle child may need a moment to end. */
	for (int i = 0; i < 100 && getppid() != 1; i++)
		(void)usleep(10 * 1000);
	promise(getppid() == 1, "the application is not its parent");
}

static void say(uint32_t type, const int *fds, size_t fd_count)
{
	struct isp_message message = {.type = type};

	isp_ignore(isp_message_send(CONTROL_FD, &message, fds, fd_count, 0));
}

static void say_ready(void)
{
	int net_fd = -1;

	if (spec.network == ISP_NETWORK_HOST) {
		say(ISP_MESSAGE_READY, NULL, 0);
		return;
	}
	promise(unshare(CLONE_NEWNET) == 0, "a network namespace can be made");
	net_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	say(ISP_MESSAGE_READY, &net_fd, 1);
	(void)close(net_fd);
}

/* Waits for the end, whichever comes. @answer: what CLOSE is answered with; NONE: silence. */
static _Noreturn void serve(uint32_t answer)
{
	struct isp_message message;
	int fds[ISP_FDS_MAX];
	size_t fd_count = 0;
	int r;

	while ((r = isp_message_receive(CONTROL_FD, 1u << ISP_MESSAGE_CLOSE, &message, fds,
					&fd_count, 0)) == 1) {
		scene_write(ENDED, "CLOSE");
		if (answer != ISP_MESSAGE_NONE)
			say(answer, NULL, 0);
		if (answer == ISP_MESSAGE_CLOSED)
			exit(0);
	}
	scene_write(ENDED, r == 0 ? "EOF" : "error");
	exit(0);
}

static void send_raw(const char *bytes, size_t size)
{
	isp_ignore(isp_fd_send(CONTROL_FD, bytes, size, NULL, 0, 0));
}

static void act_before_ready(const char *word)
{
	struct isp_message message = {.magic = 0x12345678, .type = ISP_MESSAGE_READY};
	int null_fds[2] = {0, 1};

	if (strcmp(word, "failed") == 0)
		answer_failed(ENOENT, ISP_STAGE_ROOTFS, "open \"/templates/x\033[2J\"");
	if (strcmp(word, "failed-zero") == 0)
		answer_failed(0, ISP_STAGE_COUNT, "no reason");
	if (strcmp(word, "limit") == 0)
		answer_failed(EUSERS, ISP_STAGE_REGISTRY, "16 sessions are open");
	if (strcmp(word, "exit") == 0)
		exit(0);
	if (strcmp(word, "crash") == 0)
		(void)kill(getpid(), SIGKILL);
	if (strcmp(word, "slow") == 0)
		(void)usleep(400 * 1000);
	if (strcmp(word, "wrong-magic") == 0)
		send_raw((const char *)&message, sizeof(message));
	if (strcmp(word, "short") == 0)
		send_raw("READY", 5);
	if (strcmp(word, "stranger") == 0)
		say(ISP_MESSAGE_EXITED, NULL, 0);
	if (strcmp(word, "no-fd") == 0)
		say(ISP_MESSAGE_READY, NULL, 0);
	if (strcmp(word, "two-fds") == 0)
		say(ISP_MESSAGE_READY, null_fds, 2);
	if (strcmp(word, "wrong-fd") == 0)
		say(ISP_MESSAGE_READY, null_fds, 1);
	if (strcmp(word, "hang") == 0)
		serve(ISP_MESSAGE_NONE);
	if (strstr(word, "-fd"))
		serve(ISP_MESSAGE_CLOSED);
}

int main(int argc, char **argv)
{
	char word[32];

	check_descriptors();
	check_process(argc, argv);
	scene_read(BEHAVIOUR, word, sizeof(word));
	act_before_ready(word);
	say_ready();
	if (strcmp(word, "dies") == 0)
		exit(0);
	if (strcmp(word, "deaf") == 0)
		serve(ISP_MESSAGE_NONE);
	if (strcmp(word, "liar") == 0)
		serve(ISP_MESSAGE_READY);
	serve(ISP_MESSAGE_CLOSED);
}
