/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * drop.c - giving up rights, in an order that leaves none to take them back
 *
 *	1. keyring	Threat: keys are shared by uid, not by container
 *	2. limits	no core: a core_pattern pipe would run on the host
 *	3. bounding set, securebits (need CAP_SETPCAP)
 *	4. seccomp	Order: while CAP_SYS_ADMIN is still there, because with privilege sudo or
 *			root no_new_privs must stay off; the filter allows what follows
 *	5. groups, gid, uid
 *	6. capabilities, no_new_privs
 *	7. parent-death signal again: changing ids has cleared it (prctl(2)); and not dumpable
 *	   again: it has set that to what fs.suid_dumpable says, which may be 1
 */
#include "ispawn/base/fd.h"
#include "ispawn/base/sys.h"
#include "ispawn/container/builder.h"
#include "ispawn/container/caps.h"
#include "ispawn/container/seccomp.h"

#include <grp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

static int fail(struct isp_error *err, const char *what)
{
	return isp_err_set(err, errno, ISP_STAGE_DROP, "%s", what);
}

int isp_drop_become_container_root(struct isp_builder *b, struct isp_error *err)
{
	/* Until here the ids were the host root's, which mean nothing in this user namespace. */
	if (!b->spec->has_one_id && setgroups(0, NULL) != 0)
		return fail(err, "empty the group list");
	if (setresgid(0, 0, 0) != 0 || setresuid(0, 0, 0) != 0)
		return fail(err, "become the container's root");
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
		return fail(err, "set the parent-death signal");
	return 0;
}

int isp_drop_limits(struct isp_builder *b, struct isp_error *err)
{
	/* Kernel: core(5), do_coredump(): 0 does not keep a core from a program that core_pattern
	 * names, which would run on the host; 1 does, and is too little for a file. */
	const struct rlimit none = {1, 1};

	(void)b;
	if (isp_sys_join_new_session_keyring() < 0 && errno != ENOSYS)
		return fail(err, "join a new session keyring");
	if (setrlimit(RLIMIT_CORE, &none) != 0)
		return fail(err, "set the core limit");
	/* Kernel: ignored errno ENOSYS above: built without CONFIG_KEYS, nothing to share. */
	return 0;
}

/* The ids and capabilities that the tenant starts with. */
struct identity {
	uid_t uid;
	gid_t gid;
	uint64_t capabilities, bounding;
};

static struct identity tenant_identity(const struct isp_spec *spec)
{
	switch (spec->privilege) {
	case ISP_PRIVILEGE_ROOT:
		return (struct identity){0, 0, spec->capabilities, spec->capabilities};
	case ISP_PRIVILEGE_SUDO:
		return (struct identity){spec->uid, spec->gid, 0, spec->capabilities};
	case ISP_PRIVILEGE_NONE:
		break;
	}
	return (struct identity){spec->uid, spec->gid, 0, 0};
}

static int drop_ids(const struct isp_spec *spec, const struct identity *id, struct isp_error *err)
{
	gid_t groups[ISP_LIST_MAX];

	for (size_t i = 0; i < spec->group_count; i++)
		groups[i] = spec->groups[i].gid;
	/* Kernel: user_namespaces(7), setgroups: who maps his own id alone may not, and keeps his
	 * groups.  Whoever asked for such a container has been told. */
	if (!spec->has_one_id && setgroups(spec->group_count, groups) != 0)
		return fail(err, "set the supplementary groups");
	if (setresgid(id->gid, id->gid, id->gid) != 0)
		return fail(err, "set the group id");
	if (setresuid(id->uid, id->uid, id->uid) != 0)
		return fail(err, "set the user id");
	return 0;
}

int isp_drop_privileges(struct isp_builder *b, struct isp_error *err)
{
	const struct identity id = tenant_identity(b->spec);
	bool is_final = b->spec->privilege == ISP_PRIVILEGE_NONE;
	int r = isp_caps_drop_bounding(id.bounding, err);

	if (r == 0)
		r = isp_caps_lock_securebits(is_final, err);
	if (r == 0)
		r = isp_seccomp_load(b->spec->seccomp, b->profile.code, b->profile.count, err);
	b->is_profiled = r == 0 && !isp_seccomp_is_built_in(b->spec->seccomp);
	if (r == 0)
		r = drop_ids(b->spec, &id, err);
	if (r == 0)
		r = isp_caps_apply(id.capabilities, id.bounding, err);
	if (r < 0)
		return r;
	if (is_final && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return fail(err, "set no_new_privs");
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
		return fail(err, "set the parent-death signal again");
	/* Threat: the caller goes on as this process, and a tenant that may trace it has what it
	 * holds: its memory and its socket. */
	if (prctl(PR_SET_DUMPABLE, 0) != 0)
		return fail(err, "stay non-dumpable");
	return 0;
}

/* Nothing that was given up may come back: try it. */
static int prove_ids(const struct isp_spec *spec, const struct identity *id, struct isp_error *err)
{
	uid_t uids[3];
	gid_t gids[3];
	gid_t groups[ISP_LIST_MAX + 1];
	int count = spec->has_one_id ? 0 : getgroups(ISP_LIST_MAX + 1, groups);

	if (getresuid(&uids[0], &uids[1], &uids[2]) != 0 ||
	    getresgid(&gids[0], &gids[1], &gids[2]) != 0)
		return isp_err_set(err, errno, ISP_STAGE_PROVE, "read the ids back");
	for (size_t i = 0; i < 3; i++)
		if (uids[i] != id->uid || gids[i] != id->gid)
			return isp_err_set(err, EPERM, ISP_STAGE_PROVE, "an id was not dropped");
	if (count < 0 || (size_t)count != spec->group_count)
		return isp_err_set(err, EPERM, ISP_STAGE_PROVE, "a group was not dropped");
	if (id->uid != 0 && (setresuid((uid_t)-1, 0, (uid_t)-1) == 0 ||
			     setresgid((gid_t)-1, 0, (gid_t)-1) == 0 || setgroups(0, NULL) == 0))
		return isp_err_set(err, EPERM, ISP_STAGE_PROVE, "root's ids could be taken back");
	return 0;
}

int isp_prove_drops(struct isp_builder *b, struct isp_error *err)
{
	const struct identity id = tenant_identity(b->spec);
	int r = prove_ids(b->spec, &id, err);

	if (r == 0)
		r = isp_caps_verify(id.capabilities, id.bounding, err);
	if (r == 0)
		r = isp_seccomp_verify(err);
	if (r < 0)
		return r;
	if (b->spec->privilege == ISP_PRIVILEGE_NONE && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		return isp_err_set(err, EPERM, ISP_STAGE_PROVE, "no_new_privs is off");
	if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
		return isp_err_set(err, EPERM, ISP_STAGE_PROVE, "the process is dumpable");
	if (unshare(CLONE_NEWUSER) == 0 || unshare(CLONE_NEWNS) == 0)
		return isp_err_set(err, EPERM, ISP_STAGE_PROVE, "a namespace could be made");
	return 0;
}
