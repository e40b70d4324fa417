# SPDX-License-Identifier: GPL-3.0-or-later
"""`ispawnctl enter`: the administrator's program inside, and the tenants that wait for it there."""
import contextlib
import fcntl
import os
import pathlib
import re
import resource
import socket
import struct
import subprocess

import pytest

from conftest import HERE, PLACES, acting_as
from host import SUBORDINATE_FIRST, cgroup_roots, processes, run, wait_until
from test_socket import REQUEST_MAGIC, TERMIOS_SIZE
from wire import MESSAGE, TYPES, is_dropped, pack, send

ROUNDS = 25
NAMESPACES = ("user", "mnt", "pid", "uts", "ipc", "net", "cgroup")
REDUCED = 0xa80425fb
ENTERED = "echo up; read x"


@pytest.fixture(name="watch")
def make_watch(host, compile_c):
    """Start the watcher in the user's session; a function that ends it and tells what it got."""
    @contextlib.contextmanager
    def start():
        sent = host.ssh("guest", "cat > /var/tmp/watch && chmod 755 /var/tmp/watch",
                        input=compile_c((HERE / "watch.c").read_text()))
        assert sent.returncode == 0, sent.stderr
        assert not host.wait_clean()
        ssh = host.popen("guest", "exec /var/tmp/watch")
        try:
            assert ssh.stdout.readline().startswith(b"0\tup\t")

            def end():
                ssh.stdin.close()
                return [line.decode().rstrip("\n").split("\t") for line in ssh.stdout.readlines()]
            yield end
        finally:
            ssh.kill()
            ssh.wait()
            host.ssh("guest", "rm /var/tmp/watch")
    return start


def enter(*arguments, **kwargs):
    done = run("ispawnctl", "enter", *arguments, **kwargs)
    assert done.returncode == 0, done
    return done.stdout


def attack(end, *arguments):
    """Enter again and again under the watcher's eyes; what it got, without its last line."""
    for number in range(ROUNDS):
        assert enter(*arguments, "guest", "sh", "-c", f"sleep 0.05; echo {number}") == f"{number}\n"
    *got, (_, word, count) = end()
    assert word == "seen" and int(count) >= ROUNDS, "the watcher saw too few processes to have tried"
    return got


def test_cve_2016_9962_roots_program_before_a_user(host, watch):
    """Pitfall 20: a tenant without rights gets nothing of root's program, before its exec or after."""
    with watch() as end:
        assert attack(end, "--root") == []


@pytest.mark.parametrize("root", [["--root"], []], ids=["root", "tenant"])
def test_cve_2019_5736_nothing_of_the_hosts_in_reach(host, watch, root):
    """Pitfalls 19, 20, 21: who holds the same rights may trace the program; it leads nowhere but inside."""
    place = "root" if root else "user"
    host.guest(*PLACES[place])
    with watch() as end:
        got = attack(end, *root)
    programs = {os.path.basename(what) for _, how, what in got if how == "exe"}
    assert programs and programs <= {"dash", "sleep"}, programs
    assert {what for _, how, what in got if how == "root"} <= {"/"}
    assert {what for _, how, what in got if how == "cwd"} <= {"/root" if root else "/home/guest"}
    for _, how, what in got:
        if how == "pidfd_getfd" or how.startswith("fd/"):
            assert re.fullmatch(r"pipe:\[\d+\]|/dev/null|/lib/.*|/usr/lib/.*|/etc/.*", what), (how, what)
    # It could have told: this watcher has the right to trace what it sees.
    assert any(how == "ptrace" for _, how, _ in got)


