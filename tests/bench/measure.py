# SPDX-License-Identifier: GPL-3.0-or-later
"""measure.py SIZE BUILD - the measurements of `make bench`, taken inside the test host.

What is compared is run in turns, in rounds of hyperfine, so that a machine that slows down or
speeds up does so for both sides; a ratio is that of the medians over all rounds, its spread that of
the ratios of single rounds.
"""
import json
import os
import pathlib
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
import time

from host import CONFIG, DEFAULT_CONFIG, STORE, processes, wait_until

SIZES = {  # login rounds, whole rounds, starts, traced starts, open sessions
    "quick": {"login": (2, 5), "whole": (3, 20), "starts": 40, "traced": 10, "open": [20]},
    "normal": {"login": (5, 10), "whole": (6, 40), "starts": 200, "traced": 30, "open": [50, 200]},
    "full": {"login": (10, 10), "whole": (10, 60), "starts": 500, "traced": 60, "open": [50, 200, 500]},
}
LOOP = {"quick": (3, 1_000_000), "normal": (7, 5_000_000), "full": (15, 5_000_000)}
PAUSE_S = 0.2  # until what the kernel keeps ready after a start, an RCU grace period say, is gone
TEMPLATE = STORE / "templates/default/rootfs"
# One tenant is /bin/true itself; the limits must not be what is measured.
POLICY = DEFAULT_CONFIG + """
[defaults]
sessions = 1024
pids = 16384
memory = 16G
start_timeout = 60s

[user other]
shell = /bin/true
"""
SSH = ["ssh", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR"]


def hyperfine(commands, runs, warmup):
    """One round: seconds of each run, per command; a command that fails ends the benchmark."""
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        done = subprocess.run(["hyperfine", "-N", "--style", "none", "--warmup", str(warmup), "--runs", str(runs),
                               "--export-json", out.name, *commands], check=False, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"bench: hyperfine: {done.stderr}")
        return [result["times"] for result in json.load(out)["results"]]


def in_turns(commands, rounds, runs, warmup=1):
    """Names to shell-less command lines; names to a list of rounds, each a list of seconds."""
    taken = {name: [] for name in commands}
    for _ in range(rounds):
        for name, times in zip(commands, hyperfine(list(commands.values()), runs, warmup)):
            taken[name].append(times)
    return taken


def median(rounds):
    return statistics.median(time for times in rounds for time in times)


def ratio(these, those):
    """Of the medians over all; and the least and greatest of single rounds."""
    single = [statistics.median(a) / statistics.median(b) for a, b in zip(these, those)]
    return median(these) / median(those), min(single), max(single)


class Table:
    """Rows as they are measured; all of it again as JSON."""

    def __init__(self):
        self.rows = []

    def head(self, text):
        print(f"\n{text}")

    def add(self, what, value, unit, *, spread=None, target=None, met=None):
        self.rows.append({"what": what, "value": value, "unit": unit, "spread": spread,
                          "target": target, "met": met})
        number = f"{value:.3f}" if unit == "x" else f"{value:.2f}" if unit == "ms" else f"{value:.0f}"
        span = "" if spread is None else "  ({:.3f} to {:.3f})".format(*spread) if unit == "x" \
            else "  ({:.2f} to {:.2f})".format(*spread)
        verdict = "" if target is None else f"  target {target}: {'met' if met else 'NOT MET'}"
        print(f"  {what:<46} {number:>9} {unit:<4}{span}{verdict}", flush=True)

    def add_ratio(self, what, these, those, limit=None, target=None):
        value, low, high = ratio(these, those)
        met = None if limit is None else value <= limit
        self.add(what, value, "x", spread=(low, high), target=target or (limit and f"<= {limit}"), met=met)


# --- (a) what a login costs -------------------------------------------------------------------------

def measure_logins(table, size):
    rounds, runs = SIZES[size]["login"]
    table.head(f"ssh login with a key, `ssh USER@localhost true`, {rounds} rounds of {runs} in turns")
    taken = in_turns({user: shlex.join([*SSH, f"{user}@localhost", "true"]) for user in ("free", "guest")},
                     rounds, runs)
    table.add("not confined, median", median(taken["free"]) * 1e3, "ms")
    table.add("confined, median", median(taken["guest"]) * 1e3, "ms")
    table.add_ratio("confined / not confined", taken["guest"], taken["free"], 1.03)


# --- (b) start to READY --------------------------------------------------------------------------------

def quartiles(values):
    low, middle, high = statistics.quantiles(values, n=4)
    return middle, (low, high)


def measure_starts(table, size, door):
    count = SIZES[size]["starts"]
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
    ("supervisor: store, registry, cgroup", "supervisor", "sys_enter_clone3"),
    ("supervisor: clone3 into the namespaces", "supervisor", "sys_exit_clone3"),
    ("supervisor: ids, cgroup, root, home, GO", "supervisor", "sys_enter_sendmsg"),
    ("builder: file systems, devices", "builder", "sys_enter_pivot_root"),
    ("builder: mounts, masks, loopback", "builder", "sys_enter_sethostname"),
    ("builder: names, home, limits", "builder", "sys_enter_seccomp"),
    ("builder: filter, rights dropped and proved", "builder", "sys_enter_execveat"),
    ("init: exec, spec, UP", "builder", "sys_enter_sendmsg"),
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


def starts_of(events):
    """Of each supervisor that was executed: its and its builder's events."""
    builders, starts = {}, {}
    for when, pid, name, fields in events:
        # By descriptor (common/session/launch.c), so this is the name that the kernel gives it.
        if name == "sched_process_exec" and "filename=/dev/fd/6 " in fields:
            starts[pid] = [(when, "supervisor", "exec")]
        elif name == "sched_process_fork" and pid in starts:
            builders.setdefault(int(re.search(r"child_pid=(\d+)", fields)[1]), pid)
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
    count = SIZES[size]["traced"]
    try:
        with Trace() as trace:
            for _ in range(count):
                time.sleep(PAUSE_S)
                subprocess.run([door, "start", "guest", "1"], check=True, stdout=subprocess.DEVNULL)
            taken = [phases for phases in map(phases_of, starts_of(trace.events())) if phases]
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


# --- (c) beside other programs ----------------------------------------------------------------------------

def measure_whole(table, size, door):
    rounds, runs = SIZES[size]["whole"]
    root = str(TEMPLATE)
    bwrap = ["bwrap", "--unshare-all", "--uid", "1000", "--gid", "1000", "--hostname", "guest", "--ro-bind", root, "/",
             "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/run", "--tmpfs", "/home",
             "--remount-ro", "/", "--cap-drop", "ALL", "--new-session", "--die-with-parent", "--clearenv", "/bin/true"]
    commands = {
        "ispawn": shlex.join([door, "run", "other"]),
        "unshare": shlex.join(["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--uts", "--ipc",
                               "--net", "--cgroup", "--root", root, "--mount-proc", "/bin/true"]),
        "bwrap": shlex.join(bwrap),
    }
    table.head(f"start to exit of /bin/true in the same root file system, {rounds} rounds of {runs} in turns")
    taken = in_turns(commands, rounds, runs, warmup=3)
    for name, words in (("ispawn", "ispawn: door, supervisor, shell, all drops"),
                        ("unshare", "unshare: bare namespaces"), ("bwrap", "bubblewrap: no cgroup, no filter")):
        table.add(words, median(taken[name]) * 1e3, "ms")
    table.add_ratio("ispawn / unshare", taken["ispawn"], taken["unshare"], 1.5)
    table.add_ratio("ispawn / bubblewrap", taken["ispawn"], taken["bwrap"], 1.0, "faster")


# --- (d) memory --------------------------------------------------------------------------------------------

def private_kib(pid):
    """Private clean and dirty memory; a process that only itself maps a file counts it as its own."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(kib) for kib in re.findall(r"^Private_(?:Clean|Dirty): +(\d+) kB", text, re.M))


class Held:
    """Open sessions with a tenant each, for as long as a with statement lasts."""

    def __init__(self, door, count, users):
        self.argv, self.count = [door, "hold", str(count), *users], count

    def __enter__(self):
        if self.count:
            self.process = subprocess.Popen(self.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            if self.process.stdout.readline() != b"held\n":
                sys.exit("bench: sessions could not be held open")
        return self

    def __exit__(self, *_):
        if self.count:
            self.process.stdin.close()
            if self.process.wait() != 0:
                sys.exit("bench: sessions that were held open did not end in order")
            self.process.stdout.close()


def idle_session(door):
    """KiB of each of a session's three processes, when another session stands beside it."""
    names = ("ispawn-supervisor", "ispawn-init", "ispawn-shell")
    with Held(door, 2, ["guest"]):
        def pids(name):
            return sorted(pid for pid, p in processes().items() if p["name"] == name[:15])
        wait_until(lambda: all(len(pids(name)) == 2 for name in names), what="two idle sessions")
        wait_until(lambda: all(p["state"] == "S" for p in processes().values() if p["name"].startswith("ispawn-")))
        return {name: private_kib(pids(name)[-1]) for name in names}


def measure_memory(table, door):
    table.head("private memory of an idle session (Private_Clean + Private_Dirty), beside another one")
    taken = idle_session(door)
    for name, kib in taken.items():
        table.add(name, kib, "KiB")
    total = sum(taken.values())
    table.add("all three", total, "KiB", target="<= 600 KiB", met=total <= 600)


# --- (e) system calls ----------------------------------------------------------------------------------------

def measure_calls(table, size, build):
    rounds, count = LOOP[size]
    program = pathlib.Path(build, "loop").read_bytes()
    table.head(f"one system call (getppid), {rounds} rounds of {count} in turns")
    taken = {"host": [], "host, empty filter": [], "login": []}
    # One connection for all rounds: /tmp inside lasts as long as its session.
    with tempfile.TemporaryDirectory() as directory:
        control = ["-o", "ControlMaster=auto", "-o", f"ControlPath={directory}/%r", "-o", "ControlPersist=60"]
        login = [*SSH, *control, "guest@localhost"]
        subprocess.run([*login, "cat > /tmp/loop && chmod +x /tmp/loop"], input=program, check=True)
        for _ in range(rounds):
            for name, argv in (("host", [f"{build}/loop", str(count)]),
                               ("host, empty filter", [f"{build}/loop", str(count), "filtered"]),
                               ("login", [*login, f"/tmp/loop {count}"])):
                out = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
                taken[name].append([float(out)])
        subprocess.run([*SSH, *control, "-O", "exit", "guest@localhost"], check=True, capture_output=True)
    for name, rounds_taken in taken.items():
        table.add(name, median(rounds_taken), "ns")
    table.add_ratio("login / host", taken["login"], taken["host"], 1.05)
    # What of it is the kernel's price for any filter, and what is ours.
    table.add_ratio("host, empty filter / host", taken["host, empty filter"], taken["host"])
    table.add_ratio("login / host, empty filter", taken["login"], taken["host, empty filter"])


# --- (f) many sessions ---------------------------------------------------------------------------------------

def measure_crowd(table, size, door):
    rounds, runs = SIZES[size]["login"]
    counts = [0, *SIZES[size]["open"]]
    table.head("with sessions of three users open, each with a tenant; rounds in turns with none open")
    login = shlex.join([*SSH, "guest@localhost", "true"])
    session = shlex.join([door, "run", "guest", "-c", "true"])
    logins, sessions = {}, {}
    for count in counts:
        with Held(door, count, ["guest", "student", "bigid"]):
            logins[count] = in_turns({"login": login}, max(2, rounds // 2), runs)["login"]
            sessions[count] = in_turns({"run": session}, max(2, rounds // 2), 2 * runs)["run"]
        table.add(f"{count} open: ssh login, median", median(logins[count]) * 1e3, "ms")
        table.add(f"{count} open: session without sshd, median", median(sessions[count]) * 1e3, "ms")
    for count in counts[1:]:
        table.add_ratio(f"ssh login: {count} open / none", logins[count], logins[0], 1.3)
        table.add_ratio(f"session without sshd: {count} open / none", sessions[count], sessions[0])


def main():
    size, build = sys.argv[1:]
    door = f"{build}/door"
    CONFIG.write_text(POLICY)
    # First logins make the copies and the homes: not what is measured.
    for user in ("guest", "other", "student", "bigid"):
        subprocess.run([door, "start", user, "1"], check=True, stdout=subprocess.DEVNULL)
    table = Table()
    measure_logins(table, size)
    measure_starts(table, size, door)
    measure_phases(table, size, door)
    measure_whole(table, size, door)
    measure_memory(table, door)
    measure_calls(table, size, build)
    measure_crowd(table, size, door)
    missed = [row["what"] for row in table.rows if row["met"] is False]
    print(f"\n{sum(row['met'] is not None for row in table.rows)} targets, missed: {', '.join(missed) or 'none'}")
    pathlib.Path(build, "bench.json").write_text(
        json.dumps({"kernel": os.uname().release, "processors": os.cpu_count(), "size": size, "rows": table.rows},
                   indent=1) + "\n")


if __name__ == "__main__":
    main()
