# SPDX-License-Identifier: GPL-3.0-or-later
"""turns.py - how the benchmark measures, and how it prints.

What is compared is run in turns, in rounds, so that a machine that slows down or speeds up does so
for both sides; a ratio is that of the medians over all rounds, its spread that of the ratios of
single rounds.
"""
import json
import statistics
import subprocess
import sys
import tempfile


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


def quartiles(values):
    low, middle, high = statistics.quantiles(values, n=4)
    return middle, (low, high)


def ratio(these, those):
    """Of the medians over all; and the least and greatest of single rounds."""
    single = [statistics.median(a) / statistics.median(b) for a, b in zip(these, those)]
    return median(these) / median(those), min(single), max(single)


class Table:
    """Rows as they are measured; all of it again as JSON."""

    FORMATS = {"x": ".3f", "ms": ".2f", "/s": ".1f"}

    def __init__(self):
        self.rows = []

    def head(self, text):
        print(f"\n{text}", flush=True)

    def note(self, what, text):
        """Something that is not measured, and why."""
        self.rows.append({"what": what, "note": text, "met": None})
        print(f"  {what}: {text}", flush=True)

    def add(self, what, value, unit, *, spread=None, target=None, met=None):
        self.rows.append({"what": what, "value": value, "unit": unit, "spread": spread,
                          "target": target, "met": met})
        form = self.FORMATS.get(unit, ".0f")
        span = "" if spread is None else f"  ({spread[0]:{form}} to {spread[1]:{form}})"
        verdict = "" if target is None else f"  target {target}: {'met' if met else 'NOT MET'}"
        print(f"  {what:<74} {value:>9{form}} {unit:<5}{span}{verdict}", flush=True)

    def add_times(self, what, rounds):
        self.add(what, median(rounds) * 1e3, "ms")

    def add_ratio(self, what, these, those, *, most=None, least=None, below=None):
        """The ratio must be at most @most, at least @least, or less than @below."""
        value, low, high = ratio(these, those)
        met, target = None, None
        for limit, word, holds in ((most, "<=", lambda: value <= most), (least, ">=", lambda: value >= least),
                                   (below, "<", lambda: value < below)):
            if limit is not None:
                met, target = holds(), f"{word} {limit}"
        self.add(what, value, "x", spread=(low, high), target=target, met=met)

    def missed(self):
        return [row["what"] for row in self.rows if row["met"] is False]

    def targets(self):
        return sum(row["met"] is not None for row in self.rows)
