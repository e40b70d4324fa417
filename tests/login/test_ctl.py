# SPDX-License-Identifier: GPL-3.0-or-later
"""ispawnctl: what it shows is true and harmless, what it ends is gone, what it checks is what fails."""
import fcntl
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import subprocess
import time

import pytest

from host import LIBEXEC, RUN, STORE, cgroup_roots, processes, restored, run, wait_until

SESSIONS = RUN / "sessions"
DEAD = "guest.0000dead"


def rows():
    done = run("ispawnctl", "list", "--json")
    assert (done.returncode, done.stderr) == (0, ""), done
    return json.loads(done.stdout)


def supervisor_of(row):
    assert processes()[row["supervisor"]]["name"].startswith("ispawn-supervis")
    return row["supervisor"]


@pytest.fixture(name="one")
def make_one(host):
    with host.open_session("guest") as ssh:
        yield ssh


@pytest.fixture(name="dead")
def make_dead(host):
    """A session whose supervisor died long ago: an entry nobody holds, its cgroup, nothing in it."""
    def make(tty=b"ssh"):
        with host.open_session("guest"):
            live, = host.sessions()
            entry = SESSIONS / DEAD
            entry.mkdir(mode=0o711)
            spec = (SESSIONS / live / "spec").read_bytes()
            spec = spec.replace(live.encode(), DEAD.encode()).replace(b"\0tty=ssh\0", b"\0tty=" + tty + b"\0")
            (entry / "spec").write_bytes(spec)
            (entry / "pid").write_text("1\n")
            for root in cgroup_roots().values():
                if (root / "ispawn/guest").is_dir():
                    (root / "ispawn/guest" / DEAD).mkdir()
        wait_until(lambda: host.sessions() == [DEAD])
    yield make
    run("ispawnctl", "gc")


# --- list ----------------------------------------------------------------------------------------

def test_list_tells_who_is_in_and_what_he_uses(host, one):
    row, = rows()
    assert row["session"] == host.sessions()[0]
    assert (row["user"], row["uid"], row["service"], row["state"]) == ("guest", pwd.getpwnam("guest").pw_uid, "sshd", "running")
    assert row["rhost"] in ("127.0.0.1", "::1")
    assert abs(row["started"] - time.time()) < 60 and 0 <= row["age_s"] < 60
    assert row["tasks"] >= 2  # init and cat
    assert row["memory_bytes"] > 100000
    assert row["cpu_us"] > 0
    supervisor_of(row)


def test_list_counts_what_runs_now(host):
    ssh = host.popen("guest", "sleep 100 & sleep 100 & sleep 100 & echo up; exec cat")
    assert ssh.stdout.readline() == b"up\n"
    row, = rows()
    assert row["tasks"] == 5
    host.end(ssh)


def test_list_for_people_has_the_same_and_a_title(host, one):
    title, line = run("ispawnctl", "list").stdout.splitlines()
    assert title.split() == ["SESSION", "USER", "SERVICE", "FROM", "TTY", "STARTED", "AGE", "STATE", "TASKS",
                             "MEMORY", "CPU"]
    assert line.split()[:3] == [host.sessions()[0], "guest", "sshd"]
    assert "running" in line and re.search(r"\d\d:\d\d:\d\d", line)
    assert len(title) == len(line)


def test_list_shows_oldest_first(host):
    with host.open_session("student") as _:
        time.sleep(1.1)
        with host.open_session("guest") as _:
            assert [row["user"] for row in rows()] == ["student", "guest"]


def test_list_shows_dead_sessions_as_dead(host, dead):
    dead()
    row, = rows()
    assert (row["session"], row["state"]) == (DEAD, "dead")
    assert "dead" in run("ispawnctl", "list").stdout


def test_list_escapes_what_others_chose(host, dead):
    # pitfall 41: a C1 control that terminals obey, bytes that are no UTF-8, and what ends a string
    dead(tty=b"\xc2\x9b31m\xff\"\\x")
    assert rows()[0]["tty"] == "\u009b31m\ufffd\"\\x"
    for arguments in (["list"], ["list", "--json"]):
        assert run("ispawnctl", *arguments).stdout.isascii()


