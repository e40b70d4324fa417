/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ispawnctl-top.c - `ispawnctl top`: who uses what, now
 *
 * The kernel counts in the sessions' cgroups; a rate is the difference of two looks, divided by the
 * time between them.  On a terminal the table is drawn again and again, elsewhere it is printed
 * once, after one interval.
 */
#include "ispawnctl-screen.h"
#include "ispawnctl.h"

#include "ispawn/base/clock.h"
#include "ispawn/base/fd.h"
#include "ispawn/base/json.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define INTERVAL_MIN_MS 100
#define INTERVAL_MAX_S 3600
#define INTERVAL_MS 2000
#define LINE_SIZE 512
#define CELL_SIZE (ISP_SESSION_ID_SIZE + 8)

/* struct load - one session; the rates are per second */
struct load {
	const struct isp_listed *listed;
	bool is_counted, has_io, has_rates;
	struct isp_usage usage;
	uint64_t read_bytes, written_bytes;
	uint64_t cpu_rate, read_rate, write_rate;
};

/* struct look - all of them at one moment */
struct look {
	struct sessions sessions;
	struct load *loads;
	int64_t at_ms;
	int64_t since_ms; /* the look before; 0 when there was none */
};

struct wish {
	int64_t interval_ms;
	bool is_once, is_json;
};

/* --- looking ---------------------------------------------------------------------------------- */

static void look_free(struct look *look)
{
	free(look->loads);
	sessions_free(&look->sessions);
	*look = (struct look){.at_ms = 0};
}
#define cleanup_look __attribute__((cleanup(look_free)))

static void count(const struct isp_listed *listed, struct load *ret_load)
{
	cleanup_cgroup struct isp_cgroup cgroup = {.count = 0};

	*ret_load = (struct load){.listed = listed};
	/* Ignored: a session that is just ending, or whose cgroup was swept, has no counters. */
	if (isp_cgroup_open(isp_spec_owner_name(&listed->spec), listed->id, &cgroup) < 0)
		return;
	isp_cgroup_usage(&cgroup, &ret_load->usage);
	ret_load->is_counted = true;
	ret_load->has_io =
		isp_cgroup_io(&cgroup, &ret_load->read_bytes, &ret_load->written_bytes) == 0;
}

/* A counter that goes back has nothing to tell: its file could not be read. */
static uint64_t rate(uint64_t before, uint64_t now, int64_t passed_ms)
{
	return now > before && passed_ms > 0 ? (now - before) * 1000 / (uint64_t)passed_ms : 0;
}

static void compare_with(struct load *load, const struct look *before, int64_t passed_ms)
{
	for (size_t i = 0; i < before->sessions.count; i++) {
		const struct load *was = &before->loads[i];

		if (!was->is_counted || strcmp(was->listed->id, load->listed->id) != 0)
			continue;
		load->has_rates = true;
		load->cpu_rate = rate(was->usage.cpu_us, load->usage.cpu_us, passed_ms);
		load->read_rate = rate(was->read_bytes, load->read_bytes, passed_ms);
		load->write_rate = rate(was->written_bytes, load->written_bytes, passed_ms);
		return;
	}
}

static int compare(const void *a, const void *b)
{
	const struct load *x = a;
	const struct load *y = b;

	if (x->cpu_rate != y->cpu_rate)
		return x->cpu_rate > y->cpu_rate ? -1 : 1;
	if (x->usage.memory_bytes != y->usage.memory_bytes)
		return x->usage.memory_bytes > y->usage.memory_bytes ? -1 : 1;
	return strcmp(x->listed->id, y->listed->id);
}

static void swap(struct look *a, struct look *b)
{
	struct look keep = *a;

	*a = *b;
	*b = keep;
}

