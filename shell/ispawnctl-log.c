/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ispawnctl-log.c - `ispawnctl log`: what the system log holds about sessions
 *
 * Read from journald where it runs, by journalctl, else from the file that the syslog daemon writes
 * authpriv to.  The journal knows who sent a line, so that root's alone are taken; a file does not.
 *
 * Threat: lines that others have a hand in.  A name that somebody tried to log in with stands in
 * sshd's lines, whatever it holds: a line is ours by the program's name in front, or the module's
 * at the very beginning of the text, never by what stands further in.  And all of it is printed
 * escaped (pitfall 41).
 */
#include "ispawnctl.h"

#include "ispawn/base/fd.h"
#include "ispawn/base/path.h"
#include "ispawn/base/sys.h"

#include <ctype.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define JOURNAL_SOCKET "/run/systemd/journal/socket"
#define LOOK_MS 250 /* how often a file that is followed is looked at */

static const char *const journalctls[] = {"/usr/bin/journalctl", "/bin/journalctl"};
static const char *const files[] = {"/var/log/auth.log", "/var/log/secure", "/var/log/messages"};
static const char *const programs[] = {"ispawn-supervisor", "ispawn-door", "ispawnctl"};

/* struct wish - @user: NULL for all */
struct wish {
	const char *user;
	bool is_followed;
};

/* --- which lines ------------------------------------------------------------------------------ */

static const char *skip_words(const char *at, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		at += strcspn(at, " ");
		at += strspn(at, " ");
	}
	return at;
}

static bool is_program(const char *tag, size_t size)
{
	for (size_t i = 0; i < ISP_ARRAY_SIZE(programs); i++)
		if (strlen(programs[i]) == size && strncmp(programs[i], tag, size) == 0)
			return true;
	return false;
}

/* `TIME HOST PROGRAM[PID]: TEXT`, where TIME is one word (ISO 8601) or three (`Nov 25 13:00:00`).
 * Return: our text; NULL when the line is somebody else's. */
static const char *find_text(const char *line)
{
	static const char module[] = "pam_ispawn(";
	const char *tag = skip_words(line, isdigit((unsigned char)line[0]) ? 2 : 4);
	size_t size = strcspn(tag, "[: ");
	const char *text = tag + size;

	/* Threat: journalctl(1) indents what follows a newline in somebody else's text. */
	if (line[0] == ' ')
		return NULL;
	if (*text == '[')
		text += strcspn(text, "]") + (strchr(text, ']') != NULL);
	if (strncmp(text, ": ", 2) != 0)
		return NULL;
	text += 2;
	if (is_program(tag, size))
		return text;
	if (strncmp(text, module, sizeof(module) - 1) != 0)
		return NULL;
	text = strstr(text, "): ");
	return text ? text + 3 : NULL;
}

/* `session=USER.HEX8 ...`, or for a login that was denied before it had an id `session=-
 * user="..."` Threat: a user named "a" and the sessions of "a.b" or "ab": the whole name counts. */
static bool is_of(const char *text, const char *user)
{
	static const char word[] = "session=", nobody[] = "- user=\"";
	char id[ISP_SESSION_ID_SIZE] = "", escaped[4 * ISP_NAME_MAX + 1];
	size_t size;

	if (strncmp(text, word, sizeof(word) - 1) != 0)
		return false;
	text += sizeof(word) - 1;
	if (strncmp(text, nobody, sizeof(nobody) - 1) == 0) {
		text += sizeof(nobody) - 1;
		isp_escape(escaped, sizeof(escaped), user);
		size = strlen(escaped);
		return strncmp(text, escaped, size) == 0 && text[size] == '"';
	}
	size = strcspn(text, " ");
	if (size >= sizeof(id))
		return false;
	memcpy(id, text, size);
	return isp_session_id_is_valid(id) && size == strlen(user) + 9 &&
	       strncmp(id, user, strlen(user)) == 0;
}

