/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * seccomp_generate.c - compiles the filters that are built in, when the project is built
 *
 * Theory of operation: prints a C header with finished BPF programs, so that a login pays for
 * loading one and not for compiling it.
 *
 *	default	  a head, written here, and a body, compiled by libseccomp.  The body is the
 *		  allowlist below; what it does not allow gets EPERM.  The head says what libseccomp
 *		  has no words for: "every number above the last one known: ENOSYS", "all but these
 *		  two requests", and an errno of its own for a refused argument.
 *	mandatory what the containment itself rests on, and no more.  It is no program alone:
 *		  what it does not answer falls off its end, into an administrator's profile.
 *	learn	  the mandatory one, and then the default, whose refusals are logged and allowed.
 *
 * Those that stand alone are then made flat (seccomp_flatten_generate.c).
 *
 * The facts of which calls programs in containers need are those of Docker's default profile, less
 * what only capabilities that we never grant would open, and less io_uring, fanotify and
 * name_to_handle_at.  It is an allowlist: whatever is not in a table here is refused, among it
 * mounts, namespaces, keyrings, bpf, perf, userfaultfd, modules, kexec, swap, clocks and I/O ports.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "seccomp_generate.h"

#include "ispawn/container/seccomp_numbers.h"

/* clang-format off */
/* Calls that every supported libseccomp (2.5) knows on some architecture: a misspelt name must stop
 * the build, since a call missing from the filter shows only when somebody's program breaks. */
