/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ispawnctl-ways-ssh.c - the ways in that sshd offers; contract in ispawnctl-host.h
 *
 * sshd does three kinds of things for a user.  It runs programs through his login shell: these are
 * where the cover or ispawn-shell puts them.  It dials and listens in its own process, which the
 * module has moved into the container's network, and nowhere else: the host's files are its files.
 * And it runs programs of the host by itself, as the user and with his environment: /bin/sh for rc
 * files and xauth.
 */
#include "ispawnctl-host.h"

#include "ispawn/base/fd.h"
#include "ispawn/base/path.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>

#define KEYS_MAX (1024 * 1024)
#define SYSTEM_RC "/etc/ssh/sshrc"
#define INTERNAL "internal-sftp"

/* struct ssh - what all of them are judged by; all borrowed but @login */
struct ssh {
	const struct account *account;
	const struct sshd *sshd;
	const struct service *service; /* NULL: sshd opens no PAM session */
	const struct service *policy;  /* the same, in any case */
	struct verdict login;          /* of a program that is run by the login shell */
};

/* What makes the dynamic loader of a program run somebody else's code. */
static const char *const loader_variables[] = {"LD_PRELOAD", "LD_AUDIT", "LD_LIBRARY_PATH"};

static bool is_yes(const struct ssh *ssh, const char *keyword)
{
	return sshd_is(ssh->sshd, keyword, "yes");
}

/* Is the word "internal-sftp", alone or with arguments, what this value starts with? */
static bool is_internal(const char *value)
{
	size_t size = strlen(INTERNAL);

	return value && strncmp(value, INTERNAL, size) == 0 &&
	       (value[size] == '\0' || value[size] == ' ');
}

/* The command behind `Subsystem sftp`; NULL: there is none. */
static const char *sftp_command(const struct ssh *ssh)
{
	for (const char *value = sshd_value(ssh->sshd, "subsystem", NULL); value;
	     value = sshd_value(ssh->sshd, "subsystem", value))
		if (strncmp(value, "sftp ", 5) == 0)
			return value + 5 + strspn(value + 5, " ");
	return NULL;
}

static bool is_sftp_forced(const struct ssh *ssh)
{
	return is_internal(sshd_value(ssh->sshd, "forcecommand", NULL));
}

static bool has_forced_command(const struct ssh *ssh)
{
	return !sshd_is(ssh->sshd, "forcecommand", "none");
}

static bool has_chroot(const struct ssh *ssh)
{
	return !sshd_is(ssh->sshd, "chrootdirectory", "none");
}

static bool is_confined(const struct ssh *ssh)
{
	return ssh->service && ssh->service->session.place == PLACE_CONFINED;
}

static bool is_denied(const struct ssh *ssh)
{
	return ssh->service && ssh->service->session.place == PLACE_DENIED;
}

/* Can what runs inside write the files that sshd reads in the home directory? */
static bool is_home_shared(const struct ssh *ssh)
{
	return ssh->login.place != PLACE_CONFINED || !ssh->policy->is_decided ||
	       ssh->policy->decision.settings.home == ISP_HOME_BIND;
}

static bool has_home_file(const struct ssh *ssh, const char *name)
{
	char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/%s", ssh->account->subject.home, name);
	return access(path, F_OK) == 0;
}

/* --- programs --------------------------------------------------------------------------------- */

static void judge_program(const struct ssh *ssh, struct verdict *v)
{
	*v = ssh->login;
	if (v->place != PLACE_DENIED && has_chroot(ssh))
		verdict_set(v, PLACE_HOST, "set ChrootDirectory none for this user",
			    "below ChrootDirectory the login shell is another file than the one "
			    "that is covered");
}

static void judge_command(const struct ssh *ssh, struct verdict *v)
{
	if (is_sftp_forced(ssh))
		verdict_set(v, PLACE_DENIED, "", "ForceCommand is internal-sftp");
	else
		judge_program(ssh, v);
}

static void judge_sftp(const struct ssh *ssh, struct verdict *v)
{
	const char *command = sftp_command(ssh);

	if (!command)
		verdict_set(v, PLACE_DENIED,
			    "for sftp: Subsystem sftp with the external sftp-server",
			    "sshd_config has no Subsystem sftp");
	else if (is_internal(command) || is_sftp_forced(ssh))
		verdict_set(v, PLACE_DENIED, "", "internal-sftp serves it: see there");
	else
		judge_program(ssh, v);
}

