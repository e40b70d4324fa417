# SPDX-License-Identifier: GPL-3.0-or-later
"""Failing open: everything that may go wrong between the password and the first program, helped along."""
import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import threading
import time

import pytest

from conftest import PLACES
from host import CONFIG, LIBEXEC, RUN, STORE, processes, restored, run

PAM = """
import ctypes, sys
pam = ctypes.CDLL("libpam.so.0")
class Conversation(ctypes.Structure):
    _fields_ = [("conv", ctypes.c_void_p), ("data", ctypes.c_void_p)]
handle, conversation = ctypes.c_void_p(), Conversation(ctypes.cast(pam.pam_strerror, ctypes.c_void_p), None)
TYPE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
silent = TYPE(lambda *_: 19)  # PAM_CONV_ERR
conversation.conv = ctypes.cast(silent, ctypes.c_void_p)
assert pam.pam_start(sys.argv[1].encode(), sys.argv[2].encode(), ctypes.byref(conversation), ctypes.byref(handle)) == 0
print(pam.pam_open_session(handle, 0))
"""
PROBE = "test -e /etc/ispawn-template && echo inside || echo outside"


def outcome(done):
    """What a login came to: inside, denied; never outside."""
    assert b"outside" not in done.stdout, done
    if b"inside" in done.stdout:
        return "inside"
    assert done.returncode != 0, done
    return "denied"


@pytest.mark.parametrize("victim", ["ispawn-supervis", "ispawn-init", "ispawn-shell"])
def test_killing_what_builds_the_container(host, victim):
    """Pitfall 13: whenever a part dies, the login is denied or over; no program of it runs on the host."""
    stop = threading.Event()
    killed = []

    def kill():
        while not stop.is_set():
            for pid, process in processes().items():
                if process["name"].startswith(victim[:15]):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                        killed.append(pid)
            time.sleep(0.002)
    thread = threading.Thread(target=kill)
    thread.start()
    try:
        for user in ("guest", "shelly"):
            for _ in range(4):
                outcome(host.ssh(user, PROBE, timeout=30))
    finally:
        stop.set()
        thread.join()
    run("ispawnctl", "gc")
    assert killed
    assert host.sh("guest", PROBE) == "inside"


BREAKAGES = {
    "no /run": ["mount -t tmpfs -o ro tmpfs /run", "umount /run"],
    "full /run": ["mount -t tmpfs -o nr_inodes=1 tmpfs /run", "umount /run"],
    "store read-only": [f"mount -o remount,bind,ro {STORE}", f"mount -o remount,bind,rw {STORE}"],
    "no subordinate ids": ["mount --bind /dev/null /etc/subuid", "umount /etc/subuid"],
    "a registry of somebody else": [f"mkdir -p {RUN}; chown free {RUN}", f"chown root {RUN}"],
    "a registry that all may write": [f"mkdir -p {RUN}/sessions; chmod 777 {RUN}/sessions", f"chmod 711 {RUN}/sessions"],
    "the shell gone": ["mv /usr/bin/ispawn-shell /usr/bin/away", "mv /usr/bin/away /usr/bin/ispawn-shell"],
    "the shell another": ["mv /usr/bin/ispawn-shell /usr/bin/away; cp /bin/sh /usr/bin/ispawn-shell; chmod 777 "
                          "/usr/bin/ispawn-shell", "mv /usr/bin/away /usr/bin/ispawn-shell"],
    "supervisor not executable": [f"chmod 644 {LIBEXEC}/ispawn-supervisor", f"chmod 755 {LIBEXEC}/ispawn-supervisor"],
    "init readable": [f"chmod 755 {LIBEXEC}/ispawn-init", f"chmod 711 {LIBEXEC}/ispawn-init"],
}


@pytest.mark.parametrize("name", BREAKAGES, ids=lambda name: name.replace(" ", "-"))
def test_a_broken_host_denies(host, name):
    """Pitfall 13: deny; but not root, who has to repair it."""
    breakage, repair = BREAKAGES[name]
    subprocess.run(breakage, shell=True, check=True)
    try:
        found = {user: outcome(host.ssh(user, PROBE, timeout=30)) for user in ("guest",)}
        if not name.startswith(("no /run", "full /run")):
            assert host.sh("root", PROBE) == "outside"
    finally:
        subprocess.run(repair, shell=True, check=True)
    assert name == "no subordinate ids" or found["guest"] == "denied", found
    assert host.sh("guest", PROBE) == "inside"


