# SPDX-License-Identifier: GPL-3.0-or-later
"""Forwarded connections obey the container's network, not the host's (pitfall 3)."""
import contextlib
import socket
import subprocess
import threading
import time

import pytest

from host import run, wait_until

BATCH = ["-o", "BatchMode=yes", "-o", "LogLevel=ERROR"]
HOST_PORT = 5555


@pytest.fixture(name="service")
def make_service():
    """A service on the host's loopback that greets whoever reaches it."""
    server = socket.create_server(("127.0.0.1", HOST_PORT))
    server.settimeout(0.2)
    stop = threading.Event()

    def serve():
        while not stop.is_set():
            with contextlib.suppress(OSError):
                connection, _ = server.accept()
                with connection:
                    connection.sendall(b"host service\n")
    thread = threading.Thread(target=serve)
    thread.start()
    yield HOST_PORT
    stop.set()
    thread.join()
    server.close()


@contextlib.contextmanager
def forwarding(host, user, *options, ready):
    ssh = subprocess.Popen(["ssh", *BATCH, "-N", *options, f"{user}@localhost"], stderr=subprocess.PIPE)
    try:
        wait_until(ready, what=f"ssh {options}")
        yield ssh
    finally:
        ssh.terminate()
        ssh.wait()
        ssh.stderr.close()


def listens(port):
    return lambda: str(port) in run("ss", "-Hltn", f"sport = :{port}").stdout


def fetch(port, timeout=5):
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
        with contextlib.suppress(OSError):
            return connection.recv(100)
    return b""


def test_unconfined_user_reaches_the_host(host, service):
    done = run("ssh", *BATCH, "-W", f"127.0.0.1:{service}", "free@localhost")
    assert done.stdout == "host service\n"


@pytest.mark.parametrize("target", ["127.0.0.1", "localhost", "[::1]"])
def test_w_does_not_reach_the_hosts_loopback(host, service, target):
    done = run("ssh", *BATCH, "-W", f"{target}:{service}", "guest@localhost", input="")
    assert "host service" not in done.stdout
    assert done.returncode != 0


def test_j_does_not_reach_the_hosts_sshd(host):
    done = run("ssh", *BATCH, "-J", "guest@localhost", "free@127.0.0.1", "echo reached")
    assert "reached" not in done.stdout
    assert done.returncode != 0


def test_l_does_not_reach_the_hosts_loopback(host, service):
    with forwarding(host, "guest", "-L", f"6001:127.0.0.1:{service}", ready=listens(6001)):
        assert fetch(6001) == b""


def test_d_does_not_reach_the_hosts_loopback(host, service):
    with forwarding(host, "guest", "-D", "6002", ready=listens(6002)):
        with socket.create_connection(("127.0.0.1", 6002), timeout=5) as proxy:
            proxy.sendall(b"\x05\x01\x00")
            assert proxy.recv(2) == b"\x05\x00"
            proxy.sendall(b"\x05\x01\x00\x01\x7f\x00\x00\x01" + service.to_bytes(2, "big"))
            with contextlib.suppress(OSError):
                assert proxy.recv(100)[1:2] != b"\x00"


def test_l_reaches_a_service_inside(host):
    server = host.popen("guest", "echo up; exec nc.openbsd -lN 127.0.0.1 7000 < /etc/ispawn-template",
                        options=["-L", "6003:127.0.0.1:7000"])
    try:
        assert server.stdout.readline() == b"up\n"
        time.sleep(0.3)
        assert fetch(6003) == b"this is the template\n"
    finally:
        server.kill()
        server.communicate()


def test_r_listens_inside_and_not_on_the_host(host, service):
    done = host.ssh("guest", "sleep 0.3; nc.openbsd -N 127.0.0.1 6004 < /dev/null",
                    options=["-R", f"6004:127.0.0.1:{service}"])
    # the connection goes from inside to the client, which is on this host and may reach the service
    assert done.stdout == b"host service\n"
    with host.open_session("guest", options=["-R", f"6004:127.0.0.1:{service}"]):
        assert not listens(6004)()


def test_network_host_is_the_hosts(host, service):
    host.guest("network = host")
    assert host.sh("guest", f"nc.openbsd -N 127.0.0.1 {service} < /dev/null") == "host service"
    done = run("ssh", *BATCH, "-W", f"127.0.0.1:{service}", "guest@localhost", input="")
    assert done.stdout == "host service\n"


def test_network_none_has_a_loopback_and_nothing_else(host, service):
    assert host.sh("guest", "ls /sys/class/net 2>/dev/null || ip -br link | cut -d' ' -f1") == "lo"
    assert "UP" in host.sh("guest", "ip link show lo | head -1")
    assert host.sh("guest", "ping -c1 127.0.0.1 >/dev/null 2>&1; (echo hi | nc.openbsd -lN 127.0.0.1 7001 &) ;"
                            " sleep 0.3; nc.openbsd -N 127.0.0.1 7001 </dev/null") == "hi"
    assert host.ssh("guest", f"nc.openbsd -w2 127.0.0.1 {service}").stdout == b""


def test_abstract_sockets_of_the_host_are_out_of_reach(host):
    # pitfall 42, CVE-2020-15257
    server = socket.socket(socket.AF_UNIX)
    server.bind("\0ispawn-test-abstract")
    server.listen()
    try:
        assert "ispawn-test-abstract" in run("cat", "/proc/net/unix").stdout
        done = host.ssh("guest", "cat /proc/net/unix; python3 -c \""
                        "import socket; socket.socket(socket.AF_UNIX).connect('\\0ispawn-test-abstract')\"")
        assert done.returncode != 0
        assert b"ispawn-test-abstract" not in done.stdout
        assert b"ConnectionRefusedError" in done.stderr
    finally:
        server.close()
