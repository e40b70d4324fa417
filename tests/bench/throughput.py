# SPDX-License-Identifier: GPL-3.0-or-later
"""throughput.py - bulk bytes through pipes and through a terminal, inside against the host's own.

The bytes are all 256 values in an order in which a lost, doubled or changed one is seen (pump.c).
The clock runs from the first to the last of them: the start of the program is not in it.
"""
import pathlib
import shutil
import subprocess

from peers import ROOT
from turns import median

MIBS = {"quick": (3, 48), "normal": (7, 256), "full": (11, 512)}  # rounds, MiB in each
# What a limit takes is not what is asked for.
RUNNER = ["ispawn", "--quiet", "--readonly", "--cpu", "0%", "--memory", "max"]


def seconds(argv):
    return float(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)


def measure_throughput(table, size, build):
    rounds, mib = MIBS[size]
    table.head(f"throughput of {mib} MiB of 8-bit bytes, {rounds} rounds in turns")
    bench = pathlib.Path(build, "inside")
    bench.mkdir(exist_ok=True)
    shutil.copy(f"{build}/pump", bench)
    pump, inside = f"{build}/pump", [*RUNNER, "--bind", f"{bench}:/mnt:ro", str(ROOT)]
    for what, verb, command, least in (
            ("pipes in and out of cat", "pipes", ["/bin/cat"], 0.95),
            ("terminal, output", "output", ["pump", "source", str(mib)], 0.8),
            ("terminal, input", "input", ["pump", "sink", str(mib)], 0.8)):
        taken = {"host": [], "inside": []}
        for _ in range(rounds):
            for name, argv in (("host", [f"{build}/{command[0]}" if command[0] == "pump" else command[0]]),
                               ("inside", [*inside, f"/mnt/{command[0]}" if command[0] == "pump" else command[0]])):
                taken[name].append([mib / seconds([pump, verb, str(mib), *argv, *command[1:]])])
        for name, rates in taken.items():
            table.add(f"{what}: {name}", median(rates), "MiB/s")
        table.add_ratio(f"{what}: inside / host", taken["inside"], taken["host"], least=least)
