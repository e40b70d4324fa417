/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The words after pam_ispawn.so in a PAM file, one on each line of the input. */
#include "fuzz.h"

/* The module's own parts are in no library: this one is taken as it stands. */
#include "../../pam_module/options.c"

#include "ispawn/base/path.h"

#define WORDS_MAX 8

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct isp_module_options options = {.config_path = "untouched"};
	struct isp_error err = {0};
	const char *words[WORDS_MAX];
	int count = 0;
	int r;

	while (size > 0 && count < WORDS_MAX)
		words[count++] = fuzz_line(&bytes, &size);
	r = isp_module_options(count, words, &options, &err);
	if (r < 0)
		promise_refusal(r, &err);
	PROMISE(r == 0 || strcmp(options.config_path, "untouched") == 0);
	PROMISE(r < 0 || isp_path_is_clean(options.config_path));
	while (count > 0)
		free((char *)(uintptr_t)words[--count]);
	return 0;
}
