/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * test_seccomp.c - the default filter, tried by making the calls
 *
 * Each case runs in a child that loads the filter (no_new_privs makes that possible without root)
 * and reports by its exit status.  The tables of answers are also run without the filter: a row
 * whose answer is the same then proves nothing, and fails.
 */
#include "ispawn/base/fd.h"
#include "ispawn/base/sys.h"
#include "ispawn/container/seccomp.h"

#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/filter.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

#define BAD 1UL /* no pointer: the kernel says EFAULT before it asks for a right */
#define X32(number) (0x40000000L | (number))
#define LOADING_FAILED 125
#define HIGH_BITS 0xdeadbeef00000000UL
#define MINUS_1 ((unsigned long)-1)

struct row {
	const char *name;
	long number;
	unsigned long arguments[3];
	int expected;            /* errno; 0: success */
	bool is_same_unfiltered; /* the row shows that something still works */
};

static const struct row native_rows[] = {
	/* mounts: pitfall 24 and the whole filesystem side */
	{"mount", SYS_mount, {BAD, BAD, BAD}, EPERM, false},
	{"umount2", SYS_umount2, {BAD, 0, 0}, EPERM, false},
	{"fsconfig", SYS_fsconfig, {MINUS_1, MINUS_1, 0}, EPERM, false},
	{"open_tree", SYS_open_tree, {MINUS_1, BAD, MINUS_1}, EPERM, false},
	{"mount_setattr", SYS_mount_setattr, {MINUS_1, BAD, MINUS_1}, EPERM, false},
	/* namespaces */
	{"setns", SYS_setns, {MINUS_1, 0, 0}, EPERM, false},
	{"unshare user", SYS_unshare, {CLONE_NEWUSER | 1, 0, 0}, EPERM, false},
	{"unshare time", SYS_unshare, {0x80 | 1, 0, 0}, EPERM, false},
	{"unshare with high bits", SYS_unshare, {CLONE_NEWUSER | HIGH_BITS, 0, 0}, EPERM, false},
	{"clone user", SYS_clone, {CLONE_NEWUSER | CLONE_FS, 0, 0}, EPERM, false},
	{"clone pid", SYS_clone, {CLONE_NEWPID | CLONE_THREAD, 0, 0}, EPERM, false},
	{"clone3", SYS_clone3, {0, 0, 0}, ENOSYS, false},
	{"clone3 with arguments", SYS_clone3, {BAD, 64, 0}, ENOSYS, false},
	/* pitfall 46 */
	{"perf_event_open", SYS_perf_event_open, {BAD, 0, 0}, EPERM, false},
	{"bpf", SYS_bpf, {MINUS_1, BAD, 0}, EPERM, false},
	{"userfaultfd", SYS_userfaultfd, {MINUS_1, 0, 0}, EPERM, false},
	{"io_uring_setup", SYS_io_uring_setup, {1, BAD, 0}, EPERM, false},
	{"io_uring_enter", SYS_io_uring_enter, {MINUS_1, 0, 0}, EPERM, false},
	{"io_uring_register", SYS_io_uring_register, {MINUS_1, 0, 0}, EPERM, false},
	{"fanotify_mark", SYS_fanotify_mark, {MINUS_1, 0, 0}, EPERM, false},
	{"name_to_handle_at", SYS_name_to_handle_at, {MINUS_1, BAD, BAD}, EPERM, false},
	/* keyrings: pitfall 27 */
	{"keyctl", SYS_keyctl, {0x7fffffff, 0, 0}, EPERM, false},
	{"add_key", SYS_add_key, {BAD, BAD, 0}, EPERM, false},
	{"request_key", SYS_request_key, {BAD, BAD, 0}, EPERM, false},
	/* other processes and their memory layout */
	{"pidfd_getfd", SYS_pidfd_getfd, {MINUS_1, 0, 0}, EPERM, false},
	{"process_madvise", SYS_process_madvise, {MINUS_1, BAD, 1}, EPERM, false},
	{"mbind", SYS_mbind, {BAD, 0, MINUS_1}, EPERM, false},
	{"quotactl", SYS_quotactl, {MINUS_1, BAD, 0}, EPERM, false},
	/* terminals: pitfall 40 */
	{"ioctl TIOCSTI", SYS_ioctl, {MINUS_1, TIOCSTI, BAD}, EPERM, false},
	{"ioctl TIOCSTI with high bits",
	 SYS_ioctl,
	 {MINUS_1, TIOCSTI | HIGH_BITS, BAD},
	 EPERM,
	 false},
	{"ioctl TIOCLINUX", SYS_ioctl, {MINUS_1, TIOCLINUX, BAD}, EPERM, false},
	{"ioctl TIOCLINUX, high", SYS_ioctl, {MINUS_1, TIOCLINUX | HIGH_BITS, BAD}, EPERM, false},
	/* an execution domain that makes all readable memory executable */
	{"personality", SYS_personality, {READ_IMPLIES_EXEC, 0, 0}, EPERM, false},
	/* families: the kernel itself has no family 46 to 255 */
	{"AF_ALG", SYS_socket, {38, 0xff, 0}, EAFNOSUPPORT, false},
	{"AF_PACKET", SYS_socket, {17, 0xff, 0}, EAFNOSUPPORT, false},
	{"NETLINK_AUDIT",
	 SYS_socket,
	 {AF_NETLINK, SOCK_RAW, NETLINK_AUDIT},
	 EPROTONOSUPPORT,
	 false},
	{"NETLINK_NETFILTER",
	 SYS_socket,
	 {AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER},
	 EPROTONOSUPPORT,
	 false},
	{"socketpair AF_INET", SYS_socketpair, {AF_INET, SOCK_STREAM, 0}, EAFNOSUPPORT, false},
	/* an unknown call keeps the answer that C libraries fall back on: pitfall 43 */
	{"no such call", 9999, {0, 0, 0}, ENOSYS, true},
	{"first unused number", 1023, {0, 0, 0}, ENOSYS, true},
	/* what must go on working */
	{"unshare of files", SYS_unshare, {CLONE_FILES, 0, 0}, 0, true},
	{"personality query", SYS_personality, {0xffffffff, 0, 0}, 0, true},
	{"personality -1", SYS_personality, {MINUS_1, 0, 0}, 0, true},
	{"ioctl, another request", SYS_ioctl, {MINUS_1, TCGETS, BAD}, EBADF, true},
	{"ioctl, high bits alone", SYS_ioctl, {MINUS_1, TCGETS | HIGH_BITS, BAD}, EBADF, true},
	{"faccessat2", SYS_faccessat2, {MINUS_1, (unsigned long)"/", 0}, 0, true},
	{"ptrace", SYS_ptrace, {MINUS_1, 0, 0}, ESRCH, true},
};

