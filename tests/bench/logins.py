# SPDX-License-Identifier: GPL-3.0-or-later
"""logins.py - what a login by ssh costs: alone, beside login shells that confine, and many at once."""
import concurrent.futures
import pathlib
import pwd
import shlex
import shutil
import subprocess
import sys
import time

import peers
from turns import in_turns, median

SIZES = {"quick": (2, 4), "normal": (5, 10), "full": (10, 10)}  # rounds, logins in each
# Rounds, and how many logins at each concurrency; sshd must take as many at once (MaxStartups).
RATES = {"quick": (1, {1: 5, 8: 16, 32: 32}), "normal": (3, {1: 20, 8: 40, 32: 80}),
         "full": (5, {1: 40, 8: 80, 32: 160})}
SSH = ["ssh", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR"]
COMMAND = "true"


def login(user, command=COMMAND):
    return [*SSH, f"{user}@localhost", command]


# --- login shells that confine ----------------------------------------------------------------------

def wrapper_of(name):
    """The peer's command line, as the user's, with the rest of the shell's arguments at its end."""
    if name == "bubblewrap":
        argv = [word for word in peers.bubblewrap(["/bin/bash"]) if word not in ("--uid", "--gid", "1000")]
    else:
        # For an ordinary user --chroot brings filter, no_new_privs and the loss of capabilities along.
        argv = [word for word in peers.firejail(["/bin/bash"])
                if word not in ("--caps.drop=all", "--nonewprivs", "--seccomp")]
    return f"#!/bin/sh\nexec {shlex.join(argv)} \"$@\"\n"


def add_wrapped(name):
    """An account like guest's but for its shell, and for not being confined by ispawn."""
    user, shell, home = f"in-{name}", peers.PLACE / f"{name}-shell", pathlib.Path(f"/home/in-{name}")
    shell.write_text(wrapper_of(name))
    shell.chmod(0o755)
    subprocess.run(["useradd", "--create-home", "--shell", shell, user], check=True)
    shutil.copytree("/home/guest/.ssh", home / ".ssh")
    ids = pwd.getpwnam(user)
    for path in (home / ".ssh", *(home / ".ssh").iterdir()):
        shutil.chown(path, ids.pw_uid, ids.pw_gid)
    return user


def wrapped_users(table):
    """Of those that are installed and work here: name of the wrapper to the user."""
    found = {}
    for name, program in (("bubblewrap", "bwrap"), ("firejail", "firejail")):
        if not shutil.which(program):
            table.note(f"login shell in {name}", f"apt-get install --no-install-recommends {name}")
            continue
        user = add_wrapped(name)
        done = subprocess.run(login(user, shlex.join(peers.PROBE)), capture_output=True, text=True, check=False,
                              stdin=subprocess.DEVNULL)
        words = peers.describe(done.stdout) if done.returncode == 0 else None
        if words:
            found[f"login shell in {name}: {words}"] = user
        else:
            table.note(f"login shell in {name}", f"cannot run here: {peers.last_line(done.stderr)}")
    return found


def measure_logins(table, size):
    rounds, runs = SIZES[size]
    table.head(f"ssh login with a key, `ssh USER@localhost {COMMAND}`, {rounds} rounds of {runs} in turns")
    users = {"not confined": "free", "confined": "guest", **wrapped_users(table)}
    taken = in_turns({name: shlex.join(login(user)) for name, user in users.items()}, rounds, runs)
    for name in users:
        table.add_times(name, taken[name])
    table.add_ratio("confined / not confined", taken["confined"], taken["not confined"], most=1.03)
    for name in list(users)[2:]:
        table.add_ratio(f"confined / {name.split(':')[0]}", taken["confined"], taken[name])


# --- many at once -------------------------------------------------------------------------------------

def logins_per_second(user, count, concurrency):
    def one(_):
        return subprocess.run(login(user), stdin=subprocess.DEVNULL, capture_output=True, check=False)
    with concurrent.futures.ThreadPoolExecutor(concurrency) as pool:
        began = time.monotonic()
        done = list(pool.map(one, range(count)))
        taken = time.monotonic() - began
    for result in done:
        if result.returncode != 0:
            sys.exit(f"bench: one of {count} logins, {concurrency} at once, failed: {result.stderr.decode()}")
    return count / taken


def measure_rates(table, size):
    rounds, counts = RATES[size]
    table.head(f"logins per second, so many clients at once, client and server on this machine; {rounds} rounds in turns")
    for concurrency, count in counts.items():
        taken = {"free": [], "guest": []}
        for _ in range(rounds):
            for user, rates in taken.items():
                rates.append([logins_per_second(user, count, concurrency)])
        table.add(f"{concurrency} at once, not confined, {count} logins", median(taken["free"]), "/s")
        table.add(f"{concurrency} at once, confined, {count} logins", median(taken["guest"]), "/s")
        table.add_ratio(f"{concurrency} at once: confined / not confined", taken["guest"], taken["free"])
