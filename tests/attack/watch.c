/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * watch - pounce on every process that appears, until standard input ends
 *
 * For each process of /proc that was not there at the start, as often as there is time: trace it,
 * open its memory, its descriptors, its directories and its program, borrow its descriptors, write
 * into it, signal it.  Prints `PID<tab>TRY<tab>WHAT` for whatever worked, WHAT being where a link
 * leads, and at the end `0<tab>seen<tab>COUNT`.
 */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define PIDS_MAX 65536

static unsigned char known[PIDS_MAX];
static long seen;

static void worked(int pid, const char *attempt, const char *what)
{
	printf("%d\t%s\t%s\n", pid, attempt, what);
	fflush(stdout);
}

static void try_link(int pid, const char *name)
{
	char path[64], to[512];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	n = readlink(path, to, sizeof(to) - 1);
	if (n < 0)
		return;
	to[n] = '\0';
	worked(pid, name, to);
}

static void try_fds(int pid)
{
	char path[64];
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	if (!dir)
		return;
	while ((entry = readdir(dir)))
		if (isdigit((unsigned char)entry->d_name[0])) {
			char name[64];

			snprintf(name, sizeof(name), "fd/%.16s", entry->d_name);
			try_link(pid, name);
		}
	closedir(dir);
}

static void try_memory(int pid)
{
	static const char *const files[] = {"mem", "environ", "maps", "auxv"};
	char path[64], byte = 0;

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		int fd;

		snprintf(path, sizeof(path), "/proc/%d/%s", pid, files[i]);
		fd = open(path, i == 0 ? O_RDWR : O_RDONLY);
		if (fd < 0)
			continue;
		if (i == 0 || read(fd, &byte, 1) == 1)
			worked(pid, files[i], "opened");
		close(fd);
	}
}

static void try_calls(int pid)
{
	char byte = 0;
	struct iovec here = {&byte, 1}, there = {(void *)0x400000, 1};
	int pid_fd, fd;

	if (syscall(SYS_process_vm_writev, pid, &here, 1, &there, 1, 0) > 0)
		worked(pid, "process_vm_writev", "written");
	pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);
	for (int number = 0; pid_fd >= 0 && number < 32; number++) {
		fd = (int)syscall(SYS_pidfd_getfd, pid_fd, number, 0);
		if (fd >= 0) {
			char path[32], to[512] = "";

			snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
			if (readlink(path, to, sizeof(to) - 1) < 0)
				to[0] = '?';
			worked(pid, "pidfd_getfd", to);
			close(fd);
		}
	}
	if (pid_fd >= 0)
		close(pid_fd);
	if (kill(pid, SIGCONT) == 0)
		worked(pid, "kill", "sent");
	if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) == 0) {
		worked(pid, "ptrace", "seized");
		if (ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) == 0 &&
		    waitpid(pid, NULL, __WALL) == pid)
			ptrace(PTRACE_DETACH, pid, NULL, NULL);
	}
}

static void pounce(int pid)
{
	try_link(pid, "exe");
	try_link(pid, "cwd");
	try_link(pid, "root");
	try_fds(pid);
	try_memory(pid);
	try_calls(pid);
}

/* @is_first: only learn who is there already */
static void sweep(int is_first)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		int pid = atoi(entry->d_name);

		if (pid <= 0 || pid >= PIDS_MAX || known[pid] == 1)
			continue;
		if (is_first) {
			known[pid] = 1;
			continue;
		}
		seen += known[pid] == 0;
		known[pid] = 2;
		pounce(pid);
	}
	if (dir)
		closedir(dir);
}

int main(void)
{
	struct pollfd input = {.fd = 0, .events = POLLIN};

	sweep(1);
	printf("0\tup\t%d\n", (int)getpid());
	fflush(stdout);
	while (poll(&input, 1, 0) == 0)
		sweep(0);
	printf("0\tseen\t%ld\n", seen);
	return 0;
}
