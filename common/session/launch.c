/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * launch.c - from the door to the supervisor; contract in ispawn/session/launch.h
 *
 *   application -- clone, no exit signal --> middle child -- the same --> supervisor
 *
 * Who     middle child: in the application's own memory, host root; lives for two system calls.
 *         supervisor-to-be: the same, until it execs.  Each runs on a stack of its own, and the
 *         application's thread waits meanwhile, as with vfork(2): copying sshd's memory twice, to
 *         throw it away at once, would take longer than what is done here.
 * Why     the application must not own the supervisor.  Processes without exit signal raise no
 *         SIGCHLD and are invisible to wait() without __WCLONE or __WALL (Kernel: wait(2)), so an
 *         application that waits for any child, as login(1) does, never finds the middle child;
 *         and when that ends, the supervisor belongs to PID 1.  An application that is a subreaper
 *         (prctl(2)) inherits it all the same; nothing can be done about that.
 * Rules   between clone and exec: the application may have threads, which run on and hold locks.
 *         So no malloc, no stdio, nothing but system calls on what was prepared before; lazy
 *         binding would lock too, but the module is linked with -z now.  What is written is the
 *         application's: the record of a failure, errno, and nothing else.
 * Copies  isp_launch_copy() leaves out both the middle child and the program: the application is
 *         one of ours and has no threads, and the supervisor is a copy of it that may do anything.
 * Errors  in there are told to the one who waits on the control socket, by the same message that a
 *         supervisor would send.
 */
#include "ispawn/session/launch.h"

#include "ispawn/base/fd.h"
#include "ispawn/base/path.h"
#include "ispawn/base/sys.h"
#include "ispawn/container/cgroup.h"
#include "ispawn/session/protocol.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the supervisor finds open.  The program's own descriptor is gone with the exec. */
enum {
	CONTROL_SLOT = 3,
	SPEC_SLOT,
	APPLICATION_SLOT,
	DIRECTORY_SLOT,
	PROGRAM_SLOT,
	FIRST_UNUSED_SLOT
};
_Static_assert(FIRST_UNUSED_SLOT <= ISP_FD_MOVED_FIRST, "no slot overwrites a source");

/* What is prepared before the clone; descriptors numbered from ISP_FD_MOVED_FIRST. */
struct launch {
	int null_fd, control_fd, spec_fd, application_fd, program_fd;
	int cgroup_fd;    /* to be cloned into; -EBADF: none */
	int directory_fd; /* -EBADF without one */
	bool is_rootless;
	const struct isp_life *life; /* of a copy; NULL: the program is executed */
	struct isp_message failed;
	struct isp_stack *stacks; /* of the middle child and the supervisor-to-be */
};

static void launch_close(struct launch *launch)
{
	isp_fd_close(&launch->null_fd);
	isp_fd_close(&launch->control_fd);
	isp_fd_close(&launch->spec_fd);
	isp_fd_close(&launch->application_fd);
	isp_fd_close(&launch->program_fd);
	isp_fd_close(&launch->cgroup_fd);
	isp_fd_close(&launch->directory_fd);
	free(launch->stacks);
}

#define cleanup_launch __attribute__((cleanup(launch_close)))

/* --- before the clone --- */

static int prepare_stacks(struct launch *launch, struct isp_error *err)
{
	launch->stacks = aligned_alloc(_Alignof(struct isp_stack), 2 * sizeof(struct isp_stack));
	return launch->stacks ? 0
			      : isp_err_set(err, ENOMEM, ISP_STAGE_START,
					    "find memory for the supervisor's start");
}

static int prepare_spec(const struct isp_spec *spec, struct launch *launch, struct isp_error *err)
{
	cleanup_close int fd = -EBADF;
	cleanup_free char *bytes = NULL;
	size_t size = 0;
	int r = isp_spec_encode(spec, &bytes, &size, err);

	if (r < 0)
		return isp_err_prefix(err, "freeze the spec");
	r = isp_fd_memfd("ispawn-spec", bytes, size, &fd);
	if (r < 0)
		return isp_err_set(err, -r, ISP_STAGE_START, "put the spec into a sealed memfd");
	return isp_fd_move_up(&fd, &launch->spec_fd, err);
}

static int prepare_program(const struct isp_spec *spec, struct launch *launch,
			   struct isp_error *err)
{
	cleanup_close int fd = -EBADF;
	int r = isp_path_open_program(ISPAWN_SUPERVISOR, spec->is_rootless, ISP_STAGE_START, &fd,
				      err);

	return r < 0 ? r : isp_fd_move_up(&fd, &launch->program_fd, err);
}

