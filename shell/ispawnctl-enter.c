/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ispawnctl-enter.c - `ispawnctl enter`: a program in a session that runs, for the administrator
 *
 * Nothing of this process enters the container: it holds the host's rights.  The session's own init
 * starts one more tenant, asked for through the supervisor's socket as ispawn-shell does, with the
 * rights that every tenant has; with --root, ispawn-enter starts one (ispawnctl-join.c).  What is
 * left to do here is to stand in for it: bytes, window size, signals, exit status.
 *
 * Threat: all that comes out of the container, see ispawn-shell-relay.c.  And what could go in:
 *	the terminal	stays here; the tenant's pty is made inside (TIOCSTI, CVE-2017-5226)
 *	descriptors	none of ours travels: pipes are made for the tenant, whatever 0, 1, 2 are
 *	environment	the locale and the terminal's type; the administrator's other variables may
 *			hold his secrets, and the request is init's to read
 *	arguments	are the command's
 */
#include "ispawnctl-enter.h"

#include "ispawn/base/clock.h"
#include "ispawn/base/log.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#define ANSWER_MS 15000
#define COMMAND_LOG_SIZE 200 /* bytes of a command in the log */
#define LOGINUID_TEXT_MAX 32

/* A trailing '*' stands for any ending. */
static const char *const kept_variables[] = {
	"TERM", "COLORTERM", "NO_COLOR", "LANG", "LANGUAGE", "LC_*", "TZ",
};

/* --- which session ---------------------------------------------------------------------------- */

static bool is_exactly(const struct isp_listed *session, const char *name)
{
	return strcmp(session->id, name) == 0;
}

static bool is_of_user(const struct isp_listed *session, const char *name)
{
	return strcmp(isp_spec_owner_name(&session->spec), name) == 0;
}

static bool has_prefix(const struct isp_listed *session, const char *name)
{
	return strncmp(session->id, name, strlen(name)) == 0;
}

/* What a name may mean, the surest first: a user named like the beginning of another's id. */
static bool (*const meanings[])(const struct isp_listed *session, const char *name) = {
	is_exactly,
	is_of_user,
	has_prefix,
};

static void say_candidates(const struct sessions *sessions, size_t meaning, const char *name)
{
	char escaped[2 * ISP_SESSION_ID_SIZE], service[64], rhost[128];

	isp_escape(escaped, sizeof(escaped), name);
	say("\"%s\" is more than one session; say which:", escaped);
	for (size_t i = 0; i < sessions->count; i++) {
		const struct isp_listed *session = &sessions->items[i];

		if (!meanings[meaning](session, name))
			continue;
		isp_escape(service, sizeof(service), session->spec.service);
		isp_escape(rhost, sizeof(rhost), session->spec.rhost);
		(void)fprintf(stderr, "  %s  %s%s%s%s\n", session->id, service,
			      rhost[0] ? " from " : "", rhost, session->is_live ? "" : "  dead");
	}
}

/* Return: the session; NULL, with the reason said. */
static const struct isp_listed *choose(const struct sessions *sessions, const char *name)
{
	const struct isp_listed *found = NULL;
	char escaped[2 * ISP_SESSION_ID_SIZE];
	size_t meaning = 0, count = 0;

	for (; meaning < ISP_ARRAY_SIZE(meanings) && name[0]; meaning++) {
		for (size_t i = 0; i < sessions->count; i++)
			if (meanings[meaning](&sessions->items[i], name)) {
				found = &sessions->items[i];
				count++;
			}
		if (count > 0)
			break;
	}
	if (count > 1) {
		say_candidates(sessions, meaning, name);
		return NULL;
	}
	if (found && found->is_live)
		return found;
	isp_escape(escaped, sizeof(escaped), name);
	if (found)
		say("nothing runs in session %s any more: its supervisor is dead", found->id);
	else
		say("no session's id begins with \"%s\", and no user of that name has a session",
		    escaped);
	return NULL;
}

/* --- what is told ----------------------------------------------------------------------------- */

