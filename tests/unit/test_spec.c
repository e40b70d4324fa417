/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The frozen spec: what is written is read back, and nothing else is read. */
#include "ispawn/base/fd.h"
#include "ispawn/policy/capability.h"
#include "ispawn/policy/spec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static char *text(const char *from)
{
	char *copy = strdup(from);

	assert_non_null(copy);
	return copy;
}

static void replace(char **at, const char *with)
{
	free(*at);
	*at = with ? text(with) : NULL;
}

/* Every field set, to something that is not zero. */
static struct isp_spec sample(void)
{
	struct isp_spec s = {
		.session = "guest.0123abcd",
		.user = "guest",
		.uid = 100123,
		.gid = 100124,
		.group_count = 2,
		.template_name = "debian-12",
		.rootfs = ISP_ROOTFS_EPHEMERAL,
		.home = ISP_HOME_TMPFS,
		.shell_is_fallback = true,
		.hostname = "guest-lab1",
		.dns_count = 2,
		.bind_count = 2,
		.tmp_size_bytes = 64 << 20,
		.ephemeral_size_bytes = 128 << 20,
		.privilege = ISP_PRIVILEGE_SUDO,
		.capabilities = 1,
		.seccomp = "lab",
		.network = ISP_NETWORK_HOST,
		.limits = {.memory_bytes = 1 << 30,
			   .swap_bytes = 1 << 20,
			   .pids = 99,
			   .cpu_percent = 150,
			   .cpu_weight = 50,
			   .io_weight = 60,
			   .sessions = 7},
		.nofile = 2048,
		.environment_count = 2,
		.on_logout = ISP_LOGOUT_LINGER,
		.idle_timeout_s = 60,
		.max_session_s = 3600,
		.start_timeout_s = 9,
	};

	s.directory = text("");
	s.group = text("guests of the lab");
	s.gecos = text("G\xc3\xbcnter Gast,Room 1");
	s.service = text("sshd");
	s.tty = text("ssh");
	s.rhost = text("2001:db8::1");
	s.groups[0] = (struct isp_group){.gid = 500, .name = text("users")};
	s.groups[1] = (struct isp_group){.gid = 4294967294U, .name = text("domain users")};
	s.home_path = text("/home/guest");
	s.shell = text("/bin/zsh");
	s.dns[0] = text("192.0.2.1");
	s.dns[1] = text("2001:db8::53");
	s.binds[0] = (struct isp_bind){text("/srv/data"), text("/data"), true};
	s.binds[1] = (struct isp_bind){text("/srv/in box"), text("/srv/in box"), false};
	s.environment[0] = text("GIT_AUTHOR_NAME");
	s.environment[1] = text("EDITOR");
	return s;
}

static void encode(const struct isp_spec *spec, char **bytes, size_t *size)
{
	struct isp_error err = {0};

	assert_int_equal(isp_spec_encode(spec, bytes, size, &err), 0);
	assert_int_equal(err.code, 0);
}

static void decode_then_encode_is_identity(void **state)
{
	cleanup_spec struct isp_spec before = sample();
	cleanup_spec struct isp_spec after = {0};
	cleanup_free char *bytes = NULL;
	cleanup_free char *again = NULL;
	struct isp_error err = {0};
	size_t size = 0;
	size_t size_again = 0;

	(void)state;
	encode(&before, &bytes, &size);
	assert_int_equal(isp_spec_decode(bytes, size, &after, &err), 0);
	encode(&after, &again, &size_again);
	assert_int_equal(size, size_again);
	assert_memory_equal(bytes, again, size);
}

