/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ispawnctl-prove.c - `ispawnctl doctor --prove`: log in as the user and look around
 *
 * Runs as host root, which needs no secret of the user's for su, and is believed by nobody: the
 * door asks the kernel, and gets the user's uid since the client has become him.  What runs inside
 * is a script of /bin/sh's with what any template has; it prints facts, and whether they keep a
 * promise is judged here, against this process's own.  A fact that is missing keeps none.
 */
#include "ispawnctl.h"

#include "ispawn/base/fd.h"
#include "ispawn/base/path.h"
#include "ispawnctl-host.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define LOGIN_MS 60000
#define JUMP_MS 15000
#define FACT_SIZE 128

/*
 * No single quote: it stands in a pair of them.  Only builtins, but for readlink and stat; without
 * bash, whose /dev/tcp this is, the network namespace is all that is known of the loopback.
 */
#define SCRIPT                                                                                     \
	"PATH=/usr/sbin:/usr/bin:/sbin:/bin; echo; "                                               \
	"while read -r k v w; do case $k in Uid:|CapPrm:|CapEff:|CapBnd:|NoNewPrivs:|Seccomp:) "   \
	"echo \"prove $k $v\";; esac; done < /proc/self/status; "                                  \
	"for n in user mnt pid net uts ipc cgroup; do "                                            \
	"echo \"prove ns:$n $(readlink /proc/self/ns/$n)\"; done; "                                \
	"read -r c < /proc/1/comm; echo \"prove init $c\"; "                                       \
	"for p in /proc/[0-9]*/comm; do read -r c < $p && echo \"prove process $c\"; done; "       \
	"echo \"prove root $(stat -L -c %%d:%%i /)\"; "                                            \
	"if [ -e %s ]; then echo \"prove marker seen\"; else echo \"prove marker none\"; fi; "     \
	"bash -c \"exec 3<>/dev/tcp/127.0.0.1/%u\" 2>/dev/null; echo \"prove done yes\""

static const char *const namespaces[] = {"user", "mnt", "pid", "net", "uts", "ipc", "cgroup"};

/* struct proof - one run of `doctor --prove` */
struct proof {
	struct doctor doctor;
	struct account account;
	struct isp_settings settings; /* borrowed from @policy */
	struct service policy;
	const char *identity;
	int listener_fd; /* on the host's loopback */
	unsigned int port;
	char marker[80]; /* an empty file of the host's */
	char command[2048];
};

/* --- what the host shows ---------------------------------------------------------------------- */

static int listen_here(struct proof *proof, struct isp_error *err)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t size = sizeof(address);
	struct sockaddr *general;

	memcpy(&general, &(struct sockaddr_in *){&address}, sizeof(general));
	proof->listener_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (proof->listener_fd < 0 || bind(proof->listener_fd, general, size) != 0 ||
	    listen(proof->listener_fd, 16) != 0 ||
	    getsockname(proof->listener_fd, general, &size) != 0)
		return isp_err_set(err, errno, ISP_STAGE_NETWORK, "listen on the host's loopback");
	proof->port = ntohs(address.sin_port);
	return 0;
}

/* Of the directories that everybody may look into, /tmp and /run are a container's own anyway. */
static int make_marker(struct proof *proof, struct isp_error *err)
{
	cleanup_close int fd = -EBADF;
	uint64_t number = 0;

	if (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number))
		return isp_err_set(err, errno, ISP_STAGE_START, "get random bytes");
	(void)snprintf(proof->marker, sizeof(proof->marker), "/var/tmp/ispawn-prove-%016" PRIx64,
		       number); /* fits */
	fd = open(proof->marker, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd >= 0)
		return 0;
	proof->marker[0] = '\0';
	return isp_err_set(err, errno, ISP_STAGE_START, "make a file in /var/tmp");
}