static int prepare_application(struct launch *launch, struct isp_error *err)
{
	cleanup_close int null_fd = open("/dev/null", O_RDWR | O_NOCTTY | O_CLOEXEC);
	cleanup_close int self_fd = isp_sys_pidfd_open(getpid(), 0);
	int r;

	if (null_fd < 0)
		return isp_err_set(err, errno, ISP_STAGE_START, "open \"/dev/null\"");
	if (self_fd < 0)
		return isp_err_set(err, errno, ISP_STAGE_START, "open the application's pidfd");
	r = isp_fd_move_up(&null_fd, &launch->null_fd, err);
	return r < 0 ? r : isp_fd_move_up(&self_fd, &launch->application_fd, err);
}

static int prepare_directory(int directory_fd, struct launch *launch, struct isp_error *err)
{
	cleanup_close int fd = -EBADF;

	if (directory_fd < 0)
		return 0;
	fd = fcntl(directory_fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return isp_err_set(err, errno, ISP_STAGE_START, "duplicate the directory");
	return isp_fd_move_up(&fd, &launch->directory_fd, err);
}

static int prepare_control(struct launch *launch, int *ret_control_fd, struct isp_error *err)
{
	int ends[2] = {-EBADF, -EBADF};
	int r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
		return isp_err_set(err, errno, ISP_STAGE_START, "make the control socket");
	r = isp_fd_move_up(&ends[1], &launch->control_fd, err);
	if (r == 0)
		r = isp_fd_move_up(&ends[0], ret_control_fd, err);
	isp_fd_close(&ends[0]);
	isp_fd_close(&ends[1]);
	return r;
}

/* Where the supervisor is born on v2.  A help and not a must: else it moves there itself, and says
 * what is wrong when it cannot. */
static void prepare_cgroup(struct launch *launch)
{
	cleanup_close int fd = -EBADF;
	struct isp_error ignored = {0};

	if (isp_cgroup_open_supervisors(&fd) == 0)
		isp_ignore(isp_fd_move_up(&fd, &launch->cgroup_fd, &ignored));
}

/* --- between clone and exec --- */

static _Noreturn void give_up_by(struct launch *launch, int control_fd, const char *step)
{
	launch->failed.type = ISP_MESSAGE_FAILED;
	launch->failed.error.code = errno;
	launch->failed.error.stage = ISP_STAGE_START;
	strncpy(launch->failed.error.text, step, sizeof(launch->failed.error.text) - 1);
	isp_ignore(isp_message_send(control_fd, &launch->failed, NULL, 0, 0));
	/* Ignored: a door that hears nothing sees end of file, and denies. */
	_exit(125);
}

static _Noreturn void give_up(struct launch *launch, const char *step)
{
	give_up_by(launch, launch->control_fd, step);
}

/* sshd ignores SIGPIPE; and the mask is the one that spawn() has set. */
static bool reset_signals(void)
{
	sigset_t none;

	if (isp_sys_default_signals() != 0)
		return false;
	sigemptyset(&none);
	return sigprocmask(SIG_SETMASK, &none, NULL) == 0;
}

static bool fill_slots(const struct launch *launch)
{
	return dup2(launch->null_fd, 0) == 0 && dup2(launch->null_fd, 1) == 1 &&
	       dup2(launch->null_fd, 2) == 2 &&
	       dup2(launch->control_fd, CONTROL_SLOT) == CONTROL_SLOT &&
	       dup2(launch->spec_fd, SPEC_SLOT) == SPEC_SLOT &&
	       dup2(launch->application_fd, APPLICATION_SLOT) == APPLICATION_SLOT &&
	       (launch->directory_fd < 0 ||
		dup2(launch->directory_fd, DIRECTORY_SLOT) == DIRECTORY_SLOT) &&
	       (launch->life || dup3(launch->program_fd, PROGRAM_SLOT, O_CLOEXEC) == PROGRAM_SLOT);
}

/* The descriptors have their places, and all others are about to be closed. */
static void leave_application(struct launch *launch)
{
	if (launch->directory_fd < 0)
		(void)close(DIRECTORY_SLOT); /* Ignored: EBADF, when it was not the application's */
	if (isp_sys_close_range(launch->life ? PROGRAM_SLOT : FIRST_UNUSED_SLOT, UINT_MAX, 0) != 0)
		give_up_by(launch, CONTROL_SLOT,
			   "close the application's descriptors for the supervisor");
	if (setsid() < 0)
		give_up_by(launch, CONTROL_SLOT,
			   "take the supervisor out of the application's session");
	if (chdir("/") != 0)
		give_up_by(launch, CONTROL_SLOT, "change the supervisor's directory to \"/\"");
	umask(022);
	/* Order: last, so that no signal to the application's process group comes in between. */
	if (!reset_signals())
		give_up_by(launch, CONTROL_SLOT, "reset the supervisor's signals");
}

static _Noreturn void execute_supervisor(struct launch *launch)
{
	static char name[] = "ispawn-supervisor";
	char *const argv[] = {name, NULL};
	char *const environment[] = {NULL};

	(void)isp_sys_execveat_fd(PROGRAM_SLOT, argv, environment);
	give_up_by(launch, CONTROL_SLOT, "execute \"" ISPAWN_SUPERVISOR "\"");
}

static int become_supervisor(void *closure)
{
	struct launch *launch = closure;

	/* Threat: a set-user-ID application's real ids are those of whoever called it (su), and a
	 * real uid is enough to stop or kill the supervisor.  Rootless, there is no other id. */
	if (!launch->is_rootless && isp_sys_become(0) != 0)
		give_up(launch, "make the supervisor root in all its ids");
	if (!fill_slots(launch))
		give_up(launch, "give the supervisor its descriptors");
	leave_application(launch);
	if (launch->life)
		isp_sys_exit_group(launch->life->live(launch->life->closure));
	execute_supervisor(launch);
}

static int middle_child(void *closure)
{
	struct launch *launch = closure;
	struct isp_stack *stack = &launch->stacks[1];
	pid_t pid = -1;

	if (launch->cgroup_fd >= 0)
		pid = isp_sys_clone_vfork(become_supervisor, launch, stack, launch->cgroup_fd);
	if (pid < 0)
		pid = isp_sys_clone_vfork(become_supervisor, launch, stack, -EBADF);
	if (pid < 0)
		give_up(launch, "clone the supervisor's process");
	_exit(0);
}

/* One process instead of two: it is the application's child, but one without exit signal, and the
 * application lives no longer than the session. */
static pid_t clone_copy(struct launch *launch)
{
	struct clone_args args = {.flags = 0};
	pid_t pid = -1;

	if (launch->cgroup_fd >= 0) {
		args.flags = CLONE_INTO_CGROUP;
		args.cgroup = (__u64)launch->cgroup_fd;
		pid = isp_sys_clone3(&args, sizeof(args));
	}
	if (pid < 0) {
		args.flags = 0;
		pid = isp_sys_clone3(&args, sizeof(args));
	}
	if (pid == 0)
		isp_sys_exit_group(become_supervisor(launch));
	return pid;
}

/* --- around them --- */

/* All signals are blocked until the child has reset them: a handler of the application's must not
 * run in a process that the application does not know of. */
static int spawn(struct launch *launch, struct isp_error *err)
{
	sigset_t all, before;
	int failure;
	pid_t pid;

	sigfillset(&all);
	failure = pthread_sigmask(SIG_SETMASK, &all, &before);
	if (failure != 0)
		return isp_err_set(err, failure, ISP_STAGE_START, "block signals");
	pid = launch->life ? clone_copy(launch)
			   : isp_sys_clone_vfork(middle_child, launch, &launch->stacks[0], -EBADF);
	failure = errno;
	/* Ignored: the mask is the one that the kernel handed out above. */
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (pid < 0)
		return isp_err_set(err, failure, ISP_STAGE_START, "clone the %s",
				   launch->life ? "supervisor" : "middle child");
	if (launch->life)
		return 0;
	/* Ignored: ECHILD, when a thread of the application waits with __WALL and was faster.  The
	 * status says nothing: success and failure both arrive on the control socket. */
	while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
		;
	return 0;
}

static int launch(const struct isp_spec *spec, int directory_fd, const struct isp_life *life,
		  int *ret_control_fd, struct isp_error *err)
{
	cleanup_launch struct launch launch = {.null_fd = -EBADF,
					       .control_fd = -EBADF,
					       .spec_fd = -EBADF,
					       .application_fd = -EBADF,
					       .program_fd = -EBADF,
					       .cgroup_fd = -EBADF,
					       .directory_fd = -EBADF,
					       .is_rootless = spec->is_rootless,
					       .life = life};
	cleanup_close int control_fd = -EBADF;
	int r = life ? 0 : prepare_stacks(&launch, err);

	if (r == 0)
		r = prepare_spec(spec, &launch, err);
	if (r == 0 && !life)
		r = prepare_program(spec, &launch, err);
	if (r == 0)
		r = prepare_application(&launch, err);
	if (r == 0)
		r = prepare_directory(directory_fd, &launch, err);
	if (r == 0)
		r = prepare_control(&launch, &control_fd, err);
	if (r == 0) {
		if (!spec->is_unlimited)
			prepare_cgroup(&launch);
		r = spawn(&launch, err);
	}
	if (r < 0)
		return r;
	*ret_control_fd = steal_fd(&control_fd);
	return 0;
}

int isp_launch(const struct isp_spec *spec, int directory_fd, int *ret_control_fd,
	       struct isp_error *err)
{
	return launch(spec, directory_fd, NULL, ret_control_fd, err);
}

int isp_launch_copy(const struct isp_spec *spec, int directory_fd, const struct isp_life *life,
		    int *ret_control_fd, struct isp_error *err)
{
	return launch(spec, directory_fd, life, ret_control_fd, err);
}