static void every_field_arrives(void **state)
{
	cleanup_spec struct isp_spec a = sample();
	cleanup_spec struct isp_spec b = {0};
	cleanup_free char *bytes = NULL;
	struct isp_error err = {0};
	size_t size = 0;

	(void)state;
	encode(&a, &bytes, &size);
	assert_int_equal(isp_spec_decode(bytes, size, &b, &err), 0);
	assert_string_equal(a.session, b.session);
	assert_int_equal(a.owner, b.owner);
	assert_string_equal(a.directory, b.directory);
	assert_false(b.runs_commands);
	assert_string_equal(a.user, b.user);
	assert_int_equal(a.uid, b.uid);
	assert_int_equal(a.gid, b.gid);
	assert_string_equal(a.group, b.group);
	assert_string_equal(a.gecos, b.gecos);
	assert_string_equal(a.service, b.service);
	assert_string_equal(a.tty, b.tty);
	assert_string_equal(a.rhost, b.rhost);
	assert_int_equal(b.group_count, 2);
	assert_int_equal(a.groups[1].gid, b.groups[1].gid);
	assert_string_equal(a.groups[1].name, b.groups[1].name);
	assert_string_equal(a.template_name, b.template_name);
	assert_string_equal(a.seccomp, b.seccomp);
	assert_int_equal(a.rootfs, b.rootfs);
	assert_int_equal(a.home, b.home);
	assert_string_equal(a.home_path, b.home_path);
	assert_string_equal(a.shell, b.shell);
	assert_true(b.shell_is_fallback);
	assert_string_equal(a.hostname, b.hostname);
	assert_int_equal(b.dns_count, 2);
	assert_string_equal(a.dns[1], b.dns[1]);
	assert_int_equal(b.bind_count, 2);
	assert_string_equal(a.binds[0].source, b.binds[0].source);
	assert_string_equal(a.binds[0].target, b.binds[0].target);
	assert_true(b.binds[0].is_read_only);
	assert_false(b.binds[1].is_read_only);
	assert_int_equal(a.tmp_size_bytes, b.tmp_size_bytes);
	assert_int_equal(a.ephemeral_size_bytes, b.ephemeral_size_bytes);
	assert_int_equal(a.privilege, b.privilege);
	assert_int_equal(a.capabilities, b.capabilities);
	assert_int_equal(a.network, b.network);
	assert_memory_equal(&a.limits, &b.limits, sizeof(a.limits));
	assert_int_equal(a.nofile, b.nofile);
	assert_int_equal(b.environment_count, 2);
	assert_string_equal(a.environment[1], b.environment[1]);
	assert_int_equal(a.on_logout, b.on_logout);
	assert_int_equal(a.idle_timeout_s, b.idle_timeout_s);
	assert_int_equal(a.max_session_s, b.max_session_s);
	assert_int_equal(a.start_timeout_s, b.start_timeout_s);
}

static bool is_zero(const struct isp_spec *spec)
{
	static const struct isp_spec zero;

	return memcmp(spec, &zero, sizeof(zero)) == 0;
}

static void every_truncation_is_refused(void **state)
{
	cleanup_spec struct isp_spec before = sample();
	cleanup_free char *bytes = NULL;
	size_t size = 0;

	(void)state;
	encode(&before, &bytes, &size);
	for (size_t cut = 0; cut < size; cut++) {
		/* A copy of exact size: reading past the end is seen by ASan. */
		cleanup_free char *part = malloc(cut + 1);
		struct isp_spec after = {0};
		struct isp_error err = {0};

		assert_non_null(part);
		memcpy(part + 1, bytes, cut);
		assert_int_equal(isp_spec_decode(part + 1, cut, &after, &err), -EINVAL);
		assert_int_equal(err.stage, ISP_STAGE_SPEC);
		assert_true(is_zero(&after));
	}
}

/* A changed byte is refused, or means something else and is written back exactly so. */
static void no_value_has_two_spellings(void **state)
{
	static const char with[] = {'\0', '0', '1',  '9', '-', '=',
				    ':',  ' ', '\n', '/', 'a', '\xff'};
	cleanup_spec struct isp_spec before = sample();
	cleanup_free char *bytes = NULL;
	size_t size = 0;
	size_t accepted = 0;

	(void)state;
	encode(&before, &bytes, &size);
	for (size_t i = 0; i < size * sizeof(with); i++) {
		cleanup_free char *again = NULL;
		cleanup_spec struct isp_spec after = {0};
		struct isp_error err = {0};
		size_t size_again = 0;
		char keep = bytes[i / sizeof(with)];

		bytes[i / sizeof(with)] = with[i % sizeof(with)];
		if (isp_spec_decode(bytes, size, &after, &err) == 0) {
			encode(&after, &again, &size_again);
			assert_int_equal(size, size_again);
			assert_memory_equal(bytes, again, size);
			accepted++;
		} else {
			assert_true(is_zero(&after));
			assert_int_not_equal(err.code, 0);
		}
		bytes[i / sizeof(with)] = keep;
	}
	assert_true(accepted > 0);
}

