/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Paths: what root alone can have written is opened, and what is removed is never left. */
#include "scratch_root.h"

#include "ispawn/base/path.h"

#include <limits.h>
#include <sys/resource.h>

static void clean_paths_name_one_thing(void **state)
{
	static const char *const refused[] = {
		"",      "a",      "a/b",   "./a",   "//",     "/a/",     "/a//b",
		"/.",    "/..",    "/a/.",  "/a/..", "/a/./b", "/a/../b", "/a\nb",
		"/\033", "/a\x7f", "/../a", "/a/b/", "../etc", " /a",
	};
	static const char *const fine[] = {"/",     "/a",     "/a/b",      "/...",  "/.a",
					   "/a..b", "/a b/c", "/\xc3\xa4", "/a/..b"};
	char path[PATH_MAX + 1] = "/";

	(void)state;
	for (size_t i = 0; i < ISP_ARRAY_SIZE(refused); i++)
		if (isp_path_is_clean(refused[i]))
			fail_msg("taken: %s", refused[i]);
	for (size_t i = 0; i < ISP_ARRAY_SIZE(fine); i++)
		if (!isp_path_is_clean(fine[i]))
			fail_msg("refused: %s", fine[i]);
	memset(path + 1, 'a', PATH_MAX - 1);
	assert_false(isp_path_is_clean(path));
	path[PATH_MAX - 1] = '\0';
	assert_true(isp_path_is_clean(path));
}

/* --- trusted opens --------------------------------------------------------------------------- */

/* Opens for reading what should be there; the result, with nothing left open. */
static int try_open(const char *path, int flags)
{
	struct isp_error err = {0};
	int fd = -12345;
	int r = isp_path_open_trusted(path, flags, ISP_STAGE_ROOTFS, &fd, &err);

	if (r < 0) {
		bool is_untouched = fd == -12345 && err.code == -r && err.stage == ISP_STAGE_ROOTFS;

		return is_untouched && strstr(err.text, path) ? r : -ENOTRECOVERABLE;
	}
	if (err.code != 0 || fcntl(fd, F_GETFD) != FD_CLOEXEC)
		r = -ENOTRECOVERABLE;
	isp_fd_close(&fd);
	return r;
}

/* The lowest free descriptor tells whether one was left open. */
static int lowest_free(void)
{
	int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int number = fd;

	isp_fd_close(&fd);
	return number;
}

static int open_what_is_roots(void)
{
	int before = lowest_free();
	struct isp_error err = {0};
	char text[8] = "";
	int fd = -EBADF;

	CHECK(mkdir("/a", 0755) == 0 && mkdir("/a/b", 0700) == 0);
	CHECK(put_file("/a/b/file", "text", 0644));
	CHECK(isp_path_open_trusted("/a/b/file", O_RDONLY, ISP_STAGE_ROOTFS, &fd, &err) == 0);
	CHECK(read(fd, text, sizeof(text)) == 4 && strcmp(text, "text") == 0);
	isp_fd_close(&fd);
	CHECK(try_open("/a/b/file", O_PATH) == 0);
	CHECK(try_open("/a/b", O_RDONLY | O_DIRECTORY) == 0);
	CHECK(try_open("/a", O_PATH | O_DIRECTORY) == 0);
	CHECK(try_open("/a/b/missing", O_RDONLY) == -ENOENT);
	CHECK(try_open("/a/missing/file", O_RDONLY) == -ENOENT);
	CHECK(try_open("/a/b/file/x", O_RDONLY) == -ENOTDIR);
	CHECK(try_open("/a/b/file", O_RDONLY | O_DIRECTORY) == -ENOTDIR);
	CHECK(try_open("/a/../a/b/file", O_RDONLY) == -EINVAL);
	CHECK(try_open("a/b/file", O_RDONLY) == -EINVAL);
	CHECK(try_open("", O_RDONLY) == -EINVAL);
	CHECK(lowest_free() == before);
	return 0;
}

static void what_is_roots_is_opened(void **state)
{
	(void)state;
	in_scratch_root(open_what_is_roots);
}

