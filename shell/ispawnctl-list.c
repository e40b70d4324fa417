/* SPDX-License-Identifier: GPL-3.0-or-later */
/* ispawnctl-list.c - `ispawnctl list`: who is in, and what they use */
#include "ispawnctl.h"

#include "ispawn/base/fd.h"
#include "ispawn/base/json.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define CELL_SIZE (ISP_SESSION_ID_SIZE + 8)

/* struct row - one session with its counters */
struct row {
	const struct isp_listed *listed;
	bool is_counted; /* @usage was read: the session's cgroup is there */
	struct isp_usage usage;
	int64_t now_s;
};

static const char *state_of(const struct row *row)
{
	return row->listed->is_live ? "running" : "dead";
}

/* A clock that was set back makes no negative ages. */
static uint64_t age_s(const struct row *row)
{
	int64_t age = row->now_s - row->listed->started_s;

	return age > 0 ? (uint64_t)age : 0;
}

static struct row read_row(const struct isp_listed *listed, int64_t now_s)
{
	cleanup_cgroup struct isp_cgroup cgroup = {.count = 0};
	struct row row = {.listed = listed, .now_s = now_s};

	/* Ignored: a session that is just ending, or whose cgroup was swept, has no counters. */
	if (isp_cgroup_open(isp_spec_owner_name(&listed->spec), listed->id, &cgroup) == 0) {
		isp_cgroup_usage(&cgroup, &row.usage);
		row.is_counted = true;
	}
	return row;
}

/* --- for people ------------------------------------------------------------------------------- */

static void show_text(const char *untrusted, char *cell)
{
	/* 28: a host name is cut before it pushes the numbers off the screen. */
	isp_escape(cell, 28, untrusted[0] ? untrusted : "-");
}

static void show_session(const struct row *row, char *cell)
{
	isp_escape(cell, CELL_SIZE, row->listed->id);
}

static void show_user(const struct row *row, char *cell)
{
	isp_escape(cell, CELL_SIZE, isp_spec_owner_name(&row->listed->spec));
}

static void show_service(const struct row *row, char *cell)
{
	show_text(row->listed->spec.service, cell);
}

static void show_from(const struct row *row, char *cell)
{
	show_text(row->listed->spec.rhost, cell);
}

static void show_tty(const struct row *row, char *cell)
{
	show_text(row->listed->spec.tty, cell);
}

static void show_started(const struct row *row, char *cell)
{
	time_t started = (time_t)row->listed->started_s;
	struct tm when;

	if (!localtime_r(&started, &when) || strftime(cell, CELL_SIZE, "%F %T", &when) == 0)
		(void)snprintf(cell, CELL_SIZE, "-");
}

static void show_age(const struct row *row, char *cell)
{
	unsigned long long age = age_s(row);

	if (age < 60)
		(void)snprintf(cell, CELL_SIZE, "%llus", age);
	else if (age < 3600)
		(void)snprintf(cell, CELL_SIZE, "%llum%02llus", age / 60, age % 60);
	else if (age < 86400)
		(void)snprintf(cell, CELL_SIZE, "%lluh%02llum", age / 3600, age / 60 % 60);
	else
		(void)snprintf(cell, CELL_SIZE, "%llud%02lluh", age / 86400, age / 3600 % 24);
}

static void show_state(const struct row *row, char *cell)
{
	(void)snprintf(cell, CELL_SIZE, "%s", state_of(row));
}

static void show_tasks(const struct row *row, char *cell)
{
	(void)snprintf(cell, CELL_SIZE, "%llu", (unsigned long long)row->usage.tasks);
}

static void show_memory(const struct row *row, char *cell)
{
	(void)snprintf(cell, CELL_SIZE, "%.1fM", (double)row->usage.memory_bytes / (1 << 20));
}

static void show_cpu(const struct row *row, char *cell)
{
	(void)snprintf(cell, CELL_SIZE, "%.2fs", (double)row->usage.cpu_us / 1e6);
}

static const struct {
	const char *title;
	bool is_counter; /* right-aligned, and "-" where nothing was counted */
	void (*show)(const struct row *row, char *cell);
} columns[] = {
	{"SESSION", false, show_session}, {"USER", false, show_user},
	{"SERVICE", false, show_service}, {"FROM", false, show_from},
	{"TTY", false, show_tty},         {"STARTED", false, show_started},
	{"AGE", false, show_age},         {"STATE", false, show_state},
	{"TASKS", true, show_tasks},      {"MEMORY", true, show_memory},
	{"CPU", true, show_cpu},
};