/* @look: the one before, or empty; replaced */
static int look_again(struct look *look, struct isp_error *err)
{
	cleanup_look struct look now = {.since_ms = look->at_ms};
	int r = sessions_collect(&now.sessions, err);

	if (r < 0)
		return r;
	now.loads = calloc(now.sessions.count + 1, sizeof(*now.loads));
	if (!now.loads)
		return isp_err_set(err, ENOMEM, ISP_STAGE_REGISTRY, "%zu sessions",
				   now.sessions.count);
	now.at_ms = isp_clock_ms();
	for (size_t i = 0; i < now.sessions.count; i++) {
		count(&now.sessions.items[i], &now.loads[i]);
		if (now.loads[i].is_counted)
			compare_with(&now.loads[i], look, now.at_ms - look->at_ms);
	}
	qsort(now.loads, now.sessions.count, sizeof(*now.loads), compare);
	swap(look, &now); /* the one before is freed on return */
	return 0;
}

/* --- for people ------------------------------------------------------------------------------- */

static void show_session(const struct load *load, char *cell)
{
	isp_escape(cell, CELL_SIZE, load->listed->id);
}

static void show_service(const struct load *load, char *cell)
{
	/* 20: pitfall 41, and a name is cut before it pushes the numbers off the screen. */
	isp_escape(cell, 20, load->listed->spec.service);
}

static void show_tasks(const struct load *load, char *cell)
{
	(void)snprintf(cell, CELL_SIZE, "%llu", (unsigned long long)load->usage.tasks);
}

static void show_bytes(uint64_t bytes, char *cell)
{
	static const char units[] = "BKMGT";
	double value = (double)bytes;
	size_t unit = 0;

	for (; value >= 1000 && units[unit + 1]; unit++)
		value /= 1024;
	(void)snprintf(cell, CELL_SIZE, unit == 0 ? "%.0f%c" : "%.1f%c", value, units[unit]);
}

static void show_memory(const struct load *load, char *cell)
{
	show_bytes(load->usage.memory_bytes, cell);
}

static void show_cpu(const struct load *load, char *cell)
{
	(void)snprintf(cell, CELL_SIZE, "%.1f", (double)load->cpu_rate / 1e4);
}

static void show_read(const struct load *load, char *cell)
{
	show_bytes(load->read_rate, cell);
}

static void show_write(const struct load *load, char *cell)
{
	show_bytes(load->write_rate, cell);
}

static void show_time(const struct load *load, char *cell)
{
	(void)snprintf(cell, CELL_SIZE, "%.2fs", (double)load->usage.cpu_us / 1e6);
}

/* What must be known for a cell to be more than "-". */
enum need { NEED_NOTHING, NEED_COUNTERS, NEED_RATES, NEED_IO };

static const struct {
	const char *title;
	enum need need;
	void (*show)(const struct load *load, char *cell);
} columns[] = {
	{"SESSION", NEED_NOTHING, show_session}, {"SERVICE", NEED_NOTHING, show_service},
	{"TASKS", NEED_COUNTERS, show_tasks},    {"MEMORY", NEED_COUNTERS, show_memory},
	{"%CPU", NEED_RATES, show_cpu},          {"READ/s", NEED_IO, show_read},
	{"WRITE/s", NEED_IO, show_write},        {"CPU", NEED_COUNTERS, show_time},
};

static bool has(const struct load *load, enum need need)
{
	return need == NEED_NOTHING ||
	       (load->is_counted && (need == NEED_COUNTERS ||
				     (load->has_rates && (need == NEED_RATES || load->has_io))));
}

static void show(size_t column, const struct load *load, char *cell)
{
	if (!load)
		(void)snprintf(cell, CELL_SIZE, "%s", columns[column].title);
	else if (!has(load, columns[column].need))
		(void)snprintf(cell, CELL_SIZE, "-");
	else
		columns[column].show(load, cell);
}

static void widen(int *widths, const struct load *load)
{
	char cell[CELL_SIZE];

	for (size_t i = 0; i < ISP_ARRAY_SIZE(columns); i++) {
		show(i, load, cell);
		if (widths[i] < (int)strlen(cell))
			widths[i] = (int)strlen(cell);
	}
}

