/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ispawnctl-check.c - `ispawnctl check`: would logins work?
 *
 *	1. the configuration, read as a login reads it, and what each section means on this host
 *	2. the programs that a login executes
 *	3. what the machine must offer: store, templates, limits, namespaces, mounts, filter
 *	4. the seccomp profiles, named by a section or not
 *
 * What is checked in the third part comes from the first: the templates, limits, binds and kinds of
 * root that some section asks for.  Without a readable configuration the defaults stand in.
 */
#include "ispawnctl.h"

#include "ispawn/base/fd.h"
#include "ispawn/base/path.h"
#include "ispawn/container/rootfs.h"
#include "ispawn/policy/freeze.h"

#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define FINDING_SIZE (ISP_ERROR_TEXT_SIZE + 100)

/* struct wants - something that sections ask for, once each: @key tells them apart */
struct wants {
	char **keys;
	size_t count;
};

/* struct check - the findings so far, and what has been tried already */
struct check {
	size_t failures;
	struct wants tried;
};

static void ok(const char *what)
{
	(void)printf("ok: %s\n", what);
}

/* @advice: what to do, one sentence without a full stop */
static void fail(struct check *check, const char *what, const char *advice)
{
	check->failures++;
	(void)printf("FAIL: %s: %s\n", what, advice);
}

static void fail_with(struct check *check, const char *what, const struct isp_error *err,
		      const char *advice)
{
	char finding[FINDING_SIZE + 100];
	const char *words = strerrordesc_np(err->code);

	(void)snprintf(finding, sizeof(finding), "%s: %s: %s", what, err->text,
		       words ? words : "unknown error"); /* Ignored: cut is fine */
	fail(check, finding, advice);
}

static void report(struct check *check, int result, const char *what, const struct isp_error *err,
		   const char *advice)
{
	if (result < 0)
		fail_with(check, what, err, advice);
	else
		ok(what);
}

static void forget(struct check *check)
{
	for (size_t i = 0; i < check->tried.count; i++)
		free(check->tried.keys[i]);
	free((void *)check->tried.keys);
}

/* Is @key met for the first time?  When memory is short things are tried twice, no harm. */
static bool is_new(struct check *check, const char *key)
{
	struct wants *w = &check->tried;
	char **moved;

	for (size_t i = 0; i < w->count; i++)
		if (strcmp(w->keys[i], key) == 0)
			return false;
	moved = reallocarray((void *)w->keys, w->count + 1, sizeof(*moved));
	if (!moved)
		return true;
	w->keys = moved;
	w->keys[w->count] = strdup(key);
	if (w->keys[w->count])
		w->count++;
	return true;
}

/* --- what the settings ask of the machine ----------------------------------------------------- */

static void try_template(struct check *check, const struct isp_settings *s)
{
	cleanup_close int fd = -EBADF;
	struct isp_error err = {0};
	char path[PATH_MAX];
	char what[ISP_NAME_MAX + 64];

	(void)snprintf(what, sizeof(what), "template %s with rootfs = %s", s->template_name,
		       isp_rootfs_words[s->rootfs]);
	if (!is_new(check, what))
		return;
	(void)snprintf(path, sizeof(path), ISPAWN_STORE_DIR "/templates/%s/rootfs",
		       s->template_name);
	if (isp_path_open_trusted(path, O_PATH | O_DIRECTORY, ISP_STAGE_ROOTFS, &fd, &err) < 0) {
		fail_with(check, what, &err,
			  "put a root file system there, owned by root; see ispawn.conf(5)");
		return;
	}
	report(check, probe_rootfs(path, s->rootfs, &err), what, &err,
	       "use a kernel and a file system with idmapped mounts (ext4, xfs or btrfs; Linux "
	       "5.19 "
	       "for rootfs = overlay, else 5.15)");
}

