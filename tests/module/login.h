/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * login.h - a PAM application for tests
 *
 * Theory of operation: each case runs in a process of its own, the application, which is a child
 * of the test program.  The test program is PID 1 of its namespace, so whatever a case leaves
 * running becomes its child: a case is over when there is none left, and fails when there still is
 * one after two seconds.  The application is also its own system log (a socket bound to /dev/log),
 * so that each case can compare every line.
 *
 * A module's PAM_IGNORE does not reach an application: libpam takes it out.  The services here
 * continue, on PAM_IGNORE only, with a pam_debug.so that fails in a way that nothing else does;
 * login_open() and login_close() translate that back.
 */
#ifndef ISPAWN_TESTS_LOGIN_H
#define ISPAWN_TESTS_LOGIN_H

#include "scene.h"

#include <security/pam_appl.h>
#include <stdbool.h>

#define CHECK(condition) check(condition, __FILE__, __LINE__, #condition)
#define CHECK_INT(got, expected) check_int((long)(got), (long)(expected), __FILE__, __LINE__, #got)
#define CHECK_TEXT(got, expected) check_text(got, expected, __FILE__, __LINE__, #got)
#define CHECK_START(got, expected) check_start(got, expected, __FILE__, __LINE__, #got)

void check(bool is_true, const char *file, int line, const char *what);
void check_int(long got, long expected, const char *file, int line, const char *what);
void check_text(const char *got, const char *expected, const char *file, int line,
		const char *what);
void check_start(const char *got, const char *expected, const char *file, int line,
		 const char *what);

/* libpam takes on close the branch that it took on open: after a denial `die`, where it turns the
 * module's PAM_IGNORE, and success too, into this. */
#define CLOSE_AFTER_DENIAL PAM_PERM_DENIED

struct test_case {
	const char *name; /* the promise */
	void (*run)(void);
};

extern const struct test_case decide_cases[], start_cases[], cover_cases[], guest_cases[];

/** struct login - one PAM handle and what it heard */
struct login {
	pam_handle_t *pamh;
	char said[512]; /* error messages of the conversation, one a line */
};

/** login_start() - begin a login of @user through @service, as an application does. */
void login_start(struct login *login, const char *service, const char *user);

/** login_open(), login_close() - the module's own return code, PAM_IGNORE included. */
int login_open(struct login *login, int flags);
int login_close(struct login *login);
void login_end(struct login *login);

/** login_session() - the session id in the PAM environment, "" for none. */
const char *login_session(struct login *login);

/** write_service() - a PAM file with the module under test and @options. */
void write_service(const char *service, const char *options);

/** log_lines() - what was logged since the last call: `<PRIORITY>text`, one a line, the random
 * part of session ids written as ID; lines that the module did not write are left out. */
const char *log_lines(void);

/** state() - everything about this thread and process that a guest must leave as it is. */
const char *state(void);

/** run_output() - what running @path as @uid with -c @command prints. */
const char *run_output(const char *path, unsigned int uid, const char *command);

/** same_file() - do two names lead to one file? */
bool same_file(const char *a, const char *b);

/** ended() - how the fake supervisor ended; waits for it up to two seconds. */
const char *ended(void);

#endif
