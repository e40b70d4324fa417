/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cases_cover.c - the user's shell and the application's namespaces, from open to close */
#include "login.h"

#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>

#define COVERED "/run/ispawn/cover/shell"

/* Opens, lets @shell be looked at, closes; the application must be as before. */
static void expect_covered(const char *user, const char *shell, const char *root_prints)
{
	char before_shell[128], after_shell[128];
	struct login login;
	const char *before;

	(void)snprintf(before_shell, sizeof(before_shell), "%s",
		       run_output(shell, 0, "echo $0 ran"));
	CHECK_TEXT(before_shell, root_prints);
	login_start(&login, "sshd", user);
	before = state();
	CHECK_INT(login_open(&login, 0), PAM_SUCCESS);
	CHECK(same_file(shell, SHELL));
	CHECK_TEXT(run_output(shell, 1000, "echo $0 ran"), "ispawn-shell\n");
	(void)snprintf(after_shell, sizeof(after_shell), "%s", run_output(shell, 0, "echo $0 ran"));
	CHECK_INT(login_close(&login), PAM_SUCCESS);
	CHECK_TEXT(state(), before);
	CHECK(!same_file(shell, SHELL));
	CHECK_TEXT(run_output(shell, 1000, "echo $0 ran"), root_prints);
	/* A script's $0 is where it was executed from: at the covered place. */
	CHECK(strcmp(after_shell, root_prints) == 0 ||
	      strcmp(after_shell, COVERED " ran as a script\n") == 0);
	login_end(&login);
}

static void shell_runs_ispawn_shell_and_root_reaches_the_original(void)
{
	expect_covered("guest", "/bin/bash", "-shell ran\n");
}

static void shell_that_is_a_symlink_is_covered(void)
{
	expect_covered("linky", SCENE "shells/link", "-shell ran\n");
}

static void shell_that_is_a_script_is_covered(void)
{
	expect_covered("scripty", SCENE "shells/script", SCENE "shells/script ran as a script\n");
}

static void empty_shell_is_bin_sh(void)
{
	expect_covered("emptyshell", "/bin/sh", "-shell ran\n");
}

static void ispawn_shell_needs_no_cover(void)
{
	char before_ns[64] = "", ns[64] = "";
	struct login login;

	CHECK(readlink("/proc/self/ns/mnt", before_ns, sizeof(before_ns) - 1) > 0);
	login_start(&login, "sshd", "shelly");
	CHECK_INT(login_open(&login, 0), PAM_SUCCESS);
	CHECK(readlink("/proc/self/ns/mnt", ns, sizeof(ns) - 1) > 0);
	CHECK_TEXT(ns, before_ns);
	CHECK(access("/run/ispawn", F_OK) != 0);
	CHECK_INT(login_close(&login), PAM_SUCCESS);
	login_end(&login);
}

static void covered_place_shows_nothing_on_the_host(void)
{
	struct login login;
	struct stat st;

	login_start(&login, "sshd", "guest");
	CHECK_INT(login_open(&login, 0), PAM_SUCCESS);
	CHECK_INT(login_close(&login), PAM_SUCCESS);
	CHECK(stat(COVERED, &st) == 0);
	CHECK_INT(st.st_mode, S_IFREG);
	CHECK_INT(st.st_size, 0);
	CHECK(stat("/run/ispawn/cover", &st) == 0);
	CHECK_INT(st.st_mode & 07777, 0711);
	login_end(&login);
}

static void mounts_arrive_and_do_not_leave(void)
{
	struct stat scene, mounted;
	struct login login;
	int status = -1;
	pid_t pid;
	int ends[2];
	char byte;

	CHECK(pipe(ends) == 0);
	pid = fork(); /* the host, which mounts something after the login */
	if (pid == 0) {
		if (read(ends[0], &byte, 1) != 1 || same_file("/bin/bash", SHELL))
			_exit(1);
		_exit(mount("tmpfs", SCENE "mnt", "tmpfs", 0, NULL) != 0);
	}
	login_start(&login, "sshd", "guest");
	CHECK_INT(login_open(&login, 0), PAM_SUCCESS);
	CHECK(write(ends[1], "x", 1) == 1);
	CHECK_INT(waitpid(pid, &status, 0), pid);
	CHECK_INT(status, 0);
	CHECK(stat(SCENE, &scene) == 0 && stat(SCENE "mnt", &mounted) == 0);
	CHECK(mounted.st_dev != scene.st_dev);
	CHECK_INT(login_close(&login), PAM_SUCCESS);
	CHECK(umount(SCENE "mnt") == 0);
	login_end(&login);
}

