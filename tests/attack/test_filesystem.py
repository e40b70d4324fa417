# SPDX-License-Identifier: GPL-3.0-or-later
"""Mounts, device nodes, /proc and /sys as the tenant finds them, and as the host does not see them."""
import contextlib
import os
import pathlib
import re
import stat
import subprocess

import pytest

from conftest import LAYER, MARK, PLACES
from host import STORE, processes, run

MASKED_FILES = ["kcore", "keys", "key-users", "timer_list", "sched_debug", "latency_stats", "kmsg", "sysrq-trigger"]
MASKED_DIRECTORIES = ["/proc/acpi", "/proc/scsi", "/proc/asound", "/sys/firmware", "/sys/kernel", "/sys/fs/pstore",
                      "/sys/power", "/sys/fs/bpf"]
QUIET = {"/proc": "nosuid nodev noexec", "/sys": "nosuid nodev noexec ro", "/sys/fs/cgroup": "nosuid nodev noexec ro",
         "/dev": "nosuid nodev noexec", "/dev/pts": "nosuid noexec", "/dev/shm": "nosuid nodev noexec",
         "/dev/mqueue": "nosuid nodev noexec", "/tmp": "nosuid nodev", "/run": "nosuid nodev noexec",
         "/home/guest": "nosuid nodev", "/": "nodev", "/proc/sys": "ro nosuid nodev noexec"}


def mount_table(text):
    """Mount point to (options, optional fields); the last one on a mount point is the one in force."""
    found = {}
    for line in text.splitlines():
        fields = line.split()
        found[fields[4]] = (set(fields[5].split(",")), fields[6:fields.index("-")])
    return found


def test_every_mount_is_as_quiet_as_its_use_allows(host, place):
    """Pitfalls 34, 35: nosuid, nodev, noexec, and nodev everywhere but on the device nodes themselves."""
    found = mount_table(host.sh("guest", "cat /proc/self/mountinfo"))
    for target, options in QUIET.items():
        assert set(options.split()) <= found[target][0], (target, found[target])
    loud = {t for t, (options, _) in found.items() if "nodev" not in options}
    assert loud == {"/dev/pts"} | {f"/dev/{n}" for n in ("null", "zero", "full", "random", "urandom", "tty")} | \
        {t for t in loud if found[t][0] >= {"nosuid", "noexec"} and t.startswith("/proc/")}, loud
    assert place == "root" or "nosuid" in found["/"][0]


def test_propagation_ends_at_the_container(host, place):
    """Pitfall 28: no mount inside is shared with, or a slave of, one outside."""
    found = mount_table(host.sh("guest", "cat /proc/self/mountinfo"))
    assert [optional for _, optional in found.values() if optional] == []


@pytest.fixture(name="shared_host")
def make_shared_host():
    """Every mount of the host is shared, as systemd makes them."""
    run("mount", "--make-rshared", "/")
    yield
    run("mount", "--make-rprivate", "/")


@pytest.mark.parametrize("policy", [[], ["home = bind"], ["rootfs = copy", "start_timeout = 5m"], ["rootfs = ephemeral", "home = tmpfs"]],
                         ids=["defaults", "home-bind", "copy", "ephemeral"])
def test_propagation_of_a_shared_host_ends_too(host, shared_host, policy):
    """Pitfall 28: nothing is a peer or a slave of the host's mounts, binds and homes included."""
    pathlib.Path("/srv/spread").mkdir(exist_ok=True)
    host.guest(*policy, "bind = /srv/spread:/spread")
    found = mount_table(host.sh("guest", "cat /proc/self/mountinfo"))
    assert "/spread" in found and "/home/guest" in found
    assert {target: optional for target, (_, optional) in found.items() if optional} == {}


def test_a_later_mount_of_the_host_does_not_arrive(host, shared_host):
    """Pitfall 28: under a read-only bind it would be writable, with devices and all."""
    pathlib.Path("/srv/spread/below").mkdir(parents=True, exist_ok=True)
    host.guest("bind = /srv/spread:/spread:ro", "privilege = root")
    ssh = host.popen("guest", "echo up; read x; ls /spread/below; touch /spread/below/x && echo wrote; echo end")
    assert ssh.stdout.readline() == b"up\n"
    run("mount", "-t", "tmpfs", "-o", "mode=0777", "tmpfs", "/srv/spread/below")
    try:
        pathlib.Path("/srv/spread/below/late").touch()
        out, _ = ssh.communicate(b"\n", timeout=20)
        assert out == b"end\n"
    finally:
        run("umount", "/srv/spread/below")


