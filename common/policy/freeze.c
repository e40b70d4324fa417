/* SPDX-License-Identifier: GPL-3.0-or-later */
/* freeze.c - from a subject to a verdict and a spec; contract in ispawn/policy/freeze.h */
#include "ispawn/policy/freeze.h"
#include "ispawn/base/fd.h"
#include "ispawn/base/path.h"

#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define FALLBACK_SHELL "/bin/bash"
#define RESOLV_CONF "/etc/resolv.conf"
#define RESOLV_CONF_SIZE_MAX 65536
#define SHELLS "/etc/shells"
#define SHELLS_SIZE_MAX 65536

static int copy_text(const char *text, char **ret_text)
{
	char *copy = strdup(text);

	if (!copy)
		return -ENOMEM;
	*ret_text = copy;
	return 0;
}

/* A copy with every byte that is_valid() would refuse replaced. @also: refused beside controls. */
static int copy_clean(const char *text, const char *also, char **ret_text)
{
	char *copy = strndup(text, ISP_SPEC_TEXT_MAX);

	if (!copy)
		return -ENOMEM;
	for (char *p = copy; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f || strchr(also, *p))
			*p = '?';
	*ret_text = copy;
	return 0;
}

static bool is_id(uint32_t id)
{
	return id != 0 && id != UINT32_MAX;
}

static int freeze_subject(const struct isp_subject *subject, struct isp_spec *spec,
			  struct isp_error *err)
{
	const char *group = subject->group[0] ? subject->group : "?";
	int r;

	if (!isp_name_is_safe(subject->user))
		return isp_err_set(err, EPERM, ISP_STAGE_POLICY,
				   "a user whose name holds other than A-Z a-z 0-9 _ . @ $ + \\ - "
				   "cannot be confined");
	if (subject->owner == ISP_OWNER_USER && strcmp(subject->user, ISP_ROOT_NAME) == 0)
		return isp_err_set(err, EPERM, ISP_STAGE_POLICY,
				   "a user of the name \"" ISP_ROOT_NAME "\" cannot be confined");
	if (subject->owner == ISP_OWNER_USER && (!is_id(subject->uid) || !is_id(subject->gid)))
		return isp_err_set(err, EPERM, ISP_STAGE_POLICY,
				   "uid %u and gid %u: neither may be 0 or -1 in a container",
				   subject->uid, subject->gid);
	(void)snprintf(spec->user, sizeof(spec->user), "%s", subject->user); /* fits: same size */
	spec->owner = subject->owner;
	spec->uid = subject->uid;
	spec->gid = subject->gid;
	r = copy_clean(group, ":,", &spec->group);
	if (r == 0)
		r = copy_clean(subject->gecos, ":", &spec->gecos);
	if (r == 0)
		r = copy_clean(subject->service, "", &spec->service);
	if (r == 0)
		r = copy_clean(subject->tty, "", &spec->tty);
	if (r == 0)
		r = copy_clean(subject->rhost, "", &spec->rhost);
	return r;
}

/* Groups that the policy keeps and the user is a member of; group 0 is never kept. */
static int freeze_groups(const struct isp_settings *settings, const struct isp_subject *subject,
			 struct isp_spec *spec)
{
	for (size_t i = 0; i < subject->group_count; i++) {
		const struct isp_group *group = &subject->groups[i];
		bool is_kept = false;
		int r;

		for (size_t k = 0; k < settings->groups.count && !is_kept; k++)
			is_kept = strcmp(settings->groups.words[k], group->name) == 0;
		if (!is_kept || !is_id(group->gid) || group->gid == subject->gid)
			continue;
		/* Several groups of one name are possible: the name service is not ours. */
		if (spec->group_count == ISP_LIST_MAX)
			return -E2BIG;
		r = copy_clean(group->name, ":,", &spec->groups[spec->group_count].name);
		if (r < 0)
			return r;
		spec->groups[spec->group_count++].gid = group->gid;
	}
	return 0;
}

static bool is_ispawn_shell(const char *path)
{
	const char *slash = strrchr(path, '/');

	return strcmp(path, ISPAWN_SHELL) == 0 ||
	       strcmp(slash ? slash + 1 : path, "ispawn-shell") == 0;
}

static int freeze_shell(const struct isp_settings *settings, const struct isp_subject *subject,
			struct isp_spec *spec)
{
	const char *shell = settings->shell;

	if (strcmp(shell, "none") == 0)
		return copy_text("", &spec->shell);
	if (strcmp(shell, "passwd") != 0)
		return copy_text(shell, &spec->shell);
	spec->shell_is_fallback = true;
	/* ispawn-shell as the login shell says how the user comes in, not what is wanted inside. */
	if (subject->shell[0] == '\0' || !isp_spec_shell_is_valid(subject->shell) ||
	    is_ispawn_shell(subject->shell))
		return copy_text(FALLBACK_SHELL, &spec->shell);
	return copy_text(subject->shell, &spec->shell);
}

