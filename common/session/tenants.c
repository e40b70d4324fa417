/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * tenants.c - the connections of a session; contract in ispawn/session/supervise.h
 *
 * Threat: every byte here comes from the user's shell or from init, which is the user's as well.
 * A connection is believed one thing only, the uid that the kernel states.  What a peer may send
 * stands in a table by state; anything else ends that peer.  Requests and terminals pass through
 * as descriptors that are never read or written here, and nothing waits: a peer that does not take
 * its messages is dropped.
 */
#include "ispawn/base/clock.h"
#include "ispawn/session/supervise.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#define ASK_MS 10000      /* a new connection says what it wants within this time */
#define REQUEST_FDS_MAX 4 /* the request, stdin, stdout, stderr */

#define BIT(type) (1u << ISP_MESSAGE_##type)

static const uint32_t allowed_from_peer[] = {
	[ISP_PEER_FREE] = 0,
	[ISP_PEER_SHELL] = BIT(OPEN),
	[ISP_PEER_STARTING] = BIT(SIGNAL),
	[ISP_PEER_RUNNING] = BIT(SIGNAL),
	[ISP_PEER_LEFT] = 0,
	[ISP_PEER_ADMIN] = BIT(KILL) | BIT(SHARE) | BIT(OPEN) | BIT(JOIN),
	[ISP_PEER_JOINED] = 0,
};
static const uint32_t allowed_from_init = BIT(STARTED) | BIT(REFUSED) | BIT(EXITED) | BIT(EMPTY);

static void free_slot(struct isp_connection *c)
{
	isp_fd_close(&c->fd);
	isp_fd_close(&c->terminal_fd);
	c->peer = ISP_PEER_FREE;
	c->tenant = 0;
	c->is_started = false;
	c->is_own = false;
}

static bool has_tenant(const struct isp_connection *c)
{
	return c->peer == ISP_PEER_STARTING || c->peer == ISP_PEER_RUNNING ||
	       c->peer == ISP_PEER_LEFT;
}

/* Init not taking messages is init not doing its work: the session is over. */
static void send_to_init(struct isp_supervisor *s, struct isp_message *message, const int *fds,
			 size_t count)
{
	if (isp_message_send(s->init_fd, message, fds, count, MSG_DONTWAIT) < 0 &&
	    s->end == ISP_END_NONE)
		s->end = ISP_END_PROTOCOL;
}

/* The peer is gone, or treated so.  A tenant without its shell is told, and its slot kept until
 * init has reported its end. */
static void drop_peer(struct isp_supervisor *s, struct isp_connection *c)
{
	struct isp_message hangup = {.type = ISP_MESSAGE_HANGUP, .tenant = c->tenant};

	if (!has_tenant(c)) {
		free_slot(c);
		return;
	}
	isp_fd_close(&c->fd);
	c->peer = ISP_PEER_LEFT;
	send_to_init(s, &hangup, NULL, 0);
}

static void send_to_peer(struct isp_supervisor *s, struct isp_connection *c,
			 struct isp_message *message, const int *fds, size_t count)
{
	if (c->fd >= 0 && isp_message_send(c->fd, message, fds, count, MSG_DONTWAIT) < 0)
		drop_peer(s, c);
}

static struct isp_connection *find_free(struct isp_supervisor *s, bool for_root)
{
	size_t end = for_root ? ISP_CONNECTIONS_MAX : ISP_TENANTS_MAX;

	for (size_t i = for_root ? ISP_TENANTS_MAX : 0; i < end; i++)
		if (s->connections[i].peer == ISP_PEER_FREE)
			return &s->connections[i];
	return NULL;
}

/* No slot: said in words, since the shell would otherwise see a silent end of file. */
static void refuse(int fd, int count)
{
	struct isp_message refused = {.type = ISP_MESSAGE_REFUSED, .value = 125};

	isp_err_set(&refused.error, EMFILE, ISP_STAGE_TENANT,
		    "%d programs run in this session already", count);
	isp_ignore(isp_message_send(fd, &refused, NULL, 0, MSG_DONTWAIT)); /* closed next */
}