static void expect_cover_denied(const char *user, const char *log)
{
	struct login login;
	const char *before;

	login_start(&login, "sshd", user);
	before = state();
	CHECK_INT(login_open(&login, 0), PAM_SESSION_ERR);
	CHECK_TEXT(log_lines(), log);
	CHECK_TEXT(ended(), "CLOSE");
	CHECK_TEXT(state(), before);
	login_end(&login);
}

static void missing_ispawn_shell_is_denied(void)
{
	(void)unlink(SHELL);
	expect_cover_denied("guest",
			    "<3>session=guest.ID user=\"guest\" stage=cover: cover the "
			    "login shell: open \"" SHELL "\": No such file or directory\n");
}

static void missing_shell_is_denied(void)
{
	expect_cover_denied("noshell", "<3>session=noshell.ID user=\"noshell\" stage=cover: cover "
				       "the login shell: open \"" SCENE
				       "shells/none\": No such file or directory\n");
}

static void shell_that_others_can_replace_is_denied(void)
{
	expect_cover_denied("openshell",
			    "<3>session=openshell.ID user=\"openshell\" stage=cover: cover the "
			    "login shell: \"" SCENE "shells/open/sh\": it, or a directory above "
			    "it, can be changed by others than root: Operation not permitted\n");
}

static void shell_that_is_a_directory_is_denied(void)
{
	expect_cover_denied("dirshell", "<3>session=dirshell.ID user=\"dirshell\" stage=cover: "
					"cover the login shell: \"" SCENE
					"shells\" is not a file: Permission denied\n");
}

static void untrusted_place_for_the_original_is_denied(void)
{
	CHECK(mkdir("/run/ispawn", 0755) == 0);
	CHECK(chmod("/run/ispawn", 0777) == 0);
	expect_cover_denied("guest", "<3>session=guest.ID user=\"guest\" stage=cover: cover the "
				     "login shell: make \"/run/ispawn/cover\": Operation not "
				     "permitted\n");
}

static const char *network(void)
{
	static char links[4][64];
	static unsigned int turn;
	char *link = links[turn++ % 4];

	memset(link, 0, 64);
	CHECK(readlink("/proc/thread-self/ns/net", link, 63) > 0);
	return link;
}

static void application_is_in_the_containers_network(void)
{
	struct login login;
	const char *before = network();

	login_start(&login, "sshd", "guest");
	CHECK_INT(login_open(&login, 0), PAM_SUCCESS);
	CHECK(strcmp(network(), before) != 0);
	CHECK_INT(login_close(&login), PAM_SUCCESS);
	CHECK_TEXT(network(), before);
	login_end(&login);
}

static void application_stays_with_network_host(void)
{
	struct login login;
	const char *before = network();

	login_start(&login, "sshd", "hostnet");
	CHECK_INT(login_open(&login, 0), PAM_SUCCESS);
	CHECK_TEXT(network(), before);
	CHECK(same_file("/bin/bash", SHELL));
	CHECK_INT(login_close(&login), PAM_SUCCESS);
	login_end(&login);
}

static void two_sessions_in_one_handle_close_in_turn(void)
{
	struct login login;
	const char *before, *outer_network;
	char outer_id[80];

	login_start(&login, "sshd", "guest");
	before = state();
	CHECK_INT(login_open(&login, 0), PAM_SUCCESS);
	outer_network = network();
	(void)snprintf(outer_id, sizeof(outer_id), "%s", login_session(&login));
	CHECK_INT(login_open(&login, 0), PAM_SUCCESS);
	CHECK(strcmp(login_session(&login), outer_id) != 0);
	CHECK(strcmp(network(), outer_network) != 0);
	CHECK(same_file("/bin/bash", SHELL));
	CHECK_INT(login_close(&login), PAM_SUCCESS);
	CHECK_TEXT(login_session(&login), outer_id);
	CHECK_TEXT(network(), outer_network);
	CHECK(same_file("/bin/bash", SHELL));
	CHECK_TEXT(run_output("/bin/bash", 0, "echo original"), "original\n");
	CHECK_INT(login_close(&login), PAM_SUCCESS);
	CHECK_TEXT(state(), before);
	CHECK_INT(login_close(&login), PAM_IGNORE);
	CHECK_TEXT(log_lines(), "");
	login_end(&login);
}