static int refuse_what_others_can_write(void)
{
	static const mode_t modes[] = {0777, 0775, 0757, 01777, 02775};
	int before = lowest_free();

	CHECK(mkdir("/d", 0755) == 0 && mkdir("/d/e", 0755) == 0);
	CHECK(put_file("/d/e/file", "", 0644));
	CHECK(try_open("/d/e/file", O_RDONLY) == 0);
	for (size_t i = 0; i < ISP_ARRAY_SIZE(modes); i++) {
		CHECK(chmod("/d", modes[i]) == 0);
		CHECK(try_open("/d/e/file", O_RDONLY) == -EPERM);
		CHECK(try_open("/d/e/file", O_PATH) == -EPERM);
		CHECK(try_open("/d", O_PATH) == -EPERM);
		CHECK(chmod("/d", 0755) == 0);
		CHECK(chmod("/d/e", modes[i]) == 0);
		CHECK(try_open("/d/e/file", O_RDONLY) == -EPERM);
		CHECK(chmod("/d/e", 0755) == 0);
		CHECK(chmod("/d/e/file", modes[i] & 0666) == 0);
		CHECK(try_open("/d/e/file", O_RDONLY) == -EPERM);
		CHECK(try_open("/d/e/file", O_PATH) == -EPERM);
		CHECK(chmod("/d/e/file", 0644) == 0);
	}
	CHECK(try_open("/d/e/file", O_RDONLY) == 0);
	CHECK(lowest_free() == before);
	return 0;
}

static void what_others_can_write_is_refused(void **state)
{
	(void)state;
	in_scratch_root(refuse_what_others_can_write);
}

static int refuse_below_a_root_that_others_can_write(void)
{
	CHECK(put_file("/file", "", 0644));
	CHECK(symlink("/file", "/link") == 0);
	CHECK(try_open("/file", O_RDONLY) == 0);
	CHECK(chmod("/", 0777) == 0);
	CHECK(try_open("/file", O_RDONLY) == -EPERM);
	CHECK(try_open("/link", O_PATH) == -EPERM);
	return 0;
}

/* The first directory on the way is / itself. */
static void a_root_directory_that_others_can_write_is_refused(void **state)
{
	(void)state;
	in_scratch_root(refuse_below_a_root_that_others_can_write);
}

static int refuse_what_is_somebody_elses(void)
{
	struct stat st;

	CHECK(stat("/foreign/passwd", &st) == 0 && st.st_uid != 0);
	CHECK((st.st_mode & 022) == 0);
	CHECK(try_open("/foreign/passwd", O_RDONLY) == -EPERM);
	CHECK(try_open("/foreign", O_PATH | O_DIRECTORY) == -EPERM);
	CHECK(put_file("/own", "", 0644));
	CHECK(mount("/foreign/passwd", "/own", NULL, MS_BIND, NULL) == 0);
	CHECK(try_open("/own", O_RDONLY) == -EPERM);
	CHECK(try_open("/own", O_PATH) == -EPERM);
	return 0;
}

static void what_is_somebody_elses_is_refused(void **state)
{
	(void)state;
	in_scratch_root(refuse_what_is_somebody_elses);
}

static int follow_symlinks_of_roots(void)
{
	int before = lowest_free();

	CHECK(mkdir("/a", 0755) == 0 && mkdir("/a/b", 0755) == 0 && mkdir("/open", 0777) == 0);
	CHECK(chmod("/open", 0777) == 0);
	CHECK(put_file("/a/b/file", "", 0644) && put_file("/open/file", "", 0644));
	CHECK(symlink("b/file", "/a/relative") == 0);
	CHECK(symlink("/a/b", "/absolute") == 0);
	CHECK(symlink("../a/b/../b/file", "/a/up") == 0);
	CHECK(symlink("/missing", "/dangling") == 0);
	CHECK(symlink("loop", "/loop") == 0);
	CHECK(symlink("/open/file", "/a/out") == 0);
	CHECK(symlink("../open/../a/b/file", "/a/through") == 0);
	CHECK(symlink("b/file", "/open/trap") == 0);
	CHECK(try_open("/a/relative", O_RDONLY) == 0);
	CHECK(try_open("/a/relative", O_PATH) == 0);
	CHECK(try_open("/absolute/file", O_RDONLY) == 0);
	CHECK(try_open("/absolute", O_RDONLY | O_DIRECTORY) == 0);
	CHECK(try_open("/a/up", O_RDONLY) == 0);
	CHECK(try_open("/dangling", O_RDONLY) == -ENOENT);
	CHECK(try_open("/loop", O_RDONLY) == -ELOOP);
	/* Whoever can write /open chooses where these lead. */
	CHECK(try_open("/a/out", O_RDONLY) == -EPERM);
	CHECK(try_open("/a/through", O_RDONLY) == -EPERM);
	CHECK(try_open("/open/trap", O_RDONLY) == -EPERM);
	CHECK(lowest_free() == before);
	return 0;
}

