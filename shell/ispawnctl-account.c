/* SPDX-License-Identifier: GPL-3.0-or-later */
/* ispawnctl-account.c - one user in one service; contract in ispawnctl-host.h */
#include "ispawnctl-host.h"

#include "ispawn/base/fd.h"
#include "ispawn/base/path.h"
#include "ispawn/policy/freeze.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#define PROC_UNIX_MAX (4 * 1024 * 1024)
#define SHELLS_MAX (64 * 1024)
#define LISTENS 0x10000u /* __SO_ACCEPTCON in the flags of /proc/net/unix */
#define FROM_CONFIG "set confine = yes for the user, or a group of his, in ispawn.conf"

static const char *const place_names[] = {
	[PLACE_CONFINED] = "confined",
	[PLACE_DENIED] = "denied",
	[PLACE_HOST] = "HOST",
};

const char *place_name(enum place place)
{
	return place_names[place];
}

void verdict_set(struct verdict *verdict, enum place place, const char *change, const char *fmt,
		 ...)
{
	va_list args;

	verdict->place = place;
	va_start(args, fmt);
	/* Ignored, both: a text that does not fit is cut. */
	(void)vsnprintf(verdict->reason, sizeof(verdict->reason), fmt, args);
	va_end(args);
	(void)snprintf(verdict->change, sizeof(verdict->change), "%s", change);
}

void line_text(const struct pam_line *line, char *ret_text, size_t size)
{
	bool is_word = strcspn(line->control, " =") == strlen(line->control);
	char raw[320];
	char escaped[400];

	(void)snprintf(raw, sizeof(raw), "%.80s line %u: session %s%.80s%s %.80s%s%.40s",
		       line->file, line->number, is_word ? "" : "[", line->control,
		       is_word ? "" : "]", line->module, line->arguments[0] ? " " : "",
		       line->arguments);
	isp_escape(escaped, sizeof(escaped), raw);
	(void)snprintf(ret_text, size, "%s", escaped); /* Ignored: cut is fine */
}

/* --- the account ------------------------------------------------------------------------------ */

static bool is_same_file(const char *a, const char *b)
{
	struct stat one, other;

	return stat(a, &one) == 0 && stat(b, &other) == 0 && one.st_dev == other.st_dev &&
	       one.st_ino == other.st_ino;
}

/* A line of /proc/net/unix: number, references, protocol, flags, type, state, inode, path. */
static bool is_door(char *line)
{
	char *words[8] = {NULL};
	char *save = NULL;
	size_t count = 0;

	for (char *word = strtok_r(line, " ", &save); word && count < ISP_ARRAY_SIZE(words);
	     word = strtok_r(NULL, " ", &save))
		words[count++] = word;
	return count == ISP_ARRAY_SIZE(words) && strcmp(words[7], ISPAWN_DOOR_SOCKET) == 0 &&
	       (strtoul(words[3], NULL, 16) & LISTENS);
}

/* A connection would start a door; the kernel's list tells as much. */
static bool is_door_open(void)
{
	cleanup_free char *text = NULL;
	char *save = NULL;

	if (isp_fd_read_file(AT_FDCWD, "/proc/net/unix", PROC_UNIX_MAX, &text) < 0)
		return false;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (is_door(line))
			return true;
	return false;
}

int account_find(const char *user, struct account *ret_account, struct isp_error *err)
{
	struct account account = {.is_exempt = false};
	const char *shell;
	int r = isp_subject_resolve(user, "sshd", NULL, NULL, &account.subject, err);

	if (r < 0)
		return r;
	shell = account.subject.shell[0] ? account.subject.shell : "/bin/sh"; /* passwd(5) */
	account.is_exempt = isp_subject_is_exempt(&account.subject);
	account.is_shell_ours = is_same_file(shell, ISPAWN_SHELL);
	account.is_shell_sh = is_same_file(shell, "/bin/sh");
	account.is_door_open = is_door_open();
	*ret_account = account;
	return 0;
}

void account_free(struct account *account)
{
	isp_subject_free(&account->subject);
}

bool is_listed_shell(const char *shell)
{
	cleanup_free char *text = NULL;
	char *save = NULL;
	int r = isp_fd_read_file(AT_FDCWD, "/etc/shells", SHELLS_MAX, &text);

	if (r < 0)
		return r != -ENOENT;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (strcmp(line, shell) == 0)
			return true;
	return false;
}

