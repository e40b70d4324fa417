/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * supervise.c - the loop that guards a session; contract in ispawn/session/supervise.h
 *
 * One poll over: the door, the application, init and its socket, SIGTERM, the listening socket,
 * and each connection.  Whatever ends the session sets s->end, and the loop is left.
 */
#include "ispawn/base/clock.h"
#include "ispawn/session/supervise.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define WARNING_S 60      /* before a time limit ends the session */
#define IDLE_STEP_MS 5000 /* how often terminals are looked at, when idle_timeout is set */
/* Kernel: tty_update_time(): a terminal's times are those of the first byte in each 8 s, so that
 * nobody can watch a password being typed.  Late by that much, and never early. */
#define TERMINAL_STEP_S 8

enum watched {
	WATCH_DOOR,
	WATCH_APPLICATION,
	WATCH_SIGNAL,
	WATCH_INIT_SOCKET,
	WATCH_INIT,
	WATCH_LISTEN,
	WATCH_FIXED,
};

void isp_supervisor_init(struct isp_supervisor *s)
{
	*s = (struct isp_supervisor){
		.door_fd = -EBADF,
		.spec_fd = -EBADF,
		.application_fd = -EBADF,
		.directory_fd = -EBADF,
		.store = ISP_STORE_CLOSED,
		.entry = ISP_ENTRY_CLOSED,
		.host_ns_fd = -EBADF,
		.own_ns_fd = -EBADF,
		.userns_fd = -EBADF,
		.netns_fd = -EBADF,
		.init_fd = -EBADF,
		.init_pid_fd = -EBADF,
		.signal_fd = -EBADF,
	};
	for (size_t i = 0; i < ISP_CONNECTIONS_MAX; i++)
		s->connections[i].fd = s->connections[i].terminal_fd = -EBADF;
}

static void end_with(struct isp_supervisor *s, enum isp_end end)
{
	if (s->end == ISP_END_NONE)
		s->end = end;
}

/* The door is gone or has closed.  With on_logout = linger the container outlives it until its last
 * process has ended; the door is told at once, since the login is over. */
static void leave_door(struct isp_supervisor *s, enum isp_end why)
{
	struct isp_message closed = {.type = ISP_MESSAGE_CLOSED};

	if (s->spec.on_logout != ISP_LOGOUT_LINGER || (s->is_empty && !isp_tenants_is_joined(s))) {
		end_with(s, why);
		return;
	}
	s->is_lingering = true;
	isp_ignore(isp_message_send(s->door_fd, &closed, NULL, 0, MSG_DONTWAIT)); /* may be gone */
	isp_fd_close(&s->door_fd);
	isp_fd_close(&s->application_fd);
}

static uint32_t allowed_from_door(const struct isp_supervisor *s)
{
	uint32_t allowed = 1u << ISP_MESSAGE_CLOSE;

	return s->spec.runs_commands && !s->has_own ? allowed | 1u << ISP_MESSAGE_OWN : allowed;
}

static void from_door(struct isp_supervisor *s)
{
	struct isp_message message = {0};
	int fds[ISP_FDS_MAX];
	size_t count = 0;
	int r = isp_message_receive(s->door_fd, allowed_from_door(s), &message, fds, &count,
				    MSG_DONTWAIT);

	if (r == -EAGAIN)
		return;
	if (r == 1 && message.type == ISP_MESSAGE_OWN && count == 1) {
		isp_tenants_take_own(s, &fds[0]);
		return;
	}
	if (r == 1)
		isp_message_close_fds(fds, count);
	leave_door(s, r == 1 ? ISP_END_CLOSED : ISP_END_DOOR_GONE);
}