@contextlib.contextmanager
def entered(*arguments):
    """A program of the administrator's that stays inside; its pid on the host."""
    with subprocess.Popen(["ispawnctl", "enter", *arguments, "guest", "sh", "-c", ENTERED],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as ctl:
        try:
            assert ctl.stdout.readline() == b"up\n"
            inside = set(host_pids(f"sh -c {ENTERED} "))
            yield ctl, inside
        finally:
            ctl.stdin.close()
            ctl.wait(10)


def host_pids(command):
    return [pid for pid, p in processes().items() if p["command"] == command]


def status(pid):
    return dict(re.findall(r"^(\w+):[ \t]*(.*)$", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M))


@pytest.mark.parametrize("root", [["--root"], []], ids=["root", "tenant"])
def test_what_is_entered_is_confined_as_the_others_are(host, root):
    """The same namespaces, the session's cgroups, a filter, no group, no capability beyond the reduced set."""
    with host.open_session("guest"):
        init, = host.pids("ispawn-init")
        with entered(*root) as (_, inside):
            pid, = inside
            found = status(pid)
            for kind in NAMESPACES:
                assert os.readlink(f"/proc/{pid}/ns/{kind}") == os.readlink(f"/proc/{init}/ns/{kind}"), kind
            assert int(found["CapPrm"], 16) == int(found["CapEff"], 16) == (REDUCED if root else 0)
            assert int(found["CapBnd"], 16) == (REDUCED if root else 0)
            assert int(found["CapInh"], 16) == int(found["CapAmb"], 16) == 0
            assert (found["NoNewPrivs"], found["Seccomp"], found["Groups"].strip()) == ("1", "2", "")
            uids = set(found["Uid"].split()) | set(found["Gid"].split())
            assert "0" not in uids
            assert all(int(uid) >= SUBORDINATE_FIRST for uid in uids) if root else found["Uid"].split()[0] == "1001"
            for fd in os.listdir(f"/proc/{pid}/fd"):
                assert os.readlink(f"/proc/{pid}/fd/{fd}").startswith("pipe:"), fd
            for name in cgroup_roots():
                assert cgroup_of(pid, name) == cgroup_of(init, name), name


def cgroup_of(pid, name):
    for line in pathlib.Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if name in controllers.split(",") or (name == "unified" and controllers == "") or controllers == f"name={name}":
            return path
    return None


def test_who_stands_by_has_no_right_of_the_hosts(host):
    """ispawn-enter has a name on the host alone, the container root's rights, and one descriptor that leads out."""
    with host.open_session("guest") as _, entered("--root") as _:
        pid, = host.pids("ispawn-enter")
        init, = host.pids("ispawn-init")
        found = status(pid)
        assert all(int(uid) >= SUBORDINATE_FIRST for uid in found["Uid"].split() + found["Gid"].split())
        assert (int(found["CapPrm"], 16), found["Seccomp"], found["NSpid"]) == (REDUCED, "2", str(pid))
        for kind in ("user", "mnt", "net", "uts", "ipc", "cgroup"):
            assert os.readlink(f"/proc/{pid}/ns/{kind}") == os.readlink(f"/proc/{init}/ns/{kind}")
        assert (os.readlink(f"/proc/{pid}/cwd"), os.readlink(f"/proc/{pid}/root")) == ("/", "/")
        for fd in map(int, os.listdir(f"/proc/{pid}/fd")):
            to = os.readlink(f"/proc/{pid}/fd/{fd}")
            assert to == "/dev/null" if fd < 3 else re.match(r"socket:|anon_inode:\[signalfd\]", to), (fd, to)
        assert pathlib.Path(f"/proc/{pid}/environ").read_bytes() == b""
        for name in cgroup_roots():
            assert cgroup_of(pid, name) == cgroup_of(init, name), name
        names = enter("--root", "guest", "sh", "-c", "cat /proc/[0-9]*/comm").split()
        assert "ispawn-enter" not in names and "ispawn-init" in names


def test_the_joiner_does_not_run_what_the_user_planted(host):
    """A login shell that the user can write is his; root's shell is not, and neither is root's PATH."""
    host.sh("guest", "printf '#!/bin/sh\\necho PLANTED; exec /bin/sh\\n' > /var/tmp/mine; chmod 755 /var/tmp/mine; mkdir -p ~/bin; "
                     "cp /var/tmp/mine ~/bin/id")
    host.guest("shell = /var/tmp/mine")
    with host.open_session("student"), subprocess.Popen(host.ssh_argv("guest"), stdin=subprocess.PIPE,
                                                        stdout=subprocess.PIPE) as ssh:
        assert ssh.stdout.readline() == b"PLANTED\n"
        environment = {**os.environ, "PATH": f"/home/guest/bin:{os.environ['PATH']}"}
        said = run("ispawnctl", "enter", "--root", "guest", input="id -u; echo $0\n", env=environment)
        assert (said.returncode, said.stdout) == (0, "0\n-bash\n")
        ssh.stdin.close()
    host.guest()
    host.sh("guest", "rm -r /var/tmp/mine ~/bin")


HOSTILE_PTMX = {
    "fifo": "mkfifo /dev/ptmx", "file": "echo > /dev/ptmx", "null": "ln -s null /dev/ptmx", "nothing": "true",
    "directory": "mkdir /dev/ptmx", "terminal": "ln -s pts/0 /dev/ptmx", "loop": "ln -s ptmx /dev/ptmx",
}


@pytest.mark.parametrize("kind", HOSTILE_PTMX)
@pytest.mark.parametrize("root", [["--root"], []], ids=["root", "tenant"])
def test_a_terminal_that_is_none(host, root_inside, kind, root):
    """Pitfalls 30, 32: whatever stands at /dev/ptmx, enter fails in words, at once, with the terminal as it was."""
    ssh = host.popen("guest", f"rm -f /dev/ptmx; {HOSTILE_PTMX[kind]}; echo up; exec cat")
    assert ssh.stdout.readline() == b"up\n"
    child = host.spawn("sh", "-c", f"ispawnctl enter {' '.join(root)} guest id; echo status $?; stty -a | grep -c ' icanon'")
    child.expect("pty|ptmx")
    child.expect(r"status 125\s+1")
    child.close()
    host.end(ssh)


def test_a_user_who_says_that_he_is_the_administrator(host):
    """The value of OPEN is the supervisor's word: an account that is held to its shell stays so."""
    with host.open_session("guest"):
        session, = host.sessions()
        header = struct.pack("=10I", REQUEST_MAGIC, 0, 1, 0, 0o22, 1, 1, 1, 1, 0) + bytes(TERMIOS_SIZE + 8)
        fd = os.memfd_create("x", os.MFD_ALLOW_SEALING)
        os.write(fd, header + b"id\0")
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, 0xf)
        for user, word in (("guest", "REFUSED"), ("root", "STARTED")):
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
                with acting_as(user) if user != "root" else contextlib.nullcontext():
                    sock.connect(f"/run/ispawn/sessions/{session}/socket")
                send(sock, pack("OPEN", value=1), [fd])
                sock.settimeout(10)
                assert MESSAGE.unpack(sock.recv(MESSAGE.size))[1] == TYPES[word], user
        os.close(fd)


