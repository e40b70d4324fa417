# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits on a real unified hierarchy: they stand on the user, they bite, and whoever meets one is told."""
import contextlib
import re

import pexpect
import pytest

from vm_host import CGROUP, wait_until

# dd reads into a buffer of that size, and with a reader that does not read it keeps it.
EAT = "dd if=/dev/zero of=/dev/null bs={}M count=1 status=none; echo status $?"
HOLD = "(dd if=/dev/zero bs={}M count=1 status=none | sleep 1000) > /dev/null 2>&1 &"
# Not the shell's own forks: it tries a refused one again for half a minute.
FORK = """perl -e '
    for (1..{}) {{
        my $pid = fork;
        defined $pid or print("refused: $!\n"), exit 3;
        $pid or close(STDOUT), close(STDERR), sleep(1000), exit;
    }}
    print "all are there\n"'
"""
REFUSED = "refused: Resource temporarily unavailable"


def fields(line):
    return dict(re.findall(r"(\w+)=(\S+)", line))


def end_line(log, user="guest"):
    """The fields of the session's end, once it is logged."""
    pattern = rf"session={user}\.[0-9a-f]{{8}} event=end .*"
    return fields(wait_until(lambda: re.search(pattern, log()), "the end in the log").group())


def limit_lines(log):
    return [fields(line) for line in log().splitlines() if "event=limit" in line]


def test_every_limit_is_written_where_it_counts(vm):
    vm.confine("memory = 96M", "swap = 32M", "pids = 77", "cpu = 50%", "cpu_weight = 200", "io_weight = 300")
    vm.root("modprobe bfq")  # the disk's other scheduler brings a file of its own
    with vm.session("guest"):
        found = dict(line.split(":", 1) for line in vm.root(
            f"cd {CGROUP}/guest; grep -H . memory.max memory.swap.max pids.max cpu.max cpu.weight io.weight "
            "io.bfq.weight").splitlines())
        session, = vm.sessions()
        inner = vm.root(f"cat {CGROUP}/guest/{session}/{{memory,pids}}.max")
    assert found == {"memory.max": str(96 << 20), "memory.swap.max": str(32 << 20), "pids.max": "77",
                     "cpu.max": "50000 100000", "cpu.weight": "200", "io.weight": "default 300",
                     "io.bfq.weight": "default 300"}
    assert inner == "max\nmax", "the session's own leaf has none: all logins share the user's"


def test_newest_policy_holds_and_no_limit_is_none(vm):
    vm.confine("memory = 96M")
    with vm.session("guest"):
        assert vm.limit("pids.max") == "256"
        vm.confine("pids = max", "cpu = 0%", "memory = 128M")
        with vm.session("guest"):
            assert vm.root(f"cd {CGROUP}/guest; cat pids.max cpu.max memory.max") == f"max\nmax 100000\n{128 << 20}"


def test_memory_kills_and_says_so(vm, log):
    vm.confine("memory = 64M")
    done = vm.ssh("guest", EAT.format(100))
    assert done.stdout == "status 137\n", done
    assert re.search(r"memory limit of this account \(64 MiB for all its logins\)", done.stderr), done
    assert limit_lines(log)[0]["limit"] == "memory"
    end = end_line(log)
    assert end["oom_kills"] == "1"
    # the kernel charges in batches
    assert (60 << 10) < int(end["memory_peak_kib"]) < 68 << 10


def test_memory_is_told_at_a_terminal(vm):
    vm.confine("memory = 64M")
    child = vm.terminal("guest", EAT.format(100))
    child.expect("memory limit of this account")
    child.expect(pexpect.EOF)
    child.close()


def test_memory_below_the_limit_is_fine(vm, log):
    vm.confine("memory = 256M")
    done = vm.ssh("guest", EAT.format(100))
    assert (done.stdout, done.stderr, done.returncode) == ("status 0\n", "", 0)
    assert end_line(log)["oom_kills"] == "0"
    assert limit_lines(log) == []


def test_memory_bounds_all_logins_together(vm, log):
    vm.confine("memory = 160M")
    with vm.session("guest", HOLD.format(90)):
        wait_until(lambda: int(vm.limit("memory.current")) > 90 << 20, "the first login to hold its memory")
        second = vm.ssh("guest", EAT.format(90))
        kills = re.search(r"^oom_kill (\d+)$", vm.limit("memory.events"), re.M)[1]
        assert int(kills) >= 1
        # Which of the two the kernel takes is its choice, and it may take both: each that reaches the
        # limit before the first one's pages are free asks for a victim.
        is_first_alive = "dd" in vm.root("pgrep -l -u guest -x dd; true")
        assert not (is_first_alive and second.stdout == "status 0\n")
    wait_until(lambda: limit_lines(log), "the log to tell of the limit")


def test_tmp_counts_as_memory(vm):
    # pitfall 37
    vm.confine("memory = 64M", "tmp_size = 512M")
    done = vm.ssh("guest", "head -c 100M /dev/zero > /tmp/fill; echo status $?")
    assert "status 0" not in done.stdout
    assert "memory limit" in done.stderr


@contextlib.contextmanager
def swap_on(vm):
    vm.root("fallocate -l 128M /swapfile; chmod 0600 /swapfile; mkswap -q /swapfile; swapon /swapfile")
    try:
        yield
    finally:
        vm.root("swapoff /swapfile; rm /swapfile")


def test_swap_is_limited_as_well(vm):
    with swap_on(vm):
        vm.confine("memory = 64M", "swap = 96M")
        assert vm.sh("guest", EAT.format(100)) == "status 0"
        vm.confine("memory = 64M")
        done = vm.ssh("guest", EAT.format(100))
        assert "memory limit" in done.stderr, done


