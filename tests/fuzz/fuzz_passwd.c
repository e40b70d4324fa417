/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The copy's /etc/passwd or group: root of the container wrote it, and the next login puts the
 * user's line into it.  The first line is the user's name, the rest the file.
 */
#include "fuzz.h"

#include "ispawn/base/parse.h"

/* The rewriting is the file's own: it is taken as it stands, its public names out of the way. */
#define isp_identity_set_hostname fuzz_set_hostname
#define isp_identity_write_files fuzz_write_files
#define isp_identity_find_shell fuzz_find_shell
#include "../../common/container/identity.c"

#define ID "1000"

/* Reads fields the slow and obvious way: must not share a mistake with what is tested. */
static bool is_field(const char *line, unsigned int number, const char *value)
{
	size_t size;

	for (; number > 0; number--) {
		line += strcspn(line, ":\n");
		if (*line++ != ':')
			return false;
	}
	size = strcspn(line, ":\n");
	return size == strlen(value) && strncmp(line, value, size) == 0;
}

/* The first line that the C library takes for @value in field @number. */
static const char *find_line(const char *text, unsigned int number, const char *value)
{
	while (*text && !is_field(text, number, value)) {
		text += strcspn(text, "\n");
		text += *text == '\n';
	}
	return *text ? text : NULL;
}

/* Lines of other names stay, whatever is in them. */
static void promise_others(const char *text, const char *fresh, const char *name)
{
	while (*text) {
		size_t size = strcspn(text, "\n");
		char *line = fuzz_string((const uint8_t *)text, size);

		PROMISE(size == 0 || is_field(line, 0, name) || has_line(fresh, line));
		free(line);
		text += size + (text[size] == '\n');
	}
}

/* By name and by id the C library finds @entry, and no second line by name. */
static void promise_entry(const char *fresh, const char *entry, const char *name)
{
	const char *found = find_line(fresh, 0, name);

	PROMISE(found && strncmp(found, entry, strlen(entry)) == 0);
	PROMISE(found[strlen(entry)] == '\n');
	PROMISE(find_line(fresh, 2, ID) == found);
	PROMISE(!find_line(found + strlen(entry) + 1, 0, name));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	cleanup_free char *line = fuzz_line(&bytes, &size);
	cleanup_free char *text = fuzz_string(bytes, size);
	cleanup_free char *fresh = NULL;
	cleanup_free char *again = NULL;
	const char *name = isp_name_is_safe(line) ? line : "guest";
	char entry[2 * ISP_NAME_MAX];

	(void)snprintf(entry, sizeof(entry), "%s:*:" ID ":1000:Guest:/home/guest:/bin/sh", name);
	fresh = with_entry(text, entry, name, ID);
	PROMISE(fresh);
	promise_entry(fresh, entry, name);
	promise_others(text, fresh, name);
	/* A second time changes nothing. */
	again = with_entry(fresh, entry, name, ID);
	PROMISE(again && strcmp(fresh, again) == 0);
	return 0;
}
