/* SPDX-License-Identifier: GPL-3.0-or-later */
/* journal.c - the log lines of a session; contract in ispawn/session/supervise.h
 *
 * One line each for the start, each tenant, each limit that was hit, and the end.  What somebody
 * else chose - names, hosts, commands - stands in quotes and is escaped. */
#include "ispawn/base/clock.h"
#include "ispawn/base/log.h"
#include "ispawn/session/supervise.h"

#define FIELD_SIZE 200

static const char *const ends[] = {
	[ISP_END_NONE] = "failed",
	[ISP_END_CLOSED] = "logout",
	[ISP_END_DOOR_GONE] = "connection-lost",
	[ISP_END_APPLICATION] = "application-died",
	[ISP_END_INIT] = "init-died",
	[ISP_END_KILLED] = "killed",
	[ISP_END_IDLE] = "idle-timeout",
	[ISP_END_MAX_SESSION] = "max-session",
	[ISP_END_PROTOCOL] = "protocol-error",
	[ISP_END_EMPTY] = "last-process-ended",
};
_Static_assert(ISP_ARRAY_SIZE(ends) == ISP_END_COUNT, "every end has its word");

static const char *const networks[] = {[ISP_NETWORK_NONE] = "none", [ISP_NETWORK_HOST] = "host"};
static const char *const privileges[] = {
	[ISP_PRIVILEGE_NONE] = "none",
	[ISP_PRIVILEGE_SUDO] = "sudo",
	[ISP_PRIVILEGE_ROOT] = "root",
};
static const char *const rootfs_kinds[] = {
	[ISP_ROOTFS_OVERLAY] = "overlay",
	[ISP_ROOTFS_COPY] = "copy",
	[ISP_ROOTFS_EPHEMERAL] = "ephemeral",
	[ISP_ROOTFS_READONLY] = "readonly",
};

void isp_journal_start(const struct isp_supervisor *s)
{
	const struct isp_spec *spec = &s->spec;
	char user[FIELD_SIZE], service[FIELD_SIZE], rhost[FIELD_SIZE], tty[FIELD_SIZE];
	char template_name[FIELD_SIZE * 2];

	/* Threat: a directory whose passwd calls its root by the name of a user of the host. */
	isp_escape(user, sizeof(user), isp_spec_owner_name(spec));
	isp_escape(service, sizeof(service), spec->service);
	isp_escape(rhost, sizeof(rhost), spec->rhost);
	isp_escape(tty, sizeof(tty), spec->tty);
	isp_escape(template_name, sizeof(template_name),
		   spec->directory[0] ? spec->directory : spec->template_name);
	isp_log(LOG_INFO,
		"session=%s event=start user=\"%s\" uid=%u service=\"%s\" rhost=\"%s\" tty=\"%s\" "
		"template=\"%s\" rootfs=%s network=%s privilege=%s seccomp=\"%s\" init=%d "
		"ready_ms=%lld",
		spec->session, user, isp_spec_owner_uid(spec), service, rhost, tty, template_name,
		rootfs_kinds[spec->rootfs], networks[spec->network], privileges[spec->privilege],
		spec->seccomp, s->init_pid, (long long)(s->ready_ms - s->started_ms));
}

void isp_journal_denied(const struct isp_supervisor *s, const struct isp_error *err)
{
	char user[FIELD_SIZE], words[ISP_ERROR_TEXT_SIZE + 100];

	isp_escape(user, sizeof(user), isp_spec_owner_name(&s->spec));
	isp_err_describe(err, words, sizeof(words));
	isp_log(LOG_ERR, "session=%s event=denied user=\"%s\" %s", s->spec.session, user, words);
}

void isp_journal_tenant(const struct isp_supervisor *s, uint32_t tenant, const char *command)
{
	char text[FIELD_SIZE];

	isp_escape(text, sizeof(text), command);
	isp_log(LOG_INFO, "session=%s event=tenant tenant=%u command=\"%s\"", s->spec.session,
		tenant, text);
}

void isp_journal_limit(const struct isp_supervisor *s, const char *limit, uint64_t count)
{
	isp_log(LOG_WARNING, "session=%s event=limit limit=%s count=%llu", s->spec.session, limit,
		(unsigned long long)count);
}

void isp_journal_trouble(const struct isp_supervisor *s, const struct isp_error *err)
{
	char words[ISP_ERROR_TEXT_SIZE + 100];

	isp_err_describe(err, words, sizeof(words));
	isp_log(LOG_WARNING, "session=%s event=trouble %s", s->spec.session, words);
}

void isp_journal_end(const struct isp_supervisor *s, const struct isp_usage *usage)
{
	isp_log(LOG_INFO,
		"session=%s event=end cause=%s duration_s=%lld tenants=%u cpu_ms=%llu "
		"memory_peak_kib=%llu oom_kills=%llu pids_refused=%llu",
		s->spec.session, ends[s->end], (long long)((isp_clock_ms() - s->started_ms) / 1000),
		s->tenants_started, (unsigned long long)(usage->cpu_us / 1000),
		(unsigned long long)(usage->memory_peak_bytes / 1024),
		(unsigned long long)usage->oom_kills, (unsigned long long)usage->pids_refusals);
}
