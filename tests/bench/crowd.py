# SPDX-License-Identifier: GPL-3.0-or-later
"""crowd.py - what open sessions cost: memory, and the time of a login beside them."""
import pathlib
import re
import shlex
import statistics
import subprocess
import sys
import time

from host import processes, wait_until
from logins import SIZES, login
from turns import in_turns

COUNTS = {"quick": [20], "normal": [100], "full": [100, 500]}
PROGRAMS = ("ispawn-supervisor", "ispawn-init", "ispawn-shell")
SETTLE_S = 1  # until what ended sessions held is given back


def private_kib(pid):
    """Private clean and dirty memory; a process that only itself maps a file counts it as its own."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(kib) for kib in re.findall(r"^Private_(?:Clean|Dirty): +(\d+) kB", text, re.M))


def available_kib():
    time.sleep(SETTLE_S)
    return int(re.search(r"^MemAvailable: +(\d+) kB", pathlib.Path("/proc/meminfo").read_text(), re.M)[1])


def pids(name):
    return sorted(pid for pid, process in processes().items() if process["name"] == name[:15])


class Held:
    """Open sessions with a tenant each, for as long as a with statement lasts."""

    def __init__(self, door, count, users):
        self.argv, self.count = [door, "hold", str(count), *users], count

    def __enter__(self):
        if self.count:
            self.process = subprocess.Popen(self.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            if self.process.stdout.readline() != b"held\n":
                sys.exit("bench: sessions could not be held open")
            wait_until(lambda: all(len(pids(name)) == self.count for name in PROGRAMS), timeout=60,
                       what=f"{self.count} sessions")
            wait_until(lambda: all(process["state"] == "S" for process in processes().values()
                                   if process["name"].startswith("ispawn-")), timeout=60, what="idle sessions")
        return self

    def __exit__(self, *_):
        if self.count:
            self.process.stdin.close()
            if self.process.wait() != 0:
                sys.exit("bench: sessions that were held open did not end in order")
            self.process.stdout.close()


def measure_memory(table, door):
    table.head("private memory of an idle session (Private_Clean + Private_Dirty), beside another one")
    with Held(door, 2, ["guest"]):
        taken = {name: private_kib(pids(name)[-1]) for name in PROGRAMS}
    for name, kib in taken.items():
        table.add(name, kib, "KiB")
    total = sum(taken.values())
    table.add("all three", total, "KiB", target="<= 600 KiB", met=total <= 600)


def measure_crowd(table, size, door):
    rounds, runs = SIZES[size]
    rounds, counts = max(2, rounds // 2), [0, *COUNTS[size]]
    table.head("with sessions of three users open, each with a tenant (bash, waiting for its input)")
    session = shlex.join([door, "run", "guest", "-c", "true"])
    logins, sessions = {}, {}
    for count in counts:
        before = available_kib()
        with Held(door, count, ["guest", "student", "bigid"]):
            if count:
                measure_held(table, count, before)
            logins[count] = in_turns({"login": shlex.join(login("guest"))}, rounds, runs)["login"]
            sessions[count] = in_turns({"run": session}, rounds, 2 * runs)["run"]
        table.add_times(f"{count} open: ssh login, median", logins[count])
        table.add_times(f"{count} open: session without sshd, median", sessions[count])
    for count in counts[1:]:
        table.add_ratio(f"ssh login: {count} open / none", logins[count], logins[0], most=1.3)
        table.add_ratio(f"session without sshd: {count} open / none", sessions[count], sessions[0])


def measure_held(table, count, before):
    """What each of them holds; the machine's own number moves with whatever else runs on it."""
    table.add(f"{count} open: MemAvailable less, per session and tenant", (before - available_kib()) / count, "KiB")
    table.add(f"{count} open: private memory of a session's three processes",
              sum(statistics.mean(private_kib(pid) for pid in pids(name)) for name in PROGRAMS), "KiB")
