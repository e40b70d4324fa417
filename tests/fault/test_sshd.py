# SPDX-License-Identifier: GPL-3.0-or-later
"""Through sshd: each step of a start fails by name; sshd's monitor and the client are killed in it."""
import errno
import re

import pytest

from fault import SSH, denial_problems, moments, resume, store_problems, store_problems_of_killed
from host import cgroup_roots

# What the log says when this call of the supervisor's, the builder's or init's fails: the last that
# looks so, or the one whose place among them is given.
STEPS = {
    "read the spec": (r"S pread64 after openat /proc/sys/kernel/cap_last_cap", "stage=spec: read the spec"),
    "private mount namespace": (r"S unshare .*", "stage=rootfs: unshare the mount namespace"),
    "template": (r"S openat default", 'stage=rootfs: template "default"'),
    "store": (r"S mkdirat users", 'stage=rootfs: make "/var/lib/ispawn/users/guest"'),
    "store's lock": (r"S flock 0x6 after openat guest", "stage=rootfs: lock the user's store"),
    "owner": (r"S renameat owner\.new", 'stage=rootfs: read or make ".*/owner"'),
    "machine-id": (r"S renameat machine-id\.new", 'stage=rootfs: read or make ".*/machine-id"'),
    "sweep": (r"S openat sessions", 'stage=registry: open "/run/ispawn/sessions"', 0),
    "registry": (r"S bind .*", 'stage=registry: make "/run/ispawn/sessions/guest'),
    "id ranges": (r"S openat /etc/subuid", "stage=idmap"),
    "cgroup": (r"S mkdirat ID", "stage=cgroup: make"),
    "limits": (r"S openat pids\.max", "stage=cgroup: pids: write"),
    "init's file": (r"S openat ispawn-init", 'stage=init: open ".*/ispawn-init"'),
    "clone": (r"S clone3 .*", "stage=namespaces: clone3 into new namespaces"),
    "user namespace": (r"S openat /proc/N/ns/user", "stage=namespaces: open"),
    "network namespace": (r"S openat /proc/N/ns/net", "stage=namespaces: open"),
    "uid map": (r"S openat /proc/N/uid_map", "stage=idmap: write uid_map"),
    "gid map": (r"S openat /proc/N/gid_map", "stage=idmap: write gid_map"),
    "share": (r"S openat \.", "stage=registry: list the user's sessions"),
    "overlay": (r"S fsopen overlay", "stage=rootfs: overlay"),
    "home": (r"S mkdirat home\.new", 'stage=rootfs: make ".*/home"'),
    "MAPPED": (r"S sendmsg after openat /proc/N/gid_map", "stage=namespaces: tell the builder of its ids"),
    "GO": (r"S sendmsg after openat home\.new", "stage=namespaces: send GO to the builder"),
    "commit": (r"S renameat home\.new", "stage=rootfs: keep the new home directory"),
    "rest": (r"S capget after renameat home\.new", "stage=drop", 0),
    "rest: proof": (r"S capget after renameat home\.new", "stage=prove: read the capabilities"),
    "builder: descriptors": (r"B close_range after start", "stage=init: arrange the builder's descriptors"),
    "builder: wait for its ids": (r"B recvmsg after start", "stage=namespaces: wait for ids"),
    "builder: container root": (r"B setresuid after start", "stage=drop: container root: "),
    "builder: exec": (r"B execveat .*", 'stage=init: execute "ispawn-init"'),
    "builder: private mounts": (r"B mount /", "stage=mounts: private mounts: "),
    "builder: file systems": (r"B fsopen devpts", "stage=mounts: file systems: "),
    "builder: device nodes": (r"B open_tree /dev/zero", "stage=devices: device nodes: "),
    "builder: wait for GO": (r"B recvmsg after open_tree /dev/tty", "stage=namespaces: take over what"),
    "builder: cgroup namespace": (r"B unshare after open_tree /dev/tty", "stage=namespaces: cgroup: unshare"),
    "builder: pivot": (r"B pivot_root .*", "stage=pivot: pivot: "),
    "builder: old root": (r"B umount2 .*", "stage=pivot: pivot: detach"),
    "builder: attach": (r"B move_mount /sys", "stage=mounts: attach: "),
    "builder: mask": (r"B move_mount /proc/keys", "stage=mounts: mask: "),
    "builder: no nested namespaces": (r"B openat sys/user/max_user_namespaces", "stage=mounts: mask: set user"),
    "builder: loopback": (r"B ioctl 0x8914 .*", "stage=network: loopback: "),
    "builder: hostname": (r"B sethostname .*", "stage=identity: hostname: "),
    "builder: identity files": (r"B rename /etc/passwd\.ispawn", "stage=identity: identity files: "),
    "builder: home": (r"B move_mount /home/guest", "stage=identity: home: "),
    "builder: limits": (r"B keyctl .*", "stage=drop: limits: "),
    "builder: drop": (r"B seccomp .*", "stage=seccomp: drop: "),
    "builder: proof": (r"B getresuid .*", "stage=prove: proof: "),
    "init: set-up": (r"B signalfd4 .*", "stage=init: set up the container's init"),
    "init: UP": (r"B sendmsg .*", "stage=init: the container's first process ended without a word"),
}
V1_STEPS = {"container's cgroup": (r"B write after open_tree /dev/tty", "stage=cgroup: cgroup: move the container into its")}


def steps():
    return {**STEPS, **({} if "" in cgroup_roots() else V1_STEPS)}


@pytest.fixture(scope="module", name="by_ssh")
def make_by_ssh(the_fault):
    """Every login's supervisor is under the plan; the calls of a first login by ssh."""
    the_fault.forget()
    with the_fault.instead_of_supervisor():
        login = the_fault.login(door=SSH)
        assert login.ran, login
        the_fault.forget()
        yield the_fault.building(the_fault.login(door=SSH).calls)


@pytest.mark.parametrize("step", steps(), ids=lambda step: re.sub(r"\W+", "-", step))
def test_step_that_fails_denies_and_undoes_all_before_it(fault, by_ssh, step):
    pattern, cause, *which = steps()[step]
    call = [call for call in by_ssh if re.fullmatch(pattern, call.title)][which[0] if which else -1]
    login = fault.login(fault.plan(call, "errno", errno.EIO), door=SSH)
    assert login.fired
    assert not login.ran
    assert not denial_problems(login, cause)
    assert not store_problems(fault)
    assert not fault.left()
    assert fault.host.ssh("root", "true").returncode == 0, "root must get in"


def test_monitor_of_sshd_is_killed(fault, by_ssh):
    for call in moments(by_ssh, 12):
        fault.forget()
        login = fault.login(fault.plan(call, "kill", "A"), door=SSH)
        assert login.fired["A"], call
        assert not login.ran, call
        assert not fault.left(), call
        assert not (problems := store_problems_of_killed(fault)), (call, problems)


@pytest.mark.parametrize("title", ["S mkdirat users", "S clone3 .*", "B pivot_root .*", "B execveat .*"])
def test_ssh_client_is_killed(fault, by_ssh, title):
    call = [call for call in by_ssh if re.fullmatch(title, call.title)][-1]
    mark = fault.host.log_mark()
    process = fault.start(fault.plan(call, "stop", "S"), door=SSH)
    pids = fault.wait_fired()
    process.kill()
    resume(pids["S"])
    login = fault.finish(process, mark)
    assert not login.ran
    assert not fault.left()
    assert not store_problems_of_killed(fault)
