/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * sys.h - raw system calls
 *
 * Theory of operation: the calls that the C library does not wrap, or wraps only in releases newer
 * than the oldest one we build on (glibc 2.35), stand here and nowhere else.  Each is named after
 * the kernel's, with isp_sys_ before it, returns what the kernel returns (-1 with errno), and says
 * since which Linux it exists and which page documents it.  None of them allocates, locks or
 * touches library state, so all may be called between clone() and exec in a threaded process.
 */
#ifndef ISPAWN_BASE_SYS_H
#define ISPAWN_BASE_SYS_H

#include <linux/capability.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* For one child; not initialised, so that only pages that are used cost anything. */
struct isp_stack {
	_Alignas(16) char bytes[16384];
};

/* Linux 5.3; clone(2). Child: 0, with a copy of the caller's memory. */
pid_t isp_sys_clone3(struct clone_args *args, size_t size);
/*
 * Linux 5.3; clone(2): a child that runs @run on @stack, in the caller's own memory, and must not
 * return from it.  The caller goes on when the child has executed a program or ended; descriptors,
 * ids and signal handlers are the child's own.  @cgroup_fd: to be born in; -EBADF: the caller's.
 * The child's end sends no signal.  Where the compiler watches stacks (ASan), and on machines
 * other than x86-64, the child has a copy of the memory instead, and nobody waits.
 */
pid_t isp_sys_clone_vfork(int (*run)(void *), void *closure, struct isp_stack *stack,
			  int cgroup_fd);
/* Linux 2.2; setgroups(2), setresgid(2), setresuid(2): all ids @id, no supplementary group.  The C
 * library's would send signals to what it takes for the threads of the process. */
int isp_sys_become(unsigned int id);
/* Linux 5.3; pidfd_open(2). */
int isp_sys_pidfd_open(pid_t pid, unsigned int flags);
/* Linux 5.1; pidfd_send_signal(2). */
int isp_sys_pidfd_send_signal(int pid_fd, int signal_number);
/* Linux 5.9; close_range(2). */
int isp_sys_close_range(unsigned int first, unsigned int last, unsigned int flags);
/* Linux 3.19; execveat(2): the program that @fd is, whatever its name is by now. */
int isp_sys_execveat_fd(int fd, char *const argv[], char *const envp[]);
/* Linux 5.6; openat2(2), with O_CLOEXEC: @resolve is RESOLVE_*. */
int isp_sys_openat2(int dir_fd, const char *path, unsigned int flags, uint64_t resolve);
/* Linux 5.2; open_tree(2). */
int isp_sys_open_tree(int dir_fd, const char *path, unsigned int flags);
/* Linux 5.2; move_mount(2): the detached mount @from_fd onto @path under @to_dir_fd. */
int isp_sys_move_mount(int from_fd, int to_dir_fd, const char *path, unsigned int flags);
/* Linux 5.2; fsopen(2), fsconfig(2), fsmount(2). */
int isp_sys_fsopen(const char *type, unsigned int flags);
int isp_sys_fsconfig(int fs_fd, unsigned int command, const char *key, const void *value, int aux);
int isp_sys_fsmount(int fs_fd, unsigned int flags, unsigned int attributes);
/* Linux 5.12; mount_setattr(2). */
int isp_sys_mount_setattr(int dir_fd, const char *path, unsigned int flags, struct mount_attr *attr,
			  size_t size);
/* Linux 2.4; pivot_root(2). */
int isp_sys_pivot_root(const char *new_root, const char *put_old);
/* Linux 2.2; capget(2), capset(2): @sets has _LINUX_CAPABILITY_U32S_3 entries. */
int isp_sys_capget(cap_user_header_t header, cap_user_data_t sets);
int isp_sys_capset(cap_user_header_t header, cap_user_data_t sets);
/* Linux 2.6.10; keyctl(2): a new, empty session keyring. */
int isp_sys_join_new_session_keyring(void);
/* Linux 3.17; seccomp(2). */
int isp_sys_seccomp(unsigned int operation, unsigned int flags, void *args);
/* Linux 2.2; rt_sigaction(2): every signal back to its default.  Kernel: an exec resets handlers,
 * but what is ignored stays ignored; the C library's call refuses the two numbers that it keeps for
 * itself (32, 33), which whoever started us may ignore all the same. */
int isp_sys_default_signals(void);
/* Linux 2.5; exit_group(2): for a clone that shares the C library's state with nobody it may tell.
 * What is not a program's main ends a process by this alone. */
_Noreturn void isp_sys_exit_group(int status);
/* syscall(2): a call by its number, to prove that it is refused; the others are called by name. */
long isp_sys_by_number(long number, unsigned long first, unsigned long second);

#endif
