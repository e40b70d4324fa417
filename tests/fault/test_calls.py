# SPDX-License-Identifier: GPL-3.0-or-later
"""Each system call of a start fails once, and each start is denied with everything undone.

A login is traced, and repeated with one of its calls failing each time.  The calls are those of the
module in the application, of the middle child, the supervisor, the builder and init, until the
application has been moved.  Calls that look alike in the trace are tried once; ISPAWN_FAULT=all
tries each (some five minutes).  Which errno a call gets rotates; ISPAWN_FAULT_TURN=1 to 4 gives
each another one.
"""
import errno
import os
import re
import shutil
import subprocess

import pytest

from fault import IS_ALL, denial_problems, store_problems
from host import STORE

ERRNOS = (errno.ENOSYS, errno.EPERM, errno.ENOMEM, errno.EIO, errno.ENOSPC)
TURN = int(os.environ.get("ISPAWN_FAULT_TURN", "0"))

# Failures that a start survives: whose calls, as Call.title has them, and why.
SURVIVED = (
    # The module and whoever becomes the supervisor.
    (r"A rt_sigprocmask .*", "the mask that the kernel handed out is given back"),
    (r"A wait4 .*", "the middle child's status says nothing; the socket does"),
    (r"A (openat|mkdirat|(fstatfs|newfstatat|fcntl 0x406) after openat) "
     r"(/sys/fs/cgroup|memory|pids|cpu|cpuacct|blkio|unified|ispawn|\.supervisors)|M clone3 .*",
     "a supervisor that is not born in its cgroup enters it"),
    (r"S (openat|(read|newfstatat) after openat) /proc/self/cgroup", "the same: taken not to be in it yet"),
    (r"S rt_sigaction .*", "asks what is ignored; a supervisor's own SIGCHLD is not ignored by the doors there are"),
    (r"S (umask|setsid) .*", "cannot fail; or the door has done it"),
    (r"S fcntl 0x[12] after openat /proc/sys/kernel/cap_last_cap", "no pidfd and no directory, as far as can be told"),
    # Libraries: libc's start, libcap-ng's.
    (r"S (prlimit64 after chdir /|(getrandom after )?readlink /proc/self/exe)|B (prlimit64|readlink|getrandom) .*",
     "libc's start"),
    (r"[SB] (mmap|getrandom) after openat (/etc/(sub[ug]id|passwd|group)|/proc/sys/kernel/cap_last_cap)",
     "malloc finds memory elsewhere"),
    (r"[SB] (openat|read after openat|fstatfs after openat|prctl 0x(17|1b|27|2f) after openat) "
     r"/proc/sys/kernel/cap_last_cap", "libcap-ng asks the kernel which capabilities there are in another way"),
    (r"[SB] prctl 0x17 .*", "what the bounding set holds is asked again by the proof"),
    (r"S (socket|connect) after openat /proc/sys/kernel/cap_last_cap", "syslog connects again at its first line"),
    # cgroups: a hierarchy that cannot be told to be one is none, and limits that need it then deny.
    (r"S fstatfs after openat (/sys/fs/cgroup|memory|pids|cpu|blkio|cpuacct|systemd|unified)", "not taken for a hierarchy"),
    (r"S (socket|connect|sendmsg|poll) after openat \.", "the user's other session is asked again"),
    (r"S newfstatat after openat (memory|pids|cpu|cpuacct|blkio|unified)", "taken for another one than those before"),
    (r"S faccessat2 .*", "asked twice, or by libc in another way when the kernel lacks it"),
    (r"S (openat|(read|newfstatat) after openat) /proc/swaps", "swap is taken to exist, and is limited"),
    (r"S (openat|(read|newfstatat) after openat) pids\.events", "a counter: it starts from 0"),
    (r"S flock 0x8 .*", "closing unlocks as well"),
    # The container's processors, and lxcfs's numbers.
    (r"S (openat|(newfstatat|fcntl 0x[0-9a-f]+|getdents64|read) after openat) (\.\.|ID/pid)|S sched_[gs]etaffinity .*",
     "another choice of processors, or all of them"),
    (r"S statx .*|B newfstatat /sys/devices/system/cpu/online", "not shown: numbers for people to read"),
    # The builder.
    (r"B (openat|(read|newfstatat) after openat) (/etc/(passwd|group|hostname|hosts|machine-id|resolv\.conf)|/run/\.ispawn-shown)",
     "whether the text is there already cannot be told: it is written again"),
    (r"B newfstatat (/bin/bash|/bin/sh)", "not taken for a program: the next candidate"),
    (r"B keyctl .*", "ENOSYS: no keyrings in this kernel, nothing to share"),
    (r"B (setres[ug]id -1|setgroups NULL after (?!start)).*", "the proof's own attempt, which is to fail"),
    (r"B rt_sigprocmask .*", "init's signals: PID 1 gets none that it has no handler for"),
)

