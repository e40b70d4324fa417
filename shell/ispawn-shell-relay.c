/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ispawn-shell-relay.c - the loop between OPEN and the end
 *
 * Three kinds of events: bytes (relay.h), signals sent to us, messages of the supervisor.  Signals
 * are blocked and read from a signalfd, so that nothing here runs at a moment it did not choose.
 * Everything the supervisor passes on from init is hostile: types are taken by state, the pty is
 * checked for what it is, texts are escaped.
 */
#include "ispawn-shell.h"

#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

enum state {
	STATE_ASKED,   /* OPEN is sent */
	STATE_RUNNING, /* STARTED has come */
	STATE_ENDING,  /* nothing more will come; the last bytes are on their way out */
};

static const uint32_t accepted[] = {
	[STATE_ASKED] =
		1u << ISP_MESSAGE_STARTED | 1u << ISP_MESSAGE_REFUSED | 1u << ISP_MESSAGE_NOTICE,
	[STATE_RUNNING] = 1u << ISP_MESSAGE_EXITED | 1u << ISP_MESSAGE_NOTICE,
	[STATE_ENDING] = 0,
};

/* What is passed on as it is.  SIGWINCH, SIGTSTP and SIGCONT are about our own terminal. */
static const int forwarded[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};

struct loop {
	struct shell *shell;
	struct ending *ending;
	enum state state;
	bool is_over;
};

static void relay_signals(sigset_t *ret_set)
{
	(void)sigemptyset(ret_set);
	for (size_t i = 0; i < ISP_ARRAY_SIZE(forwarded); i++)
		(void)sigaddset(ret_set, forwarded[i]);
	(void)sigaddset(ret_set, SIGWINCH);
	(void)sigaddset(ret_set, SIGTSTP);
	(void)sigaddset(ret_set, SIGCONT);
}