def test_list_to_a_full_disk_fails():
    done = run("sh", "-c", "ispawnctl list > /dev/full")
    assert done.returncode == 1
    assert "could not be written" in done.stderr


# --- kill ----------------------------------------------------------------------------------------

def test_kill_says_what_it_did_when_it_is_done(host, one, log):
    session, = host.sessions()
    done = run("ispawnctl", "kill", session)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{session}: ended\n", "")
    assert host.sessions() == [] and host.cgroups() == []
    wait_until(lambda: f"session={session} event=end cause=killed" in log(), what="its last log line")


def test_kill_of_a_user_has_a_line_for_each_session(host):
    with host.open_session("guest"), host.open_session("guest"):
        before = host.sessions()
        lines = run("ispawnctl", "kill", "guest").stdout.splitlines()
    assert sorted(line.split(":")[0] for line in lines) == before


def test_kill_cleans_up_after_a_dead_supervisor(host, dead):
    dead()
    done = run("ispawnctl", "kill", DEAD)
    assert done.returncode == 0 and "dead" in done.stdout
    assert host.sessions() == [] and host.cgroups() == []


def test_kill_ends_a_session_whose_supervisor_hangs(host):
    with host.open_session("guest") as ssh:
        row, = rows()
        os.kill(supervisor_of(row), signal.SIGSTOP)
        start = time.monotonic()
        done = run("ispawnctl", "kill", row["session"])
        assert (done.returncode, done.stderr) == (0, "")
        assert "did not answer" in done.stdout
        assert 10 <= time.monotonic() - start < 20
        ssh.wait(10)
    assert host.sessions() == [] and host.cgroups() == []


def test_kill_waits_for_no_stranger(host, one):
    # The user may connect to his own session's socket and say nothing; the administrator gets through.
    session, = host.sessions()
    script = f"import socket, time; s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); " \
             f"s.connect('{SESSIONS}/{session}/socket'); print('up', flush=True); time.sleep(60)"
    with subprocess.Popen(["setpriv", "--reuid=guest", "--regid=guest", "--clear-groups", "python3", "-c", script],
                          stdout=subprocess.PIPE) as stranger:
        assert stranger.stdout.readline() == b"up\n"
        assert run("ispawnctl", "kill", session, timeout=5).returncode == 0
        stranger.kill()


# --- gc ------------------------------------------------------------------------------------------

def test_gc_cleans_up_and_counts(host, dead):
    dead()
    store = STORE / "users/guest"
    for half in ("home.new", "rootfs-default/copy.new"):
        (store / half / "deep/er").mkdir(parents=True)
        (store / half / "out").symlink_to("/etc/passwd")
    done = run("ispawnctl", "gc")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "cleaned up: dead sessions 1, half-made homes and copies 2\n"
    assert host.sessions() == [] and host.cgroups() == []
    assert not list(store.rglob("*.new"))
    assert (store / "home").is_dir() and pathlib.Path("/etc/passwd").stat().st_size > 0


def test_gc_removes_what_a_supervisor_began_with(host, dead):
    # killed after the first mkdir: the user's directory, in one hierarchy, and no session in it
    dead()
    for path in host.cgroups():
        if pathlib.Path(path).name == DEAD:
            pathlib.Path(path).rmdir()
    assert host.cgroups()
    assert run("ispawnctl", "gc").returncode == 0
    assert host.sessions() == [] and host.cgroups() == []


