/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ispawnctl-doctor-ids.c - whose ids are whose; contract in ispawnctl-host.h
 *
 * Threat: a host id that two owners have, or that a container's root has and a host account, is a
 * way from one into the other.  subuid(5) lets an administrator write such a thing; useradd does
 * not, but knows nothing of the pool.
 */
#include "ispawnctl-host.h"

#include "ispawn/base/fd.h"
#include "ispawn/base/path.h"
#include "ispawn/container/idmap.h"

#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>

#define DATABASE_MAX (4u << 20)
#define POOL_TOTAL 32767 /* ranges between the pool's first and last id, idmap.c */

/* struct range - a line OWNER:START:COUNT; @file is borrowed */
struct range {
	char owner[ISP_NAME_MAX + 1];
	const char *file;
	uint64_t start, count;
};

/* struct ranges - of all databases; owned */
struct ranges {
	struct range *items;
	size_t count;
};

static void free_ranges(struct ranges *ranges)
{
	free(ranges->items);
}
#define cleanup_ranges __attribute__((cleanup(free_ranges)))

static int add(struct ranges *ranges, const struct range *range)
{
	struct range *moved =
		reallocarray(ranges->items, ranges->count + 1, sizeof(*ranges->items));

	if (!moved)
		return -ENOMEM;
	ranges->items = moved;
	ranges->items[ranges->count++] = *range;
	return 0;
}

/* As idmap.c: lines that cannot be read are skipped, as shadow and the kernel's tools do. */
static bool parse(char *line, const char *file, struct range *ret)
{
	char *start = strchr(line, ':');
	char *count = start ? strchr(start + 1, ':') : NULL;

	if (!count || (size_t)(start - line) > ISP_NAME_MAX)
		return false;
	*start++ = '\0';
	*count++ = '\0';
	*ret = (struct range){.file = file};
	memcpy(ret->owner, line, strlen(line) + 1);
	return isp_parse_u64(start, 0, UINT32_MAX, &ret->start) == 0 &&
	       isp_parse_u64(count, 1, UINT32_MAX, &ret->count) == 0;
}

static int read_ranges(const char *file, struct ranges *ranges)
{
	cleanup_free char *text = NULL;
	char *save = NULL;
	int r = isp_fd_read_file(AT_FDCWD, file, DATABASE_MAX, &text);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	for (char *line = strtok_r(text, "\n", &save); r == 0 && line;
	     line = strtok_r(NULL, "\n", &save)) {
		struct range range;

		if (parse(line, file, &range))
			r = add(ranges, &range);
	}
	return r;
}

/* The owner may be written as a name or as a number. */
static bool is_same_owner(const struct range *a, const struct range *b)
{
	uid_t ids[2] = {0, 0};
	const struct range *both[2] = {a, b};

	if (strcmp(a->owner, b->owner) == 0)
		return true;
	for (size_t i = 0; i < 2; i++) {
		struct passwd *entry = getpwnam(both[i]->owner);
		uint64_t id = 0;

		if (entry)
			ids[i] = entry->pw_uid;
		else if (isp_parse_u64(both[i]->owner, 1, UINT32_MAX, &id) == 0)
			ids[i] = (uid_t)id;
		else
			return false;
	}
	return ids[0] == ids[1];
}

static bool is_overlap(const struct range *a, const struct range *b)
{
	return a->start < b->start + b->count && b->start < a->start + a->count;
}

static void describe(const struct range *range, char *text, size_t size)
{
	char owner[ISP_NAME_MAX * 2];

	isp_escape(owner, sizeof(owner), range->owner);
	(void)snprintf(text, size, "%s:%llu:%llu in %s", owner, (unsigned long long)range->start,
		       (unsigned long long)range->count, range->file); /* fits */
}

static void check_overlaps(struct doctor *doctor, const struct ranges *ranges)
{
	for (size_t i = 0; i < ranges->count; i++) {
		for (size_t j = i + 1; j < ranges->count; j++) {
			const struct range *a = &ranges->items[i];
			const struct range *b = &ranges->items[j];
			char one[240];
			char other[240];

			if (!is_overlap(a, b) || is_same_owner(a, b))
				continue;
			describe(a, one, sizeof(one));
			describe(b, other, sizeof(other));
			doctor_fail(doctor, "give one of them other ids",
				    "id ranges of two owners overlap: %s, %s", one, other);
		}
	}
}

/* Order: the name service's list is gone through alone; is_same_owner() asks it as well. */
static void check_accounts(struct doctor *doctor, const struct ranges *ranges)
{
	struct passwd *entry;

	setpwent();
	while ((entry = getpwent())) {
		for (size_t i = 0; i < ranges->count; i++) {
			const struct range *range = &ranges->items[i];
			char name[ISP_NAME_MAX * 2];
			char text[240];

			if (entry->pw_uid < range->start ||
			    entry->pw_uid - range->start >= range->count)
				continue;
			isp_escape(name, sizeof(name), entry->pw_name);
			describe(range, text, sizeof(text));
			doctor_fail(doctor, "give the account or the range other ids",
				    "the host's account %s has a uid of the range %s", name, text);
		}
	}
	endpwent();
}

void doctor_ids(struct doctor *doctor)
{
	/* Two kinds of ids, and the pool hands out both. */
	static const char *const files[] = {"/etc/subuid", "/etc/subgid"};
	static const char pool[] = ISPAWN_STORE_DIR "/ranges";
	size_t before = doctor->failures;
	size_t taken = 0;

	for (size_t i = 0; i < ISP_ARRAY_SIZE(files); i++) {
		cleanup_ranges struct ranges ranges = {.count = 0};
		size_t own;

		if (read_ranges(files[i], &ranges) < 0)
			doctor_fail(doctor, "make it readable", "\"%s\" cannot be read", files[i]);
		own = ranges.count;
		if (read_ranges(pool, &ranges) < 0)
			doctor_fail(doctor, "make it readable", "\"%s\" cannot be read", pool);
		taken = ranges.count - own;
		check_overlaps(doctor, &ranges);
		if (i == 0)
			check_accounts(doctor, &ranges);
	}
	if (doctor->failures == before)
		doctor_ok("id ranges: none overlaps; of the pool's %d are taken %zu", POOL_TOTAL,
			  taken);
}