static void trailing_bytes_are_refused(void **state)
{
	cleanup_spec struct isp_spec before = sample();
	struct isp_spec after = {0};
	cleanup_free char *bytes = NULL;
	cleanup_free char *more = NULL;
	struct isp_error err = {0};
	size_t size = 0;

	(void)state;
	encode(&before, &bytes, &size);
	more = calloc(1, size + 1);
	assert_non_null(more);
	memcpy(more, bytes, size);
	assert_int_equal(isp_spec_decode(more, size + 1, &after, &err), -EINVAL);
	assert_non_null(strstr(err.text, "after the spec's last field"));
}

/* Replaces the first @from in the encoded sample and decodes that. */
static int decode_edited(const char *from, const char *to, struct isp_error *err)
{
	cleanup_spec struct isp_spec before = sample();
	cleanup_spec struct isp_spec after = {0};
	cleanup_free char *bytes = NULL;
	cleanup_free char *edited = NULL;
	size_t size = 0;
	char *at;

	encode(&before, &bytes, &size);
	at = memmem(bytes, size, from, strlen(from));
	assert_non_null(at);
	edited = malloc(size + strlen(to));
	assert_non_null(edited);
	memcpy(edited, bytes, (size_t)(at - bytes));
	memcpy(edited + (at - bytes), to, strlen(to));
	memcpy(edited + (at - bytes) + strlen(to), at + strlen(from),
	       size - (size_t)(at - bytes) - strlen(from));
	return isp_spec_decode(edited, size - strlen(from) + strlen(to), &after, err);
}

static void another_version_is_named_as_such(void **state)
{
	struct isp_error err = {0};

	(void)state;
	assert_int_equal(decode_edited("version=2", "version=1", &err), -EPROTO);
	assert_non_null(strstr(err.text, "\"1\""));
	assert_non_null(strstr(err.text, "different releases"));
}