static void format_line(const int *widths, const struct load *load, char *line)
{
	char cell[CELL_SIZE];
	size_t used = 0;

	for (size_t i = 0; i < ISP_ARRAY_SIZE(columns) && used < LINE_SIZE; i++) {
		int width = columns[i].need == NEED_NOTHING ? -widths[i] : widths[i];

		show(i, load, cell);
		used += (size_t)snprintf(line + used, LINE_SIZE - used, "%s%*s", i > 0 ? "  " : "",
					 width, cell); /* Ignored: cells are bounded, it fits */
	}
}

/* @screen: NULL to print */
static void put_line(struct screen *screen, const char *line)
{
	if (screen)
		screen_line(screen, line);
	else
		(void)printf("%s\n", line);
}

static void put_table(struct screen *screen, const struct look *look)
{
	int widths[ISP_ARRAY_SIZE(columns)] = {0};
	char line[LINE_SIZE];
	size_t rows = look->sessions.count;
	size_t room = screen && screen->rows > 4 ? (size_t)screen->rows - 4 : SIZE_MAX;

	widen(widths, NULL);
	for (size_t i = 0; i < rows; i++)
		widen(widths, &look->loads[i]);
	format_line(widths, NULL, line);
	put_line(screen, line);
	for (size_t i = 0; i < rows && i < room; i++) {
		format_line(widths, &look->loads[i], line);
		put_line(screen, line);
	}
	if (rows > room) {
		(void)snprintf(line, sizeof(line), "and %zu more", rows - room);
		put_line(screen, line);
	}
}

static void put_sums(struct screen *screen, const struct look *look)
{
	char line[LINE_SIZE], clock[16] = "", memory[CELL_SIZE];
	struct load sum = {.is_counted = true};
	time_t now = time(NULL);
	struct tm when;

	for (size_t i = 0; i < look->sessions.count; i++) {
		sum.usage.tasks += look->loads[i].usage.tasks;
		sum.usage.memory_bytes += look->loads[i].usage.memory_bytes;
		sum.cpu_rate += look->loads[i].cpu_rate;
	}
	if (localtime_r(&now, &when))
		(void)strftime(clock, sizeof(clock), "%T", &when); /* Ignored: fits */
	show_memory(&sum, memory);
	(void)snprintf(
		line, sizeof(line),
		"ispawnctl top  %s  sessions %zu  tasks %llu  memory %s  cpu %.1f%%  (q: quit)",
		clock, look->sessions.count, (unsigned long long)sum.usage.tasks, memory,
		(double)sum.cpu_rate / 1e4);
	screen_line(screen, line);
	screen_line(screen, "");
}

/* --- for programs ----------------------------------------------------------------------------- */

static void write_number(struct isp_json *json, const char *key, bool is_known, uint64_t value)
{
	if (is_known)
		isp_json_number(json, key, value);
	else
		isp_json_null(json, key);
}

static void write_load(struct isp_json *json, const struct load *load)
{
	bool is_counted = load->is_counted, has_rates = has(load, NEED_RATES);
	bool has_io = has(load, NEED_IO);

	isp_json_begin(json, NULL, '{');
	isp_json_string(json, "session", load->listed->id);
	isp_json_string(json, "user", isp_spec_owner_name(&load->listed->spec));
	isp_json_string(json, "service", load->listed->spec.service);
	isp_json_string(json, "state", load->listed->is_live ? "running" : "dead");
	write_number(json, "tasks", is_counted, load->usage.tasks);
	write_number(json, "memory_bytes", is_counted, load->usage.memory_bytes);
	write_number(json, "cpu_us", is_counted, load->usage.cpu_us);
	write_number(json, "cpu_us_per_s", has_rates, load->cpu_rate);
	write_number(json, "read_bytes_per_s", has_io, load->read_rate);
	write_number(json, "written_bytes_per_s", has_io, load->write_rate);
	isp_json_end(json, '}');
}

static void write_json(const struct look *look)
{
	struct isp_json json = {.out = stdout};

	isp_json_begin(&json, NULL, '{');
	isp_json_number(&json, "interval_ms", (uint64_t)(look->at_ms - look->since_ms));
	isp_json_begin(&json, "sessions", '[');
	for (size_t i = 0; i < look->sessions.count; i++)
		write_load(&json, &look->loads[i]);
	isp_json_end(&json, ']');
	isp_json_end(&json, '}');
	(void)fputc('\n', stdout);
}

