/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The frozen spec: what decodes encodes to the very same bytes, the rest leaves nothing behind. */
#include "fuzz.h"

#include "ispawn/policy/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	cleanup_spec struct isp_spec spec = {0};
	cleanup_free char *copy = fuzz_copy(bytes, size);
	cleanup_free char *again = NULL;
	static const struct isp_spec zeroed;
	struct isp_error err = {0};
	size_t size_again = 0;
	int r = isp_spec_decode(copy + 1, size, &spec, &err);

	if (r < 0) {
		promise_refusal(r, &err);
		PROMISE(memcmp(&spec, &zeroed, sizeof(zeroed)) == 0);
		return 0;
	}
	PROMISE(spec.owner == ISP_OWNER_ROOT || (spec.uid != 0 && spec.gid != 0));
	PROMISE(spec.owner == ISP_OWNER_USER || spec.directory[0]);
	PROMISE(isp_spec_encode(&spec, &again, &size_again, &err) == 0);
	PROMISE(size == size_again && memcmp(bytes, again, size) == 0);
	return 0;
}