static const char *const allowed[] = {
	/* Opening, creating, naming and removing files: the kernel's permissions decide. */
	"access", "chdir", "chmod", "chown", "chown32", "close", "close_range", "creat",
	"faccessat", "faccessat2", "fchdir", "fchmod", "fchmodat", "fchown", "fchown32", "fchownat",
	"lchown", "lchown32", "link", "linkat", "mkdir", "mkdirat", "mknod", "mknodat", "open",
	"openat", "openat2", "readlink", "readlinkat", "rename", "renameat", "renameat2", "rmdir",
	"symlink", "symlinkat", "umask", "unlink", "unlinkat",
	/* chroot stays useful for builds inside; it needs CAP_SYS_CHROOT of the container. */
	"chroot",
	/* What a file is, and directories. */
	"fstat", "fstat64", "fstatat64", "fstatfs", "fstatfs64", "getcwd", "getdents", "getdents64",
	"lstat", "lstat64", "newfstatat", "stat", "stat64", "statfs", "statfs64", "statx",
	/* Extended attributes: trusted.* and security.* stay privileged in the kernel. */
	"fgetxattr", "flistxattr", "fremovexattr", "fsetxattr", "getxattr", "lgetxattr",
	"listxattr", "llistxattr", "lremovexattr", "lsetxattr", "removexattr", "setxattr",
	/* Times of files. */
	"futimesat", "utime", "utimensat", "utimensat_time64", "utimes",
	/* Reading, writing, positions, locks, space, flushing. */
	"_llseek", "copy_file_range", "dup", "dup2", "dup3", "fadvise64", "fadvise64_64",
	"fallocate", "fcntl", "fcntl64", "fdatasync", "flock", "fsync", "ftruncate", "ftruncate64",
	"lseek", "pread64", "preadv", "preadv2", "pwrite64", "pwritev", "pwritev2", "read",
	"readahead", "readv", "sendfile", "sendfile64", "splice", "sync", "sync_file_range",
	"sync_file_range2", "syncfs", "tee", "truncate", "truncate64", "vmsplice", "write",
	"writev",
	/* Pipes, event descriptors, waiting on many of them, watching files. */
	"epoll_create", "epoll_create1", "epoll_ctl", "epoll_ctl_old", "epoll_pwait", "epoll_wait",
	"epoll_wait_old", "eventfd", "eventfd2", "inotify_add_watch", "inotify_init",
	"inotify_init1", "inotify_rm_watch", "memfd_create", "pipe", "pipe2", "poll", "ppoll",
	"ppoll_time64", "pselect6", "pselect6_time64", "select", "_newselect", "signalfd",
	"signalfd4",
	/* The old asynchronous I/O: databases use it.  io_uring is another matter: its requests
	 * are calls that no seccomp filter sees. */
	"io_cancel", "io_destroy", "io_getevents", "io_pgetevents", "io_pgetevents_time64",
	"io_setup", "io_submit",
	/* Sockets, once there is one; which families may be made the head decides. */
	"accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt",
	"listen", "recv", "recvfrom", "recvmmsg", "recvmmsg_time64", "recvmsg", "send", "sendmmsg",
	"sendmsg", "sendto", "setsockopt", "shutdown",
	/* Memory. */
	"brk", "madvise", "membarrier", "mincore", "mlock", "mlock2", "mlockall", "mmap", "mmap2",
	"mprotect", "mremap", "msync", "munlock", "munlockall", "munmap", "pkey_alloc", "pkey_free",
	"pkey_mprotect", "remap_file_pages",
	/* Processes: clone is below, since its flags can ask for namespaces. */
	"execve", "execveat", "exit", "exit_group", "fork", "vfork", "wait4", "waitid", "waitpid",
	"getpgid", "getpgrp", "getpid", "getppid", "getsid", "gettid", "setpgid", "setsid",
	"pidfd_open", "pidfd_send_signal", "prctl",
	/* Threads and their locks. */
	"arch_prctl", "futex", "futex_time64", "get_robust_list", "get_thread_area", "rseq",
	"set_robust_list", "set_thread_area", "set_tid_address", "set_tls", "cacheflush",
	"breakpoint", "riscv_flush_icache",
	/* Segments of one's own, for Wine and DOS emulators. */
	"modify_ldt",
	/* Signals. */
	"kill", "pause", "restart_syscall", "rt_sigaction", "rt_sigpending", "rt_sigprocmask",
	"rt_sigqueueinfo", "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait",
	"rt_sigtimedwait_time64", "rt_tgsigqueueinfo", "sigaltstack", "sigprocmask", "sigreturn",
	"tgkill", "tkill",
	/* Ids and capabilities: setuid programs and a root inside need them; the user namespace and
	 * the bounding set say what they can reach. */
	"capget", "capset", "getegid", "getegid32", "geteuid", "geteuid32", "getgid", "getgid32",
	"getgroups", "getgroups32", "getresgid", "getresgid32", "getresuid", "getresuid32",
	"getuid", "getuid32", "setfsgid", "setfsgid32", "setfsuid", "setfsuid32", "setgid",
	"setgid32", "setgroups", "setgroups32", "setregid", "setregid32", "setresgid",
	"setresgid32", "setresuid", "setresuid32", "setreuid", "setreuid32", "setuid", "setuid32",
	/* Limits, priorities and processor affinity: raising them needs what the host's root has.
	 */
	"getcpu", "getpriority", "getrlimit", "getrusage", "ioprio_get", "ioprio_set", "prlimit64",
	"sched_get_priority_max", "sched_get_priority_min", "sched_getaffinity", "sched_getattr",
	"sched_getparam", "sched_getscheduler", "sched_rr_get_interval",
	"sched_rr_get_interval_time64", "sched_setaffinity", "sched_setattr", "sched_setparam",
	"sched_setscheduler", "sched_yield", "setpriority", "setrlimit", "ugetrlimit",
	/* Clocks and timers.  The two adjtime calls can read; to set takes CAP_SYS_TIME. */
	"adjtimex", "alarm", "clock_adjtime", "clock_adjtime64", "clock_getres",
	"clock_getres_time64", "clock_gettime", "clock_gettime64", "clock_nanosleep",
	"clock_nanosleep_time64", "getitimer", "gettimeofday", "nanosleep", "setitimer", "time",
	"timer_create", "timer_delete", "timer_getoverrun", "timer_gettime", "timer_gettime64",
	"timer_settime", "timer_settime64", "timerfd_create", "timerfd_gettime",
	"timerfd_gettime64", "timerfd_settime", "timerfd_settime64", "times",
	/* System V and POSIX IPC: the container has an IPC namespace of its own. */
	"ipc", "mq_getsetattr", "mq_notify", "mq_open", "mq_timedreceive", "mq_timedreceive_time64",
	"mq_timedsend", "mq_timedsend_time64", "mq_unlink", "msgctl", "msgget", "msgrcv", "msgsnd",
	"semctl", "semget", "semop", "semtimedop", "semtimedop_time64", "shmat", "shmctl", "shmdt",
	"shmget",
	/* Debuggers: since Linux 4.8 a tracer cannot change a call after the filter has seen it,
	 * and both follow ptrace's access check, which ends at the user namespace. */
	"process_vm_readv", "process_vm_writev", "ptrace",
	/* Sandboxes inside the sandbox: they can only take away. */
	"seccomp",
	/* Asking about the system. */
	"getrandom", "sysinfo", "uname",
	/* 32-bit ARM's own spellings. */
	"arm_fadvise64_64", "arm_sync_file_range",
};

