# SPDX-License-Identifier: GPL-3.0-or-later
"""Processors, memory, load and uptime: the container's numbers, where the machine offers them."""
import contextlib
import os
import pathlib
import signal
import stat
import subprocess

import pytest

from host import STORE, run, wait_until

LXCFS = pathlib.Path("/var/lib/lxcfs")
TEMPLATE = STORE / "templates/default/rootfs"
MACHINE = sorted(os.sched_getaffinity(0))
COUNTS = "nproc; getconf _NPROCESSORS_ONLN; python3 -c 'import os; print(os.cpu_count())'"

pytestmark = pytest.mark.skipif(len(MACHINE) < 2, reason="a machine of one processor has none to take away")


def affinity(session):
    """Of what runs inside, as the kernel has it."""
    supervisor = int((pathlib.Path("/run/ispawn/sessions") / session / "pid").read_text())
    inits = [int(pid) for pid in run("pgrep", "-P", str(supervisor)).stdout.split()]
    assert len(inits) == 1
    return os.sched_getaffinity(inits[0])


# --- processors ----------------------------------------------------------------------------------

@pytest.mark.parametrize("quota, count", [("100%", 1), ("50%", 1), ("1%", 1), ("101%", 2), ("0%", len(MACHINE)),
                                          (f"{100 * len(MACHINE)}%", len(MACHINE))])
def test_processors_are_what_the_quota_is_worth(host, quota, count):
    host.guest(f"cpu = {quota}")
    assert host.sh("guest", COUNTS).split() == [str(count)] * 3


def test_a_wider_mask_is_no_wider_quota(host):
    # What nproc shows is a default and no limit; the limit is the cgroup's.
    host.guest("cpu = 100%")
    assert host.sh("guest", f"taskset -pc {MACHINE[0]}-{MACHINE[-1]} $$ > /dev/null; nproc") == str(len(MACHINE))
    with host.open_session("guest"):
        quota, = [path.read_text().split() for path in pathlib.Path("/sys/fs/cgroup").glob("**/ispawn/guest/cpu*")
                  if path.name in ("cpu.max", "cpu.cfs_quota_us")]
        assert quota[0] == "100000"


def test_users_are_spread_and_one_users_sessions_are_not(host):
    # Two on one processor while another idles would be half a quota for each.
    host.config("[group confined]\nconfine = yes\n\n[user guest]\nconfine = yes\n")
    with host.open_session("guest"):
        first, = host.sessions()
        with host.open_session("student"), host.open_session("guest"):
            masks = {name: affinity(name) for name in host.sessions()}
    assert all(len(mask) == 1 for mask in masks.values())
    of_guest = [mask for name, mask in masks.items() if name.startswith("guest.")]
    of_student, = [mask for name, mask in masks.items() if name.startswith("student.")]
    assert of_guest == [masks[first]] * 2
    assert of_student != masks[first]


def test_what_sshd_may_not_use_the_container_may_not(host):
    # An administrator who keeps logins off some processors means it.
    sshd = int(pathlib.Path("/run/sshd.test-pid").read_text())
    os.sched_setaffinity(sshd, {MACHINE[0]})
    try:
        host.guest("cpu = 0%")
        assert host.sh("guest", "nproc") == "1"
        host.guest("cpu = 200%")
        with host.open_session("guest"):
            session, = host.sessions()
            assert affinity(session) == {MACHINE[0]}
    finally:
        os.sched_setaffinity(sshd, MACHINE)


def test_a_directory_has_them_too():
    for quota, count in (("100%", 1), ("0%", len(MACHINE))):
        done = run("ispawn", "--quiet", "--ephemeral", "--cpu", quota, str(TEMPLATE), "nproc")
        assert (done.returncode, done.stdout) == (0, f"{count}\n"), done


# --- lxcfs ---------------------------------------------------------------------------------------

