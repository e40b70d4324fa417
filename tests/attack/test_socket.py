# SPDX-License-Identifier: GPL-3.0-or-later
"""The session's socket, spoken to by hand: as the user, as somebody else, in floods, and by root."""
import contextlib
import fcntl
import os
import socket
import struct
import time

import pytest

from conftest import acting_as
from host import RUN, processes, run, wait_until
from wire import MAGIC, MESSAGE, TYPES, is_dropped, pack, send

REQUEST_MAGIC = 0x69737232
TERMIOS_SIZE = 60
KINDS = [name for name in TYPES if name != "COUNT"]


def garbage():
    """Name to (bytes, descriptors to open and send)."""
    whole = pack("OPEN")
    return {
        "nothing": (b"", 0), "a byte": (b"x", 0), "one byte less": (whole[:-1], 0), "one byte more": (whole + b"x", 0),
        "64 KiB": (b"\xff" * 65536, 0), "zeros": (bytes(MESSAGE.size), 0), "ones": (b"\xff" * MESSAGE.size, 0),
        "random": (os.urandom(MESSAGE.size), 0), "another magic": (pack("OPEN", magic=MAGIC + 1), 1),
        "type beyond the last": (pack(len(TYPES)), 0), "type 31": (pack(31), 0), "type 32": (pack(32), 0),
        "type 2^32-1": (pack(0xffffffff), 0), "OPEN without a request": (pack("OPEN"), 0),
        "OPEN with five descriptors": (pack("OPEN"), 5), "OPEN with 253 descriptors": (pack("OPEN"), 253),
        "SIGNAL before OPEN": (pack("SIGNAL", value=9), 0), "descriptors on a SIGNAL": (pack("SIGNAL", value=9), 3),
        **{f"type {kind}": (pack(kind, tenant=1, value=9, text=b"\x1b[2J" * 60), 1) for kind in KINDS if kind != "OPEN"},
    }


def test_garbage_from_the_user(victim, log):
    """Anything but what a shell says first ends that connection, and nothing else."""
    for name, (data, count) in garbage().items():
        fds = [os.open("/dev/null", os.O_RDONLY) for _ in range(count)]
        with victim.connect() as sock:
            send(sock, data, fds)
            if data:
                assert is_dropped(sock), name
        for fd in fds:
            os.close(fd)
    victim.works()
    assert "event=end" not in log()


def hostile_requests():
    """Descriptors in the place of a sealed memfd."""
    yield "null", lambda: os.open("/dev/null", os.O_RDWR)
    yield "endless", lambda: os.open("/dev/zero", os.O_RDONLY)
    yield "directory of the host", lambda: os.open("/", os.O_PATH)
    yield "pipe that says nothing", lambda: os.pipe()[0]
    yield "unsealed memfd", lambda: os.memfd_create("x")

    def sealed(content, size=None):
        def make():
            fd = os.memfd_create("x", os.MFD_ALLOW_SEALING)
            os.write(fd, content)
            if size:
                os.ftruncate(fd, size)
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, 0xf)
            return fd
        return make
    yield "empty", sealed(b"")
    yield "a tebibyte of nothing", sealed(b"2rsi", 1 << 40)
    yield "random", sealed(os.urandom(4000))
    yield "counts beyond the end", sealed(struct.pack("=I", REQUEST_MAGIC) + b"\0" * 28 + b"\xff" * 200)


@pytest.mark.parametrize("name", [name for name, _ in hostile_requests()], ids=lambda name: name.replace(" ", "-"))
def test_hostile_requests(victim, name):
    """What stands for a request is refused inside, by init, which lives on; no descriptor arrives in a tenant."""
    fd = dict(hostile_requests())[name]()
    with victim.connect() as sock:
        send(sock, pack("OPEN", text=b"\x1b]0;evil\x07"), [fd])
        os.close(fd)
        sock.settimeout(10)
        answer = sock.recv(MESSAGE.size)
        assert MESSAGE.unpack(answer)[1] == TYPES["REFUSED"]
    victim.works()


def test_kill_and_share_are_roots(victim, log):
    """The administrator's requests from the user end his connection and no session, and hand out no namespace."""
    for kind in ("KILL", "SHARE", "JOIN", "CLOSE", "STOP", "GO", "UP", "READY"):
        with victim.connect() as sock:
            send(sock, pack(kind, text=b"default"))
            assert is_dropped(sock), kind
    victim.works()
    assert "cause=killed" not in log()
    # From root they do work: the refusal was about who asked.
    with victim.connect("root") as sock:
        send(sock, pack("SHARE", text=b"default"))
        data, fds, _, _ = socket.recv_fds(sock, MESSAGE.size, 4)
        assert MESSAGE.unpack(data)[1] == TYPES["SHARED"] and len(fds) == 1
        os.close(fds[0])


