# SPDX-License-Identifier: GPL-3.0-or-later
"""measure.py SIZE BUILD - the measurements of `make bench`, taken inside the test host."""
import json
import os
import pathlib
import subprocess
import sys

import peers
from calls import measure_calls
from crowd import measure_crowd, measure_memory
from host import CONFIG, DEFAULT_CONFIG
from logins import measure_logins, measure_rates
from peers import measure_peers
from starts import measure_phases, measure_starts
from throughput import measure_throughput
from turns import Table

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


def prepare(build):
    CONFIG.write_text(POLICY)
    peers.place_root()
    peers.install(f"{build}/peers")
    # First logins make the copies and the homes: not what is measured.
    for user in ("guest", "other", "student", "bigid"):
        subprocess.run([f"{build}/door", "start", user, "1"], check=True, stdout=subprocess.DEVNULL)


def main():
    size, build = sys.argv[1:]
    door = f"{build}/door"
    prepare(build)
    table = Table()
    measure_starts(table, size, door)
    measure_phases(table, size, door)
    measure_peers(table, size, build)
    measure_logins(table, size)
    measure_rates(table, size)
    measure_memory(table, door)
    measure_crowd(table, size, door)
    measure_calls(table, size, build)
    measure_throughput(table, size, build)
    print(f"\n{table.targets()} targets, missed: {', '.join(table.missed()) or 'none'}")
    pathlib.Path(build, "bench.json").write_text(
        json.dumps({"kernel": os.uname().release, "processors": os.cpu_count(), "size": size, "rows": table.rows},
                   indent=1) + "\n")


if __name__ == "__main__":
    main()