static void symlinks_of_roots_are_followed_and_what_they_pass_is_checked(void **state)
{
	(void)state;
	in_scratch_root(follow_symlinks_of_roots);
}

static int follow_sixteen_symlinks(void)
{
	CHECK(put_file("/link0", "", 0644));
	for (int i = 1; i <= 17; i++) {
		char name[24];
		char target[24];

		(void)snprintf(name, sizeof(name), "/link%d", i);
		(void)snprintf(target, sizeof(target), "link%d", i - 1);
		CHECK(symlink(target, name) == 0);
	}
	CHECK(try_open("/link16", O_RDONLY) == 0);
	CHECK(try_open("/link17", O_RDONLY) == -ELOOP);
	return 0;
}

static void sixteen_symlinks_are_followed_and_no_more(void **state)
{
	(void)state;
	in_scratch_root(follow_sixteen_symlinks);
}

static int refuse_a_path_that_grows_too_long(void)
{
	char target[PATH_MAX];
	char path[PATH_MAX];

	for (size_t i = 0; i < sizeof(target) - 1; i++)
		target[i] = i % 2 ? 'a' : '/';
	target[sizeof(target) - 1] = '\0';
	CHECK(symlink(target, "/long") == 0);
	(void)snprintf(path, sizeof(path), "/long/x");
	CHECK(try_open(path, O_RDONLY) == -ENAMETOOLONG);
	return 0;
}

static void a_path_that_symlinks_make_too_long_is_refused(void **state)
{
	(void)state;
	in_scratch_root(refuse_a_path_that_grows_too_long);
}

static int open_a_fifo(void)
{
	CHECK(mkfifo("/fifo", 0644) == 0 && chmod("/fifo", 0644) == 0);
	(void)alarm(20); /* a wait for a writer would never end */
	CHECK(try_open("/fifo", O_RDONLY) == 0);
	CHECK(try_open("/fifo", O_WRONLY) == -ENXIO);
	return 0;
}

/* Pitfall 32. */
static void a_fifo_does_not_make_the_opener_wait(void **state)
{
	(void)state;
	in_scratch_root(open_a_fifo);
}

/* --- directories ----------------------------------------------------------------------------- */

static mode_t mode_of(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 ? st.st_mode & 07777 : 0;
}

static int make_directories(void)
{
	int root_fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat by_name, by_fd;
	int fd = -EBADF;

	(void)umask(077);
	CHECK(isp_path_make_dir(root_fd, "new", 0711, &fd) == 0);
	CHECK(mode_of("/new") == 0711);
	CHECK(stat("/new", &by_name) == 0 && fstat(fd, &by_fd) == 0);
	CHECK(by_name.st_ino == by_fd.st_ino && fcntl(fd, F_GETFD) == FD_CLOEXEC);
	isp_fd_close(&fd);
	CHECK(isp_path_make_dir(root_fd, "new", 0700, NULL) == 0);
	CHECK(mode_of("/new") == 0700);
	CHECK(isp_path_make_dir(root_fd, "missing/x", 0700, &fd) == -ENOENT);
	CHECK(fd == -EBADF);
	isp_fd_close(&root_fd);
	return 0;
}

static void a_directory_gets_its_mode_whatever_the_umask(void **state)
{
	(void)state;
	in_scratch_root(make_directories);
}

