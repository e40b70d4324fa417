# SPDX-License-Identifier: GPL-3.0-or-later
"""journald.py - what journald's socket receives, for the test host, which has no journald."""
import contextlib
import pathlib
import socket
import threading

from host import wait_until

SOCKET = pathlib.Path("/run/systemd/journal/socket")


def parse(datagram):
    """A datagram of the native protocol: names to values; strict, as journald is."""
    fields = {}
    while datagram:
        head, newline, datagram = datagram.partition(b"\n")
        assert newline, f"no newline after {head}"
        name, is_plain, value = head.partition(b"=")
        if not is_plain:
            size = int.from_bytes(datagram[:8], "little")
            value, end, datagram = datagram[8:8 + size], datagram[8 + size:9 + size], datagram[9 + size:]
            assert (len(value), end) == (size, b"\n"), name
        name = name.decode()
        assert name.replace("_", "").isalnum() and name.isupper() and len(name) <= 64 and name not in fields
        fields[name] = value.decode()
    return fields


def fill(path):
    """A datagram socket's queue, until it takes no more."""
    with contextlib.suppress(BlockingIOError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        while True:
            sock.sendto(b"<191>full", socket.MSG_DONTWAIT, str(path))


class Journald:
    """One that listens, or, not started, one that hangs."""

    def __init__(self):
        self.entries = []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        SOCKET.parent.mkdir(parents=True)
        self.socket.bind(str(SOCKET))
        SOCKET.chmod(0o666)
        self.thread = None

    def start(self):
        def listen():
            while (datagram := self.socket.recv(1 << 16)) != b"end":
                self.entries.append(parse(datagram))
        self.thread = threading.Thread(target=listen)
        self.thread.start()

    def close(self):
        if self.thread:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.sendto(b"end", str(SOCKET))
            self.thread.join()
        self.socket.close()
        remove()

    def wait(self, event, identifier="ispawn-supervisor"):
        """The first entry of that event."""
        def find():
            return [e for e in list(self.entries) if (e.get("ISPAWN_EVENT"), e["SYSLOG_IDENTIFIER"]) == (event, identifier)]
        return wait_until(find, what=f"journald's entry of {event}")[0]


def remove():
    SOCKET.unlink(missing_ok=True)
    SOCKET.parent.rmdir()
    with contextlib.suppress(OSError):
        SOCKET.parent.parent.rmdir()


@contextlib.contextmanager
def journald(is_listening=True):
    served = Journald()
    try:
        if is_listening:
            served.start()
        yield served
    finally:
        served.close()
