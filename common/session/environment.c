/* SPDX-License-Identifier: GPL-3.0-or-later */
/* environment.c - the variables a tenant starts with; contract in ispawn/session/environment.h */
#include "ispawn/session/environment.h"

#include "ispawn/base/fd.h"
#include "ispawn/base/path.h"

#include <stdio.h>
#include <string.h>

#define PATH_TENANT "PATH=/usr/local/bin:/usr/bin:/bin"
#define PATH_ROOT "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* A trailing '*' stands for any ending. */
static const char *const allowed[] = {
	"TERM",
	"COLORTERM",
	"NO_COLOR",
	"LANG",
	"LANGUAGE",
	"LC_*",
	"TZ",
	"DISPLAY",
	"SSH_CONNECTION",
	"SSH_CLIENT",
	"SSH_ORIGINAL_COMMAND",
	"GIT_PROTOCOL", /* git's protocol version 2 over ssh */
};

static size_t name_length(const char *entry)
{
	return strcspn(entry, "=");
}

static bool matches(const char *entry, const char *pattern)
{
	size_t length = name_length(entry), size = strlen(pattern);

	if (size > 0 && pattern[size - 1] == '*')
		return length >= size - 1 && strncmp(entry, pattern, size - 1) == 0;
	return length == size && strncmp(entry, pattern, size) == 0;
}

static bool is_name_byte(char c, bool is_first)
{
	return c == '_' || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	       (!is_first && c >= '0' && c <= '9');
}

bool isp_environment_is_sane(const char *entry)
{
	size_t i = 0;

	for (; entry[i] && entry[i] != '='; i++)
		if (!is_name_byte(entry[i], i == 0))
			return false;
	return i > 0 && entry[i] == '=' &&
	       strnlen(entry, ISP_ENVIRONMENT_ENTRY_MAX) < ISP_ENVIRONMENT_ENTRY_MAX;
}

bool isp_environment_is_allowed(const char *entry, const struct isp_spec *spec)
{
	for (size_t i = 0; i < ISP_ARRAY_SIZE(allowed); i++)
		if (matches(entry, allowed[i]))
			return true;
	for (size_t i = 0; i < spec->environment_count; i++) {
		const char *name = spec->environment[i];

		if (name_length(entry) == strlen(name) && strncmp(entry, name, strlen(name)) == 0)
			return true;
	}
	return false;
}

/* Our own entries (at most FACTS_MAX) and pointers to the request's, before they are packed. */
#define FACTS_MAX 6
struct draft {
	char *facts[FACTS_MAX]; /* owned */
	size_t fact_count;
	const char *entries[FACTS_MAX + ISP_REQUEST_ENVIRONMENT_MAX];
	size_t count;
};

static void draft_free(struct draft *draft)
{
	for (size_t i = 0; i < draft->fact_count; i++)
		free(draft->facts[i]);
}

static bool draft_has(const struct draft *draft, const char *entry)
{
	for (size_t i = 0; i < draft->count; i++)
		if (name_length(draft->entries[i]) == name_length(entry) &&
		    strncmp(draft->entries[i], entry, name_length(entry)) == 0)
			return true;
	return false;
}

static int draft_fact(struct draft *draft, const char *name, const char *value)
{
	char *fact = NULL;

	if (draft->fact_count == FACTS_MAX || asprintf(&fact, "%s=%s", name, value) < 0)
		return -ENOMEM;
	draft->facts[draft->fact_count++] = fact;
	draft->entries[draft->count++] = fact;
	return 0;
}

static bool asks_for_tty_name(const struct isp_request *request)
{
	for (size_t i = 0; i < request->environment_count; i++)
		if (matches(request->environment[i], "SSH_TTY"))
			return true;
	return false;
}

static int draft_facts(struct draft *draft, const struct isp_spec *spec, const char *shell)
{
	/* In a directory of root's own the user may be 0 as well, by whatever name it has there. */
	bool is_root = spec->privilege == ISP_PRIVILEGE_ROOT && spec->owner == ISP_OWNER_USER;
	int r = draft_fact(draft, "HOME", is_root ? "/root" : spec->home_path);

	if (r == 0)
		r = draft_fact(draft, "USER", is_root ? "root" : spec->user);
	if (r == 0)
		r = draft_fact(draft, "LOGNAME", is_root ? "root" : spec->user);
	if (r == 0 && shell[0])
		r = draft_fact(draft, "SHELL", shell);
	/* The id that the administrator finds in the log. */
	return r < 0 ? r : draft_fact(draft, ISPAWN_SESSION_VARIABLE, spec->session);
}

/* One block: the array, then the strings it points at, so that one free() ends it. */
static int pack(const struct draft *draft, char ***ret_environment)
{
	size_t array_size = (draft->count + 1) * sizeof(char *), size = array_size;
	char **environment;
	char *at;

	for (size_t i = 0; i < draft->count; i++)
		size += strlen(draft->entries[i]) + 1;
	environment = malloc(size);
	if (!environment)
		return -ENOMEM;
	at = (char *)environment + array_size;
	for (size_t i = 0; i < draft->count; i++) {
		environment[i] = at;
		at = stpcpy(at, draft->entries[i]) + 1;
	}
	environment[draft->count] = NULL;
	*ret_environment = environment;
	return 0;
}

int isp_environment_build(const struct isp_spec *spec, const struct isp_request *request,
			  const char *shell, const char *tty_name, char ***ret_environment)
{
	__attribute__((cleanup(draft_free))) struct draft draft = {.count = 0};
	int r = draft_facts(&draft, spec, shell);

	if (r == 0 && tty_name && asks_for_tty_name(request))
		r = draft_fact(&draft, "SSH_TTY", tty_name);
	if (r < 0)
		return r;
	for (size_t i = 0; i < request->environment_count; i++) {
		const char *entry = request->environment[i];

		if (draft.count + 1 < ISP_ARRAY_SIZE(draft.entries) &&
		    isp_environment_is_allowed(entry, spec) && !draft_has(&draft, entry))
			draft.entries[draft.count++] = entry;
	}
	draft.entries[draft.count++] =
		spec->privilege == ISP_PRIVILEGE_ROOT ? PATH_ROOT : PATH_TENANT;
	return pack(&draft, ret_environment);
}