static void bad_fields_are_refused_by_name(void **state)
{
	static const struct {
		const char *from, *to, *field;
	} edits[] = {
		{"uid=100123", "uid=0", "\"uid\""},
		{"uid=100123", "uid=4294967295", "\"uid\""},
		{"uid=100123", "uid=4294967296", "\"uid\""},
		{"uid=100123", "uid=+1", "\"uid\""},
		{"gid=100124", "gid=0", "\"gid\""},
		{"owner=user", "owner=root", "\"uid\""},
		{"owner=user", "owner=nobody", "\"owner\""},
		{"directory=", "directory=srv", "\"directory\""},
		{"directory=", "directory=/srv", "\"directory\""},
		{"runs_commands=no", "runs_commands=", "\"runs_commands\""},
		{"runs_commands=no", "runs_commands=yes", "\"runs_commands\""},
		{"is_rootless=no", "is_rootless=yes", "\"is_rootless\""},
		{"is_unlimited=no", "is_unlimited=yes", "\"is_rootless\""},
		{"has_one_id=no", "has_one_id=yes", "\"is_rootless\""},
		{"user=guest", "user=../x", "\"user\""},
		{"session=guest.", "session=other.", "\"session\""},
		{"session=guest.0123abcd", "session=guest.0123ABCD", "\"session\""},
		{"groups=500:users", "groups=0:users", "\"groups\""},
		{"groups=500:users", "groups=0500:users", "\"groups\""},
		{"groups=500:users", "groups=500:us:ers", "\"groups\""},
		{"groups=500:users", "groups=500:", "\"groups\""},
		{"groups=2", "groups=33", "\"groups\""},
		{"groups=2", "groups=3", "\"groups\""},
		{"groups=2", "groups=1", "\"directory\""},
		{"template=debian-12", "template=../../etc", "\"template\""},
		{"rootfs=ephemeral", "rootfs=host", "\"rootfs\""},
		{"home_path=/home/guest", "home_path=/etc", "\"home_path\""},
		{"home_path=/home/guest", "home_path=/home/../etc", "\"home_path\""},
		{"shell=/bin/zsh", "shell=zsh", "\"shell\""},
		{"shell=/bin/zsh", "shell=/", "\"shell\""},
		{"shell_is_fallback=yes", "shell_is_fallback=1", "\"shell_is_fallback\""},
		{"hostname=guest-lab1", "hostname=Guest", "\"hostname\""},
		{"hostname=guest-lab1", "hostname=", "\"hostname\""},
		{"dns=192.0.2.1", "dns=localhost", "\"dns\""},
		{"bind=ro:/srv/data:/data", "bind=xx:/srv/data:/data", "\"bind\""},
		{"bind=ro:/srv/data:/data", "bind=ro:/srv/data", "\"bind\""},
		{"bind=ro:/srv/data:/data", "bind=ro:/srv/data:/proc/sys", "\"bind\""},
		{"bind=ro:/srv/data:/data", "bind=ro:/:/data", "\"bind\""},
		{"bind=ro:/srv/data:/data", "bind=ro:/srv/data:/data:ro", "\"bind\""},
		{"tmp_size=67108864", "tmp_size=18446744073709551615", "\"tmp_size\""},
		{"capabilities=1", "capabilities=2097152", "\"capabilities\""},
		{"seccomp=lab", "seccomp=../lab", "\"seccomp\""},
		{"seccomp=lab", "seccomp=", "\"seccomp\""},
		{"seccomp=lab", "seccomp=none", "\"seccomp\""},
		{"network=host", "network=nat", "\"network\""},
		{"memory=1073741824", "memory=1", "\"memory\""},
		{"pids=99", "pids=7", "\"pids\""},
		{"pids=99", "pids=099", "\"pids\""},
		{"cpu_weight=50", "cpu_weight=0", "\"cpu_weight\""},
		{"sessions=7", "sessions=0", "\"sessions\""},
		{"environment=EDITOR", "environment=LD_PRELOAD", "\"environment\""},
		{"start_timeout=9", "start_timeout=0", "\"start_timeout\""},
		{"start_timeout=9", "start_timeout=601", "\"start_timeout\""},
		{"idle_timeout=60", "idle_time=60", "\"idle_timeout\""},
		{"gecos=G", "gecos=\nG", "\"gecos\""},
		{"gecos=G", "gecos=:G", "\"gecos\""},
		{"group=guests", "group=a,guests", "\"group\""},
		{"rhost=2001", "rhost=\033[2J2001", "\"rhost\""},
	};

	(void)state;
	for (size_t i = 0; i < ISP_ARRAY_SIZE(edits); i++) {
		struct isp_error err = {0};
		int r = decode_edited(edits[i].from, edits[i].to, &err);

		if (r != -EINVAL && r != -ERANGE)
			fail_msg("%s -> %s: %d", edits[i].from, edits[i].to, r);
		if (!strstr(err.text, edits[i].field))
			fail_msg("%s -> %s: %s", edits[i].from, edits[i].to, err.text);
	}
}

