# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the cases in the virtual test host: loaded with `pytest -p vm_fixtures`."""
import pytest

from vm_host import VmHost


@pytest.fixture(scope="session", name="the_vm")
def make_vm():
    return VmHost()


@pytest.fixture
def vm(the_vm):
    return the_vm


@pytest.fixture
def log(the_vm):
    """Call it for what the journal has got since the case began."""
    mark = the_vm.mark()
    return lambda: the_vm.log(mark)


@pytest.fixture(autouse=True)
def nothing_left(the_vm):
    """Each case starts with the default policy, and leaves nothing of its sessions behind."""
    the_vm.confine()
    yield
    left = the_vm.wait_clean()
    if left:
        the_vm.root("pkill -9 -x ispawn-supervis; pkill -9 -u guest,student; sleep 1; ispawnctl gc", check=False)
    assert not left, f"left behind: {left}"


def pytest_terminal_summary(terminalreporter):
    def names(*kinds):
        return {report.nodeid for kind in kinds for report in terminalreporter.getreports(kind)}
    failed = names("failed", "error")  # a case whose end leaves something behind is in both
    terminalreporter.write_line(f"{len(names('passed') - failed)} passed, {len(failed)} failed")
