# SPDX-License-Identifier: GPL-3.0-or-later
"""What the attack rung shares: programs piped into a login, a mark that only the host has.

PLACES are the two ends of what a tenant may be: a user without any privilege, and the root of his
own container.  What holds for both holds for `privilege = sudo`, which lies between.
"""
import contextlib
import os
import pathlib
import pwd
import subprocess

import pytest

from host import STORE

HERE = pathlib.Path(__file__).resolve().parent
MARK = pathlib.Path("/mark-of-the-host")
PLACES = {"user": ["privilege = none"], "root": ["privilege = root"]}
LAYER = STORE / "users/guest/rootfs-default/data/upper"  # the user's own layer, as the host sees it


@pytest.fixture(scope="session", autouse=True)
def mark_the_host():
    MARK.write_text("the host's root\n")
    yield
    MARK.unlink()


@pytest.fixture(params=PLACES)
def place(host, request):
    """The policy of either end; its name."""
    host.guest(*PLACES[request.param])
    return request.param


@pytest.fixture
def root_inside(host):
    """The attacker is the root of his container."""
    host.guest(*PLACES["root"])


@pytest.fixture(scope="session")
def upload(the_host, compile_c):
    """Pipe one of the C programs beside this file into a login and run it; its lines, split at tabs."""
    def run(source, *args, user="guest", flags=(), **kwargs):
        program = compile_c((HERE / source).read_text(), *flags)
        words = " ".join(args)
        done = the_host.ssh(user, f"cat > /tmp/program && chmod 700 /tmp/program && exec /tmp/program {words}",
                            input=program, **kwargs)
        assert done.returncode == 0, done.stderr
        return [line.split("\t") for line in done.stdout.decode().splitlines()]
    return run


@pytest.fixture(scope="session")
def compile_shared(tmp_path_factory):
    """Compile a shared object: its bytes."""
    def build(source):
        directory = tmp_path_factory.mktemp("shared")
        (directory / "object.c").write_text(source)
        subprocess.run(["gcc", "-D_GNU_SOURCE", "-O1", "-w", "-shared", "-fPIC", "-o", directory / "object.so",
                        directory / "object.c"], check=True)
        return (directory / "object.so").read_bytes()
    return build


@pytest.fixture(scope="session")
def python_inside(the_host):
    """Run a Python script in a login; CompletedProcess."""
    def run(script, user="guest", **kwargs):
        return the_host.ssh(user, "exec python3 -", input=script, **kwargs)
    return run


@contextlib.contextmanager
def acting_as(user):
    """This process with the user's effective ids: for files it touches and sockets it connects."""
    info = pwd.getpwnam(user)
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(info.pw_gid)
    os.seteuid(info.pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


@pytest.fixture
def survivor(host):
    """Another user's login that must not notice anything."""
    with host.open_session("student") as ssh:
        yield ssh
        ssh.stdin.write(b"still here\n")
        ssh.stdin.flush()
        assert ssh.stdout.readline() == b"still here\n"


@pytest.fixture
def victim(host, survivor):
    """A session of guest's to attack, beside one that must survive."""
    from wire import Victim
    with host.open_session("guest") as ssh:
        yield Victim(host, ssh)
