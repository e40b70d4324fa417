/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ispawnctl-host.h - what this host does with a login, for explain, audit and doctor
 *
 * Theory of operation: whether a user is confined is decided by four parties: the policy, the PAM
 * stack that leads to the module, sshd's configuration and the passwd entry.  Each is read where
 * the login itself would read it (sshd is asked by `sshd -T`), and their answers are put together
 * for each way in.  What cannot be read counts as a way around: a verdict is only as good as its
 * worst answer.  Nothing of a user's is executed, nothing is changed, no shell parses anything.
 */
#ifndef ISPAWN_SHELL_ISPAWNCTL_HOST_H
#define ISPAWN_SHELL_ISPAWNCTL_HOST_H

#include "ispawn/policy/decide.h"

/* --- ispawnctl-run.c: other programs' words --------------------------------------------------- */

#define PROGRAM_OUTPUT_MAX (256 * 1024)

/** struct program - what is to be run; all borrowed */
struct program {
	const char *const *argv;      /* argv[0] is a clean absolute path, NULL ends it */
	const struct isp_subject *as; /* whose ids it gets; NULL: stays root */
	int timeout_ms;
};

/**
 * program_run() - run it with an empty environment, no terminal and no input
 * @ret_output: standard output and error together, NUL bytes made "?"; the caller frees
 * @ret_status: as a shell gives it: exit status, or 128 + signal
 * Threat: a program that prints or waits for ever: its process group is killed at
 * PROGRAM_OUTPUT_MAX bytes and at the deadline.
 * Return: 0; -ENOENT no such program; -EPERM others than root can change it; -EFBIG; -ETIMEDOUT;
 * -errno.
 */
ISP_MUST_CHECK int program_run(const struct program *program, char **ret_output, int *ret_status,
			       struct isp_error *err);

/* --- ispawnctl-sshd.c: sshd's effective configuration for one user ---------------------------- */

/** struct sshd - starts `= { 0 }`, ends sshd_free() */
struct sshd {
	bool is_installed;
	char *lines; /* each ends in NUL */
	size_t size;
	struct isp_error err; /* why it could not be asked */
};

/** sshd_ask() - `sshd -T` for @user (a safe name) who connects from @address; never fails, see
 * @err. */
void sshd_ask(const char *user, const char *address, struct sshd *ret_sshd);

/** sshd_value() - the value of the first line `keyword value` after @after (NULL: of all lines).
 * Return: borrowed, untrusted by the terminal; NULL when there is none. */
const char *sshd_value(const struct sshd *sshd, const char *keyword, const char *after);

/** sshd_is() - has the keyword exactly this value? */
bool sshd_is(const struct sshd *sshd, const char *keyword, const char *value);

/** sshd_accepts_variable() - would the client's variable be set (AcceptEnv)? */
bool sshd_accepts_variable(const struct sshd *sshd, const char *name);

void sshd_free(struct sshd *sshd);
#define cleanup_sshd __attribute__((cleanup(sshd_free)))

/* --- ispawnctl-pam.c: the session stack of a service ------------------------------------------ */

#define PAM_CODES 32 /* _PAM_RETURN_VALUES of libpam */
#define PAM_LINES_MAX 256

/* What a line does with its module's answer; a positive number jumps over that many lines. */
enum {
	PAM_DO_IGNORE,
	PAM_DO_OK = -1,
	PAM_DO_DONE = -2,
	PAM_DO_BAD = -3,
	PAM_DO_DIE = -4,
	PAM_DO_RESET = -5
};

/** struct pam_line - one session line, with what it includes put in its place */
struct pam_line {
	char *file, *control, *module, *arguments; /* owned; as they stand in the file */
	unsigned int number;
	unsigned int level; /* of substacks */
	int actions[PAM_CODES];
	bool is_ours;    /* pam_ispawn.so */
	bool is_broken;  /* libpam lets it always fail */
	bool is_heading; /* the line `substack` itself: runs nothing */
};

/** struct pam_stack - starts `= { 0 }`, ends pam_stack_free() */
struct pam_stack {
	struct pam_line lines[PAM_LINES_MAX];
	size_t count;
	bool is_other; /* the service has no session lines: those of `other` apply */
};

/** pam_read() - the session lines of @service.
 * Return: 0; -EINVAL not a service's name; -EPERM not trusted; -ELOOP; -E2BIG; -errno. */
ISP_MUST_CHECK int pam_read(const char *service, struct pam_stack *ret_stack,
			    struct isp_error *err);

/** pam_has_file() - is there a file of this service's own? */
bool pam_has_file(const char *service);

void pam_stack_free(struct pam_stack *stack);
#define cleanup_pam_stack __attribute__((cleanup(pam_stack_free)))

/* --- ispawnctl-pamwalk.c: what a stack makes of the module's answer --------------------------- */

/** struct pam_finding - lines are borrowed from the stack */
struct pam_finding {
	const struct pam_line *ours;    /* the first; NULL: the module is not in the stack */
	const struct pam_line *skipper; /* may let a session open before ours is reached; or NULL */
	bool is_weak;                   /* a session can open although ours denied it */
	bool is_shut;                   /* none can open, whatever the modules say */
	bool is_alone; /* none can open when ours has no say: libpam denies who is not confined */
	bool is_last;
	bool is_installed; /* the file that the line names */
};