/* --- internal-sftp ---------------------------------------------------------------------------- */

/* One word of AuthorizedKeysFile as a path.  Return: false: it does not lie in the home. */
static bool key_file(const struct ssh *ssh, const char *word, char *ret_path, size_t size)
{
	const char *home = ssh->account->subject.home;

	if (strncmp(word, "%h/", 3) == 0)
		(void)snprintf(ret_path, size, "%s/%s", home, word + 3);
	else if (word[0] != '/')
		(void)snprintf(ret_path, size, "%s/%s", home, word);
	else
		(void)snprintf(ret_path, size, "%s", word);
	return word[0] != '/';
}

/* Threat: the key option command="internal-sftp", in a file that the user can write or that
 * somebody has written for him.  Of what stands in it no more than that is told. */
static bool may_keys_force_sftp(const struct ssh *ssh, bool *ret_is_written)
{
	const char *value = sshd_value(ssh->sshd, "authorizedkeysfile", NULL);
	char words[1024];
	char *save = NULL;
	bool is_writable = false;

	*ret_is_written = false;
	if (!value || !is_yes(ssh, "pubkeyauthentication"))
		return false;
	(void)snprintf(words, sizeof(words), "%s", value);
	for (char *word = strtok_r(words, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
		cleanup_free char *text = NULL;
		char path[PATH_MAX];

		if (key_file(ssh, word, path, sizeof(path)) && is_home_shared(ssh))
			is_writable = true;
		if (isp_fd_read_file(AT_FDCWD, path, KEYS_MAX, &text) == 0 &&
		    strstr(text, INTERNAL))
			*ret_is_written = true;
	}
	return is_writable || *ret_is_written;
}

static void judge_internal_sftp(const struct ssh *ssh, struct verdict *v)
{
	const char *command = sftp_command(ssh);
	bool is_written = false;

	if (is_denied(ssh) || (command && ssh->login.place == PLACE_HOST))
		*v = is_denied(ssh) ? ssh->service->session : ssh->login;
	else if (is_sftp_forced(ssh) && command)
		verdict_set(v, PLACE_HOST, "set ForceCommand none for this user",
			    "ForceCommand is internal-sftp: sshd itself serves the host's files");
	else if (is_internal(command))
		verdict_set(v, PLACE_HOST,
			    "set Subsystem sftp to the external sftp-server, and install it in the "
			    "template",
			    "Subsystem sftp is internal-sftp: sshd itself serves the host's files");
	else if (command && !has_forced_command(ssh) && may_keys_force_sftp(ssh, &is_written))
		verdict_set(v, PLACE_HOST,
			    is_written ? "take command=\"internal-sftp\" out of the user's "
					 "authorized_keys"
				       : "set AuthorizedKeysFile to a place outside the home, or "
					 "home = private",
			    is_written ? "a key of the user's may ask for internal-sftp, by which "
					 "sshd itself serves the host's files"
				       : "the user can write authorized_keys, with "
					 "command=\"internal-sftp\" in it, by which sshd itself "
					 "serves the host's files");
	else
		verdict_set(v, PLACE_DENIED, "", "neither Subsystem nor ForceCommand names it");
}

/* --- forwarding ------------------------------------------------------------------------------- */

/* @excluded: the one word of AllowTcpForwarding and its kind that leaves this direction out */
static bool is_switched_off(const struct ssh *ssh, const char *keyword, const char *excluded)
{
	return is_yes(ssh, "disableforwarding") || sshd_is(ssh->sshd, keyword, "no") ||
	       sshd_is(ssh->sshd, keyword, excluded);
}

/* sshd in the network of the container, and else nowhere in it */
static void judge_network(const struct ssh *ssh, const char *change, struct verdict *v)
{
	if (!is_confined(ssh)) {
		/* Also where ispawn-shell alone confines: sshd stays where it is. */
		if (ssh->service)
			*v = ssh->service->session;
		else
			verdict_set(v, PLACE_HOST, "set UsePAM yes in sshd_config",
				    "no PAM session is opened");
		if (v->place == PLACE_HOST && ssh->account->is_shell_ours)
			verdict_set(v, PLACE_HOST, change,
				    "sshd forwards by itself, and no PAM session has moved it "
				    "into a container's network");
	} else if (ssh->service->decision.settings.network == ISP_NETWORK_HOST) {
		verdict_set(v, PLACE_HOST,
			    "set network = none in ispawn.conf, or PermitOpen in "
			    "sshd_config",
			    "network = host: sshd forwards in the host's network");
	} else {
		verdict_set(v, PLACE_CONFINED, "",
			    "sshd forwards from within the container's network");
	}
}

static void judge_direct(const struct ssh *ssh, struct verdict *v)
{
	if (is_switched_off(ssh, "allowtcpforwarding", "remote") ||
	    sshd_is(ssh->sshd, "permitopen", "none"))
		verdict_set(v, PLACE_DENIED, "", "sshd_config does not allow it");
	else
		judge_network(ssh, "set AllowTcpForwarding no for this user", v);
}

static void judge_remote(const struct ssh *ssh, struct verdict *v)
{
	if (is_switched_off(ssh, "allowtcpforwarding", "local") ||
	    sshd_is(ssh->sshd, "permitlisten", "none"))
		verdict_set(v, PLACE_DENIED, "", "sshd_config does not allow it");
	else
		judge_network(ssh, "set AllowTcpForwarding no for this user", v);
}

static void judge_streamlocal(const struct ssh *ssh, struct verdict *v)
{
	if (is_switched_off(ssh, "allowstreamlocalforwarding", "no"))
		verdict_set(v, PLACE_DENIED, "", "sshd_config does not allow it");
	else if (is_denied(ssh))
		*v = ssh->service->session;
	else
		verdict_set(v, PLACE_HOST, "set AllowStreamLocalForwarding no for this user",
			    "sshd opens and makes Unix sockets among the host's files, as the "
			    "user");
}

static void judge_tunnel(const struct ssh *ssh, struct verdict *v)
{
	if (is_switched_off(ssh, "permittunnel", "no"))
		verdict_set(v, PLACE_DENIED, "", "sshd_config does not allow it");
	else
		judge_network(ssh, "set PermitTunnel no for this user", v);
}

/* The socket is the client's agent and nothing of the host's; but who is on the host can use it.
 * DisableForwarding is not asked, here and for X11: sshd before 10.0 forwards both in spite of it
 * (CVE-2025-32728), and a version does not tell whether a distribution has mended its own. */
static void judge_agent(const struct ssh *ssh, struct verdict *v)
{
	if (sshd_is(ssh->sshd, "allowagentforwarding", "no"))
		verdict_set(v, PLACE_DENIED, "", "sshd_config does not allow it");
	else if (is_confined(ssh))
		verdict_set(v, PLACE_CONFINED, "set AllowAgentForwarding no for this user",
			    "the socket is made among the host's files, out of reach from inside");
	else
		*v = ssh->login;
}

/* --- what sshd runs by itself ----------------------------------------------------------------- */

static bool has_xauth(const struct ssh *ssh)
{
	const char *path = sshd_value(ssh->sshd, "xauthlocation", NULL);

	return path && access(path, X_OK) == 0;
}

/* popen(3) in sshd starts /bin/sh: where the user's shell is that very file, it is covered. */
static bool is_popen_covered(const struct ssh *ssh)
{
	return is_confined(ssh) && ssh->account->is_shell_sh && !has_chroot(ssh);
}

static bool is_x11_off(const struct ssh *ssh)
{
	return sshd_is(ssh->sshd, "x11forwarding", "no") || !has_xauth(ssh);
}

static bool is_user_rc_off(const struct ssh *ssh)
{
	return !is_yes(ssh, "permituserrc") || is_sftp_forced(ssh);
}

static void judge_x11(const struct ssh *ssh, struct verdict *v)
{
	if (is_x11_off(ssh))
		verdict_set(v, PLACE_DENIED, "",
			    "sshd_config does not allow it, or there is no xauth");
	else if (is_denied(ssh) || is_popen_covered(ssh))
		*v = ssh->service->session;
	else
		verdict_set(v, PLACE_HOST, "set X11Forwarding no for this user",
			    "sshd runs xauth on the host, as the user");
}

static void judge_rc(const struct ssh *ssh, struct verdict *v)
{
	if (is_denied(ssh))
		*v = ssh->service->session;
	else if (access(SYSTEM_RC, F_OK) == 0 && !is_popen_covered(ssh))
		verdict_set(v, PLACE_HOST, "take " SYSTEM_RC " away",
			    "sshd runs /bin/sh " SYSTEM_RC " on the host, as the user");
	else if (is_user_rc_off(ssh))
		verdict_set(v, PLACE_DENIED, "", "PermitUserRC is no, and there is no " SYSTEM_RC);
	else
		judge_program(ssh, v);
}

static bool accepts_loader_variable(const struct ssh *ssh)
{
	for (size_t i = 0; i < ISP_ARRAY_SIZE(loader_variables); i++)
		if (sshd_accepts_variable(ssh->sshd, loader_variables[i]))
			return true;
	return false;
}

/* Programs of the host that sshd starts with the variables of the user set. */
static bool starts_host_program(const struct ssh *ssh)
{
	bool has_rc =
		!is_user_rc_off(ssh) && (is_home_shared(ssh) || has_home_file(ssh, ".ssh/rc"));

	if (is_popen_covered(ssh))
		return false;
	return !is_x11_off(ssh) || access(SYSTEM_RC, F_OK) == 0 || has_rc;
}

static void judge_environment(const struct ssh *ssh, struct verdict *v)
{
	bool is_file_read = !sshd_is(ssh->sshd, "permituserenvironment", "no");

	if (is_denied(ssh))
		*v = ssh->service->session;
	else if (!is_file_read && !accepts_loader_variable(ssh))
		verdict_set(v, PLACE_DENIED, "",
			    "PermitUserEnvironment is no, and AcceptEnv takes no variable of the "
			    "loader's");
	else if (ssh->login.place != PLACE_CONFINED)
		*v = ssh->login;
	else if (starts_host_program(ssh))
		verdict_set(v, PLACE_HOST,
			    "set PermitUserEnvironment no, AcceptEnv without LD_*, and "
			    "PermitUserRC and X11Forwarding no",
			    "variables that the user sets reach programs that sshd runs on the "
			    "host: /bin/sh for rc files, xauth");
	else
		verdict_set(v, PLACE_CONFINED, "",
			    "an allowlist decides what goes inside, and ispawn-shell is static");
}

/* --- all -------------------------------------------------------------------------------------- */

static const struct {
	const char *name, *what;
	void (*judge)(const struct ssh *ssh, struct verdict *v);
} offers[] = {
	{"ssh-shell", "ssh, a shell", judge_command},
	{"ssh-command", "ssh, a command", judge_command},
	{"sftp", "ssh, the external sftp-server", judge_sftp},
	{"internal-sftp", "ssh, the sftp server in sshd", judge_internal_sftp},
	{"forward-local", "ssh -L", judge_direct},
	{"forward-remote", "ssh -R", judge_remote},
	{"forward-dynamic", "ssh -D", judge_direct},
	{"jump", "ssh -J and -W", judge_direct},
	{"streamlocal", "ssh -L and -R with Unix sockets", judge_streamlocal},
	{"x11", "ssh -X", judge_x11},
	{"agent", "ssh -A", judge_agent},
	{"tunnel", "ssh -w", judge_tunnel},
	{"ssh-rc", "~/.ssh/rc and " SYSTEM_RC, judge_rc},
	{"ssh-environment", "~/.ssh/environment and AcceptEnv", judge_environment},
};

static void judge(const struct ssh *ssh, size_t i, struct verdict *v)
{
	if (!ssh->sshd->is_installed)
		verdict_set(v, PLACE_DENIED, "", "there is no sshd here");
	else if (ssh->sshd->err.code != 0)
		verdict_set(v, PLACE_HOST, "correct sshd_config; see sshd -t",
			    "what sshd does is not known: %s", ssh->sshd->err.text);
	else
		offers[i].judge(ssh, v);
}

void ways_of_ssh(const struct account *account, const struct sshd *sshd,
		 const struct service *service, struct ways *ways)
{
	struct ssh ssh = {.account = account, .sshd = sshd, .policy = service};

	if (sshd_is(sshd, "usepam", "yes"))
		ssh.service = service;
	account_login(account, ssh.service, &ssh.login);
	if (ssh.login.place == PLACE_HOST && !ssh.service)
		verdict_set(&ssh.login, PLACE_HOST, "set UsePAM yes in sshd_config",
			    "sshd opens no PAM session");
	for (size_t i = 0; i < ISP_ARRAY_SIZE(offers); i++)
		judge(&ssh, i, &ways_add(ways, offers[i].name, offers[i].what)->verdict);
}