/* The same kind of calls, from kernels younger than the oldest supported libseccomp: where the
 * library does not know the name, the number lies above the last one known and gets ENOSYS. */
static const char *const allowed_if_known[] = {
	"cachestat", "epoll_pwait2", "fchmodat2", "futex_requeue", "futex_wait", "futex_waitv",
	"futex_wake", "getxattrat", "landlock_add_rule", "landlock_create_ruleset",
	"landlock_restrict_self", "listxattrat", "lsm_get_self_attr", "lsm_list_modules",
	"map_shadow_stack", "memfd_secret", "mseal", "process_mrelease", "removexattrat",
	"riscv_hwprobe", "setxattrat",
	/* Kernel trampolines of programs that the host's administrator traces. */
	"uprobe", "uretprobe",
};
/* clang-format on */

/* Said to be unknown, because their callers have a second way that we can look into or allow:
 * clone3 keeps its flags behind a pointer (C libraries fall back to clone), and newer libmounts
 * read /proc/self/mountinfo when there is no statmount. */
static const char *const pretended_unknown[] = {"clone3", "listmount", "statmount"};

/* Kernel: CLONE_NEWTIME shares its bit with the exit signal in clone(2), where it means nothing. */
#define CLONE_NAMESPACES                                                                           \
	((unsigned int)(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |              \
			CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET))
#define UNSHARE_NAMESPACES (CLONE_NAMESPACES | 0x80U /* CLONE_NEWTIME */)

/* struct conditional - a call allowed when (argument 0 & @mask) == @value */
struct conditional {
	const char *name;
	uint32_t mask, value;
};

/* The masks also say that only the low 32 bits count, as in the kernel: a caller that passes -1 as
 * an int, or rubbish above it, is treated as the kernel will treat it. */
static const struct conditional conditionals[] = {
	{"clone", CLONE_NAMESPACES, 0},
	{"unshare", UNSHARE_NAMESPACES, 0},
	/* PER_LINUX, PER_LINUX32, each with UNAME26, and "tell me".  Not READ_IMPLIES_EXEC or
	 * ADDR_NO_RANDOMIZE, which weaken the programs started under them. */
	{"personality", 0xffffffff, 0},
	{"personality", 0xffffffff, 0x8},
	{"personality", 0xffffffff, 0x20000},
	{"personality", 0xffffffff, 0x20008},
	{"personality", 0xffffffff, 0xffffffff},
};

/* struct abi - an architecture and the second one that its kernel also runs; @second 0: none */
struct abi {
	uint32_t native, second;
};

