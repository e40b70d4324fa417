/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A shell's request: what decodes encodes to the very same bytes, and its environment is filtered.
 */
#include "fuzz.h"

#include "ispawn/session/environment.h"

static char home[] = "/home/guest", editor[] = "EDITOR";
static const struct isp_spec spec = {.session = "guest.0123abcd",
				     .user = "guest",
				     .home_path = home,
				     .environment = {editor},
				     .environment_count = 1};

#define FACTS 5 /* HOME, USER, LOGNAME, SHELL, ISPAWN_SESSION */

static size_t name_size(const char *entry)
{
	return strcspn(entry, "=");
}

/* The facts first, PATH last; each name once; the rest allowed. */
static void promise_environment(const struct isp_request *request)
{
	cleanup_free char **environment = NULL;
	size_t count = 0;

	PROMISE(isp_environment_build(&spec, request, "/bin/sh", "/dev/pts/0", &environment) == 0);
	while (environment[count])
		count++;
	PROMISE(count > FACTS && count <= request->environment_count + FACTS + 1);
	PROMISE(strcmp(environment[0], "HOME=/home/guest") == 0);
	PROMISE(strcmp(environment[1], "USER=guest") == 0);
	PROMISE(strcmp(environment[FACTS - 1], "ISPAWN_SESSION=guest.0123abcd") == 0);
	PROMISE(strncmp(environment[count - 1], "PATH=/usr/local/bin:", 20) == 0);
	for (size_t i = FACTS; i + 1 < count; i++) {
		PROMISE(isp_environment_is_allowed(environment[i], &spec) ||
			strcmp(environment[i], "SSH_TTY=/dev/pts/0") == 0);
		for (size_t k = 0; k < i; k++)
			PROMISE(name_size(environment[i]) != name_size(environment[k]) ||
				strncmp(environment[i], environment[k],
					name_size(environment[i])) != 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	cleanup_request struct isp_request request = {0};
	cleanup_free char *copy = fuzz_copy(bytes, size);
	cleanup_free char *again = NULL;
	struct isp_error err = {0};
	size_t size_again = 0;
	int r = isp_request_decode(copy + 1, size, &request, &err);

	if (r < 0) {
		promise_refusal(r, &err);
		PROMISE(!request.args && !request.environment && request.arg_count == 0);
		return 0;
	}
	PROMISE(!request.args[request.arg_count]);
	PROMISE(!request.environment[request.environment_count]);
	PROMISE(isp_request_encode(&request, &again, &size_again, &err) == 0);
	PROMISE(size == size_again && memcmp(bytes, again, size) == 0);
	promise_environment(&request);
	return 0;
}
