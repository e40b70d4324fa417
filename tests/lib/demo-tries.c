/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * demo-tries VICTIM DISK - what people try first, where this is run
 *
 * Static, so that the same file runs on the host, in a chroot and in a login.  One line per try:
 * name, "allowed" or "refused", and why, tab-separated.  Each try is a process of its own.  What
 * would end the machine stops one step short, where the kernel has already checked the right to it.
 *
 *	VICTIM	pid, on the host, of a process of the same user
 *	DISK	MAJOR:MINOR of the machine's first disk, "-" when it has none
 *
 * The marks of the host: its /etc/shadow knows the user "exempt", its root holds /demo-host-mark.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define HOST_MARK "/demo-host-mark"
#define HOST_USER "\nexempt:"
#define SCRATCH "/tmp/demo-scratch"

static pid_t victim;
static const char *disk;

static int said(const char *name, const char *verdict, const char *why)
{
	(void)printf("%s\t%s\t%s\n", name, verdict, why);
	(void)fflush(stdout);
	return 0;
}

static int refused(const char *name, const char *why)
{
	return said(name, "refused", why);
}

static int refused_errno(const char *name)
{
	return refused(name, strerror(errno));
}

static int allowed(const char *name, const char *why)
{
	return said(name, "allowed", why);
}

/* Kernel: the right is checked before the magic numbers, so a wrong one is harmless and still asks:
 * EPERM without the right, EINVAL with it (reboot(2)). */
static int try_reboot(const char *name)
{
	(void)syscall(SYS_reboot, 0, 0, 0, NULL);
	return errno == EINVAL ? allowed(name, "only the magic number was wrong")
			       : refused_errno(name);
}

static int try_mount(const char *name)
{
	(void)mkdir(SCRATCH, 0700); /* Ignored: mount(2) says what is wrong */
	if (mount("tmpfs", SCRATCH, "tmpfs", 0, NULL) != 0)
		return refused_errno(name);
	(void)umount2(SCRATCH, MNT_DETACH);
	return allowed(name, "mounted");
}

static int read_node(const char *name, const char *path)
{
	char sector[512];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, sector, sizeof(sector));
	int keep = errno;

	(void)unlink(path);
	errno = keep;
	return n == (ssize_t)sizeof(sector) ? allowed(name, "read its first sector") : -1;
}

/* Wherever a node may be made; one file system may be nodev and the next not. */
static int try_disk(const char *name)
{
	static const char *const places[] = {"/dev/demo-disk", "/tmp/demo-disk", "/root/demo-disk",
					     "/var/tmp/demo-disk"};
	unsigned int disk_major, disk_minor;
	int keep = 0;

	if (sscanf(disk, "%u:%u", &disk_major, &disk_minor) != 2)
		return refused(name, "this machine has no disk");
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		if (mknod(places[i], S_IFBLK | 0600, makedev(disk_major, disk_minor)) == 0 &&
		    read_node(name, places[i]) == 0)
			return 0;
		/* What the rights say, rather than what is missing or read-only. */
		if (keep == 0 || errno == EPERM || errno == EACCES)
			keep = errno;
	}
	errno = keep;
	return refused_errno(name);
}

static int try_shadow(const char *name)
{
	static char text[65536];
	int fd = open("/etc/shadow", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (n < 0)
		return refused_errno(name);
	text[n] = '\0';
	return strstr(text, HOST_USER) ? allowed(name, "the host's passwords")
				       : refused(name, "it is not the host's");
}

/* The classical one: a directory outside the new root is kept open, and walked up from. */
static int try_chroot(const char *name)
{
	int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (access(HOST_MARK, F_OK) == 0)
		return said(name, "-", "nothing to escape from");
	(void)mkdir(SCRATCH, 0700); /* Ignored: chroot(2) says what is wrong */
	if (fd < 0 || chroot(SCRATCH) != 0 || fchdir(fd) != 0)
		return refused_errno(name);
	for (int i = 0; i < 64; i++)
		if (chdir("..") != 0)
			return refused_errno(name);
	if (chroot(".") != 0)
		return refused_errno(name);
	return access(HOST_MARK, F_OK) == 0 ? allowed(name, "reached the host's root")
					    : refused(name, "came out in its own root");
}

static int try_nsenter(const char *name)
{
	int fd = open("/proc/1/ns/mnt", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || setns(fd, CLONE_NEWNS) != 0)
		return refused_errno(name);
	return access(HOST_MARK, F_OK) == 0 ? allowed(name, "in the host's mounts")
					    : refused(name, "only its own init's");
}

static int try_unshare(const char *name)
{
	if (unshare(CLONE_NEWUSER) != 0)
		return refused_errno(name);
	return allowed(name, "root in a namespace of its own");
}

/* The signal is one that changes nothing. */
static int try_victim(const char *name)
{
	if (kill(victim, SIGCONT) != 0)
		return refused_errno(name);
	return allowed(name, "signalled");
}

/* Opening is where the right is checked; nothing is written. */
static int try_write(const char *name, const char *path)
{
	struct statfs fs;
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || fstatfs(fd, &fs) != 0)
		return refused_errno(name);
	return fs.f_type == PROC_SUPER_MAGIC ? allowed(name, "open for writing")
					     : refused(name, "it is the null device");
}

static int try_sysrq(const char *name)
{
	return try_write(name, "/proc/sysrq-trigger");
}

static int try_core_pattern(const char *name)
{
	return try_write(name, "/proc/sys/kernel/core_pattern");
}

/* Kernel: the right is checked before the module is looked at, and an empty one is no module. */
static int try_module(const char *name)
{
	(void)syscall(SYS_init_module, NULL, 0UL, "");
	return errno == ENOEXEC || errno == EFAULT ? allowed(name, "only the module was empty")
						   : refused_errno(name);
}

/* Where process 1 is the host's, the null signal asks; where it is one's own, the real one is sent,
 * and whoever reads this line finds out that it had no effect. */
static int try_init(const char *name)
{
	bool is_host = access(HOST_MARK, F_OK) == 0 || kill(victim, 0) == 0;

	if (kill(1, is_host ? 0 : SIGKILL) != 0)
		return refused_errno(name);
	if (is_host)
		return allowed(name, "asked with signal 0 only");
	(void)usleep(100000);
	return refused(name, "only its own, unharmed");
}

static int show_pid(const char *name)
{
	char pid[16];

	(void)snprintf(pid, sizeof(pid), "%d", (int)getppid());
	return said(name, pid, "");
}

static const struct {
	const char *name;
	int (*run)(const char *name);
} tries[] = {
	{"echo $$", show_pid},
	{"reboot", try_reboot},
	{"mount -t tmpfs", try_mount},
	{"dd if= the disk (mknod)", try_disk},
	{"read host's /etc/shadow", try_shadow},
	{"chroot escape", try_chroot},
	{"nsenter -t 1 -m", try_nsenter},
	{"unshare -Ur", try_unshare},
	{"kill a host process", try_victim},
	{"write sysrq-trigger", try_sysrq},
	{"write core_pattern", try_core_pattern},
	{"load a module", try_module},
	/* Order: last; if it works there is nobody left to try the rest. */
	{"kill -9 1", try_init},
};

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	victim = (pid_t)strtol(argv[1], NULL, 10);
	disk = argv[2];
	for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(tries[i].run(tries[i].name));
		if (pid < 0 || waitpid(pid, NULL, 0) < 0)
			return 1;
	}
	return 0;
}