#ifdef __x86_64__
static const struct row x32_rows[] = {
	{"x32 getpid", X32(39), {0, 0, 0}, ENOSYS, true},
	{"x32 mount", X32(165), {BAD, BAD, BAD}, ENOSYS, true},
	{"x32 unshare", X32(272), {CLONE_NEWUSER, 0, 0}, ENOSYS, true},
	{"x32 ioctl", X32(514), {0, TIOCSTI, 0}, ENOSYS, true},
};

/* Numbers of arch/x86/entry/syscalls/syscall_32.tbl */
static const struct row i386_rows[] = {
	{"i386 mount", 21, {BAD, BAD, BAD}, EPERM, false},
	{"i386 umount2", 52, {BAD, 0, 0}, EPERM, false},
	{"i386 unshare", 310, {CLONE_NEWUSER | 1, 0, 0}, EPERM, false},
	{"i386 clone", 120, {CLONE_NEWUSER | CLONE_FS, 0, 0}, EPERM, false},
	{"i386 clone3", 435, {0, 0, 0}, ENOSYS, false},
	{"i386 setns", 346, {0xffffffff, 0, 0}, EPERM, false},
	{"i386 keyctl", 288, {0x7fffffff, 0, 0}, EPERM, false},
	{"i386 bpf", 357, {0xffffffff, BAD, 0}, EPERM, false},
	{"i386 io_uring_setup", 425, {1, BAD, 0}, EPERM, false},
	{"i386 ioctl TIOCSTI", 54, {0xffffffff, TIOCSTI, BAD}, EPERM, false},
	{"i386 ioctl TIOCLINUX", 54, {0xffffffff, TIOCLINUX, BAD}, EPERM, false},
	{"i386 ioctl", 54, {0xffffffff, TCGETS, BAD}, EBADF, true},
	{"i386 socket AF_PACKET", 359, {17, 0xff, 0}, EAFNOSUPPORT, false},
	{"i386 socketcall socket", 102, {1, BAD, 0}, ENOSYS, false},
	{"i386 socketcall socketpair", 102, {8, BAD, 0}, ENOSYS, false},
	{"i386 socketcall connect", 102, {3, BAD, 0}, EFAULT, true},
	{"i386 no such call", 9999, {0, 0, 0}, ENOSYS, true},
	{"i386 umask", 60, {022, 0, 0}, 0, true},
};

