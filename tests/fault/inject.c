/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * inject - let one chosen system call of a login fail, or kill or stop somebody at it
 *
 *	inject PLAN TRACE COMMAND [ARG...]
 *	ispawn-supervisor		in the place of the real one, which is named *.real:
 *					PLAN and TRACE are the fixed names below
 *
 * Theory of operation: a seccomp filter hands every system call of the command, and of all that it
 * starts, to a process beside them (SECCOMP_RET_USER_NOTIF, seccomp_unotify(2)), which writes it
 * down and lets it go on, except for the one that the plan names.  Nothing is traced with ptrace,
 * so that what is not dumpable and what changes its ids runs as ever, and the product is unchanged.
 * The product's own filter comes later and on top; what that refuses never gets here.
 *
 * A plan is one line, ROLE NUMBER NTH ACTION VALUE:
 *	ROLE	who calls: A the PAM application, M the middle child, S the supervisor, B the
 *		builder and later init, C another child of the supervisor's, T the rest; * anybody
 *	NUMBER	of the system call; -1 any
 *	NTH	counted over the calls that match, from 1; 0 each of them
 *	ACTION	errno VALUE, kill VALUE, stop VALUE (VALUE is a role), none 0
 * Lines of the trace are ROLE NUMBER ARG0 ARG1 ARG2 PATH, in order; then what the plan has done:
 * "fired A=PID M=PID S=PID B=PID", and at last "end", when all who were filtered have ended.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define FIXED_PLAN "/run/fault/plan"
#define FIXED_TRACE "/run/fault/trace"
#define REAL_SUPERVISOR "/usr/libexec/ispawn/ispawn-supervisor.real"
#define HANDOVER_FD 1000 /* the one socket that the filter does not look at */
#define APPLICATION_FD 5 /* of the supervisor: a pidfd of the application */
#define KNOWN_MAX 4096
#define PATH_SHOWN 128

#if defined(__x86_64__)
#define NATIVE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE AUDIT_ARCH_AARCH64
#else
#error "which audit architecture is this?"
#endif

enum role { ROLE_A, ROLE_M, ROLE_S, ROLE_B, ROLE_C, ROLE_T, ROLE_COUNT };
static const char role_names[] = "AMSBCT";

struct plan {
	char role;
	int number;
	unsigned int nth;
	char action[8];
	char value[8];
};

/* struct watch - what the process beside the login knows */
struct watch {
	int listener_fd;
	FILE *trace;
	struct plan plan;
	unsigned int matches;
	enum role first_role;
	pid_t pids[ROLE_COUNT]; /* the first of each role; 0 not yet */
	struct {
		pid_t pid;
		enum role role;
	} known[KNOWN_MAX];
	size_t known_count;
};

static _Noreturn void die(const char *what)
{
	perror(what);
	_exit(125);
}

/* --- who is who --- */

static pid_t parent_of(pid_t pid)
{
	char path[32], text[512];
	const char *after;
	ssize_t n;
	int fd, parent = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof(text) - 1);
	(void)close(fd);
	text[n > 0 ? n : 0] = '\0';
	after = strrchr(text, ')'); /* the name may hold anything */
	return after && sscanf(after, ") %*c %d", &parent) == 1 ? parent : 0;
}

/* Of the supervisor's children only the builder is in a PID namespace of its own. */
static bool is_in_namespace(pid_t pid)
{
	char path[32], line[256];
	bool is_inside = false;
	FILE *file;
	int first, second;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", pid);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "NSpid: %d %d", &first, &second) == 2)
			is_inside = true;
	if (file)
		(void)fclose(file);
	return is_inside;
}

static enum role guess_role(const struct watch *w, pid_t pid)
{
	pid_t parent = parent_of(pid);

