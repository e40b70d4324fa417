/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tenant_spec UID HOME PRIVILEGE [VARIABLE...] - an encoded spec on stdout, for tenant_run */
#include "ispawn/base/fd.h"
#include "ispawn/policy/spec.h"

#include <stdio.h>
#include <string.h>

static char empty[] = "", group[] = "tester", shell[] = "/bin/bash";

int main(int argc, char **argv)
{
	struct isp_spec spec = {
		.session = "tester.0123abcd",
		.user = "tester",
		.group = group,
		.gecos = empty,
		.service = empty,
		.tty = empty,
		.directory = empty,
		.rhost = empty,
		.template_name = "default",
		.seccomp = "default",
		.shell = shell,
		.hostname = "test",
		.tmp_size_bytes = 64 << 20,
		.ephemeral_size_bytes = 64 << 20,
		.network = ISP_NETWORK_HOST,
		.limits = {.memory_bytes = UINT64_MAX,
			   .swap_bytes = UINT64_MAX,
			   .pids = UINT64_MAX,
			   .cpu_weight = 100,
			   .io_weight = 100,
			   .sessions = 1},
		.nofile = 1024,
		.start_timeout_s = 10,
	};
	struct isp_error err = {0};
	char line[512], *bytes = NULL;
	size_t size = 0;

	if (argc < 4)
		return 2;
	spec.uid = spec.gid = (uid_t)strtoul(argv[1], NULL, 10);
	spec.home_path = argv[2];
	spec.privilege = strcmp(argv[3], "root") == 0 ? ISP_PRIVILEGE_ROOT : ISP_PRIVILEGE_NONE;
	for (int i = 4; i < argc && spec.environment_count < ISP_LIST_MAX; i++)
		spec.environment[spec.environment_count++] = argv[i];
	if (isp_spec_encode(&spec, &bytes, &size, &err) < 0) {
		isp_err_describe(&err, line, sizeof(line));
		(void)fprintf(stderr, "tenant_spec: %s\n", line);
		return 1;
	}
	size = fwrite(bytes, 1, size, stdout) == size && fflush(stdout) == 0;
	free(bytes);
	return size ? 0 : 1;
}