static int refuse_found_directories(void)
{
	int root_fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int before = lowest_free();
	int fd = -EBADF;

	CHECK(mkdir("/open", 0700) == 0 && chmod("/open", 0770) == 0);
	CHECK(mkdir("/real", 0755) == 0 && symlink("real", "/link") == 0);
	CHECK(put_file("/file", "", 0644));
	CHECK(isp_path_make_dir(root_fd, "open", 0700, &fd) == -EPERM);
	CHECK(mode_of("/open") == 0770); /* what is inside was put there by others */
	CHECK(isp_path_make_dir(root_fd, "foreign", 0755, &fd) == -EPERM);
	CHECK(isp_path_make_dir(root_fd, "link", 0700, &fd) == -ENOTDIR);
	CHECK(mode_of("/real") == 0755);
	CHECK(isp_path_make_dir(root_fd, "file", 0700, &fd) == -ENOTDIR);
	CHECK(fd == -EBADF && lowest_free() == before);
	isp_fd_close(&root_fd);
	return 0;
}

static void a_directory_that_is_found_must_be_roots(void **state)
{
	(void)state;
	in_scratch_root(refuse_found_directories);
}

/* --- removing -------------------------------------------------------------------------------- */

static bool exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

static int remove_a_tree(void)
{
	int root_fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int before = lowest_free();

	CHECK(mkdir("/t", 0755) == 0 && mkdir("/t/a", 0) == 0 && mkdir("/t/a/b", 0755) == 0);
	CHECK(put_file("/t/file", "", 0) && put_file("/t/a/b/.hidden", "", 0400));
	CHECK(mkfifo("/t/fifo", 0600) == 0);
	for (int i = 0; i < 300; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "/t/a/b/%d", i);
		CHECK(put_file(name, "", 0600));
	}
	CHECK(isp_path_remove_tree(root_fd, "t") == 0);
	CHECK(!exists("/t"));
	CHECK(isp_path_remove_tree(root_fd, "t") == 0); /* missing is fine */
	CHECK(put_file("/file", "", 0644));
	CHECK(isp_path_remove_tree(root_fd, "file") == 0);
	CHECK(!exists("/file"));
	CHECK(lowest_free() == before);
	isp_fd_close(&root_fd);
	return 0;
}

static void a_tree_is_removed_with_all_in_it(void **state)
{
	(void)state;
	in_scratch_root(remove_a_tree);
}

static int remove_symlinks(void)
{
	int root_fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	CHECK(mkdir("/victim", 0755) == 0 && put_file("/victim/file", "", 0644));
	CHECK(mkdir("/t", 0755) == 0 && symlink("/victim", "/t/absolute") == 0);
	CHECK(symlink("../victim", "/t/relative") == 0 && symlink("..", "/t/up") == 0);
	CHECK(symlink("victim", "/top") == 0);
	CHECK(isp_path_remove_tree(root_fd, "t") == 0);
	CHECK(isp_path_remove_tree(root_fd, "top") == 0);
	CHECK(!exists("/t") && !exists("/top") && exists("/victim/file"));
	isp_fd_close(&root_fd);
	return 0;
}

static void symlinks_are_removed_and_not_followed(void **state)
{
	(void)state;
	in_scratch_root(remove_symlinks);
}

static int remove_across_a_mount(void)
{
	int root_fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	CHECK(mkdir("/t", 0755) == 0 && mkdir("/t/m", 0755) == 0);
	CHECK(mount("tmpfs", "/t/m", "tmpfs", 0, NULL) == 0);
	CHECK(put_file("/t/a", "", 0644) && put_file("/t/z", "", 0644));
	CHECK(put_file("/t/m/kept", "", 0644));
	CHECK(isp_path_remove_tree(root_fd, "t") == -EXDEV);
	CHECK(exists("/t/m/kept") && !exists("/t/a") && !exists("/t/z"));
	CHECK(umount2("/t/m", MNT_DETACH) == 0);
	CHECK(isp_path_remove_tree(root_fd, "t") == 0 && !exists("/t"));
	isp_fd_close(&root_fd);
	return 0;
}