static void print_line(const char *line)
{
	for (; *line && *line != '\n'; line++)
		if ((unsigned char)*line < ' ' || (unsigned char)*line > '~')
			(void)printf("\\x%02x", (unsigned char)*line);
		else
			(void)putchar(*line);
	(void)putchar('\n');
}

static void take_line(const struct wish *wish, const char *line)
{
	const char *text = find_text(line);

	if (text && (!wish->user || is_of(text, wish->user)))
		print_line(line);
}

/* Until the end of the file; a line without its end is left for the next time. */
static void take_lines(const struct wish *wish, FILE *in)
{
	cleanup_free char *line = NULL;
	size_t room = 0;
	ssize_t size;

	clearerr(in);
	while (!ferror(stdout) && (size = getline(&line, &room, in)) > 0) {
		if (line[size - 1] != '\n' && wish->is_followed) {
			(void)fseeko(in, -(off_t)size, SEEK_CUR); /* Ignored: a pipe has ended */
			return;
		}
		take_line(wish, line);
		/* Order: who follows sees each line as it comes, from a pipe that stays open. */
		if (wish->is_followed)
			(void)fflush(stdout);
	}
}

/* --- journald --------------------------------------------------------------------------------- */

static bool has_journal(void)
{
	struct stat st;

	return stat(JOURNAL_SOCKET, &st) == 0 && S_ISSOCK(st.st_mode);
}

static const char *find_journalctl(struct isp_error *err)
{
	for (size_t i = 0; i < ISP_ARRAY_SIZE(journalctls); i++) {
		cleanup_close int fd = -EBADF;

		*err = (struct isp_error){0};
		if (isp_path_open_trusted(journalctls[i], O_PATH, ISP_STAGE_START, &fd, err) == 0)
			return journalctls[i];
	}
	return NULL;
}

/* No shell, and none of the variables by which journalctl starts a pager.  PAM's lines come under
 * the application's name: by their facility, authpriv, they are all here. */
static _Noreturn void be_journalctl(const char *path, bool is_followed, int out_fd)
{
	const char *const argv[] = {path,
				    "--quiet",
				    "--no-pager",
				    "--output=short-iso",
				    "_UID=0",
				    "SYSLOG_FACILITY=10",
				    "+",
				    "_UID=0",
				    "SYSLOG_IDENTIFIER=ispawn-supervisor",
				    "SYSLOG_IDENTIFIER=ispawn-door",
				    "SYSLOG_IDENTIFIER=ispawnctl",
				    "--no-tail",
				    is_followed ? "--follow" : NULL,
				    NULL};
	const char *zone = getenv("TZ");
	char zone_variable[128];
	char *envp[] = {NULL, NULL};
	char *const *arguments;
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	/* execve(2) takes what it does not change as not const, for compatibility only. */
	memcpy(&arguments, &(const char *const *){argv}, sizeof(arguments));
	(void)snprintf(zone_variable, sizeof(zone_variable), "TZ=%s", zone ? zone : "");
	envp[0] = zone ? zone_variable : NULL;
	(void)signal(SIGPIPE, SIG_DFL); /* Ignored: cannot fail for this signal */
	if (null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0 || dup2(out_fd, STDOUT_FILENO) < 0 ||
	    isp_sys_close_range(STDERR_FILENO + 1, ~0u, 0) != 0 ||
	    prctl(PR_SET_PDEATHSIG, SIGTERM) != 0)
		_exit(125);
	(void)execve(path, arguments, envp);
	_exit(127);
}

static int await_journalctl(pid_t pid, bool is_cut)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	/* It has no reader any more when ours has gone: that is no failure of its own. */
	if (is_cut || status == 0)
		return STATUS_OK;
	say("journalctl failed; it has said why, or wait status %d does", status);
	return STATUS_FAILED;
}

