/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ispawnctl-pam.c - the session stack of a service; contract in ispawnctl-host.h
 *
 * Reads what libpam reads, in its way (pam.conf(5)): a backslash joins lines, # starts a comment,
 * [ ] hold words together; @include takes every line of a file, `include` and `substack` the lines
 * of one type; a file is looked for in /etc/pam.d, then in /usr/lib/pam.d; a service without
 * session lines gets those of `other`.  A line that libpam cannot read always fails there, and so
 * here.
 */
#include "ispawnctl-host.h"

#include "ispawn/base/fd.h"
#include "ispawn/base/path.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <strings.h>
#include <sys/stat.h>

#define FILE_MAX (64 * 1024)
#define INCLUDES_MAX 32 /* PAM_SUBSTACK_MAX_LEVEL and what libpam allows of includes */
#define MODULE_NAME "pam_ispawn.so"

static const char *const directories[] = {"/etc/pam.d", "/usr/lib/pam.d"};

/* In the order of their numbers, from PAM_SUCCESS on: pam.conf(5). */
static const char *const codes[PAM_CODES] = {
	"success",
	"open_err",
	"symbol_err",
	"service_err",
	"system_err",
	"buf_err",
	"perm_denied",
	"auth_err",
	"cred_insufficient",
	"authinfo_unavail",
	"user_unknown",
	"maxtries",
	"new_authtok_reqd",
	"acct_expired",
	"session_err",
	"cred_unavail",
	"cred_expired",
	"cred_err",
	"no_module_data",
	"conv_err",
	"authtok_err",
	"authtok_recover_err",
	"authtok_lock_busy",
	"authtok_disable_aging",
	"try_again",
	"ignore",
	"abort",
	"authtok_expired",
	"module_unknown",
	"bad_item",
	"conv_again",
	"incomplete",
};
static const struct {
	const char *word;
	int action;
} actions[] = {
	{"ignore", PAM_DO_IGNORE}, {"ok", PAM_DO_OK},   {"done", PAM_DO_DONE},
	{"bad", PAM_DO_BAD},       {"die", PAM_DO_DIE}, {"reset", PAM_DO_RESET},
};
/* What the one-word controls stand for: pam.conf(5). */
static const struct {
	const char *word, *actions;
} controls[] = {
	{"required", "success=ok new_authtok_reqd=ok ignore=ignore default=bad"},
	{"requisite", "success=ok new_authtok_reqd=ok ignore=ignore default=die"},
	{"sufficient", "success=done new_authtok_reqd=done default=ignore"},
	{"optional", "success=ok new_authtok_reqd=ok default=ignore"},
};

/* struct reader - where the reading stands */
struct reader {
	struct pam_stack *stack;
	struct isp_error *err;
	unsigned int includes; /* how deep */
};

/* struct place_in - a logical line */
struct place_in {
	const char *file;
	unsigned int number; /* of its first physical line */
	unsigned int level;
	bool is_type_any; /* @include and the service's own file; else session lines alone count */
};

static int read_lines(struct reader *reader, const char *name, struct place_in from);

/* --- words ------------------------------------------------------------------------------------ */

/* Cuts the next word out of *@rest; [ ] hold blanks together and go. NULL: none is left. */
static char *next_word(char **rest)
{
	char *word = *rest + strspn(*rest, " \t");
	bool is_held = *word == '[';
	char *end;

	if (*word == '\0')
		return NULL;
	if (is_held) {
		word++;
		for (end = word; *end && *end != ']'; end++)
			if (end[0] == '\\' && end[1])
				end++;
	} else {
		end = word + strcspn(word, " \t");
	}
	*rest = *end ? end + 1 : end;
	*end = '\0';
	return word;
}

static int find_action(const char *word, int *ret_action)
{
	uint64_t jump = 0;

	for (size_t i = 0; i < ISP_ARRAY_SIZE(actions); i++)
		if (strcmp(actions[i].word, word) == 0) {
			*ret_action = actions[i].action;
			return 0;
		}
	if (isp_parse_u64(word, 1, PAM_LINES_MAX, &jump) < 0)
		return -EINVAL;
	*ret_action = (int)jump;
	return 0;
}