# Denials that name another errno than the call's own, and what they say.
TOLD_OTHERWISE = (
    (r"S fcntl 0x1 .*", "descriptor \\d is closed"),
    (r"[SB] fcntl 0x40a .*", "Operation not permitted"),  # seals that cannot be read are no seals
    (r"S fstatfs after openat (memory|pids|cpu)", "this machine's cgroups have no"),
    (r"S fstatfs after openat /sys/fs/cgroup", "no cgroup hierarchy is mounted"),
    (r"[SB] capget .*", r"(is not known to |set the capability sets \()libcap-ng"),  # it keeps it to itself
    (r"[SB] prctl 0x17 .*", "(still in|out of) the bounding set"),
    (r"[SB] prctl 0x2f .*", "in the ambient set"),
    (r"S setfs[ug]id .*", "take (root|container root)'s ids"),  # setfsuid(2) reports nothing
    (r"B newfstatat /bin/sh", "is not a program inside template"),
    (r"B getgroups .*", "a group was not dropped"),
    (r"B prctl 0x3 .*", "the process is dumpable"),
    (r"B prctl 0x27 .*", "no_new_privs is off"),
    (r"B prctl 0x15 .*", "no system call filter is on"),
    (r"B sendmsg .*", "ended without a word"),  # UP itself
    (r"S recvmsg after openat \.", "neither shares its overlay nor ends"),  # waited for till the deadline
    (r"C .*", "cp ended with status 127"),
)


def alike(calls):
    """Groups of calls that look alike: title to calls."""
    groups = {}
    for call in calls:
        groups.setdefault(call.title, []).append(call)
    return groups


