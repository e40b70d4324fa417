# SPDX-License-Identifier: GPL-3.0-or-later
"""The session that the tenant tests run in: a supervisor that this program plays, and ispawn-shell's callers."""
import array
import contextlib
import fcntl
import os
import pathlib
import re
import select
import socket
import struct
import subprocess
import threading
import time

import pexpect

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BUILD", TOP / "build")).resolve()
UID = 54321
SESSION = "tester.0123abcd"
DOOR = f"/run/ispawn/sessions/{SESSION}/socket"
MAGIC = 0x69737031
TYPES = {name: number for number, name in enumerate(re.findall(
    r"^\tISP_MESSAGE_(\w+),", (TOP / "include/ispawn/session/protocol.h").read_text(), re.M))}
READY, UP, OPEN, STARTED, REFUSED, SIGNAL, EXITED, NOTICE, HANGUP, STOP, EMPTY = (
    TYPES[name] for name in "READY UP OPEN STARTED REFUSED SIGNAL EXITED NOTICE HANGUP STOP "
                            "EMPTY".split())
MESSAGE = struct.Struct("=IIIiiI240s256s")
MIB = 1024 * 1024


def pack(kind, tenant=0, value=0, text=b"", code=0, why=b"", magic=MAGIC):
    return MESSAGE.pack(magic, kind, tenant, value, code, 0, why, text)


def send(sock, data, fds=()):
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    sock.sendmsg([data], rights)


def receive(sock):
    data, _, _, _ = got = sock.recvmsg(MESSAGE.size, socket.CMSG_SPACE(4 * 8))
    fds = array.array("i")
    for level, kind, rights in got[1]:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(rights[:len(rights) - len(rights) % 4])
    return (MESSAGE.unpack(data) if data else None), list(fds)


class Supervisor(threading.Thread):
    """As small a hub as will do: numbers tenants, passes messages, keeps a record of them."""

    def __init__(self, work, shell="/bin/bash", privilege="none", variables=()):
        super().__init__(daemon=True)
        self.seen = []       # (type, tenant, value) from init
        self.shells = {}     # number -> socket
        self.last_words = {} # number -> NOTICE text to send before EXITED
        self.opened = []     # text of each OPEN
        self.script = None   # bytes to answer an OPEN with instead of asking init; [] = say nothing
        self.hold = []
        os.makedirs(os.path.dirname(DOOR), exist_ok=True)
        if os.path.exists(DOOR):
            os.unlink(DOOR)
        self.door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.door.bind(DOOR)
        os.chown(DOOR, UID, UID)
        os.chmod(DOOR, 0o600)
        self.door.listen(64)
        self.wake_r, self.wake_w = os.pipe()
        spec = subprocess.run([work / "tenant_spec", str(UID), str(work / "home"), privilege,
                               *variables], check=True, stdout=subprocess.PIPE).stdout
        self.sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        memfd = os.memfd_create("spec", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
        os.write(memfd, spec)
        fcntl.fcntl(memfd, fcntl.F_ADD_SEALS, 0xf)
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 100) for fd in (theirs.fileno(), memfd)]
        self.init = subprocess.Popen(
            ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", "-c",
             'exec 3<&"$0" 4<&"$1"; exec {a}<&"$0" {a}<&-; eval "exec $0<&- $1<&-"; shift; exec "$@"',
             str(high[0]), str(high[1]),
             "setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--no-new-privs",
             str(work / "ispawn-init")],
            env={**os.environ, "TENANT_SHELL": shell}, pass_fds=high, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        for fd in high + [memfd]:
            os.close(fd)
        theirs.close()
        message, _ = receive(self.sock)
        assert message and message[1] == UP, message[:5]
        self.start()

    def init_pid(self):
        """ispawn-init as this process sees it."""
        children = pathlib.Path(f"/proc/{self.init.pid}/task/{self.init.pid}/children").read_text()
        return int(children.split()[0])

    def run(self):
        while True:
            ready, _, _ = select.select(
                [self.door, self.sock, self.wake_r, *self.shells.values()], [], [])
            if self.wake_r in ready:
                return
            if self.door in ready:
                self.shells[len(self.opened) + len(self.shells) + 1000] = self.door.accept()[0]
                continue
            if self.sock in ready and not self.from_init():
                return
            for number, sock in list(self.shells.items()):
                if sock in ready:
                    self.from_shell(number, sock)

    def from_init(self):
        try:
            message, fds = receive(self.sock)
        except OSError:
            message = None
        if message is None:
            for sock in self.shells.values():
                sock.close()
            self.shells = {}
            return False
        _, kind, tenant, value, *_ = message
        self.seen.append((kind, tenant, value))
        sock = self.shells.get(tenant)
        if sock and kind in (STARTED, REFUSED, EXITED):
            with contextlib.suppress(BrokenPipeError):  # the shell may be gone
                if kind == EXITED and tenant in self.last_words:
                    send(sock, pack(NOTICE, tenant, 0, self.last_words[tenant]))
                send(sock, MESSAGE.pack(*message), fds)
        for fd in fds:
            os.close(fd)
        return True

    def from_shell(self, number, sock):
        try:
            message, fds = receive(sock)
        except OSError:
            message = None
        if message is None:
            sock.close()
            del self.shells[number]
            if number < 1000:
                send(self.sock, pack(HANGUP, number))
            return
        kind = message[1]
        if kind == OPEN:
            del self.shells[number]
            self.opened.append(message[7].rstrip(b"\0"))
            number = len(self.opened)
            self.shells[number] = sock
            if self.script is not None:
                for answer, answer_fds in self.script:
                    try:
                        send(sock, answer, answer_fds)
                    except BrokenPipeError:  # the shell has left, as it should
                        break
                if self.script:  # answered: what came with OPEN is nobody's any more
                    for fd in fds:
                        os.close(fd)
                self.hold += [] if self.script else fds
                return
        if self.script is None:
            send(self.sock, pack(kind, number, message[3], message[7]), fds)
        for fd in fds:
            os.close(fd)

    def wait_for(self, kind, count=1, seconds=10):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if sum(1 for seen in self.seen if seen[0] == kind) >= count:
                return
            time.sleep(0.01)
        raise AssertionError(f"no message {kind} x{count} from init: {self.seen}")

    def close(self):
        os.write(self.wake_w, b"x")
        self.join()
        for sock in [self.sock, self.door, *self.shells.values()]:
            sock.close()
        for fd in self.hold + [self.wake_r, self.wake_w]:
            os.close(fd)
        status = self.init.wait(10)
        assert status == 125, f"init left with {status}"