/* Who logged in, whatever he has become since (sudo): 4294967295 when nobody did. */
static unsigned int login_uid(void)
{
	cleanup_free char *text = NULL;
	uint64_t uid = UINT32_MAX;

	if (isp_fd_read_file(AT_FDCWD, "/proc/self/loginuid", LOGINUID_TEXT_MAX, &text) == 0) {
		text[strcspn(text, "\n")] = '\0';
		isp_ignore(isp_parse_u64(text, 0, UINT32_MAX, &uid)); /* stays nobody */
	}
	return (unsigned int)uid;
}

/* One line, whatever becomes of it: who went in, and as what. */
static void log_entry(const struct entry_wish *wish)
{
	struct isp_line line = {0};
	char command[ISP_MESSAGE_TEXT_SIZE] = "";

	streams_describe(command, wish->command_count, wish->command);
	isp_line_add(&line, "session", "%s", wish->session->id);
	isp_line_add(&line, "event", "enter");
	isp_line_add(&line, "loginuid", "%u", login_uid());
	isp_line_add(&line, "root", "%s", wish->is_root ? "yes" : "no");
	isp_line_quote(&line, "command", command, COMMAND_LOG_SIZE);
	isp_log_open("ispawnctl");
	isp_log(LOG_NOTICE, &line);
}

static int fail(const struct isp_error *err)
{
	(void)say_error(err); /* whose status is that of the other verbs */
	return STATUS_OURS;
}

static int tell_refused(const struct entry_wish *wish, const struct ending *ending)
{
	char command[80], escaped[ISP_ERROR_TEXT_SIZE * 2];
	bool is_about_command = ending->value == 126 || ending->value == 127;

	isp_escape(escaped, sizeof(escaped), ending->error.text);
	if (is_about_command && wish->command_count > 0)
		isp_escape(command, sizeof(command), wish->command[0]);
	say("%s: %s", is_about_command && wish->command_count > 0 ? command : escaped,
	    strerror(ending->error.code));
	return is_about_command ? ending->value : STATUS_OURS;
}

static int tell(const struct entry_wish *wish, const struct ending *ending)
{
	char escaped[ISP_MESSAGE_TEXT_SIZE * 2];

	if (ending->notice[0]) {
		isp_escape(escaped, sizeof(escaped), ending->notice);
		say("%s", escaped);
	}
	switch (ending->outcome) {
	case OUTCOME_EXITED:
		if (WIFEXITED(ending->value))
			return WEXITSTATUS(ending->value);
		return WIFSIGNALED(ending->value) ? 128 + WTERMSIG(ending->value) : STATUS_OURS;
	case OUTCOME_REFUSED:
		return tell_refused(wish, ending);
	case OUTCOME_HANGUP:
		return 128 + SIGHUP;
	case OUTCOME_LOST:
		break;
	}
	say("session %s has ended", wish->session->id);
	return STATUS_OURS;
}

/* --- the relay -------------------------------------------------------------------------------- */

static bool is_kept(const char *entry)
{
	size_t length = strcspn(entry, "=");

	for (size_t i = 0; i < ISP_ARRAY_SIZE(kept_variables); i++) {
		const char *name = kept_variables[i];
		size_t size = strlen(name);

		if (name[size - 1] == '*' ? length >= size - 1 && !strncmp(entry, name, size - 1)
					  : length == size && !strncmp(entry, name, size))
			return true;
	}
	return false;
}

static void forget_environment(void)
{
	char **to = environ;

	for (char **from = environ; *from; from++)
		if (is_kept(*from))
			*to++ = *from;
	*to = NULL;
}

/* Kernel: user_namespaces(7): uid 0 of the container is another one outside, which only init's map
 * tells; a pipe that nobody inside owns can be used there, and not be opened again by name. */
static uid_t owner_of_pipes(const struct entry_wish *wish)
{
	const struct isp_spec *spec = &wish->session->spec;
	bool is_mapped = wish->is_root || spec->privilege == ISP_PRIVILEGE_ROOT ||
			 spec->owner != ISP_OWNER_USER;

	return is_mapped ? wish->root_uid : spec->uid;
}