int relay_open_signals(struct shell *shell)
{
	sigset_t set;

	/* A signal that was ignored when we were started (nohup) stays so: it never gets here. */
	relay_signals(&set);
	if (sigprocmask(SIG_SETMASK, &set, NULL) != 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return -errno;
	shell->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return shell->signal_fd < 0 ? -errno : 0;
}

/* The tenant is done, one way or another: what it has written still goes out, what comes in goes
 * nowhere. */
static void end(struct loop *loop, enum outcome outcome, int value)
{
	struct isp_channel *channels = loop->shell->channels;

	loop->state = STATE_ENDING;
	loop->ending->outcome = outcome;
	loop->ending->value = value;
	isp_channel_close(&channels[CHANNEL_INPUT]);
	for (size_t i = CHANNEL_INPUT + 1; i < CHANNEL_COUNT; i++)
		isp_channel_last_call(&channels[i]);
}

/* Nobody is left to write for: leave at once; our end of the connection tells the supervisor. */
static void leave(struct loop *loop)
{
	loop->ending->outcome = OUTCOME_HANGUP;
	loop->is_over = true;
}

/* --- signals ---------------------------------------------------------------------------------- */

static void forward(struct loop *loop, int number)
{
	struct isp_message message = {.type = ISP_MESSAGE_SIGNAL, .value = number};
	int r;

	/* The tenant is gone and its last words meet a terminal that takes none: so be it. */
	if (loop->state == STATE_ENDING) {
		loop->is_over = true;
		return;
	}
	/* EAGAIN is a stuck supervisor's: the signal is lost, as it is on a stuck process. */
	r = isp_message_send(loop->shell->connection_fd, &message, NULL, 0, MSG_DONTWAIT);
	if (r < 0 && r != -EAGAIN)
		end(loop, OUTCOME_LOST, 0);
}

static void stop_ourselves(struct terminal *terminal)
{
	terminal_restore(terminal);
	(void)kill(getpid(), SIGSTOP);
}

/* Also after a SIGSTOP that we did not see: the size and the modes may be others by now. */
static void go_on(struct loop *loop)
{
	struct shell *shell = loop->shell;

	if (loop->state != STATE_RUNNING)
		return;
	terminal_make_raw(&shell->terminal);
	terminal_resize(&shell->terminal, shell->primary_fd);
}

static void take_signal(struct loop *loop)
{
	struct signalfd_siginfo info;

	if (read(loop->shell->signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	switch ((int)info.ssi_signo) {
	case SIGWINCH:
		terminal_resize(&loop->shell->terminal, loop->shell->primary_fd);
		break;
	case SIGTSTP:
		stop_ourselves(&loop->shell->terminal);
		break;
	case SIGCONT:
		go_on(loop);
		break;
	default:
		forward(loop, (int)info.ssi_signo);
		if (info.ssi_signo == SIGHUP)
			leave(loop);
	}
}

/* --- messages --------------------------------------------------------------------------------- */

/* Return: 0; -EPROTO not a pty where there must be one, or the other way round. */
static int started(struct loop *loop, int *fds, size_t fd_count)
{
	struct shell *shell = loop->shell;
	bool wants_pty = shell->terminal.fd >= 0;
	struct isp_error err = {0};

	if (wants_pty != (fd_count > 0) || (wants_pty && !terminal_is_primary(fds[0])))
		return -EPROTO;
	if (wants_pty)
		shell->primary_fd = steal_fd(&fds[0]);
	if (streams_connect(shell, &err) < 0)
		return -err.code;
	loop->state = STATE_RUNNING;
	go_on(loop);
	return 0;
}

/* To a terminal at once; elsewhere a word of ours would break scp or rsync, so there it is kept: it
 * is only said when the tenant ends on it. */
static void noticed(struct loop *loop, const char *text)
{
	char escaped[ISP_MESSAGE_TEXT_SIZE * 2];

	if (loop->shell->terminal.fd < 0) {
		memcpy(loop->ending->notice, text, sizeof(loop->ending->notice));
		return;
	}
	isp_escape(escaped, sizeof(escaped), text);
	shell_say(loop->shell, "%s", escaped);
}

static void hear(struct loop *loop)
{
	struct isp_message message = {0};
	int fds[ISP_FDS_MAX];
	size_t fd_count = 0;
	int r = isp_message_receive(loop->shell->connection_fd, accepted[loop->state], &message,
				    fds, &fd_count, MSG_DONTWAIT);

	/* Kernel: unix(7): a peer that closes with our OPEN unread resets us once, before what it
	 * has sent: "no more programs", say. */
	if (r == -ECONNRESET)
		r = isp_message_receive(loop->shell->connection_fd, accepted[loop->state], &message,
					fds, &fd_count, MSG_DONTWAIT);
	if (r == -EAGAIN)
		return;
	if (r <= 0) {
		end(loop, OUTCOME_LOST, 0);
		return;
	}
	if (message.type == ISP_MESSAGE_STARTED && started(loop, fds, fd_count) < 0)
		end(loop, OUTCOME_LOST, 0);
	if (message.type == ISP_MESSAGE_REFUSED) {
		(void)isp_err_adopt(&loop->ending->error, &message.error);
		end(loop, OUTCOME_REFUSED, message.value);
	}
	if (message.type == ISP_MESSAGE_NOTICE)
		noticed(loop, message.text);
	if (message.type == ISP_MESSAGE_EXITED)
		end(loop, OUTCOME_EXITED, message.value);
	isp_message_close_fds(fds, fd_count);
}

/* --- the loop --------------------------------------------------------------------------------- */

static bool has_open_channels(const struct shell *shell)
{
	for (size_t i = 0; i < CHANNEL_COUNT; i++)
		if (shell->channels[i].is_open)
			return true;
	return false;
}

static void turn(struct loop *loop)
{
	enum { SIGNALS, CONNECTION, CHANNELS };
	struct pollfd polled[CHANNELS + 2 * CHANNEL_COUNT];
	struct shell *shell = loop->shell;
	bool is_ready = false;

	polled[SIGNALS] = (struct pollfd){.fd = shell->signal_fd, .events = POLLIN};
	polled[CONNECTION] = (struct pollfd){
		.fd = loop->state == STATE_ENDING ? -1 : shell->connection_fd, .events = POLLIN};
	for (size_t i = 0; i < CHANNEL_COUNT; i++)
		if (isp_channel_prepare(&shell->channels[i], &polled[CHANNELS + 2 * i]))
			is_ready = true;
	if (poll(polled, ISP_ARRAY_SIZE(polled), is_ready ? 0 : -1) < 0)
		return; /* EINTR: nothing is handled, but we may have been stopped and continued */
	if (polled[SIGNALS].revents)
		take_signal(loop);
	if (polled[CONNECTION].revents)
		hear(loop);
	for (size_t i = 0; i < CHANNEL_COUNT; i++)
		isp_channel_move(&shell->channels[i], &polled[CHANNELS + 2 * i]);
	if (shell->terminal.is_input && isp_channel_source_ended(&shell->channels[CHANNEL_INPUT]))
		leave(loop);
}

void relay_run(struct shell *shell, struct ending *ret_ending)
{
	struct loop loop = {.shell = shell, .ending = ret_ending, .state = STATE_ASKED};

	while (!loop.is_over) {
		turn(&loop);
		if (loop.state == STATE_ENDING && !has_open_channels(shell))
			loop.is_over = true;
	}
}

void relay_refuse(const struct isp_error *err, struct ending *ret_ending)
{
	ret_ending->error = *err;
	ret_ending->outcome = OUTCOME_REFUSED;
	ret_ending->value = STATUS_OURS;
}

void relay_tenant(struct shell *shell, const bool is_closed[ISP_REQUEST_STREAMS], int argc,
		  char **argv, struct ending *ret_ending)
{
	struct isp_error err = {0};
	int r = relay_open_signals(shell);

	if (r < 0)
		(void)isp_err_set(&err, -r, ISP_STAGE_TENANT, "signalfd");
	else
		r = streams_plan(shell, is_closed, &err);
	if (r == 0)
		r = streams_ask(shell, argc, argv, &err);
	if (r == 0)
		relay_run(shell, ret_ending);
	else
		relay_refuse(&err, ret_ending);
}