	if (w->known_count == 0)
		return w->first_role;
	if (w->pids[ROLE_S] && parent == w->pids[ROLE_S])
		return is_in_namespace(pid) ? ROLE_B : ROLE_C;
	if (w->pids[ROLE_A] && parent == w->pids[ROLE_A])
		return w->pids[ROLE_M] ? ROLE_T : ROLE_M;
	/* The middle child may have ended already: then the supervisor belongs to PID 1. */
	if (w->pids[ROLE_M] && !w->pids[ROLE_S] && (parent == w->pids[ROLE_M] || parent == 1))
		return ROLE_S;
	return ROLE_T;
}

static enum role role_of(struct watch *w, pid_t pid)
{
	enum role role;

	for (size_t i = 0; i < w->known_count; i++)
		if (w->known[i].pid == pid)
			return w->known[i].role;
	role = guess_role(w, pid);
	if (w->known_count < KNOWN_MAX) {
		w->known[w->known_count].pid = pid;
		w->known[w->known_count++].role = role;
	}
	if (!w->pids[role])
		w->pids[role] = pid;
	return role;
}

/* Where the filter is on the supervisor alone, the application is known by the pidfd only. */
static void find_application(struct watch *w)
{
	char path[64], line[128];
	FILE *info;

	if (w->pids[ROLE_A] || !w->pids[ROLE_S])
		return;
	(void)snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", w->pids[ROLE_S], APPLICATION_FD);
	info = fopen(path, "re");
	while (info && fgets(line, sizeof(line), info))
		(void)sscanf(line, "Pid: %d", &w->pids[ROLE_A]);
	if (info)
		(void)fclose(info);
}

/* --- what is called --- */

/* Which argument of a call is a path, or another string that tells calls apart. */
static const struct {
	int number, argument;
} strings[] = {
#ifdef SYS_open
	{SYS_open, 0},       {SYS_mkdir, 0},        {SYS_rename, 0},    {SYS_symlink, 1},
	{SYS_unlink, 0},     {SYS_rmdir, 0},        {SYS_chown, 0},     {SYS_chmod, 0},
	{SYS_stat, 0},       {SYS_lstat, 0},        {SYS_readlink, 0},
#endif
	{SYS_openat, 1},     {SYS_mkdirat, 1},      {SYS_renameat, 1},  {SYS_unlinkat, 1},
	{SYS_newfstatat, 1}, {SYS_mount, 1},        {SYS_open_tree, 1}, {SYS_move_mount, 3},
	{SYS_fsopen, 0},     {SYS_fsconfig, 2},     {SYS_execve, 0},    {SYS_execveat, 1},
	{SYS_symlinkat, 2},  {SYS_readlinkat, 1},   {SYS_chdir, 0},     {SYS_fchownat, 1},
	{SYS_fchmodat, 1},   {SYS_memfd_create, 0}, {SYS_faccessat, 1},
};

static void read_string(const struct seccomp_notif *n, char text[PATH_SHOWN])
{
	struct iovec to = {.iov_base = text, .iov_len = PATH_SHOWN - 1};
	uint64_t address = 0;

	memset(text, 0, PATH_SHOWN);
	for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++)
		if (strings[i].number == n->data.nr)
			address = n->data.args[strings[i].argument];
	/* Page by page, since a short string may stand at the end of the last one. */
	while (address && to.iov_len > 0) {
		size_t left = 4096 - address % 4096;
		struct iovec part = {.iov_base = to.iov_base,
				     .iov_len = left < to.iov_len ? left : to.iov_len};
		struct iovec from = {.iov_base = (void *)(uintptr_t)address,
				     .iov_len = part.iov_len};

		if (process_vm_readv((pid_t)n->pid, &part, 1, &from, 1, 0) <= 0 ||
		    memchr(part.iov_base, '\0', part.iov_len))
			break;
		to.iov_base = (char *)to.iov_base + part.iov_len;
		to.iov_len -= part.iov_len;
		address += part.iov_len;
	}
	for (char *c = text; *c; c++)
		if (*c < 0x21 || *c > 0x7e)
			*c = '?';
}