def choose(calls):
    if IS_ALL:
        return calls
    return [group[len(group) // 2] for group in alike(calls).values()]


def reason(table, call):
    return next((why for pattern, why in table if re.fullmatch(pattern, call.title)), None)


def try_call(fault, call, number, base=None):
    """Let @call of a login fail with @number; whatever is wrong afterwards."""
    if not base:
        fault.forget()
    login = fault.login(fault.plan(call, "errno", number))
    problems = store_problems(fault)
    left = fault.left(base)
    if left:
        problems.append(f"left behind: {left}")
        if not base:
            fault.host.kill_all()
    if login.fired is None:
        return problems + ["the call was not made"]
    if login.ran:
        return problems if reason(SURVIVED, call) else problems + ["the login succeeded"]
    cause = "|".join([re.escape(os.strerror(number)), *filter(None, [reason(TOLD_OTHERWISE, call)])])
    return problems + denial_problems(login, cause)


def trace(fault, is_first=True):
    """The calls of a login that succeeds."""
    if is_first:
        fault.forget()
    login = fault.login()
    assert login.ran, login
    return fault.building(login.calls)


def try_calls(fault, calls, base=None):
    """Each of these calls fails in a login of its own; all problems."""
    found = []
    for i, call in enumerate(calls):
        number = ERRNOS[(i + TURN) % len(ERRNOS)]
        found += [f"{call.title} (no. {call.nth}) {errno.errorcode[number]}: {problem}"
                  for problem in try_call(fault, call, number, base)]
    return found


@pytest.fixture(name="ordinary")
def make_ordinary(fault):
    """What a first login with the default policy calls."""
    trace(fault)  # what only the first login since boot makes
    return trace(fault)


def beyond(calls, ordinary):
    known = {call.title for call in ordinary}
    return [call for call in calls if call.title not in known]


@pytest.mark.parametrize("role", ["A", "M", "S", "B"])
def test_each_call_of_a_first_login(fault, ordinary, role):
    calls = choose([call for call in ordinary if call.role == role])
    assert calls
    assert not (found := try_calls(fault, calls)), "\n".join(found)
    assert fault.login().ran


@pytest.fixture(name="tiny_template")
def make_tiny_template(compile_c):
    """A template that is copied in no time: a shell that says what a command would."""
    top = STORE / "templates/tiny"
    for name in ("bin", "etc/skel"):
        (top / "rootfs" / name).mkdir(parents=True)
    for name in (".bashrc", ".profile"):
        (top / "rootfs/etc/skel" / name).touch()
    shell = top / "rootfs/bin/sh"
    shell.write_bytes(compile_c("int main(void) { return write(1, \"ran\\n\", 4) != 4; }"))
    shell.chmod(0o755)
    yield
    shutil.rmtree(top)


def test_each_further_call_of_a_full_copy(fault, ordinary, tiny_template):
    del tiny_template
    fault.host.guest("template = tiny", "rootfs = copy", "shell = /bin/sh")
    calls = choose(beyond(trace(fault), ordinary))
    assert {"S renameat copy.new", "C execve /bin/cp"} <= {call.title for call in calls}
    assert not (found := try_calls(fault, calls)), "\n".join(found)
    assert fault.login().ran


def test_each_further_call_with_everything_else_on(fault, ordinary):
    fault.host.guest("rootfs = readonly", "home = tmpfs", "network = host", "privilege = root", "groups = projects",
                     "bind = /etc/security:/mnt/security:ro")
    calls = choose(beyond(trace(fault), ordinary))
    assert {"S open_tree", "B openat /etc/resolv.conf"} & {re.sub(" after .*", "", c.title) for c in calls}
    assert not (found := try_calls(fault, calls)), "\n".join(found)
    assert fault.login().ran


def test_each_further_call_beside_a_session_of_the_same_user(fault, ordinary):
    # what fails in the second login must not touch the first
    with fault.host.open_session("guest") as first:
        calls = choose(beyond(trace(fault, is_first=False), ordinary))
        base = fault.leftovers()
        assert "S setns" in {re.sub(" after .*", "", call.title) for call in calls}
        assert not (found := try_calls(fault, calls, base)), "\n".join(found)
        first.stdin.write(b"alive\n")
        first.stdin.flush()
        assert first.stdout.readline() == b"alive\n"


# --- kernels without a system call ----------------------------------------------------------------

LACKING = ("open_tree", "move_mount", "fsopen", "fsconfig", "fsmount", "mount_setattr", "clone3", "pidfd_open",
           "close_range", "execveat", "seccomp", "unshare", "pivot_root", "signalfd4")


@pytest.mark.parametrize("name", LACKING)
def test_kernel_without_a_call_that_is_needed(fault, name):
    # nothing falls back to something weaker
    login = fault.login(f"* {fault.numbers[name]} 0 errno {errno.ENOSYS}")
    assert login.fired
    assert not login.ran
    assert not denial_problems(login, "Function not implemented|supervisor ended before|without a word")
    assert not store_problems(fault)
    subprocess.run(["ispawnctl", "gc"], check=True)
    assert not fault.left()


def test_kernel_without_keyrings(fault):
    # CONFIG_KEYS=n: the one call that may be missing
    assert fault.login(f"* {fault.numbers['keyctl']} 0 errno {errno.ENOSYS}").ran
