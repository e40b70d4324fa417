/* SPDX-License-Identifier: GPL-3.0-or-later */
/* idmap.c - whose ids are whose; contract in ispawn/container/idmap.h */
#include "ispawn/container/idmap.h"
#include "ispawn/base/fd.h"
#include "ispawn/base/sys.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

/* Above what distributions, sssd and systemd hand out (all below 2^31), below (uid_t)-1. */
#define POOL_FIRST UINT64_C(0x80000000)
#define POOL_LAST UINT64_C(0xfffe0000)
#define RANGES_FILE "ranges"
#define DATABASE_MAX (4u << 20) /* bytes of /etc/subuid or `ranges` */

/* One line `OWNER:START:COUNT` of /etc/subuid; subuid(5). */
struct range {
	char owner[ISP_NAME_MAX + 1];
	uint64_t start, count;
};

/* Kernel and shadow both skip lines they cannot read; a comment or a blank line is one of them. */
static bool parse_range(const char *line, size_t size, struct range *ret)
{
	char text[160];
	char *start, *count;

	if (size >= sizeof(text))
		return false;
	memcpy(text, line, size);
	text[size] = '\0';
	start = strchr(text, ':');
	count = start ? strchr(start + 1, ':') : NULL;
	if (!count || start == text || (size_t)(start - text) > ISP_NAME_MAX)
		return false;
	*start++ = '\0';
	*count++ = '\0';
	if (isp_parse_u64(start, 0, UINT32_MAX, &ret->start) < 0 ||
	    isp_parse_u64(count, 1, UINT32_MAX, &ret->count) < 0)
		return false;
	memcpy(ret->owner, text, strlen(text) + 1);
	return true;
}

typedef bool range_visit(const struct range *range, void *closure);

/* Calls @visit for each readable line until it says true; true when it did. */
static bool visit_ranges(const char *database, range_visit *visit, void *closure)
{
	for (const char *line = database; *line;) {
		size_t size = strcspn(line, "\n");
		struct range range = {.owner = ""};

		if (parse_range(line, size, &range) && visit(&range, closure))
			return true;
		line += size + (line[size] == '\n');
	}
	return false;
}

struct owner_search {
	const struct isp_spec *spec;
	const char *user;
	char uid[16];
	uint64_t start;
};

static bool holds(uint64_t start, uint32_t id)
{
	return id >= start && id - start < ISP_IDMAP_COUNT;
}

/* Kernel: user_namespaces(7): ids that stand for themselves may not be in the range as well. */
static bool holds_own_ids(uint64_t start, const struct isp_spec *spec)
{
	if (spec->owner == ISP_OWNER_ROOT)
		return false; /* none stands for itself */
	for (size_t i = 0; i < spec->group_count; i++)
		if (holds(start, spec->groups[i].gid))
			return true;
	return holds(start, spec->uid) || holds(start, spec->gid);
}

static bool is_owners(const struct range *range, void *closure)
{
	struct owner_search *search = closure;

	if (range->count < ISP_IDMAP_COUNT || range->start == 0)
		return false;
	if (range->start + ISP_IDMAP_COUNT > UINT32_MAX)
		return false;
	if (strcmp(range->owner, search->user) != 0 && strcmp(range->owner, search->uid) != 0)
		return false;
	if (holds_own_ids(range->start, search->spec))
		return false;
	search->start = range->start;
	return true;
}

static bool overlaps(const struct range *range, void *closure)
{
	const uint64_t *start = closure;

	return range->start < *start + ISP_IDMAP_COUNT && *start < range->start + range->count;
}

/* A missing database is an empty one. */
static int read_database(int dir_fd, const char *path, char **ret_text, struct isp_error *err)
{
	int r = isp_fd_read_file(dir_fd, path, DATABASE_MAX, ret_text);

	if (r == -ENOENT) {
		*ret_text = strdup("");
		r = *ret_text ? 0 : -ENOMEM;
	}
	return r == 0 ? 0 : isp_err_set(err, -r, ISP_STAGE_IDMAP, "read \"%s\"", path);
}

/* Takes the first free range of the pool and writes it down. */
static int pool_allocate(int ranges_fd, const char *known, const char *subuid, const char *subgid,
			 struct owner_search *search, struct isp_error *err)
{
	char line[64];
	int r;

	for (uint64_t start = POOL_FIRST; start <= POOL_LAST; start += ISP_IDMAP_COUNT) {
		if (holds_own_ids(start, search->spec) || visit_ranges(known, overlaps, &start) ||
		    visit_ranges(subuid, overlaps, &start) ||
		    visit_ranges(subgid, overlaps, &start))
			continue;
		/* By number, not by name: it is the uid that owns files. */
		(void)snprintf(line, sizeof(line), "%s:%llu:%u\n", search->uid,
			       (unsigned long long)start, ISP_IDMAP_COUNT);
		r = isp_fd_write_all(ranges_fd, line, strlen(line));
		if (r < 0) {
			/* Threat: a line that a full disk, or a limit on file sizes, has cut in two
			 * would deny every later login.  Ignored: then it does, and says so. */
			(void)!ftruncate(ranges_fd, (off_t)strlen(known));
			return isp_err_set(err, -r, ISP_STAGE_IDMAP,
					   "append to \"" RANGES_FILE "\" in the store");
		}
		search->start = start;
		return 0;
	}
	return isp_err_set(err, ERANGE, ISP_STAGE_IDMAP,
			   "every id range of the pool is taken: \"" RANGES_FILE "\" in the store");
}