/* "memory = 1024M, "; nothing for what is not limited at all */
static void append_limit(char *text, size_t size, const char *key, uint64_t value, const char *unit)
{
	size_t used = strlen(text);

	if (value != UINT64_MAX)
		(void)snprintf(text + used, size - used, " %s = %llu%s", key,
			       (unsigned long long)value, unit); /* fits */
}

static uint64_t mebibytes(uint64_t bytes)
{
	return bytes == UINT64_MAX ? bytes : bytes >> 20;
}

static void try_limits(struct check *check, const struct isp_limits *l)
{
	struct isp_error err = {0};
	char what[240] = "limits";

	/* `sessions` is counted by ispawn itself. */
	append_limit(what, sizeof(what), "memory", mebibytes(l->memory_bytes), "M");
	append_limit(what, sizeof(what), "swap", mebibytes(l->swap_bytes), "M");
	append_limit(what, sizeof(what), "pids", l->pids, "");
	append_limit(what, sizeof(what), "cpu", l->cpu_percent, "%");
	append_limit(what, sizeof(what), "cpu_weight", l->cpu_weight, "");
	append_limit(what, sizeof(what), "io_weight", l->io_weight, "");
	if (is_new(check, what))
		report(check, probe_limits(l, &err), what, &err,
		       "mount the cgroup controller, or lift the limit in ispawn.conf");
}

static void try_binds(struct check *check, const struct isp_settings *s)
{
	for (size_t i = 0; i < s->binds.count; i++) {
		cleanup_close int fd = -EBADF;
		struct isp_error err = {0};
		char what[FINDING_SIZE] = "bind ";

		isp_escape(what + strlen(what), sizeof(what) - strlen(what),
			   s->binds.binds[i].source);
		if (is_new(check, what))
			report(check, isp_rootfs_make_bind(&s->binds.binds[i], &fd, &err), what,
			       &err, "make it, or correct bind in ispawn.conf");
	}
}

static void try_profile(struct check *check, const char *name, uint64_t capabilities)
{
	cleanup_profile struct isp_profile profile = {.count = 0};
	struct isp_error err = {0};
	char what[FINDING_SIZE];
	size_t used =
		(size_t)snprintf(what, sizeof(what), "seccomp profile %s with capabilities %llx",
				 name, (unsigned long long)capabilities); /* fits */

	if (!is_new(check, what))
		return;
	if (probe_profile(name, capabilities, &profile, &err) < 0) {
		fail_with(check, what, &err, "correct it; see ispawn.conf(5)");
		return;
	}
	used += (size_t)snprintf(what + used, sizeof(what) - used, ": %zu instructions",
				 profile.count);
	if (profile.unknown_count > 0) /* Ignored: cut is fine */
		(void)snprintf(what + used, sizeof(what) - used,
			       ", names that libseccomp does not know: %u (%s)",
			       profile.unknown_count, profile.unknown);
	ok(what);
}

static void try_filter(struct check *check, const struct isp_settings *s)
{
	struct isp_error err = {0};

	if (strcmp(s->seccomp, ISP_SECCOMP_DEFAULT) == 0)
		return;
	if (strcmp(s->seccomp, ISP_SECCOMP_LEARN) != 0)
		try_profile(check, s->seccomp, isp_spec_bounding(s->privilege, s->capabilities));
	else if (is_new(check, "learn"))
		report(check, probe_learn(&err), "seccomp = learn, for trusted users alone", &err,
		       "let the kernel log what the filter asks it to");
}

static void try_listed(void *closure, const char *name)
{
	struct check *check = closure;
	char shown[80];

	if (isp_spec_filter_is_valid(name) && !isp_seccomp_is_built_in(name)) {
		try_profile(check, name, 0);
		return;
	}
	isp_escape(shown, sizeof(shown), name);
	fail(check, shown, "no section can name this profile: give it another name");
}

static void check_profiles(struct check *check)
{
	struct isp_error err = {0};

	if (profiles_each(try_listed, check, &err) < 0)
		fail_with(check, "seccomp profiles", &err, "make it root's alone to write");
}

