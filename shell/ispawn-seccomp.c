/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ispawn-seccomp - compiles a seccomp profile
 *
 *	ispawn-seccomp CAPABILITIES < NAME.json > ANSWER
 *
 * Runs as host root's child with no right left: started by the supervisor or by ispawnctl, it
 * becomes nobody, with no capability, under the default filter and tight limits, before it looks at
 * the first byte.  The profile is root's own file, so this is no wall against an attacker but one
 * against mistakes: in the parser, in libseccomp, or in a profile that somebody was talked into.
 *
 * CAPABILITIES is the bounding set inside, as a mask in hexadecimal.  Exit status: 0 when there is
 * an answer, a refusal included; 1 otherwise.
 */
#include "ispawn-seccomp.h"

#include "ispawn/base/fd.h"
#include "ispawn/base/sys.h"
#include "ispawn/container/caps.h"
#include "ispawn/session/protocol.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define NOBODY 65534

static int limit(int resource, rlim_t value, struct isp_error *err)
{
	const struct rlimit both = {value, value};

	if (setrlimit((__rlimit_resource_t)resource, &both) != 0)
		return isp_err_set(err, errno, ISP_STAGE_DROP, "set a limit");
	return 0;
}

static int bound(struct isp_error *err)
{
	int r = limit(RLIMIT_CPU, 10, err);

	if (r == 0)
		r = limit(RLIMIT_FSIZE, 1 << 20, err);
	if (r == 0)
		r = limit(RLIMIT_CORE, 0, err);
#ifndef __SANITIZE_ADDRESS__ /* its shadow is terabytes of addresses */
	if (r == 0)
		r = limit(RLIMIT_AS, 256 << 20, err);
#endif
	return r;
}

static int drop(struct isp_error *err)
{
	int r = bound(err);

	if (r == 0 && geteuid() == 0)
		r = isp_caps_drop_bounding(0, err);
	if (r == 0 && geteuid() == 0 && isp_sys_become(NOBODY) != 0)
		r = isp_err_set(err, errno, ISP_STAGE_DROP, "become nobody");
	if (r == 0)
		r = isp_caps_apply(0, ~UINT64_C(0), err);
	if (r == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		r = isp_err_set(err, errno, ISP_STAGE_DROP, "set no_new_privs");
	return r < 0 ? r : isp_seccomp_load_default(err);
}

static int parse_mask(const char *text, uint64_t *ret_mask)
{
	char *end = NULL;

	errno = 0;
	*ret_mask = strtoull(text, &end, 16);
	return errno != 0 || strncmp(text, "0x", 2) != 0 || end == text + 2 || *end ? -EINVAL : 0;
}

/* Which file libseccomp came from: the answer is good for as long as that one is there. */
static void name_library(struct isp_answer *answer)
{
	Dl_info info = {.dli_fname = NULL};

	/* The address of data of the library's own: that of a function may be ours (PLT). */
	if (dladdr(seccomp_version(), &info) != 0 && info.dli_fname &&
	    strlen(info.dli_fname) < sizeof(answer->library))
		(void)snprintf(answer->library, sizeof(answer->library), "%s",
			       info.dli_fname); /* fits */
}

static int compile(uint64_t capabilities, struct isp_answer *answer, struct sock_filter *code,
		   struct isp_error *err)
{
	cleanup_free char *text = malloc(ISP_PROFILE_SIZE_MAX + 1);
	cleanup_rules struct rules rules = {.target_count = 0};
	struct circumstances now = {0};
	size_t count = 0;
	ssize_t size;
	int r;

	if (!text)
		return isp_err_set(err, ENOMEM, ISP_STAGE_SECCOMP, "read the profile");
	size = isp_fd_read_all(STDIN_FILENO, text, ISP_PROFILE_SIZE_MAX + 1);
	if (size < 0 || size > ISP_PROFILE_SIZE_MAX)
		return isp_err_set(err, size < 0 ? (int)-size : EFBIG, ISP_STAGE_SECCOMP,
				   "read the profile");
	r = circumstances_now(capabilities, &now, err);
	if (r == 0)
		r = profile_read(text, (size_t)size, &now, &rules, err);
	if (r == 0)
		r = rules_compile(&rules, code, &count, err);
	if (r < 0)
		return r;
	answer->count = (uint32_t)count;
	answer->unknown_count = rules.unknown_count;
	memcpy(answer->unknown, rules.unknown, sizeof(answer->unknown));
	name_library(answer);
	return 0;
}

int main(int argc, char **argv)
{
	static struct sock_filter code[BPF_MAXINSNS];
	static struct isp_answer answer = {.magic = ISP_ANSWER_MAGIC};
	uint64_t capabilities = 0;
	int r;

	if (argc != 2 || parse_mask(argv[1], &capabilities) < 0) {
		/* The build stands in the program so that ispawnctl doctor finds it there. */
		(void)fprintf(stderr,
			      "ispawn-seccomp: started by ispawn, not by hand; see "
			      "ispawn-seccomp(8); build %s\n",
			      isp_protocol_build());
		return 1;
	}
	r = drop(&answer.error);
	if (r == 0)
		r = compile(capabilities, &answer, code, &answer.error);
	if (r < 0)
		answer.count = 0;
	if (isp_fd_write_all(STDOUT_FILENO, &answer, sizeof(answer)) < 0 ||
	    isp_fd_write_all(STDOUT_FILENO, code, answer.count * sizeof(code[0])) < 0)
		return 1;
	return 0;
}
