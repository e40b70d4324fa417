# SPDX-License-Identifier: GPL-3.0-or-later
"""`ispawnctl top`: the busiest first, in numbers that are the kernel's; on a terminal, again and again."""
import json
import os
import re
import subprocess

import pexpect
import pytest

from host import RUN, cgroup_roots, run, wait_until

KEYS = {"session": str, "user": str, "service": str, "state": str, "tasks": int, "memory_bytes": int, "cpu_us": int,
        "cpu_us_per_s": int, "read_bytes_per_s": int, "written_bytes_per_s": int}
TITLE = ["SESSION", "SERVICE", "TASKS", "MEMORY", "%CPU", "READ/s", "WRITE/s", "CPU"]
TAKEN, GIVEN = "\x1b[?1049h", "\x1b[?1049l"


def look(*options):
    done = run("ispawnctl", "top", "--json", *options)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.isascii(), done
    found = json.loads(done.stdout)
    assert set(found) == {"interval_ms", "sessions"} and found["interval_ms"] > 0
    for session in found["sessions"]:
        assert list(session) == list(KEYS)
        for key, kind in KEYS.items():
            assert session[key] is None or isinstance(session[key], kind), (key, session[key])
    return found


@pytest.fixture(name="busy")
def make_busy(host):
    """An idle session, and one that burns a processor."""
    with host.open_session("student"):
        ssh = host.popen("guest", "echo up; while :; do :; done")
        assert ssh.stdout.readline() == b"up\n"
        yield ssh
        ssh.kill()
        ssh.wait()


def test_the_busiest_is_first_with_what_the_kernel_counts(host, busy):
    first, second = look("--interval", "0.5")["sessions"]
    assert (first["user"], second["user"]) == ("guest", "student")
    assert (first["service"], first["state"]) == ("sshd", "running")
    assert sorted([first["session"], second["session"]]) == host.sessions()
    assert first["cpu_us_per_s"] > 10 * second["cpu_us_per_s"]
    assert 0 < first["cpu_us_per_s"] < 1.5e6 and first["cpu_us"] > 0
    assert first["tasks"] == 2 and first["memory_bytes"] > 100000


def test_the_interval_is_what_it_is_asked_to_be(host):
    assert 1000 <= look("--interval", "1")["interval_ms"]
    assert 2000 <= look()["interval_ms"]


def counts_io():
    """Does this kernel count what goes to the disk below the store?  Not where that is no block device of its own."""
    roots = cgroup_roots()
    if "" in roots:
        return True
    return "Write" in (roots["blkio"] / "blkio.throttle.io_service_bytes").read_text() if "blkio" in roots else None


def test_what_goes_to_disk(host):
    ssh = host.popen("guest", "echo up; while dd if=/dev/zero of=~/big bs=1M count=8 oflag=direct 2>/dev/null || "
                              "dd if=/dev/zero of=~/big bs=1M count=8 conv=fsync 2>/dev/null; do :; done")
    assert ssh.stdout.readline() == b"up\n"
    try:
        if counts_io():
            wait_until(lambda: (look("--interval", "0.5")["sessions"][0]["written_bytes_per_s"] or 0) > 1 << 20,
                       timeout=60, what="bytes to be counted")
        else:
            assert look("--interval", "0.5")["sessions"][0]["written_bytes_per_s"] in (0, None)
    finally:
        ssh.kill()
        ssh.wait()
        assert not host.wait_clean()
        host.sh("guest", "rm -f ~/big")


def test_no_terminal_is_one_table(host, busy):
    done = run("ispawnctl", "top", "--interval", "0.3")
    assert (done.returncode, done.stderr) == (0, "")
    title, first, second = done.stdout.splitlines()
    assert title.split() == TITLE
    assert len(title) == len(first) == len(second)
    assert first.split()[0].startswith("guest.") and float(first.split()[4]) > 1
    assert "\x1b" not in done.stdout


def test_nobody_is_in():
    assert look("--interval", "0.1")["sessions"] == []
    assert run("ispawnctl", "top", "--interval", "0.1").stdout.split() == TITLE


def test_a_session_without_a_cgroup_has_no_numbers(host):
    with host.open_session("guest"):
        live, = host.sessions()
        entry = RUN / "sessions/guest.0000dead"
        entry.mkdir(mode=0o711)
        spec = (RUN / "sessions" / live / "spec").read_bytes().replace(live.encode(), b"guest.0000dead")
        # pitfall 41: what others chose, here a control of 8 bits and one that ends a string
        (entry / "spec").write_bytes(spec.replace(b"\0service=sshd\0", b"\0service=\xc2\x9b31m\"\0"))
        found = {s["session"]: s for s in look("--interval", "0.1")["sessions"]}["guest.0000dead"]
        assert (found["state"], found["service"]) == ("dead", "\u009b31m\"")
        assert {key for key, value in found.items() if value is None} == set(KEYS) - {"session", "user", "service", "state"}
        said = run("ispawnctl", "top", "--interval", "0.1").stdout
        assert said.isascii() and "\x1b" not in said and re.search(r"guest\.0000dead +\S+( +-){6}$", said, re.M)
    run("ispawnctl", "gc")


