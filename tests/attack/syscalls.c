/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * syscalls - which system calls get an answer from the kernel proper, here
 *
 * One line per try: group, name and the errno's name ("0": it worked), tab-separated.  Arguments
 * are such that somebody with every right gets another answer than EPERM and does no harm: bad
 * pointers, bad magic numbers, descriptor -1.  The same source is compiled for x86-64 and for i386.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/if_alg.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define BAD 8L /* no pointer */
#define ROW(group, name, ...)                                                                      \
	{                                                                                          \
		group, #name, SYS_##name,                                                          \
		{                                                                                  \
			__VA_ARGS__                                                                \
		}                                                                                  \
	}
#define X32 0x40000000L

static const struct row {
	const char *group, *name;
	long number;
	long arguments[6];
} rows[] = {
	ROW("mount", mount, BAD, BAD, BAD, 0, 0),
	ROW("mount", umount2, BAD, 0),
	ROW("mount", pivot_root, BAD, BAD),
	ROW("mount", move_mount, -1, BAD, -1, BAD, 0),
	ROW("mount", open_tree, -1, BAD, 1),
	ROW("mount", fsopen, BAD, 0),
	ROW("mount", fsconfig, -1, 0, BAD, BAD, 0),
	ROW("mount", fsmount, -1, 0, 0),
	ROW("mount", fspick, -1, BAD, 0),
	ROW("mount", mount_setattr, -1, BAD, 0, BAD, 0),
	ROW("namespace", setns, -1, 0),
	ROW("namespace", unshare, CLONE_NEWUSER),
	ROW("namespace", unshare, CLONE_NEWNS),
	ROW("namespace", unshare, CLONE_NEWNET),
	ROW("namespace", unshare, CLONE_NEWPID),
	ROW("namespace", unshare, CLONE_NEWCGROUP),
	ROW("namespace", unshare, CLONE_NEWTIME),
	ROW("clone3", clone3, BAD, 88),
	ROW("machine", reboot, 1, 2, 3, 0),
	ROW("machine", kexec_load, 0, 1000, BAD, 0),
	ROW("machine", init_module, BAD, 0, BAD),
	ROW("machine", finit_module, -1, BAD, 0),
	ROW("machine", delete_module, BAD, 0),
	ROW("machine", swapon, BAD, 0),
	ROW("machine", swapoff, BAD),
	ROW("machine", acct, BAD),
	ROW("machine", settimeofday, BAD, 0),
	ROW("machine", clock_settime, 0, BAD),
	ROW("machine", sethostname, BAD, 100000),
	ROW("machine", setdomainname, BAD, 100000),
	ROW("machine", syslog, 3, BAD, -1),
	ROW("machine", quotactl, -1, BAD, 0, BAD),
	ROW("machine", iopl, 7),
	ROW("machine", ioperm, 0x80, 0x10000, 1),
	ROW("kernel surface", bpf, 0, BAD, 0),
	ROW("kernel surface", perf_event_open, BAD, 0, -1, -1, 0),
	ROW("kernel surface", userfaultfd, 0x10),
	ROW("kernel surface", io_uring_setup, 1, BAD),
	ROW("kernel surface", io_uring_enter, -1, 0, 0, 0, 0, 0),
	ROW("kernel surface", io_uring_register, -1, 0, BAD, 0),
	ROW("kernel surface", fanotify_init, 0x40, 0xffff),
	ROW("kernel surface", fanotify_mark, -1, 0, 0, -1, BAD),
	ROW("kernel surface", name_to_handle_at, -1, BAD, BAD, BAD, 0),
	ROW("kernel surface", open_by_handle_at, -1, BAD, 0),
	ROW("kernel surface", kcmp, 1, 1, 99, 0, 0),
	ROW("kernel surface", pidfd_getfd, -1, 0, 0),
	ROW("keyring", keyctl, 0, -3, 0),
	ROW("keyring", add_key, BAD, BAD, BAD, 0, -4),
	ROW("keyring", request_key, BAD, BAD, BAD, -4),
	ROW("numa", move_pages, 1, 0, BAD, BAD, BAD, 0),
	ROW("numa", migrate_pages, 1, 64, BAD, BAD),
	/* PER_LINUX with ADDR_NO_RANDOMIZE */
	ROW("personality", personality, 0x40000),
	/* PER_LINUX with READ_IMPLIES_EXEC */
	ROW("personality", personality, 0x400000),
	{"unknown", "the last number that could be", 1023, {0}},
	{"unknown", "a number nobody has", 5000, {0}},
#ifdef __x86_64__
	/* Kernel: the low 32 bits alone count, for an int; the filter must look at no more. */
	{"garbage above", "unshare", SYS_unshare, {(long)(0xdead00000000UL | CLONE_NEWUSER)}},
	{"garbage above", "clone", SYS_clone, {(long)(0xdead00000000UL | CLONE_NEWUSER | SIGCHLD)}},
	{"garbage above", "personality", SYS_personality, {(long)(0xdead00000000UL | 0x40000)}},
	{"x32", "read", SYS_read | X32, {-1, BAD, 0}},
	{"x32", "mount", SYS_mount | X32, {BAD, BAD, BAD, 0, BAD}},
	{"x32", "ioctl", 514 | X32, {-1, TIOCSTI, BAD}},
	{"x32", "ptrace", 521 | X32, {PTRACE_ATTACH, 1, 0, 0}},
	{"x32", "unshare", SYS_unshare | X32, {CLONE_NEWUSER}},
#endif
};