/* `default` is for those that no other word of the same brackets names. */
static int set_actions(const char *text, struct pam_line *line)
{
	bool is_set[PAM_CODES] = {false};
	char copy[1024];
	char *save = NULL;
	int standard = PAM_DO_IGNORE;

	if (snprintf(copy, sizeof(copy), "%s", text) >= (int)sizeof(copy))
		return -EINVAL;
	for (char *word = strtok_r(copy, " \t", &save); word; word = strtok_r(NULL, " \t", &save)) {
		char *equals = strchr(word, '=');
		int action = 0;
		size_t i = 0;

		if (!equals || find_action(equals + 1, &action) < 0)
			return -EINVAL;
		*equals = '\0';
		while (i < PAM_CODES && strcasecmp(codes[i], word) != 0)
			i++;
		if (i < PAM_CODES) {
			line->actions[i] = action;
			is_set[i] = true;
		} else if (strcasecmp(word, "default") == 0) {
			standard = action;
		} else {
			return -EINVAL;
		}
	}
	for (size_t i = 0; i < PAM_CODES; i++)
		if (!is_set[i])
			line->actions[i] = standard;
	return 0;
}

static int set_control(const char *control, struct pam_line *line)
{
	for (size_t i = 0; i < ISP_ARRAY_SIZE(controls); i++)
		if (strcasecmp(controls[i].word, control) == 0)
			return set_actions(controls[i].actions, line);
	return set_actions(control, line);
}

/* --- lines ------------------------------------------------------------------------------------ */

static int out_of_memory(struct reader *reader)
{
	return isp_err_set(reader->err, ENOMEM, ISP_STAGE_CONFIG, "read PAM files");
}

static int add_line(struct reader *reader, const struct place_in *from, const char *control,
		    const char *module, const char *arguments)
{
	struct pam_line *line = &reader->stack->lines[reader->stack->count];
	const char *base = strrchr(module, '/');

	if (reader->stack->count == PAM_LINES_MAX)
		return isp_err_set(reader->err, E2BIG, ISP_STAGE_CONFIG,
				   "more than %d session lines", PAM_LINES_MAX);
	reader->stack->count++;
	*line = (struct pam_line){.number = from->number, .level = from->level};
	line->file = strdup(from->file);
	line->control = strdup(control);
	line->module = strdup(module);
	line->arguments = strdup(arguments);
	if (!line->file || !line->control || !line->module || !line->arguments)
		return out_of_memory(reader);
	line->is_ours = strcmp(base ? base + 1 : module, MODULE_NAME) == 0;
	line->is_broken = set_control(control, line) < 0 || !module[0];
	if (line->is_broken)
		return set_actions("default=bad", line);
	return 0;
}

/* `substack` leaves a line of its own: a jump counts it and all below it as one. */
static int include(struct reader *reader, const struct place_in *from, const char *how,
		   const char *name)
{
	struct place_in inner = {.level = from->level};
	int r = 0;

	inner.is_type_any = how[0] == '@' && from->is_type_any;
	if (strcasecmp(how, "substack") == 0) {
		r = add_line(reader, from, "required", name, "");
		if (r < 0)
			return r;
		reader->stack->lines[reader->stack->count - 1].is_heading = true;
		inner.level++;
	}
	return read_lines(reader, name, inner);
}

/* @text: one logical line; cut into words. */
static int read_line(struct reader *reader, const struct place_in *from, char *text)
{
	char *type = next_word(&text);
	char *control, *module;

	if (!type)
		return 0;
	if (strcasecmp(type, "@include") == 0) {
		module = next_word(&text);
		return include(reader, from, "@", module ? module : "");
	}
	if (strcasecmp(type[0] == '-' ? type + 1 : type, "session") != 0)
		return 0;
	control = next_word(&text);
	module = next_word(&text);
	if (control && module &&
	    (strcasecmp(control, "include") == 0 || strcasecmp(control, "substack") == 0))
		return include(reader, from, control, module);
	return add_line(reader, from, control ? control : "", module ? module : "",
			text + strspn(text, " \t"));
}

/* Joins physical lines in place, up to the end of a logical one. @return: where the next starts. */
static char *join(char *text, unsigned int *lines)
{
	char *to = text;
	char *line = text;

	for (;;) {
		char *end = line + strcspn(line, "\n");
		bool is_last = *end == '\0';
		size_t size;

		*end = '\0';
		line[strcspn(line, "#")] = '\0';
		size = strlen(line);
		while (size > 0 && strchr(" \t\r", line[size - 1]))
			size--;
		(*lines)++;
		memmove(to, line, size);
		to += size;
		line = is_last ? end : end + 1;
		if (size == 0 || to[-1] != '\\' || is_last)
			break;
		to[-1] = ' ';
	}
	*to = '\0';
	return line;
}

