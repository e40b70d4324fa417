# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody is killed, or stops, in the middle of a start.

Where the supervisor lives, nothing stays.  Where it does not, the kernel takes the processes, the
namespaces and the mounts; the cgroup and the registry's entry stay until the next login of anybody
or `ispawnctl gc`.  What is killed at rest is in the login rung.
"""
import re
import signal
import subprocess

import pytest

from fault import ID, denial_problems, moments, resume, send, store_problems_of_killed, sweep
from host import wait_until


@pytest.fixture(name="calls")
def make_calls(fault):
    """The calls of a first login."""
    assert fault.login().ran
    fault.forget()
    return fault.building(fault.login().calls)


def entry_and_cgroup_only(left):
    return not set(left) - {"registry", "cgroups"}


def wait_processes_gone(fault):
    """Without any sweep: nothing lives, and nothing is mounted."""
    wait_until(lambda: entry_and_cgroup_only(fault.leftovers()),
               what=f"the end of all processes: {fault.leftovers()}")


def lines_of_denial(login):
    return [line for line in login.ours if "stage=" in line]


@pytest.mark.parametrize("role", ["A", "S", "B"])
def test_supervisor_is_killed_at_a_call_of(fault, calls, role):
    for call in moments([call for call in calls if call.role == role and (role != "A" or call.nth > 1)], 30):
        fault.forget()
        login = fault.login(fault.plan(call, "kill", "S"))
        if not login.fired["S"]:  # not there yet, or no longer: the application's own calls
            assert login.ran, (call, login)
            continue
        wait_processes_gone(fault)
        if not login.ran and "ispawn: " not in login.told:  # what ispawn-shell says comes later
            problems = denial_problems(login, "supervisor ended before|answer of the supervisor")
            assert not problems, (call, problems)
        sweep()
        assert not fault.left(), call
        assert not (problems := store_problems_of_killed(fault)), (call, problems)


def test_next_login_of_somebody_else_sweeps(fault, calls):
    call = [call for call in calls if call.title == "S openat /proc/N/uid_map"][0]
    fault.login(fault.plan(call, "kill", "S"))
    assert "registry" in fault.leftovers()
    assert fault.host.sh("student", "echo in") == "in"
    assert not fault.left()


def test_dead_sessions_do_not_count(fault, calls):
    # however many supervisors die, the user is not locked out by his limit
    fault.host.guest("sessions = 2")
    call = [call for call in calls if call.title == "S openat /proc/N/uid_map"][0]
    for _ in range(3):
        fault.login(fault.plan(call, "kill", "S"))
    assert fault.login().ran


@pytest.mark.parametrize("role", ["S", "B"])
def test_builder_is_killed_at_a_call_of(fault, calls, role):
    for call in moments([call for call in calls if call.role == role], 30):
        fault.forget()
        login = fault.login(fault.plan(call, "kill", "B"))
        if not login.fired["B"]:
            assert login.ran, (call, login)
            continue
        assert not fault.left(), call
        if login.ran or "event=start" in login.log:
            continue  # it stood already, and what ended was a session
        problems = denial_problems(login, "stage=") + store_problems_of_killed(fault)
        assert not problems, (call, problems)


@pytest.mark.parametrize("role", ["A", "M", "S", "B"])
def test_application_is_killed_at_a_call_of(fault, calls, role):
    for call in moments([call for call in calls if call.role == role], 30):
        fault.forget()
        login = fault.login(fault.plan(call, "kill", "A"))
        assert not login.ran, call
        assert login.done.returncode == -signal.SIGKILL, (call, login.done)
        assert not fault.left(), call
        assert not (problems := store_problems_of_killed(fault)), (call, problems)
        lines = lines_of_denial(login)
        assert len(lines) <= 1, (call, lines)
        assert all(re.search(f"session={ID} event=denied", line) for line in lines), (call, lines)


def test_middle_child_is_killed(fault, calls):
    call = [call for call in calls if call.role == "M"][0]
    login = fault.login(fault.plan(call, "kill", "M"))
    assert not login.ran
    assert not denial_problems(login, "supervisor ended before")
    assert not fault.left()


# --- stopped --------------------------------------------------------------------------------------

BUILDER_STOPS = ["B prctl 0x1 after start", "B recvmsg after start", "B execveat .*", "B recvmsg after open_tree /dev/tty",
                 "B pivot_root .*", "B seccomp .*"]
SUPERVISOR_STOPS = ["S openat rootfs", "S openat /proc/N/gid_map", "S fsopen overlay", "B pivot_root .*"]


def stop_at(fault, calls, title, role):
    """A login whose @role stops at that call; denied in time, though nobody lets it go on."""
    fault.host.guest("start_timeout = 1s")
    call = [call for call in calls if re.fullmatch(title, call.title)][-1]
    mark = fault.host.log_mark()
    process = fault.start(fault.plan(call, "stop", role))
    pids = fault.wait_fired()
    out, err = process.communicate(timeout=8)
    assert "ran" not in out
    assert re.search(rf"Login denied: .*session ({ID})\)", err)
    assert len(re.findall("stage=deadline.*1 s", fault.log(mark))) == 1
    assert fault.host.ssh("root", "true").returncode == 0, "root must get in"
    return process, pids, mark


@pytest.mark.parametrize("title", BUILDER_STOPS)
def test_builder_that_stops_is_denied_in_time(fault, calls, title):
    # the supervisor lives: nothing has to be let go on
    process, _, _ = stop_at(fault, calls, title, "B")
    assert process.returncode != 0
    assert not fault.left()
    assert not store_problems_of_killed(fault)


@pytest.mark.parametrize("title", SUPERVISOR_STOPS)
def test_supervisor_that_stops_is_denied_in_time(fault, calls, title):
    process, pids, mark = stop_at(fault, calls, title, "S")
    resume(pids["S"])
    login = fault.finish(process, mark)
    assert not fault.left()
    assert not store_problems_of_killed(fault)
    assert len(lines_of_denial(login)) <= 2, "the module's, and the supervisor's that the login is gone"


def test_supervisor_that_stops_for_ever_is_killed(fault, calls):
    process, pids, _ = stop_at(fault, calls, "B mount /", "S")
    send(pids["S"], signal.SIGKILL)
    assert process.returncode != 0
    wait_processes_gone(fault)
    sweep()
    assert not fault.left()
    assert not store_problems_of_killed(fault)


def test_supervisor_that_stops_does_not_hold_up_others(fault, calls):
    process, pids, mark = stop_at(fault, calls, "S openat /proc/N/uid_map", "S")
    assert fault.host.sh("student", "echo in") == "in"
    sweep()
    assert "in" in subprocess.run(["su", "student", "-c", "echo in"], capture_output=True, text=True,
                                  timeout=20, check=True).stdout
    resume(pids["S"])
    fault.finish(process, mark)
    assert not fault.left()
