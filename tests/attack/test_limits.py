# SPDX-License-Identifier: GPL-3.0-or-later
"""Eating the machine: processes, memory, file systems, sessions, and taking the limits away."""
import os
import pathlib
import subprocess
import threading

import pytest

from conftest import PLACES
from host import cgroup_roots, run, wait_until

BATCH = ["-o", "BatchMode=yes", "-o", "LogLevel=ERROR"]
BOMB = "b() { b | b & }; b 2>/dev/null; sleep 2; echo still here"


def tasks_of(user):
    roots = cgroup_roots()
    root = roots[""] if "" in roots else roots["pids"]
    path = root / "ispawn" / user / "pids.current"
    return int(path.read_text()) if path.exists() else 0


def test_fork_bombs_in_two_sessions(host, survivor):
    """Pitfall 49: one limit for both; the host and other users go on."""
    host.guest("pids = 60")
    bombs = [host.popen("guest", BOMB) for _ in range(2)]
    peak = []
    watching = threading.Event()

    def watch():
        while not watching.is_set():
            peak.append(tasks_of("guest"))
    thread = threading.Thread(target=watch)
    thread.start()
    try:
        wait_until(lambda: peak and max(peak) >= 50, what="a fork bomb that reaches the limit")
        assert host.sh("student", "echo works") == "works"
        assert run("true").returncode == 0
    finally:
        for ssh in bombs:
            ssh.kill()
            ssh.communicate()
        watching.set()
        thread.join()
    # Kernel: pids.c charges first and takes the charge back: each CPU may be at a fork that is refused.
    assert max(peak) <= 60 + os.cpu_count()
    wait_until(lambda: tasks_of("guest") == 0, what="the end of all its processes")


def test_a_session_full_of_processes_can_still_be_ended(host, survivor):
    """Pitfall 49: killing is no race against forking."""
    host.guest("pids = 100")
    ssh = host.popen("guest", BOMB)
    wait_until(lambda: tasks_of("guest") >= 90)
    assert run("ispawnctl", "kill", "guest").returncode == 0
    assert tasks_of("guest") == 0
    ssh.communicate(timeout=10)


HOLD = "python3 -c \"import sys; x = bytearray({mib} << 20); print('had it', flush=True); sys.stdin.read()\""


def test_memory_over_two_sessions(host, survivor):
    """Pitfall 49: 2 x 120 MiB do not fit into 200 MiB, whichever of the two has to go."""
    host.guest("memory = 200M")
    first = host.popen("guest", HOLD.format(mib=120))
    assert first.stdout.readline() == b"had it\n"
    second = host.popen("guest", HOLD.format(mib=120))
    said = second.stdout.readline()
    assert said == b"" or first.wait(10) != 0
    for ssh in (first, second):
        ssh.stdin.close()
        ssh.wait(10)
        ssh.stdout.close()
        ssh.stderr.close()


@pytest.mark.parametrize("where", ["/tmp", "/dev/shm", "/run", "the ephemeral root"])
def test_memory_file_systems_are_charged_to_the_user(host, survivor, where):
    """Pitfall 37: filling one meets the user's own memory limit long before the host's."""
    host.guest("memory = 64M", "tmp_size = 1G", "ephemeral_size = 1G", "privilege = root", "rootfs = ephemeral")
    path = "/opt/fill" if where == "the ephemeral root" else f"{where}/fill"
    done = host.ssh("guest", f"dd if=/dev/zero of={path} bs=1M count=300; echo status $?")
    assert b"status 0" not in done.stdout


@pytest.mark.parametrize("where,most", [("/tmp", 4200), ("/dev/shm", 4200), ("/run", 4200), ("/dev", 64)])
def test_tmpfs_inodes_are_bounded(host, where, most):
    """Pitfall 37: empty files cost the host's memory as well; the bound follows the size."""
    host.guest("tmp_size = 16M", "privilege = root")
    done = host.sh("guest", f"python3 -c \"\nimport os\nn = 0\ntry:\n  while n < 100000:\n"
                            f"    os.close(os.open('{where}/f%d' % n, os.O_CREAT)); n += 1\n"
                            f"except OSError as e: print(e.errno)\nprint(n)\"; df --output=size {where} | tail -1")
    errno, made, size_kib = map(int, done.split())
    assert errno == 28 and made <= most
    assert size_kib <= (64 if where == "/dev" else 16384)