static void write_down(struct watch *w, const struct seccomp_notif *n, enum role role)
{
	char path[PATH_SHOWN];

	read_string(n, path);
	(void)fprintf(w->trace, "%c %d %" PRIx64 " %" PRIx64 " %" PRIx64 " %s\n", role_names[role],
		      n->data.nr, (uint64_t)n->data.args[0], (uint64_t)n->data.args[1],
		      (uint64_t)n->data.args[2], path);
}

/* --- what is done about it --- */

static bool is_planned(struct watch *w, const struct seccomp_notif *n, enum role role)
{
	const struct plan *p = &w->plan;

	if (strcmp(p->action, "none") == 0)
		return false;
	if (p->role != '*' && p->role != role_names[role])
		return false;
	if (p->number >= 0 && p->number != n->data.nr)
		return false;
	return ++w->matches == p->nth || p->nth == 0;
}

static void act(struct watch *w, struct seccomp_notif_resp *response)
{
	const struct plan *p = &w->plan;
	const char *target = strchr(role_names, p->value[0]);

	if (strcmp(p->action, "errno") == 0) {
		response->flags = 0;
		response->error = -atoi(p->value);
	} else if (target) {
		pid_t pid;

		find_application(w);
		pid = w->pids[target - role_names];
		/* Ignored: ESRCH: it has ended. */
		if (pid > 1)
			(void)kill(pid, strcmp(p->action, "kill") == 0 ? SIGKILL : SIGSTOP);
	}
	(void)fprintf(w->trace, "fired A=%d M=%d S=%d B=%d\n", w->pids[ROLE_A], w->pids[ROLE_M],
		      w->pids[ROLE_S], w->pids[ROLE_B]);
	(void)fflush(w->trace);
}

static void turn(struct watch *w)
{
	struct seccomp_notif request = {.id = 0};
	struct seccomp_notif_resp response = {.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
	enum role role;

	/* ENOENT: killed before we could look. */
	if (ioctl(w->listener_fd, SECCOMP_IOCTL_NOTIF_RECV, &request) != 0)
		return;
	response.id = request.id;
	role = role_of(w, (pid_t)request.pid);
	write_down(w, &request, role);
	if (is_planned(w, &request, role))
		act(w, &response);
	(void)ioctl(w->listener_fd, SECCOMP_IOCTL_NOTIF_SEND, &response); /* ENOENT: likewise */
}

static _Noreturn void watch(struct watch *w, int handover_fd)
{
	char space[CMSG_SPACE(sizeof(int))], byte;
	struct iovec part = {.iov_base = &byte, .iov_len = 1};
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = space,
				 .msg_controllen = sizeof(space)};
	struct pollfd waiting = {.events = POLLIN};

	if (recvmsg(handover_fd, &message, MSG_CMSG_CLOEXEC) != 1 || !CMSG_FIRSTHDR(&message))
		_exit(125);
	memcpy(&w->listener_fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
	(void)close(handover_fd);
	waiting.fd = w->listener_fd;
	/* Kernel: POLLHUP, since 5.9, when nobody is left who has the filter. */
	while (poll(&waiting, 1, -1) >= 0 || errno == EINTR) {
		if (waiting.revents & POLLIN)
			turn(w);
		else if (waiting.revents)
			break;
	}
	(void)fprintf(w->trace, "end\n");
	(void)fclose(w->trace);
	_exit(0);
}

/* --- before the command --- */

static void read_plan(const char *path, struct plan *plan)
{
	FILE *file = fopen(path, "re");

	if (!file || fscanf(file, "%c %d %u %7s %7s", &plan->role, &plan->number, &plan->nth,
			    plan->action, plan->value) != 5)
		die(path);
	(void)fclose(file);
}

/* A grandchild, so that the command never has a child that it did not make. */
static void start_watch(struct watch *w, const int pair[2])
{
	pid_t pid = fork();
	int handover_fd, trace_fd, status;

	if (pid < 0)
		die("fork");
	if (pid > 0) {
		if (waitpid(pid, &status, 0) != pid || status != 0)
			die("start the watch");
		return;
	}
	if (fork() != 0)
		_exit(0);
	(void)setsid();
	(void)prctl(PR_SET_NAME, "fault-watch");
	/* It must not keep open what the login waits for: the door's socket, ssh's streams. */
	handover_fd = fcntl(pair[0], F_DUPFD_CLOEXEC, HANDOVER_FD + 1);
	trace_fd = fcntl(fileno(w->trace), F_DUPFD_CLOEXEC, HANDOVER_FD + 1);
	if (handover_fd < 0 || trace_fd < 0 || syscall(SYS_close_range, 0, HANDOVER_FD, 0) != 0)
		_exit(125);
	w->trace = fdopen(trace_fd, "w");
	if (!w->trace)
		_exit(125);
	watch(w, handover_fd);
}

/* Let through unseen: what cannot fail, what only takes time, what a C library's start does not
 * check, and brk, which reports failure by the old break and not by a number. */
#define ALLOW(number)                                                                              \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, 1),                                       \
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static int install_filter(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NATIVE, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		ALLOW(SYS_rt_sigreturn),
		ALLOW(SYS_exit),
		ALLOW(SYS_exit_group),
		ALLOW(SYS_close),
		ALLOW(SYS_munmap),
		ALLOW(SYS_getpid),
		ALLOW(SYS_gettid),
		ALLOW(SYS_getuid),
		ALLOW(SYS_geteuid),
		ALLOW(SYS_getgid),
		ALLOW(SYS_getegid),
		ALLOW(SYS_clock_nanosleep),
		ALLOW(SYS_brk),
		ALLOW(SYS_mprotect),
		ALLOW(SYS_set_tid_address),
		ALLOW(SYS_set_robust_list),
		ALLOW(SYS_rseq),
#ifdef SYS_arch_prctl
		ALLOW(SYS_arch_prctl),
#endif
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sendmsg, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, HANDOVER_FD, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
	};
	struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

	/* Without no_new_privs, which would change what is tested: we have CAP_SYS_ADMIN. */
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
			    SECCOMP_FILTER_FLAG_NEW_LISTENER |
				    SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
			    &program);
}

