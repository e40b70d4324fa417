/* SPDX-License-Identifier: GPL-3.0-or-later */
/* sys.c - raw system calls; contract in ispawn/base/sys.h */
#include "ispawn/base/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

pid_t isp_sys_clone3(struct clone_args *args, size_t size)
{
	return (pid_t)syscall(SYS_clone3, args, size);
}

#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)
/* In assembly, since the child wakes up on another stack: no function of ours can return there.
 * Order: registers by name, that the kernel keeps; of the compiler's choice, one could be %rbp,
 * which is emptied before the other is read. */
static long clone_onto_stack(struct clone_args *args, int (*run)(void *), void *closure)
{
	long result;

	__asm__ volatile("syscall\n\t"
			 "testq %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "xorl %%ebp, %%ebp\n\t" /* the outermost frame, for debuggers */
			 "movq %[closure], %%rdi\n\t"
			 "callq *%[run]\n\t"
			 "ud2\n"
			 "1:"
			 : "=a"(result)
			 : "0"((long)SYS_clone3), "D"(args),
			   "S"(sizeof(*args)), [run] "d"(run), [closure] "b"(closure)
			 : "rcx", "r11", "cc", "memory");
	return result;
}

pid_t isp_sys_clone_vfork(int (*run)(void *), void *closure, struct isp_stack *stack, int cgroup_fd)
{
	struct clone_args args = {.flags = CLONE_VM | CLONE_VFORK,
				  .stack = (__u64)(uintptr_t)stack->bytes,
				  .stack_size = sizeof(stack->bytes)};
	long pid;

	if (cgroup_fd >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (__u64)cgroup_fd;
	}
	pid = clone_onto_stack(&args, run, closure);
	if (pid >= 0)
		return (pid_t)pid;
	errno = (int)-pid;
	return -1;
}
#else
pid_t isp_sys_clone_vfork(int (*run)(void *), void *closure, struct isp_stack *stack, int cgroup_fd)
{
	struct clone_args args = {.flags = 0};
	pid_t pid;

	(void)stack;
	if (cgroup_fd >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (__u64)cgroup_fd;
	}
	pid = isp_sys_clone3(&args, sizeof(args));
	if (pid == 0)
		isp_sys_exit_group(run(closure));
	return pid;
}
#endif

int isp_sys_become(unsigned int id)
{
	if (syscall(SYS_setgroups, 0, NULL) != 0 || syscall(SYS_setresgid, id, id, id) != 0)
		return -1;
	return (int)syscall(SYS_setresuid, id, id, id);
}

int isp_sys_pidfd_open(pid_t pid, unsigned int flags)
{
	return (int)syscall(SYS_pidfd_open, pid, flags);
}

int isp_sys_pidfd_send_signal(int pid_fd, int signal_number)
{
	return (int)syscall(SYS_pidfd_send_signal, pid_fd, signal_number, NULL, 0U);
}

int isp_sys_close_range(unsigned int first, unsigned int last, unsigned int flags)
{
	return (int)syscall(SYS_close_range, first, last, flags);
}

int isp_sys_execveat_fd(int fd, char *const argv[], char *const envp[])
{
	return (int)syscall(SYS_execveat, fd, "", argv, envp, AT_EMPTY_PATH);
}

int isp_sys_openat2(int dir_fd, const char *path, unsigned int flags, uint64_t resolve)
{
	struct open_how how = {.flags = flags | O_CLOEXEC, .resolve = resolve};

	return (int)syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));
}

int isp_sys_open_tree(int dir_fd, const char *path, unsigned int flags)
{
	return (int)syscall(SYS_open_tree, dir_fd, path, flags);
}

int isp_sys_move_mount(int from_fd, int to_dir_fd, const char *path, unsigned int flags)
{
	return (int)syscall(SYS_move_mount, from_fd, "", to_dir_fd, path,
			    flags | MOVE_MOUNT_F_EMPTY_PATH);
}

int isp_sys_fsopen(const char *type, unsigned int flags)
{
	return (int)syscall(SYS_fsopen, type, flags);
}

int isp_sys_fsconfig(int fs_fd, unsigned int command, const char *key, const void *value, int aux)
{
	return (int)syscall(SYS_fsconfig, fs_fd, command, key, value, aux);
}

int isp_sys_fsmount(int fs_fd, unsigned int flags, unsigned int attributes)
{
	return (int)syscall(SYS_fsmount, fs_fd, flags, attributes);
}

int isp_sys_mount_setattr(int dir_fd, const char *path, unsigned int flags, struct mount_attr *attr,
			  size_t size)
{
	return (int)syscall(SYS_mount_setattr, dir_fd, path, flags, attr, size);
}

int isp_sys_pivot_root(const char *new_root, const char *put_old)
{
	return (int)syscall(SYS_pivot_root, new_root, put_old);
}

int isp_sys_capget(cap_user_header_t header, cap_user_data_t sets)
{
	return (int)syscall(SYS_capget, header, sets);
}

int isp_sys_capset(cap_user_header_t header, cap_user_data_t sets)
{
	return (int)syscall(SYS_capset, header, sets);
}

int isp_sys_join_new_session_keyring(void)
{
	return (int)syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL);
}

int isp_sys_seccomp(unsigned int operation, unsigned int flags, void *args)
{
	return (int)syscall(SYS_seccomp, operation, flags, args);
}

int isp_sys_default_signals(void)
{
	/* The kernel's struct sigaction: handler SIG_DFL, no flags, no restorer, empty mask. */
	const unsigned long fallback[4] = {0};

	for (int number = 1; number < NSIG; number++)
		if (number != SIGKILL && number != SIGSTOP &&
		    syscall(SYS_rt_sigaction, number, fallback, NULL, sizeof(uint64_t)) != 0)
			return -1;
	return 0;
}

_Noreturn void isp_sys_exit_group(int status)
{
	for (;;)
		(void)syscall(SYS_exit_group, status);
}

long isp_sys_by_number(long number, unsigned long first, unsigned long second)
{
	return syscall(number, first, second);
}
