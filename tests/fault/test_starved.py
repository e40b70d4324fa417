# SPDX-License-Identifier: GPL-3.0-or-later
"""Something that a start needs is full, gone, too small or of the wrong kind.

With `tests/login/test_denials.py`, which has what an administrator configures wrongly.
"""
import contextlib
import os
import pathlib
import re
import subprocess

import pytest

from fault import SU, denial_problems
from host import RUN, STORE, run

USERS = STORE / "users"


@contextlib.contextmanager
def mounted(where, *options, kind="tmpfs"):
    where.mkdir(mode=0o700, exist_ok=True)
    subprocess.run(["mount", "-t", kind, "-o", ",".join(options), kind, where], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", where], check=True)


def su(fault, *prefix):
    """A login that nobody looks at while it runs."""
    mark = fault.host.log_mark()
    done = subprocess.run([*prefix, *SU], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30,
                          check=False)
    return fault.seen(done, mark)


def denied_until_it_fits(fault, where, mode, option, amounts, cause):
    """Logins with more and more room there: each is denied and told, until the first that runs."""
    for denied, amount in enumerate(amounts):
        with mounted(where, f"mode={mode}", option.format(amount)):
            base = {"mounts": [str(where)]}
            login = su(fault)
            assert not (left := fault.left(base)), (amount, left)
            if login.ran:
                return denied
            problems = denial_problems(login, cause)
            assert not problems, (amount, problems)
            assert not [path for path in where.rglob("*.new")], amount
    pytest.fail(f"never enough: {amounts}")


# Before Linux 6.3 a tmpfs has no idmapped mounts either, and no amount is enough.
HAS_IDMAPPED_TMPFS = tuple(map(int, os.uname().release.split(".")[:2])) >= (6, 3)
FULL = "No space left on device"


def test_disk_full_of_files(fault):
    if HAS_IDMAPPED_TMPFS:
        assert denied_until_it_fits(fault, USERS, "0700", "nr_inodes={}", range(1, 80), FULL) > 10


def test_disk_full_of_bytes(fault):
    if HAS_IDMAPPED_TMPFS:
        assert denied_until_it_fits(fault, USERS, "0700", "size={}k,huge=never", range(4, 400, 4), FULL) > 3


def test_run_full_of_files(fault):
    assert denied_until_it_fits(fault, RUN, "0711", "nr_inodes={}", range(1, 30), FULL) > 3


def test_run_full_of_bytes(fault):
    assert denied_until_it_fits(fault, RUN, "0711", "size={}k,huge=never", range(4, 40, 4), FULL) > 0


def test_user_who_has_filled_his_disk_can_log_in_and_make_room(fault):
    with mounted(USERS, "mode=0700", "size=1m", "huge=never"):
        fault.host.sh("guest", "cat /dev/zero > ~/zeros || true; cat /dev/zero > /etc/zeros || true; ls -l ~/zeros")
        assert not fault.left({"mounts": [str(USERS)]})
        assert fault.host.sh("guest", "rm ~/zeros; echo room") == "room"
        assert not fault.left({"mounts": [str(USERS)]})


def test_template_whose_file_system_has_no_idmapped_mounts(fault):
    top = STORE / "templates/odd"
    (top / "rootfs").mkdir(parents=True, exist_ok=True)
    fault.host.guest("template = odd")
    with mounted(top / "rootfs", f"ro,lowerdir={STORE}/templates/default/rootfs:/usr/lib/locale", kind="overlay"):
        login = su(fault)
        assert not login.ran
        assert not denial_problems(login, "stage=idmap: the template: its file system has no idmapped mounts")
    assert not fault.left()
    subprocess.run(["rm", "-r", top], check=True)


def test_store_whose_file_system_has_no_idmapped_mounts(fault):
    directories = [pathlib.Path("/run/fault") / name for name in ("lower", "upper", "work")]
    for directory in directories:
        directory.mkdir(exist_ok=True, mode=0o700)
    lower, upper, work = directories
    with mounted(USERS, f"lowerdir={lower},upperdir={upper},workdir={work}", kind="overlay"):
        login = su(fault)
        assert not login.ran
        assert not denial_problems(login, "has no idmapped mounts|overlay: ")
    assert not fault.left()
    subprocess.run(["rm", "-rf", *directories], check=True)


def test_without_proc(fault):
    script = "mount -t tmpfs tmpfs /proc; su guest -c 'echo ran'; su root -c 'echo root'"
    mark = fault.host.log_mark()
    done = subprocess.run(["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, timeout=30,
                          check=False)
    log = fault.log(mark)
    assert done.stdout == "root\n"
    assert "Login denied" in done.stderr
    assert len(re.findall("pam_ispawn.*stage=", log)) == 1
    assert not fault.left()


def test_without_the_log(fault):
    # a login is no less confined, a denial no less told
    device = pathlib.Path("/dev/log")
    device.rename("/dev/log.away")
    try:
        assert fault.host.sh("guest", "hostname") != "testhost"
        fault.host.guest("template = nowhere")
        done = fault.host.su("guest", "-c", "echo ran")
        assert "Login denied" in done.stderr
        assert "ran" not in done.stdout
    finally:
        pathlib.Path("/dev/log.away").rename(device)
    assert not fault.left()


@pytest.mark.parametrize("limit", [*range(8, 20), 24, 32, 48, 64, 128])
def test_few_descriptors(fault, limit):
    # the soft limit is the application's; the tenant's is nofile of the policy
    login = su(fault, "prlimit", f"--nofile={limit}:4096")
    assert not fault.left()
    if login.ran:
        return
    assert limit < 64
    if "ispawn" in login.log:  # else su itself could not start
        assert not denial_problems(login, "Too many open files|Invalid argument")


def test_sshd_with_few_descriptors(fault):
    sshd = pathlib.Path("/run/sshd.test-pid").read_text().strip()
    shown = run("prlimit", "--pid", sshd, "--nofile", "--raw", "--noheadings", "--output", "SOFT,HARD")
    soft, hard = shown.stdout.split()
    subprocess.run(["prlimit", "--pid", sshd, f"--nofile=32:{hard}"], check=True)
    try:
        login = fault.host.ssh("guest", "echo ran; ulimit -n")
        assert not fault.left()
        assert b"ran\n4096\n" in login.stdout or b"denied" in login.stdout + login.stderr
        assert fault.host.ssh("root", "true").returncode == 0
    finally:
        subprocess.run(["prlimit", "--pid", sshd, f"--nofile={soft}:{hard}"], check=True)


@pytest.mark.parametrize("limit", [32, 1000])
def test_hard_limit_of_descriptors_below_the_policys(fault, limit):
    # CAP_SYS_RESOURCE raises it, and hosts without it deny with the limit's name
    fault.host.guest("nofile = 4096")
    login = su(fault, "prlimit", f"--nofile={limit}:{limit}")
    assert not fault.left()
    if not login.ran:
        assert not denial_problems(login, r"limit of open files \(nofile\)|Too many open files|Invalid argument")


def test_smallest_memory_limit(fault):
    # whatever becomes of it, it is over in time and told
    fault.host.guest("memory = 16M", "tmp_size = 1M")
    login = su(fault)
    assert not fault.left()
    assert login.ran or not denial_problems(login, "killed by signal 9|Cannot allocate memory")


def test_user_whose_memory_is_used_up(fault):
    # a second login beside a first that holds all of it: denied or let in, never hung
    fault.host.guest("memory = 16M", "tmp_size = 64M")
    with fault.host.open_session("guest") as first:
        assert first.poll() is None
        holder = fault.host.popen("guest", "cat /dev/zero > /tmp/zeros; sleep 30")
        login = su(fault)
        assert login.ran or "Login denied" in login.told or "memory" in login.told, login
        holder.kill()
        holder.communicate()