static void try_settings(struct check *check, const struct isp_settings *s)
{
	struct isp_error err = {0};

	try_template(check, s);
	try_limits(check, &s->limits);
	try_binds(check, s);
	try_filter(check, s);
	if (s->home == ISP_HOME_PRIVATE && is_new(check, "private home"))
		report(check, probe_store(&err), "home = private in \"" ISPAWN_STORE_DIR "\"", &err,
		       "put the store on a file system with idmapped mounts (ext4, xfs, btrfs)");
}

/* --- the configuration ------------------------------------------------------------------------ */

/* Could somebody log in with these settings? Then they must be good for it. */
static void try_decision(struct check *check, const struct isp_config *config,
			 const struct isp_subject *subject)
{
	cleanup_decision struct isp_decision decision = {.verdict = ISP_VERDICT_DENY};
	struct isp_error err = {0};

	if (isp_decide(config, subject, &decision, &err) < 0)
		fail_with(check, "decide", &err, "correct ispawn.conf");
	else if (decision.settings.confine)
		try_settings(check, &decision.settings);
}

/* A subject that only the one section and [defaults] apply to; nothing in it is owned. */
static void try_section(struct check *check, const struct isp_config *config,
			const struct isp_config_section *section)
{
	char nothing[] = "";
	char *name = section ? section->name : nothing;
	bool is_group = section && section->kind == ISP_SECTION_GROUP;
	bool is_service = section && section->kind == ISP_SECTION_SERVICE;
	struct isp_subject subject = {
		.group = is_group ? name : nothing,
		.gecos = nothing,
		.home = nothing,
		.shell = nothing,
		.service = is_service ? name : nothing,
		.tty = nothing,
		.rhost = nothing,
	};

	try_decision(check, config, &subject);
}

static void say_section(struct check *check, const struct isp_config *config,
			const struct isp_config_section *section, const char *finding,
			const char *advice)
{
	char title[ISP_NAME_MAX * 2 + 16];
	char file[160];
	char what[FINDING_SIZE + sizeof(title) + sizeof(file)];

	isp_config_section_title(section, title, sizeof(title));
	isp_escape(file, sizeof(file), config->files[section->file]);
	(void)snprintf(what, sizeof(what), "%s in %s, line %u: %s", title, file, section->line,
		       finding); /* fits */
	fail(check, what, advice);
}

/* Freezes what a login of this user would freeze. */
static void try_freeze(struct check *check, const struct isp_config *config,
		       const struct isp_config_section *section, const struct isp_subject *subject)
{
	cleanup_decision struct isp_decision decision = {.verdict = ISP_VERDICT_DENY};
	cleanup_spec struct isp_spec spec = {.uid = 0};
	struct isp_error err = {0};
	char words[FINDING_SIZE];

	if (isp_decide(config, subject, &decision, &err) == 0 && !decision.settings.confine)
		return;
	if (err.code == 0 && isp_subject_is_exempt(subject)) {
		say_section(check, config, section,
			    "root and members of " ISPAWN_EXEMPT_GROUP " are never confined",
			    "take the section out, or the user out of the group");
		return;
	}
	if (err.code == 0 &&
	    isp_policy_freeze_spec(&decision.settings, subject, "localhost", "", &spec, &err) == 0)
		return;
	isp_err_describe(&err, words, sizeof(words));
	say_section(check, config, section, words, "logins of this user would be denied");
}

static void check_user(struct check *check, const struct isp_config *config,
		       const struct isp_config_section *section)
{
	cleanup_subject struct isp_subject subject = {.uid = 0};
	struct isp_error err = {0};

	/* The service decides about the verdict alone, which is not asked for here. */
	if (isp_subject_resolve(section->name, "sshd", NULL, NULL, &subject, &err) < 0) {
		say_section(check, config, section, "no such user here, so it applies to nobody",
			    "correct the name, or take the section out");
		return;
	}
	try_freeze(check, config, section, &subject);
	try_decision(check, config, &subject);
}

