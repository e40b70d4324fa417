# SPDX-License-Identifier: GPL-3.0-or-later
"""Logins on the reference platform: what systemd, logind and the kernel make of them, and of us."""
import json

import pexpect

from vm_host import CGROUP, wait_until

KINDS = ("user", "mnt", "pid", "uts", "ipc", "net", "cgroup")

INSIDE = r"""
id=$(id -un):$(id -u):$(id -gn); echo "id=$id"
for kind in user mnt pid uts ipc net cgroup; do echo "$kind=$(readlink /proc/self/ns/$kind)"; done
while read -r key value; do
	case $key in NoNewPrivs:|Seccomp:|CapEff:|CapBnd:) echo "${key%:}=$value" ;; esac
done < /proc/self/status
read -r first < /proc/1/comm; echo "first=$first"
read -r login < /proc/self/loginuid; echo "loginuid=$login"
read -r cgroup < /proc/self/cgroup; echo "place=$cgroup"
echo "hostname=$(hostname)"
echo "runtime=${XDG_RUNTIME_DIR-unset} bus=${DBUS_SESSION_BUS_ADDRESS-unset} session=${XDG_SESSION_ID-unset}"
echo "run=$(cd /run && echo *)"
echo "links=$(cd /sys/class/net 2>/dev/null && echo * || ip -br link | wc -l)"
"""

HOLD = "(dd if=/dev/zero bs=20M count=1 status=none | sleep 1000) > /dev/null 2>&1 &"


def cgroup_of(vm, pid):
    return vm.root(f"cat /proc/{pid}/cgroup").removeprefix("0::")


def test_a_login_is_confined_on_linux_6_1(vm):
    assert vm.root("uname -r").startswith("6.1.")
    facts = vm.facts("guest", INSIDE)
    host = dict(zip(KINDS, vm.root(f"cd /proc/1/ns; readlink {' '.join(KINDS)}").split()))
    assert facts["id"] == "guest:1000:guest"
    assert [kind for kind in KINDS if facts[kind] == host[kind]] == []
    assert (facts["NoNewPrivs"], facts["Seccomp"]) == ("1", "2")
    assert int(facts["CapEff"], 16) == int(facts["CapBnd"], 16) == 0
    assert facts["first"] == "ispawn-init"
    assert facts["hostname"] == "guest-vmtest"
    # pitfall 48: audit's idea of who this is survives
    assert facts["loginuid"] == "1000"
    # pitfalls 8 and 10: what pam_systemd gave to the login stays outside
    assert facts["runtime"] == "unset bus=unset session=unset"
    assert not {"systemd", "dbus", "user"} & set(facts["run"].split())


def test_init_cannot_be_traced_whatever_the_host_s_dumps_are_like(vm):
    # Kernel: proc(5), fs.suid_dumpable: 1, for debugging, makes whoever changes his ids dumpable again
    look = "for file in exe root cwd fd; do ls -l /proc/1/$file > /dev/null 2>&1 && echo $file; done; cat /proc/1/environ"
    try:
        for value in (1, 2, 0):
            vm.root(f"sysctl -qw fs.suid_dumpable={value}")
            done = vm.ssh("guest", look)
            assert done.stdout == "" and "Permission denied" in done.stderr, (value, done)
    finally:
        vm.root("sysctl -qw fs.suid_dumpable=0")


def test_free_users_are_as_they_were(vm):
    facts = vm.facts("free", INSIDE)
    host = vm.root("cd /proc/1/ns; readlink user mnt net cgroup").split()
    assert [facts[kind] for kind in ("user", "mnt", "net", "cgroup")] == host
    assert facts["first"] == "systemd"
    assert facts["runtime"].startswith("/run/user/1002 bus=unset session=")


def test_who_is_in_which_cgroup(vm):
    # The scope that pam_systemd made keeps what serves the login; the rest is where it is counted.
    with vm.session("guest"):
        session, = vm.sessions()
        assert cgroup_of(vm, vm.pid("ispawn-supervisor")) == "/ispawn/.supervisors"
        assert cgroup_of(vm, vm.pid("ispawn-init")) == f"/ispawn/guest/{session}"
        scope = vm.root("cd /sys/fs/cgroup/user.slice/user-1000.slice; for pid in $(cat session-*.scope/cgroup.procs);"
                        " do stat -L -c %i /proc/$pid/exe; done; stat -c %i /usr/sbin/sshd /usr/bin/ispawn-shell")
        *serving, sshd, shell = scope.split()
        assert sorted(serving) == sorted([sshd, sshd, shell]) # its monitor, its child, and what the user executed
        assert vm.root(f"wc -l < {CGROUP}/guest/{session}/cgroup.procs") == "2"
        assert vm.root(f"cat {CGROUP}/guest/cgroup.procs {CGROUP}/cgroup.procs") == ""


def test_the_container_is_born_in_its_cgroup(vm):
    # CLONE_INTO_CGROUP: the kernel moves nobody, neither the container nor its supervisor, which
    # would wait for a grace period.  A process of the test's own is moved, so the tracer sees it.
    vm.root("cd /sys/kernel/tracing; echo > trace; echo 1 > events/cgroup/cgroup_attach_task/enable")
    try:
        vm.sh("guest", "true")
        vm.root("mkdir -p /sys/fs/cgroup/ispawn-moved; (echo 0 > /sys/fs/cgroup/ispawn-moved/cgroup.procs)")
        moves = vm.root("grep dst_path=/ispawn /sys/kernel/tracing/trace")
    finally:
        vm.root("cd /sys/kernel/tracing; echo 0 > events/cgroup/cgroup_attach_task/enable; echo > trace;"
                " rmdir /sys/fs/cgroup/ispawn-moved")
    assert "dst_path=/ispawn-moved" in moves
    assert "dst_path=/ispawn/" not in moves