bool is_login_shell(const char *shell)
{
	const char *path = shell[0] ? shell : "/bin/sh";
	const char *base = strrchr(path, '/');
	struct stat st;

	base = base ? base + 1 : path;
	if (strcmp(base, "nologin") == 0 || strcmp(base, "false") == 0)
		return false;
	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 0111);
}

/* --- policy in a service ---------------------------------------------------------------------- */

/* The words after the module, as it reads them: conf=PATH and debug. */
static int config_path(const struct pam_line *line, char *ret_path, size_t size,
		       struct isp_error *err)
{
	char words[512];
	char *save = NULL;

	(void)snprintf(ret_path, size, "%s", ISPAWN_CONFIG_FILE);
	if (!line)
		return 0;
	(void)snprintf(words, sizeof(words), "%s", line->arguments);
	for (char *word = strtok_r(words, " \t", &save); word;
	     word = strtok_r(NULL, " \t", &save)) {
		if (strncmp(word, "conf=", 5) == 0 && isp_path_is_clean(word + 5))
			(void)snprintf(ret_path, size, "%s", word + 5);
		else if (strcmp(word, "debug") != 0)
			return isp_err_set(err, EINVAL, ISP_STAGE_CONFIG,
					   "the module refuses its options");
	}
	return 0;
}

/* The whole way that a login takes, up to the spec. */
static int decide(const struct account *account, struct service *service)
{
	cleanup_spec struct isp_spec spec = {.uid = 0};
	char name[ISP_SPEC_TEXT_MAX];
	char path[512];
	struct isp_subject subject = account->subject; /* but for the service: borrowed */
	int r = config_path(service->pam.ours, path, sizeof(path), &service->err);

	(void)snprintf(name, sizeof(name), "%s", service->name);
	subject.service = name;
	if (r == 0)
		r = isp_config_load(path, &service->config, &service->err);
	if (r == 0)
		r = isp_decide(&service->config, &subject, &service->decision, &service->err);
	service->is_decided = r == 0;
	if (r == 0 && service->decision.verdict == ISP_VERDICT_CONFINE)
		r = isp_policy_freeze_spec(&service->decision.settings, &subject, "localhost", "",
					   &spec, &service->err);
	return r;
}

static void judge_policy(const struct account *account, struct service *service)
{
	char words[ISP_ERROR_TEXT_SIZE + 100];

	if (account->is_exempt) {
		verdict_set(&service->session, PLACE_HOST,
			    account->subject.uid == 0
				    ? ""
				    : "take the user out of the group, to confine him",
			    "root and members of " ISPAWN_EXEMPT_GROUP " are never confined");
	} else if (service->err.code != 0) {
		isp_err_describe(&service->err, words, sizeof(words));
		verdict_set(&service->session, PLACE_DENIED, "correct that; see ispawnctl check",
			    "a login would be denied: %s", words);
	} else if (service->decision.verdict == ISP_VERDICT_CONFINE) {
		verdict_set(&service->session, PLACE_CONFINED, "", "%s", service->decision.reason);
	} else if (service->decision.verdict == ISP_VERDICT_DENY) {
		verdict_set(&service->session, PLACE_DENIED, "", "%s", service->decision.reason);
	} else {
		verdict_set(&service->session, PLACE_HOST,
			    service->decision.settings.confine
				    ? "set other_services = deny in ispawn.conf"
				    : FROM_CONFIG,
			    "%s", service->decision.reason);
	}
}

/* --- PAM in a service ------------------------------------------------------------------------- */

#define ADD_LINE "add `session required pam_ispawn.so` as the last session line"

/* What of the stack stands between the policy and the session, if anything. */
static void judge_stack(struct service *service, const struct isp_error *unread)
{
	const struct pam_finding *pam = &service->pam;
	struct verdict *v = &service->session;
	char text[400];

	if (unread->code != 0) {
		verdict_set(v, PLACE_HOST, "make the file readable, root's alone",
			    "the PAM files of %s could not be read: %s", service->name,
			    unread->text);
	} else if (pam->is_shut) {
		verdict_set(v, PLACE_DENIED, "", "no session can open in the stack of %s%s",
			    service->name,
			    service->stack.is_other ? ", which is that of other" : "");
	} else if (!pam->ours) {
		verdict_set(v, PLACE_HOST, ADD_LINE " of that service",
			    "pam_ispawn.so is not in the session stack of %s%s", service->name,
			    service->stack.is_other ? ", which is that of other" : "");
	} else if (pam->skipper) {
		line_text(pam->skipper, text, sizeof(text));
		verdict_set(v, PLACE_HOST,
			    "put the line of pam_ispawn.so before it, or make it "
			    "`required`",
			    "a line before pam_ispawn.so may end the stack or jump over it: %s",
			    text);
	} else if (pam->is_weak) {
		line_text(pam->ours, text, sizeof(text));
		verdict_set(v, PLACE_HOST, "make the line `session required`",
			    "a session opens although pam_ispawn.so denies it: %s", text);
	} else if (!pam->is_installed) {
		verdict_set(v, PLACE_DENIED, "install the module, or take the line out",
			    "the module is not where libpam looks for it, and everybody is denied");
	}
}

