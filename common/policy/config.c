/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * config.c - reading ispawn.conf; contract in ispawn/policy/config.h
 *
 * Three stages for each file: scan() refuses and normalises, tokenise() runs iniparser over the
 * normalised copy, collect() takes the values and checks them.
 */
#include "ispawn/policy/config.h"
#include "ispawn/base/fd.h"
#include "ispawn/base/path.h"

#include <fcntl.h>
#include <iniparser/iniparser.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const char *const kind_words[] = {
	[ISP_SECTION_DEFAULTS] = "defaults",
	[ISP_SECTION_SERVICE] = "service",
	[ISP_SECTION_GROUP] = "group",
	[ISP_SECTION_USER] = "user",
};
_Static_assert(ISP_ARRAY_SIZE(kind_words) == ISP_SECTION_KINDS, "every kind has a word");

static void free_dictionary(dictionary **ini)
{
	if (*ini)
		iniparser_freedict(*ini);
}
#define cleanup_dictionary __attribute__((cleanup(free_dictionary)))

static void free_section(struct isp_config_section *section)
{
	for (size_t i = 0; i < section->value_count; i++)
		free(section->values[i].text);
	free(section->name);
	free(section);
}

void isp_config_free(struct isp_config *config)
{
	for (size_t i = 0; i < config->section_count; i++)
		free_section(config->sections[i]);
	for (size_t i = 0; i < config->file_count; i++)
		free(config->files[i]);
	free(config->sections);
	memset(config, 0, sizeof(*config));
}

void isp_config_section_title(const struct isp_config_section *section, char *ret_text, size_t size)
{
	char name[ISP_NAME_MAX * 2];

	isp_escape(name, sizeof(name), section->name);
	(void)snprintf(ret_text, size, "[%s%s%s]", kind_words[section->kind], name[0] ? " " : "",
		       name); /* Ignored: cut is fine in a message */
}

/* --- the first pass ------------------------------------------------------------------------ */

/* Where the scan stands. */
struct scan {
	struct isp_config *config;
	size_t first_section; /* of this file */
	unsigned int line;
	FILE *normal; /* the copy for iniparser */
};

static int bad_line(const struct scan *s, struct isp_error *err, const char *why)
{
	return isp_err_set(err, EINVAL, ISP_STAGE_CONFIG, "line %u: %s", s->line, why);
}

/* Likewise, about a section: what stands between the brackets is quoted. */
static int bad_section(const struct scan *s, struct isp_error *err, const char *untrusted,
		       const char *why)
{
	char shown[80];

	isp_escape(shown, sizeof(shown), untrusted);
	return isp_err_set(err, EINVAL, ISP_STAGE_CONFIG, "line %u: [%s]: %s", s->line, shown, why);
}

static struct isp_config_section *last_section(const struct scan *s)
{
	const struct isp_config *c = s->config;

	return c->section_count > s->first_section ? c->sections[c->section_count - 1] : NULL;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t';
}

/* Cuts blanks off both ends, in place. */
static char *trim(char *text)
{
	size_t size;

	while (is_space(*text))
		text++;
	size = strlen(text);
	while (size > 0 && is_space(text[size - 1]))
		size--;
	text[size] = '\0';
	return text;
}

/* Bytes that never stand in a file, comments included. */
static const char *check_bytes(const char *line, size_t size)
{
	if (size > ISP_CONFIG_LINE_MAX)
		return "longer than 1000 bytes";
	for (size_t i = 0; i < size; i++) {
		if (line[i] == '\r')
			return "carriage return: save the file with Unix line ends";
		if (((unsigned char)line[i] < 0x20 && line[i] != '\t') || line[i] == 0x7f)
			return "control byte";
	}
	while (size > 0 && is_space(line[size - 1]))
		size--;
	if (size > 0 && line[size - 1] == '\\')
		return "ends in a backslash: a line cannot be continued";
	return NULL;
}

static const char *check_ascii(const char *line)
{
	for (; *line; line++)
		if ((unsigned char)*line >= 0x80)
			return "only comments may hold other characters than ASCII";
	return NULL;
}

/* Blank, or a comment? */
static bool is_rest_empty(const char *rest)
{
	rest += strspn(rest, " \t");
	return *rest == '\0' || *rest == ';' || *rest == '#';
}

/* Ends the value before its comment, and refuses what iniparser would cut or keep by guess. */
static const char *cut_value(char *value)
{
	char *end;

	if (value[0] == '"' || value[0] == '\'') {
		end = strchr(value + 1, value[0]);
		if (!end)
			return "no closing quote";
		if (!is_rest_empty(end + 1))
			return "something follows the closing quote";
		end[1] = '\0';
		return check_ascii(value);
	}
	end = value + strcspn(value, ";#");
	if (*end && end != value && !is_space(end[-1]))
		return "';' or '#' within a value: put the value in quotes";
	*end = '\0';
	if (strpbrk(value, "\"'"))
		return "quote within a value: quotes stand around the whole value or nowhere";
	return check_ascii(value);
}