static long i386_call(const struct row *row)
{
	long result;

	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(row->number), "b"(row->arguments[0]), "c"(row->arguments[1]),
			   "d"(row->arguments[2]), "S"(0L), "D"(0L)
			 : "memory", "r8", "r9", "r10", "r11");
	/* The compatibility entry extends the 32-bit result. */
	return (int)result;
}
#endif

static int native_answer(const struct row *row)
{
	long r = syscall(row->number, row->arguments[0], row->arguments[1], row->arguments[2], 0L,
			 0L, 0L);

	/* Descriptors that an unfiltered run gets go with the child. */
	return r < 0 ? errno : 0;
}

static bool is_loaded(void)
{
	struct isp_error err = {.code = 0};
	char text[512];

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && isp_seccomp_load_default(&err) == 0)
		return true;
	isp_err_describe(&err, text, sizeof(text));
	(void)fprintf(stderr, "%s\n", text);
	return false;
}

/* Runs @body in a child. Return: its exit status, 128+n for signal n. */
static int in_child(bool is_filtered, int (*body)(const void *), const void *argument)
{
	int status = 0;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		if (is_filtered && !is_loaded())
			_exit(LOADING_FAILED);
		_exit(body(argument));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int answer_of_native(const void *row)
{
	return native_answer(row);
}

static void check_row(const struct row *row, int (*answer)(const void *))
{
	int got = in_child(true, answer, row);
	int unfiltered = in_child(false, answer, row);

	if (got != row->expected)
		fail_msg("%s: %s, not %s", row->name, strerrorname_np(got),
			 strerrorname_np(row->expected));
	if (!row->is_same_unfiltered && unfiltered == row->expected)
		fail_msg("%s proves nothing: %s without the filter too", row->name,
			 strerrorname_np(unfiltered));
}

static void known_calls_are_refused_and_unknown_ones_unknown(void **state)
{
	(void)state;
	for (size_t i = 0; i < ISP_ARRAY_SIZE(native_rows); i++)
		check_row(&native_rows[i], answer_of_native);
}

static int is_family_open(const void *family)
{
	return socket(*(const int *)family, SOCK_DGRAM, 0) >= 0 ? 0 : errno;
}

/* Families that the machine may not have: refused is refused, whatever it has. */
static void rare_socket_families_are_refused(void **state)
{
	static const int refused[] = {AF_VSOCK,   AF_ALG, AF_PACKET,    AF_TIPC, AF_RDS,
				      AF_CAN,     AF_X25, AF_BLUETOOTH, AF_KEY,  AF_XDP,
				      AF_QIPCRTR, AF_LLC, AF_NFC,       AF_CAIF, AF_PPPOX};

	(void)state;
	for (size_t i = 0; i < ISP_ARRAY_SIZE(refused); i++)
		assert_int_equal(in_child(true, is_family_open, &refused[i]), EAFNOSUPPORT);
}

static void ordinary_socket_families_work(void **state)
{
	static const int allowed[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK};

	(void)state;
	for (size_t i = 0; i < ISP_ARRAY_SIZE(allowed); i++)
		assert_int_equal(in_child(true, is_family_open, &allowed[i]),
				 in_child(false, is_family_open, &allowed[i]));
	assert_int_equal(in_child(true, is_family_open, &allowed[0]), 0);
}

/* To these the kernel says EPERM by itself, but to root: run as root, this proves more. */
static int privileged_calls(const void *unused)
{
	static const long numbers[] = {
		SYS_pivot_root,    SYS_fsopen,        SYS_fsmount,       SYS_fspick,
		SYS_move_mount,    SYS_reboot,        SYS_swapon,        SYS_swapoff,
		SYS_acct,          SYS_settimeofday,  SYS_clock_settime, SYS_init_module,
		SYS_finit_module,  SYS_delete_module, SYS_kexec_load,    SYS_syslog,
		SYS_vhangup,       SYS_sethostname,   SYS_setdomainname, SYS_open_by_handle_at,
		SYS_fanotify_init,
#ifdef __x86_64__
		SYS_iopl,          SYS_ioperm,
#endif
	};

	(void)unused;
	(void)setsid(); /* no terminal for vhangup, should it be let through */
	for (size_t i = 0; i < ISP_ARRAY_SIZE(numbers); i++) {
		errno = 0;
		if (syscall(numbers[i], MINUS_1, BAD, MINUS_1, 0L) != -1 || errno != EPERM) {
			(void)fprintf(stderr, "call %ld: %s\n", numbers[i], strerrorname_np(errno));
			return 1;
		}
	}
	return 0;
}

static void calls_for_the_hosts_root_are_refused(void **state)
{
	(void)state;
	assert_int_equal(in_child(true, privileged_calls, NULL), 0);
}

#ifdef __x86_64__
static int answer_of_i386(const void *row)
{
	long r = i386_call(row);

	return r < 0 ? (int)-r : 0;
}

static void x32_calls_are_unknown(void **state)
{
	(void)state;
	for (size_t i = 0; i < ISP_ARRAY_SIZE(x32_rows); i++)
		check_row(&x32_rows[i], answer_of_native);
}

static void i386_calls_are_filtered_too(void **state)
{
	static const struct row umask_row = {"i386 umask", 60, {022, 0, 0}, 0, true};

	(void)state;
	if (in_child(false, answer_of_i386, &umask_row) != 0) {
		print_message("skipped: this kernel runs no 32-bit calls\n");
		skip();
	}
	for (size_t i = 0; i < ISP_ARRAY_SIZE(i386_rows); i++)
		check_row(&i386_rows[i], answer_of_i386);
}
#endif

static int verify(const void *unused)
{
	struct isp_error err = {.code = 0};

	(void)unused;
	return isp_seccomp_verify(&err) == 0 ? 0 : 1;
}

static void the_proof_holds_with_the_filter_and_fails_without(void **state)
{
	(void)state;
	assert_int_equal(in_child(true, verify, NULL), 0);
	assert_int_equal(in_child(false, verify, NULL), 1);
}

static int allow_everything(const void *unused)
{
	struct sock_filter code[] = {{.code = 0x06, .k = 0x7fff0000 /* SECCOMP_RET_ALLOW */}};
	struct sock_fprog program = {.len = 1, .filter = code};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || isp_sys_seccomp(1, 0, &program) != 0)
		return LOADING_FAILED;
	return verify(unused);
}