def test_logout_leaves_nothing_of_logind_s(vm):
    with vm.session("guest"):
        assert "guest" in vm.root("loginctl list-sessions --no-legend")
    assert not vm.wait_clean()
    wait_until(lambda: "guest" not in vm.root("loginctl list-users --no-legend; loginctl list-sessions --no-legend"),
               "logind to forget the user")
    units = vm.root("systemctl list-units --no-legend 'session-*.scope' 'user-1000.slice' "
                    "'user-runtime-dir@1000.service'")
    assert "abandoned" not in units and "1000" not in units and "guest" not in units
    assert vm.root("ls -d /run/user/1000 /sys/fs/cgroup/user.slice/user-1000.slice 2>/dev/null; true") == ""


def test_background_programs_do_not_outlive_the_login(vm):
    vm.sh("guest", "nohup sleep 1000 > /dev/null 2>&1 & setsid -f sleep 1001 > /dev/null 2>&1 < /dev/null")
    assert not vm.wait_clean()


def test_no_user_manager_for_confined_users(vm, log):
    # pitfall 8: by hand, and by lingering, which starts it at boot and without any login
    with vm.session("guest"):
        assert vm.root("systemctl is-active user@1000.service", check=False) == "failed"
    assert vm.root("systemctl start user@1001.service && echo runs", check=False) == ""
    assert 'user="student"' in log() and "systemd-user" in log()
    assert vm.explained("guest")["systemd-user"] == vm.explained("student")["systemd-user"] == "denied"
    try:
        vm.root("loginctl enable-linger guest")
        assert vm.root("systemctl is-active user@1000.service", check=False) != "active"
        assert vm.root("pgrep -u guest; true") == ""
    finally:
        vm.root("loginctl disable-linger guest; systemctl reset-failed")


def test_free_users_have_their_manager(vm):
    with vm.session("free"):
        assert vm.root("systemctl is-active user@1002.service") == "active"
    assert vm.explained("free")["systemd-user"] == "HOST"


def test_su_and_login_confine_too(vm, log):
    assert vm.root("su - guest -c 'hostname; readlink /proc/self/ns/pid'").split()[0] == "guest-vmtest"
    child = vm.terminal("root", "exec login -f guest")
    child.expect(r"[$#] ")
    child.sendline("hostname; tty; echo status '$'?")
    child.expect("guest-vmtest\r\n/dev/pts/0\r\n")
    child.sendline("exit")
    child.expect(pexpect.EOF)
    child.close()
    text = log()
    assert 'service="login"' in text and 'service="su' in text


def test_who_shows_the_host_s_terminal(vm):
    # pitfall 47: recorded is what an administrator can look for; the tenant's own is inside
    child = vm.terminal("guest", "tty; read line")
    child.expect(r"/dev/pts/0\r\n")
    shown = vm.root("who")
    assert "guest" in shown and "pts/" in shown and "10.0.2.2" in shown
    child.sendline("")
    child.expect(pexpect.EOF)
    child.close()


def test_systemd_leaves_our_cgroups_alone(vm):
    # It owns the tree above, and writes to its subtree_control as it likes.
    vm.confine("memory = 96M", "pids = 77", "io_weight = 300")
    with vm.session("guest") as login:
        before = vm.root(f"cd {CGROUP}/guest; cat memory.max pids.max io.weight cgroup.subtree_control")
        vm.root("systemctl daemon-reload; systemctl daemon-reexec; systemctl restart ssh systemd-logind; "
                "systemctl set-property --runtime user.slice CPUWeight=200 IOWeight=50; "
                "systemctl revert user.slice; systemctl start systemd-tmpfiles-clean")
        after = vm.root(f"cd {CGROUP}/guest; cat memory.max pids.max io.weight cgroup.subtree_control")
        assert before == after
        assert before.split("\n", 2)[:2] == [str(96 << 20), "77"]
        assert login.run("echo still here") == "still here"


def test_ispawnctl_tells_of_the_host_and_its_sessions(vm):
    checked = vm.root("ispawnctl check")
    assert [line for line in checked.splitlines() if not line.startswith("ok: ")] == []
    assert "rootfs = overlay" in checked
    with vm.session("guest"), vm.session("student", HOLD):
        wait_until(lambda: int(vm.limit("memory.current", "student")) > 20 << 20, "the student's memory")
        rows = {row["user"]: row for row in json.loads(vm.root("ispawnctl list --json"))}
        assert sorted(rows) == ["guest", "student"]
        for user, row in rows.items():
            assert [row["session"]] == vm.sessions(user)
            assert (row["service"], row["rhost"], row["state"]) == ("sshd", "10.0.2.2", "running")
            assert row["tasks"] == {"guest": 2, "student": 5}[user]
            assert row["cpu_us"] > 0
        assert rows["student"]["memory_bytes"] > rows["guest"]["memory_bytes"] + (16 << 20)
        vm.root("ispawnctl kill guest")
        assert vm.sessions() == []
        assert len(vm.sessions("student")) == 1