static bool is_same_section(const struct isp_config_section *s, enum isp_section_kind kind,
			    const char *name)
{
	return s->kind == kind && strcmp(s->name, name) == 0;
}

static const char *check_name(enum isp_section_kind kind, const char *name)
{
	if (kind == ISP_SECTION_DEFAULTS)
		return name[0] ? "[defaults] takes no name" : NULL;
	if (!name[0])
		return "a section's name is missing: [user NAME], [group NAME]";
	/* Group names come from directories that allow blanks in them; user names never do. */
	if (kind == ISP_SECTION_GROUP ? isp_spec_group_name_is_valid(name) : isp_name_is_safe(name))
		return NULL;
	return "not a name that a section can have";
}

/* Return: NULL, or why this section cannot stand here. */
static const char *check_section(const struct scan *s, enum isp_section_kind kind, const char *name)
{
	if (kind == ISP_SECTION_KINDS)
		return "unknown kind of section: one of [defaults], [group NAME], [user NAME], "
		       "[service NAME]";
	for (size_t i = s->first_section; i < s->config->section_count; i++)
		if (is_same_section(s->config->sections[i], kind, name))
			return "this section stands twice in the file";
	return check_name(kind, name);
}

static int add_section(struct scan *s, enum isp_section_kind kind, const char *name,
		       struct isp_error *err)
{
	struct isp_config *c = s->config;
	struct isp_config_section **moved;
	struct isp_config_section *section;

	if (c->section_count == ISP_CONFIG_SECTIONS_MAX)
		return isp_err_set(err, E2BIG, ISP_STAGE_CONFIG, "more than %d sections",
				   ISP_CONFIG_SECTIONS_MAX);
	moved = reallocarray(c->sections, c->section_count + 1, sizeof(*c->sections));
	if (!moved)
		return isp_err_set(err, ENOMEM, ISP_STAGE_CONFIG, "sections");
	c->sections = moved;
	section = calloc(1, sizeof(*section));
	if (!section)
		return isp_err_set(err, ENOMEM, ISP_STAGE_CONFIG, "sections");
	section->name = strdup(name);
	if (!section->name) {
		free(section);
		return isp_err_set(err, ENOMEM, ISP_STAGE_CONFIG, "sections");
	}
	section->kind = kind;
	section->file = c->file_count - 1;
	section->line = s->line;
	(void)fprintf(s->normal, "[s%zu]\n", c->section_count - s->first_section);
	c->sections[c->section_count++] = section;
	return 0;
}

/* @line is trimmed and starts with '['. */
static int scan_section(struct scan *s, char *line, struct isp_error *err)
{
	char title[ISP_CONFIG_LINE_MAX + 1];
	size_t size = strlen(line);
	size_t kind = 0;
	char *word = line + 1;
	const char *why;
	char *name;

	if (line[size - 1] != ']' || strcspn(word, "[]") != size - 2)
		return bad_line(s, err, "a section is one pair of brackets and nothing after it");
	line[size - 1] = '\0';
	if (check_ascii(line))
		return bad_line(s, err, check_ascii(line));
	word = trim(word);
	memcpy(title, word, strlen(word) + 1);
	name = word + strcspn(word, " \t");
	if (*name)
		*name++ = '\0';
	name = trim(name);
	while (kind < ISP_SECTION_KINDS && strcmp(kind_words[kind], word) != 0)
		kind++;
	why = check_section(s, (enum isp_section_kind)kind, name);
	if (why)
		return bad_section(s, err, title, why);
	return add_section(s, (enum isp_section_kind)kind, name, err);
}

/* Puts "[section] key" before a reason. */
static int bad_key(struct isp_error *err, const struct isp_config_section *section, const char *key)
{
	char title[ISP_NAME_MAX * 2 + 16];
	char shown[64];

	isp_config_section_title(section, title, sizeof(title));
	isp_escape(shown, sizeof(shown), key);
	return isp_err_prefix(err, "%s %s", title, shown);
}

static int refuse_key(struct isp_error *err, const struct isp_config_section *section,
		      const char *key, const char *why)
{
	(void)isp_err_set(err, EINVAL, ISP_STAGE_CONFIG, "%s", why);
	return bad_key(err, section, key);
}

