/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ispawnctl-doctor.c - `ispawnctl doctor`: all that logins depend on
 *
 *	1. what `check` tries: configuration, programs, kernel, templates, limits
 *	2. the host around it: store, id ranges, cgroups, installed files
 *	3. what leads a login to ispawn: the PAM stacks, sshd, the door
 *
 * With --prove it does none of these but logs in.
 */
#include "ispawnctl.h"

#include "ispawn/base/fd.h"
#include "ispawn/base/path.h"
#include "ispawnctl-host.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

void doctor_ok(const char *fmt, ...)
{
	va_list args;

	(void)fputs("ok: ", stdout); /* Ignored, in all of them: main() asks the stream once */
	va_start(args, fmt);
	(void)vprintf(fmt, args);
	va_end(args);
	(void)fputc('\n', stdout);
}

void doctor_note(const char *fmt, ...)
{
	va_list args;

	(void)fputs("note: ", stdout);
	va_start(args, fmt);
	(void)vprintf(fmt, args);
	va_end(args);
	(void)fputc('\n', stdout);
}

void doctor_fail(struct doctor *doctor, const char *advice, const char *fmt, ...)
{
	va_list args;

	doctor->failures++;
	(void)fputs("FAIL: ", stdout);
	va_start(args, fmt);
	(void)vprintf(fmt, args);
	va_end(args);
	(void)printf(": %s\n", advice);
}

/* --- PAM -------------------------------------------------------------------------------------- */

#define ADD_LINE "add `session required pam_ispawn.so` as its last session line"

/* Services by which people log in, and those that run programs for them behind their backs, with
 * what is there when they do. */
static const struct stack {
	const char *name;
	const char *program; /* NULL: people log in by it */
} stacks[] = {
	{"sshd", NULL},
	{"login", NULL},
	{"su", NULL},
	{"su-l", NULL},
	{"cron", "/usr/sbin/cron"},
	{"crond", "/usr/sbin/crond"},
	{"atd", "/usr/sbin/atd"},
	{"systemd-user", "/run/systemd/system"},
};

static void tell_order(struct doctor *doctor, const char *name, const struct pam_finding *pam,
		       const char *line)
{
	if (pam->is_alone)
		doctor_fail(doctor,
			    "add another session line, such as `session required pam_permit.so`",
			    "PAM service %s: no module beside pam_ispawn.so succeeds, and libpam "
			    "denies whoever is not confined, root too",
			    name);
	else if (!pam->is_last)
		doctor_note("PAM service %s: not the last session line, so that what follows runs "
			    "after the container is up: %s",
			    name, line);
	else
		doctor_ok("PAM service %s: %s", name, line);
}

static void check_line(struct doctor *doctor, const char *name, const struct pam_finding *pam)
{
	char line[400];

	line_text(pam->skipper ? pam->skipper : pam->ours, line, sizeof(line));
	if (pam->skipper)
		doctor_fail(doctor, "put pam_ispawn.so before it",
			    "PAM service %s: this line may end the stack or jump over "
			    "pam_ispawn.so: %s",
			    name, line);
	else if (pam->is_weak)
		doctor_fail(doctor, "make the line `session required`",
			    "PAM service %s: a session opens although pam_ispawn.so denies it: %s",
			    name, line);
	else if (!pam->is_installed)
		doctor_fail(doctor, "install the module",
			    "PAM service %s: libpam does not find the module, and denies "
			    "everybody: %s",
			    name, line);
	else
		tell_order(doctor, name, pam, line);
}

static void check_absent(struct doctor *doctor, const struct stack *entry)
{
	if (!entry->program)
		doctor_fail(doctor, ADD_LINE, "PAM service %s: pam_ispawn.so is not in its stack",
			    entry->name);
	else if (access(entry->program, F_OK) == 0)
		doctor_fail(doctor, ADD_LINE,
			    "PAM service %s: confined users' programs run on the host",
			    entry->name);
	else
		doctor_note("PAM service %s: pam_ispawn.so is not in its stack; it does not run "
			    "here",
			    entry->name);
}

