# SPDX-License-Identifier: GPL-3.0-or-later
"""fault.py - logins in which one thing goes wrong, and what must be true afterwards.

inject.c does the injecting; read there who is A, M, S, B, C and T.  The door is su where logins are
many, the same module as in sshd in a quarter of a second less, else ssh.
"""
import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time
from typing import NamedTuple

from host import GRACE_S, LIBEXEC, STORE, Host, run, wait_until

DIRECTORY = pathlib.Path("/run/fault")
INJECT, PLAN, TRACE = DIRECTORY / "inject", DIRECTORY / "plan", DIRECTORY / "trace"
NOTHING = "* -1 1 none 0"
SU = ("su", "guest", "-c", "echo ran")
SSH = tuple(Host.ssh_argv("guest", "echo ran"))
CLONE_NEWNET = 0x40000000
ID = r"guest\.[0-9a-f]{8}"


# Where the first argument, or the second, says which call it really is.
COMMAND = {"prctl": 0, "keyctl": 0, "fcntl": 1, "fsconfig": 1, "ioctl": 1, "flock": 1}


class Call(NamedTuple):
    """One system call: who made it, and the how manieth of its number by him it was, from 1."""
    role: str
    number: int
    name: str
    nth: int
    args: tuple
    path: str
    after: str

    @property
    def title(self):
        """The same in every login: `S openat /proc/N/uid_map`, `S write after openat /proc/N/uid_map`."""
        command = f" 0x{self.args[COMMAND[self.name]]:x}" if self.name in COMMAND else ""
        # The builder's proof tries what its drops have made impossible, with arguments of its own.
        if self.name in ("setresuid", "setresgid") and self.args[0] & 0xffffffff == 0xffffffff:
            command = " -1"
        if self.name == "setgroups" and self.args[1] == 0:
            command = " NULL"
        where = f" {self.path}" if self.path else f" after {self.after}"
        return f"{self.role} {self.name}{command}{plain(where)}"


def plain(text):
    """Without what differs from login to login."""
    return re.sub(r"/proc/\d+", "/proc/N", re.sub(ID, "ID", text))


class Login(NamedTuple):
    """What came of a login: its process, its calls, whom the plan met (role to pid), the log."""
    done: subprocess.CompletedProcess
    calls: list
    fired: dict
    log: str

    @property
    def told(self):
        return self.done.stdout + self.done.stderr

    @property
    def ran(self):
        return "ran" in self.done.stdout

    @property
    def ours(self):
        """The log's lines by module or supervisor."""
        return [line for line in self.log.splitlines() if re.search(r"pam_ispawn|ispawn-supervisor", line)]


