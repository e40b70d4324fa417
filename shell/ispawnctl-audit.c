/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ispawnctl-audit.c - `ispawnctl audit`: who can log in and is not confined, and why
 *
 * Judged are the logins that run the login shell (sshd, login, su): what one user can do beyond
 * that, `explain` tells.  Passwords and keys are not looked at: they change faster than policies.
 */
#include "ispawnctl.h"

#include "ispawn/base/fd.h"
#include "ispawn/base/json.h"
#include "ispawnctl-host.h"

#include <pwd.h>
#include <stdio.h>

#define NOTE                                                                                       \
	"accounts that the name service does not enumerate (LDAP, sssd) are not among these; "     \
	"ispawnctl explain USER knows them"

/* Services through which people log in. */
static const char *const doors[] = {"sshd", "login", "su"};

/* struct names - accounts, in the order of the name service; owned */
struct names {
	char **items;
	size_t count;
};

/* struct found - one account on the host, at some door */
struct found {
	bool is_on_host;
	char doors[64]; /* their names, separated by blanks */
	struct verdict why;
};

/* struct audit - what is being told */
struct audit {
	struct isp_json json;
	bool is_json;
	bool uses_pam; /* sshd */
};

static void free_names(struct names *names)
{
	for (size_t i = 0; i < names->count; i++)
		free(names->items[i]);
	free((void *)names->items);
}
#define cleanup_names __attribute__((cleanup(free_names)))

static int add_name(struct names *names, const char *name)
{
	char **moved = reallocarray((void *)names->items, names->count + 1, sizeof(*moved));

	if (!moved)
		return -ENOMEM;
	names->items = moved;
	names->items[names->count] = strdup(name);
	if (!names->items[names->count])
		return -ENOMEM;
	names->count++;
	return 0;
}

/* Order: all names first; examining one asks the name service, which would lose its place. */
static int collect(struct names *names, struct isp_error *err)
{
	struct passwd *entry;
	int r = 0;

	setpwent();
	errno = 0;
	while (r == 0 && (entry = getpwent())) {
		if (is_login_shell(entry->pw_shell))
			r = add_name(names, entry->pw_name);
		errno = 0;
	}
	/* Ignored: ENOENT is how some name services end. */
	if (r == 0 && errno != 0 && errno != ENOENT)
		r = -errno;
	endpwent();
	return r < 0 ? isp_err_set(err, -r, ISP_STAGE_SUBJECT, "list the accounts") : 0;
}

static void examine(const struct audit *audit, const struct account *account, struct found *found)
{
	for (size_t i = 0; i < ISP_ARRAY_SIZE(doors); i++) {
		bool has_pam = i > 0 || audit->uses_pam;
		struct service service;
		struct verdict verdict;
		size_t used = strlen(found->doors);

		service_examine(account, doors[i], &service);
		account_login(account, has_pam ? &service : NULL, &verdict);
		service_free(&service);
		if (verdict.place != PLACE_HOST)
			continue;
		if (!found->is_on_host)
			found->why = verdict;
		found->is_on_host = true;
		(void)snprintf(found->doors + used, sizeof(found->doors) - used, "%s%s",
			       used > 0 ? " " : "", doors[i]); /* fits */
	}
}

static void print_found(const struct account *account, const struct found *found)
{
	char user[ISP_NAME_MAX * 2];
	char shell[100];

	isp_escape(user, sizeof(user), account->subject.user);
	isp_escape(shell, sizeof(shell), account->subject.shell);
	(void)printf("%s: uid %u, shell %s, by %s: %s\n", user, account->subject.uid, shell,
		     found->doors, found->why.reason);
}

static void write_found(struct isp_json *json, const struct account *account,
			const struct found *found)
{
	char words[sizeof(found->doors)];
	char *save = NULL;

	isp_json_begin(json, NULL, '{');
	isp_json_string(json, "user", account->subject.user);
	isp_json_number(json, "uid", account->subject.uid);
	isp_json_string(json, "shell", account->subject.shell);
	isp_json_begin(json, "services", '[');
	memcpy(words, found->doors, sizeof(words));
	for (char *word = strtok_r(words, " ", &save); word; word = strtok_r(NULL, " ", &save))
		isp_json_string(json, NULL, word);
	isp_json_end(json, ']');
	isp_json_string(json, "reason", found->why.reason);
	if (found->why.change[0])
		isp_json_string(json, "change", found->why.change);
	else
		isp_json_null(json, "change");
	isp_json_end(json, '}');
}

/* An account that cannot be looked up is nobody's way in, and worth a word. */
static int tell(struct audit *audit, const char *name)
{
	cleanup_account struct account account = {.is_exempt = false};
	struct found found = {.is_on_host = false};
	struct isp_error err = {0};

	if (account_find(name, &account, &err) < 0)
		return say_error(&err);
	examine(audit, &account, &found);
	if (!found.is_on_host)
		return STATUS_OK;
	if (audit->is_json)
		write_found(&audit->json, &account, &found);
	else
		print_found(&account, &found);
	return STATUS_OK;
}

/* UsePAM holds for everybody; where sshd cannot be asked nobody is vouched for. */
static bool asks_pam(void)
{
	cleanup_sshd struct sshd sshd = {.is_installed = false};

	sshd_ask("root", "192.0.2.1", &sshd);
	return !sshd.is_installed || (sshd.err.code == 0 && sshd_is(&sshd, "usepam", "yes"));
}

int audit_run(int argc, char **argv)
{
	cleanup_names struct names names = {.count = 0};
	struct audit audit = {.json = {.out = stdout}};
	struct isp_error err = {0};
	int status = STATUS_OK;

	audit.is_json = argc > 0 && strcmp(argv[0], "--json") == 0;
	if (argc > (audit.is_json ? 1 : 0))
		return refuse_argument("audit", argv[audit.is_json ? 1 : 0]);
	if (collect(&names, &err) < 0)
		return say_error(&err);
	audit.uses_pam = asks_pam();
	if (audit.is_json) {
		isp_json_begin(&audit.json, NULL, '{');
		isp_json_begin(&audit.json, "accounts", '[');
	}
	for (size_t i = 0; i < names.count; i++)
		if (tell(&audit, names.items[i]) != STATUS_OK)
			status = STATUS_FAILED;
	if (audit.is_json) {
		isp_json_end(&audit.json, ']');
		isp_json_string(&audit.json, "note", NOTE);
		isp_json_end(&audit.json, '}');
		(void)fputc('\n', stdout);
	} else {
		(void)printf("note: " NOTE "\n");
	}
	return status;
}
