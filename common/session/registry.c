/* SPDX-License-Identifier: GPL-3.0-or-later */
/* registry.c - entering, leaving and sharing; contract in ispawn/session/registry.h */
#include "ispawn/session/registry.h"
#include "ispawn/base/clock.h"
#include "ispawn/base/fd.h"
#include "ispawn/base/path.h"
#include "ispawn/base/sys.h"
#include "ispawn/session/protocol.h"
#include "registry_private.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define BACKLOG 64
#define SHARE_REPLY_MS 2000
#define SHARE_RETRY_MS 5

int isp_registry_open_sessions(int *ret_fd)
{
	_Static_assert(sizeof(ISPAWN_SESSIONS_DIR) == sizeof(ISPAWN_RUN_DIR "/sessions"),
		       "the registry is made beside the rest");
	return isp_path_make_run_dir("sessions", 0711, ret_fd);
}

bool isp_registry_is_of(const char *id, const char *user)
{
	size_t size = strlen(user);

	/* The id ends in ".HEX8", so a user named "a" does not own "a.b.00000000". */
	return isp_session_id_is_valid(id) && strlen(id) == size + 9 &&
	       strncmp(id, user, size) == 0;
}

static int count_sessions(int sessions_fd, const char *user, uint64_t *ret_count)
{
	cleanup_closedir DIR *dir = NULL;
	struct dirent *e;
	uint64_t count = 0;
	int next;
	int r = isp_fd_list(sessions_fd, &dir);

	if (r < 0)
		return r;
	while ((next = isp_fd_next(dir, &e)) > 0)
		count += isp_registry_is_of(e->d_name, user);
	if (next == 0)
		*ret_count = count;
	return next;
}

static int write_new(int dir_fd, const char *name, const char *bytes, size_t size)
{
	cleanup_close int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	return fd < 0 ? -errno : isp_fd_write_all(fd, bytes, size);
}

static int make_address(const char *id, struct sockaddr_un *ret)
{
	int n;

	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	n = snprintf(ret->sun_path, sizeof(ret->sun_path), ISPAWN_SESSIONS_DIR "/%s/%s", id,
		     ISP_SOCKET_NAME);
	return n < 0 || (size_t)n >= sizeof(ret->sun_path) ? -ENAMETOOLONG : 0;
}