static void say(const char *group, const char *name, int errnum)
{
	(void)printf("%s\t%s\t%s\n", group, name, errnum == 0 ? "0" : strerrorname_np(errnum));
	(void)fflush(stdout);
}

/* A process for each: what a call changes goes with it. */
static void try_row(const struct row *row)
{
	const long *a = row->arguments;
	pid_t pid = fork();
	long r;

	if (pid == 0) {
		(void)setsid();
		errno = 0;
		r = syscall(row->number, a[0], a[1], a[2], a[3], a[4], a[5]);
		/* A clone that worked is here twice. */
		if (getpid() != 1 && row->number == SYS_clone && r == 0)
			_exit(0);
		say(row->group, row->name, r == -1 ? errno : 0);
		_exit(0);
	}
	(void)waitpid(pid, NULL, 0);
}

static void try_clone(const char *name, unsigned long flags)
{
	long r;

	errno = 0;
	r = syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
	if (r == 0)
		_exit(0);
	say("clone", name, r < 0 ? errno : 0);
	if (r > 0)
		(void)waitpid((pid_t)r, NULL, 0);
}

static void try_socket(const char *name, int family, int type, int protocol)
{
	int fd = socket(family, type, protocol);

	say("socket", name, fd < 0 ? errno : 0);
	if (fd >= 0)
		(void)close(fd);
}

/* A terminal of one's own is enough to ask with: it is the session's controlling one. */
static void try_terminal(const char *name, unsigned long request)
{
	pid_t pid = fork();
	char c = 'x';

	if (pid == 0) {
		int primary = open("/dev/ptmx", O_RDWR | O_NOCTTY), unlock = 0, fd;

		(void)setsid();
		if (primary < 0 || ioctl(primary, TIOCSPTLCK, &unlock) != 0)
			_exit(1);
		fd = ioctl(primary, TIOCGPTPEER, O_RDWR);
		if (fd < 0 || ioctl(fd, TIOCSCTTY, 0) != 0)
			_exit(1);
		errno = 0;
		(void)syscall(SYS_ioctl, (long)fd, (long)request, &c);
		say("terminal", name, errno);
		_exit(0);
	}
	(void)waitpid(pid, NULL, 0);
}

int main(void)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		try_row(&rows[i]);
	try_clone("CLONE_NEWUSER", CLONE_NEWUSER);
	try_clone("CLONE_NEWNS", CLONE_NEWNS);
	try_clone("CLONE_NEWUSER|CLONE_NEWNET", CLONE_NEWUSER | CLONE_NEWNET);
	try_clone("CLONE_NEWPID", CLONE_NEWPID);
	try_socket("AF_VSOCK", AF_VSOCK, SOCK_STREAM, 0);
	try_socket("AF_ALG", AF_ALG, SOCK_SEQPACKET, 0);
	try_socket("AF_PACKET", AF_PACKET, SOCK_RAW, 0);
	try_socket("netlink audit", AF_NETLINK, SOCK_RAW, 9);
	try_socket("netlink netfilter", AF_NETLINK, SOCK_RAW, 12);
	try_socket("netlink sock_diag", AF_NETLINK, SOCK_RAW, 4);
	try_terminal("TIOCSTI", TIOCSTI);
	try_terminal("TIOCLINUX", TIOCLINUX);
#ifdef __x86_64__
	try_terminal("TIOCSTI, garbage above", 0xdead00000000UL | TIOCSTI);
	try_terminal("TIOCLINUX, garbage above", 0xdead00000000UL | TIOCLINUX);
#endif
	return 0;
}