void isp_tenants_accept(struct isp_supervisor *s)
{
	cleanup_close int fd =
		accept4(s->entry.listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct ucred who = {.uid = (uid_t)-1};
	socklen_t size = sizeof(who);
	struct isp_connection *c;

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) != 0)
		return;
	if (who.uid != isp_spec_owner_uid(&s->spec) && who.uid != 0)
		return;
	c = find_free(s, who.uid == 0);
	if (!c) {
		refuse(fd, ISP_TENANTS_MAX);
		return;
	}
	c->peer = who.uid == 0 ? ISP_PEER_ADMIN : ISP_PEER_SHELL;
	c->fd = steal_fd(&fd);
	c->deadline_ms = isp_clock_ms() + ASK_MS;
}

void isp_tenants_take_own(struct isp_supervisor *s, int *fd)
{
	struct isp_connection *c = find_free(s, false);

	s->has_own = true;
	if (!c) { /* cannot be: with root for an owner the user's slots are all free */
		isp_fd_close(fd);
		return;
	}
	c->peer = ISP_PEER_SHELL;
	c->is_own = true;
	c->fd = steal_fd(fd);
	c->deadline_ms = isp_clock_ms() + ASK_MS;
	isp_tenants_from_peer(s, c); /* as a rule it has asked by now */
}

/* Root's slots that stay taken, by programs that run inside. */
static size_t count_admin_tenants(const struct isp_supervisor *s)
{
	size_t count = 0;

	for (size_t i = ISP_TENANTS_MAX; i < ISP_CONNECTIONS_MAX; i++)
		count +=
			has_tenant(&s->connections[i]) || s->connections[i].peer == ISP_PEER_JOINED;
	return count;
}

/* Order: before a slot becomes a tenant's.  Threat: an administrator's own programs must not keep
 * his kill, or the supervisor of the user's next login, out. */
static bool has_room(struct isp_supervisor *s, struct isp_connection *c)
{
	if (c->peer != ISP_PEER_ADMIN || count_admin_tenants(s) < ISP_TENANTS_ADMIN_MAX)
		return true;
	refuse(c->fd, ISP_TENANTS_ADMIN_MAX);
	drop_peer(s, c);
	return false;
}

static void open_tenant(struct isp_supervisor *s, struct isp_connection *c,
			struct isp_message *message, const int *fds, size_t count)
{
	if (count < 1 || count > REQUEST_FDS_MAX) {
		drop_peer(s, c);
		return;
	}
	if (!has_room(s, c))
		return;
	/* Threat: a user who says that he is the administrator; the kernel says who it is. */
	message->value = c->peer == ISP_PEER_ADMIN ? ISP_ASKER_ADMIN : ISP_ASKER_USER;
	c->tenant = ++s->tenants_started;
	c->peer = ISP_PEER_STARTING;
	message->tenant = c->tenant;
	s->is_empty = false;
	isp_journal_tenant(s, c->tenant, message->text);
	send_to_init(s, message, fds, count);
}

static void share(struct isp_supervisor *s, struct isp_connection *c,
		  const struct isp_message *message)
{
	struct isp_message answer = {.type = ISP_MESSAGE_SHARED};

	if (s->spec.rootfs == ISP_ROOTFS_OVERLAY &&
	    strcmp(message->text, s->spec.template_name) == 0) {
		send_to_peer(s, c, &answer, &s->own_ns_fd, 1);
		return;
	}
	answer.type = ISP_MESSAGE_FAILED;
	isp_err_set(&answer.error, EXDEV, ISP_STAGE_REGISTRY, "another copy is in use here");
	send_to_peer(s, c, &answer, NULL, 0);
}

/* Threat: a pidfd of init's leads into all of its namespaces, for whoever has rights over them: it
 * goes to root alone, who has them anyway. */
static void tell_place(struct isp_supervisor *s, struct isp_connection *c,
		       const struct isp_message *message)
{
	struct isp_message place = {.type = ISP_MESSAGE_PLACE};

	if (!has_room(s, c))
		return;
	isp_journal_tenant(s, ++s->tenants_started, message->text);
	c->peer = ISP_PEER_JOINED;
	send_to_peer(s, c, &place, &s->init_pid_fd, 1);
}

