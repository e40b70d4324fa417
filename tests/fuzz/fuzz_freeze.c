/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the host's name service and resolv.conf say, as a login freezes it: the first lines are
 * user, group, gecos, home, shell, rhost and hostname, the rest is resolv.conf.  Whatever they
 * hold, what is frozen encodes and is read back.
 */
#include "fuzz.h"

#include "ispawn/policy/freeze.h"

static void fill(struct isp_subject *subject, const uint8_t **bytes, size_t *size)
{
	char *user = fuzz_line(bytes, size);

	(void)snprintf(subject->user, sizeof(subject->user), "%s",
		       isp_name_is_safe(user) ? user : "guest"); /* resolve refuses others */
	free(user);
	subject->uid = subject->gid = 1000;
	subject->group = fuzz_line(bytes, size);
	subject->gecos = fuzz_line(bytes, size);
	subject->home = fuzz_line(bytes, size);
	subject->shell = fuzz_line(bytes, size);
	subject->rhost = fuzz_line(bytes, size);
	subject->service = strdup(subject->rhost);
	subject->tty = strdup(subject->rhost);
	subject->groups = calloc(1, sizeof(*subject->groups));
	PROMISE(subject->service && subject->tty && subject->groups);
	subject->groups[0].gid = 29;
	subject->groups[0].name = strdup("audio");
	PROMISE(subject->groups[0].name);
	subject->group_count = 1;
}

static void make_settings(struct isp_settings *settings)
{
	static const char *const texts[][2] = {{"network", "host"}, {"groups", "audio"}};
	struct isp_error err = {0};

	PROMISE(isp_settings_default(settings, &err) == 0);
	for (size_t i = 0; i < ISP_ARRAY_SIZE(texts); i++) {
		size_t option = 0;

		PROMISE(isp_option_find(texts[i][0], &option) == 0);
		PROMISE(isp_option_set(&isp_options[option], texts[i][1], settings, &err) == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	cleanup_settings struct isp_settings settings = {.confine = false};
	cleanup_subject struct isp_subject subject = {.uid = 0};
	cleanup_spec struct isp_spec spec = {0};
	cleanup_spec struct isp_spec again = {0};
	cleanup_free char *hostname = NULL;
	cleanup_free char *resolvers = NULL;
	cleanup_free char *frozen = NULL;
	struct isp_error err = {0};
	size_t frozen_size = 0;
	int r;

	make_settings(&settings);
	fill(&subject, &bytes, &size);
	hostname = fuzz_line(&bytes, &size);
	resolvers = fuzz_string(bytes, size);
	r = isp_policy_freeze_spec(&settings, &subject, hostname, resolvers, &spec, &err);
	if (strcmp(subject.user, ISP_ROOT_NAME) == 0) {
		PROMISE(r == -EPERM);
		return 0;
	}
	PROMISE(r == 0);
	PROMISE(isp_spec_encode(&spec, &frozen, &frozen_size, &err) == 0);
	PROMISE(isp_spec_decode(frozen, frozen_size, &again, &err) == 0);
	PROMISE(again.group_count == 1 && again.dns_count == spec.dns_count);
	return 0;
}
