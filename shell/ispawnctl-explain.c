/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ispawnctl-explain.c - `ispawnctl explain`: what applies to one user, and where each way in ends
 */
#include "ispawnctl.h"

#include "ispawn/base/fd.h"
#include "ispawn/base/json.h"
#include "ispawnctl-host.h"

#include <stdio.h>

/* Nobody connects from there (RFC 5737): sections `Match Address` apply to those who are named. */
#define NOWHERE "192.0.2.1"

/* struct wish - what was asked for */
struct wish {
	const char *user, *service, *address;
	bool is_json;
};

/* struct answer - all there is to tell */
struct answer {
	const struct wish *wish;
	struct account account;
	struct service service;
	struct ways ways;
};

/* --- arguments -------------------------------------------------------------------------------- */

static int refuse(const char *sentence)
{
	say("%s; see ispawnctl --help", sentence);
	return STATUS_USAGE;
}

static int take_option(const char *name, const char *value, struct wish *wish)
{
	if (strcmp(name, "--service") == 0) {
		if (!value || !isp_name_is_safe(value))
			return refuse("explain --service needs the name of a PAM service");
		wish->service = value;
		return STATUS_OK;
	}
	if (!value || !isp_spec_address_is_valid(value))
		return refuse("explain --from needs a numeric address");
	wish->address = value;
	return STATUS_OK;
}

static int take_arguments(int argc, char **argv, struct wish *wish)
{
	int status = STATUS_OK;

	for (int i = 0; i < argc && status == STATUS_OK; i++) {
		if (strcmp(argv[i], "--json") == 0) {
			wish->is_json = true;
		} else if (strcmp(argv[i], "--service") == 0 || strcmp(argv[i], "--from") == 0) {
			status = take_option(argv[i], i + 1 < argc ? argv[i + 1] : NULL, wish);
			i++;
		} else if (argv[i][0] == '-' || wish->user) {
			return refuse_argument("explain", argv[i]);
		} else {
			wish->user = argv[i];
		}
	}
	if (status == STATUS_OK && !wish->user)
		return refuse("explain needs a user");
	return status;
}

/* --- the policy ------------------------------------------------------------------------------- */

static const char *value_of(const struct isp_decision *decision, size_t option)
{
	return decision->value[option] ? decision->value[option]->text
				       : isp_options[option].default_text;
}

/* Where the value stands; "the default" when nowhere. */
static void origin_of(const struct service *service, size_t option, char *ret_text, size_t size)
{
	const struct isp_config_section *section = service->decision.section[option];
	char title[ISP_NAME_MAX * 2 + 16];
	char file[160];

	if (!section) {
		(void)snprintf(ret_text, size, "the default");
		return;
	}
	isp_config_section_title(section, title, sizeof(title));
	isp_escape(file, sizeof(file), service->config.files[section->file]);
	(void)snprintf(ret_text, size, "%s in %s, line %u", title, file,
		       service->decision.value[option]->line);
}

static void print_policy(const struct service *service)
{
	(void)printf("\npolicy in service %s: %s\n", service->name,
		     service->is_decided ? isp_verdict_name(service->decision.verdict) : "deny");
	if (!service->is_decided) {
		(void)printf("  %s\n", service->err.text);
		return;
	}
	(void)printf("  %s\n", service->decision.reason);
	for (size_t i = 0; i < ISP_OPTION_TOTAL; i++) {
		char value[200];
		char origin[400];

		isp_escape(value, sizeof(value), value_of(&service->decision, i));
		origin_of(service, i, origin, sizeof(origin));
		(void)printf("  %-14s = %-28s %s\n", isp_options[i].name, value, origin);
	}
}