/* Has anybody come? Those who have are sent away. */
static bool was_reached(const struct proof *proof)
{
	bool is_reached = false;

	for (;;) {
		cleanup_close int fd = accept4(proof->listener_fd, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			return is_reached;
		is_reached = true;
	}
}

/* --- facts ------------------------------------------------------------------------------------ */

/* The fact of this name; false when the script did not print it. */
static bool fact(const char *output, const char *name, char ret_value[FACT_SIZE])
{
	char wanted[64];
	int size = snprintf(wanted, sizeof(wanted), "\nprove %s ", name);
	const char *at = strstr(output, wanted);

	if (!at)
		return false;
	at += size;
	(void)snprintf(ret_value, FACT_SIZE, "%.*s", (int)strcspn(at, "\r\n"), at);
	return true;
}

static bool fact_is(const char *output, const char *name, const char *expected)
{
	char value[FACT_SIZE];

	return fact(output, name, value) && strcmp(value, expected) == 0;
}

static bool is_zero(const char *output, const char *name)
{
	char value[FACT_SIZE];

	return fact(output, name, value) && value[0] && strspn(value, "0") == strlen(value);
}

/* --- promises: each true when the facts keep it ----------------------------------------------- */

static bool keeps_uid(const struct proof *proof, const char *output)
{
	bool is_root = proof->settings.privilege == ISP_PRIVILEGE_ROOT;
	char expected[16];

	(void)snprintf(expected, sizeof(expected), "%u", is_root ? 0 : proof->account.subject.uid);
	return fact_is(output, "Uid:", expected);
}

static bool keeps_namespaces(const struct proof *proof, const char *output)
{
	for (size_t i = 0; i < ISP_ARRAY_SIZE(namespaces); i++) {
		bool is_shared = strcmp(namespaces[i], "net") == 0 &&
				 proof->settings.network == ISP_NETWORK_HOST;
		char path[32];
		char name[16];
		char inside[FACT_SIZE];
		char outside[FACT_SIZE] = "";

		(void)snprintf(path, sizeof(path), "/proc/self/ns/%s", namespaces[i]); /* fits */
		(void)snprintf(name, sizeof(name), "ns:%s", namespaces[i]);
		if (!fact(output, name, inside) || !strchr(inside, '[') ||
		    readlink(path, outside, sizeof(outside) - 1) < 0)
			return false;
		if ((strcmp(inside, outside) == 0) != is_shared)
			return false;
	}
	return true;
}

static bool keeps_capabilities(const struct proof *proof, const char *output)
{
	if (proof->settings.privilege == ISP_PRIVILEGE_ROOT)
		return true; /* those of the user namespace, which is not the host's */
	if (proof->settings.privilege == ISP_PRIVILEGE_NONE && !is_zero(output, "CapBnd:"))
		return false;
	return is_zero(output, "CapPrm:") && is_zero(output, "CapEff:");
}

static bool keeps_privileges(const struct proof *proof, const char *output)
{
	bool is_none = proof->settings.privilege == ISP_PRIVILEGE_NONE;

	return fact_is(output, "NoNewPrivs:", is_none ? "1" : "0");
}

static bool keeps_filter(const struct proof *proof, const char *output)
{
	(void)proof;
	return fact_is(output, "Seccomp:", "2");
}

static bool keeps_init(const struct proof *proof, const char *output)
{
	(void)proof;
	return fact_is(output, "init", "ispawn-init");
}

static bool keeps_processes(const struct proof *proof, const char *output)
{
	(void)proof;
	return strstr(output, "\nprove process ispawn-init") &&
	       !strstr(output, "\nprove process ispawnctl") &&
	       !strstr(output, "\nprove process ispawn-supervi");
}

static bool keeps_root(const struct proof *proof, const char *output)
{
	char inside[FACT_SIZE];
	char outside[FACT_SIZE];
	struct stat st;

	(void)proof;
	if (!fact(output, "root", inside) || !strchr(inside, ':') || stat("/", &st) != 0)
		return false;
	(void)snprintf(outside, sizeof(outside), "%ju:%ju", (uintmax_t)st.st_dev,
		       (uintmax_t)st.st_ino);
	return strcmp(inside, outside) != 0 && fact_is(output, "marker", "none");
}

static const struct {
	const char *words;
	bool (*is_kept)(const struct proof *proof, const char *output);
} promises[] = {
	{"the uid is the user's, or 0 with privilege = root", keeps_uid},
	{"all namespaces are its own, but for network = host", keeps_namespaces},
	{"no capability of the host's", keeps_capabilities},
	{"no new privileges, unless privilege gives some", keeps_privileges},
	{"system calls are filtered", keeps_filter},
	{"process 1 is ispawn-init", keeps_init},
	{"no process of the host's is visible", keeps_processes},
	{"the root file system is not the host's", keeps_root},
};

/* --- ways in ---------------------------------------------------------------------------------- */

static void tell(struct proof *proof, const char *way, const char *promise, bool is_kept)
{
	if (is_kept)
		doctor_ok("%s: %s", way, promise);
	else
		doctor_fail(&proof->doctor, "see ispawnctl explain, and the log", "%s: NOT so: %s",
			    way, promise);
}

static void tell_network(struct proof *proof, const char *way)
{
	bool is_reached = was_reached(proof);

	if (proof->settings.network == ISP_NETWORK_HOST)
		doctor_note("%s: network = host, and the host's loopback was %s", way,
			    is_reached ? "reached" : "not tried");
	else
		tell(proof, way, "the host's loopback is out of reach", !is_reached);
}

/* Nothing printed its last fact: whoever is denied gets no further. */
static void tell_denied(struct proof *proof, const char *way, const char *output, int status)
{
	size_t size = strcspn(output + strspn(output, "\r\n"), "\r\n");
	char line[200];
	char escaped[240];

	(void)snprintf(line, sizeof(line), "%.*s", (int)size, output + strspn(output, "\r\n"));
	isp_escape(escaped, sizeof(escaped), line);
	doctor_fail(&proof->doctor, "see ispawnctl explain, and the log",
		    "%s: the login did not get as far as a program (status %d): %s", way, status,
		    escaped);
}

static void judge_login(struct proof *proof, const char *way, const char *output, int status)
{
	if (!fact_is(output, "done", "yes")) {
		tell_denied(proof, way, output, status);
		return;
	}
	for (size_t i = 0; i < ISP_ARRAY_SIZE(promises); i++)
		tell(proof, way, promises[i].words, promises[i].is_kept(proof, output));
	tell_network(proof, way);
}

/* @as: who runs the program; NULL: root */
static void log_in(struct proof *proof, const char *way, const char *const argv[],
		   const struct isp_subject *as)
{
	const struct program program = {.argv = argv, .as = as, .timeout_ms = LOGIN_MS};
	cleanup_free char *output = NULL;
	struct isp_error err = {0};
	int status = 0;

	(void)fflush(stdout); /* Ignored: the child writes nothing of ours either way */
	if (program_run(&program, &output, &status, &err) < 0)
		doctor_fail(&proof->doctor, "see ispawnctl explain, and the log", "%s: %s", way,
			    err.text);
	else
		judge_login(proof, way, output, status);
}

static void by_su(struct proof *proof)
{
	const char *user = proof->account.subject.user;
	const char *const plain[] = {"/usr/bin/su", "-c", proof->command, "--", user, NULL};
	const char *const login[] = {"/usr/bin/su", "-c", proof->command, "-l", "--", user, NULL};

	log_in(proof, "su", plain, NULL);
	log_in(proof, "su -", login, NULL);
}

static void by_door(struct proof *proof)
{
	const char *const argv[] = {ISPAWN_SHELL, "-c", proof->command, NULL};

	if (proof->account.is_door_open)
		log_in(proof, "door", argv, &proof->account.subject);
	else
		doctor_note("door: nobody listens at " ISPAWN_DOOR_SOCKET);
}

#define SSH_OPTIONS                                                                                \
	"/usr/bin/ssh", "-F", "none", "-i", proof->identity, "-o", "IdentitiesOnly=yes", "-o",     \
		"BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o",                           \
		"UserKnownHostsFile=/dev/null", "-o", "GlobalKnownHostsFile=/dev/null", "-o",      \
		"LogLevel=ERROR", "-o", "ConnectTimeout=10", "-p", port, "-l",                     \
		proof->account.subject.user

/* Nobody answers at the listener: an ssh that has got there stays, until its time is over. */
static void jump(struct proof *proof, const char *const argv[])
{
	const struct program program = {.argv = argv, .timeout_ms = JUMP_MS};
	cleanup_free char *output = NULL;
	struct isp_error err = {0};
	int status = 0;
	int r = program_run(&program, &output, &status, &err);

	if (r < 0 && r != -ETIMEDOUT)
		doctor_fail(&proof->doctor, "see the log", "ssh -W: %s", err.text);
	else
		tell_network(proof, "ssh -W");
}

static void by_ssh(struct proof *proof)
{
	cleanup_sshd struct sshd sshd = {.is_installed = false};
	char port[16] = "22";
	char target[32];
	const char *const shell[] = {SSH_OPTIONS, "localhost", proof->command, NULL};
	const char *const forward[] = {SSH_OPTIONS, "-W", target, "localhost", NULL};

	if (!proof->identity) {
		doctor_note("ssh: needs --identity FILE, a private key that lets the user in");
		return;
	}
	sshd_ask(proof->account.subject.user, "127.0.0.1", &sshd);
	if (sshd.err.code == 0 && sshd_value(&sshd, "port", NULL))
		(void)snprintf(port, sizeof(port), "%s", sshd_value(&sshd, "port", NULL));
	(void)snprintf(target, sizeof(target), "127.0.0.1:%u", proof->port); /* fits */
	log_in(proof, "ssh", shell, NULL);
	jump(proof, forward);
}

/* --- all -------------------------------------------------------------------------------------- */

static int prepare(struct proof *proof, const char *user, struct isp_error *err)
{
	char script[sizeof(proof->command) - 32];
	int r = account_find(user, &proof->account, err);

	if (r < 0)
		return r;
	if (!isp_name_is_safe(proof->account.subject.user))
		return isp_err_set(err, EINVAL, ISP_STAGE_SUBJECT,
				   "not a name that can be confined");
	service_examine(&proof->account, "su", &proof->policy);
	if (!proof->policy.is_decided)
		return isp_err_adopt(err, &proof->policy.err);
	proof->settings = proof->policy.decision.settings;
	r = listen_here(proof, err);
	if (r == 0)
		r = make_marker(proof, err);
	(void)snprintf(script, sizeof(script), SCRIPT, proof->marker, proof->port); /* fits */
	/* The login shell may be anybody's; the script is /bin/sh's. */
	(void)snprintf(proof->command, sizeof(proof->command), "exec /bin/sh -c '%s'", script);
	return r;
}

static void clean_up(struct proof *proof)
{
	isp_fd_close(&proof->listener_fd);
	if (proof->marker[0])
		(void)unlink(proof->marker); /* Ignored: it is empty, and says whose it is */
	service_free(&proof->policy);
	account_free(&proof->account);
}

int prove_run(const char *user, const char *identity)
{
	static struct proof proof; /* large */
	struct isp_error err = {0};
	int status = STATUS_FAILED;

	proof.listener_fd = -EBADF;
	proof.identity = identity;
	if (prepare(&proof, user, &err) < 0) {
		status = say_error(&err);
	} else if (proof.account.subject.uid == 0) {
		say("root is never confined, and there is nothing to prove");
	} else {
		by_su(&proof);
		by_door(&proof);
		by_ssh(&proof);
		status = proof.doctor.failures == 0 ? STATUS_OK : STATUS_FAILED;
	}
	clean_up(&proof);
	return status;
}
