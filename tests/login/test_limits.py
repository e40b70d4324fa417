# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits bound all logins of a user together; who meets one is told which."""
import time

from host import cgroup_roots, wait_until

EAT = "python3 -c \"x = bytearray(200 << 20); print('had it')\""


def limit_of(user, v1, v2):
    """A limit's value in the user's cgroup: (controller, file) on v1, file on v2."""
    roots = cgroup_roots()
    root, name = (roots[""], v2) if "" in roots else (roots[v1[0]], v1[1])
    return (root / "ispawn" / user / name).read_text().strip()


def test_limits_stand_on_the_user(host):
    host.guest("memory = 96M", "pids = 77", "cpu = 50%", "cpu_weight = 200")
    with host.open_session("guest"):
        assert limit_of("guest", ("memory", "memory.limit_in_bytes"), "memory.max") == str(96 << 20)
        assert limit_of("guest", ("pids", "pids.max"), "pids.max") == "77"
        if "" in cgroup_roots():
            assert limit_of("guest", None, "cpu.max").split()[0] == "50000"
            assert limit_of("guest", None, "cpu.weight") == "200"
        else:
            quota = int(limit_of("guest", ("cpu", "cpu.cfs_quota_us"), None))
            assert quota * 2 == int(limit_of("guest", ("cpu", "cpu.cfs_period_us"), None))
            assert limit_of("guest", ("cpu", "cpu.shares"), None) == "2048"


def test_memory_limit_kills_and_says_so(host, log):
    host.guest("memory = 64M")
    done = host.ssh("guest", EAT + "; echo status $?")
    assert b"had it" not in done.stdout
    assert b"status 137" in done.stdout
    assert b"memory" in done.stderr.lower(), done
    wait_until(lambda: "oom" in log().lower(), what="the log to tell of the OOM kill")


def test_memory_limit_is_told_at_a_terminal(host):
    host.guest("memory = 64M")
    child = host.terminal("guest", EAT)
    child.expect("(?i)memory")
    child.close()


def test_memory_below_the_limit_is_fine(host):
    host.guest("memory = 512M")
    done = host.ssh("guest", EAT)
    assert (done.stdout, done.stderr, done.returncode) == (b"had it\n", b"", 0)


def test_memory_bounds_all_logins_together(host):
    host.guest("memory = 300M")
    hold = "python3 -c \"import sys; x = bytearray(180 << 20); print('had it', flush=True); sys.stdin.read()\""
    first = host.popen("guest", hold)
    assert first.stdout.readline() == b"had it\n"
    second = host.ssh("guest", hold)
    assert b"had it" not in second.stdout or first.poll() is not None or first.wait(5) != 0
    first.communicate()


def test_tmpfs_is_charged_to_the_user(host):
    # pitfall 37
    host.guest("memory = 64M", "tmp_size = 1G")
    done = host.ssh("guest", "dd if=/dev/zero of=/tmp/fill bs=1M count=200; echo status $?")
    assert b"status 0" not in done.stdout


def test_fork_bomb_stays_in_its_login(host, log):
    # pitfall 49 is the same across logins: below
    host.guest("pids = 40")
    start = time.monotonic()
    done = host.ssh("guest", "for i in $(seq 100); do sleep 3 & done; wait")
    assert b"Resource temporarily unavailable" in done.stderr
    assert time.monotonic() - start < 30
    wait_until(lambda: "pids" in log() or "process" in log(), what="the log to tell of the pids limit")


def test_process_limit_is_told_to_the_user(host):
    host.guest("pids = 30")
    done = host.ssh("guest", "for i in $(seq 60); do sleep 0.5 & done 2>/dev/null; wait")
    assert b"process" in done.stderr.lower(), done.stderr


def test_process_limit_bounds_all_logins_together(host):
    host.guest("pids = 40")
    first = host.popen("guest", "for i in $(seq 25); do sleep 20 & done; echo up; read x")
    assert first.stdout.readline() == b"up\n"
    done = host.ssh("guest", "for i in $(seq 25); do sleep 0.2 & done; wait")
    assert b"Resource temporarily unavailable" in done.stderr
    first.kill()
    first.communicate()


def test_cpu_limit_throttles(host):
    host.guest("cpu = 20%")
    burn = "python3 -c \"import time; e = time.time() + 1\nwhile time.time() < e: pass\nprint(time.process_time())\""
    assert float(host.sh("guest", burn)) < 0.5


def test_sessions_are_limited_and_the_user_is_told(host, log):
    host.guest("sessions = 2")
    with host.open_session("guest"), host.open_session("guest"):
        done = host.ssh("guest", "echo ran")
        assert b"ran" not in done.stdout
        assert done.returncode != 0
        assert b"session" in done.stderr.lower() + done.stdout.lower()
        assert "sessions" in log()
        assert len(host.sessions()) == 2
        assert host.sh("student", "echo other users are not concerned") != ""
    assert not host.wait_clean()
    assert host.sh("guest", "echo again") == "again"


def test_container_cannot_change_its_limits(host):
    # pitfalls 38, 39: nothing of the cgroup file system can be written to, by root inside either
    host.guest("privilege = root")
    script = "find /sys/fs/cgroup -name '*' -type f -writable 2>/dev/null | head; " \
             "mkdir /sys/fs/cgroup/x 2>&1; echo 1 > /sys/fs/cgroup/cgroup.procs; true"
    done = host.ssh("guest", f"test -w /sys/fs/cgroup && echo writable; {script}")
    assert b"writable" not in done.stdout
    assert b"Read-only" in done.stdout or b"No such file" in done.stdout, done


def test_limit_is_not_left_behind_by_an_earlier_policy(host):
    host.guest("pids = 50")
    host.sh("guest", "true")
    host.guest("pids = 60")
    with host.open_session("guest"):
        assert limit_of("guest", ("pids", "pids.max"), "pids.max") == "60"


def test_supervisor_is_outside_the_users_limits(host):
    host.guest("pids = 40")
    with host.open_session("guest"):
        pid, = host.pids("ispawn-supervisor")
        with open(f"/proc/{pid}/cgroup", encoding="ascii") as file:
            assert "ispawn/guest" not in file.read()
        init, = host.pids("ispawn-init")
        with open(f"/proc/{init}/cgroup", encoding="ascii") as file:
            assert "/ispawn/guest/" in file.read()


def test_io_weight_is_accepted(host):
    host.guest("io_weight = 300")
    assert host.sh("guest", "echo ok") == "ok"