def test_other_memory_is_bounded_too(host):
    """Pitfall 37: memfds, pipes, System V segments and message queues are charged like any other."""
    host.guest("memory = 64M")
    done = host.ssh("guest", "python3 -c \"\nimport os\nfd = os.memfd_create('x')\nfor i in range(300): "
                             "os.write(fd, bytes(1 << 20))\nprint('had it')\"; echo status $?")
    assert b"had it" not in done.stdout and b"status 137" in done.stdout
    assert int(host.sh("guest", "ulimit -q")) <= 1 << 20


def test_session_flood(host, survivor):
    """Pitfall 15: above `sessions`, logins are refused, not queued, and never on the host."""
    host.guest("sessions = 3")
    flood = [host.popen("guest", "test -e /etc/ispawn-template && echo inside || echo outside; sleep 3")
             for _ in range(15)]
    outputs = [ssh.communicate(timeout=60)[0] for ssh in flood]
    inside = [out for out in outputs if out == b"inside\n"]
    assert len(inside) == 3, outputs
    assert not [out for out in outputs if b"outside" in out]
    wait_until(lambda: [s for s in host.sessions() if s.startswith("guest.")] == [])
    assert host.sh("guest", "echo again") == "again"


def test_sixty_four_tenants(host, tmp_path):
    """More programs than a session has slots: the rest are told so, those that run go on."""
    host.guest("pids = 500")
    control = ["-o", f"ControlPath={tmp_path}/control"]
    master = subprocess.Popen(["ssh", *BATCH, *control, "-MN", "guest@localhost"])
    try:
        wait_until((tmp_path / "control").exists, what="the shared connection")
        running = [host.popen("guest", "echo runs; exec cat", options=control) for _ in range(68)]
        refused = []
        for ssh in running:
            if ssh.stdout.readline() != b"runs\n":
                refused.append(ssh)
        assert len(refused) == 4
        for ssh in refused:
            _, err = ssh.communicate(timeout=10)
            assert ssh.returncode == 125 and b"64 programs" in err, err
        for ssh in set(running) - set(refused):
            ssh.stdin.close()
            assert ssh.wait(10) == 0
            ssh.stdout.close()
            ssh.stderr.close()
        assert host.sh("guest", "echo room again", options=control) == "room again"
    finally:
        run("ssh", *control, "-O", "exit", "guest@localhost")
        master.wait(10)


def test_own_limits_cannot_be_raised(host, place):
    """Pitfall 39: neither by the cgroup's files nor by rlimits, priorities or the OOM score."""
    host.guest(*PLACES[place], "nofile = 200", "memory = 64M")
    done = host.ssh("guest", "ulimit -Hn 300 && echo nofile; ulimit -Hc unlimited && echo core; "
                             "prlimit --pid 1 --nofile=1000:1000 && echo init; "
                             "echo -900 > /proc/self/oom_score_adj && echo score; nice -n -5 true 2>&1 | grep -c cannot; "
                             "chrt -f 10 true && echo real-time; ionice -c 1 true && echo io; "
                             "for f in /sys/fs/cgroup/*.max /sys/fs/cgroup/*/*limit*; do echo max > $f && echo $f; done; "
                             "echo $$ > /sys/fs/cgroup/cgroup.procs && echo moved; echo end")
    assert done.stdout in (b"1\nend\n", b"end\n"), done.stdout


def test_limits_stand_where_the_user_owns_nothing(host):
    """Pitfall 39: as the host sees them, every file of the user's cgroup is root's alone."""
    host.guest("privilege = root")
    with host.open_session("guest"):
        for root in cgroup_roots().values():
            base = root / "ispawn/guest"
            for path in (base, *base.iterdir(), *base.glob("*/*")) if base.is_dir() else ():
                info = path.stat()
                assert info.st_uid == 0 and not info.st_mode & 0o022, path


def test_core_dumps(host, place, compile_c):
    """Pitfall 45: no core is written, the limit is hard, and core_pattern cannot be set from inside."""
    before = pathlib.Path("/proc/sys/kernel/core_pattern").read_text()
    program = compile_c("int main(void) { *(volatile int *)8 = 1; return 0; }")
    done = host.ssh("guest", "cat > /tmp/crash; chmod 700 /tmp/crash; ulimit -c unlimited; cd /tmp; ./crash; echo $?; "
                             "ls /tmp/core* core* 2>/dev/null; ulimit -Hc; echo '|/tmp/x' > /proc/sys/kernel/core_pattern",
                    input=program)
    assert done.stdout == b"139\n0\n", done
    assert b"core dumped" not in done.stderr
    assert pathlib.Path("/proc/sys/kernel/core_pattern").read_text() == before