static void write_value(struct isp_json *json, const struct service *service, size_t option)
{
	const struct isp_config_section *section = service->decision.section[option];
	char title[ISP_NAME_MAX * 2 + 16];

	isp_json_begin(json, NULL, '{');
	isp_json_string(json, "key", isp_options[option].name);
	isp_json_string(json, "value", value_of(&service->decision, option));
	if (section) {
		isp_config_section_title(section, title, sizeof(title));
		isp_json_string(json, "file", service->config.files[section->file]);
		isp_json_string(json, "section", title);
		isp_json_number(json, "line", service->decision.value[option]->line);
	} else {
		isp_json_null(json, "file");
		isp_json_null(json, "section");
		isp_json_null(json, "line");
	}
	isp_json_end(json, '}');
}

static void write_policy(struct isp_json *json, const struct service *service)
{
	isp_json_begin(json, "policy", '{');
	isp_json_string(json, "service", service->name);
	isp_json_string(json, "verdict",
			service->is_decided ? isp_verdict_name(service->decision.verdict) : "deny");
	isp_json_string(json, "reason",
			service->is_decided ? service->decision.reason : service->err.text);
	isp_json_begin(json, "values", '[');
	for (size_t i = 0; service->is_decided && i < ISP_OPTION_TOTAL; i++)
		write_value(json, service, i);
	isp_json_end(json, ']');
	isp_json_end(json, '}');
}

/* --- services --------------------------------------------------------------------------------- */

/* What the policy and the stack say in the services that people log in through, and in @wish's. */
static const char *const usual[] = {"sshd", "login", "su", "su-l", "cron", "atd", "systemd-user"};

static const char *stack_word(const struct service *service)
{
	const struct pam_finding *pam = &service->pam;

	if (!pam->ours)
		return "absent";
	if (pam->skipper)
		return "skipped";
	if (pam->is_weak)
		return "optional";
	return pam->is_installed ? "enforced" : "missing";
}

/* What is no hole and yet worth knowing; NULL: nothing. */
static const char *stack_note(const struct pam_finding *pam)
{
	if (!pam->ours)
		return NULL;
	if (pam->is_alone)
		return "no other session module succeeds: libpam denies whoever is not confined, "
		       "root too";
	if (!pam->is_last)
		return "not the last session line: what follows runs after the container is up, "
		       "in its network, and what it sets may not hold inside";
	return NULL;
}

static const char *policy_word(const struct account *account, const struct service *service)
{
	if (account->is_exempt)
		return "ignore";
	return service->is_decided ? isp_verdict_name(service->decision.verdict) : "deny";
}

static void print_service(const struct account *account, const struct service *service)
{
	const struct pam_finding *pam = &service->pam;
	char text[400] = "";

	if (pam->ours)
		line_text(pam->ours, text, sizeof(text));
	(void)printf("  %-14s %-8s module %-9s %s\n", service->name, policy_word(account, service),
		     stack_word(service), text);
	if (stack_note(pam))
		(void)printf("  %-14s %s\n", "", stack_note(pam));
}

static void write_service(struct isp_json *json, const struct account *account,
			  const struct service *service)
{
	const struct pam_line *ours = service->pam.ours;

	isp_json_begin(json, NULL, '{');
	isp_json_string(json, "service", service->name);
	isp_json_string(json, "policy", policy_word(account, service));
	isp_json_string(json, "module", stack_word(service));
	if (ours) {
		isp_json_string(json, "file", ours->file);
		isp_json_number(json, "line", ours->number);
		isp_json_string(json, "control", ours->control);
	} else {
		isp_json_null(json, "file");
		isp_json_null(json, "line");
		isp_json_null(json, "control");
	}
	if (stack_note(&service->pam))
		isp_json_string(json, "note", stack_note(&service->pam));
	else
		isp_json_null(json, "note");
	isp_json_end(json, '}');
}

/* @json: NULL: for people */
static void tell_service(struct isp_json *json, const struct account *account, const char *name)
{
	struct service service;

	service_examine(account, name, &service);
	if (json)
		write_service(json, account, &service);
	else
		print_service(account, &service);
	service_free(&service);
}

static void tell_services(struct isp_json *json, const struct answer *answer)
{
	bool is_usual = false;

	for (size_t i = 0; i < ISP_ARRAY_SIZE(usual); i++) {
		is_usual = is_usual || strcmp(usual[i], answer->wish->service) == 0;
		tell_service(json, &answer->account, usual[i]);
	}
	if (!is_usual)
		tell_service(json, &answer->account, answer->wish->service);
}

