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

/* Every line names its session and its event; the user in its field, where the text need not. */
static void begin(const struct isp_supervisor *s, const char *event, struct isp_line *line)
{
	isp_line_add(line, "session", "%s", s->spec.session);
	isp_line_add(line, "event", "%s", event);
}

void isp_journal_start(const struct isp_supervisor *s)
{
	const struct isp_spec *spec = &s->spec;
	struct isp_line line = {0};

	begin(s, "start", &line);
	/* Threat: a directory whose passwd calls its root by the name of a user of the host. */
	isp_line_quote(&line, "user", isp_spec_owner_name(spec), FIELD_SIZE);
	isp_line_add(&line, "uid", "%u", isp_spec_owner_uid(spec));
	isp_line_quote(&line, "service", spec->service, FIELD_SIZE);
	isp_line_quote(&line, "rhost", spec->rhost, FIELD_SIZE);
	isp_line_quote(&line, "tty", spec->tty, FIELD_SIZE);
	isp_line_quote(&line, "template",
		       spec->directory[0] ? spec->directory : spec->template_name, 2 * FIELD_SIZE);
	isp_line_add(&line, "rootfs", "%s", rootfs_kinds[spec->rootfs]);
	isp_line_add(&line, "network", "%s", networks[spec->network]);
	isp_line_add(&line, "privilege", "%s", privileges[spec->privilege]);
	isp_line_quote(&line, "seccomp", spec->seccomp, FIELD_SIZE);
	isp_line_add(&line, "init", "%d", s->init_pid);
	isp_line_add(&line, "ready_ms", "%lld", (long long)(s->ready_ms - s->started_ms));
	isp_log(LOG_INFO, &line);
}

void isp_journal_denied(const struct isp_supervisor *s, const struct isp_error *err)
{
	struct isp_line line = {0};

	begin(s, "denied", &line);
	isp_line_quote(&line, "user", isp_spec_owner_name(&s->spec), FIELD_SIZE);
	isp_line_error(&line, err);
	isp_log(LOG_ERR, &line);
}

void isp_journal_tenant(const struct isp_supervisor *s, uint32_t tenant, const char *command)
{
	struct isp_line line = {0};

	begin(s, "tenant", &line);
	isp_line_note(&line, "user", isp_spec_owner_name(&s->spec));
	isp_line_add(&line, "tenant", "%u", tenant);
	isp_line_quote(&line, "command", command, FIELD_SIZE);
	isp_log(LOG_INFO, &line);
}

void isp_journal_limit(const struct isp_supervisor *s, const char *limit, uint64_t count)
{
	struct isp_line line = {0};

	begin(s, "limit", &line);
	isp_line_note(&line, "user", isp_spec_owner_name(&s->spec));
	isp_line_add(&line, "limit", "%s", limit);
	isp_line_add(&line, "count", "%llu", (unsigned long long)count);
	isp_log(LOG_WARNING, &line);
}

void isp_journal_trouble(const struct isp_supervisor *s, const struct isp_error *err)
{
	struct isp_line line = {0};

	begin(s, "trouble", &line);
	isp_line_note(&line, "user", isp_spec_owner_name(&s->spec));
	isp_line_error(&line, err);
	isp_log(LOG_WARNING, &line);
}

void isp_journal_end(const struct isp_supervisor *s, const struct isp_usage *usage)
{
	struct isp_line line = {0};

	begin(s, "end", &line);
	isp_line_note(&line, "user", isp_spec_owner_name(&s->spec));
	isp_line_add(&line, "cause", "%s", ends[s->end]);
	isp_line_add(&line, "duration_s", "%lld",
		     (long long)((isp_clock_ms() - s->started_ms) / 1000));
	isp_line_add(&line, "tenants", "%u", s->tenants_started);
	isp_line_add(&line, "cpu_ms", "%llu", (unsigned long long)(usage->cpu_us / 1000));
	isp_line_add(&line, "memory_peak_kib", "%llu",
		     (unsigned long long)(usage->memory_peak_bytes / 1024));
	isp_line_add(&line, "oom_kills", "%llu", (unsigned long long)usage->oom_kills);
	isp_line_add(&line, "pids_refused", "%llu", (unsigned long long)usage->pids_refusals);
	isp_log(LOG_INFO, &line);
}
