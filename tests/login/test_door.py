# SPDX-License-Identifier: GPL-3.0-or-later
"""Door 2: ispawn-shell as the login shell, and no PAM line at all.

The socket is served as ispawn.socket serves it, by systemd-socket-activate with --accept.
"""
import os
import pathlib
import pwd
import re
import signal
import socket
import subprocess
import time

import pytest

from host import CONFIG, LIBEXEC, RUN, processes, restored, run, wait_until

DOOR = RUN / "door"
INSIDE = "cat /etc/ispawn-template"
MARK = "this is the template"


@pytest.fixture(name="no_pam", scope="module")
def make_no_pam():
    """No service has the module's line: what confines is the shell alone."""
    with restored(pathlib.Path("/etc/pam.d/sshd")) as sshd, restored(pathlib.Path("/etc/pam.d/su")) as su:
        for path in (sshd, su):
            lines = path.read_text().splitlines(keepends=True)
            path.write_text("".join(line for line in lines if "pam_ispawn" not in line))
        yield


@pytest.fixture(name="door")
def make_door(no_pam):
    RUN.mkdir(mode=0o711, exist_ok=True)
    DOOR.unlink(missing_ok=True)
    listener = subprocess.Popen(
        ["systemd-socket-activate", "--seqpacket", "--accept", f"--listen={DOOR}", LIBEXEC / "ispawn-door"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(DOOR.exists, what="the door's socket")
    DOOR.chmod(0o666)
    yield listener
    listener.terminate()
    listener.wait()
    wait_until(lambda: not doors(), what="the end of all doors")
    DOOR.unlink(missing_ok=True)


def doors():
    return [pid for pid, p in processes().items() if p["name"].startswith("ispawn-door") and p["state"] != "Z"]


def knock(user="shelly"):
    """A connection to the door as that user; the kernel takes the word of whoever calls connect(2)."""
    uid = pwd.getpwnam(user).pw_uid
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    os.seteuid(uid)
    try:
        sock.connect(str(DOOR))
    finally:
        os.seteuid(0)
    sock.settimeout(30)
    return sock


def answer(sock):
    """Type and text of the door's message; b"" when it has closed."""
    data = sock.recv(4096)
    return (int.from_bytes(data[4:8], "little"), data[-256:].split(b"\0")[0].decode()) if data else (0, "")


def test_ssh_gets_a_container_by_the_shell_alone(host, door, log):
    assert host.sh("shelly", INSIDE) == MARK
    assert host.sh("shelly", "hostname").startswith("shelly-")
    wait_until(lambda: 'service="ispawn-door"' in log(), what="its log line")


def test_a_terminal(host, door):
    child = host.terminal("shelly")
    assert host.ask(child, INSIDE) == MARK
    assert host.ask(child, "tty").startswith("/dev/pts/")
    assert host.leave(child) == 0


def test_the_administrator_enters_it(host, door):
    ssh = host.popen("shelly", "echo up; exec cat")
    assert ssh.stdout.readline() == b"up\n"
    for root, user in (([], "shelly"), (["--root"], "root")):
        done = run("ispawnctl", "enter", *root, "shelly", "sh", "-c", f"id -un; {INSIDE}")
        assert (done.returncode, done.stdout) == (0, f"{user}\n{MARK}\n"), done
    host.end(ssh)


def test_su_gets_one(host, door):
    done = host.su("shelly", "-c", INSIDE)
    assert (done.returncode, done.stdout.strip()) == (0, MARK), done


def test_exit_status_and_streams_are_the_programs(host, door):
    done = host.ssh("shelly", "cat; echo oops >&2; exit 7", input=b"8-bit \xff\x00")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"8-bit \xff\x00", b"oops\n")


def test_sftp(host, door):
    done = run("sftp", "-o", "BatchMode=yes", "-b", "-", "shelly@localhost", input="get /etc/ispawn-template /tmp/got\n")
    assert done.returncode == 0, done
    assert pathlib.Path("/tmp/got").read_text().strip() == MARK


def test_two_logins_are_two_containers_with_one_copy(host, door):
    with host.open_session("shelly"), host.open_session("shelly"):
        assert len(host.sessions()) == 2
        host.sh("shelly", "echo shared > ~/door")
        assert host.sh("shelly", "cat ~/door; rm ~/door") == "shared"


def test_the_connection_is_the_lifetime(host, door):
    with host.open_session("shelly"):
        shell, = [pid for pid, p in processes().items() if p["name"] == "ispawn-shell"]
        os.kill(shell, signal.SIGKILL)
        assert not host.wait_clean()


def test_a_killed_door_ends_its_session(host, door):
    with host.open_session("shelly"):
        for pid in doors():
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not host.sessions(), what="the end of the session")


def test_a_resting_door_has_no_rights(host, door):
    with host.open_session("shelly"):
        pid, = doors()
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        assert re.search(r"^Uid:\t65534\t65534\t65534\t65534$", status, re.M)
        assert re.search(r"^Groups:\s*$", status, re.M)
        for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            assert re.search(rf"^{kind}:\t0+$", status, re.M), kind
        assert run("setpriv", "--reuid=65534", "--clear-groups", "ls", f"/proc/{pid}/fd").returncode != 0