/* --- ways in ---------------------------------------------------------------------------------- */

static void print_ways(const struct ways *ways)
{
	(void)printf("\nways in\n");
	for (size_t i = 0; i < ways->count; i++) {
		const struct verdict *v = &ways->items[i].verdict;

		(void)printf("  %-15s %-9s %s\n", ways->items[i].name, place_name(v->place),
			     v->reason);
		if (v->change[0])
			(void)printf("  %-15s %-9s -> %s\n", "", "", v->change);
	}
}

static void write_ways(struct isp_json *json, const struct ways *ways)
{
	isp_json_begin(json, "ways", '[');
	for (size_t i = 0; i < ways->count; i++) {
		const struct way *way = &ways->items[i];

		isp_json_begin(json, NULL, '{');
		isp_json_string(json, "way", way->name);
		isp_json_string(json, "what", way->what);
		isp_json_string(json, "verdict", place_name(way->verdict.place));
		isp_json_string(json, "reason", way->verdict.reason);
		if (way->verdict.change[0])
			isp_json_string(json, "change", way->verdict.change);
		else
			isp_json_null(json, "change");
		isp_json_end(json, '}');
	}
	isp_json_end(json, ']');
}

/* --- all -------------------------------------------------------------------------------------- */

static void print_all(const struct answer *answer)
{
	const struct isp_subject *s = &answer->account.subject;
	char user[ISP_NAME_MAX * 2];
	char home[200];
	char shell[200];

	isp_escape(user, sizeof(user), s->user);
	isp_escape(home, sizeof(home), s->home);
	isp_escape(shell, sizeof(shell), s->shell);
	(void)printf("%s: uid %u, home %s, shell %s\n", user, s->uid, home, shell);
	print_policy(&answer->service);
	(void)printf("\nPAM services\n");
	tell_services(NULL, answer);
	print_ways(&answer->ways);
}

static void write_all(const struct answer *answer)
{
	struct isp_json json = {.out = stdout};
	const struct isp_subject *s = &answer->account.subject;

	isp_json_begin(&json, NULL, '{');
	isp_json_string(&json, "user", s->user);
	isp_json_number(&json, "uid", s->uid);
	isp_json_string(&json, "home", s->home);
	isp_json_string(&json, "shell", s->shell);
	isp_json_string(&json, "from", answer->wish->address);
	write_policy(&json, &answer->service);
	isp_json_begin(&json, "services", '[');
	tell_services(&json, answer);
	isp_json_end(&json, ']');
	write_ways(&json, &answer->ways);
	isp_json_end(&json, '}');
	(void)fputc('\n', stdout);
}

static int status_of(const struct ways *ways)
{
	for (size_t i = 0; i < ways->count; i++)
		if (ways->items[i].verdict.place == PLACE_HOST)
			return STATUS_FAILED;
	return STATUS_OK;
}

static int explain(const struct wish *wish)
{
	static struct answer answer; /* large */
	cleanup_sshd struct sshd sshd = {.is_installed = false};
	struct isp_error err = {0};
	int status;

	answer.wish = wish;
	if (account_find(wish->user, &answer.account, &err) < 0)
		return say_error(&err);
	sshd_ask(answer.account.subject.user, wish->address, &sshd);
	service_examine(&answer.account, wish->service, &answer.service);
	if (ways_find(&answer.account, &sshd, &answer.ways, &err) < 0)
		status = say_error(&err);
	else
		status = status_of(&answer.ways);
	if (err.code == 0) {
		if (wish->is_json)
			write_all(&answer);
		else
			print_all(&answer);
	}
	service_free(&answer.service);
	account_free(&answer.account);
	return status;
}

int explain_run(int argc, char **argv)
{
	struct wish wish = {.service = "sshd", .address = NOWHERE};
	int status = take_arguments(argc, argv, &wish);

	return status == STATUS_OK ? explain(&wish) : status;
}