void pam_walk(const struct pam_stack *stack, struct pam_finding *ret_finding);

/* --- ispawnctl-account.c: one user in one service --------------------------------------------- */

enum place { PLACE_CONFINED, PLACE_DENIED, PLACE_HOST };

#define REASON_SIZE 512

/** struct verdict - where a way in ends; texts are printable ASCII */
struct verdict {
	enum place place;
	char reason[REASON_SIZE];
	char change[REASON_SIZE]; /* what to do about it; "" = nothing */
};

/** struct account - starts `= { 0 }`, ends account_free() */
struct account {
	struct isp_subject subject;
	bool is_exempt;
	bool is_shell_ours; /* ispawn-shell stands in passwd */
	bool is_shell_sh;   /* covering it covers /bin/sh */
	bool is_door_open;
};

/** struct service - a service as this account finds it; ends service_free() */
struct service {
	const char *name; /* borrowed */
	struct pam_stack stack;
	struct pam_finding pam;
	struct isp_config config; /* of the module's line: conf=PATH, else the usual one */
	struct isp_decision decision;
	bool is_decided; /* else err says why the policy denies */
	struct isp_error err;
	struct verdict session; /* what becomes of a session that is opened here */
};

/** place_name() - "confined", "denied", "HOST". */
const char *place_name(enum place place);

/** verdict_set() - for the last word about a way in. */
void verdict_set(struct verdict *verdict, enum place place, const char *change, const char *fmt,
		 ...) ISP_PRINTF(4, 5);

/** line_text() - `/etc/pam.d/sshd line 12: session required pam_ispawn.so` */
void line_text(const struct pam_line *line, char *ret_text, size_t size);

/** account_find() - @user as passwd and the host know him. Return: 0; -ENOENT; -errno. */
ISP_MUST_CHECK int account_find(const char *user, struct account *ret_account,
				struct isp_error *err);
void account_free(struct account *account);
#define cleanup_account __attribute__((cleanup(account_free)))

/** service_examine() - PAM and policy for @account in service @name; never fails: what cannot be
 * read is part of the verdict. */
void service_examine(const struct account *account, const char *name, struct service *ret_service);
void service_free(struct service *service);

/** account_login() - what becomes of a login that runs the login shell after opening @service
 * (NULL: no PAM session is opened). */
void account_login(const struct account *account, const struct service *service,
		   struct verdict *ret_verdict);

/** account_door() - what the socket door says to this account. */
void account_door(const struct account *account, struct verdict *ret_verdict);

/** is_listed_shell() - does @shell stand in /etc/shells? What cannot be read counts as yes. */
bool is_listed_shell(const char *shell);

/** is_login_shell() - could a login run it? Not when it is missing, nologin or false. */
bool is_login_shell(const char *shell);

/* --- ispawnctl-ways.c: every way in ----------------------------------------------------------- */

#define WAYS_MAX 128

/** struct way - one way in */
struct way {
	char name[80];    /* "sftp"; "service:NAME" for further PAM services */
	const char *what; /* static */
	struct verdict verdict;
};

/** struct ways - starts `= { 0 }` */
struct ways {
	struct way items[WAYS_MAX];
	size_t count;
};

/** ways_find() - all ways in of @account; @sshd asked for the same user. Return: 0; -errno. */
ISP_MUST_CHECK int ways_find(const struct account *account, const struct sshd *sshd,
			     struct ways *ret_ways, struct isp_error *err);

/** ways_of_ssh() - those that sshd offers, added to @ways; ispawnctl-ways-ssh.c */
void ways_of_ssh(const struct account *account, const struct sshd *sshd,
		 const struct service *service, struct ways *ways);

/** ways_add() - a new way whose verdict the caller fills; the last place is given again and again
 * when there are more than WAYS_MAX. */
struct way *ways_add(struct ways *ways, const char *name, const char *what);

/* --- ispawnctl-jobs.c: who may leave jobs for later ------------------------------------------- */

/** jobs_judge() - where @way (cron, at) ends on the host: nowhere for who may leave no job and has
 * none. */
void jobs_judge(const struct isp_subject *subject, const char *way, struct verdict *verdict);

/* --- ispawnctl-doctor*.c: findings ------------------------------------------------------------ */

/** struct doctor - what has been found so far */
struct doctor {
	size_t failures;
};

/* One line each.  @advice: what to do, without a full stop. */
void doctor_ok(const char *fmt, ...) ISP_PRINTF(1, 2);
void doctor_note(const char *fmt, ...) ISP_PRINTF(1, 2);
void doctor_fail(struct doctor *doctor, const char *advice, const char *fmt, ...) ISP_PRINTF(3, 4);

/** doctor_ids() - the ranges of /etc/subuid, /etc/subgid and the pool; ispawnctl-doctor-ids.c */
void doctor_ids(struct doctor *doctor);

/** doctor_host() - store, cgroups, installed files; ispawnctl-doctor-host.c */
void doctor_host(struct doctor *doctor);

/** prove_run() - real logins of @user, looked around in; ispawnctl-prove.c
 * @identity: file with a private key that lets him in by ssh; NULL = not by ssh
 * Return: the exit status. */
int prove_run(const char *user, const char *identity);

#endif
