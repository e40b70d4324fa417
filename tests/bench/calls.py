# SPDX-License-Identifier: GPL-3.0-or-later
"""calls.py - what a system call costs inside: the filter's price."""
import pathlib
import subprocess
import tempfile

from logins import SSH
from turns import median

LOOPS = {"quick": (3, 1_000_000), "normal": (7, 5_000_000), "full": (15, 5_000_000)}


def measure_calls(table, size, build):
    rounds, count = LOOPS[size]
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
    table.add_ratio("login / host", taken["login"], taken["host"], most=1.05)
    # What of it is the kernel's price for any filter, and what is ours.
    table.add_ratio("host, empty filter / host", taken["host, empty filter"], taken["host"])
    table.add_ratio("login / host, empty filter", taken["login"], taken["host, empty filter"])