/* A supervisor that hangs would hold the administrator, too. */
static int await_answer(int connection_fd, struct isp_error *err)
{
	struct pollfd answer = {.fd = connection_fd, .events = POLLIN};
	int64_t deadline_ms = isp_clock_ms() + ANSWER_MS;
	int r;

	do
		r = poll(&answer, 1, isp_clock_left(deadline_ms));
	while (r < 0 && errno == EINTR);
	if (r > 0)
		return 0;
	return isp_err_set(err, r < 0 ? errno : ETIMEDOUT, ISP_STAGE_TENANT,
			   "the session does not answer");
}

static void relay(const struct entry_wish *wish, struct shell *shell, const bool *is_closed,
		  struct ending *ret_ending)
{
	static char login_shell[] = "-";
	char *login[] = {login_shell, NULL};
	struct isp_error err = {0};
	int r = streams_plan(shell, is_closed, &err);

	shell->is_command = wish->command_count > 0;
	if (r == 0)
		r = streams_ask(shell, shell->is_command ? wish->command_count : 1,
				shell->is_command ? wish->command : login, &err);
	/* Order: before the signals are the relay's, so that the wait can be interrupted. */
	if (r == 0)
		r = await_answer(shell->connection_fd, &err);
	if (r == 0 && (r = relay_open_signals(shell)) < 0)
		(void)isp_err_set(&err, -r, ISP_STAGE_TENANT, "signalfd");
	if (r == 0)
		relay_run(shell, ret_ending);
	else
		relay_refuse(&err, ret_ending);
}

static int enter(struct entry_wish *wish, const bool *is_closed)
{
	static struct shell shell; /* zeroed: what no channel uses is never touched */
	static struct ending ending;
	struct isp_error err = {0};
	int r;

	shell.connection_fd = shell.signal_fd = shell.primary_fd = shell.terminal.fd = -EBADF;
	shell.door_fd = -EBADF;
	shell.keeps_streams = true;
	memcpy(shell.session, wish->session->id, sizeof(shell.session));
	log_entry(wish);
	r = sessions_connect(wish->session->id, &shell.connection_fd);
	if (r < 0)
		(void)isp_err_set(&err, -r, ISP_STAGE_TENANT, "reach the supervisor of session %s",
				  wish->session->id);
	if (r == 0 && wish->is_root)
		r = join_start(wish, &shell.connection_fd, &err);
	if (r < 0)
		return fail(&err);
	shell.pipe_uid = owner_of_pipes(wish);
	forget_environment();
	relay(wish, &shell, is_closed, &ending);
	terminal_restore(&shell.terminal);
	isp_fd_close(&shell.connection_fd);
	join_end(wish);
	return tell(wish, &ending);
}

int enter_run(int argc, char **argv)
{
	cleanup_sessions struct sessions sessions = {.count = 0};
	struct entry_wish wish = ENTRY_WISH_EMPTY;
	bool is_closed[ISP_REQUEST_STREAMS];
	struct isp_error err = {0};

	/* Order: first, so that no descriptor of ours can become a standard one. */
	if (streams_hold(is_closed) < 0)
		return STATUS_OURS;
	if (argc > 0 && strcmp(argv[0], "--root") == 0) {
		wish.is_root = true;
		argc--;
		argv++;
	}
	if (argc > 0 && argv[0][0] == '-')
		return refuse_argument("enter", argv[0]);
	if (argc < 1) {
		say("enter needs a session's id or a user's name; see ispawnctl --help");
		return STATUS_USAGE;
	}
	wish.command = argv + 1;
	wish.command_count = argc - 1;
	if (sessions_collect(&sessions, &err) < 0)
		return fail(&err);
	wish.session = choose(&sessions, argv[0]);
	return wish.session ? enter(&wish, is_closed) : STATUS_OURS;
}