def test_no_mount_of_a_container_is_seen_by_any_process_of_the_host(host):
    """Pitfall 36: neither in the mount table of PID 1 nor in that of sshd, its children, or a new login."""
    def tables():
        found = {}
        for pid, process in processes().items():
            if process["name"] in ("bash", "sshd", "python3", "host-setup") and process["uid"] == 0:
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ends just now
                    text = pathlib.Path(f"/proc/{pid}/mountinfo").read_text()
                    found[pid] = sorted(line.split()[4] for line in text.splitlines())
        return found
    before = tables()
    with host.open_session("guest"), host.open_session("student"):
        after = tables()
        # A monitor of an earlier login may have been ending: those that stay are asked.
        assert len(before.keys() & after.keys()) >= 2
        for pid in before.keys() & after.keys():
            assert after[pid] == before[pid]
        # The login's own sshd has one more, the cover: a file over a file.
        for mounts in after.values():
            assert {m for m in set(mounts) - set(host.base_mounts) if not m.startswith(("/usr/bin/", "/run/ispawn"))} \
                == set()
        assert host.sh("free", "cut -d' ' -f2 /proc/self/mounts").split() and \
            sorted(host.sh("free", "cut -d' ' -f2 /proc/self/mounts").split()) == sorted(host.base_mounts)


def test_machine_files_of_proc_and_sys_are_masked(host, place):
    """Pitfall 30: by the null device, verified as such, or by an empty read-only directory."""
    script = "".join(f"test ! -e /proc/{n} || stat -c '%F %t:%T' /proc/{n}; " for n in MASKED_FILES)
    assert set(host.sh("guest", script).splitlines()) == {"character special file 1:3"}
    script = "".join(f"test ! -d {n} || {{ ls -A {n}; touch {n}/x 2>/dev/null && echo written {n}; }}; "
                     for n in MASKED_DIRECTORIES)
    assert host.sh("guest", script + "true") == ""


def test_sysctls_and_the_like_are_read_only(host, place):
    done = host.ssh("guest", "find /proc/sys /proc/irq /proc/bus /proc/fs /sys -type f -writable 2>/dev/null | "
                             "while read f; do (: > $f) 2>/dev/null && echo $f; done; echo looked")
    assert done.stdout == b"looked\n", done.stdout[-1000:]


def test_proc_is_the_containers_own(host, place):
    """Pitfall 31, CVE-2019-16884: a real procfs, of this PID namespace, at /proc and /proc/self alike."""
    done = host.sh("guest", "stat -f -c %T /proc /proc/self /proc/self/attr /proc/sys; ls -d /proc/[0-9]* | wc -l")
    assert done.split()[:4] == ["proc"] * 4 and int(done.split()[4]) < 12


def test_device_nodes_are_the_six_and_the_hosts_numbers(host, place):
    """Pitfall 30."""
    done = host.sh("guest", "cd /dev; stat -c '%n %F %t:%T' null zero full random urandom tty; for f in *; do "
                            "test -b $f -o -c $f && test ! -L $f && echo -n \"$f \"; done")
    lines = done.splitlines()
    assert [line.split()[-1] for line in lines[:6]] == ["1:3", "1:5", "1:7", "1:8", "1:9", "5:0"]
    assert lines[6].split() == ["full", "null", "random", "tty", "urandom", "zero"]


def test_cve_2025_31133_dev_null_replaced_from_inside(host, root_inside):
    """Pitfall 30: root inside may not take a node away, and a new login has fresh ones whatever the copy says."""
    done = host.ssh("guest", "rm -f /dev/null /dev/zero; mv /dev/full /dev/f2; ln -sf /proc/sysrq-trigger /dev/null; "
                             "umount /dev/null; mount --bind /etc/hosts /dev/null; chmod 0 /dev/null; "
                             "stat -c '%F %t:%T' /dev/null /dev/zero /dev/full")
    assert done.stdout.splitlines() == [b"character special file 1:3", b"character special file 1:5",
                                        b"character special file 1:7"]
    assert stat.S_IMODE(os.stat("/dev/null").st_mode) == 0o666, "the host's node was changed"


def test_a_hosts_node_that_is_none_denies(host, log):
    """Pitfall 30: number and type are compared before a node goes inside."""
    run("mount", "--bind", "/etc/hostname", "/dev/full")
    try:
        done = host.ssh("guest", "echo ran")
        assert b"ran" not in done.stdout and done.returncode != 0
        assert "/dev/full" in log()
    finally:
        run("umount", "/dev/full")


