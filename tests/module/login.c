/* SPDX-License-Identifier: GPL-3.0-or-later */
/* login.c - a PAM application for tests; contract in login.h */
#include "login.h"

#include "ispawn/base/path.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <syslog.h>

#define REPORT_FD 900 /* out of every case's way; some close or count their descriptors */

static int log_fd = -1;

/* --- checks --- */

static _Noreturn void fail(const char *file, int line, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static _Noreturn void fail(const char *file, int line, const char *format, ...)
{
	va_list args;

	dprintf(REPORT_FD, "# %s:%d: ", file, line);
	va_start(args, format);
	(void)vdprintf(REPORT_FD, format, args);
	va_end(args);
	dprintf(REPORT_FD, "\n");
	_exit(1);
}

void check(bool is_true, const char *file, int line, const char *what)
{
	if (!is_true)
		fail(file, line, "not so: %s (errno: %s)", what, strerror(errno));
}

void check_int(long got, long expected, const char *file, int line, const char *what)
{
	if (got != expected)
		fail(file, line, "%s is %ld, not %ld; log: %s", what, got, expected, log_lines());
}

void check_text(const char *got, const char *expected, const char *file, int line, const char *what)
{
	if (strcmp(got, expected) != 0)
		fail(file, line, "%s is\n%s\n# and not\n%s", what, got, expected);
}

void check_start(const char *got, const char *expected, const char *file, int line,
		 const char *what)
{
	const char *end = strchr(got, '\n');

	if (strncmp(got, expected, strlen(expected)) != 0)
		fail(file, line, "%s is\n%s\n# and does not start with\n%s", what, got, expected);
	if (!end || end[1])
		fail(file, line, "%s is not one line:\n%s", what, got);
}

/* --- PAM --- */

static int converse(int count, const struct pam_message **messages, struct pam_response **ret,
		    void *data)
{
	struct login *login = data;

	for (int i = 0; i < count; i++) {
		size_t used = strlen(login->said);

		if (messages[i]->msg_style == PAM_ERROR_MSG)
			(void)snprintf(login->said + used, sizeof(login->said) - used, "%s\n",
				       messages[i]->msg);
	}
	*ret = calloc((size_t)count, sizeof(**ret));
	return PAM_SUCCESS;
}

void login_start(struct login *login, const char *service, const char *user)
{
	struct pam_conv conversation = {.conv = converse, .appdata_ptr = login};
	char pid[32];

	memset(login, 0, sizeof(*login));
	(void)snprintf(pid, sizeof(pid), "%d", getpid());
	scene_write(APPLICATION, pid);
	CHECK_INT(pam_start_confdir(service, user, &conversation, SERVICES, &login->pamh),
		  PAM_SUCCESS);
	CHECK_INT(pam_set_item(login->pamh, PAM_TTY, "pts/7"), PAM_SUCCESS);
	CHECK_INT(pam_set_item(login->pamh, PAM_RHOST, "192.0.2.1"), PAM_SUCCESS);
}

static int module_code(int code)
{
	return code == PAM_AUTHINFO_UNAVAIL ? PAM_IGNORE : code;
}

int login_open(struct login *login, int flags)
{
	return module_code(pam_open_session(login->pamh, flags));
}

int login_close(struct login *login)
{
	return module_code(pam_close_session(login->pamh, 0));
}

void login_end(struct login *login)
{
	CHECK_INT(pam_end(login->pamh, PAM_SUCCESS), PAM_SUCCESS);
}

const char *login_session(struct login *login)
{
	const char *id = pam_getenv(login->pamh, "ISPAWN_SESSION");

	return id ? id : "";
}

void write_service(const char *service, const char *options)
{
	static const char *const types[] = {"auth", "account", "password", "session"};
	char path[128], text[2048] = "";

	for (size_t i = 0; i < 4; i++) {
		size_t used = strlen(text);

		(void)snprintf(text + used, sizeof(text) - used,
			       "%s [success=done ignore=ignore default=die] " MODULE " %s\n"
			       "%s [default=die] pam_debug.so auth=authinfo_unavail "
			       "cred=authinfo_unavail acct=authinfo_unavail "
			       "prechauthtok=authinfo_unavail open_session=authinfo_unavail "
			       "close_session=authinfo_unavail\n",
			       types[i], options, types[i]);
	}
	(void)snprintf(path, sizeof(path), SERVICES "/%s", service);
	scene_write(path, text);
}

/* --- the log --- */

static void bind_log(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/dev/log"};

	(void)unlink("/dev/log");
	log_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	CHECK(log_fd >= 0);
	CHECK(dup2(log_fd, REPORT_FD + 1) >= 0);
	(void)close(log_fd);
	log_fd = REPORT_FD + 1;
	CHECK(bind(log_fd, (struct sockaddr *)&address, sizeof(address)) == 0);
}

/* Every USER.HEX8 becomes USER.ID. */
static void hide_ids(char *text)
{
	for (char *dot = strchr(text, '.'); dot; dot = strchr(dot + 1, '.')) {
		size_t n = strspn(dot + 1, "0123456789abcdef");

		if (n != 8 || isalnum((unsigned char)dot[9]))
			continue;
		memcpy(dot + 1, "ID", 2);
		memmove(dot + 3, dot + 9, strlen(dot + 9) + 1);
	}
}

const char *log_lines(void)
{
	static char lines[8192];
	char line[2048];
	size_t used = 0;
	ssize_t n;

	lines[0] = '\0';
	while ((n = recv(log_fd, line, sizeof(line) - 1, MSG_DONTWAIT)) > 0) {
		const char *text;

		line[n] = '\0';
		text = strstr(line, "pam_ispawn(");
		text = text ? strstr(text, "): ") : NULL;
		if (text && used < sizeof(lines))
			used += (size_t)snprintf(lines + used, sizeof(lines) - used, "<%d>%s\n",
						 atoi(line + 1) & 7, text + 3);
	}
	hide_ids(lines);
	return lines;
}

/* --- what a guest leaves alone --- */

static void print_link(FILE *out, const char *directory, const char *name)
{
	char path[512], target[512] = "";

	(void)snprintf(path, sizeof(path), "%s/%s", directory, name);
	if (readlink(path, target, sizeof(target) - 1) > 0)
		fprintf(out, "%s -> %s\n", name, target);
}

static void print_fds(FILE *out)
{
	struct dirent **entries = NULL;
	int count = scandir("/proc/thread-self/fd", &entries, NULL, alphasort);

	for (int i = 0; i < count; i++) {
		/* scandir's own is closed by now. */
		print_link(out, "/proc/thread-self/fd", entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
}

static void print_status(FILE *out)
{
	static const char *const keys[] = {
		"Umask:", "SigBlk:", "SigIgn:", "SigCgt:", "CapEff:", "Uid:", "Gid:"};
	char line[256];
	FILE *status = fopen("/proc/thread-self/status", "re");

	while (status && fgets(line, sizeof(line), status))
		for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
			if (strncmp(line, keys[i], strlen(keys[i])) == 0)
				fputs(line, out);
	if (status)
		(void)fclose(status);
}

const char *state(void)
{
	static char texts[4][65536];
	static unsigned int turn;
	char *text = texts[turn++ % 4];
	FILE *out;

	out = fmemopen(text, sizeof(texts[0]), "w");
	print_fds(out);
	print_link(out, "/proc/thread-self", "cwd");
	print_link(out, "/proc/thread-self", "root");
	print_link(out, "/proc/thread-self/ns", "mnt");
	print_link(out, "/proc/thread-self/ns", "net");
	print_status(out);
	for (char **variable = environ; *variable; variable++)
		fprintf(out, "%s\n", *variable);
	(void)fclose(out);
	return text;
}

const char *run_output(const char *path, unsigned int uid, const char *command)
{
	static char output[1024];
	size_t used = 0;
	ssize_t n = 0;
	int ends[2];
	pid_t pid;

	CHECK(pipe2(ends, O_CLOEXEC) == 0);
	pid = fork();
	if (pid == 0) {
		(void)dup2(ends[1], 1);
		if (setgid(uid) != 0 || setuid(uid) != 0)
			_exit(99);
		execl(path, "-shell", "-c", command, (char *)NULL);
		_exit(errno);
	}
	(void)close(ends[1]);
	while ((n = read(ends[0], output + used, sizeof(output) - 1 - used)) > 0)
		used += (size_t)n;
	output[used] = '\0';
	(void)close(ends[0]);
	CHECK_INT(waitpid(pid, NULL, 0), pid);
	return output;
}

bool same_file(const char *a, const char *b)
{
	struct stat a_st, b_st;

	return stat(a, &a_st) == 0 && stat(b, &b_st) == 0 && a_st.st_dev == b_st.st_dev &&
	       a_st.st_ino == b_st.st_ino;
}

const char *ended(void)
{
	static char word[32];

	for (int i = 0; i < 200; i++) {
		scene_read(ENDED, word, sizeof(word));
		if (word[0])
			break;
		(void)usleep(10 * 1000);
	}
	return word;
}

/* --- running the cases --- */

/* A fresh name for @fake where the module expects the real program. */
static void install(const char *fake, const char *path)
{
	(void)unlink(path);
	CHECK(link(fake, path) == 0);
	CHECK(chmod(path, 0755) == 0);
}

static void set_scene(void)
{
	(void)unlink(ISPAWN_COVERED_SHELL);
	(void)rmdir(ISPAWN_COVER_DIR);
	(void)rmdir(ISPAWN_RUN_DIR);
	install(SCENE "fake_supervisor", SUPERVISOR);
	install(SCENE "fake_shell", SHELL);
	scene_write(CONFIG, "[defaults]\nstart_timeout = 1s\n"
			    "[group confined]\nconfine = yes\n"
			    "[user hostnet]\nnetwork = host\n");
	scene_write(BEHAVIOUR, "ready");
	(void)unlink(ENDED);
	write_service("sshd", "conf=" CONFIG);
	write_service("login", "");
	write_service("cron", "");
}

static _Noreturn void run_case(const struct test_case *test)
{
	alarm(20);
	bind_log();
	syslog(LOG_DEBUG, "the C library connects to the log once, and keeps that descriptor");
	(void)log_lines();
	test->run();
	_exit(0);
}

/* Everything that a case started has become our child. Return: true when all of it is gone. */
static bool nothing_is_left(void)
{
	for (int i = 0; i < 200; i++) {
		pid_t pid = waitpid(-1, NULL, WNOHANG | __WALL);

		if (pid < 0 && errno == ECHILD)
			return true;
		if (pid == 0)
			(void)usleep(10 * 1000);
	}
	(void)kill(-1, SIGKILL); /* the namespace's processes, all but this one */
	while (waitpid(-1, NULL, __WALL) > 0)
		;
	return false;
}

static bool passes(const struct test_case *test)
{
	int status = -1;
	pid_t pid;

	set_scene();
	pid = fork();
	if (pid == 0)
		run_case(test);
	(void)waitpid(pid, &status, 0);
	if (status != 0)
		dprintf(REPORT_FD, "# wait status %d\n", status);
	if (!nothing_is_left()) {
		dprintf(REPORT_FD, "# processes were left\n");
		return false;
	}
	return status == 0;
}

int main(int argc, char **argv)
{
	static const struct test_case *const groups[] = {decide_cases, start_cases, cover_cases,
							 guest_cases};
	const char *wanted = argc > 1 ? argv[1] : "";
	int passed = 0, failed = 0;

	if (getpid() != 1 || dup2(1, REPORT_FD) < 0) {
		fprintf(stderr, "%s: started by tests/module/run only\n", argv[0]);
		return 125;
	}
	(void)fcntl(REPORT_FD, F_SETFD, FD_CLOEXEC);
	for (size_t g = 0; g < sizeof(groups) / sizeof(groups[0]); g++)
		for (const struct test_case *test = groups[g]; test->name; test++) {
			bool is_ok;

			if (!strstr(test->name, wanted))
				continue;
			is_ok = passes(test);
			*(is_ok ? &passed : &failed) += 1;
			dprintf(REPORT_FD, "%s %d - %s\n", is_ok ? "ok" : "not ok", passed + failed,
				test->name);
		}
	dprintf(REPORT_FD, "1..%d\n%d passed, %d failed\n", passed + failed, passed, failed);
	return failed != 0 || passed == 0;
}