static void the_proof_fails_under_a_filter_that_allows_everything(void **state)
{
	(void)state;
	assert_int_equal(in_child(false, allow_everything, NULL), 1);
}

static int run_program(const void *argv)
{
	int null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

	if (null_fd < 0 || dup2(null_fd, STDOUT_FILENO) < 0)
		return LOADING_FAILED;
	(void)execvp(((char *const *)(uintptr_t)argv)[0], (char *const *)(uintptr_t)argv);
	return 127;
}

static void everyday_programs_run(void **state)
{
	static const char *const programs[][4] = {
		{"ls", "-la", "/", NULL},
		{"bash", "-c", "set -e; cat <(echo a) | tr a b; sleep 0.01 & wait; kill -0 $$",
		 NULL},
		{"python3", "-c",
		 "import threading, subprocess, socket, multiprocessing, tempfile, os\n"
		 "t = [threading.Thread(target=sum, args=([1],)) for i in range(8)]\n"
		 "[x.start() for x in t]; [x.join() for x in t]\n"
		 "subprocess.check_call(['true']); socket.socketpair(); os.urandom(8)\n"
		 "multiprocessing.Lock(); tempfile.TemporaryFile().write(b'x')\n"
		 "assert os.access('/', os.R_OK, effective_ids=True)",
		 NULL},
		{"git", "--no-pager", "help", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ISP_ARRAY_SIZE(programs); i++) {
		int status = in_child(true, run_program, programs[i]);

		if (status == 127) {
			print_message("not installed here: %s\n", programs[i][0]);
			continue;
		}
		if (status != 0)
			fail_msg("%s ended with %d", programs[i][0], status);
	}
}

static void *touch(void *flag)
{
	*(bool *)flag = true;
	return NULL;
}

static int start_thread(const void *unused)
{
	bool was_run = false;
	pthread_t thread;

	(void)unused;
	if (pthread_create(&thread, NULL, touch, &was_run) != 0)
		return 1;
	return pthread_join(thread, NULL) == 0 && was_run ? 0 : 2;
}

static void threads_start_without_clone3(void **state)
{
	(void)state;
	assert_int_equal(in_child(true, start_thread, NULL), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_calls_are_refused_and_unknown_ones_unknown),
		cmocka_unit_test(rare_socket_families_are_refused),
		cmocka_unit_test(ordinary_socket_families_work),
		cmocka_unit_test(calls_for_the_hosts_root_are_refused),
#ifdef __x86_64__
		cmocka_unit_test(x32_calls_are_unknown),
		cmocka_unit_test(i386_calls_are_filtered_too),
#endif
		cmocka_unit_test(the_proof_holds_with_the_filter_and_fails_without),
		cmocka_unit_test(the_proof_fails_under_a_filter_that_allows_everything),
		cmocka_unit_test(everyday_programs_run),
		cmocka_unit_test(threads_start_without_clone3),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