/* @line is trimmed, no comment and no section. */
static int scan_value(struct scan *s, char *line, struct isp_error *err)
{
	struct isp_config_section *section = last_section(s);
	char *equals = strchr(line, '=');
	const char *why;
	size_t option = 0;
	char *value;

	if (!section)
		return bad_line(s, err, "stands before the first section");
	if (!equals)
		return bad_line(s, err, "neither [section] nor key = value");
	*equals = '\0';
	line = trim(line);
	value = trim(equals + 1);
	if (isp_option_find(line, &option) < 0)
		return refuse_key(err, section, line, "unknown key");
	for (size_t i = 0; i < section->value_count; i++)
		if (section->values[i].option == option)
			return refuse_key(err, section, line, "stands twice in the section");
	why = cut_value(value);
	if (why)
		return refuse_key(err, section, line, why);
	section->values[section->value_count].option = option;
	section->values[section->value_count].line = s->line;
	section->value_count++;
	(void)fprintf(s->normal, "%s = %s\n", line, value);
	return 0;
}

static int scan_line(struct scan *s, const char *start, size_t size, struct isp_error *err)
{
	char copy[ISP_CONFIG_LINE_MAX + 1];
	const char *why = check_bytes(start, size);
	char *line;

	if (why)
		return bad_line(s, err, why);
	memcpy(copy, start, size);
	copy[size] = '\0';
	line = trim(copy);
	if (is_rest_empty(line))
		return 0;
	return line[0] == '[' ? scan_section(s, line, err) : scan_value(s, line, err);
}

static int scan(struct scan *s, const char *text, size_t size, struct isp_error *err)
{
	int r = 0;

	while (r == 0 && size > 0) {
		const char *end = memchr(text, '\n', size);
		size_t line_size = end ? (size_t)(end - text) : size;

		s->line++;
		r = scan_line(s, text, line_size, err);
		line_size += end ? 1 : 0;
		text += line_size;
		size -= line_size;
	}
	return r;
}

/* --- iniparser ----------------------------------------------------------------------------- */

/* iniparser 4.1 reads files by name only, and says on stderr when it cannot open one. */
static int tokenise(const char *text, size_t size, dictionary **ret_ini, struct isp_error *err)
{
	cleanup_close int fd = -EBADF;
	cleanup_close int probe_fd = -EBADF;
	char path[64];
	int r = isp_fd_memfd("ispawn.conf", text, size, &fd);

	if (r < 0)
		return isp_err_set(err, -r, ISP_STAGE_CONFIG, "memfd for the configuration");
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd); /* fits */
	probe_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (probe_fd < 0)
		return isp_err_set(err, errno, ISP_STAGE_CONFIG, "open \"%s\"", path);
	*ret_ini = iniparser_load(path);
	return *ret_ini ? 0 : isp_err_set(err, ENOMEM, ISP_STAGE_CONFIG, "iniparser");
}

/* Takes one value from iniparser; @scratch tells whether it can be. */
static int collect_value(dictionary *ini, size_t number, struct isp_config_value *value,
			 struct isp_settings *scratch, struct isp_error *err)
{
	const struct isp_option *option = &isp_options[value->option];
	const char *text;
	char key[64];

	(void)snprintf(key, sizeof(key), "s%zu:%s", number, option->name); /* fits */
	text = iniparser_getstring(ini, key, NULL);
	if (!text)
		return isp_err_set(err, EINVAL, ISP_STAGE_CONFIG, "not found by iniparser");
	value->text = strdup(text);
	if (!value->text)
		return isp_err_set(err, ENOMEM, ISP_STAGE_CONFIG, "value");
	return isp_option_set(option, value->text, scratch, err);
}

static int collect_section(dictionary *ini, size_t number, struct isp_config_section *section,
			   struct isp_error *err)
{
	cleanup_settings struct isp_settings scratch = {.confine = false};
	char key[32];

	(void)snprintf(key, sizeof(key), "s%zu", number); /* fits */
	if (iniparser_getsecnkeys(ini, key) != (int)section->value_count)
		return refuse_key(err, section, "*", "iniparser counts other keys");
	for (size_t i = 0; i < section->value_count; i++) {
		int r = collect_value(ini, number, &section->values[i], &scratch, err);

		if (r < 0)
			return bad_key(err, section, isp_options[section->values[i].option].name);
	}
	return 0;
}

/* --- files --------------------------------------------------------------------------------- */

static int add_file(struct isp_config *config, const char *file)
{
	char *copy;

	if (config->file_count == ISP_CONFIG_FILES_MAX)
		return -E2BIG;
	copy = strdup(file);
	if (!copy)
		return -ENOMEM;
	config->files[config->file_count++] = copy;
	return 0;
}

static int parse_file(struct isp_config *config, const char *text, size_t size,
		      struct isp_error *err)
{
	cleanup_dictionary dictionary *ini = NULL;
	cleanup_free char *normal = NULL;
	size_t normal_size = 0;
	struct scan s = {.config = config, .first_section = config->section_count};
	int r;