static int freeze_home(const struct isp_subject *subject, struct isp_spec *spec)
{
	char path[sizeof("/home/") + ISP_NAME_MAX];

	if (subject->owner == ISP_OWNER_ROOT || isp_spec_home_is_usable(subject->home))
		return copy_text(subject->home, &spec->home_path);
	(void)snprintf(path, sizeof(path), "/home/%s", subject->user); /* fits */
	return copy_text(path, &spec->home_path);
}

static char to_lower(char c)
{
	static const char upper[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
	const char *found = strchr(upper, c); /* NUL is not asked for */

	if (found)
		c = "abcdefghijklmnopqrstuvwxyz"[found - upper];
	return c;
}

/* "USER-HOST" as one label: other bytes become '-', never at an end, never two in a row. */
static void freeze_hostname(const char *user, const char *host, struct isp_spec *spec)
{
	char wanted[ISP_NAME_MAX + 1 + HOST_NAME_MAX + 1];
	size_t used = 0;

	(void)snprintf(wanted, sizeof(wanted), "%s-%.*s", user, (int)strcspn(host, "."),
		       host); /* Ignored: cut below anyway */
	for (const char *p = wanted; *p && used < 63; p++) {
		char c = to_lower(*p);
		bool is_plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');

		if (is_plain)
			spec->hostname[used++] = c;
		else if (used > 0 && spec->hostname[used - 1] != '-')
			spec->hostname[used++] = '-';
	}
	while (used > 0 && spec->hostname[used - 1] == '-')
		used--;
	spec->hostname[used] = '\0';
	if (used == 0)
		(void)snprintf(spec->hostname, sizeof(spec->hostname), "ispawn"); /* fits */
}

static int freeze_words(const struct isp_words *list, char **ret_words, size_t *ret_count)
{
	for (size_t i = 0; i < list->count; i++) {
		int r = copy_text(list->words[i], &ret_words[i]);

		if (r < 0)
			return r;
		*ret_count = i + 1;
	}
	return 0;
}

static int freeze_binds(const struct isp_binds *list, struct isp_spec *spec)
{
	for (size_t i = 0; i < list->count; i++) {
		struct isp_bind *bind = &spec->binds[i];
		int r;

		spec->bind_count = i + 1; /* so that isp_spec_free() finds a half bind */
		bind->is_read_only = list->binds[i].is_read_only;
		r = copy_text(list->binds[i].source, &bind->source);
		if (r == 0)
			r = copy_text(list->binds[i].target, &bind->target);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Takes the address of one `nameserver` line; whatever else stands there is passed over. */
static int take_resolver(const char *line, size_t size, struct isp_spec *spec)
{
	char text[64];
	const char *word = "nameserver";
	size_t skip = strlen(word);
	size_t length;

	if (size <= skip || strncmp(line, word, skip) != 0 || !isblank((unsigned char)line[skip]))
		return 0;
	while (skip < size && isblank((unsigned char)line[skip]))
		skip++;
	length = strcspn(line + skip, " \t\r\n");
	if (length >= sizeof(text) || spec->dns_count == ISP_LIST_MAX)
		return 0;
	memcpy(text, line + skip, length);
	text[length] = '\0';
	if (!isp_spec_address_is_valid(text))
		return 0;
	return copy_text(text, &spec->dns[spec->dns_count++]);
}

static int freeze_dns(const struct isp_settings *settings, const char *resolvers,
		      struct isp_spec *spec)
{
	int r = freeze_words(&settings->dns, spec->dns, &spec->dns_count);

	if (settings->dns.count > 0 || settings->network != ISP_NETWORK_HOST)
		return r;
	while (r == 0 && *resolvers) {
		size_t size = strcspn(resolvers, "\n");

		r = take_resolver(resolvers, size, spec);
		resolvers += size + (resolvers[size] ? 1 : 0);
	}
	return r;
}

/* What is only copied. */
static void freeze_plain(const struct isp_settings *s, struct isp_spec *spec)
{
	memcpy(spec->template_name, s->template_name, sizeof(spec->template_name));
	spec->rootfs = s->rootfs;
	spec->home = s->home;
	spec->tmp_size_bytes = s->tmp_size_bytes;
	spec->ephemeral_size_bytes = s->ephemeral_size_bytes;
	spec->privilege = s->privilege;
	spec->capabilities = s->capabilities;
	memcpy(spec->seccomp, s->seccomp, sizeof(spec->seccomp));
	spec->network = s->network;
	spec->limits = s->limits;
	spec->nofile = s->nofile;
	spec->on_logout = s->on_logout;
	spec->idle_timeout_s = s->idle_timeout_s;
	spec->max_session_s = s->max_session_s;
	spec->start_timeout_s = s->start_timeout_s;
}
_Static_assert(sizeof(((struct isp_spec *)0)->template_name) ==
		       sizeof(((struct isp_settings *)0)->template_name),
	       "template names are of one size");
_Static_assert(sizeof(((struct isp_spec *)0)->seccomp) ==
		       sizeof(((struct isp_settings *)0)->seccomp),
	       "names of profiles are of one size");

int isp_policy_freeze_spec(const struct isp_settings *settings, const struct isp_subject *subject,
			   const char *hostname, const char *resolvers, struct isp_spec *ret_spec,
			   struct isp_error *err)
{
	int r = freeze_subject(subject, ret_spec, err);

	freeze_plain(settings, ret_spec);
	freeze_hostname(subject->owner == ISP_OWNER_ROOT ? "" : subject->user, hostname, ret_spec);
	if (r == 0)
		r = freeze_groups(settings, subject, ret_spec);
	if (r == 0)
		r = freeze_shell(settings, subject, ret_spec);
	if (r == 0)
		r = freeze_home(subject, ret_spec);
	if (r == 0)
		r = freeze_words(&settings->environment, ret_spec->environment,
				 &ret_spec->environment_count);
	if (r == 0)
		r = freeze_binds(&settings->binds, ret_spec);
	if (r == 0)
		r = freeze_dns(settings, resolvers, ret_spec);
	if (r == 0)
		r = copy_text("", &ret_spec->directory);
	if (r == 0)
		r = isp_session_id_make(isp_spec_owner_name(ret_spec), ret_spec->session);
	if (r == 0)
		return 0;
	isp_spec_free(ret_spec);
	return isp_err_set(err, -r, ISP_STAGE_POLICY, "freeze the spec");
}

/* The host's resolv.conf as one string; "" when there is none. It is often a symlink to a file of
 * a service that is not root; its addresses are all that is taken, and each is checked. */
int isp_policy_read_resolvers(char **ret_text)
{
	cleanup_close int fd = open(RESOLV_CONF, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	char *text = calloc(1, RESOLV_CONF_SIZE_MAX + 1);
	struct stat st;

	if (!text)
		return -ENOMEM;
	/* Ignored: a file that cannot be read gives a container without resolvers. */
	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	    isp_fd_read_all(fd, text, RESOLV_CONF_SIZE_MAX) < 0)
		text[0] = '\0';
	*ret_text = text;
	return 0;
}

/* Does the host offer @shell as a login shell?  A file that cannot be read offers none. */
static bool is_offered(const char *shell)
{
	cleanup_free char *text = NULL;

	if (isp_fd_read_file(AT_FDCWD, SHELLS, SHELLS_SIZE_MAX, &text) < 0)
		return false;
	for (const char *line = text; *line;) {
		size_t size = strcspn(line, "\n");

		if (strlen(shell) == size && memcmp(line, shell, size) == 0)
			return true;
		line += size + (line[size] == '\n');
	}
	return false;
}

/* Threat: an account that is shut (nologin) or held to one program by its shell would get bash when
 * the template lacks that program. */
static void forbid_fallback(const struct isp_subject *subject, struct isp_spec *spec)
{
	if (strcmp(spec->shell, subject->shell) == 0 && !is_offered(subject->shell))
		spec->shell_is_fallback = false;
}

static int freeze_decision(const struct isp_decision *decision, const struct isp_subject *subject,
			   struct isp_spec *ret_spec, struct isp_error *err)
{
	cleanup_free char *resolvers = NULL;
	char hostname[HOST_NAME_MAX + 1] = "";
	int r = isp_policy_read_resolvers(&resolvers);

	if (r < 0)
		return isp_err_set(err, -r, ISP_STAGE_POLICY, "read \"%s\"", RESOLV_CONF);
	if (gethostname(hostname, sizeof(hostname)) != 0)
		return isp_err_set(err, errno, ISP_STAGE_POLICY, "gethostname");
	r = isp_policy_freeze_spec(&decision->settings, subject, hostname, resolvers, ret_spec,
				   err);
	if (r == 0)
		forbid_fallback(subject, ret_spec);
	return r;
}

int isp_policy_freeze(const char *config_path, const struct isp_subject *subject,
		      enum isp_verdict *ret_verdict, struct isp_spec *ret_spec,
		      struct isp_error *err)
{
	cleanup_config struct isp_config config = {.file_count = 0};
	cleanup_decision struct isp_decision decision = {.verdict = ISP_VERDICT_DENY};
	int r = isp_config_load(config_path, &config, err);

	if (r == 0)
		r = isp_decide(&config, subject, &decision, err);
	if (r == 0 && decision.verdict == ISP_VERDICT_CONFINE)
		r = freeze_decision(&decision, subject, ret_spec, err);
	if (r < 0)
		return r;
	if (decision.verdict == ISP_VERDICT_DENY)
		(void)isp_err_set(err, EACCES, ISP_STAGE_POLICY, "%s", decision.reason);
	*ret_verdict = decision.verdict;
	return 0;
}