/* Pitfall 36. */
static void a_mount_is_not_entered_and_the_rest_is_removed(void **state)
{
	(void)state;
	in_scratch_root(remove_across_a_mount);
}

static int remove_across_a_bind(void)
{
	int root_fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	CHECK(mkdir("/victim", 0755) == 0 && put_file("/victim/kept", "", 0644));
	CHECK(mkdir("/t", 0755) == 0 && mkdir("/t/m", 0755) == 0);
	CHECK(mount("/victim", "/t/m", NULL, MS_BIND, NULL) == 0);
	CHECK(isp_path_remove_tree(root_fd, "t") == -EXDEV);
	CHECK(exists("/victim/kept"));
	isp_fd_close(&root_fd);
	return 0;
}

/* It is of the same file system, and still somebody else's tree. */
static void a_bind_of_the_same_file_system_is_not_entered(void **state)
{
	(void)state;
	in_scratch_root(remove_across_a_bind);
}

static int remove_a_mount(void)
{
	int root_fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	CHECK(mkdir("/m", 0755) == 0 && mount("tmpfs", "/m", "tmpfs", 0, NULL) == 0);
	CHECK(put_file("/m/kept", "", 0644));
	CHECK(isp_path_remove_tree(root_fd, "m") == -EXDEV);
	CHECK(exists("/m/kept"));
	isp_fd_close(&root_fd);
	return 0;
}

static void a_tree_that_is_a_mount_itself_is_not_entered(void **state)
{
	(void)state;
	in_scratch_root(remove_a_mount);
}

/* /t/0/0/... with @levels directories in all. */
static bool make_deep(int root_fd, int levels)
{
	cleanup_close int fd = -EBADF;
	int at = dup(root_fd);

	for (int i = 0; i < levels && at >= 0; i++) {
		const char *name = i == 0 ? "t" : "0";

		if (mkdirat(at, name, 0755) != 0)
			break;
		fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		isp_fd_close(&at);
		at = steal_fd(&fd);
	}
	fd = at;
	return at >= 0;
}

static int remove_deep_trees(void)
{
	int root_fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct rlimit usual = {1024, 1024};
	int before = lowest_free();

	CHECK(setrlimit(RLIMIT_NOFILE, &usual) == 0);
	CHECK(make_deep(root_fd, 200));
	CHECK(isp_path_remove_tree(root_fd, "t") == 0 && !exists("/t"));
	CHECK(make_deep(root_fd, 202) && put_file("/t/z", "", 0644));
	CHECK(isp_path_remove_tree(root_fd, "t") == -ELOOP);
	CHECK(exists("/t") && !exists("/t/z"));
	CHECK(lowest_free() == before);
	isp_fd_close(&root_fd);
	return 0;
}

static void a_tree_deeper_than_two_hundred_is_given_up(void **state)
{
	(void)state;
	in_scratch_root(remove_deep_trees);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clean_paths_name_one_thing),
		cmocka_unit_test(what_is_roots_is_opened),
		cmocka_unit_test(what_others_can_write_is_refused),
		cmocka_unit_test(a_root_directory_that_others_can_write_is_refused),
		cmocka_unit_test(what_is_somebody_elses_is_refused),
		cmocka_unit_test(symlinks_of_roots_are_followed_and_what_they_pass_is_checked),
		cmocka_unit_test(sixteen_symlinks_are_followed_and_no_more),
		cmocka_unit_test(a_path_that_symlinks_make_too_long_is_refused),
		cmocka_unit_test(a_fifo_does_not_make_the_opener_wait),
		cmocka_unit_test(a_directory_gets_its_mode_whatever_the_umask),
		cmocka_unit_test(a_directory_that_is_found_must_be_roots),
		cmocka_unit_test(a_tree_is_removed_with_all_in_it),
		cmocka_unit_test(symlinks_are_removed_and_not_followed),
		cmocka_unit_test(a_mount_is_not_entered_and_the_rest_is_removed),
		cmocka_unit_test(a_bind_of_the_same_file_system_is_not_entered),
		cmocka_unit_test(a_tree_that_is_a_mount_itself_is_not_entered),
		cmocka_unit_test(a_tree_deeper_than_two_hundred_is_given_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
