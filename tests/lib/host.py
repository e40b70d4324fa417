#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""host.py - the test host as the tests see it.

The tests run inside the host (run-in-host starts pytest there), as its root, so that a plain
subprocess is a process of the host.  This module has what they share: ways to log in, the policy,
the log, and what is left after a login.  As a program: `host.py shell` opens a shell in the host.
"""
import contextlib
import os
import pathlib
import re
import shlex
import signal
import socket
import subprocess
import sys
import time

import pexpect

HERE = pathlib.Path(__file__).resolve().parent
CONFIG = pathlib.Path("/etc/ispawn/ispawn.conf")
DROPINS = pathlib.Path("/etc/ispawn/conf.d")
DEFAULT_CONFIG = (HERE / "ispawn.conf").read_text()
LOG = pathlib.Path("/var/log/host.log")
RUN = pathlib.Path("/run/ispawn")
STORE = pathlib.Path("/var/lib/ispawn")
LIBEXEC = pathlib.Path("/usr/libexec/ispawn")
PROMPT = "READY> "
GRACE_S = 8  # how long a session may take to disappear after its login has ended
SUBORDINATE_FIRST = 100000  # host ids of containers' users start here, those of people end before


def cgroup_roots():
    """The mounted hierarchies: controller names to directories; {"": dir} on a v2 machine."""
    root = pathlib.Path("/sys/fs/cgroup")
    if (root / "cgroup.procs").exists():
        return {"": root}
    return {d.name: d for d in root.iterdir() if (d / "cgroup.procs").exists() and not d.is_symlink()}


def processes():
    """Live processes of the host: pid to (name, host uid, command line, executable, state)."""
    found = {}
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            status = dict(line.split(":\t", 1) for line in (entry / "status").read_text().splitlines()
                          if ":\t" in line)
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            found[int(entry.name)] = {
                "name": status["Name"], "uid": int(status["Uid"].split()[0]),
                "ppid": int(status["PPid"]), "state": status["State"][0], "command": command}
    return found


def namespaces(kind):
    """Every namespace of that kind that a process of the host is in."""
    found = set()
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                found.add(os.readlink(entry / "ns" / kind))
    return found


class Host:
    """One per test run; stateless but for the baseline."""

    def __init__(self):
        self.base_mounts = self.mounts()
        self.base_namespaces = {kind: namespaces(kind) for kind in ("mnt", "net", "pid", "user", "cgroup")}

    # --- ways in ---------------------------------------------------------------------------------

    @staticmethod
    def ssh_argv(user, command=None, options=(), tty=False, program="ssh"):
        argv = [program, "-o", "BatchMode=yes", "-o", "LogLevel=ERROR"]
        argv += ["-tt"] if tty else []
        argv += [*options, f"{user}@localhost"]
        return argv if command is None else argv + [command]

    def ssh(self, user, command=None, *, tty=False, options=(), input=b"", timeout=180, env=None):
        """Log in by ssh with a key; stdout and stderr are bytes, the status is ssh's."""
        if isinstance(input, str):
            input = input.encode()
        return subprocess.run(self.ssh_argv(user, command, options, tty), input=input, timeout=timeout,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
                              env={**os.environ, **(env or {})})

    def sh(self, user, command, **kwargs):
        """Run a command in a login by ssh that must succeed; its stdout as stripped text."""
        done = self.ssh(user, command, **kwargs)
        assert done.returncode == 0, f"{command!r}: status {done.returncode}\n{done.stderr.decode()}"
        return done.stdout.decode().strip()

    def popen(self, user, command=None, *, options=(), tty=False, **kwargs):
        """An ssh that goes on in the background, all three streams as pipes."""
        for stream in ("stdin", "stdout", "stderr"):
            kwargs.setdefault(stream, subprocess.PIPE)
        return subprocess.Popen(self.ssh_argv(user, command, options, tty), **kwargs)

    def session(self, user, **kwargs):
        """A login that stays, with `cat` in it; ready on return. Close with end()."""
        ssh = self.popen(user, "echo up; exec cat", **kwargs)
        line = ssh.stdout.readline()
        assert line == b"up\n", (line, ssh.stderr.read())
        return ssh

    @staticmethod
    def end(ssh):
        """End what session() began, in order."""
        ssh.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            ssh.wait(10)
        if ssh.poll() is None:
            ssh.kill()
            ssh.wait()
        ssh.stdout.close()
        ssh.stderr.close()

    @contextlib.contextmanager
    def open_session(self, user, **kwargs):
        ssh = self.session(user, **kwargs)
        try:
            yield ssh
        finally:
            self.end(ssh)

    @staticmethod
    def spawn(program, *args, size=(24, 80), timeout=20, env=None):
        return pexpect.spawn(program, list(args), encoding="utf-8", codec_errors="replace",
                             timeout=timeout, dimensions=size, env={**os.environ, "TERM": "xterm", **(env or {})})

    def terminal(self, user, command=None, options=(), **kwargs):
        """ssh on a terminal; without a command at a prompt that expect_prompt() knows."""
        argv = self.ssh_argv(user, command, options, tty=True)
        child = self.spawn(argv[0], *argv[1:], **kwargs)
        if command is None:
            self.set_prompt(child)
        return child

    @staticmethod
    def set_prompt(child):
        # Split, so that the echo of the line is not taken for the prompt.
        child.expect(r"[$#] ")
        child.sendline("bind 'set enable-bracketed-paste off'; PS1='READ''Y> '")
        child.expect_exact(PROMPT)

    @staticmethod
    def ask(child, line):
        """Type a line at the prompt; what it printed."""
        child.sendline(line)
        child.expect_exact(PROMPT)
        # readline redraws a long or resized line with control sequences
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", child.before).replace("\r", "")
        return text.split("\n", 1)[-1].strip()

    @staticmethod
    def leave(child):
        """Log out and wait; the exit status of the terminal's program."""
        child.sendline("exit")
        child.expect(pexpect.EOF)
        child.close()
        return child.exitstatus

    def su(self, *args, input="", timeout=60):
        """su from root, without a terminal."""
        return subprocess.run(["su", *args], input=input, capture_output=True, text=True,
                              timeout=timeout, check=False)

    def login(self, user, password=None):
        """util-linux login on a terminal of its own, past the password."""
        child = self.spawn("/usr/bin/login", timeout=20)
        child.expect("login: ")
        child.sendline(user)
        child.expect("assword: ")
        child.sendline(password or f"{user}-password")
        return child

    # --- policy and log --------------------------------------------------------------------------

    def config(self, text):
        """Replace the policy."""
        CONFIG.unlink(missing_ok=True)
        CONFIG.write_text(text)
        CONFIG.chmod(0o644)
        os.chown(CONFIG, 0, 0)

    def guest(self, *lines, user="guest"):
        """Policy: the user is confined, with these further lines in his section."""
        self.config(DEFAULT_CONFIG.replace("[user guest]\nconfine = yes\n", "")
                    + "\n".join([f"\n[user {user}]", "confine = yes", *lines, ""]))

    def reset(self):
        """What a test may have changed, back to how the host started."""
        self.config(DEFAULT_CONFIG)
        for path in DROPINS.glob("*") if DROPINS.is_dir() else ():
            path.unlink()

    def log(self, since=0):
        """What has been logged; the log's socket is a queue, so a mark of ours comes after all that was sent."""
        mark = f"mark-{time.monotonic_ns()}"
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(f"<191>{mark}".encode(), "/dev/log")
            wait_until(lambda: mark.encode() in LOG.read_bytes()[-4096:], what="the system log")
        with LOG.open("rb") as file:
            file.seek(since)
            text = file.read().decode(errors="replace")
        return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("<191>mark-"))

    @staticmethod
    def log_mark():
        return LOG.stat().st_size

    # --- what is there ---------------------------------------------------------------------------

    @staticmethod
    def mounts():
        return sorted(line.split()[4] for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines())

    @staticmethod
    def sessions():
        """Session ids in the registry."""
        directory = RUN / "sessions"
        return sorted(p.name for p in directory.iterdir()) if directory.is_dir() else []

    @staticmethod
    def pids(name):
        return sorted(pid for pid, p in processes().items() if p["name"].startswith(name[:15])
                      and p["state"] != "Z")

    @staticmethod
    def cgroups():
        """Directories of users and sessions, in any hierarchy."""
        found = []
        for root in cgroup_roots().values():
            base = root / "ispawn"
            # os.walk, unlike rglob, takes it well when a directory goes while it looks.
            for top, names, _ in os.walk(base):
                if top == str(base):
                    names[:] = [name for name in names if name != ".supervisors"]
                found += [f"{top}/{name}" for name in names]
        return sorted(found)

    def leftovers(self):
        """What a finished session must not leave behind; empty when all is clean."""
        own = {p: i for p, i in processes().items() if i["state"] != "Z" and
               (i["name"].startswith("ispawn-") or i["uid"] >= SUBORDINATE_FIRST or i["uid"] in CONFINED_UIDS)}
        left = {
            "processes": [f"{pid} {p['name']} uid {p['uid']}: {p['command']}" for pid, p in own.items()],
            "zombies": [f"{pid} {p['name']}" for pid, p in processes().items() if p["state"] == "Z"
                        and (p["name"].startswith("ispawn-") or p["name"] == "pam_ispawn")],
            "mounts": sorted(set(self.mounts()) - set(self.base_mounts)),
            "cgroups": self.cgroups(),
            "registry": self.sessions(),
        }
        for kind, base in self.base_namespaces.items():
            left[f"{kind} namespaces"] = sorted(namespaces(kind) - base)
        return {what: found for what, found in left.items() if found}

    def wait_clean(self, grace=GRACE_S):
        """leftovers() once nothing changes for the better any more, at most @grace seconds."""
        end = time.monotonic() + grace
        while (left := self.leftovers()) and time.monotonic() < end:
            time.sleep(0.02)
        return left

    def kill_all(self):
        """End every session the hard way, so that one failed test does not fail the next ones."""
        for pid, process in processes().items():
            if process["name"].startswith("ispawn-") or process["uid"] in CONFINED_UIDS:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        time.sleep(0.2)
        run("ispawnctl", "gc")

    def restore(self, path):
        """Context: a file is as it was afterwards."""
        return restored(pathlib.Path(path))