static void what_cannot_be_read_back_is_not_written(void **state)
{
	struct isp_error err = {0};
	cleanup_free char *bytes = NULL;
	size_t size = 0;

	(void)state;
	for (unsigned int i = 0; i < 12; i++) {
		cleanup_spec struct isp_spec s = sample();

		switch (i) {
		case 0:
			s.uid = 0;
			break;
		case 1:
			s.gid = (gid_t)-1;
			break;
		case 2:
			replace(&s.shell, NULL);
			break;
		case 3:
			replace(&s.gecos, "a:b");
			break;
		case 4:
			memset(s.hostname, 'a', sizeof(s.hostname));
			break;
		case 5:
			s.rootfs = (enum isp_rootfs)4;
			break;
		case 6:
			s.limits.memory_bytes = 0;
			break;
		case 7:
			s.session[0] = 'x';
			break;
		case 8:
			replace(&s.binds[1].target, "/dev/shm");
			break;
		case 9:
			replace(&s.groups[0].name, "");
			break;
		case 10:
			replace(&s.dns[1], NULL);
			break;
		default:
			s.capabilities = UINT64_C(1) << 63;
			break;
		}
		memset(&err, 0, sizeof(err));
		assert_int_equal(isp_spec_encode(&s, &bytes, &size, &err), -EINVAL);
		assert_null(bytes);
		assert_non_null(strstr(err.text, "spec field"));
	}
}

/* Root's own container: a tree's ids, 0 among them, and nothing of the store's. */
static void root_has_directories_and_no_logins(void **state)
{
	static const struct {
		const char *says;
		uid_t uid;
		enum isp_rootfs rootfs;
		enum isp_home home;
		const char *directory, *home_path, *session;
	} cases[] = {
		{NULL, 0, ISP_ROOTFS_COPY, ISP_HOME_TMPFS, "/srv/t", "/", "root.00000000"},
		{NULL, 65535, ISP_ROOTFS_READONLY, ISP_HOME_TMPFS, "/", "/usr", "root.00000000"},
		{"\"uid\"", 65536, ISP_ROOTFS_COPY, ISP_HOME_TMPFS, "/srv/t", "/", "root.00000000"},
		{"\"owner\"", 0, ISP_ROOTFS_COPY, ISP_HOME_TMPFS, "", "/home/x", "root.00000000"},
		{"\"rootfs\"", 0, ISP_ROOTFS_OVERLAY, ISP_HOME_TMPFS, "/srv/t", "/",
		 "root.00000000"},
		{"\"home\"", 0, ISP_ROOTFS_COPY, ISP_HOME_BIND, "/srv/t", "/", "root.00000000"},
		{"\"home_path\"", 0, ISP_ROOTFS_COPY, ISP_HOME_TMPFS, "/srv/t", "/a/../b",
		 "root.00000000"},
		{"\"session\"", 0, ISP_ROOTFS_COPY, ISP_HOME_TMPFS, "/srv/t", "/",
		 "guest.0123abcd"},
	};

	(void)state;
	for (size_t i = 0; i < ISP_ARRAY_SIZE(cases); i++) {
		cleanup_spec struct isp_spec s = sample();
		cleanup_free char *bytes = NULL;
		struct isp_error err = {0};
		size_t size = 0;

		s.owner = ISP_OWNER_ROOT;
		s.uid = s.gid = cases[i].uid;
		s.rootfs = cases[i].rootfs;
		s.home = cases[i].home;
		replace(&s.directory, cases[i].directory);
		replace(&s.home_path, cases[i].home_path);
		(void)snprintf(s.session, sizeof(s.session), "%s", cases[i].session);
		assert_int_equal(isp_spec_encode(&s, &bytes, &size, &err),
				 cases[i].says ? -EINVAL : 0);
		if (cases[i].says && !strstr(err.text, cases[i].says))
			fail_msg("case %zu: %s", i, err.text);
		assert_string_equal(isp_spec_owner_name(&s), "root");
		assert_int_equal(isp_spec_owner_uid(&s), 0);
	}
}

static void a_list_longer_than_its_array_is_not_read(void **state)
{
	cleanup_spec struct isp_spec s = sample();
	struct isp_error err = {0};
	cleanup_free char *bytes = NULL;
	size_t size = 0;

	(void)state;
	s.dns_count = ISP_LIST_MAX + 1;
	assert_int_equal(isp_spec_encode(&s, &bytes, &size, &err), -EINVAL);
	assert_non_null(strstr(err.text, "too many"));
	s.dns_count = 2;
}