static int listen_for(const struct isp_spec *spec, struct isp_entry *entry)
{
	struct sockaddr_un address;
	int r = make_address(entry->id, &address);

	if (r < 0)
		return r;
	entry->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (entry->listen_fd < 0 ||
	    bind(entry->listen_fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
	    fchmodat(entry->dir_fd, ISP_SOCKET_NAME, 0600, 0) != 0 ||
	    fchownat(entry->dir_fd, ISP_SOCKET_NAME, isp_spec_owner_uid(spec), (gid_t)-1,
		     AT_SYMLINK_NOFOLLOW) != 0 ||
	    listen(entry->listen_fd, BACKLOG) != 0)
		return -errno;
	return 0;
}

/* mkdir and lock, so that no sweep sees the one without the other. */
static int make_locked(int sessions_fd, struct isp_entry *entry)
{
	int r = 0;

	if (flock(sessions_fd, LOCK_SH) != 0)
		return -errno;
	if (mkdirat(sessions_fd, entry->id, 0711) != 0)
		r = -errno;
	if (r == 0) {
		entry->dir_fd = openat(sessions_fd, entry->id,
				       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (entry->dir_fd < 0 || flock(entry->dir_fd, LOCK_EX | LOCK_NB) != 0 ||
		    fchmod(entry->dir_fd, 0711) != 0)
			r = -errno;
		if (r < 0) /* Ignored: the sweep will */
			(void)unlinkat(sessions_fd, entry->id, AT_REMOVEDIR);
	}
	(void)flock(sessions_fd, LOCK_UN); /* Ignored: closing unlocks as well */
	return r;
}

static int fill_entry(const struct isp_spec *spec, const char *bytes, size_t size,
		      struct isp_entry *entry)
{
	char pid[24];
	int r = write_new(entry->dir_fd, "spec", bytes, size);

	(void)snprintf(pid, sizeof(pid), "%d\n", getpid());
	if (r == 0)
		r = write_new(entry->dir_fd, "pid", pid, strlen(pid));
	return r < 0 ? r : listen_for(spec, entry);
}

int isp_registry_create(const struct isp_spec *spec, const char *bytes, size_t size,
			struct isp_entry *ret, struct isp_error *err)
{
	struct isp_entry entry = ISP_ENTRY_CLOSED;
	cleanup_close int sessions_fd = -EBADF;
	uint64_t count = 0;
	int r = isp_registry_open_sessions(&sessions_fd);

	if (r == 0)
		r = count_sessions(sessions_fd, isp_spec_owner_name(spec), &count);
	if (r < 0)
		return isp_err_set(err, -r, ISP_STAGE_REGISTRY,
				   "open \"" ISPAWN_SESSIONS_DIR "\" (mode 0711, root's)");
	if (count >= spec->limits.sessions)
		return isp_err_set(err, EUSERS, ISP_STAGE_REGISTRY,
				   "the user has %llu sessions open, and the limit (sessions) is "
				   "%llu",
				   (unsigned long long)count,
				   (unsigned long long)spec->limits.sessions);
	memcpy(entry.id, spec->session, sizeof(entry.id));
	r = make_locked(sessions_fd, &entry);
	if (r == 0)
		r = fill_entry(spec, bytes, size, &entry);
	if (r < 0) {
		isp_err_set(err, -r, ISP_STAGE_REGISTRY, "make \"" ISPAWN_SESSIONS_DIR "/%s\"",
			    entry.id);
		if (entry.dir_fd >= 0)
			isp_ignore(isp_registry_remove(&entry)); /* the sweep will */
		return -err->code;
	}
	*ret = entry;
	return 0;
}

void isp_registry_stop_listening(struct isp_entry *entry)
{
	isp_fd_close(&entry->listen_fd);
}

int isp_registry_remove(struct isp_entry *entry)
{
	cleanup_close int sessions_fd = -EBADF;
	int r = 0;

	isp_registry_stop_listening(entry);
	if (entry->dir_fd >= 0) {
		r = isp_registry_open_sessions(&sessions_fd);
		if (r == 0)
			r = isp_path_remove_tree(sessions_fd, entry->id);
	}
	isp_fd_close(&entry->dir_fd);
	return r;
}

int isp_registry_connect(const char *id, int *ret_fd)
{
	cleanup_close int fd = -EBADF;
	struct sockaddr_un address;
	int r = isp_session_id_is_valid(id) ? make_address(id, &address) : -EINVAL;

	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
		return -errno;
	*ret_fd = steal_fd(&fd);
	return 0;
}

/* Kernel: do_exit() lets go of locks and sockets before mount namespaces; a pidfd tells when all is
 * done. */
static void await_end(int connection_fd, int64_t deadline_ms)
{
	cleanup_close int pid_fd = -EBADF;
	struct ucred who = {.pid = 0};
	socklen_t size = sizeof(who);
	struct pollfd end = {.events = POLLIN};

	if (getsockopt(connection_fd, SOL_SOCKET, SO_PEERCRED, &who, &size) != 0 || who.pid <= 1)
		return;
	pid_fd = isp_sys_pidfd_open(who.pid, 0);
	end.fd = pid_fd;
	if (pid_fd >= 0)
		(void)poll(&end, 1, isp_clock_left(deadline_ms)); /* Ignored: the caller looks */
}

/* Asks one session. Return: 1 and *ret_fd; 0 it shares nothing with us; -EBUSY it has no time for
 * us now; -ESRCH it is ending. */
static int ask_to_share(const char *id, const struct isp_spec *spec, int64_t deadline_ms,
			int *ret_fd)
{
	const uint32_t answers =
		1u << ISP_MESSAGE_SHARED | 1u << ISP_MESSAGE_FAILED | 1u << ISP_MESSAGE_REFUSED;
	struct isp_message message = {.type = ISP_MESSAGE_SHARE};
	cleanup_close int fd = -EBADF;
	int fds[ISP_FDS_MAX];
	size_t count = 0;
	struct pollfd answer;

	(void)snprintf(message.text, sizeof(message.text), "%s", spec->template_name);
	if (isp_registry_connect(id, &fd) < 0 || isp_message_send(fd, &message, NULL, 0, 0) < 0)
		return -ESRCH;
	answer = (struct pollfd){.fd = fd, .events = POLLIN};
	if (poll(&answer, 1, SHARE_REPLY_MS) <= 0)
		return -ESRCH;
	if (isp_message_receive(fd, answers, &message, fds, &count, MSG_DONTWAIT) != 1) {
		await_end(fd, deadline_ms);
		return -ESRCH;
	}
	if (message.type != ISP_MESSAGE_SHARED || count != 1) {
		isp_message_close_fds(fds, count);
		return message.type == ISP_MESSAGE_REFUSED ? -EBUSY : 0;
	}
	*ret_fd = fds[0];
	return 1;
}

static bool is_gone(int sessions_fd, const char *id)
{
	return faccessat(sessions_fd, id, F_OK, AT_SYMLINK_NOFOLLOW) != 0;
}

/* Order: a supervisor that was killed lets go of its lock before the kernel kills its container,
 * which still has the overlay: it has ended only when its entry has been swept, or it removed that
 * itself. */
static int share_with(int sessions_fd, const char *id, const struct isp_spec *spec,
		      int64_t deadline_ms, int *ret_fd)
{
	struct isp_error ignored = {0}; /* what could not be swept is still there */

	for (;;) {
		int r = ask_to_share(id, spec, deadline_ms, ret_fd);

		if (r >= 0)
			return r;
		if (r == -ESRCH)
			isp_ignore(isp_registry_sweep(spec->user, ISP_SWEEP_MS, NULL, &ignored));
		if (is_gone(sessions_fd, id))
			return 0;
		if (isp_clock_left(deadline_ms) == 0)
			return -ETIMEDOUT;
		(void)poll(NULL, 0, SHARE_RETRY_MS); /* Ignored: a pause */
	}
}

int isp_registry_share(const struct isp_spec *spec, int64_t deadline_ms, int *ret_fd,
		       struct isp_error *err)
{
	cleanup_close int sessions_fd = -EBADF;
	cleanup_closedir DIR *dir = NULL;
	struct dirent *e;
	int next = 0;
	int r = isp_registry_open_sessions(&sessions_fd);

	if (r == 0)
		r = isp_fd_list(sessions_fd, &dir);
	if (r < 0)
		return isp_err_set(err, -r, ISP_STAGE_REGISTRY, "list the user's sessions");
	*ret_fd = -EBADF;
	while ((next = isp_fd_next(dir, &e)) > 0) {
		if (!isp_registry_is_of(e->d_name, spec->user) ||
		    strcmp(e->d_name, spec->session) == 0)
			continue;
		r = share_with(sessions_fd, e->d_name, spec, deadline_ms, ret_fd);
		if (r < 0)
			return isp_err_set(err, -r, ISP_STAGE_REGISTRY,
					   "session %s neither shares its overlay nor ends",
					   e->d_name);
		if (r > 0)
			return 0;
	}
	/* A session that is not seen would be a second overlay over its upper layer. */
	return next < 0 ? isp_err_set(err, -next, ISP_STAGE_REGISTRY, "list the user's sessions")
			: 0;
}
