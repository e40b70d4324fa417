/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One key's value: the first byte names the key, the rest is the value. */
#include "fuzz.h"

#include "ispawn/policy/option.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	cleanup_settings struct isp_settings settings = {.confine = false};
	cleanup_settings struct isp_settings again = {.confine = false};
	static const struct isp_settings zeroed;
	cleanup_free char *text = NULL;
	const struct isp_option *option;
	struct isp_error err = {0};
	int r;

	if (size == 0)
		return 0;
	option = &isp_options[bytes[0] % ISP_OPTION_TOTAL];
	text = fuzz_string(bytes + 1, size - 1);
	r = isp_option_set(option, text, &settings, &err);
	if (r < 0) {
		promise_refusal(r, &err);
		PROMISE(memcmp(&settings, &zeroed, sizeof(zeroed)) == 0);
		return 0;
	}
	/* Over a value that is already there: nothing is left of it, nothing freed twice. */
	PROMISE(isp_option_set(option, option->default_text, &again, &err) == 0);
	PROMISE(isp_option_set(option, text, &again, &err) == 0);
	return 0;
}
