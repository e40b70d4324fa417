/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A seccomp profile: any bytes are a program that the kernel could take, or are refused in words.
 */
#include "fuzz.h"

#include "../../shell/ispawn-seccomp.h"

/* The first byte chooses the circumstances. */
static struct circumstances choose(uint8_t byte)
{
	return (struct circumstances){.capabilities = byte & 1 ? ~UINT64_C(0) : 0,
				      .kernel = byte & 2 ? 3 : 6,
				      .patch = 1,
				      .architecture = byte & 4 ? "arm64" : "amd64"};
}

/* As the kernel checks it: jumps go forwards and stay inside, and the end is a return. */
static void promise_program(const struct sock_filter *code, size_t count)
{
	PROMISE(count > 0 && count <= BPF_MAXINSNS);
	for (size_t i = 0; i < count; i++) {
		if (BPF_CLASS(code[i].code) != BPF_JMP)
			continue;
		if (BPF_OP(code[i].code) == BPF_JA)
			PROMISE(code[i].k < count - i - 1);
		else
			PROMISE(i + 1 + code[i].jt < count && i + 1 + code[i].jf < count);
	}
	PROMISE(BPF_CLASS(code[count - 1].code) == BPF_RET);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static struct sock_filter code[BPF_MAXINSNS];
	cleanup_rules struct rules rules = {.target_count = 0};
	cleanup_free char *copy = fuzz_copy(bytes, size);
	const struct circumstances now = choose(size > 0 ? bytes[0] : 0);
	struct isp_error err = {0};
	size_t count = 0;
	int r = size > 0 ? profile_read(copy + 2, size - 1, &now, &rules, &err) : -EINVAL;

	if (size == 0)
		return 0;
	if (r == 0)
		r = rules_compile(&rules, code, &count, &err);
	PROMISE(memchr(rules.unknown, '\0', sizeof(rules.unknown)));
	PROMISE(is_printable_ascii(rules.unknown));
	if (r == 0)
		promise_program(code, count);
	else
		promise_refusal(r, &err);
	return 0;
}