@contextlib.contextmanager
def restored(path):
    existed, content = path.exists(), path.read_bytes() if path.is_file() else None
    info = path.stat() if existed else None
    try:
        yield path
    finally:
        if existed:
            path.write_bytes(content)
            path.chmod(info.st_mode & 0o7777)
            os.chown(path, info.st_uid, info.st_gid)
        else:
            path.unlink(missing_ok=True)


def run(*argv, **kwargs):
    """A program on the host; CompletedProcess with text."""
    kwargs.setdefault("timeout", 60)
    return subprocess.run(argv, capture_output=True, text=True, check=False, **kwargs)


def wait_until(condition, timeout=10, what=""):
    end = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < end, f"not within {timeout} s: {what or condition}"
        time.sleep(0.02)
    return value


def confined_uids():
    import pwd
    found = set()
    for name in ("guest", "student", "shelly", "bigid", "ldapish", "other"):
        with contextlib.suppress(KeyError):
            found.add(pwd.getpwnam(name).pw_uid)
    return found


CONFINED_UIDS = confined_uids()


def main():
    if sys.argv[1:2] != ["shell"]:
        sys.exit("usage: host.py shell [run-in-host options]")
    os.execv(HERE / "run-in-host", ["run-in-host", *sys.argv[2:], "bash", "--norc", "-i"])


if __name__ == "__main__":
    main()
