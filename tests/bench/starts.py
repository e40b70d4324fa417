# SPDX-License-Identifier: GPL-3.0-or-later
"""starts.py - from the start of a supervisor to READY, without sshd, and where the time goes."""
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

from turns import quartiles

COUNTS = {"quick": (40, 10), "normal": (200, 30), "full": (500, 60)}  # starts, traced ones
PAUSE_S = 0.2  # until what the kernel keeps ready after a start, an RCU grace period say, is gone


def measure_starts(table, size, door):
    count, _ = COUNTS[size]
    out = subprocess.run([door, "start", "guest", str(count)], check=True, capture_output=True, text=True).stdout
    columns = zip(*([int(field) / 1e3 for field in line.split()] for line in out.splitlines()))
    table.head(f"one session without sshd, {count} times in a row: median (quartiles)")
    for name, values in zip(("door: configuration to spec", "supervisor: start to READY",
                             "supervisor: CLOSE to CLOSED"), columns):
        middle, spread = quartiles(values)
        table.add(name, middle, "ms", spread=spread)
    # A login comes alone.
    alone = []
    for _ in range(max(10, count // 10)):
        time.sleep(PAUSE_S)
        out = subprocess.run([door, "start", "guest", "1"], check=True, capture_output=True, text=True).stdout
        alone.append(int(out.split()[1]) / 1e3)
    middle, spread = quartiles(alone)
    table.add(f"start to READY alone, {len(alone)} times", middle, "ms", spread=spread)


# The phases of one start, in order: what each is, and whose system call (or its return) ends it.
PHASES = [
    ("supervisor: exec, libraries, spec", "supervisor", "sys_enter_setsid"),
    ("supervisor: leaves the login's surroundings", "supervisor", "sys_enter_capset"),
    ("supervisor: store, registry, v2 cgroup", "supervisor", "sys_enter_clone3"),
    ("supervisor: clone3 into the namespaces", "supervisor", "sys_exit_clone3"),
    ("supervisor: ids, MAPPED", "supervisor", "sys_enter_sendmsg"),
    ("both at once, builder: exec, file systems; supervisor: v1 cgroups, root, GO", "builder", "sys_enter_unshare"),
    ("builder: pivot, mounts, names, home, limits", "builder", "sys_enter_seccomp"),
    ("builder: filter, rights dropped and proved, UP", "builder", "sys_enter_sendmsg"),
    ("supervisor: copy kept, rights dropped, READY", "supervisor", "sys_enter_sendmsg"),
]
TRACED = ["sched/sched_process_exec", "sched/sched_process_fork",
          *(f"syscalls/{call}" for call in sorted({call for _, _, call in PHASES}))]


class Trace:
    """A buffer of the kernel's tracer of our own: other users of the tracer are left alone."""

    def __enter__(self):
        self.mount = tempfile.mkdtemp(dir="/run")
        subprocess.run(["mount", "-t", "tracefs", "tracefs", self.mount], check=True, capture_output=True)
        self.directory = pathlib.Path(self.mount, "instances", f"ispawn-bench-{os.getpid()}")
        self.directory.mkdir()
        (self.directory / "trace_clock").write_text("mono")
        (self.directory / "buffer_size_kb").write_text("8192")
        for event in TRACED:
            (self.directory / "events" / event / "enable").write_text("1")
        return self

    def events(self):
        """(seconds, pid, event, its fields) in order."""
        for line in (self.directory / "trace").read_text(errors="replace").splitlines():
            # A system call's enter is written sys_name(, its exit sys_name -> value.
            match = re.match(r".*-(\d+) +\[\d+\] \S+ +(\d+\.\d+): (?:(sched_\w+): (.*)|sys_(\w+)(\(| ->).*)$", line)
            if match:
                name = match[3] or f"sys_{'enter' if match[6] == '(' else 'exit'}_{match[5]}"
                yield float(match[2]), int(match[1]), name, match[4] or ""

    def __exit__(self, *_):
        self.directory.rmdir()
        subprocess.run(["umount", self.mount], check=True)


def starts_of(events, door):
    """Of each supervisor that @door has had executed: its and its builder's events."""
    ours, builders, starts = set(), {}, {}
    for when, pid, name, fields in events:
        if name == "sched_process_exec" and f"filename={door} " in fields:
            ours.add(pid)  # other logins of this machine are in the trace as well
        elif name == "sched_process_fork" and pid in starts:
            builders.setdefault(int(re.search(r"child_pid=(\d+)", fields)[1]), pid)
        elif name == "sched_process_fork" and pid in ours:
            ours.add(int(re.search(r"child_pid=(\d+)", fields)[1]))
        elif name == "sched_process_exec" and pid in ours:
            starts[pid] = [(when, "supervisor", "exec")]
        elif pid in starts:
            starts[pid].append((when, "supervisor", name))
        elif pid in builders:
            starts[builders[pid]].append((when, "builder", name))
    return list(starts.values())


def phases_of(events):
    """Milliseconds of each phase of one start; None when one is missing."""
    last, found, rest = events[0][0], [], iter(events[1:])
    for _, who, call in PHASES:
        end = next((when for when, process, name in rest if process == who and name == call), None)
        if end is None:
            return None
        found.append((end - last) * 1e3)
        last = end
    return found


def measure_phases(table, size, door):
    _, count = COUNTS[size]
    try:
        with Trace() as trace:
            for _ in range(count):
                time.sleep(PAUSE_S)
                subprocess.run([door, "start", "guest", "1"], check=True, stdout=subprocess.DEVNULL)
            taken = [phases for phases in map(phases_of, starts_of(trace.events(), door)) if phases]
    except (OSError, subprocess.CalledProcessError) as problem:
        table.head(f"by phase: not measured, the kernel's tracer cannot be used: {problem}")
        return
    if len(taken) < count / 2:
        sys.exit(f"bench: of {count} traced starts only {len(taken)} could be read: PHASES is out of date")
    table.head(f"the same by phase, from exec, {len(taken)} starts alone, under ftrace: median (quartiles)")
    for (name, _, _), values in zip(PHASES, zip(*taken)):
        middle, spread = quartiles(values)
        table.add(name, middle, "ms", spread=spread)
    middle, spread = quartiles([sum(phases) for phases in taken])
    table.add("sum", middle, "ms", spread=spread)