static const struct abi abis[] = {
	{SCMP_ARCH_X86_64, SCMP_ARCH_X86},
	{SCMP_ARCH_AARCH64, SCMP_ARCH_ARM},
	{SCMP_ARCH_RISCV64, 0},
};

#define X32_BIT 0x40000000U
#define ARM_PRIVATE 0x0f0000U /* ARM's own calls stand far above the others */
#define SOCKETCALL_SOCKET 1
#define SOCKETCALL_SOCKETPAIR 8

void fail(const char *what, const char *name, int errnum)
{
	(void)fprintf(stderr, "seccomp_generate: %s %s: %s\n", what, name, strerror(errnum));
	exit(1);
}

void emit(struct program *p, unsigned int code, uint32_t k)
{
	if (p->count == BPF_MAXINSNS)
		fail("more instructions than BPF_MAXINSNS", "", E2BIG);
	p->code[p->count++] = (struct sock_filter){.code = (uint16_t)code, .k = k};
}

static void emit_load(struct program *p, size_t offset)
{
	emit(p, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset);
}

/* The low half of an argument, which is all the kernel looks at for an int. */
static void emit_load_argument(struct program *p, size_t number)
{
	size_t half = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 4 : 0;

	emit_load(p, offsetof(struct seccomp_data, args) + number * 8 + half);
}

static void emit_errno(struct program *p, unsigned int errnum)
{
	emit(p, BPF_RET | BPF_K, SECCOMP_RET_ERRNO | errnum);
}

/* An answer of the default's that a profile could change. */
static void emit_refusal(struct program *p, unsigned int errnum)
{
	if (p->is_learning)
		emit(p, BPF_RET | BPF_K, SECCOMP_RET_LOG);
	else
		emit_errno(p, errnum);
}