static void full_lists_and_extreme_numbers_travel(void **state)
{
	cleanup_spec struct isp_spec s = sample();
	cleanup_spec struct isp_spec after = {0};
	struct isp_error err = {0};
	cleanup_free char *bytes = NULL;
	size_t size = 0;

	(void)state;
	while (s.group_count < ISP_LIST_MAX)
		s.groups[s.group_count++] = (struct isp_group){.gid = 7, .name = text("g")};
	s.limits.memory_bytes = UINT64_MAX;
	s.limits.swap_bytes = UINT64_MAX;
	s.limits.pids = UINT64_MAX;
	s.capabilities = isp_capability_grantable();
	s.uid = 4294967294U;
	replace(&s.shell, "");
	encode(&s, &bytes, &size);
	assert_int_equal(isp_spec_decode(bytes, size, &after, &err), 0);
	assert_int_equal(after.group_count, ISP_LIST_MAX);
	assert_true(after.limits.pids == UINT64_MAX);
	assert_true(after.capabilities == isp_capability_grantable());
	assert_string_equal(after.shell, "");
}

static void a_spec_too_big_to_freeze_is_refused(void **state)
{
	cleanup_spec struct isp_spec s = sample();
	char path[4096] = "/";
	struct isp_error err = {0};
	cleanup_free char *bytes = NULL;
	size_t size = 0;

	(void)state;
	memset(path + 1, 'x', sizeof(path) - 2);
	path[sizeof(path) - 1] = '\0';
	replace(&s.binds[0].source, path);
	replace(&s.binds[0].target, path);
	while (s.bind_count < ISP_LIST_MAX)
		s.binds[s.bind_count++] = (struct isp_bind){text(path), text(path), false};
	replace(&s.binds[1].source, path);
	replace(&s.binds[1].target, path);
	assert_int_equal(isp_spec_encode(&s, &bytes, &size, &err), -E2BIG);
}

static void capabilities_are_the_documented_ones_and_four_more(void **state)
{
	uint64_t bit = 0;

	(void)state;
	/* The numbers of linux/capability.h, written out: the table must not be its own proof. */
	assert_true(isp_capability_reduced() ==
		    (1ULL << 0 | 1ULL << 1 | 1ULL << 3 | 1ULL << 4 | 1ULL << 5 | 1ULL << 6 |
		     1ULL << 7 | 1ULL << 8 | 1ULL << 10 | 1ULL << 13 | 1ULL << 18 | 1ULL << 27 |
		     1ULL << 29 | 1ULL << 31));
	assert_true((isp_capability_grantable() ^ isp_capability_reduced()) ==
		    (1ULL << 12 | 1ULL << 14 | 1ULL << 19 | 1ULL << 23));
	assert_int_equal(isp_capability_parse("CAP_SYS_PTRACE", &bit), 0);
	assert_true(bit == 1ULL << 19);
	assert_int_equal(isp_capability_parse("chown", &bit), 0);
	assert_true(bit == 1);
	assert_int_equal(isp_capability_parse("Cap_Kill", &bit), 0);
	assert_true(bit == 1ULL << 5);
	assert_int_equal(isp_capability_parse("sys_admin", &bit), -EPERM);
	assert_int_equal(isp_capability_parse("cap_cap_kill", &bit), -EINVAL);
	assert_int_equal(isp_capability_parse("", &bit), -EINVAL);
	assert_true(bit == 1ULL << 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decode_then_encode_is_identity),
		cmocka_unit_test(every_field_arrives),
		cmocka_unit_test(every_truncation_is_refused),
		cmocka_unit_test(no_value_has_two_spellings),
		cmocka_unit_test(trailing_bytes_are_refused),
		cmocka_unit_test(another_version_is_named_as_such),
		cmocka_unit_test(bad_fields_are_refused_by_name),
		cmocka_unit_test(what_cannot_be_read_back_is_not_written),
		cmocka_unit_test(root_has_directories_and_no_logins),
		cmocka_unit_test(a_list_longer_than_its_array_is_not_read),
		cmocka_unit_test(full_lists_and_extreme_numbers_travel),
		cmocka_unit_test(a_spec_too_big_to_freeze_is_refused),
		cmocka_unit_test(capabilities_are_the_documented_ones_and_four_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