/* The cover takes no shell that others than root can change, and no missing one. */
static void judge_shell(const struct account *account, struct service *service)
{
	cleanup_close int fd = -EBADF;
	const char *shell = account->subject.shell[0] ? account->subject.shell : "/bin/sh";
	struct isp_error err = {0};

	if (isp_path_open_trusted(shell, O_PATH, ISP_STAGE_COVER, &fd, &err) < 0)
		verdict_set(&service->session, PLACE_DENIED, "give the user another login shell",
			    "the login shell cannot be covered: %s", err.text);
}

void service_examine(const struct account *account, const char *name, struct service *ret_service)
{
	struct isp_error unread = {0};

	memset(ret_service, 0, sizeof(*ret_service));
	ret_service->name = name;
	if (pam_read(name, &ret_service->stack, &unread) == 0)
		pam_walk(&ret_service->stack, &ret_service->pam);
	isp_ignore(decide(account, ret_service)); /* err is kept there */
	judge_policy(account, ret_service);
	/* Who is not confined by policy is not by any stack; who is denied may yet get round it. */
	if (ret_service->session.place != PLACE_HOST)
		judge_stack(ret_service, &unread);
	if (ret_service->session.place == PLACE_CONFINED)
		judge_shell(account, ret_service);
}

void service_free(struct service *service)
{
	pam_stack_free(&service->stack);
	isp_decision_free(&service->decision);
	isp_config_free(&service->config);
}

/* --- logins ----------------------------------------------------------------------------------- */

static bool is_shell_none(const struct service *service)
{
	return service->is_decided && strcmp(service->decision.settings.shell, "none") == 0;
}

static void deny_shell(struct verdict *verdict)
{
	verdict_set(verdict, PLACE_DENIED, "", "shell = none: forwarding only");
}

void account_door(const struct account *account, struct verdict *ret_verdict)
{
	struct service door = {.name = ISPAWN_DOOR_SERVICE};

	if (!account->is_door_open) {
		verdict_set(ret_verdict, PLACE_DENIED, "", "nobody listens at " ISPAWN_DOOR_SOCKET);
		return;
	}
	isp_ignore(decide(account, &door)); /* err is kept there */
	judge_policy(account, &door);
	*ret_verdict = door.session;
	if (ret_verdict->place == PLACE_HOST)
		verdict_set(ret_verdict, PLACE_DENIED, "",
			    "the door refuses whoever is not confined: %s", door.session.reason);
	if (ret_verdict->place == PLACE_CONFINED && is_shell_none(&door))
		deny_shell(ret_verdict);
	service_free(&door);
}

/* ispawn-shell never falls back to a shell of the host: without a session it asks the door. */
static void by_shell_alone(const struct account *account, const struct verdict *session,
			   struct verdict *ret_verdict)
{
	struct verdict door;

	account_door(account, &door);
	if (door.place == PLACE_CONFINED)
		verdict_set(ret_verdict, PLACE_CONFINED, "",
			    "ispawn-shell is the login shell, and the door confines: %s",
			    door.reason);
	else
		verdict_set(ret_verdict, PLACE_DENIED, session->change,
			    "ispawn-shell is the login shell and starts no other (%s; %s)",
			    session->reason, door.reason);
}

void account_login(const struct account *account, const struct service *service,
		   struct verdict *ret_verdict)
{
	struct verdict session = {.place = PLACE_HOST, .reason = "no PAM session is opened"};

	if (service)
		session = service->session;
	*ret_verdict = session;
	if (session.place == PLACE_CONFINED && is_shell_none(service))
		deny_shell(ret_verdict);
	else if (session.place == PLACE_HOST && account->is_shell_ours)
		by_shell_alone(account, &session, ret_verdict);
	else if (session.place == PLACE_HOST && !is_login_shell(account->subject.shell))
		verdict_set(ret_verdict, PLACE_DENIED, "",
			    "not confined (%s), but the login shell lets nobody in",
			    session.reason);
}