static void emit_allow(struct program *p)
{
	emit(p, BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
}

/* What is emitted between open_if() and close_if() runs when the comparison holds. */
static size_t open_if(struct program *p, unsigned int comparison, uint32_t k)
{
	emit(p, BPF_JMP | BPF_K | comparison, k);
	return p->count - 1;
}

static void close_if(struct program *p, size_t start)
{
	size_t skipped = p->count - start - 1;

	if (skipped > UINT8_MAX)
		fail("a branch of the head is too long", "", E2BIG);
	p->code[start].jf = (uint8_t)skipped;
}

static void errno_if(struct program *p, unsigned int comparison, uint32_t k, unsigned int errnum)
{
	size_t start = open_if(p, comparison, k);

	emit_errno(p, errnum);
	close_if(p, start);
}

static void allow_if_equal(struct program *p, uint32_t k)
{
	size_t start = open_if(p, BPF_JEQ, k);

	emit_allow(p);
	close_if(p, start);
}

static uint32_t number_of(uint32_t arch, const char *name)
{
	int number = isp_seccomp_number(arch, name);

	if (number < 0)
		fail("no number for", name, ENOENT);
	return (uint32_t)number;
}

static size_t open_if_call(struct program *p, uint32_t arch, const char *name)
{
	return open_if(p, BPF_JEQ, number_of(arch, name));
}

/* Threat: characters put into the input queue of a terminal that somebody trusted reads next
 * (CVE-2017-5226), asked for with rubbish in the high half of the request (CVE-2019-10063). */
static void emit_ioctl(struct program *p, uint32_t arch)
{
	size_t call = open_if_call(p, arch, "ioctl");

	emit_load_argument(p, 1);
	errno_if(p, BPF_JEQ, TIOCSTI, EPERM);
	errno_if(p, BPF_JEQ, TIOCLINUX, EPERM);
	emit_allow(p);
	close_if(p, call);
}

/*
 * Threat: AF_VSOCK reaches the hypervisor past every network namespace, AF_ALG, AF_PACKET, TIPC,
 * RDS and the other rare families are where kernels break, and asking loads their modules.
 * The errnos are those of a kernel built without them, which callers expect: libaudit, and with it
 * sudo and passwd, takes EPERM for a broken system and EPROTONOSUPPORT for one without audit.
 * Of netlink, routing alone: getifaddrs() needs it, and ss reads /proc/net without sock_diag.
 */
static void emit_socket(struct program *p, uint32_t arch)
{
	size_t call = open_if_call(p, arch, "socket");
	size_t netlink;

	emit_load_argument(p, 0);
	allow_if_equal(p, AF_UNIX);
	allow_if_equal(p, AF_INET);
	allow_if_equal(p, AF_INET6);
	netlink = open_if(p, BPF_JEQ, AF_NETLINK);
	emit_load_argument(p, 2);
	allow_if_equal(p, NETLINK_ROUTE);
	emit_refusal(p, EPROTONOSUPPORT);
	close_if(p, netlink);
	emit_refusal(p, EAFNOSUPPORT);
	close_if(p, call);

	call = open_if_call(p, arch, "socketpair");
	emit_load_argument(p, 0);
	allow_if_equal(p, AF_UNIX);
	emit_refusal(p, EAFNOSUPPORT);
	close_if(p, call);
}

/*
 * i386's older way to the same calls: which call is in a register, the family behind a pointer.
 * So the two that make sockets are refused there: allowed, they would be the way round the limit on
 * families for every program, 64-bit ones included (int 0x80).  ENOSYS: i386 has had direct calls
 * since Linux 4.3; musl uses them, and so does glibc where it was built for kernels that have them.
 * Debian's i386 glibc was not: its 32-bit programs have no network inside, and that is the price.
 */
static void emit_socketcall(struct program *p, uint32_t arch)
{
	size_t call = open_if_call(p, arch, "socketcall");

	emit_load_argument(p, 0);
	errno_if(p, BPF_JEQ, SOCKETCALL_SOCKET, ENOSYS);
	errno_if(p, BPF_JEQ, SOCKETCALL_SOCKETPAIR, ENOSYS);
	emit_allow(p);
	close_if(p, call);
}

/* --- what no profile can change ----------------------------------------------------------------
 */

/* Goes on with the call's number after a look at its arguments. */
static void close_if_undecided(struct program *p, size_t start)
{
	emit_load(p, offsetof(struct seccomp_data, nr));
	close_if(p, start);
}

/* The low 32 bits alone, as the kernel takes flags. */
static void refuse_flags(struct program *p, uint32_t arch, const char *name, uint32_t flags)
{
	size_t call = open_if_call(p, arch, name);

	emit_load_argument(p, 0);
	errno_if(p, BPF_JSET, flags, EPERM);
	close_if_undecided(p, call);
}

/*
 * Threat: an administrator allows "everything" to get one program to run, or takes a profile that
 * another container manager hands out, which leaves to its own means what ispawn leaves to the
 * filter.  Namespaces: the proof after the drops, and every limit that is a namespace's.  Keyrings
 * are shared by uid, not by container.  A terminal's input queue may be read by somebody trusted.
 * AF_VSOCK passes every network namespace; i386's socketcall hides the family behind a pointer.
 */
static void emit_mandatory(struct program *p, uint32_t arch)
{
	static const char *const keyrings[] = {"add_key", "keyctl", "request_key"};
	size_t call;

	if (arch == SCMP_ARCH_X86_64)
		errno_if(p, BPF_JGE, X32_BIT, ENOSYS);
	errno_if(p, BPF_JEQ, number_of(arch, "clone3"), ENOSYS);
	refuse_flags(p, arch, "clone", CLONE_NAMESPACES);
	refuse_flags(p, arch, "unshare", UNSHARE_NAMESPACES);
	for (size_t i = 0; i < sizeof(keyrings) / sizeof(keyrings[0]); i++)
		errno_if(p, BPF_JEQ, number_of(arch, keyrings[i]), EPERM);

	call = open_if_call(p, arch, "ioctl");
	emit_load_argument(p, 1);
	errno_if(p, BPF_JEQ, TIOCSTI, EPERM);
	errno_if(p, BPF_JEQ, TIOCLINUX, EPERM);
	close_if_undecided(p, call);

	call = open_if_call(p, arch, "socket");
	emit_load_argument(p, 0);
	errno_if(p, BPF_JEQ, AF_VSOCK, EAFNOSUPPORT);
	close_if_undecided(p, call);

	if (arch != SCMP_ARCH_X86)
		return;
	call = open_if_call(p, arch, "socketcall");
	emit_load_argument(p, 0);
	errno_if(p, BPF_JEQ, SOCKETCALL_SOCKET, ENOSYS);
	errno_if(p, BPF_JEQ, SOCKETCALL_SOCKETPAIR, ENOSYS);
	close_if_undecided(p, call);
}

/* --- programs ----------------------------------------------------------------------------------
 */

static void emit_default(struct program *p, uint32_t arch)
{
	if (arch == SCMP_ARCH_X86_64)
		errno_if(p, BPF_JGE, X32_BIT, ENOSYS);
	if (arch == SCMP_ARCH_ARM) {
		/* Above the last known and below ARM's own: unknown. */
		size_t ordinary = p->count;

		emit(p, BPF_JMP | BPF_K | BPF_JGE, ARM_PRIVATE);
		p->code[ordinary].jt = 2;
	}
	errno_if(p, BPF_JGT, isp_seccomp_last_number(arch), ENOSYS);
	emit_ioctl(p, arch);
	emit_socket(p, arch);
	if (arch == SCMP_ARCH_X86)
		emit_socketcall(p, arch);
}

static void emit_learn(struct program *p, uint32_t arch)
{
	emit_mandatory(p, arch);
	emit_default(p, arch);
}

typedef void emit_function(struct program *p, uint32_t arch);

/* Kernel: only one architecture's branch is entered, so the accumulator is reloaded in each. */
static size_t emit_arch(struct program *p, uint32_t arch, emit_function *head)
{
	size_t to_body;
	size_t branch;

	emit_load(p, offsetof(struct seccomp_data, arch));
	branch = open_if(p, BPF_JEQ, arch);
	emit_load(p, offsetof(struct seccomp_data, nr));
	head(p, arch);
	to_body = p->count;
	emit(p, BPF_JMP | BPF_JA, 0);
	close_if(p, branch);
	return to_body;
}

static void emit_head(struct program *p, const struct abi *abi, emit_function *head)
{
	size_t jumps[2];
	size_t jump_count = 0;

	jumps[jump_count++] = emit_arch(p, abi->native, head);
	if (abi->second)
		jumps[jump_count++] = emit_arch(p, abi->second, head);
	emit_errno(p, ENOSYS); /* an architecture that nobody told us of */
	for (size_t i = 0; i < jump_count; i++)
		p->code[jumps[i]].k = (uint32_t)(p->count - jumps[i] - 1);
}

static void add_calls(scmp_filter_ctx filter, uint32_t action, const char *const *names,
		      size_t count, bool must_be_known)
{
	for (size_t i = 0; i < count; i++) {
		int number = seccomp_syscall_resolve_name(names[i]);
		int r;

		if (number == __NR_SCMP_ERROR && must_be_known)
			fail("libseccomp does not know", names[i], ENOENT);
		if (number == __NR_SCMP_ERROR)
			continue;
		r = seccomp_rule_add(filter, action, number, 0);
		if (r < 0)
			fail("rule for", names[i], -r);
	}
}

static void add_conditionals(scmp_filter_ctx filter)
{
	for (size_t i = 0; i < sizeof(conditionals) / sizeof(conditionals[0]); i++) {
		const struct conditional *c = &conditionals[i];
		int number = seccomp_syscall_resolve_name(c->name);
		int r;

		if (number == __NR_SCMP_ERROR)
			fail("libseccomp does not know", c->name, ENOENT);
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 1,
				     SCMP_A0(SCMP_CMP_MASKED_EQ, c->mask, c->value));
		if (r < 0)
			fail("conditional rule for", c->name, -r);
	}
}