def test_who_is_not_confined_is_refused(host, door, log):
    # Not confined means the host's own shell, and this is none: the door must not become a way to one.
    done = run("setpriv", "--reuid=free", "--regid=free", "--init-groups", "env", "-u", "ISPAWN_SESSION",
               "ispawn-shell", "-c", "id")
    assert done.returncode == 125
    assert done.stdout == ""
    assert "Login denied: this account may not use this service" in done.stderr
    wait_until(lambda: "is not confined" in log(), what="its log line")


def test_a_broken_configuration_is_told_and_logged(host, door, log):
    host.config(CONFIG.read_text() + "nonsense\n")
    done = host.ssh("shelly", "echo ran")
    assert (done.returncode, done.stdout) == (125, b"")
    assert b"Login denied: the rules for this account could not be read" in done.stderr
    wait_until(lambda: len([line for line in log().splitlines() if "ispawn.conf" in line]) == 1, what="one line")


def test_a_failed_start_is_told_with_its_id(host, door, log):
    host.config(CONFIG.read_text() + "\n[user shelly]\ntemplate = nowhere\n")
    done = host.ssh("shelly", "echo ran")
    assert (done.returncode, done.stdout) == (125, b"")
    session, = re.findall(rb"session (shelly\.[0-9a-f]{8})", done.stderr)
    wait_until(lambda: len([line for line in log().splitlines() if session.decode() in line and "nowhere" in line]) == 1,
               what="one line with the cause")


def test_sessions_are_limited(host, door):
    host.config(CONFIG.read_text() + "\n[user shelly]\nsessions = 2\n")
    with host.open_session("shelly"), host.open_session("shelly"):
        done = host.ssh("shelly", "echo ran")
        assert (done.returncode, done.stdout) == (125, b"")
        assert b"as many sessions open as it may have" in done.stderr


def test_without_any_door_it_is_125_and_what_to_do(host, no_pam):
    DOOR.unlink(missing_ok=True)
    done = host.ssh("shelly", "echo ran")
    assert (done.returncode, done.stdout) == (125, b"")
    for word in (b"pam_ispawn", b"ispawn.socket"):
        assert word in done.stderr


def test_both_doors_give_one_container(host, door):
    with restored(pathlib.Path("/etc/pam.d/sshd")) as path:
        path.write_text(path.read_text() + "session required pam_ispawn.so\n")
        with host.open_session("shelly"):
            assert len(host.sessions()) == 1
            assert not doors()


def test_garbage_ends_the_session_and_no_other(host, door):
    with host.open_session("shelly"):
        sock = knock()
        assert answer(sock)[1].startswith("shelly.")
        assert len(host.sessions()) == 2
        sock.send(b"garbage")
        wait_until(lambda: len(host.sessions()) == 1, what="the end of one session")
        sock.close()


def test_a_client_that_takes_no_answer(host, door):
    # Slow, and gone before READY: neither holds a door or a container.
    socks = [knock() for _ in range(3)]
    for sock in socks:
        sock.close()
    assert not host.wait_clean()
    silent = knock()
    wait_until(lambda: len(host.sessions()) == 1)
    time.sleep(0.5)
    assert host.sh("shelly", "echo served") == "served"
    silent.close()


def test_a_flood_by_one_user_keeps_nobody_else_out(host, door, log):
    host.config(CONFIG.read_text() + "\n[user shelly]\nsessions = 4\n")
    socks = [knock() for _ in range(60)]
    try:
        # Everybody of the flood is answered or refused, and another user gets in meanwhile.
        done = run("setpriv", "--reuid=student", "--regid=student", "--init-groups", "env", "-u", "ISPAWN_SESSION",
                   "ispawn-shell", "-c", INSIDE)
        assert (done.returncode, done.stdout.strip()) == (0, MARK), done
        answers = [answer(sock)[1] for sock in socks]
        assert sum(text.startswith("shelly.") for text in answers) == 4, answers
        assert sum("Login denied" in text for text in answers) == 56, answers
        assert len([session for session in host.sessions() if session.startswith("shelly.")]) == 4
        wait_until(lambda: "sessions open" in log(), what="a log line")
    finally:
        for sock in socks:
            sock.close()
    assert not host.wait_clean()


def test_root_is_refused(host, door, log):
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.connect(str(DOOR))
    sock.settimeout(30)
    assert "may not use this service" in answer(sock)[1]
    sock.close()


def test_by_hand_it_says_who_starts_it(host, log):
    done = run(str(LIBEXEC / "ispawn-door"))
    assert done.returncode != 0
    wait_until(lambda: "started by ispawn.socket, not by hand" in log(), what="its log line")


def test_the_shipped_units_are_what_systemd_takes(host):
    units = pathlib.Path("/usr/lib/systemd/system")
    assert f"ExecStart={LIBEXEC}/ispawn-door\n" in (units / "ispawn-door@.service").read_text()
    done = run("systemd-analyze", "verify", "--man=no", str(units / "ispawn.socket"))
    assert done.stderr == "" and done.returncode == 0, done