static void check_stack(struct doctor *doctor, const struct stack *entry)
{
	cleanup_pam_stack struct pam_stack stack = {.count = 0};
	struct isp_error err = {0};
	struct pam_finding pam;

	if (!pam_has_file(entry->name))
		return; /* the service is not here, and if it were, `other` would decide */
	if (pam_read(entry->name, &stack, &err) < 0) {
		doctor_fail(doctor, "correct the file", "PAM service %s: %s", entry->name,
			    err.text);
		return;
	}
	pam_walk(&stack, &pam);
	if (pam.ours)
		check_line(doctor, entry->name, &pam);
	else
		check_absent(doctor, entry);
}

/* --- sshd and the door ------------------------------------------------------------------------ */

static void check_sshd(struct doctor *doctor)
{
	cleanup_sshd struct sshd sshd = {.is_installed = false};

	sshd_ask("root", "192.0.2.1", &sshd);
	if (!sshd.is_installed)
		doctor_note("there is no sshd here");
	else if (sshd.err.code != 0)
		doctor_fail(doctor, "correct sshd_config; see sshd -t", "sshd: %s", sshd.err.text);
	else if (!sshd_is(&sshd, "usepam", "yes"))
		doctor_fail(doctor, "set UsePAM yes in sshd_config",
			    "sshd opens no PAM session, and the module confines nobody");
	else
		doctor_ok("sshd opens PAM sessions");
}

static void check_door(struct doctor *doctor)
{
	cleanup_account struct account root = {.is_exempt = false};
	struct isp_error err = {0};
	struct stat st;

	if (account_find("root", &root, &err) < 0) {
		doctor_fail(doctor, "mend the name service", "%s", err.text);
		return;
	}
	if (stat(ISPAWN_DOOR_SOCKET, &st) != 0)
		doctor_note("no door: \"" ISPAWN_DOOR_SOCKET "\" is not there, and ispawn-shell "
			    "confines only where PAM does");
	else if (!S_ISSOCK(st.st_mode) || !root.is_door_open)
		doctor_fail(doctor, "systemctl restart ispawn.socket",
			    "nobody listens at \"" ISPAWN_DOOR_SOCKET "\"");
	else if ((st.st_mode & 0666) != 0666 || st.st_uid != 0)
		doctor_fail(doctor, "chmod 0666, chown root; see ispawn.socket",
			    "\"" ISPAWN_DOOR_SOCKET "\" is not root's, or not for everybody");
	else
		doctor_ok("the door listens at \"" ISPAWN_DOOR_SOCKET "\"");
}

/* --- all -------------------------------------------------------------------------------------- */

static int examine(void)
{
	struct doctor doctor = {.failures = 0};
	int status = check_run(0, NULL);

	doctor_host(&doctor);
	doctor_ids(&doctor);
	for (size_t i = 0; i < ISP_ARRAY_SIZE(stacks); i++)
		check_stack(&doctor, &stacks[i]);
	check_sshd(&doctor);
	check_door(&doctor);
	return doctor.failures == 0 ? status : STATUS_FAILED;
}

int doctor_run(int argc, char **argv)
{
	const char *user = NULL;
	const char *identity = NULL;

	for (int i = 0; i < argc; i += 2) {
		const char **wanted = NULL;

		if (strcmp(argv[i], "--prove") == 0)
			wanted = &user;
		else if (strcmp(argv[i], "--identity") == 0)
			wanted = &identity;
		if (!wanted || *wanted)
			return refuse_argument("doctor", argv[i]);
		if (i + 1 == argc) {
			say("doctor %s needs a value; see ispawnctl --help", argv[i]);
			return STATUS_USAGE;
		}
		*wanted = argv[i + 1];
	}
	if (identity && !user) {
		say("doctor --identity goes with --prove; see ispawnctl --help");
		return STATUS_USAGE;
	}
	return user ? prove_run(user, identity) : examine();
}
