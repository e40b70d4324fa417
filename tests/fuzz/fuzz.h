/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * fuzz.h - what the fuzz targets have in common
 *
 * Theory of operation: each fuzz_X.c is one libFuzzer program over one reader of untrusted bytes.
 * The sanitizers see what is done wrongly with memory; what a reader promises beyond that (what
 * decodes encodes to the same bytes, nothing stays open, text is ASCII) is PROMISE()d, and a
 * broken promise ends the program like a crash.
 */
#ifndef ISPAWN_TESTS_FUZZ_H
#define ISPAWN_TESTS_FUZZ_H

#include "ispawn/base/fd.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#define PROMISE(condition)                                                                         \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			(void)fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__,           \
				      #condition);                                                 \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* The input as a string of its exact size, so that ASan sees the first byte read past it; cut at
 * the first NUL. */
static inline char *fuzz_string(const uint8_t *bytes, size_t size)
{
	char *text = strndup((const char *)bytes, size);

	if (!text)
		abort();
	return text;
}

/* A copy of exact size: the input itself may be followed by libFuzzer's own bytes. */
static inline char *fuzz_copy(const uint8_t *bytes, size_t size)
{
	char *copy = malloc(size + 1);

	if (!copy)
		abort();
	memcpy(copy + 1, bytes, size);
	return copy; /* the bytes start at copy + 1 and end with the allocation */
}

/* Cuts the next line off the input: a string that the caller frees; "" at the end. */
static inline char *fuzz_line(const uint8_t **bytes, size_t *size)
{
	const uint8_t *end = memchr(*bytes, '\n', *size);
	size_t length = end ? (size_t)(end - *bytes) : *size;
	char *line = fuzz_string(*bytes, length);

	*bytes += length + (end != NULL);
	*size -= length + (end != NULL);
	return line;
}

/* Text that an administrator's terminal may be shown. */
static inline bool is_printable_ascii(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || (unsigned char)*text >= 0x7f)
			return false;
	return true;
}

/* A refusal has a number, words, and nothing in it that a terminal obeys. */
static inline void promise_refusal(int r, const struct isp_error *err)
{
	PROMISE(r < 0 && err->code == -r);
	PROMISE(memchr(err->text, '\0', sizeof(err->text)));
	PROMISE(err->text[0] && is_printable_ascii(err->text));
}

#endif
