/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ispawn-run-options.c - the command line
 *
 * Two tables: the options of a run, here, and the keys of ispawn.conf that a run has a use for,
 * which are options of the same names, with "-" for "_".  Names are not abbreviated: what an
 * abbreviation means changes with the next option that is added.  Of an option that is given twice
 * the second value counts, and with lists both do.
 */
#include "ispawn.h"

#include "ispawn/base/fd.h"
#include "ispawn/base/path.h"

#include <stdio.h>
#include <string.h>

#define NAME_SIZE 32
#define HELP_COLUMN 32

static int fail(struct isp_error *err, const char *why)
{
	return isp_err_set(err, EINVAL, ISP_STAGE_CONFIG, "%s", why);
}

static int set_user(struct run *run, const char *value, struct isp_error *err)
{
	(void)err; /* judged when the directory is open */
	run->user = value;
	return 0;
}

static int set_hostname(struct run *run, const char *value, struct isp_error *err)
{
	if (!isp_spec_hostname_is_valid(value))
		return fail(err, "not a host name: 1 to 63 of a-z, 0-9 and -");
	run->hostname = value;
	return 0;
}

static int set_working_directory(struct run *run, const char *value, struct isp_error *err)
{
	if (!isp_path_is_clean(value))
		return fail(err, "not an absolute path without \".\", \"..\" and doubled slashes");
	run->working_directory = value;
	return 0;
}

static int set_variable(struct run *run, const char *value, struct isp_error *err)
{
	const char *equals = strchr(value, '=');
	char name[ISP_NAME_MAX + 1];

	if (!equals || (size_t)(equals - value) >= sizeof(name))
		return fail(err, "not NAME=VALUE");
	memcpy(name, value, (size_t)(equals - value));
	name[equals - value] = '\0';
	if (!isp_spec_variable_is_allowed(name))
		return fail(err,
			    "not the name of a variable that may be set: ispawn sets it, or it "
			    "makes programs load code; env(1) inside can set it");
	if (run->setenv_count == RUN_SETENV_MAX)
		return fail(err, "too many variables");
	run->setenvs[run->setenv_count++] = value;
	return 0;
}

static int set_config_section(struct run *run, const char *value, struct isp_error *err)
{
	(void)err; /* judged when the configuration is read */
	run->config_section = value;
	return 0;
}

#define FLAG_SETTER(name, member)                                                                  \
	static int name(struct run *run, const char *value, struct isp_error *err)                 \
	{                                                                                          \
		(void)value;                                                                       \
		(void)err;                                                                         \
		run->member = true;                                                                \
		return 0;                                                                          \
	}
FLAG_SETTER(set_ephemeral, is_ephemeral)
FLAG_SETTER(set_readonly, is_readonly)
FLAG_SETTER(set_best_effort, is_best_effort)
FLAG_SETTER(set_quiet, is_quiet)
FLAG_SETTER(set_help, wants_help)

static const struct own {
	const char *name;
	const char *value; /* its name in the help; NULL: the option takes none */
	const char *help;
	int (*set)(struct run *run, const char *value, struct isp_error *err);
} own_options[] = {
	{"user", "USER", "a user of the directory: a name, UID or UID:GID (default: 0)", set_user},
	{"hostname", "NAME", "the container's host name (default: the directory's name)",
	 set_hostname},
	{"chdir", "PATH", "where inside to start the command (default: /)", set_working_directory},
	{"setenv", "NAME=VALUE", "set a variable for the command", set_variable},
	{"ephemeral", NULL, "forget at the end what was changed in the directory", set_ephemeral},
	{"readonly", NULL, "let nothing in the directory be changed", set_readonly},
	{"config", "SECTION", "take the policy of a section of ispawn.conf", set_config_section},
	{"best-effort", NULL, "go on where a protection cannot be had, and name it",
	 set_best_effort},
	{"quiet", NULL, "do not say how the command ended", set_quiet},
	{"help", NULL, "this text", set_help},
};

static const struct own *find_own(const char *name)
{
	for (size_t i = 0; i < ISP_ARRAY_SIZE(own_options); i++)
		if (strcmp(own_options[i].name, name) == 0)
			return &own_options[i];
	return NULL;
}

/* "cpu_weight" is --cpu-weight. */
static void spell(char ret_name[NAME_SIZE], const char *key, char from, char to)
{
	(void)snprintf(ret_name, NAME_SIZE, "%s", key); /* Ignored: what is cut is no key */
	for (char *p = ret_name; *p; p++)
		if (*p == from)
			*p = to;
}

static bool find_key(const char *name, size_t *ret_index)
{
	char key[NAME_SIZE];

	if (strlen(name) >= sizeof(key) || strchr(name, '_'))
		return false;
	spell(key, name, '-', '_');
	return isp_option_find(key, ret_index) == 0 && isp_options[*ret_index].run;
}