def test_gc_leaves_a_login_that_is_being_built_alone(host):
    host.sh("guest", "true")
    assert not host.wait_clean()
    store = STORE / "users/guest"
    (store / "home.new").mkdir()
    fd = os.open(store, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        assert "guest" in run("ispawnctl", "gc").stdout
        assert (store / "home.new").is_dir()
    finally:
        os.close(fd)
    run("ispawnctl", "gc")
    assert not (store / "home.new").exists()


# --- check ---------------------------------------------------------------------------------------

def check(*arguments):
    done = run("ispawnctl", "check", *arguments)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    failures = [line for line in lines if not line.startswith("ok: ")]
    assert all(line.startswith("FAIL: ") for line in failures), done.stdout
    assert done.returncode == (1 if failures else 0)
    return failures


def test_check_is_content_with_each_kind_of_root(host):
    for kind in ("overlay", "copy", "ephemeral", "readonly"):
        host.guest(f"rootfs = {kind}")
        assert check() == []


def test_check_leaves_nothing_in_the_store(host):
    before = sorted(STORE.rglob("*"))
    check()
    assert sorted(STORE.rglob("*")) == before


@pytest.mark.parametrize("lines, named", [
    (["template = missing"], "templates/missing/rootfs"),
    (["bind = /srv/missing"], "/srv/missing"),
    (["cpu = 1000%"], None),
])
def test_check_tries_what_sections_ask_for(host, lines, named):
    host.guest(*lines)
    failures = check()
    assert len(failures) == (1 if named else 0)
    assert named is None or named in failures[0]


@pytest.mark.parametrize("section, word", [
    ("user nobody-here", "no such user"),
    ("group nobody-here", "no such group"),
    ("user exempt", "never confined"),
])
def test_check_names_sections_that_apply_to_nobody(host, section, word):
    host.config(f"[{section}]\nconfine = yes\n")
    failure, = check()
    assert section in failure and word in failure


def test_check_reads_the_configuration_it_is_given(host, tmp_path):
    path = pathlib.Path("/etc/ispawn/other")
    with restored(path):
        path.write_text("[user guest]\nconfine = maybe\n")
        failure, = check("--config", str(path))
        assert "maybe" in failure or "confine" in failure
    assert check() == []


def test_check_refuses_a_configuration_that_others_can_write(host):
    os.chmod("/etc/ispawn/ispawn.conf", 0o666)
    failure, = check()
    assert "ispawn.conf" in failure and "others than root" in failure


@pytest.mark.parametrize("path, mode", [
    (LIBEXEC / "ispawn-init", 0o755),
    (LIBEXEC / "ispawn-supervisor", 0o775),
    (LIBEXEC / "ispawn-supervisor", 0o644),
    (LIBEXEC / "ispawn-supervisor", 0o4755),
    (LIBEXEC / "ispawn-door", 0o644),
    (LIBEXEC / "ispawn-door", 0o4755),
    (LIBEXEC / "ispawn-seccomp", 0o644),
    (pathlib.Path("/usr/bin/ispawn"), 0o4755),
    (pathlib.Path("/usr/bin/ispawn"), 0o700),
    (pathlib.Path("/usr/bin/ispawn-shell"), 0o4755),
    (pathlib.Path("/usr/bin/ispawn-shell"), 0o700),
])
def test_check_names_programs_of_a_wrong_mode(path, mode):
    before = path.stat().st_mode & 0o7777
    try:
        path.chmod(mode)
        failure, = check()
        assert str(path) in failure
    finally:
        path.chmod(before)


def test_check_names_a_missing_program(tmp_path):
    path = LIBEXEC / "ispawn-init"
    shutil.move(path, tmp_path / "init")
    try:
        failure, = check()
        assert str(path) in failure
    finally:
        shutil.move(tmp_path / "init", path)


# --- the program ---------------------------------------------------------------------------------

AS_FREE = ["setpriv", "--reuid=free", "--regid=free", "--clear-groups"]


def test_help_is_for_everybody():
    done = run(*AS_FREE, "ispawnctl", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    for verb in ("list [--json]", "kill", "ID|USER", "check", "--config PATH", "gc", "top [--once]", "log [USER] [-f|--follow]",
                 "enter [--root] ID|USER [COMMAND [ARG...]]"):
        assert re.sub(" +", " ", verb) in re.sub(" +", " ", done.stdout)


@pytest.mark.parametrize("arguments", [["list"], ["kill", "guest"], ["top"], ["log"], ["enter", "guest"], ["check"],
                                       ["gc"], ["nonsense"]])
def test_the_rest_is_for_root(arguments):
    done = run(*AS_FREE, "ispawnctl", *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "ispawnctl: must be run as root\n")


@pytest.mark.parametrize("arguments", [
    [], ["nonsense"], ["list", "--xml"], ["list", "--json", "x"], ["kill"], ["kill", "a", "b"], ["gc", "x"],
    ["check", "--config"], ["check", "x"], ["check", "--config", "/etc/ispawn/ispawn.conf", "x"]])
def test_wrong_arguments_have_a_status_of_their_own(arguments):
    done = run("ispawnctl", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "ispawnctl" in done.stderr