def test_the_place_is_told_to_root_alone_and_once(host):
    """A pidfd of init for root; whoever has it asks for nothing more on that connection."""
    with host.open_session("guest"):
        session, = host.sessions()
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            sock.connect(f"/run/ispawn/sessions/{session}/socket")
            send(sock, pack("JOIN", text=b"by hand"))
            data, fds, _, _ = socket.recv_fds(sock, MESSAGE.size, 4)
            assert MESSAGE.unpack(data)[1] == TYPES["PLACE"] and len(fds) == 1
            init, = host.pids("ispawn-init")
            assert f"Pid:\t{init}\n" in pathlib.Path(f"/proc/self/fdinfo/{fds[0]}").read_text()
            os.close(fds[0])
            send(sock, pack("KILL"))
            assert is_dropped(sock)
        assert host.sessions() == [session]


def test_the_administrators_secrets_stay_outside(host):
    """Pitfalls 6, 21: neither variables nor descriptors of whoever types enter arrive."""
    secret = os.open("/etc/shadow", os.O_RDONLY)
    os.set_inheritable(secret, True)
    try:
        with host.open_session("guest"):
            for root in ([], ["--root"]):
                said = run("ispawnctl", "enter", *root, "guest", "sh", "-c", "env; ls -l /proc/self/fd", close_fds=False,
                           env={**os.environ, "TOKEN": "secret-of-the-host", "SSH_AUTH_SOCK": "/run/agent",
                                "LD_PRELOAD": "", "BASH_ENV": "/tmp/x", "LC_ALL": "C.UTF-8", "TERM": "vt100"})
                assert said.returncode == 0
                assert "secret" not in said.stdout and "agent" not in said.stdout and "shadow" not in said.stdout
                assert "BASH_ENV" not in said.stdout
                assert "LC_ALL=C.UTF-8" in said.stdout and "TERM=vt100" in said.stdout
    finally:
        os.close(secret)


def test_the_administrators_limits_stay_outside(host):
    """Who traces root's program has its limits: they are the login's, and what a tenant does to init's is nothing."""
    host.guest(*PLACES["root"])
    with host.open_session("guest"):
        supervisor, = host.pids("ispawn-supervisor")
        init, = host.pids("ispawn-init")
        assert resource.getrlimit(resource.RLIMIT_SIGPENDING)[1] > 77
        resource.prlimit(supervisor, resource.RLIMIT_SIGPENDING, (77, 77))
        resource.prlimit(init, resource.RLIMIT_FSIZE, (0, 0))
        said = enter("--root", "guest", "sh", "-c", "ulimit -f; grep '^Max pending signals' /proc/self/limits").split()
        assert (said[0], said[-3:-1]) == ("unlimited", ["77", "77"])


def test_programs_of_the_administrators_leave_room_for_his_kill(host):
    """Four at once in a session, the fifth is refused in words; kill gets through, and takes all of them."""
    with host.open_session("guest"), contextlib.ExitStack() as stack:
        session, = host.sessions()
        for root in ([], ["--root"], [], ["--root"]):
            stack.enter_context(entered(*root))
        for root in ([], ["--root"]):
            said = run("ispawnctl", "enter", *root, "guest", "true")
            assert said.returncode == 125 and "4 programs" in said.stderr
        done = run("ispawnctl", "kill", session)
        assert (done.returncode, done.stdout) == (0, f"{session}: ended\n")
    wait_until(lambda: not host.pids("ispawn-enter"))