static void hand_over(int listener_fd)
{
	char space[CMSG_SPACE(sizeof(int))] = {0}, byte = 0;
	struct iovec part = {.iov_base = &byte, .iov_len = 1};
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = space,
				 .msg_controllen = sizeof(space)};
	struct cmsghdr *rights = CMSG_FIRSTHDR(&message);

	rights->cmsg_level = SOL_SOCKET;
	rights->cmsg_type = SCM_RIGHTS;
	rights->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(rights), &listener_fd, sizeof(int));
	if (sendmsg(HANDOVER_FD, &message, 0) != 1)
		_exit(125);
}

int main(int argc, char **argv)
{
	static struct watch w;
	bool is_supervisor = argc == 1;
	char *const supervisor[] = {argv[0], NULL};
	int pair[2], listener_fd;

	if (!is_supervisor && argc < 4)
		return 125;
	w.first_role = is_supervisor ? ROLE_S : ROLE_A;
	read_plan(is_supervisor ? FIXED_PLAN : argv[1], &w.plan);
	w.trace = fopen(is_supervisor ? FIXED_TRACE : argv[2], "we");
	if (!w.trace || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		die("inject");
	start_watch(&w, pair);
	(void)fclose(w.trace);
	(void)close(pair[0]);
	if (dup3(pair[1], HANDOVER_FD, O_CLOEXEC) != HANDOVER_FD)
		die("dup3");
	(void)close(pair[1]);
	listener_fd = install_filter();
	if (listener_fd < 0)
		die("seccomp");
	hand_over(listener_fd);
	(void)close(listener_fd);
	(void)close(HANDOVER_FD);
	if (is_supervisor)
		(void)execv(REAL_SUPERVISOR, supervisor);
	else
		(void)execvp(argv[3], argv + 3);
	die("exec");
}