static void show(size_t column, const struct row *row, char *cell)
{
	if (!row)
		(void)snprintf(cell, CELL_SIZE, "%s", columns[column].title);
	else if (columns[column].is_counter && !row->is_counted)
		(void)snprintf(cell, CELL_SIZE, "-");
	else
		columns[column].show(row, cell);
}

static void widen(int *widths, const struct row *row)
{
	char cell[CELL_SIZE];

	for (size_t i = 0; i < ISP_ARRAY_SIZE(columns); i++) {
		show(i, row, cell);
		if (widths[i] < (int)strlen(cell))
			widths[i] = (int)strlen(cell);
	}
}

static void print_row(const int *widths, const struct row *row)
{
	char cell[CELL_SIZE];

	for (size_t i = 0; i < ISP_ARRAY_SIZE(columns); i++) {
		bool is_last = i + 1 == ISP_ARRAY_SIZE(columns);

		show(i, row, cell);
		(void)printf("%*s%s", columns[i].is_counter ? widths[i] : -widths[i], cell,
			     is_last ? "\n" : "  ");
	}
}

static void print_table(const struct row *rows, size_t count)
{
	int widths[ISP_ARRAY_SIZE(columns)] = {0};

	widen(widths, NULL);
	for (size_t i = 0; i < count; i++)
		widen(widths, &rows[i]);
	print_row(widths, NULL);
	for (size_t i = 0; i < count; i++)
		print_row(widths, &rows[i]);
}

/* --- for programs ----------------------------------------------------------------------------- */

static void write_counter(struct isp_json *json, const char *key, const struct row *row,
			  uint64_t value)
{
	if (row->is_counted)
		isp_json_number(json, key, value);
	else
		isp_json_null(json, key);
}

static void write_object(struct isp_json *json, const struct row *row)
{
	const struct isp_listed *l = row->listed;

	isp_json_begin(json, NULL, '{');
	isp_json_string(json, "session", l->id);
	isp_json_string(json, "user", isp_spec_owner_name(&l->spec));
	isp_json_number(json, "uid", isp_spec_owner_uid(&l->spec));
	isp_json_string(json, "service", l->spec.service);
	isp_json_string(json, "rhost", l->spec.rhost);
	isp_json_string(json, "tty", l->spec.tty);
	isp_json_number(json, "started", (uint64_t)l->started_s);
	isp_json_number(json, "age_s", age_s(row));
	isp_json_string(json, "state", state_of(row));
	if (l->supervisor > 0)
		isp_json_number(json, "supervisor", (uint64_t)l->supervisor);
	else
		isp_json_null(json, "supervisor");
	write_counter(json, "tasks", row, row->usage.tasks);
	write_counter(json, "memory_bytes", row, row->usage.memory_bytes);
	write_counter(json, "cpu_us", row, row->usage.cpu_us);
	isp_json_end(json, '}');
}

static void write_json(const struct row *rows, size_t count)
{
	struct isp_json json = {.out = stdout};

	isp_json_begin(&json, NULL, '[');
	for (size_t i = 0; i < count; i++)
		write_object(&json, &rows[i]);
	isp_json_end(&json, ']');
	(void)fputc('\n', stdout);
}

int list_run(int argc, char **argv)
{
	cleanup_sessions struct sessions sessions = {.count = 0};
	cleanup_free struct row *rows = NULL;
	struct isp_error err = {0};
	bool is_json = argc > 0 && strcmp(argv[0], "--json") == 0;
	int64_t now_s = (int64_t)time(NULL);

	if (argc > (is_json ? 1 : 0))
		return refuse_argument("list", argv[is_json ? 1 : 0]);
	if (sessions_collect(&sessions, &err) < 0)
		return say_error(&err);
	rows = calloc(sessions.count + 1, sizeof(*rows));
	if (!rows) {
		say("not enough memory for %zu sessions", sessions.count);
		return STATUS_FAILED;
	}
	for (size_t i = 0; i < sessions.count; i++)
		rows[i] = read_row(&sessions.items[i], now_s);
	if (is_json)
		write_json(rows, sessions.count);
	else
		print_table(rows, sessions.count);
	return STATUS_OK;
}