class World:
    """What each test gets: a session and ways to run ispawn-shell in it."""

    def __init__(self, work, **session):
        self.work = work
        self.shell = str(work / "ispawn-shell")
        self.supervisor = Supervisor(work, **session)

    def environment(self, **more):
        return {"ISPAWN_SESSION": SESSION, "PATH": "/usr/bin:/bin", "LANG": "C", **more}

    def popen(self, *args, argv0="ispawn-shell", env=None, **more):
        return subprocess.Popen([argv0, *args], executable=self.shell, user=UID, group=UID,
                                extra_groups=[], env=env or self.environment(), **more)

    def run(self, *args, stdin=b"", **more):
        """As sshd runs a command: three pipes. (status, stdout, stderr)"""
        child = self.popen(*args, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, **more)
        out, err = child.communicate(stdin, timeout=60)
        return child.returncode, out, err

    def sh(self, command, **more):
        return self.run("-c", command, **more)

    def out(self, command, **more):
        status, out, err = self.sh(command, **more)
        assert (status, err) == (0, b""), (status, out, err)
        return out

    def terminal(self, *args, env=None, **more):
        """A login on a terminal; pexpect's own pty stands for sshd's."""
        child = pexpect.spawn(
            "/usr/bin/setpriv", [f"--reuid={UID}", f"--regid={UID}", "--clear-groups",
                                 str(self.work / "as"), *args],
            env=env or self.environment(TERM="xterm"), timeout=15, **more)
        child.delaybeforesend = 0
        return child

    def prompt(self, *args, **more):
        """An interactive bash with a plain prompt; answers with ask()."""
        child = self.terminal("-ispawn-shell", *args, **more)
        child.sendline("PS1='READY''> '; bind 'set enable-bracketed-paste off'; stty -echo")
        child.expect("READY> ")
        child.sendline("echo set''tled")
        child.expect("settled\r\n.*READY> ")
        return child

    def close(self):
        self.supervisor.close()


def ask(child, command):
    child.sendline(command)
    child.expect(r"(.*?)READY> ")
    return child.match.group(1).decode().strip()


def same(got, wanted):
    assert got == wanted, f"got {got!r}, wanted {wanted!r}"


def until(is_true, seconds=10):
    end = time.monotonic() + seconds
    while not is_true() and time.monotonic() < end:
        time.sleep(0.02)


TESTS = []


def test(function=None, **session):
    def add(what):
        TESTS.append((what, session))
        return what
    return add(function) if function else add
