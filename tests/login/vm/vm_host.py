# SPDX-License-Identifier: GPL-3.0-or-later
"""vm_host.py - the virtual test host as the cases see it.

The cases run on the machine that emulates it.  A login costs a second there and a program's start
25 ms, so a case logs in seldom and asks much at once; what root looks at goes over one connection
that is kept.
"""
import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import time

import pexpect

LIB = pathlib.Path(__file__).resolve().parents[2] / "lib"
CONFIG = "/etc/ispawn/ispawn.conf"
CGROUP = "/sys/fs/cgroup/ispawn"
USERS = "/var/lib/ispawn/users"
PATIENCE_S = 40  # for what takes one or two seconds there when nothing else runs here

LEFTOVERS = r"""
for status in /proc/[0-9]*/status; do
	while read -r key value rest; do
		case $key in
		Name:) name=$value ;;
		State:) [ "$value" != Z ] || continue 2 ;;
		Uid:) uid=$value; break ;;
		esac
	done < "$status" || continue
	case $name in ispawn-*) echo "process $name" ;; esac
	[ "$uid" -lt 100000 ] || echo "process $name of uid $uid"
	case $uid in 1000|1001) echo "process $name of uid $uid" ;; esac
done 2>/dev/null
for entry in /sys/fs/cgroup/ispawn/*/ /run/ispawn/sessions/*; do
	[ ! -e "$entry" ] || echo "$entry"
done
ls -d /var/lib/ispawn/users/*/*.new /var/lib/ispawn/users/*/*/*.new 2>/dev/null
readlink /proc/[0-9]*/ns/{user,pid,net} 2>/dev/null | sort -u | sed 's/^/namespace /'
cut -d' ' -f5 /proc/1/mountinfo | grep -v '^/run/user/' | sed 's/^/mount /'
true
"""


def wait_until(condition, what, patience=PATIENCE_S):
    end = time.monotonic() + patience
    while not (value := condition()):
        assert time.monotonic() < end, f"not within {patience} s: {what}"
        time.sleep(0.2)
    return value


class VmHost:
    """One per run."""

    def __init__(self):
        self.state = os.environ["ISPAWN_TEST_VM"]
        self.baseline = None
        self.note_baseline()

    # --- ways in ---------------------------------------------------------------------------------

    def argv(self, *words):
        return [str(LIB / "vm"), "--state", self.state, *words]

    @staticmethod
    def run(argv, script, timeout):
        """A program that reads the script; in a session of its own, so that all of it can be ended."""
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              start_new_session=True) as process:
            try:
                out, err = process.communicate(script, timeout=timeout)
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)
                raise
            return subprocess.CompletedProcess(argv, process.returncode, out, err)

    def vm(self, *words, timeout=240):
        """A verb of tests/lib/vm that must succeed."""
        subprocess.run(self.argv(*words), check=True, stdin=subprocess.DEVNULL, timeout=timeout)

    def root(self, script, *, check=True, timeout=120):
        """A bash script as root over the kept connection; its stdout, stripped."""
        done = self.run(self.argv("root", "bash -s"), script, timeout)
        assert not check or done.returncode == 0, f"{script}\nstatus {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout.strip()

    def ssh(self, user, script="", *, timeout=120):
        """A login whose shell reads the script from its standard input; CompletedProcess of text."""
        return self.run(self.argv("ssh", user, "bash -s"), script, timeout)

    def sh(self, user, script, **kwargs):
        """The same, and it must succeed; stdout, stripped."""
        done = self.ssh(user, script, **kwargs)
        assert done.returncode == 0, f"{script}\nstatus {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout.strip()

    def facts(self, user, script, **kwargs):
        """The same for lines of KEY=VALUE: a dictionary."""
        return dict(line.split("=", 1) for line in self.sh(user, script, **kwargs).splitlines())

    def terminal(self, user, command):
        argv = self.argv("ssh", user, "-tt", command)
        return pexpect.spawn(argv[0], argv[1:], encoding="utf-8", timeout=PATIENCE_S, dimensions=(24, 200))

    @contextlib.contextmanager
    def attempt(self, user):
        """A login whose outcome does not matter; it is gone afterwards."""
        with subprocess.Popen(self.argv("ssh", user, "true"), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) as process:
            try:
                yield
            finally:
                process.kill()

    def session(self, user, script="", shell="bash"):
        """A login that stays, once the script has run in it."""
        return Session(self, user, script, shell)

    # --- policy and log --------------------------------------------------------------------------

    def config(self, text):
        self.root(f"cat > {CONFIG} << 'END'\n{text}END\nsync {CONFIG}\n")

    def confine(self, *guest, student=()):
        """Policy: both are confined, with these further lines in their sections."""
        self.config("".join(f"[user {user}]\nconfine = yes\n" + "".join(f"{line}\n" for line in lines)
                            for user, lines in (("guest", guest), ("student", student))))

    def mark(self):
        """A place in the journal."""
        return self.root("journalctl -q -n1 -o json").strip()

    def log(self, mark):
        """Our lines in the journal since then."""
        cursor = json.loads(mark)["__CURSOR"]
        lines = self.root(f"journalctl -q -o cat --after-cursor '{cursor}'").splitlines()
        return "\n".join(line for line in lines if "session=" in line)

    def explained(self, user):
        """The verdicts of `ispawnctl explain`, by way."""
        told = json.loads(self.root(f"ispawnctl explain {user} --json", check=False))
        return {way["way"]: way["verdict"] for way in told["ways"]}

    # --- what is there ---------------------------------------------------------------------------

    def look(self):
        return set(self.root(LEFTOVERS, check=False).splitlines())

    def note_baseline(self):
        self.baseline = self.look()

    def leftovers(self):
        return sorted(self.look() - self.baseline)

    def wait_clean(self, patience=PATIENCE_S):
        """What is left once it gets no better, empty if all is well."""
        end = time.monotonic() + patience
        while (left := self.leftovers()) and time.monotonic() < end:
            time.sleep(0.2)
        return left

    def sessions(self, user="guest"):
        names = self.root("ls /run/ispawn/sessions 2>/dev/null; true").split()
        return [name for name in names if re.fullmatch(rf"{user}\.[0-9a-f]{{8}}", name)]

    def limit(self, name, user="guest"):
        return self.root(f"cat {CGROUP}/{user}/{name}")

    def pid(self, name):
        """The one process of that name."""
        return self.root(f"pgrep -x '{name[:15]}'")


class Session:
    """A login with a shell that reads from a pipe; a context that logs out at its end."""

    def __init__(self, host, user, script, shell):
        self.ssh = subprocess.Popen(host.argv("ssh", user, shell), stdin=subprocess.PIPE,
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                    start_new_session=True)
        try:
            self.printed = self.run(script)
        except BaseException:
            self.end()
            raise

    def run(self, script):
        """Run a script in it; what it printed."""
        self.send(f"{script}\necho 'd''one'\n")
        printed = []
        for line in self.ssh.stdout:
            if line == "done\n":
                return "".join(printed).strip()
            printed.append(line)
        raise AssertionError(f"the login ended: {''.join(printed)}{self.ssh.stderr.read()}")

    def send(self, text):
        self.ssh.stdin.write(text)
        self.ssh.stdin.flush()

    def end(self):
        """Log out; (stdout, stderr) of what was still to come."""
        try:
            return self.ssh.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            os.killpg(self.ssh.pid, signal.SIGKILL)
            return self.ssh.communicate()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()
