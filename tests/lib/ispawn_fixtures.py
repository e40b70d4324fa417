# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures for every rung that runs in the test host: loaded with `pytest -p ispawn_fixtures`."""
import subprocess
import tempfile
import pathlib

import pytest

from host import Host, STORE


@pytest.fixture(scope="session", name="the_host")
def make_host():
    return Host()


@pytest.fixture
def host(the_host):
    return the_host


@pytest.fixture(autouse=True)
def nothing_left(the_host, request):
    """After each test: no process, mount, cgroup, namespace or registry entry beyond the baseline."""
    the_host.reset()
    yield
    left = the_host.wait_clean()
    if left:
        the_host.kill_all()
    the_host.reset()
    found = "".join(path.read_text() for path in pathlib.Path("/var/log").glob("ispawn-sanitizer*"))
    assert not found, found
    assert not left or request.node.get_closest_marker("leaves"), f"left behind: {left}"


@pytest.fixture
def log(the_host):
    """Call it for what the system log has got since the test began."""
    mark = the_host.log_mark()
    return lambda: the_host.log(mark)


@pytest.fixture
def clean_store(the_host):
    """The user has never logged in: no copy, no private home."""
    def remove(user):
        assert not the_host.wait_clean()
        subprocess.run(["rm", "-rf", "--one-file-system", str(STORE / "users" / user)], check=True)
    return remove


@pytest.fixture(scope="session")
def compile_c():
    """Compile a C program on the host, static, so that it runs wherever it is piped to: its bytes."""
    cache = {}

    def build(source, *flags):
        key = (source, flags)
        if key not in cache:
            with tempfile.TemporaryDirectory() as directory:
                path = pathlib.Path(directory)
                (path / "program.c").write_text(source)
                subprocess.run(["gcc", "-D_GNU_SOURCE", "-O1", "-w", "-static", *flags, "-o", path / "program",
                                path / "program.c"], check=True)
                cache[key] = (path / "program").read_bytes()
        return cache[key]
    return build


def pytest_configure(config):
    config.addinivalue_line("markers", "leaves: the test's subject is what stays; it looks itself")
