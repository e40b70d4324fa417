/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * sanitizer.c - AddressSanitizer's options in programs that start with an empty environment
 *
 * The supervisor's stderr is /dev/null, and it can be stopped by nobody, which LeakSanitizer would
 * need: leaks are the unit tests' to find.  The test host's fixtures look for the files.
 */
const char *__asan_default_options(void);

__attribute__((visibility("default"))) const char *__asan_default_options(void)
{
	return "detect_leaks=0:abort_on_error=1:log_path=/var/log/ispawn-sanitizer";
}
