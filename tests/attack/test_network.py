# SPDX-License-Identifier: GPL-3.0-or-later
"""With network = none: the host's loopback, its abstract sockets, the cloud's metadata, the wire."""
import contextlib
import socket
import threading

import pytest

from conftest import PLACES
from host import run

BATCH = ["-o", "BatchMode=yes", "-o", "LogLevel=ERROR"]
METADATA = "169.254.169.254"
GREETING = b"service of the host\n"


@pytest.fixture(name="service")
def make_service():
    """The host's services on loopback, on the metadata address and on an abstract socket."""
    run("ip", "addr", "add", f"{METADATA}/32", "dev", "lo")
    abstract = socket.socket(socket.AF_UNIX)
    abstract.bind("\0attack-abstract")
    abstract.listen()
    servers = [socket.create_server((address, 8080)) for address in ("127.0.0.1", METADATA)]
    servers += [socket.create_server(("::1", 8080), family=socket.AF_INET6), abstract]
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("0.0.0.0", 8081))
    stop = threading.Event()

    def serve(server):
        server.settimeout(0.1)
        while not stop.is_set():
            with contextlib.suppress(OSError):
                with server.accept()[0] as connection:
                    connection.sendall(GREETING)
    threads = [threading.Thread(target=serve, args=(server,)) for server in servers]
    for thread in threads:
        thread.start()
    yield udp
    stop.set()
    for thread in threads:
        thread.join()
    for server in (*servers, udp):
        server.close()
    run("ip", "addr", "del", f"{METADATA}/32", "dev", "lo")


REACH = """
import socket
def ask(family, kind, address):
    try:
        with socket.socket(family, kind) as s:
            s.settimeout(2)
            s.connect(address)
            if kind == socket.SOCK_DGRAM:
                s.send(b"knock")
                return "sent"
            return s.recv(100).decode()
    except OSError as e:
        return "no: " + type(e).__name__
I, I6, U, S, D = socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, socket.SOCK_STREAM, socket.SOCK_DGRAM
for family, kind, address in ((I, S, ("127.0.0.1", 8080)), (I, S, ("169.254.169.254", 8080)), (I6, S, ("::1", 8080)),
        (I, S, ("127.0.0.1", 22)), (I, S, ("127.0.0.53", 53)), (I, S, ("192.0.2.1", 80)), (U, S, "\\0attack-abstract"),
        (I, D, ("127.0.0.1", 8081)), (I, D, ("169.254.169.254", 8081)), (U, S, "/run/ispawn/door"),
        (U, D, "/dev/log"), (U, S, "/run/systemd/private"), (U, S, "/var/run/docker.sock")):
    print(ask(family, kind, address))
"""


def test_cve_2020_15257_abstract_sockets_loopback_and_metadata(host, place, service, python_inside):
    """Pitfall 42: nothing of the host answers, by TCP, UDP or abstract socket."""
    lines = python_inside(REACH).stdout.decode().splitlines()
    assert len(lines) == 13
    # A datagram to one's own loopback goes, and nowhere else.
    assert [line for line in lines if not line.startswith("no: ")] == ["sent"], lines
    service.settimeout(0.3)
    with pytest.raises(TimeoutError):
        service.recv(100)


def test_the_tries_tell(host, service, python_inside):
    """Unconfined, the same script reaches what there is."""
    lines = python_inside(REACH, user="free").stdout.decode().splitlines()
    assert lines.count(GREETING.decode().strip()) == 4 and lines.count("sent") >= 2


@pytest.mark.parametrize("target", ["127.0.0.1:8080", f"{METADATA}:8080", "[::1]:8080", "localhost:22"])
def test_forwarding_reaches_no_more_than_the_shell(host, service, target):
    """Pitfalls 3, 42: -W is dialled by sshd, from inside the container's network."""
    done = run("ssh", *BATCH, "-W", target, "guest@localhost", input="")
    assert done.stdout == "" and done.returncode != 0
    assert run("ssh", *BATCH, "-W", target, "free@localhost", input="").stdout != ""


def test_remote_forwarding_takes_no_port_of_the_host(host):
    """Pitfall 3: -R with GatewayPorts would offer the user's service in the host's name."""
    with host.open_session("guest", options=["-R", "*:8088:127.0.0.1:22", "-R", "127.0.0.1:8089:127.0.0.1:22"]):
        listening = run("ss", "-Hltn").stdout
        assert ":8088" not in listening and ":8089" not in listening
    with host.open_session("free", options=["-R", "*:8088:127.0.0.1:22"]):
        assert ":8088" in run("ss", "-Hltn").stdout


def test_root_inside_makes_no_network(host, python_inside):
    """No interface, address, route or raw frame: NET_ADMIN is never in the set, packet sockets are refused."""
    host.guest(*PLACES["root"])
    done = host.ssh("guest", "export PATH=$PATH:/sbin; ip link add v0 type veth && echo veth; ip tuntap add t0 mode tun && "
                             "echo tun; ip addr add 192.0.2.9/24 dev lo && echo address; ip route add default dev lo && "
                             "echo route; ip link set lo netns 1 && echo netns; ls /dev/net 2>/dev/null; "
                             "ls /sys/class/net; echo end")
    assert done.stdout == b"lo\nend\n", done
    done = python_inside("import socket\nfor p in (0x300, 0):\n try: socket.socket(17, 3, p); print('raw')\n "
                         "except OSError: pass")
    assert done.stdout == b""


def test_no_two_containers_share_a_network(host):
    """Pitfall 42: not even two logins of one user, nor the supervisor's."""
    with host.open_session("guest"), host.open_session("guest"), host.open_session("student"):
        found = {run("readlink", f"/proc/{pid}/ns/net").stdout for pid in host.pids("ispawn-init")}
        assert len(found) == 3
        assert run("readlink", "/proc/self/ns/net").stdout not in found