def test_processes_are_refused_and_it_is_said(vm, log):
    vm.confine("pids = 30")
    done = vm.ssh("guest", FORK.format(60))
    assert REFUSED in done.stdout
    assert "limit of processes of this account (30 for all its logins)" in done.stderr
    assert limit_lines(log)[0]["limit"] == "pids"
    assert int(end_line(log)["pids_refused"]) > 0


def test_processes_of_all_logins_together(vm, log):
    # pitfall 49: neither login alone comes near
    vm.confine("pids = 40")
    with vm.session("guest", FORK.format(25)) as first:
        assert first.printed == "all are there"
        assert REFUSED in vm.ssh("guest", FORK.format(25)).stdout
        assert first.run("/bin/echo the first goes on") == "the first goes on"
        assert vm.sh("student", FORK.format(25)) == "all are there"
    # the first was refused nothing
    def ends():
        return re.findall("event=end .*", log())
    wait_until(lambda: len(ends()) == 3, "three ends in the log")
    assert sorted(int(fields(line)["pids_refused"]) > 0 for line in ends()) == [False, False, True]


def test_processor_time_is_cut(vm):
    vm.confine("cpu = 20%")
    with vm.session("guest", "(while :; do :; done) > /dev/null 2>&1 &"):
        def throttled():
            return int(re.search(r"nr_throttled (\d+)", vm.limit("cpu.stat")).group(1))
        wait_until(lambda: throttled() > 3, "the kernel to throttle")


def test_no_limit_can_be_raised_inside(vm):
    # pitfalls 38 and 39, as the container's root, and in the hierarchy's root as it is seen there
    vm.confine("privilege = root", "pids = 77", "memory = 96M")
    said = vm.sh("guest", r"""
        id -u; cat /proc/self/cgroup /sys/fs/cgroup/pids.max
        for file in pids.max memory.max cgroup.procs cgroup.subtree_control cgroup.kill; do
            (echo max > /sys/fs/cgroup/$file) 2>&1 | sed 's/.*: //'
        done
        mkdir /sys/fs/cgroup/x 2>&1 | sed 's/.*: //'
        mount -o remount,rw /sys/fs/cgroup 2>&1 | grep -c denied
        mkdir /tmp/c; mount -t cgroup2 c /tmp/c 2>&1 | grep -c denied
        ls -d /sys/fs/cgroup/../cgroup/*/ 2>/dev/null
        grep -c ' /sys/fs/cgroup ro,nosuid,nodev,noexec' /proc/self/mountinfo
        """).split("\n")
    assert said == ["0", "0::/", "max"] + ["Read-only file system"] * 6 + ["1", "1", "1"]


def test_too_many_sessions_are_refused(vm, log):
    vm.confine("sessions = 1")
    with vm.session("guest"):
        done = vm.ssh("guest", "echo ran")
        assert "ran" not in done.stdout and done.returncode != 0
        assert "as many sessions open as it may have" in done.stdout + done.stderr
        assert "sessions" in log()
        assert vm.sh("student", "echo not concerned") == "not concerned"
    assert not vm.wait_clean()
    assert vm.sh("guest", "echo again") == "again"


# --- hierarchies that are not as they should be: what a container of somebody else's shows ---------

# su is the login here: a process of this cgroup, whose namespace shows it as the root.  Without the
# bus, so that pam_systemd does not move it out of there.
NEST = r"""
mkdir -p /sys/fs/cgroup/nest
{setup}
exec unshare --cgroup --mount bash -c '
    mount -t tmpfs tmpfs /run/dbus && mount -t cgroup2 cgroup2 /mnt && mount --bind /mnt /sys/fs/cgroup || exit
    {inside}
    su - guest -c "echo ran" < /dev/null; cat /sys/fs/cgroup/cgroup.subtree_control'
"""


def nested(vm, setup, inside=":"):
    """A login by su in such a hierarchy; what it printed."""
    try:
        return vm.root("(" + NEST.format(setup=setup, inside=inside) + ") 2>&1")
    finally:
        assert not vm.wait_clean()
        vm.root(r"""
            cd /sys/fs/cgroup
            for pid in $(find nest -name cgroup.procs -exec cat {} +); do echo $pid > cgroup.procs; done
            find nest -depth -type d -exec rmdir {} \;
            """)


ENTER = "echo $BASHPID > /sys/fs/cgroup/nest/cgroup.procs"
STEP_DOWN = "mkdir /sys/fs/cgroup/host; echo 0 > /sys/fs/cgroup/host/cgroup.procs"
ALL = "+cpu +io +memory +pids"


def test_root_that_holds_processes_denies_and_says_why(vm, log):
    said = nested(vm, f"echo {ALL} > /sys/fs/cgroup/cgroup.subtree_control; {ENTER}")
    assert "ran" not in said
    assert "holds processes itself" in log()


def test_root_whose_processes_stepped_down_is_fine(vm):
    said = nested(vm, f"echo {ALL} > /sys/fs/cgroup/cgroup.subtree_control; {ENTER}",
                  STEP_DOWN)
    assert "ran" in said
    assert {"cpu", "memory", "pids"} <= set(said.splitlines()[-1].split()), "enabled by the login itself"


@pytest.mark.parametrize("missing", ["memory", "pids", "cpu"])
def test_limit_without_its_controller_denies(vm, log, missing):
    left = " ".join(word for word in ALL.split() if word != f"+{missing}")
    said = nested(vm, f"mkdir /sys/fs/cgroup/nest/in; echo {left} > /sys/fs/cgroup/nest/cgroup.subtree_control; "
                      "echo $BASHPID > /sys/fs/cgroup/nest/in/cgroup.procs",
                  STEP_DOWN)
    assert "ran" not in said
    assert re.search(rf"{missing}: .* no {missing} controller", log())
