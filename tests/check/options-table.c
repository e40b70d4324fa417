/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * options-table.c - the option table and the parser, for tests/check/options
 *
 *	options-table table	  each key as "KEY <tab> TYPE <tab> DEFAULT"
 *	options-table runner	  likewise those that are options of ispawn(1), as they are there
 *	options-table parse NAME  standard input, read as a login would: deny, ignore or confine, as
 *				  an ordinary user fares by it
 */
#include "ispawn/base/fd.h"
#include "ispawn/policy/decide.h"

#include <stdio.h>
#include <string.h>

static int print_table(bool of_runner)
{
	for (size_t i = 0; i < ISP_OPTION_TOTAL; i++) {
		char type[128];

		if (of_runner && !isp_options[i].run)
			continue;
		isp_option_type_text(&isp_options[i], type, sizeof(type));
		for (const char *p = isp_options[i].name; *p; p++)
			putchar(of_runner && *p == '_' ? '-' : *p);
		printf("\t%s\t%s\n", type, isp_options[i].default_text);
	}
	return 0;
}

/* Somebody whom no section can name. */
static int judge(const struct isp_config *config, struct isp_error *err)
{
	static char nothing[] = "", group[] = "nobodys-group", service[] = "sshd";
	cleanup_decision struct isp_decision decision = {.verdict = ISP_VERDICT_DENY};
	const struct isp_subject subject = {.user = "nobodys-user",
					    .uid = 12345,
					    .gid = 12345,
					    .group = group,
					    .gecos = nothing,
					    .home = nothing,
					    .shell = nothing,
					    .service = service,
					    .tty = nothing,
					    .rhost = nothing};
	int r = isp_decide(config, &subject, &decision, err);

	if (r == 0)
		puts(isp_verdict_name(decision.verdict));
	return r;
}

static int parse(const char *name)
{
	static char text[ISP_CONFIG_SIZE_MAX + 1];
	cleanup_config struct isp_config config = {.file_count = 0};
	struct isp_error err = {0};
	char words[ISP_ERROR_TEXT_SIZE + 100];
	ssize_t size = isp_fd_read_all(STDIN_FILENO, text, sizeof(text));
	int r = size < 0 ? isp_err_set(&err, (int)-size, ISP_STAGE_CONFIG, "read standard input")
			 : isp_config_parse_text(&config, name, text, (size_t)size, &err);

	if (r == 0)
		r = judge(&config, &err);
	if (r == 0)
		return 0;
	isp_err_describe(&err, words, sizeof(words));
	(void)fprintf(stderr, "%s\n", words); /* the status says it too */
	return 1;
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "table") == 0)
		return print_table(false);
	if (argc == 2 && strcmp(argv[1], "runner") == 0)
		return print_table(true);
	if (argc == 3 && strcmp(argv[1], "parse") == 0)
		return parse(argv[2]);
	(void)fputs("usage: options-table table | runner | parse NAME\n", stderr);
	return 2;
}