static void check_section(struct check *check, const struct isp_config *config,
			  const struct isp_config_section *section)
{
	if (section->kind == ISP_SECTION_USER) {
		check_user(check, config, section);
		return;
	}
	if (section->kind == ISP_SECTION_GROUP && !getgrnam(section->name))
		say_section(check, config, section, "no such group here, so it applies to nobody",
			    "correct the name, or take the section out");
	try_section(check, config, section);
}

static void check_config(struct check *check, const char *path)
{
	cleanup_config struct isp_config config = {.file_count = 0};
	cleanup_settings struct isp_settings defaults = {.confine = false};
	struct isp_error err = {0};
	char what[80];

	if (isp_config_load(path, &config, &err) < 0) {
		fail_with(check, "configuration", &err, "correct it; see ispawn.conf(5)");
		if (isp_settings_default(&defaults, &err) == 0)
			try_settings(check, &defaults);
		return;
	}
	(void)snprintf(what, sizeof(what), "configuration: files %zu, sections %zu",
		       config.file_count, config.section_count);
	ok(what);
	try_section(check, &config, NULL);
	for (size_t i = 0; i < config.section_count; i++)
		check_section(check, &config, config.sections[i]);
}

/* --- programs and kernel ---------------------------------------------------------------------- */

static const struct {
	const char *path;
	mode_t mode, mask; /* of the permission bits that @mask selects */
	const char *advice;
} programs[] = {
	{ISPAWN_SUPERVISOR, 0100, 06100, "install it again, mode 0755, never setuid"},
	{ISPAWN_DOOR, 0100, 06100, "install it again, mode 0755, never setuid"},
	{ISPAWN_SECCOMP, 0100, 06100, "install it again, mode 0755, never setuid"},
	{ISPAWN_ENTER, 0100, 06100, "install it again, mode 0755, never setuid"},
	/* Kernel: executing what one may not read leaves a process that nobody may trace. */
	{ISPAWN_INIT, 0711, 07777, "install it again, mode 0711"},
	/* Users execute these. */
	{ISPAWN_SHELL, 0555, 06555, "install it again, mode 0755, never setuid"},
	{ISPAWN_RUNNER, 0555, 06555, "install it again, mode 0755, never setuid"},
};

static void check_programs(struct check *check)
{
	for (size_t i = 0; i < ISP_ARRAY_SIZE(programs); i++) {
		cleanup_close int fd = -EBADF;
		struct isp_error err = {0};
		struct stat st;
		int r = isp_path_open_trusted(programs[i].path, O_PATH, ISP_STAGE_START, &fd, &err);

		if (r == 0 && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) ||
			       (st.st_mode & programs[i].mask) != programs[i].mode))
			r = isp_err_set(&err, EACCES, ISP_STAGE_START,
					"not a program, or of a wrong mode");
		report(check, r, programs[i].path, &err, programs[i].advice);
	}
}

static void check_kernel(struct check *check)
{
	struct isp_error namespaces = {0};
	struct isp_error seccomp = {0};

	report(check, probe_namespaces(&namespaces), "namespaces and id maps", &namespaces,
	       "raise the sysctls user.max_*_namespaces, or use a kernel that has them all");
	report(check, probe_seccomp(&seccomp), "system call filter", &seccomp,
	       "use a kernel with CONFIG_SECCOMP_FILTER");
}

int check_run(int argc, char **argv)
{
	const char *path = ISPAWN_CONFIG_FILE;
	struct check check = {.failures = 0};

	if (argc > 0 && strcmp(argv[0], "--config") == 0) {
		if (argc < 2) {
			say("check --config needs a path; see ispawnctl --help");
			return STATUS_USAGE;
		}
		path = argv[1];
		argc -= 2;
		argv += 2;
	}
	if (argc > 0)
		return refuse_argument("check", argv[0]);
	check_programs(&check);
	check_kernel(&check);
	check_config(&check, path);
	check_profiles(&check);
	forget(&check);
	return check.failures == 0 ? STATUS_OK : STATUS_FAILED;
}
