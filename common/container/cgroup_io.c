/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cgroup_io.c - what a leaf has read and written; contract in ispawn/container/cgroup.h
 *
 * Kernel: v2, io.stat: a line for each device, `8:0 rbytes=1 wbytes=2 ...`.  v1 has lines for each
 * device and direction, `8:0 Read 1`, and a sum at the end that does not part them; what was
 * written through the page cache is counted there to nobody. */
#include "cgroup_internal.h"

#include "ispawn/base/fd.h"
#include "ispawn/base/parse.h"

#include <string.h>

#define IO_TEXT_MAX (1 << 20) /* a line for each of thousands of devices */

static const struct {
	const char *file;
	const char *read_word, *write_word; /* with what stands before the number */
} kinds[] = {
	{"io.stat", " rbytes=", " wbytes="},
	{"blkio.throttle.io_service_bytes", " Read ", " Write "},
};

/* The sum of the numbers that follow @word, of which a line has at most one. */
static uint64_t add_up(const char *text, const char *word)
{
	uint64_t sum = 0;

	for (const char *at = strstr(text, word); at; at = strstr(at, word)) {
		char digits[24] = "";
		uint64_t value = 0;
		size_t size;

		at += strlen(word);
		size = strspn(at, "0123456789");
		if (size < sizeof(digits))
			memcpy(digits, at, size);
		if (isp_parse_u64(digits, 0, UINT64_MAX - sum, &value) == 0)
			sum += value;
	}
	return sum;
}

int isp_cgroup_io(const struct isp_cgroup *cgroup, uint64_t *ret_read, uint64_t *ret_written)
{
	for (size_t i = 0; i < ISP_ARRAY_SIZE(kinds); i++) {
		int dir_fd = isp_cgroup_find(cgroup, cgroup->session_fd, kinds[i].file);
		cleanup_free char *text = NULL;

		if (dir_fd < 0 || isp_fd_read_file(dir_fd, kinds[i].file, IO_TEXT_MAX, &text) < 0)
			continue;
		*ret_read = add_up(text, kinds[i].read_word);
		*ret_written = add_up(text, kinds[i].write_word);
		return 0;
	}
	return -ENOENT;
}