# --- on a terminal -------------------------------------------------------------------------------

@pytest.fixture(name="shell")
def make_shell(host):
    child = host.spawn("bash", "--norc", "-i")
    host.set_prompt(child)
    yield child
    child.close()


@pytest.mark.parametrize("end", ["q", "Q", "\x03", "\x1c"])
def test_it_goes_on_until_it_is_told(host, busy, shell, end):
    before = host.ask(shell, "stty -a")
    shell.sendline("ispawnctl top --interval 0.2")
    shell.expect_exact(TAKEN)
    for _ in range(3):
        shell.expect(r"ispawnctl top  \d\d:\d\d:\d\d  sessions 2  tasks \d+  memory [\d.]+[KM]  cpu [\d.]+%")
        shell.expect(r"guest\.[0-9a-f]{8}")
    shell.expect(r"guest\.[0-9a-f]{8} +sshd +2 +[\d.]+[KM] +[1-9][\d.]*")
    shell.send(end)
    shell.expect_exact(GIVEN)
    shell.expect_exact("READY> ")
    assert host.ask(shell, "echo $?") == "0"
    assert host.ask(shell, "stty -a") == before


def test_it_fits_and_follows_the_terminal(host, shell):
    with host.open_session("guest"), host.open_session("guest"), host.open_session("student"):
        shell.setwinsize(6, 30)
        shell.sendline("ispawnctl top --interval 600")
        shell.expect_exact(TAKEN)
        shell.expect_exact("and 1 more")
        lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shell.before).replace("\r", "").split("\n")
        assert len(lines) == 6 and max(map(len, lines)) <= 30, lines
        shell.setwinsize(24, 100)
        shell.expect_exact("WRITE/s")
        shell.expect(r"student\.")
        shell.send("q")
        shell.expect_exact(GIVEN)


def test_stopped_and_continued(host, shell):
    shell.sendline("ispawnctl top --interval 0.2")
    shell.expect_exact(TAKEN)
    shell.send("\x1a")
    shell.expect_exact(GIVEN)
    shell.expect_exact("READY> ")
    assert "Stopped" in host.ask(shell, "jobs")
    assert " icanon" in host.ask(shell, "stty -a")
    shell.sendline("fg")
    shell.expect_exact(TAKEN)
    shell.expect("sessions 0")
    shell.send("q")
    shell.expect_exact("READY> ")


@pytest.mark.parametrize("signal", ["TERM", "HUP"])
def test_a_signal_puts_the_terminal_back(host, shell, signal):
    shell.sendline("ispawnctl top --interval 600")
    shell.expect_exact(TAKEN)
    shell.expect("sessions 0")
    assert run("pkill", f"-{signal}", "-x", "ispawnctl").returncode == 0
    shell.expect_exact(GIVEN)
    shell.expect_exact("READY> ")


@pytest.mark.parametrize("options", [["--once"], ["--json"]])
def test_once_is_once_on_a_terminal_too(host, options):
    child = host.spawn("ispawnctl", "top", "--interval", "0.1", *options)
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0 and "\x1b" not in child.before


def test_a_terminal_that_cannot_be_drawn_on(host):
    child = host.spawn("ispawnctl", "top", "--interval", "0.1", env={"TERM": "dumb"})
    child.expect(pexpect.EOF)
    assert "SESSION" in child.before and "\x1b" not in child.before


def test_to_a_full_disk_it_fails():
    done = run("sh", "-c", "ispawnctl top --interval 0.1 > /dev/full")
    assert done.returncode == 1 and "could not be written" in done.stderr


@pytest.mark.parametrize("arguments", [
    ["x"], ["--xml"], ["--interval"], ["--interval", "0"], ["--interval", "0.05"], ["--interval", "-1"],
    ["--interval", "3600.1"], ["--interval", "1s"], ["--interval", "1."], ["--interval", ".5"], ["--interval", "1.2345"],
    ["--interval", "1.2.3"], ["--interval", "99999999999"], ["--interval", " 1"], ["--interval", ""]])
def test_wrong_arguments(arguments):
    done = run("ispawnctl", "top", *arguments)
    assert (done.returncode, done.stdout) == (2, "") and "ispawnctl: top " in done.stderr


def test_it_is_for_root():
    done = subprocess.run(["setpriv", "--reuid=guest", "--regid=guest", "--clear-groups", "ispawnctl", "top"],
                          capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "ispawnctl: must be run as root\n")
    assert os.geteuid() == 0