	s.normal = open_memstream(&normal, &normal_size);
	if (!s.normal)
		return isp_err_set(err, ENOMEM, ISP_STAGE_CONFIG, "copy of the file");
	r = scan(&s, text, size, err);
	if (fclose(s.normal) != 0 && r == 0)
		return isp_err_set(err, ENOMEM, ISP_STAGE_CONFIG, "copy of the file");
	if (r == 0 && config->section_count > s.first_section)
		r = tokenise(normal, normal_size, &ini, err);
	for (size_t i = s.first_section; r == 0 && i < config->section_count; i++)
		r = collect_section(ini, i - s.first_section, config->sections[i], err);
	return r;
}

int isp_config_parse_text(struct isp_config *config, const char *file, const char *text,
			  size_t size, struct isp_error *err)
{
	char shown[160];
	int r = size > ISP_CONFIG_SIZE_MAX ? -EFBIG : add_file(config, file);

	if (r < 0)
		r = isp_err_set(err, -r, ISP_STAGE_CONFIG, "too large, or too many files");
	else
		r = parse_file(config, text, size, err);
	if (r == 0)
		return 0;
	isp_escape(shown, sizeof(shown), file);
	return isp_err_prefix(err, "%s", shown);
}

static int load_file(struct isp_config *config, const char *path, struct isp_error *err)
{
	cleanup_close int fd = -EBADF;
	cleanup_free char *text = NULL;
	struct stat st;
	ssize_t size;
	int r = isp_path_open_trusted(path, O_RDONLY | O_NOCTTY, ISP_STAGE_CONFIG, &fd, err);

	if (r < 0)
		return r;
	if (fstat(fd, &st) != 0)
		return isp_err_set(err, errno, ISP_STAGE_CONFIG, "stat \"%s\"", path);
	if (!S_ISREG(st.st_mode))
		return isp_err_set(err, EINVAL, ISP_STAGE_CONFIG, "\"%s\": not a regular file",
				   path);
	text = malloc(ISP_CONFIG_SIZE_MAX + 1);
	if (!text)
		return isp_err_set(err, ENOMEM, ISP_STAGE_CONFIG, "\"%s\"", path);
	size = isp_fd_read_all(fd, text, ISP_CONFIG_SIZE_MAX + 1);
	if (size < 0)
		return isp_err_set(err, (int)-size, ISP_STAGE_CONFIG, "read \"%s\"", path);
	return isp_config_parse_text(config, path, text, (size_t)size, err);
}

static int is_dropin(const struct dirent *entry)
{
	size_t size = strlen(entry->d_name);

	return entry->d_name[0] != '.' && size > 5 &&
	       strcmp(entry->d_name + size - 5, ".conf") == 0;
}

/* The order of bytes, whatever the locale of the application is. */
static int compare_names(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int load_dropin(struct isp_config *config, const char *dir_path, const char *name,
		       struct isp_error *err)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/%s", dir_path, name) >= (int)sizeof(path))
		return isp_err_set(err, ENAMETOOLONG, ISP_STAGE_CONFIG, "\"%s\"", dir_path);
	return load_file(config, path, err);
}

static int load_dropins(struct isp_config *config, const char *dir_path, struct isp_error *err)
{
	cleanup_close int fd = -EBADF;
	struct isp_error missing = {0};
	struct dirent **names = NULL;
	int count;
	int r = isp_path_open_trusted(dir_path, O_RDONLY | O_DIRECTORY, ISP_STAGE_CONFIG, &fd,
				      &missing);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return isp_err_adopt(err, &missing);
	count = scandirat(fd, ".", &names, is_dropin, compare_names);
	if (count < 0)
		return isp_err_set(err, errno, ISP_STAGE_CONFIG, "list \"%s\"", dir_path);
	for (int i = 0; i < count; i++) {
		if (r == 0)
			r = load_dropin(config, dir_path, names[i]->d_name, err);
		free(names[i]);
	}
	free((void *)names);
	return r;
}

int isp_config_load(const char *path, struct isp_config *ret_config, struct isp_error *err)
{
	char dir_path[PATH_MAX] = "";
	const char *slash = strrchr(path, '/');
	int r = load_file(ret_config, path, err);

	/* load_file() has refused a path that is not absolute. */
	if (r == 0 && slash &&
	    snprintf(dir_path, sizeof(dir_path), "%.*s/%s", (int)(slash - path), path,
		     ISPAWN_CONFIG_DROPINS) >= (int)sizeof(dir_path))
		r = isp_err_set(err, ENAMETOOLONG, ISP_STAGE_CONFIG, "\"%s\"", path);
	if (r == 0)
		r = load_dropins(ret_config, dir_path, err);
	if (r < 0)
		isp_config_free(ret_config);
	return r;
}