static int pool_find(int store_fd, const char *subuid, const char *subgid,
		     struct owner_search *search, struct isp_error *err)
{
	cleanup_close int fd = -EBADF;
	cleanup_free char *known = NULL;
	struct stat st;
	ssize_t n;

	fd = openat(store_fd, RANGES_FILE,
		    O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	if (fd < 0 || flock(fd, LOCK_EX) != 0 || fstat(fd, &st) != 0)
		return isp_err_set(err, errno, ISP_STAGE_IDMAP,
				   "open \"" RANGES_FILE "\" in the store");
	if (!S_ISREG(st.st_mode) || st.st_size > (off_t)DATABASE_MAX)
		return isp_err_set(err, EINVAL, ISP_STAGE_IDMAP,
				   "\"" RANGES_FILE "\" in the store is not a plain, small file");
	known = calloc(1, (size_t)st.st_size + 1);
	if (!known)
		return isp_err_set(err, ENOMEM, ISP_STAGE_IDMAP, "read the id ranges");
	n = isp_fd_read_all(fd, known, (size_t)st.st_size);
	if (n < 0)
		return isp_err_set(err, (int)-n, ISP_STAGE_IDMAP, "read the id ranges");
	/* A line cut by a full disk would merge with the next: end it first. */
	if (n > 0 && known[n - 1] != '\n')
		return isp_err_set(err, EINVAL, ISP_STAGE_IDMAP,
				   "the last line of \"" RANGES_FILE
				   "\" in the store is cut off: remove it");
	if (visit_ranges(known, is_owners, search))
		return 0;
	return pool_allocate(fd, known, subuid, subgid, search, err);
}

int isp_idmap_find(int store_fd, const struct isp_spec *spec, struct isp_idmap *ret_map,
		   struct isp_error *err)
{
	cleanup_free char *subuid = NULL;
	cleanup_free char *subgid = NULL;
	struct owner_search uids = {.spec = spec, .user = isp_spec_owner_name(spec)};
	struct owner_search gids = {.spec = spec, .user = isp_spec_owner_name(spec)};
	int r;

	/* The namespace that the user has made has the ids already, those of a tree and no others.
	 */
	if (spec->is_rootless) {
		*ret_map = (struct isp_idmap){0};
		return 0;
	}
	(void)snprintf(uids.uid, sizeof(uids.uid), "%u", isp_spec_owner_uid(spec));
	(void)snprintf(gids.uid, sizeof(gids.uid), "%u", isp_spec_owner_uid(spec));
	r = read_database(AT_FDCWD, "/etc/subuid", &subuid, err);
	if (r == 0)
		r = read_database(AT_FDCWD, "/etc/subgid", &subgid, err);
	if (r != 0)
		return r;
	if (!visit_ranges(subuid, is_owners, &uids) || !visit_ranges(subgid, is_owners, &gids)) {
		r = pool_find(store_fd, subuid, subgid, &uids, err);
		gids.start = uids.start;
	}
	if (r < 0)
		return r;
	*ret_map = (struct isp_idmap){.uid_start = (uint32_t)uids.start,
				      .gid_start = (uint32_t)gids.start};
	return 0;
}

int isp_idmap_find_subordinate(const char *user, uid_t uid, struct isp_idmap *ret_map,
			       struct isp_error *err)
{
	/* Of root's containers no id stands for itself: every range will do. */
	static const struct isp_spec any = {.owner = ISP_OWNER_ROOT};
	struct owner_search uids = {.spec = &any, .user = user};
	struct owner_search gids = {.spec = &any, .user = user};
	cleanup_free char *subuid = NULL;
	cleanup_free char *subgid = NULL;
	int r = read_database(AT_FDCWD, "/etc/subuid", &subuid, err);

