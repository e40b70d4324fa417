/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ispawnctl-ways.c - every way in; contract in ispawnctl-host.h
 *
 * Services that run the login shell (su, login) are where the shell is.  All others, cron and
 * systemd --user above all, run programs of their own choice after opening a session: there the
 * module can deny and cannot confine, whatever `services` says.
 */
#include "ispawnctl-host.h"

#include "ispawn/base/fd.h"

#include <stdio.h>
#include <sys/stat.h>

/* Services that start nothing for the user, or only when root asks. */
static const char *const harmless[] = {
	"chage", "chfn",   "chpasswd", "chsh",    "groupadd",  "groupdel", "groupmod", "newusers",
	"other", "passwd", "polkit-1", "runuser", "runuser-l", "useradd",  "userdel",  "usermod",
};

/* Judged by name above or below. */
static const char *const known[] = {
	"sshd", "su", "su-l", "login", "remote", "cron", "crond", "atd", "systemd-user",
};

struct way *ways_add(struct ways *ways, const char *name, const char *what)
{
	struct way *way;

	if (ways->count < WAYS_MAX)
		ways->count++;
	way = &ways->items[ways->count - 1];
	memset(way, 0, sizeof(*way));
	(void)snprintf(way->name, sizeof(way->name), "%s", name);
	way->what = what;
	verdict_set(&way->verdict, PLACE_HOST, "", "not judged");
	return way;
}

/* --- services that run the login shell -------------------------------------------------------- */

static bool is_su(const char *name)
{
	return strncmp(name, "su", 2) == 0;
}

/* su(1): --shell is for everybody when the user's own shell stands in /etc/shells.  The module
 * forbids all other programs then; ispawn-shell or nologin alone cannot. */
static void judge_su_shell(const struct account *account, const struct service *service,
			   struct verdict *v)
{
	if (service->session.place == PLACE_HOST && v->place != PLACE_HOST &&
	    is_listed_shell(account->subject.shell))
		verdict_set(v, PLACE_HOST,
			    "take the user's shell out of /etc/shells, or add the PAM line to su",
			    "su --shell runs any other shell, since /etc/shells lists the user's");
}

static void add_login(const struct account *account, const char *name, const char *what,
		      struct ways *ways)
{
	struct verdict *v = &ways_add(ways, name, what)->verdict;
	struct service service;

	service_examine(account, name, &service);
	account_login(account, &service, v);
	if (is_su(name))
		judge_su_shell(account, &service, v);
	service_free(&service);
}

/* --- services that run what they like --------------------------------------------------------- */

static void judge_foreign(const struct account *account, const char *name,
			  const struct service *service, struct verdict *v)
{
	*v = service->session;
	if (v->place != PLACE_CONFINED)
		return;
	/* atd runs jobs by /bin/sh, and is daemon's by its real uid: as for su when a user has
	 * called it, what is not covered cannot be executed (pam_ispawn(8)). */
	if (strcmp(name, "at") == 0 && !account->is_shell_sh)
		verdict_set(v, PLACE_DENIED, "",
			    "in a session that \"%s\" opens, \"/bin/sh\" cannot be executed",
			    service->name);
	else if (strcmp(name, "at") != 0)
		verdict_set(v, PLACE_HOST, "take the service out of `services` in ispawn.conf",
			    "\"%s\" does not run the login shell, which is what is covered: its "
			    "programs run on the host",
			    service->name);
}

static void add_foreign(const struct account *account, const char *name, const char *service_name,
			const char *what, struct ways *ways)
{
	struct verdict *v = &ways_add(ways, name, what)->verdict;
	struct service service;

	service_examine(account, service_name, &service);
	judge_foreign(account, name, &service, v);
	jobs_judge(&account->subject, name, v);
	service_free(&service);
}

static bool exists(const char *path)
{
	return access(path, F_OK) == 0;
}

/* Two of one way stand together: the one that is there counts. */
static const struct scheduler {
	const char *way, *what, *service, *program;
} schedulers[] = {
	{"cron", "crontab(5)", "cron", "/usr/sbin/cron"},
	{"cron", "crontab(5)", "crond", "/usr/sbin/crond"},
	{"at", "at(1) and batch(1)", "atd", "/usr/sbin/atd"},
	/* Where no systemd is PID 1, nobody starts user@.service. */
	{"systemd-user", "systemd --user", "systemd-user", "/run/systemd/system"},
};

static void add_schedulers(const struct account *account, struct ways *ways)
{
	for (size_t i = 0; i < ISP_ARRAY_SIZE(schedulers); i++) {
		const struct scheduler *s = &schedulers[i];
		bool is_known =
			ways->count > 0 && strcmp(ways->items[ways->count - 1].name, s->way) == 0;

		if (is_known && exists(s->program))
			ways->count--; /* the other one of two is there */
		else if (is_known)
			continue;
		if (exists(s->program))
			add_foreign(account, s->way, s->service, s->what, ways);
		else
			verdict_set(&ways_add(ways, s->way, s->what)->verdict, PLACE_DENIED, "",
				    "it does not run here: no \"%s\"", s->program);
	}
}

/* --- whatever else stands in /etc/pam.d ------------------------------------------------------- */

static bool is_among(const char *name, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

/* Debian's common-*, Fedora's *-auth and postlogin are there to be included. */
static bool is_part(const char *name)
{
	size_t size = strlen(name);

	return strncmp(name, "common-", 7) == 0 || strcmp(name, "postlogin") == 0 ||
	       (size > 5 && strcmp(name + size - 5, "-auth") == 0);
}

static void add_service(const struct account *account, const char *name, struct ways *ways)
{
	char way[80];

	if (!isp_name_is_safe(name) || is_part(name) ||
	    is_among(name, harmless, ISP_ARRAY_SIZE(harmless)) ||
	    is_among(name, known, ISP_ARRAY_SIZE(known)))
		return;
	(void)snprintf(way, sizeof(way), "service:%.*s", ISP_NAME_MAX, name);
	add_foreign(account, way, name, "a PAM service", ways);
}

static int add_services(const struct account *account, struct ways *ways, struct isp_error *err)
{
	cleanup_closedir DIR *dir = opendir("/etc/pam.d");
	struct dirent *entry = NULL;
	int r;

	if (!dir)
		return isp_err_set(err, errno, ISP_STAGE_CONFIG, "list \"/etc/pam.d\"");
	while ((r = isp_fd_next(dir, &entry)) == 1)
		if (entry->d_name[0] != '.')
			add_service(account, entry->d_name, ways);
	if (r < 0)
		return isp_err_set(err, -r, ISP_STAGE_CONFIG, "list \"/etc/pam.d\"");
	return 0;
}

/* --- all -------------------------------------------------------------------------------------- */

/* OpenSSH 9.9 lets sshd_config choose the service. */
static const char *ssh_service(const struct sshd *sshd)
{
	const char *name = sshd_value(sshd, "pamservicename", NULL);

	return name ? name : "sshd";
}

int ways_find(const struct account *account, const struct sshd *sshd, struct ways *ret_ways,
	      struct isp_error *err)
{
	struct service service;

	service_examine(account, ssh_service(sshd), &service);
	ways_of_ssh(account, sshd, &service, ret_ways);
	service_free(&service);
	add_login(account, "su", "su USER", ret_ways);
	add_login(account, "su-l", "su - USER", ret_ways);
	add_login(account, "login", "the console", ret_ways);
	add_schedulers(account, ret_ways);
	account_door(account, &ways_add(ret_ways, "door", "the socket of ispawn-shell")->verdict);
	return add_services(account, ret_ways, err);
}
