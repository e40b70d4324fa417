/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Whose ids are whose: the lines of the maps, and where a user's range comes from. */
#include "scratch_root.h"

#include "ispawn/container/idmap.h"

/* --- the maps -------------------------------------------------------------------------------- */

static void expect_map(uint32_t start, const uint32_t *own, size_t count, const char *expected)
{
	char text[ISP_IDMAP_TEXT_SIZE] = "";

	assert_int_equal(isp_idmap_format(start, own, count, text), 0);
	assert_string_equal(text, expected);
}

static void without_own_ids_the_range_is_one_extent(void **state)
{
	(void)state;
	expect_map(100000, NULL, 0, "0 100000 65536\n");
}

static void an_own_id_among_the_first_65536_stands_for_itself(void **state)
{
	static const uint32_t middle = 1000, low = 0, second = 1, high = 65535, last = 65534;

	(void)state;
	expect_map(100000, &middle, 1, "0 100000 1000\n1000 1000 1\n1001 101001 64535\n");
	expect_map(100000, &low, 1, "0 0 1\n1 100001 65535\n");
	expect_map(100000, &second, 1, "0 100000 1\n1 1 1\n2 100002 65534\n");
	expect_map(100000, &high, 1, "0 100000 65535\n65535 65535 1\n");
	expect_map(100000, &last, 1, "0 100000 65534\n65534 65534 1\n65535 165535 1\n");
}

static void an_own_id_above_is_added_to_the_whole_range(void **state)
{
	static const uint32_t first = 65536, large = 4294967294u;

	(void)state;
	expect_map(100000, &first, 1, "65536 65536 1\n0 100000 65536\n");
	expect_map(100000, &large, 1, "4294967294 4294967294 1\n0 100000 65536\n");
}

static void adjacent_own_ids_leave_no_empty_extent(void **state)
{
	static const uint32_t own[] = {1000, 1001, 1003, 65535, 65536};

	(void)state;
	expect_map(100000, own, ISP_ARRAY_SIZE(own),
		   "0 100000 1000\n1000 1000 1\n1001 1001 1\n1002 101002 1\n1003 1003 1\n"
		   "1004 101004 64531\n65535 65535 1\n65536 65536 1\n");
}

/* What the kernel checks, over the map of many ids: nothing twice, nothing of 0..65535 left out. */
static void every_inside_id_is_mapped_exactly_once(void **state)
{
	static unsigned char seen[ISP_IDMAP_COUNT];
	uint32_t own[1 + ISP_LIST_MAX];
	char text[ISP_IDMAP_TEXT_SIZE];
	size_t count = 0;

	(void)state;
	for (uint32_t i = 0; i < ISP_ARRAY_SIZE(own); i++)
		own[i] = i * 2049 + 7; /* the last one is above 65535 */
	assert_int_equal(isp_idmap_format(200000, own, ISP_ARRAY_SIZE(own), text), 0);
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		unsigned int inside, outside, size;

		assert_int_equal(sscanf(line, "%u %u %u", &inside, &outside, &size), 3);
		assert_true(outside == inside || outside == 200000 + inside);
		for (unsigned int i = inside; i < inside + size && i < ISP_IDMAP_COUNT; i++)
			assert_int_equal(seen[i]++, 0);
		count += size;
	}
	assert_int_equal(count, ISP_IDMAP_COUNT + 1);
	for (size_t i = 0; i < ISP_IDMAP_COUNT; i++)
		assert_int_equal(seen[i], 1);
}

static void the_most_groups_that_can_be_kept_fit_a_map(void **state)
{
	uint32_t own[1 + ISP_LIST_MAX];
	char text[ISP_IDMAP_TEXT_SIZE];

	(void)state;
	/* Of the longest spelling each, and with a gap after each. */
	for (uint32_t i = 0; i < ISP_ARRAY_SIZE(own); i++)
		own[i] = 60000 + 2 * i;
	assert_int_equal(
		isp_idmap_format(UINT32_MAX - ISP_IDMAP_COUNT, own, ISP_ARRAY_SIZE(own), text), 0);
	assert_true(strlen(text) < ISP_IDMAP_TEXT_SIZE);
}

