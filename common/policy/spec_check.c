/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * spec_check.c - what may stand where inside; contract in ispawn/policy/spec.h
 *
 * The configuration asks these when it is read, and the supervisor asks them again when it reads a
 * spec: the second time is what makes the spec a boundary.
 */
#include "ispawn/policy/spec.h"
#include "ispawn/base/fd.h"
#include "ispawn/base/path.h"
#include "ispawn/policy/capability.h"

#include <arpa/inet.h>
#include <string.h>

const char *const isp_rootfs_words[] = {"overlay", "copy", "ephemeral", "readonly", NULL};
const char *const isp_home_words[] = {"private", "bind", "tmpfs", NULL};
const char *const isp_privilege_words[] = {"none", "sudo", "root", NULL};
const char *const isp_network_words[] = {"none", "host", NULL};
const char *const isp_logout_words[] = {"kill", "linger", NULL};
const char *const isp_owner_words[] = {"user", "root", NULL};

const char *isp_spec_owner_name(const struct isp_spec *spec)
{
	return spec->owner == ISP_OWNER_ROOT ? ISP_ROOT_NAME : spec->user;
}

uid_t isp_spec_owner_uid(const struct isp_spec *spec)
{
	return spec->owner == ISP_OWNER_ROOT ? 0 : spec->uid;
}

bool isp_spec_text_is_printable(const char *text)
{
	size_t size = strlen(text);

	for (size_t i = 0; i < size; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return false;
	return size <= ISP_SPEC_TEXT_MAX;
}

bool isp_spec_passwd_text_is_valid(const char *text)
{
	return isp_spec_text_is_printable(text) && !strchr(text, ':');
}

bool isp_spec_group_name_is_valid(const char *text)
{
	return text[0] && isp_spec_passwd_text_is_valid(text) && !strchr(text, ',');
}

bool isp_spec_shell_is_valid(const char *text)
{
	return text[0] == '\0' || (isp_path_is_clean(text) && text[1] && !strchr(text, ':'));
}

bool isp_spec_filter_is_valid(const char *text)
{
	/* What other programs call no filter: better refused than looked for in a file. */
	return isp_name_is_safe(text) && strcmp(text, "none") != 0 &&
	       strcmp(text, "unconfined") != 0;
}

bool isp_spec_hostname_is_valid(const char *text)
{
	size_t size = strlen(text);

	return size >= 1 && size <= 63 && text[0] != '-' && text[size - 1] != '-' &&
	       strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == size;
}

/* Is @path one of @list, or below one of it? */
static bool is_listed(const char *const *list, const char *path, bool or_below)
{
	for (; *list; list++) {
		size_t size = strlen(*list);

		if (strncmp(path, *list, size) == 0 &&
		    (path[size] == '\0' || (or_below && path[size] == '/')))
			return true;
	}
	return false;
}

bool isp_spec_home_is_usable(const char *path)
{
	static const char *const itself[] = {
		"/",        "/home",      "/media",   "/mnt",       "/opt",     "/run",
		"/srv",     "/tmp",       "/var",     "/var/cache", "/var/lib", "/var/log",
		"/var/run", "/var/spool", "/var/tmp", NULL,
	};
	static const char *const with_all_below[] = {
		"/proc", "/sys",   "/dev",   "/etc",    "/usr",  "/bin", "/sbin",
		"/lib",  "/lib32", "/lib64", "/libx32", "/boot", NULL,
	};

	return isp_path_is_clean(path) && !strchr(path, ':') && !is_listed(itself, path, false) &&
	       !is_listed(with_all_below, path, true);
}

/* The kernel's own trees: nothing of theirs is shown inside but what ispawn mounts itself. */
static const char *const kernel_trees[] = {"/proc", "/sys", "/dev", NULL};

bool isp_spec_bind_is_allowed(const char *source, const char *target, const char **ret_why)
{
	static const char *const host_itself[] = {"/", NULL};
	/* Threat: a service's socket is execution on the host, read-only or not. */
	static const char *const host_run[] = {"/run", "/var/run", NULL};
	static const char *const own[] = {ISPAWN_STORE_DIR, ISPAWN_RUN_DIR, ISPAWN_SYSCONFDIR,
					  ("/var" ISPAWN_RUN_DIR), NULL};
	static const char *const inside_itself[] = {"/", "/run", "/tmp", NULL};
	const char *why = NULL;

	if (!isp_path_is_clean(source) || strchr(source, ':'))
		why = "the source is not a clean absolute path";
	else if (!isp_path_is_clean(target) || strchr(target, ':'))
		why = "the target is not a clean absolute path";
	else if (is_listed(own, source, true))
		why = "ispawn's own directories are never shown inside";
	else if (is_listed(host_itself, source, false) || is_listed(host_run, source, true) ||
		 is_listed(kernel_trees, source, true))
		why = "the host's /, /run, /proc, /sys and /dev are never shown inside";
	else if (is_listed(inside_itself, target, false) || is_listed(kernel_trees, target, true))
		why = "the target would hide /, /run, /tmp, or something in /proc, /sys or /dev";
	if (why)
		*ret_why = why;
	return !why;
}

bool isp_spec_variable_is_allowed(const char *name)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_"
				      "0123456789";
	static const char *const refused[] = {
		"BASHOPTS",    "BASH_ENV",   "ENV",         "HOME",
		"HOSTALIASES", "IFS",        "LOCALDOMAIN", "LOCPATH",
		"LOGNAME",     "MAIL",       "NLSPATH",     "PATH",
		"PERL5DB",     "PERL5LIB",   "PERL5OPT",    "PROMPT_COMMAND",
		"PS4",         "PYTHONHOME", "PYTHONPATH",  "PYTHONSTARTUP",
		"RES_OPTIONS", "RUBYLIB",    "RUBYOPT",     "SHELL",
		"SHELLOPTS",   "SSH_TTY",    "USER",        NULL,
	};
	size_t size = strlen(name);

	/* Threat: a client that sets LD_PRELOAD, or a startup file, through AcceptEnv. */
	if (size == 0 || size > ISP_NAME_MAX || strspn(name, letters) != size ||
	    (name[0] >= '0' && name[0] <= '9'))
		return false;
	return strncmp(name, "LD_", 3) != 0 && strncmp(name, "ISPAWN_", 7) != 0 &&
	       strncmp(name, "GLIBC_", 6) != 0 && strncmp(name, "MALLOC_", 7) != 0 &&
	       strncmp(name, "GCONV_", 6) != 0 && !is_listed(refused, name, false);
}