PLANTED = {"the copy": LAYER / "opt", "the home": STORE / "users/guest/home", "a bind": pathlib.Path("/srv/nodes")}


@pytest.mark.parametrize("where", PLANTED)
def test_device_nodes_planted_from_outside_do_not_open(host, place, where):
    """Pitfall 35: a node that came with a backup or a template is dead; nodev."""
    inside = {"the copy": "/opt/node", "the home": "/home/guest/node", "a bind": "/nodes/node"}[where]
    pathlib.Path("/srv/nodes").mkdir(exist_ok=True)
    host.guest(*PLACES[place], "bind = /srv/nodes:/nodes")
    host.sh("guest", "test -d /opt")
    PLANTED[where].mkdir(exist_ok=True)
    node = PLANTED[where] / "node"
    os.mknod(node, stat.S_IFCHR | 0o666, os.makedev(1, 5))
    os.chmod(node, 0o666)
    try:
        done = host.ssh("guest", f"stat -c %F {inside}; head -c1 {inside} && echo opened")
        assert done.stdout == b"character special file\n", done
        assert b"ermission denied" in done.stderr
    finally:
        node.unlink()


def output_of(user, program):
    """What the program prints when a process of that user on the host executes it."""
    with contextlib.suppress(PermissionError, FileNotFoundError):
        return subprocess.run([str(program)], user=user, group=user, extra_groups=[], check=False,
                              capture_output=True).stdout
    return b""


def test_cve_2023_0386_setuid_files_in_the_store(host, root_inside, compile_c):
    """Pitfall 34: root inside makes setuid-root files; no user of the host gets at them, by no name."""
    program = compile_c('#include <stdio.h>\n#include <unistd.h>\nint main(void) { printf("euid %d\\n", geteuid()); }')
    host.sh("guest", "cat > /opt/planted && cp /opt/planted /home/guest/planted && "
                     "chmod 4755 /opt/planted /home/guest/planted", input=program)
    try:
        on_disk = LAYER / "opt/planted"
        info = on_disk.stat()
        assert info.st_mode & stat.S_ISUID, "nothing was planted"
        for directory in (STORE, STORE / "users", STORE / "users/guest"):
            assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        with host.open_session("guest"):
            init, = host.pids("ispawn-init")
            names = [on_disk, STORE / "users/guest/home/planted", f"/proc/{init}/root/opt/planted"]
            names += [f"/proc/{pid}/root/opt/planted" for pid, p in processes().items() if p["command"] == "cat "]
            for user in ("free", "guest"):
                for name in names:
                    assert b"euid 0" not in output_of(user, name), (user, name)
        # As an ordinary user inside, from the home: nosuid there even where the copy is not.
        assert host.sh("guest", "su guest -s /bin/sh -c '/home/guest/planted; /opt/planted'").split("\n") == \
            ["euid 1001", "euid 0"]
    finally:
        host.sh("guest", "rm -f /opt/planted /home/guest/planted")


def test_mark_of_the_host_is_nowhere(host, place):
    assert host.sh("guest", f"find / -xdev -name '{MARK.name}' 2>/dev/null; ls {MARK} 2>/dev/null; echo looked") == "looked"


def test_cgroup_files_are_read_only_and_there_is_no_release_agent(host, place):
    """Pitfall 38, CVE-2022-0492: no hierarchy can be mounted, none that is there written."""
    done = host.ssh("guest", "mkdir -p /tmp/cg; for c in memory pids rdma devices freezer cpu; do "
                             "mount -t cgroup -o $c cgroup /tmp/cg && echo mounted $c; done; "
                             "mount -t cgroup2 none /tmp/cg && echo mounted 2; "
                             "find / -xdev -name release_agent 2>/dev/null; find /sys/fs/cgroup -name release_agent; "
                             "find /sys/fs/cgroup -type f -writable | while read f; do (echo 0 > $f) 2>/dev/null && "
                             "echo wrote $f; done; mkdir /sys/fs/cgroup/x && echo made; echo looked")
    assert done.stdout == b"looked\n", done.stdout


def test_cgroup_paths_tell_nothing_of_the_host(host, place):
    """Pitfall 38: the container's own cgroup is the root of what it sees."""
    for line in host.sh("guest", "cat /proc/self/cgroup").splitlines():
        assert line.split(":", 2)[2] == "/", line
    assert "guest." not in host.sh("guest", "cat /proc/self/mountinfo")
    assert not re.search(r"ispawn/guest", host.sh("guest", "cat /proc/1/cgroup"))