static void more_than_a_page_is_refused_and_not_overrun(void **state)
{
	static uint32_t own[1000];
	struct {
		char text[ISP_IDMAP_TEXT_SIZE];
		char guard[16];
	} page = {.guard = "untouched"};

	(void)state;
	for (uint32_t i = 0; i < ISP_ARRAY_SIZE(own); i++)
		own[i] = 2 * i + 1;
	assert_int_equal(isp_idmap_format(100000, own, ISP_ARRAY_SIZE(own), page.text), -E2BIG);
	assert_string_equal(page.guard, "untouched");
}

/* --- the range ------------------------------------------------------------------------------- */

/* A scratch root with these two databases (NULL: none) and an empty store. */
static bool make_host(const char *subuid, const char *subgid)
{
	return mkdir("/etc", 0755) == 0 && mkdir("/store", 0700) == 0 &&
	       (!subuid || put_file("/etc/subuid", subuid, 0644)) &&
	       (!subgid || put_file("/etc/subgid", subgid, 0644));
}

static int find(const char *user, uid_t uid, struct isp_idmap *map, struct isp_error *err)
{
	cleanup_close int store_fd = open("/store", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct isp_spec spec = {.uid = uid, .gid = uid};

	(void)snprintf(spec.user, sizeof(spec.user), "%s", user);
	return isp_idmap_find(store_fd, &spec, map, err);
}

static bool found(const char *user, uid_t uid, uint32_t uid_start, uint32_t gid_start)
{
	struct isp_idmap map = {0};
	struct isp_error err = {0};

	if (find(user, uid, &map, &err) == 0 && map.uid_start == uid_start &&
	    map.gid_start == gid_start)
		return true;
	(void)fprintf(stderr, "%s: %u %u %s\n", user, map.uid_start, map.gid_start, err.text);
	return false;
}

static int take_the_hosts_range(void)
{
	CHECK(make_host("other:100000:65536\n"
			"guest:165536:65535\n"     /* too small */
			"guest:0:65536\n"          /* the host's own ids */
			"guest:4294901760:65536\n" /* would reach (uid_t)-1 */
			"guest:300000:65536\n"
			"guest:400000:65536\n"
			"1002:500000:100000\n",
			"guest:700000:65536\n"
			"1002:800000:65536\n"));
	CHECK(found("guest", 1001, 300000, 700000));
	CHECK(found("numbered", 1002, 500000, 800000));
	CHECK(access("/store/ranges", F_OK) != 0); /* the pool was not asked */
	return 0;
}

static void the_first_large_enough_range_of_the_host_is_taken(void **state)
{
	(void)state;
	in_scratch_root(take_the_hosts_range);
}

static int skip_lines_that_are_none(void)
{
	CHECK(make_host("# guest:1:65536\n"
			"\n"
			"guest\nguest:\nguest::\nguest:100000\nguest:100000:\n"
			":100000:65536\n"
			"guest:1x:65536\n"
			"guest:-1:65536\n"
			"guest: 100000:65536\n"
			"guest:100000:65536:x\n"
			"guest:100000:99999999999\n"
			"guests:100000:65536\n"
			"gues:100000:65536\n"
			"guest:600000:65536",
			"guest:600000:65536"));
	CHECK(found("guest", 1001, 600000, 600000));
	return 0;
}

static void lines_that_are_no_ranges_are_skipped(void **state)
{
	(void)state;
	in_scratch_root(skip_lines_that_are_none);
}

static int take_the_pools_range(void)
{
	CHECK(make_host(NULL, "two:100000:65536\n"));
	CHECK(found("one", 1001, 0x80000000u, 0x80000000u));
	CHECK(found("two", 1002, 0x80010000u, 0x80010000u)); /* half a pair is none */
	CHECK(found("one", 1001, 0x80000000u, 0x80000000u));
	CHECK(found("renamed", 1002, 0x80010000u, 0x80010000u)); /* it is the uid that owns */
	return 0;
}

static void without_a_pair_the_pool_gives_the_same_range_each_time(void **state)
{
	(void)state;
	in_scratch_root(take_the_pools_range);
}

static int keep_clear_of_the_hosts_ranges(void)
{
	CHECK(make_host("other:2147483000:1000\n", /* ends within the pool's first */
			"other:2147614719:1\n"));  /* the last id of the second */
	CHECK(found("guest", 1001, 0x80020000u, 0x80020000u));
	return 0;
}

static void the_pool_keeps_clear_of_what_the_host_handed_out(void **state)
{
	(void)state;
	in_scratch_root(keep_clear_of_the_hosts_ranges);
}

static int keep_clear_of_own_ids(void)
{
	struct isp_idmap map = {0};
	struct isp_error err = {0};

	CHECK(make_host(NULL, NULL));
	CHECK(find("large", 0x80000123u, &map, &err) == 0);
	CHECK(map.uid_start + ISP_IDMAP_COUNT <= 0x80000123u || map.uid_start > 0x80000123u);
	return 0;
}

/* Kernel: user_namespaces(7): an id of the host is mapped once, or the map is refused.  A user of
 * a directory with large ids could never log in. */
static void the_pool_keeps_clear_of_the_users_own_id(void **state)
{
	(void)state;
	in_scratch_root(keep_clear_of_own_ids);
}

static int refuse_broken_stores(void)
{
	struct isp_idmap map = {.uid_start = 7};
	struct isp_error err = {0};

	CHECK(make_host(NULL, NULL));
	CHECK(put_file("/store/ranges", "1001:2147483648:655", 0600));
	CHECK(find("guest", 1001, &map, &err) == -EINVAL);
	CHECK(strstr(err.text, "cut off") && err.stage == ISP_STAGE_IDMAP);
	CHECK(unlink("/store/ranges") == 0 && mkfifo("/store/ranges", 0600) == 0);
	err = (struct isp_error){0};
	(void)alarm(20); /* a FIFO must not be waited for */
	CHECK(find("guest", 1001, &map, &err) == -EINVAL);
	CHECK(unlink("/store/ranges") == 0 && symlink("/etc/x", "/store/ranges") == 0);
	err = (struct isp_error){0};
	CHECK(find("guest", 1001, &map, &err) == -ELOOP);
	CHECK(access("/etc/x", F_OK) != 0);
	CHECK(map.uid_start == 7);
	return 0;
}

static void a_broken_pool_is_refused_by_name(void **state)
{
	(void)state;
	in_scratch_root(refuse_broken_stores);
}

static int refuse_broken_databases(void)
{
	struct isp_idmap map = {0};
	struct isp_error err = {0};

	CHECK(make_host("", NULL));
	CHECK(mkfifo("/etc/subgid", 0644) == 0);
	(void)alarm(20);
	CHECK(find("guest", 1001, &map, &err) == -EINVAL);
	CHECK(strstr(err.text, "/etc/subgid"));
	return 0;
}

static void a_database_that_is_no_file_is_refused_by_name(void **state)
{
	(void)state;
	in_scratch_root(refuse_broken_databases);
}

static int use_the_pool_up(void)
{
	struct isp_idmap map = {0};
	struct isp_error err = {0};

	CHECK(make_host("other:2147483648:2147352576\n", NULL)); /* all but the pool's last range */
	CHECK(found("guest", 1001, 0xfffe0000u, 0xfffe0000u));
	CHECK(find("next", 1002, &map, &err) == -ERANGE);
	CHECK(strstr(err.text, "taken"));
	CHECK(found("guest", 1001, 0xfffe0000u, 0xfffe0000u));
	return 0;
}

static void a_pool_that_is_used_up_says_so(void **state)
{
	(void)state;
	in_scratch_root(use_the_pool_up);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_own_ids_the_range_is_one_extent),
		cmocka_unit_test(an_own_id_among_the_first_65536_stands_for_itself),
		cmocka_unit_test(an_own_id_above_is_added_to_the_whole_range),
		cmocka_unit_test(adjacent_own_ids_leave_no_empty_extent),
		cmocka_unit_test(every_inside_id_is_mapped_exactly_once),
		cmocka_unit_test(the_most_groups_that_can_be_kept_fit_a_map),
		cmocka_unit_test(more_than_a_page_is_refused_and_not_overrun),
		cmocka_unit_test(the_first_large_enough_range_of_the_host_is_taken),
		cmocka_unit_test(lines_that_are_no_ranges_are_skipped),
		cmocka_unit_test(without_a_pair_the_pool_gives_the_same_range_each_time),
		cmocka_unit_test(the_pool_keeps_clear_of_what_the_host_handed_out),
		cmocka_unit_test(the_pool_keeps_clear_of_the_users_own_id),
		cmocka_unit_test(a_broken_pool_is_refused_by_name),
		cmocka_unit_test(a_database_that_is_no_file_is_refused_by_name),
		cmocka_unit_test(a_pool_that_is_used_up_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