static scmp_filter_ctx make_body(const struct abi *abi)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));

	if (!filter)
		fail("seccomp_init", "", ENOMEM);
	if (abi->second && seccomp_arch_add(filter, abi->second) < 0)
		fail("cannot add", "the second architecture", EINVAL);
	if (seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS)) < 0 ||
	    seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2) < 0)
		fail("attributes", "of the filter", EINVAL);
	add_calls(filter, SCMP_ACT_ALLOW, allowed, sizeof(allowed) / sizeof(allowed[0]), true);
	add_calls(filter, SCMP_ACT_ALLOW, allowed_if_known,
		  sizeof(allowed_if_known) / sizeof(allowed_if_known[0]), false);
	add_calls(filter, SCMP_ACT_ERRNO(ENOSYS), pretended_unknown,
		  sizeof(pretended_unknown) / sizeof(pretended_unknown[0]), false);
	add_conditionals(filter);
	return filter;
}

/* Jumps in BPF are relative, so the body may stand behind the head as it is. */
static void append_body(struct program *p, scmp_filter_ctx filter)
{
	FILE *file = tmpfile();
	size_t room = BPF_MAXINSNS - p->count;
	size_t count;
	int r;

	if (!file)
		fail("tmpfile", "", errno);
	r = seccomp_export_bpf(filter, fileno(file));
	if (r < 0)
		fail("seccomp_export_bpf", "", -r);
	rewind(file);
	count = fread(&p->code[p->count], sizeof(p->code[0]), room, file);
	if (count == 0 || fgetc(file) != EOF)
		fail("more instructions than BPF_MAXINSNS, or none,", "in the body", E2BIG);
	/* The body has one EPERM, its default action. */
	for (size_t i = p->count; p->is_learning && i < p->count + count; i++)
		if (p->code[i].code == (BPF_RET | BPF_K) &&
		    p->code[i].k == (SECCOMP_RET_ERRNO | EPERM))
			p->code[i].k = SECCOMP_RET_LOG;
	p->count += count;
	(void)fclose(file); /* Ignored: it was read, and has no name */
}

