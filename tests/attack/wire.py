# SPDX-License-Identifier: GPL-3.0-or-later
"""The session's protocol in Python, for those who speak it by hand: ispawn/session/protocol.h."""
import contextlib
import os
import pathlib
import re
import socket
import struct

from conftest import HERE, acting_as
from host import RUN, wait_until

HEADER = HERE.parents[1] / "include/ispawn/session/protocol.h"
MAGIC = int(re.search(r"define ISP_MESSAGE_MAGIC (0x[0-9a-f]+)u", HEADER.read_text()).group(1), 16)
TYPES = {name: n for n, name in enumerate(re.findall(r"^\tISP_MESSAGE_(\w+),", HEADER.read_text(), re.M))}
MESSAGE = struct.Struct("=IIIiiI240s256s")


def pack(kind, tenant=0, value=0, text=b"", why=b"", magic=MAGIC):
    return MESSAGE.pack(magic, TYPES.get(kind, kind), tenant, value, 0, 0, why, text)


def send(sock, data, fds=()):
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        socket.send_fds(sock, [data], fds) if fds else sock.send(data)


def is_dropped(sock, timeout=5):
    """The supervisor has hung up on this connection."""
    sock.settimeout(timeout)
    try:
        return sock.recv(MESSAGE.size) == b""
    except TimeoutError:
        return False
    except (ConnectionResetError, BrokenPipeError):
        return True


class Victim:
    """A session of guest's with its supervisor, spoken to through its socket."""

    def __init__(self, host, ssh):
        self.host, self.ssh = host, ssh
        self.session, = [s for s in host.sessions() if s.startswith("guest.")]
        self.path = str(RUN / "sessions" / self.session / "socket")
        self.supervisor = int((RUN / "sessions" / self.session / "pid").read_text())
        self.init = int(pathlib.Path(f"/proc/{self.supervisor}/task/{self.supervisor}/children").read_text().split()[0])
        self.fds_before = self.fds()

    def fds(self):
        return len(os.listdir(f"/proc/{self.supervisor}/fd"))

    def connect(self, user="guest"):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with acting_as(user) if user != "root" else contextlib.nullcontext():
            sock.connect(self.path)
        return sock

    def works(self):
        """Its tenant goes on, the supervisor is the same and holds nothing that was thrown at it."""
        self.ssh.stdin.write(b"alive\n")
        self.ssh.stdin.flush()
        assert self.ssh.stdout.readline() == b"alive\n"
        assert self.host.pids("ispawn-supervisor").count(self.supervisor) == 1
        wait_until(lambda: self.fds() <= self.fds_before, what="the supervisor to close what it was sent")