	if (r == 0)
		r = read_database(AT_FDCWD, "/etc/subgid", &subgid, err);
	if (r != 0)
		return r;
	(void)snprintf(uids.uid, sizeof(uids.uid), "%u", uid);
	(void)snprintf(gids.uid, sizeof(gids.uid), "%u", uid);
	if (!visit_ranges(subuid, is_owners, &uids) || !visit_ranges(subgid, is_owners, &gids))
		return 0;
	*ret_map = (struct isp_idmap){.uid_start = (uint32_t)uids.start,
				      .gid_start = (uint32_t)gids.start};
	return 1;
}

/* Appends "INSIDE OUTSIDE COUNT\n". */
static int append_extent(char *text, size_t *used, uint32_t inside, uint32_t outside,
			 uint32_t count)
{
	int n;

	if (count == 0)
		return 0;
	n = snprintf(text + *used, ISP_IDMAP_TEXT_SIZE - *used, "%u %u %u\n", inside, outside,
		     count);
	if (n < 0 || (size_t)n >= ISP_IDMAP_TEXT_SIZE - *used)
		return -E2BIG;
	*used += (size_t)n;
	return 0;
}

int isp_idmap_format(uint32_t start, const uint32_t *own, size_t own_count,
		     char ret_text[ISP_IDMAP_TEXT_SIZE])
{
	uint32_t next = 0; /* first id of 0..65535 not yet mapped */
	size_t used = 0;
	int r = 0;

	for (size_t i = 0; i < own_count && r == 0; i++) {
		if (own[i] < ISP_IDMAP_COUNT) {
			r = append_extent(ret_text, &used, next, start + next, own[i] - next);
			next = own[i] + 1;
		}
		if (r == 0)
			r = append_extent(ret_text, &used, own[i], own[i], 1);
	}
	if (r == 0)
		r = append_extent(ret_text, &used, next, start + next, ISP_IDMAP_COUNT - next);
	return r;
}

static int compare_ids(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a;
	uint32_t y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* Sorts @ids and drops duplicates; returns how many are left. */
static size_t sort_unique(uint32_t *ids, size_t count)
{
	size_t kept = 0;

	qsort(ids, count, sizeof(*ids), compare_ids);
	for (size_t i = 0; i < count; i++)
		if (kept == 0 || ids[i] != ids[kept - 1])
			ids[kept++] = ids[i];
	return kept;
}

/* A map to write. */
struct map {
	const char *file;
	uint32_t start;
	const uint32_t *own;
	size_t own_count;
	bool has_one_id;
};

static int write_map(pid_t pid, const struct map *map, struct isp_error *err)
{
	char text[ISP_IDMAP_TEXT_SIZE];
	char path[64];
	int r = isp_idmap_format(map->start, map->own, map->own_count, text);

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", pid, map->file);
	if (r == 0 && map->has_one_id)
		(void)snprintf(text, sizeof(text), "0 %u 1\n", map->start); /* fits */
	if (r == 0)
		r = isp_fd_write_file(AT_FDCWD, path, text);
	return r < 0 ? isp_err_set(err, -r, ISP_STAGE_IDMAP, "write %s (range from %u)", map->file,
				   map->start)
		     : 0;
}

/* Kernel: user_namespaces(7): each line must lie within one line of the parent's own map, where 0,
 * who is the user, and the others have different ones. */
static int write_tree_maps(pid_t pid, const struct isp_spec *spec, const struct isp_idmap *map,
			   struct isp_error *err)
{
	static const uint32_t zero;
	size_t apart = spec->is_rootless ? 1 : 0;
	const struct map uids = {"uid_map", map->uid_start, &zero, apart, spec->has_one_id};
	const struct map gids = {"gid_map", map->gid_start, &zero, apart, spec->has_one_id};
	int r = write_map(pid, &uids, err);

	return r < 0 ? r : write_map(pid, &gids, err);
}

int isp_idmap_write(pid_t pid, const struct isp_spec *spec, const struct isp_idmap *map,
		    struct isp_error *err)
{
	const uint32_t own_uid = spec->uid;
	uint32_t own_gids[1 + ISP_LIST_MAX] = {spec->gid};
	struct map uids = {"uid_map", map->uid_start, &own_uid, 1, false};
	struct map gids = {"gid_map", map->gid_start, own_gids, 1, false};
	int r;

	if (spec->owner == ISP_OWNER_ROOT)
		return write_tree_maps(pid, spec, map, err);
	for (size_t i = 0; i < spec->group_count; i++)
		own_gids[gids.own_count++] = spec->groups[i].gid;
	gids.own_count = sort_unique(own_gids, gids.own_count);
	r = write_map(pid, &uids, err);
	return r < 0 ? r : write_map(pid, &gids, err);
}

int isp_idmap_mount(int mount_fd, int userns_fd, uint64_t attributes, const char *what,
		    struct isp_error *err)
{
	/* Private for the reason that stands in rootfs.c. */
	struct mount_attr attr = {.attr_set = attributes, .propagation = MS_PRIVATE};

	if (userns_fd >= 0) {
		attr.attr_set |= MOUNT_ATTR_IDMAP;
		attr.userns_fd = (__u64)userns_fd;
	}
	if (isp_sys_mount_setattr(mount_fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) == 0)
		return 0;
	if (errno == EINVAL && userns_fd >= 0)
		return isp_err_set(err, EINVAL, ISP_STAGE_IDMAP,
				   "%s: its file system has no idmapped mounts", what);
	return isp_err_set(err, errno, ISP_STAGE_IDMAP, "idmap the mount of %s", what);
}