static int read_text(struct reader *reader, char *text, struct place_in *at)
{
	const char *end = text + strlen(text);
	unsigned int lines = 0;
	int r = 0;

	while (r == 0 && text < end) {
		char *next;

		at->number = lines + 1;
		next = join(text, &lines);
		r = read_line(reader, at, text);
		text = next;
	}
	return r;
}

/* --- files ------------------------------------------------------------------------------------ */

static int read_file(const char *path, char **ret_text, struct isp_error *err)
{
	cleanup_free char *text = calloc(1, FILE_MAX + 1);
	cleanup_close int fd = -EBADF;
	struct stat st;
	ssize_t n;
	int r = isp_path_open_trusted(path, O_RDONLY | O_NONBLOCK, ISP_STAGE_CONFIG, &fd, err);

	if (r < 0)
		return r;
	if (!text)
		return isp_err_set(err, ENOMEM, ISP_STAGE_CONFIG, "read PAM files");
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > FILE_MAX)
		return isp_err_set(err, EINVAL, ISP_STAGE_CONFIG, "\"%s\" is not a small file",
				   path);
	n = isp_fd_read_all(fd, text, FILE_MAX);
	if (n < 0)
		return isp_err_set(err, (int)-n, ISP_STAGE_CONFIG, "read \"%s\"", path);
	*ret_text = steal_pointer(&text);
	return 0;
}

static int open_name(const char *name, char *ret_path, size_t size, char **ret_text,
		     struct isp_error *err)
{
	for (size_t i = 0; i < ISP_ARRAY_SIZE(directories); i++) {
		struct isp_error missing = {0};
		int r;

		if (name[0] == '/')
			(void)snprintf(ret_path, size, "%s", name); /* a cut name is not there */
		else
			(void)snprintf(ret_path, size, "%s/%s", directories[i], name);
		if (!isp_path_is_clean(ret_path))
			return isp_err_set(err, EINVAL, ISP_STAGE_CONFIG,
					   "a PAM file includes one with an unclean name");
		r = read_file(ret_path, ret_text, &missing);
		if (r != -ENOENT)
			return r == 0 ? 0 : isp_err_adopt(err, &missing);
	}
	return isp_err_set(err, ENOENT, ISP_STAGE_CONFIG, "no PAM file \"%s\"", name);
}

static int read_lines(struct reader *reader, const char *name, struct place_in from)
{
	cleanup_free char *text = NULL;
	char path[PATH_MAX];
	int r;

	if (reader->includes == INCLUDES_MAX)
		return isp_err_set(reader->err, ELOOP, ISP_STAGE_CONFIG,
				   "PAM files include each other");
	r = open_name(name, path, sizeof(path), &text, reader->err);
	if (r < 0 || !text)
		return r;
	reader->includes++;
	from.file = path;
	r = read_text(reader, text, &from);
	reader->includes--;
	return r;
}

bool pam_has_file(const char *service)
{
	for (size_t i = 0; i < ISP_ARRAY_SIZE(directories); i++) {
		char path[PATH_MAX];

		(void)snprintf(path, sizeof(path), "%s/%s", directories[i], service);
		if (access(path, F_OK) == 0)
			return true;
	}
	return false;
}

int pam_read(const char *service, struct pam_stack *ret_stack, struct isp_error *err)
{
	struct reader reader = {.stack = ret_stack, .err = err};
	const struct place_in whole = {.is_type_any = true};
	int r = 0;

	if (!isp_name_is_safe(service))
		return isp_err_set(err, EINVAL, ISP_STAGE_CONFIG, "not a PAM service's name");
	if (pam_has_file(service))
		r = read_lines(&reader, service, whole);
	if (r == 0 && ret_stack->count == 0) {
		ret_stack->is_other = true;
		if (pam_has_file("other"))
			r = read_lines(&reader, "other", whole);
	}
	if (r < 0)
		pam_stack_free(ret_stack);
	return r;
}

void pam_stack_free(struct pam_stack *stack)
{
	for (size_t i = 0; i < stack->count; i++) {
		free(stack->lines[i].file);
		free(stack->lines[i].control);
		free(stack->lines[i].module);
		free(stack->lines[i].arguments);
	}
	memset(stack, 0, sizeof(*stack));
}