static int64_t min_ms(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* Ends the session or warns of it, as far as time has come. Return: when to look again. */
static int64_t check_max_session(struct isp_supervisor *s, int64_t now_ms)
{
	int64_t end_ms = s->ready_ms + (int64_t)s->spec.max_session_s * 1000;
	int64_t warn_ms = end_ms - WARNING_S * 1000;

	if (s->spec.max_session_s == 0)
		return ISP_NEVER;
	if (now_ms >= end_ms) {
		isp_tenants_notice(s, "the time limit of this session (max_session) is reached");
		end_with(s, ISP_END_MAX_SESSION);
	} else if (now_ms >= warn_ms && !s->is_warned) {
		isp_tenants_notice(s, "this session ends in a minute (max_session)");
		s->is_warned = true;
	}
	return s->is_warned ? end_ms : warn_ms > now_ms ? warn_ms : end_ms;
}

static int64_t check_idle(struct isp_supervisor *s, int64_t now_ms)
{
	int64_t since_s, idle_s;

	if (s->spec.idle_timeout_s == 0)
		return ISP_NEVER;
	since_s = isp_tenants_idle_since(s);
	idle_s = since_s == INT64_MAX ? 0 : (int64_t)time(NULL) - since_s;
	if (idle_s >= (int64_t)s->spec.idle_timeout_s + TERMINAL_STEP_S) {
		isp_tenants_notice(s, "nothing has happened here for too long (idle_timeout)");
		end_with(s, ISP_END_IDLE);
	}
	return now_ms + IDLE_STEP_MS;
}

/* Connections that have not asked for anything in time. */
static int64_t check_silent(struct isp_supervisor *s, int64_t now_ms)
{
	int64_t next = ISP_NEVER;

	for (size_t i = 0; i < ISP_CONNECTIONS_MAX; i++) {
		struct isp_connection *c = &s->connections[i];

		if (c->peer != ISP_PEER_SHELL && c->peer != ISP_PEER_ADMIN)
			continue;
		if (now_ms >= c->deadline_ms) {
			isp_fd_close(&c->fd);
			c->peer = ISP_PEER_FREE;
			continue;
		}
		next = min_ms(next, c->deadline_ms);
	}
	return next;
}

static int64_t check_time(struct isp_supervisor *s)
{
	int64_t now_ms = isp_clock_ms();
	int64_t next = check_max_session(s, now_ms);

	next = min_ms(next, check_idle(s, now_ms));
	return min_ms(next, check_silent(s, now_ms));
}

static size_t fill(struct isp_supervisor *s, struct pollfd *polls, struct isp_connection **slots)
{
	size_t count = WATCH_FIXED;

	polls[WATCH_DOOR] = (struct pollfd){.fd = s->door_fd, .events = POLLIN | POLLRDHUP};
	polls[WATCH_APPLICATION] = (struct pollfd){.fd = s->application_fd, .events = POLLIN};
	polls[WATCH_SIGNAL] = (struct pollfd){.fd = s->signal_fd, .events = POLLIN};
	polls[WATCH_INIT_SOCKET] = (struct pollfd){.fd = s->init_fd, .events = POLLIN};
	polls[WATCH_INIT] = (struct pollfd){.fd = s->init_pid_fd, .events = POLLIN};
	polls[WATCH_LISTEN] = (struct pollfd){.fd = s->entry.listen_fd, .events = POLLIN};
	for (size_t i = 0; i < ISP_CONNECTIONS_MAX; i++) {
		if (s->connections[i].fd < 0)
			continue;
		slots[count] = &s->connections[i];
		polls[count++] = (struct pollfd){.fd = s->connections[i].fd, .events = POLLIN};
	}
	return count;
}

static void take_signal(struct isp_supervisor *s)
{
	struct signalfd_siginfo info;

	if (read(s->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		end_with(s, ISP_END_KILLED);
}

static void serve(struct isp_supervisor *s, const struct pollfd *polls,
		  struct isp_connection **slots, size_t count)
{
	/* Order: init first, so that an exit status is passed on before its end is noticed. */
	if (polls[WATCH_INIT_SOCKET].revents && !isp_tenants_from_init(s))
		return;
	if (s->is_own_over && s->door_fd >= 0)
		leave_door(s, ISP_END_CLOSED);
	for (size_t i = WATCH_FIXED; i < count; i++)
		/* The slot may have been given up meanwhile. */
		if (polls[i].revents && slots[i]->fd == polls[i].fd)
			isp_tenants_from_peer(s, slots[i]);
	if (polls[WATCH_LISTEN].revents)
		isp_tenants_accept(s);
	if (polls[WATCH_DOOR].revents && s->door_fd >= 0)
		from_door(s);
	if (polls[WATCH_APPLICATION].revents && s->application_fd >= 0)
		leave_door(s, ISP_END_APPLICATION);
	if (polls[WATCH_SIGNAL].revents)
		take_signal(s);
	if (polls[WATCH_INIT].revents && !polls[WATCH_INIT_SOCKET].revents)
		end_with(s, ISP_END_INIT);
	if (s->is_lingering && s->is_empty && !isp_tenants_is_joined(s))
		end_with(s, ISP_END_EMPTY);
}

void isp_session_admit(struct isp_supervisor *s)
{
	if (s->spec.runs_commands)
		from_door(s);
}

void isp_session_supervise(struct isp_supervisor *s)
{
	struct pollfd polls[WATCH_FIXED + ISP_CONNECTIONS_MAX];
	struct isp_connection *slots[WATCH_FIXED + ISP_CONNECTIONS_MAX];

	while (s->end == ISP_END_NONE) {
		int64_t next = check_time(s);
		size_t count = fill(s, polls, slots);

		if (s->end != ISP_END_NONE)
			break;
		if (poll(polls, count, isp_clock_left(next)) > 0)
			serve(s, polls, slots, count);
	}
}