/* --- the verb --------------------------------------------------------------------------------- */

static int print_once(const struct wish *wish)
{
	cleanup_look struct look look = {.at_ms = 0};
	struct isp_error err = {0};
	int64_t deadline_ms = isp_clock_ms() + wish->interval_ms;
	int r = look_again(&look, &err);

	while (r == 0 && isp_clock_left(deadline_ms) > 0)
		(void)poll(NULL, 0, isp_clock_left(deadline_ms)); /* Ignored: the clock decides */
	if (r == 0)
		r = look_again(&look, &err);
	if (r < 0)
		return say_error(&err);
	if (wish->is_json)
		write_json(&look);
	else
		put_table(NULL, &look);
	return STATUS_OK;
}

static int draw(struct screen *screen, const struct wish *wish, struct isp_error *err)
{
	cleanup_look struct look look = {.at_ms = 0};
	enum screen_event event = SCREEN_TIME;
	int64_t next_ms = isp_clock_ms();
	int r = 0;

	while (event != SCREEN_END && !ferror(stdout)) {
		if (event == SCREEN_TIME) {
			r = look_again(&look, err);
			if (r < 0)
				return r;
			next_ms = isp_clock_ms() + wish->interval_ms;
		}
		screen_begin(screen);
		put_sums(screen, &look);
		put_table(screen, &look);
		screen_end();
		event = screen_wait(screen, next_ms);
	}
	return 0;
}

static int show_live(const struct wish *wish)
{
	struct screen screen = {.rows = 0};
	struct isp_error err = {0};
	int r = screen_open(&screen);

	if (r < 0) {
		(void)isp_err_set(&err, -r, ISP_STAGE_NONE, "take the terminal");
		return say_error(&err);
	}
	r = draw(&screen, wish, &err);
	screen_close(&screen);
	return r < 0 ? say_error(&err) : STATUS_OK;
}

/* Seconds with up to three decimals, from a tenth of one. */
static int parse_interval(const char *text, int64_t *ret_ms)
{
	char whole[8] = "", part[4] = "000";
	size_t size = strcspn(text, "."), decimals = text[size] ? strlen(text + size + 1) : 0;
	uint64_t seconds = 0, thousandths = 0;

	if (size == 0 || size >= sizeof(whole) || decimals >= sizeof(part) ||
	    (text[size] && decimals == 0))
		return -EINVAL;
	memcpy(whole, text, size);
	if (decimals > 0)
		memcpy(part, text + size + 1, decimals);
	if (isp_parse_u64(whole, 0, INTERVAL_MAX_S, &seconds) < 0 ||
	    isp_parse_u64(part, 0, 999, &thousandths) < 0)
		return -EINVAL;
	*ret_ms = (int64_t)(seconds * 1000 + thousandths);
	return *ret_ms < INTERVAL_MIN_MS || *ret_ms > INTERVAL_MAX_S * 1000 ? -EINVAL : 0;
}

int top_run(int argc, char **argv)
{
	struct wish wish = {.interval_ms = INTERVAL_MS};

	for (int i = 0; i < argc; i++) {
		if (strcmp(argv[i], "--once") == 0) {
			wish.is_once = true;
		} else if (strcmp(argv[i], "--json") == 0) {
			wish.is_json = true;
		} else if (strcmp(argv[i], "--interval") == 0) {
			if (i + 1 < argc && parse_interval(argv[++i], &wish.interval_ms) == 0)
				continue;
			say("top --interval takes seconds, 0.1 to %d; see ispawnctl --help",
			    INTERVAL_MAX_S);
			return STATUS_USAGE;
		} else {
			return refuse_argument("top", argv[i]);
		}
	}
	if (wish.is_once || wish.is_json || !screen_is_there())
		return print_once(&wish);
	return show_live(&wish);
}