bool isp_tenants_is_joined(const struct isp_supervisor *s)
{
	for (size_t i = ISP_TENANTS_MAX; i < ISP_CONNECTIONS_MAX; i++)
		if (s->connections[i].peer == ISP_PEER_JOINED)
			return true;
	return false;
}

static void obey_peer(struct isp_supervisor *s, struct isp_connection *c,
		      struct isp_message *message, const int *fds, size_t count)
{
	/* Inside the allowed set, each type has one meaning. */
	if (message->type == ISP_MESSAGE_OPEN) {
		open_tenant(s, c, message, fds, count);
	} else if (message->type == ISP_MESSAGE_SIGNAL) {
		message->tenant = c->tenant;
		send_to_init(s, message, NULL, 0);
	} else if (message->type == ISP_MESSAGE_SHARE) {
		share(s, c, message);
	} else if (message->type == ISP_MESSAGE_JOIN) {
		tell_place(s, c, message);
	} else if (message->type == ISP_MESSAGE_KILL && s->end == ISP_END_NONE) {
		s->end = ISP_END_KILLED;
	}
}

void isp_tenants_from_peer(struct isp_supervisor *s, struct isp_connection *c)
{
	struct isp_message message = {0};
	int fds[ISP_FDS_MAX];
	size_t count = 0;
	int r = isp_message_receive(c->fd, allowed_from_peer[c->peer], &message, fds, &count,
				    MSG_DONTWAIT);

	if (r == -EAGAIN)
		return;
	if (r <= 0) {
		drop_peer(s, c);
		return;
	}
	obey_peer(s, c, &message, fds, count);
	isp_message_close_fds(fds, count);
}

static struct isp_connection *find_tenant(struct isp_supervisor *s, uint32_t tenant)
{
	for (size_t i = 0; i < ISP_CONNECTIONS_MAX; i++)
		if (has_tenant(&s->connections[i]) && s->connections[i].tenant == tenant)
			return &s->connections[i];
	return NULL;
}

/* The primary side goes to the shell; the terminal's own device stays, opened O_PATH: good for
 * its times and for nothing else. */
static void tenant_started(struct isp_supervisor *s, struct isp_connection *c,
			   struct isp_message *message, int *fds, size_t count)
{
	struct stat st;

	if (c->peer == ISP_PEER_STARTING)
		c->peer = ISP_PEER_RUNNING;
	c->is_started = true;
	s->tenants_running++;
	if (count == 2 && fstat(fds[1], &st) == 0 && S_ISCHR(st.st_mode))
		c->terminal_fd = steal_fd(&fds[1]);
	send_to_peer(s, c, message, fds, count > 0 ? 1 : 0);
}

static void tenant_ended(struct isp_supervisor *s, struct isp_connection *c,
			 struct isp_message *message)
{
	bool was_started = message->type == ISP_MESSAGE_EXITED;

	/* Order: the reason before the status, for the shell ends with the status. */
	if (was_started) {
		isp_tenants_report_limits(s);
		if (s->tenants_running > 0)
			s->tenants_running--;
	}
	send_to_peer(s, c, message, NULL, 0);
	s->is_own_over = s->is_own_over || c->is_own;
	free_slot(c);
}

/* Is a tenant asked for whose start init has not reported? */
static bool is_any_starting(const struct isp_supervisor *s)
{
	for (size_t i = 0; i < ISP_CONNECTIONS_MAX; i++)
		if (has_tenant(&s->connections[i]) && !s->connections[i].is_started)
			return true;
	return false;
}

static bool obey_init(struct isp_supervisor *s, struct isp_message *message, int *fds, size_t count)
{
	struct isp_connection *c;

	if (message->type == ISP_MESSAGE_EMPTY) {
		/* It may have crossed an OPEN on its way. */
		s->is_empty = s->tenants_running == 0 && !is_any_starting(s);
		return true;
	}
	c = find_tenant(s, message->tenant);
	if (!c)
		return false; /* it speaks of a tenant it was never given */
	if ((message->type == ISP_MESSAGE_EXITED) != c->is_started)
		return false; /* started twice, or ended without a start */
	if (message->type == ISP_MESSAGE_STARTED)
		tenant_started(s, c, message, fds, count);
	else
		tenant_ended(s, c, message);
	return true;
}