@contextlib.contextmanager
def running_lxcfs():
    fuse = pathlib.Path("/dev/fuse")
    if not fuse.exists():
        os.mknod(fuse, 0o666 | stat.S_IFCHR, os.makedev(10, 229))
    LXCFS.mkdir(exist_ok=True)
    with subprocess.Popen(["lxcfs", "-f", "-l", "-p", "/run/lxcfs.pid", str(LXCFS)], stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as daemon:
        try:
            wait_until(lambda: os.path.ismount(LXCFS), what="lxcfs")
            yield daemon
        finally:
            daemon.send_signal(signal.SIGCONT)
            daemon.kill()
            run("umount", "-l", str(LXCFS))


@pytest.fixture(name="lxcfs")
def make_lxcfs():
    with running_lxcfs() as daemon:
        yield daemon


def total_kib(text):
    line, = [line for line in text.splitlines() if line.startswith("Mem:")]
    return int(line.split()[1])


def machine_kib():
    return total_kib(run("free", "-k").stdout)


def test_free_and_uptime_tell_the_containers_numbers(host, lxcfs):
    host.guest("memory = 200M")
    told = host.sh("guest", "free -k; cut -d. -f1 /proc/uptime; cat /proc/loadavg; tail -n +2 /proc/swaps | wc -l")
    *free, uptime, load, swaps = told.splitlines()
    assert total_kib("\n".join(free)) == 200 * 1024
    assert int(uptime) < 60 < float(pathlib.Path("/proc/uptime").read_text().split()[0])
    assert len(load.split()) == 5
    assert swaps == "0"


def test_all_logins_of_a_user_have_the_same_total(host, lxcfs):
    # The limit stands on the user and not on the session.
    host.guest("memory = 200M")
    with host.open_session("guest"):
        assert total_kib(host.sh("guest", "free -k")) == 200 * 1024


def test_tools_take_them(host, lxcfs):
    host.guest("memory = 200M")
    assert "200." in host.sh("guest", "TERM=dumb top -b -n 1 | grep 'MiB Mem'")
    assert host.sh("guest", "vmstat > /dev/null; uptime > /dev/null; echo ok") == "ok"


def test_they_are_for_reading(host, lxcfs):
    told = host.sh("guest", "for name in cpuinfo diskstats loadavg meminfo stat swaps uptime; do"
                   " grep -o \" /proc/$name ro,nosuid,nodev,noexec\" /proc/self/mountinfo || grep $name /proc/self/mountinfo;"
                   " : 2>/dev/null > /proc/$name && echo written; done; true")
    assert told.count("ro,nosuid,nodev,noexec") == 7 and "written" not in told


def test_the_rest_of_lxcfs_stays_outside(host, lxcfs):
    # Its cgroup directory would be the host's.
    assert host.sh("guest", "ls -A /var/lib/lxcfs 2>/dev/null | wc -l; grep -c fuse.lxcfs /proc/self/mountinfo") == "0\n7"


def test_a_directory_of_roots_has_them(lxcfs):
    done = run("ispawn", "--quiet", "--ephemeral", "--memory", "100M", str(TEMPLATE), "free", "-k")
    assert total_kib(done.stdout) == 100 * 1024


def test_without_it_the_numbers_are_the_machines(host, log):
    assert total_kib(host.sh("guest", "free -k")) == machine_kib()
    assert "lxcfs" not in log()


def test_one_that_died_is_done_without(host, lxcfs, log):
    lxcfs.kill()
    lxcfs.wait()
    assert os.path.ismount(LXCFS)
    assert total_kib(host.sh("guest", "free -k")) == machine_kib()
    assert "event=trouble stage=mounts: read lxcfs's files" in log()


def test_one_that_hangs_is_done_without(host, lxcfs, log):
    lxcfs.send_signal(signal.SIGSTOP)
    assert total_kib(host.sh("guest", "free -k")) == machine_kib()
    assert "event=trouble stage=mounts: lxcfs does not answer" in log()


def test_one_that_dies_later_takes_nothing_with_it(host, lxcfs):
    with host.open_session("guest") as ssh:
        lxcfs.kill()
        lxcfs.wait()
        ssh.stdin.write(b"still here\n")
        ssh.stdin.flush()
        assert ssh.stdout.readline() == b"still here\n"
    wait_until(lambda: not host.sessions(), what="the session's end")


def test_an_empty_directory_is_no_lxcfs(host, log):
    LXCFS.mkdir(exist_ok=True)
    host.sh("guest", "true")
    assert "lxcfs" not in log()
