# SPDX-License-Identifier: GPL-3.0-or-later
"""A compromised init: it runs with the tenant's identity, so whatever it could say is the attacker's.

Its socket is borrowed from the running init (pidfd_getfd by the host's root), which no tenant could do.
"""
import contextlib
import ctypes
import os
import re
import signal
import socket
import subprocess
import time

import pytest

from host import wait_until
from wire import pack, send

PIDFD_GETFD = 438
INIT_SOCKET = 3


@pytest.fixture(name="init")
def borrow_init(victim):
    """The socket on which init speaks with the supervisor."""
    def borrow():
        pid_fd = os.pidfd_open(victim.init)
        fd = ctypes.CDLL(None, use_errno=True).syscall(PIDFD_GETFD, pid_fd, INIT_SOCKET, 0)
        os.close(pid_fd)
        assert fd >= 0, os.strerror(ctypes.get_errno())
        return socket.socket(fileno=fd)
    with borrow() as sock:
        yield sock


FATAL = {
    "garbage": b"\xff" * 100, "too long": pack("EMPTY") + b"x", "another magic": pack("EMPTY", magic=1),
    **{f"as {kind}": pack(kind, tenant=1) for kind in ("READY", "CLOSE", "UP", "OPEN", "KILL", "SHARE")},
    "STARTED of nobody": pack("STARTED", tenant=4711), "EXITED of nobody": pack("EXITED", tenant=0),
}


@pytest.mark.parametrize("name", FATAL, ids=lambda name: name.replace(" ", "-"))
def test_init_that_breaks_the_protocol_ends_its_own_session(victim, init, log, name):
    """It is the session's end, said so in the log; other sessions and the host's processes do not notice."""
    send(init, FATAL[name])
    wait_until(lambda: victim.session not in victim.host.sessions(), what="the end of the session")
    assert re.search(rf"session={victim.session} event=end cause=protocol-error", log())
    victim.ssh.wait(10)
    assert victim.ssh.returncode != 0


def test_init_that_sends_descriptors_of_its_choice(victim, init, log):
    """STARTED again with a file or a directory of its choice: ispawn-shell gives up, and the session ends in order."""
    for fds in ([os.open("/etc/passwd", os.O_RDONLY)], [os.open("/", os.O_PATH), os.open("/dev/null", os.O_RDWR)]):
        send(init, pack("STARTED", tenant=1), fds)
        for fd in fds:
            os.close(fd)
    assert victim.ssh.wait(10) != 0
    wait_until(lambda: victim.session not in victim.host.sessions(), what="the end of the session")
    assert re.search(rf"session={victim.session} event=end cause=", log()), "the supervisor did not end by itself"


def test_init_that_floods(victim, init, survivor, log):
    """As fast as it can: the supervisor reads on, keeps nothing, and other sessions start as ever."""
    end = time.monotonic() + 2
    while time.monotonic() < end:
        # Not setblocking(): that is a property of the open socket, which is the running init's too.
        with contextlib.suppress(BlockingIOError):
            try:
                init.send(pack("EMPTY"), socket.MSG_DONTWAIT)
            except (BrokenPipeError, ConnectionResetError):
                pytest.fail(f"the flood ended the session:\n{log()}")
    assert victim.host.sh("student", "echo another") == "another"
    victim.works()


@pytest.mark.parametrize("status", [0x008b, 0x137f, 0xffff, -1])
def test_statuses_that_no_process_has(victim, init, status):
    """EXITED with anything: ispawn-shell ends with a status or a signal of its own, never goes on."""
    send(init, pack("EXITED", tenant=1, value=status))
    victim.ssh.wait(10)
    assert victim.ssh.returncode != 0
    # 0x8b is SIGSEGV with a core: of ispawn-shell itself there must be none.
    assert not [path for path in ("/home/guest/core", "/core") if os.path.exists(path)]


def test_words_of_a_compromised_init_are_escaped(victim, init, log, tmp_path):
    """Pitfall 41: why a program was refused goes to the user's terminal, without a control character."""
    os.kill(victim.init, signal.SIGSTOP)  # the real one is not to answer first
    # A file, since a pipe would travel to the stopped init and stay open there.
    with (tmp_path / "said").open("wb") as said:
        shell = subprocess.Popen(["ispawn-shell", "-c", "true"], user="guest", group="guest", extra_groups=[],
                                 env={"ISPAWN_SESSION": victim.session}, stdin=subprocess.DEVNULL, stdout=said,
                                 stderr=said)
        try:
            wait_until(lambda: "tenant=2" in log(), what="the request to arrive")
            send(init, pack("REFUSED", tenant=2, value=126, why=b"evil \x1b]0;title\x07\x9b31m" + b"A" * 180))
            assert shell.wait(10) == 126
        finally:
            shell.kill()
            shell.wait()
            os.kill(victim.init, signal.SIGCONT)
    text = (tmp_path / "said").read_bytes()
    assert b"evil" in text
    assert b"\x1b" not in text and b"\x07" not in text and b"\x9b" not in text