static void two_handles_in_one_process(void)
{
	struct login outer, inner;
	const char *before;

	login_start(&outer, "sshd", "guest");
	login_start(&inner, "sshd", "linky");
	before = state();
	CHECK_INT(login_open(&outer, 0), PAM_SUCCESS);
	CHECK_INT(login_open(&inner, 0), PAM_SUCCESS);
	CHECK(same_file("/bin/bash", SHELL) && same_file(SCENE "shells/link", SHELL));
	CHECK_INT(login_close(&inner), PAM_SUCCESS);
	CHECK(!same_file(SCENE "shells/link", SHELL));
	CHECK_INT(login_close(&outer), PAM_SUCCESS);
	CHECK_TEXT(state(), before);
	login_end(&inner);
	login_end(&outer);
}

static void failed_second_session_keeps_the_first(void)
{
	struct login login;
	const char *before;
	char id[80];

	login_start(&login, "sshd", "guest");
	before = state();
	CHECK_INT(login_open(&login, 0), PAM_SUCCESS);
	(void)snprintf(id, sizeof(id), "%s", login_session(&login));
	scene_write(BEHAVIOUR, "failed");
	CHECK_INT(login_open(&login, 0), PAM_SESSION_ERR);
	CHECK_TEXT(login_session(&login), id);
	CHECK(same_file("/bin/bash", SHELL));
	(void)log_lines();
	CHECK_INT(login_close(&login), CLOSE_AFTER_DENIAL);
	CHECK_TEXT(log_lines(), "");
	CHECK_TEXT(ended(), "CLOSE");
	CHECK_TEXT(state(), before);
	login_end(&login);
}

static void directory_of_the_application_is_kept(void)
{
	struct login login;
	char directory[256];

	CHECK(chdir(SCENE "shells") == 0);
	login_start(&login, "sshd", "guest");
	CHECK_INT(login_open(&login, 0), PAM_SUCCESS);
	CHECK_TEXT(getcwd(directory, sizeof(directory)), SCENE "shells");
	CHECK(chdir("/etc") == 0); /* the application's own wish */
	CHECK_INT(login_close(&login), PAM_SUCCESS);
	CHECK_TEXT(getcwd(directory, sizeof(directory)), "/etc");
	CHECK(mkdir(SCENE "gone", 0755) == 0 && chdir(SCENE "gone") == 0);
	CHECK(rmdir(SCENE "gone") == 0);
	CHECK_INT(login_open(&login, 0), PAM_SUCCESS);
	CHECK_INT(login_close(&login), PAM_SUCCESS);
	CHECK(readlink("/proc/self/cwd", directory, sizeof(directory)) > 0);
	CHECK(strncmp(directory, SCENE "gone (deleted)", strlen(SCENE "gone (deleted)")) == 0);
	login_end(&login);
}

/* An application in a chroot that is a mount: a whole system under /srv with its own sshd. */
static void root_of_the_application_is_kept(void)
{
	struct login login;
	const char *before;

	CHECK(mount("/", SCENE "mnt", NULL, MS_BIND | MS_REC, NULL) == 0);
	CHECK(chroot(SCENE "mnt") == 0 && chdir("/") == 0);
	login_start(&login, "sshd", "guest");
	before = state();
	CHECK_INT(login_open(&login, 0), PAM_SUCCESS);
	CHECK(same_file("/bin/bash", SHELL));
	CHECK_INT(login_close(&login), PAM_SUCCESS);
	CHECK_TEXT(state(), before);
	CHECK(!same_file("/bin/bash", SHELL));
	login_end(&login);
}

#define CASE(function)                                                                             \
	{                                                                                          \
#function, function                                                                \
	}

const struct test_case cover_cases[] = {
	CASE(shell_runs_ispawn_shell_and_root_reaches_the_original),
	CASE(shell_that_is_a_symlink_is_covered),
	CASE(shell_that_is_a_script_is_covered),
	CASE(empty_shell_is_bin_sh),
	CASE(ispawn_shell_needs_no_cover),
	CASE(covered_place_shows_nothing_on_the_host),
	CASE(mounts_arrive_and_do_not_leave),
	CASE(missing_ispawn_shell_is_denied),
	CASE(missing_shell_is_denied),
	CASE(shell_that_others_can_replace_is_denied),
	CASE(shell_that_is_a_directory_is_denied),
	CASE(untrusted_place_for_the_original_is_denied),
	CASE(application_is_in_the_containers_network),
	CASE(application_stays_with_network_host),
	CASE(two_sessions_in_one_handle_close_in_turn),
	CASE(two_handles_in_one_process),
	CASE(failed_second_session_keeps_the_first),
	CASE(directory_of_the_application_is_kept),
	CASE(root_of_the_application_is_kept),
	{NULL, NULL},
};