def test_root_gets_in_whatever_the_user_does(host):
    """Pitfall 13: uid 0 and the break-glass group are let through before anything else is looked at."""
    host.config("[broken\n")
    for user in ("root", "exempt"):
        assert host.sh(user, PROBE) == "outside"
    assert outcome(host.ssh("guest", PROBE)) == "denied"
    with restored(CONFIG):
        CONFIG.unlink()
        assert host.sh("root", PROBE) == "outside"
        assert outcome(host.ssh("guest", PROBE)) == "denied"


FORKER = "import os, signal\ntry:\n  while os.fork(): pass\nexcept OSError: print('full', flush=True)\nsignal.pause()"


def test_own_limits_used_up_are_no_way_out(host):
    """Pitfall 13: a user whose processes are all in use gets no container, hence no login."""
    host.guest("pids = 12")
    eater = host.popen("guest", f'exec python3 -c "{FORKER}"')
    assert eater.stdout.readline() == b"full\n"
    assert [outcome(host.ssh("guest", PROBE, timeout=30)) for _ in range(3)] == ["denied"] * 3
    assert host.sh("student", PROBE) == "inside"
    eater.kill()
    eater.communicate()


def test_failed_sessions_do_not_pile_up(host):
    """Pitfall 15: sshd keeps a connection whose session failed; nothing of ours may stay with it."""
    host.guest("template = nowhere")
    before = set(processes())
    waiting = [host.popen("guest", options=["-N"]) for _ in range(5)]
    for ssh in waiting:
        outcome(host.ssh("guest", PROBE))
        assert host.sessions() == []
    ours = {pid for pid, p in processes().items() if p["name"].startswith("ispawn") and pid not in before}
    assert not ours
    for ssh in waiting:
        ssh.kill()
        ssh.communicate()


@pytest.mark.parametrize("command", [None, "id", "/bin/sh"])
@pytest.mark.parametrize("option", [[], ["-tt"], ["-N", "-f"], ["-T"]], ids=["plain", "tty", "N", "T"])
def test_no_session_means_no_program(host, command, option):
    """Pitfall 15: the shell refuses at once when there is no container, with and without a terminal."""
    host.guest("template = nowhere")
    if "-N" in option:
        command, option = None, ["-o", "ConnectTimeout=5", "-W", "127.0.0.1:22"]
    done = host.ssh("guest", command, options=option, timeout=30)
    assert done.returncode != 0 and b"uid=" not in done.stdout and b"SSH-2.0" not in done.stdout


def test_forwarding_before_and_without_a_session(host):
    """Pitfalls 3, 13: a connection whose session was denied forwards nothing from the host's network."""
    host.guest("template = nowhere")
    for options in (["-W", "127.0.0.1:22"], ["-N", "-L", "6123:127.0.0.1:22"]):
        with subprocess.Popen(["ssh", "-o", "BatchMode=yes", *options, "guest@localhost"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as ssh:
            time.sleep(1)
            said = b""
            with contextlib.suppress(OSError):
                with socket.create_connection(("127.0.0.1", 6123), timeout=2) as connection:
                    said = connection.recv(100)
            ssh.kill()
            assert b"SSH-2.0" not in said + ssh.stdout.read()


@pytest.mark.parametrize("service", ["cron", "atd", "systemd-user", "polkit-1"])
def test_services_without_a_container(service):
    """Pitfalls 8, 9: what starts programs with no login denies confined users, by the service's name alone."""
    path = pathlib.Path("/etc/pam.d") / service
    with restored(path):
        path.write_text("session required pam_permit.so\nsession required pam_ispawn.so\n")
        statuses = {user: run("/usr/bin/python3", "-c", PAM, service, user).stdout.split() for user in ("guest", "free")}
    assert statuses["free"] == ["0"] and statuses["guest"] != ["0"] and statuses["guest"], statuses


def test_su_between_confined_users(host, place):
    """From inside, su reaches accounts of the copy alone; the host's are not there to become."""
    done = host.ssh("guest", "su free -c id; su student -c id; su exempt -c id < /dev/null")
    assert b"uid=" not in done.stdout
    assert PLACES[place]