@pytest.mark.parametrize("user", ["student", "free", "nobody"])
def test_other_users_are_kept_out(victim, user):
    """By the socket's mode, and where somebody loosened that, by the uid that the kernel states."""
    with pytest.raises(PermissionError):
        victim.connect(user)
    for mode in (0o666, 0o777):
        os.chmod(victim.path, mode)
        with victim.connect(user) as sock:
            send(sock, pack("KILL"))
            assert is_dropped(sock)
    os.chmod(victim.path, 0o600)
    victim.works()


def test_registry_cannot_be_changed_or_listed(victim):
    """No user may plant a session, list those that exist, or replace a socket."""
    directory = RUN / "sessions" / victim.session
    for user in ("guest", "student"):
        with acting_as(user):
            for path in (RUN, RUN / "sessions", directory):
                with pytest.raises(PermissionError):
                    os.listdir(path)
                with pytest.raises(PermissionError):
                    (path / "planted").touch()
            for name in ("socket", "pid", "spec"):
                with pytest.raises(PermissionError):
                    (directory / name).unlink()
            with pytest.raises(PermissionError):
                (directory / "spec").read_bytes()
    victim.works()


def test_flood_of_connections(victim, host, log):
    """More than there is room for, saying nothing: what runs goes on, root gets through, and time frees the rest."""
    flood = [victim.connect() for _ in range(300)]
    assert host.sh("student", "echo another user logs in") == "another user logs in"
    assert victim.session in run("ispawnctl", "list", timeout=20).stdout
    victim.ssh.stdin.write(b"alive\n")
    victim.ssh.stdin.flush()
    assert victim.ssh.stdout.readline() == b"alive\n"
    # A login of his own needs an answer from there, and gets it when the silent ones are given up.
    host.guest("start_timeout = 40s")
    assert host.ssh("guest", "echo came up", timeout=60).stdout == b"came up\n", log()
    wait_until(lambda: victim.fds() <= victim.fds_before, 20, "the silent connections to be dropped")
    for sock in flood:
        sock.close()
    victim.works()


def test_kill_gets_through_a_flood(victim, host):
    """A user must not be able to hold the door shut against the administrator."""
    flood = [victim.connect() for _ in range(80)]
    start = time.monotonic()
    done = run("ispawnctl", "kill", victim.session, timeout=40)
    assert done.returncode == 0, done
    assert victim.session not in host.sessions()
    assert time.monotonic() - start < 30
    for sock in flood:
        sock.close()


def request(*args):
    """A sealed request as ispawn-shell makes them: a tenant without a terminal, all streams null."""
    header = struct.pack("=10I", REQUEST_MAGIC, 0, 0, 0, 0o22, 1, 1, 1, len(args), 0) + bytes(TERMIOS_SIZE + 8)
    fd = os.memfd_create("x", os.MFD_ALLOW_SEALING)
    os.write(fd, header + b"".join(word.encode() + b"\0" for word in args))
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, 0xf)
    return fd


def test_clients_that_never_read(victim, host):
    """Nothing waits for a peer: programs that run, signals by the hundred, answers never taken."""
    slow = [victim.connect() for _ in range(8)]
    for sock in slow:
        fd = request("-c", "trap : CONT; sleep 2; sleep 2")
        send(sock, pack("OPEN"), [fd])
        os.close(fd)
    wait_until(lambda: len([p for p in processes().values() if p["command"] == "sleep 2 "]) == 8)
    for _ in range(100):
        for sock in slow:
            sock.setblocking(False)
            with contextlib.suppress(OSError):
                sock.send(pack("SIGNAL", value=18))
        time.sleep(0.001)
    assert host.sh("student", "echo another") == "another"
    for sock in slow:
        sock.close()
    victim.works()


def test_a_program_by_hand_gains_nothing_over_the_shell(victim):
    """Who speaks to the socket himself gets what ispawn-shell would get him: a program inside, as the user."""
    with victim.connect() as sock:
        fd = request("-c", "id -u > ~/by-hand; ls /proc/self/fd | wc -l >> ~/by-hand; test -e /etc/ispawn-template")
        send(sock, pack("OPEN"), [fd])
        os.close(fd)
        sock.settimeout(10)
        answers = [MESSAGE.unpack(sock.recv(MESSAGE.size)) for _ in range(2)]
    assert [(answer[1], answer[3]) for answer in answers] == [(TYPES["STARTED"], 0), (TYPES["EXITED"], 0)]
    assert victim.host.sh("guest", "cat ~/by-hand; rm ~/by-hand").split() == ["1001", "4"]