bool isp_tenants_from_init(struct isp_supervisor *s)
{
	struct isp_message message = {0};
	int fds[ISP_FDS_MAX];
	size_t count = 0;
	bool is_obeyed;
	int r = isp_message_receive(s->init_fd, allowed_from_init, &message, fds, &count,
				    MSG_DONTWAIT);

	if (r == -EAGAIN)
		return true;
	if (r <= 0) {
		s->end = r == -EPROTO ? ISP_END_PROTOCOL : ISP_END_INIT;
		return false;
	}
	is_obeyed = obey_init(s, &message, fds, count);
	isp_message_close_fds(fds, count);
	if (!is_obeyed)
		s->end = ISP_END_PROTOCOL;
	return is_obeyed;
}

void isp_tenants_notice(struct isp_supervisor *s, const char *sentence)
{
	struct isp_message notice = {.type = ISP_MESSAGE_NOTICE};

	(void)snprintf(notice.text, sizeof(notice.text), "%s", sentence);
	for (size_t i = 0; i < ISP_CONNECTIONS_MAX; i++)
		if (s->connections[i].peer == ISP_PEER_RUNNING)
			send_to_peer(s, &s->connections[i], &notice, NULL, 0);
}

void isp_tenants_report_limits(struct isp_supervisor *s)
{
	struct isp_usage now = {0};
	char sentence[ISP_MESSAGE_TEXT_SIZE];
	bool is_shared = s->spec.owner == ISP_OWNER_USER;
	const char *bounded = is_shared ? "account" : "container";
	const char *whose = is_shared ? "all its logins" : "all in it";

	isp_cgroup_refusals(&s->cgroup, &now);
	if (now.oom_kills > s->reported.oom_kills) {
		(void)snprintf(sentence, sizeof(sentence),
			       "the memory limit of this %s (%llu MiB for %s) was reached: a "
			       "program was ended",
			       bounded, (unsigned long long)(s->spec.limits.memory_bytes >> 20),
			       whose);
		isp_journal_limit(s, "memory", now.oom_kills - s->reported.oom_kills);
		isp_tenants_notice(s, sentence);
	}
	if (now.pids_refusals > s->reported.pids_refusals) {
		(void)snprintf(sentence, sizeof(sentence),
			       "the limit of processes of this %s (%llu for %s) was reached: new "
			       "ones were refused",
			       bounded, (unsigned long long)s->spec.limits.pids, whose);
		isp_journal_limit(s, "pids", now.pids_refusals - s->reported.pids_refusals);
		isp_tenants_notice(s, sentence);
	}
	s->reported = now;
}

int64_t isp_tenants_idle_since(const struct isp_supervisor *s)
{
	int64_t latest = INT64_MIN;

	/* As a program without a terminal: nobody here can see whether anything happens. */
	if (isp_tenants_is_joined(s))
		return INT64_MAX;
	for (size_t i = 0; i < ISP_CONNECTIONS_MAX; i++) {
		const struct isp_connection *c = &s->connections[i];
		struct stat st;

		if (!has_tenant(c))
			continue;
		if (c->terminal_fd < 0 || fstat(c->terminal_fd, &st) != 0)
			return INT64_MAX;
		if (st.st_atim.tv_sec > latest)
			latest = st.st_atim.tv_sec;
		if (st.st_mtim.tv_sec > latest)
			latest = st.st_mtim.tv_sec;
	}
	return latest == INT64_MIN ? INT64_MAX : latest;
}

void isp_tenants_close(struct isp_supervisor *s)
{
	struct isp_message closed = {.type = ISP_MESSAGE_CLOSED};

	for (size_t i = 0; i < ISP_CONNECTIONS_MAX; i++) {
		struct isp_connection *c = &s->connections[i];

		if (c->peer == ISP_PEER_ADMIN && c->fd >= 0)
			isp_ignore(isp_message_send(c->fd, &closed, NULL, 0, MSG_DONTWAIT));
		if (c->peer != ISP_PEER_FREE)
			free_slot(c);
	}
}