def build():
    """Compile inject.c on the host; system call names by number."""
    DIRECTORY.mkdir(exist_ok=True)
    source = pathlib.Path(__file__).with_name("inject.c")
    subprocess.run(["gcc", "-std=c17", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror", "-o", INJECT, source],
                   check=True)
    names = subprocess.run(["gcc", "-dM", "-E", "-include", "sys/syscall.h", "-x", "c", "/dev/null"],
                           check=True, capture_output=True, text=True).stdout
    return {int(number): name for name, number in re.findall(r"#define __NR_(\w+) (\d+)\n", names)}


class Fault:
    """One per test run: the harness."""

    def __init__(self, host):
        self.host = host
        self.marks = 0
        self.names = build()
        self.numbers = {name: number for number, name in self.names.items()}

    # --- logins ----------------------------------------------------------------------------------

    def start(self, plan=NOTHING, door=SU):
        """A login under a plan, in the background."""
        PLAN.write_text(plan + "\n")
        TRACE.unlink(missing_ok=True)
        inject = [INJECT, PLAN, TRACE] if door[0] == "su" else []
        return subprocess.Popen([*inject, *door], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)

    def finish(self, process, mark, timeout=60):
        """The login's end, and the end of all that it has started."""
        out, err = process.communicate(timeout=timeout)
        done = subprocess.CompletedProcess(process.args, process.returncode, out, err)
        wait_until(lambda: TRACE.read_text().endswith("end\n"), what="the end of all that the login started")
        calls, fired = self.read_trace()
        return Login(done, calls, fired, self.log(mark))

    def login(self, plan=NOTHING, door=SU, timeout=60):
        """A login under a plan, from its start to its last trace."""
        mark = self.host.log_mark()
        return self.finish(self.start(plan, door), mark, timeout)

    @contextlib.contextmanager
    def instead_of_supervisor(self):
        """Every login's supervisor is under the plan, whatever the door; the application is not."""
        program = LIBEXEC / "ispawn-supervisor"
        program.rename(LIBEXEC / "ispawn-supervisor.real")
        try:
            shutil.copy(INJECT, program)
            yield
        finally:
            (LIBEXEC / "ispawn-supervisor.real").rename(program)

    def leftovers(self):
        """host.leftovers(), looked at again when something went away while it looked."""
        while True:
            with contextlib.suppress(FileNotFoundError):
                return self.host.leftovers()

    def left(self, base=None):
        """What a login has left behind beyond @base, once nothing changes for the better any more."""
        end = time.monotonic() + GRACE_S
        while True:
            left = {what: [one for one in found if one not in (base or {}).get(what, [])]
                    for what, found in self.leftovers().items()}
            left = {what: found for what, found in left.items() if found}
            if not left or time.monotonic() > end:
                return left
            time.sleep(0.01)

    def seen(self, done, mark):
        """A login that no plan was for."""
        return Login(done, [], None, self.log(mark))

    def log(self, mark):
        """What the system log has got since; all of it, however far behind its daemon was."""
        self.marks += 1
        line = f"fault: mark {self.marks}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to_log:
            to_log.sendto(f"<15>{line}".encode(), "/dev/log")
        wait_until(lambda: line + "\n" in self.host.log(mark), what="the log's daemon")
        return self.host.log(mark)

    def wait_fired(self):
        """Wait until the plan has met its call; role to pid."""
        wait_until(lambda: TRACE.exists() and "\nfired" in TRACE.read_text(), 20, "the planned call")
        return self.read_trace()[1]

    def read_trace(self):
        calls, fired, count, after = [], None, {}, {}
        for line in TRACE.read_text().splitlines():
            fields = line.split(" ")
            if fields[0] == "fired":
                fired = {role: int(pid) for role, pid in (field.split("=") for field in fields[1:])}
            elif len(fields) == 6:
                role, number, path = fields[0], int(fields[1]), fields[5]
                name = self.names.get(number, str(number))
                count[role, number] = nth = count.get((role, number), 0) + 1
                calls.append(Call(role, number, name, nth, tuple(int(arg, 16) for arg in fields[2:5]), path,
                                  after.get(role, "start")))
                if path:
                    after[role] = f"{name} {path}"
        return calls, fired

    # --- plans -----------------------------------------------------------------------------------

    @staticmethod
    def plan(call, action, value):
        """At this very call: errno, kill or stop."""
        return f"{call.role} {call.number} {call.nth} {action} {value}"

    @staticmethod
    def building(calls):
        """Of a traced login the calls that build: from the module's first until it has moved the application."""
        first = next((i for i, call in enumerate(calls) if call.path == "/proc/thread-self/ns/mnt"), 0)
        up = next(i for i, call in enumerate(calls) if call.role == "B" and call.name == "sendmsg")
        ready = next(i for i, call in enumerate(calls) if i > up and call.role == "S" and call.name == "sendmsg")
        end = {"A": Fault.moved(calls), "M": up, "B": up, "S": ready, "T": -1,
               "C": next((i for i, call in enumerate(calls) if call.role == "C" and call.name == "execve"), -1)}
        return [call for i, call in enumerate(calls) if first <= i <= end[call.role]]

    @staticmethod
    def moved(calls):
        """Where the module's last call is: into the network, else the last look at ispawn-shell."""
        mine = [i for i, call in enumerate(calls) if call.role == "A"]
        for i in mine:
            if calls[i].name == "setns" and calls[i].args[1] == CLONE_NEWNET:
                return i
        return max((i for i in mine if calls[i].path == "ispawn-shell"), default=-1)

    # --- the store -------------------------------------------------------------------------------

    @staticmethod
    def forget(user="guest"):
        """The user has never logged in."""
        subprocess.run(["rm", "-rf", "--one-file-system", STORE / "users" / user], check=True)

    @staticmethod
    def half_made(user="guest", patterns=("*.new", "rootfs-*/*.new", "rootfs-*/**/*.ispawn")):
        """What only a login in the middle of its start has in the store."""
        base = STORE / "users" / user
        return [str(path.relative_to(base)) for pattern in patterns for path in base.glob(pattern)]


def denial_problems(login, cause):
    """What is wrong with a denial, as far as user and log are told."""
    problems = []
    told = re.search(rf"Login denied: .*session ({ID})\)", login.told)
    lines = [line for line in login.ours if "stage=" in line]
    if len(lines) > 1:  # a supervisor whose module has given up says so, besides
        lines = [line for line in lines if "event=denied" not in line or "the login is gone" not in line]
    if login.done.returncode == 0:
        problems.append("status 0")
    if not told:
        problems.append(f"the user was told {login.told!r}")
    if len(lines) != 1:
        problems.append(f"{len(lines)} lines in the log: {lines}")
        return problems
    if told and told.group(1) not in lines[0]:
        problems.append(f"no session id in {lines[0]!r}")
    if not re.search(cause, lines[0]):
        problems.append(f"{cause!r} is not in {lines[0]!r}")
    return problems


def store_problems(fault):
    """Nothing half made; a home only if its container stood, and then a whole one."""
    problems = [f"in the store: {path}" for path in fault.half_made()]
    home = STORE / "users/guest/home"
    if home.exists() and not {".bashrc", ".profile"} <= set(os.listdir(home)):
        problems.append("in the store: a home without what /etc/skel has")
    return problems


def store_problems_of_killed(fault):
    """As above; but whoever is killed while he writes a file of the copy leaves the new one beside
    the old, and the user's next login takes it away."""
    PLAN.write_text(NOTHING)
    problems = [problem for problem in store_problems(fault) if not problem.endswith(".ispawn")]
    if fault.host.su("guest", "-c", "echo ran").stdout != "ran\n":
        problems.append("the next login failed")
    return problems + fault.half_made()


IS_ALL = os.environ.get("ISPAWN_FAULT") == "all"


def moments(calls, count):
    """So many calls, evenly over a start; ISPAWN_FAULT=all: all of them."""
    step = 1 if IS_ALL else max(1, len(calls) // count)
    return calls[step // 2::step]


def send(pid, number):
    """A signal to a process that may have ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def resume(pid):
    send(pid, signal.SIGCONT)


def sweep():
    """What an administrator does by hand, and the next login by itself."""
    done = run("ispawnctl", "gc")
    assert done.returncode == 0, done