static int read_journal(const struct wish *wish)
{
	struct isp_error err = {0};
	const char *path = find_journalctl(&err);
	struct wish piped = *wish;
	int ends[2];
	bool is_cut;
	pid_t pid;
	FILE *in;

	if (!path)
		return say_error(&err);
	(void)fflush(stdout); /* Ignored: or else the child would have the same lines to flush */
	if (pipe2(ends, O_CLOEXEC) != 0 || !(in = fdopen(ends[0], "r"))) {
		say("a pipe for journalctl: %s", strerror(errno));
		return STATUS_FAILED;
	}
	pid = fork();
	if (pid == 0)
		be_journalctl(path, wish->is_followed, ends[1]);
	isp_fd_close(&ends[1]);
	if (pid > 0)
		take_lines(&piped, in);
	is_cut = ferror(stdout) != 0;
	(void)fclose(in); /* Ignored: nothing was written; it ends journalctl, too */
	if (pid > 0)
		return await_journalctl(pid, is_cut);
	say("fork: %s", strerror(errno));
	return STATUS_FAILED;
}

/* --- files ------------------------------------------------------------------------------------ */

/* A daemon's directory may belong to its group: no link is followed, nothing else is waited for. */
static FILE *open_file(const char *path)
{
	cleanup_close int fd =
		open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;
	FILE *in;

	if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return NULL;
	in = fdopen(fd, "r");
	if (in)
		(void)steal_fd(&fd);
	return in;
}

/* Rotated away, or emptied. */
static bool is_another(const char *path, FILE *in)
{
	struct stat here, there;

	if (fstat(fileno(in), &here) != 0 || stat(path, &there) != 0)
		return false; /* not made anew yet */
	return here.st_ino != there.st_ino || here.st_dev != there.st_dev ||
	       here.st_size < ftello(in);
}

/* Return: false when nobody reads any more. */
static bool pause_for_more(void)
{
	struct pollfd reader = {.fd = STDOUT_FILENO};

	(void)fflush(stdout);
	return poll(&reader, 1, LOOK_MS) <= 0 && !ferror(stdout);
}

static void follow(const struct wish *wish, const char *path, FILE **in)
{
	while (pause_for_more()) {
		take_lines(wish, *in);
		if (is_another(path, *in)) {
			FILE *next = open_file(path);

			if (!next)
				continue;
			(void)fclose(*in); /* Ignored: nothing was written */
			*in = next;
			take_lines(wish, *in);
		}
	}
}

/* What was rotated away last comes first, as far as it is not compressed yet. */
static void read_rotated(const struct wish *wish, const char *path)
{
	const struct wish whole = {.user = wish->user};
	char rotated[64];
	FILE *in;

	(void)snprintf(rotated, sizeof(rotated), "%s.1", path); /* fits */
	in = open_file(rotated);
	if (!in)
		return;
	take_lines(&whole, in);
	(void)fclose(in); /* Ignored: nothing was written */
}

static int read_files(const struct wish *wish)
{
	for (size_t i = 0; i < ISP_ARRAY_SIZE(files); i++) {
		FILE *in = open_file(files[i]);

		if (!in)
			continue;
		read_rotated(wish, files[i]);
		take_lines(wish, in);
		if (wish->is_followed)
			follow(wish, files[i], &in);
		(void)fclose(in); /* Ignored: nothing was written */
		return STATUS_OK;
	}
	say("there is no log to read: journald does not run, and none of %s, %s and %s can be "
	    "read; "
	    "sessions are logged to the facility authpriv, see your syslog daemon's configuration",
	    files[0], files[1], files[2]);
	return STATUS_FAILED;
}

int log_run(int argc, char **argv)
{
	struct wish wish = {.user = NULL};

	for (int i = 0; i < argc; i++) {
		if (strcmp(argv[i], "-f") == 0 || strcmp(argv[i], "--follow") == 0)
			wish.is_followed = true;
		else if (!wish.user && isp_name_is_safe(argv[i]))
			wish.user = argv[i];
		else
			return refuse_argument("log", argv[i]);
	}
	return has_journal() ? read_journal(&wish) : read_files(&wish);
}