static void print(const struct program *p, const char *name)
{
	printf("/* Printed by seccomp_generate when the project was built; %zu instructions. */\n",
	       p->count);
	printf("static const struct sock_filter isp_seccomp_%s[] = {\n", name);
	for (size_t i = 0; i < p->count; i++)
		printf("\t{0x%02x, %u, %u, 0x%08x},\n", p->code[i].code, p->code[i].jt,
		       p->code[i].jf, p->code[i].k);
	printf("};\n");
}

int main(void)
{
	static struct program standard, learn = {.is_learning = true}, mandatory;
	uint32_t native = seccomp_arch_native();
	const struct abi *abi = NULL;
	uint32_t arches[2];
	size_t arch_count = 0;
	scmp_filter_ctx filter;

	for (size_t i = 0; i < sizeof(abis) / sizeof(abis[0]); i++)
		if (abis[i].native == native)
			abi = &abis[i];
	if (!abi)
		fail("no table for", "this architecture", ENOTSUP);
	arches[arch_count++] = abi->native;
	if (abi->second)
		arches[arch_count++] = abi->second;
	filter = make_body(abi);
	emit_head(&standard, abi, emit_default);
	append_body(&standard, filter);
	flatten(&standard, arches, arch_count);
	emit_head(&learn, abi, emit_learn);
	append_body(&learn, filter);
	flatten(&learn, arches, arch_count);
	emit_head(&mandatory, abi, emit_mandatory);
	seccomp_release(filter);
	print(&standard, "default");
	print(&learn, "learn");
	print(&mandatory, "mandatory");
	if (fflush(stdout) != 0 || ferror(stdout))
		fail("cannot write", "the header", errno);
	return 0;
}