bool isp_spec_address_is_valid(const char *text)
{
	struct in6_addr address;

	return inet_pton(AF_INET, text, &address) == 1 || inet_pton(AF_INET6, text, &address) == 1;
}

static bool is_of_owner(const char *session, const char *owner)
{
	size_t size = strlen(owner);

	return strncmp(session, owner, size) == 0 && strlen(session) == size + 9;
}

const char *isp_spec_contradiction(const struct isp_spec *spec, const char **ret_field)
{
	bool has_directory = spec->directory[0] != '\0';
	bool is_roots = spec->owner == ISP_OWNER_ROOT;
	const struct {
		bool is_wrong;
		const char *field, *why;
	} rules[] = {
		{!is_of_owner(spec->session, isp_spec_owner_name(spec)), "session",
		 "not a session of this user"},
		{(spec->capabilities & ~isp_capability_grantable()) != 0, "capabilities",
		 "one that is never granted"},
		{is_roots && !has_directory, "owner", "root has no logins"},
		/* Threat: a login's spec that is wrong in one field and takes a runner's rights. */
		{!is_roots && has_directory, "directory", "a login has a template"},
		{!is_roots && spec->runs_commands, "runs_commands", "a login has its shell"},
		{spec->is_rootless && !is_roots, "is_rootless",
		 "a login is never built by its user"},
		{!spec->is_rootless && (spec->is_unlimited || spec->has_one_id), "is_rootless",
		 "root's containers have limits and ids"},
		{spec->has_one_id && (spec->uid != 0 || spec->gid != 0), "has_one_id",
		 "another id than 0"},
		{!has_directory && !isp_spec_home_is_usable(spec->home_path), "home_path",
		 "not a value that is allowed here"},
		{has_directory && spec->home != ISP_HOME_TMPFS, "home", "a directory has its own"},
		{has_directory && spec->rootfs == ISP_ROOTFS_OVERLAY, "rootfs",
		 "a directory has no copy in the store"},
	};

	for (size_t i = 0; i < ISP_ARRAY_SIZE(rules); i++) {
		if (!rules[i].is_wrong)
			continue;
		*ret_field = rules[i].field;
		return rules[i].why;
	}
	return NULL;
}
