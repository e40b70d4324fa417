/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ispawnctl - what the administrator does to sessions
 *
 * Runs as host root.  It has no daemon to talk to: the registry under /run is what it reads, each
 * session's own supervisor is what it asks.  This file is the table of verbs and the usage text
 * that comes from it; each verb is a file.
 */
#include "ispawnctl.h"

#include "ispawn/base/fd.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *name;
	const char *arguments;
	const char *help;
	int (*run)(int argc, char **argv);
} verbs[] = {
	{"list", "[--json]", "show the sessions and what they use", list_run},
	{"top", "[--once] [--interval SECONDS] [--json]",
	 "show what the sessions use now, the busiest first", top_run},
	{"kill", "ID|USER", "end one session, or all sessions of a user", kill_run},
	{"log", "[USER] [-f|--follow]", "show what the system log holds about sessions", log_run},
	{"enter", "[--root] ID|USER [COMMAND [ARG...]]", "run a command or a shell in a session",
	 enter_run},
	{"check", "[--config PATH]", "try whether configuration and machine can hold containers",
	 check_run},
	{"explain", "USER [--service S] [--from ADDRESS] [--json]",
	 "what applies to a user, and where each way in ends", explain_run},
	{"audit", "[--json]", "show who can log in and is not confined, and why", audit_run},
	{"doctor", "[--prove USER [--identity FILE]]",
	 "check all that logins depend on; try logins and look around in them", doctor_run},
	{"gc", "", "clean up after sessions whose supervisor died", gc_run},
};

void say(const char *fmt, ...)
{
	va_list args;

	(void)fflush(stdout); /* Ignored, all: what cannot be said cannot be reported either */
	(void)fputs("ispawnctl: ", stderr);
	va_start(args, fmt);
	(void)vfprintf(stderr, fmt, args);
	va_end(args);
	(void)fputc('\n', stderr);
}

int say_error(const struct isp_error *err)
{
	char words[ISP_ERROR_TEXT_SIZE + 100];

	isp_err_describe(err, words, sizeof(words));
	say("%s", words);
	return STATUS_FAILED;
}

int refuse_argument(const char *verb, const char *argument)
{
	char escaped[80];

	isp_escape(escaped, sizeof(escaped), argument);
	say("%s takes no \"%s\"; see ispawnctl --help", verb, escaped);
	return STATUS_USAGE;
}

static void print_usage(FILE *out)
{
	(void)fputs("usage: ispawnctl VERB [ARGUMENT...]\n\n", out); /* Ignored: see finish() */
	for (size_t i = 0; i < ISP_ARRAY_SIZE(verbs); i++)
		(void)fprintf(out, "  %s %s\n        %s\n", verbs[i].name, verbs[i].arguments,
			      verbs[i].help);
	(void)fputs("\n  --help                  this text\n"
		    "\nExit status: 0 done, 1 failed or nothing found, 2 wrong arguments; of "
		    "enter: the\n"
		    "command's, 126 and 127 as a shell gives them, 125 our own failure.\n",
		    out);
}

/* A list that did not reach its reader whole is not a list. */
static int finish(int status)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	say("the output could not be written");
	return STATUS_FAILED;
}

int main(int argc, char **argv)
{
	/* A reader that has seen enough (head) must not end a sweep half way. */
	(void)signal(SIGPIPE, SIG_IGN); /* Ignored: cannot fail for this signal */
	if (argc < 2) {
		print_usage(stderr);
		return STATUS_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0) {
		print_usage(stdout);
		return finish(STATUS_OK);
	}
	if (geteuid() != 0) {
		say("must be run as root");
		return STATUS_FAILED;
	}
	for (size_t i = 0; i < ISP_ARRAY_SIZE(verbs); i++)
		if (strcmp(argv[1], verbs[i].name) == 0)
			return finish(verbs[i].run(argc - 2, argv + 2));
	return refuse_argument("ispawnctl", argv[1]);
}