/* Checked at once, so that the message names the option; set when all is known. */
static int take_policy(struct run *run, size_t index, const char *value, struct isp_error *err)
{
	cleanup_settings struct isp_settings trial = {.confine = false};
	const struct isp_option *option = &isp_options[index];
	const char *before = isp_option_is_list(option) ? run->policy[index] : NULL;
	char *text = NULL;
	int r;

	if (asprintf(&text, "%s%s%s", before ? before : "", before ? " " : "", value) < 0)
		return isp_err_set(err, ENOMEM, ISP_STAGE_CONFIG, "out of memory");
	r = isp_option_set(option, text, &trial, err);
	if (r < 0) {
		free(text);
		return r;
	}
	free(run->policy[index]);
	run->policy[index] = text;
	return 0;
}

/* What follows "--": NAME or NAME=VALUE. */
struct word {
	char name[NAME_SIZE];
	const char *value; /* NULL without "=" */
};

static bool cut(const char *text, struct word *ret)
{
	const char *equals = strchr(text, '=');
	size_t size = equals ? (size_t)(equals - text) : strlen(text);

	if (size == 0 || size >= sizeof(ret->name))
		return false;
	memcpy(ret->name, text, size);
	ret->name[size] = '\0';
	ret->value = equals ? equals + 1 : NULL;
	return true;
}

static int refuse(struct isp_error *err, const char *untrusted, const char *why)
{
	char shown[64];

	isp_escape(shown, sizeof(shown), untrusted);
	return isp_err_set(err, EINVAL, ISP_STAGE_CONFIG, "%s: %s; see ispawn --help", shown, why);
}

/* One option. @next: the argument behind it; *@ret_takes_next when it was used. */
static int take_option(struct run *run, const char *argument, const char *next,
		       bool *ret_takes_next, struct isp_error *err)
{
	struct word word = {.value = NULL};
	const struct own *own;
	size_t key = 0;
	bool wants_value;
	int r;

	if (strncmp(argument, "--", 2) != 0 || !cut(argument + 2, &word))
		return refuse(err, argument, "no such option");
	own = find_own(word.name);
	if (!own && !find_key(word.name, &key))
		return refuse(err, argument, "no such option");
	wants_value = !own || own->value;
	if (!wants_value && word.value)
		return refuse(err, argument, "takes no value");
	*ret_takes_next = wants_value && !word.value;
	if (*ret_takes_next && !next)
		return refuse(err, argument, "the value is missing");
	if (*ret_takes_next)
		word.value = next;
	r = own ? own->set(run, word.value, err) : take_policy(run, key, word.value, err);
	return r < 0 ? isp_err_prefix(err, "--%s", word.name) : 0;
}

int options_parse(int argc, char **argv, struct run *run, struct isp_error *err)
{
	int at = 1;

	while (at < argc && argv[at][0] == '-' && !run->wants_help) {
		bool takes_next = false;
		int r;

		if (strcmp(argv[at], "--") == 0) {
			at++;
			break;
		}
		r = take_option(run, argv[at], argv[at + 1], &takes_next, err);
		if (r < 0)
			return r;
		at += takes_next ? 2 : 1;
	}
	if (run->wants_help)
		return 0;
	if (run->is_ephemeral && run->is_readonly)
		return fail(err, "--ephemeral and --readonly exclude each other");
	if (argc - at < 2)
		return fail(err, at == argc ? "no directory is given; see ispawn --help"
					    : "no command is given; see ispawn --help");
	run->directory = argv[at];
	run->command = argv + at + 1;
	run->command_count = argc - at - 1;
	return 0;
}

static void print_one(const char *name, const char *value, const char *help)
{
	/* Ignored, all: the stream remembers; asked once at the end. */
	int n = printf("  --%s%s%s", name, value ? " " : "", value ? value : "");

	(void)printf("%*s%s", n < HELP_COLUMN ? HELP_COLUMN - n : 1, "", help);
}

int options_print_help(void)
{
	(void)puts("usage: ispawn [OPTION...] DIRECTORY COMMAND [ARGUMENT...]\n\n"
		   "Run COMMAND with DIRECTORY as the root of a container.\n");
	for (size_t i = 0; i < ISP_ARRAY_SIZE(own_options); i++) {
		print_one(own_options[i].name, own_options[i].value, own_options[i].help);
		(void)puts("");
	}
	(void)puts("\nThe policy, as in ispawn.conf(5):\n");
	for (size_t i = 0; i < ISP_OPTION_TOTAL; i++) {
		const struct isp_option *option = &isp_options[i];
		char name[NAME_SIZE];
		char type[128];

		if (!option->run)
			continue;
		spell(name, option->name, '_', '-');
		isp_option_type_text(option, type, sizeof(type));
		print_one(name, "VALUE", option->run);
		(void)printf("\n%*s(%s; default: %s)\n", HELP_COLUMN, "", type,
			     option->default_text[0] ? option->default_text : "empty");
	}
	(void)puts("\nExit status: the command's; 128+N when signal N ended it; 125 ispawn itself\n"
		   "failed; 126 the command cannot be run; 127 it is not there.");
	return fflush(stdout) == 0 && !ferror(stdout) ? 0 : -EIO;
}

void options_free(struct run *run)
{
	for (size_t i = 0; i < ISP_OPTION_TOTAL; i++)
		free(run->policy[i]);
}
