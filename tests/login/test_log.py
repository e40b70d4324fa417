# SPDX-License-Identifier: GPL-3.0-or-later
"""`ispawnctl log`: the lines of sessions and of nobody else, of one user and of no other, from wherever the log is."""
import contextlib
import os
import pathlib
import re
import socket
import stat
import subprocess

import pytest

from host import restored, run, wait_until

FILES = [pathlib.Path("/var/log") / name for name in ("auth.log", "secure", "messages")]
JOURNALCTL = pathlib.Path("/usr/bin/journalctl")
JOURNAL = pathlib.Path("/run/systemd/journal/socket")
STAMPS = ["Nov 25 13:00:00 testhost", "Nov  5 13:00:00 testhost", "2026-11-25T13:00:00.123456+00:00 testhost"]


@pytest.fixture(name="no_log", autouse=True)
def make_no_log():
    """Neither journald nor a file, whatever this machine has."""
    with contextlib.ExitStack() as stack:
        for path in [*FILES, *(path.with_name(path.name + ".1") for path in FILES), JOURNALCTL]:
            stack.enter_context(restored(path))
            path.unlink(missing_ok=True)
        assert not JOURNAL.exists()
        yield
        for path in FILES:
            if path.is_dir():
                path.rmdir()


def write(*texts, path=FILES[0], stamp=STAMPS[0]):
    with path.open("ab") as file:
        for text in texts:
            file.write(f"{stamp} ".encode() + (text if isinstance(text, bytes) else text.encode()) + b"\n")


def log(*arguments):
    done = run("ispawnctl", "log", *arguments)
    assert (done.returncode, done.stderr) == (0, ""), done
    assert done.stdout.isascii() and "\x1b" not in done.stdout
    return done.stdout.splitlines()


def start(session):
    return f'ispawn-supervisor[7]: session={session} event=start user="x" uid=1'


# --- what is taken -------------------------------------------------------------------------------

@pytest.mark.parametrize("stamp", STAMPS)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_lines_of_our_programs_and_of_the_module(path, stamp):
    ours = [start("guest.00000001"), "ispawn-door[8]: session=guest.00000002 event=x",
            "ispawnctl[9]: session=guest.00000001 event=enter",
            'sshd[10]: pam_ispawn(sshd:session): session=guest.00000003 user="guest" stage=start: x',
            'su: pam_ispawn(su-l:session): session=- user="guest" stage=config: x']
    write("sshd[1]: session=guest.00000001 event=start", ours[0], "kernel: ispawn-supervisor[7]: x", *ours[1:],
          "cron[2]: (root) CMD (x)", path=path, stamp=stamp)
    assert log() == log("guest") == [f"{stamp} {line}" for line in ours]
    assert log("student") == []


def test_the_first_file_that_is_there_and_what_was_rotated_away():
    write(start("guest.00000003"), path=FILES[2])
    write(start("guest.00000002"), path=FILES[1])
    write(start("guest.00000001"), path=pathlib.Path(f"{FILES[1]}.1"))
    assert [line[-40:-35] for line in log()] and len(log()) == 2
    assert "00000001" in log()[0] and "00000002" in log()[1]


def test_a_real_login_and_a_real_denial(host, log):
    host.sh("guest", "true")
    host.guest("template = missing")
    host.ssh("guest", "true")
    lines = re.sub(r"^<\d+>(\w+ +\d+ [\d:]+) ", r"\1 testhost ", log(), flags=re.M)
    FILES[0].write_text(lines)
    found = run("ispawnctl", "log", "guest").stdout
    for word in ("event=start", "event=tenant", "event=end", "stage=rootfs"):
        assert word in found, found
    assert "pam_unix" not in found
    assert run("ispawnctl", "log").stdout == found


# --- whose ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("other", ["ab", "a.b", "a.00000000", "b", "A", "a$"])
def test_a_user_is_not_another(other):
    write(start(f"{other}.00000001"), f'login[1]: pam_ispawn(login:session): session=- user="{other}" stage=x')
    assert log("a") == [] and len(log(other)) == 2 and len(log()) == 2


def test_names_that_are_patterns_elsewhere(host):
    write(start("a.b.00000001"), start("axb.00000001"))
    assert len(log("a.b")) == 1
    write('login[1]: pam_ispawn(login:session): session=- user="DOM\\\\carol" stage=x')
    assert len(log("DOM\\carol")) == 1


@pytest.mark.parametrize("text", [
    # the name that somebody tried to log in with
    "sshd[1]: Invalid user x ispawn-supervisor[7]: session=guest.00000001 event=start from 192.0.2.1",
    "sshd[1]: Invalid user pam_ispawn(sshd:session): session=guest.00000001 event=start from 192.0.2.1",
    "sshd[1]: Invalid user : ispawn-supervisor: session=guest.00000001 from 192.0.2.1",
    "ispawn-supervisor-not[1]: session=guest.00000001 event=start",
    "ispawn[1]: session=guest.00000001", "xispawnctl[1]: session=guest.00000001",
    "sshd[1]:pam_ispawn(sshd:session): session=guest.00000001",
    "sshd[1]: pam_ispawn(sshd:session) session=guest.00000001", "", " ", "ispawn-supervisor", "ispawn-supervisor[7",
    "ispawn-supervisor[7]"])
def test_lines_of_others(text):
    write(text)
    assert log() == [] and log("guest") == []


def test_a_session_further_in_is_not_whose_line_it_is():
    write('ispawn-supervisor[7]: session=ab.00000001 event=tenant tenant=1 command="session=a.00000001"',
          'sshd[1]: pam_ispawn(sshd:session): session=- user="x\\" session=a.00000001" stage=x',
          "ispawn-supervisor[7]: about session=a.00000001")
    assert log("a") == [] and len(log()) == 3


def test_what_others_wrote_is_escaped():
    write(start("guest.00000001").encode() + b' \x1b[31m\x9b\t\xc3\xa9\x7f "quoted\\x1b"')
    line, = log("guest")
    assert line.endswith(r' \x1b[31m\x9b\x09\xc3\xa9\x7f "quoted\x1b"')


# --- following -----------------------------------------------------------------------------------

@contextlib.contextmanager
def following(*arguments):
    with subprocess.Popen(["ispawnctl", "log", *arguments], stdout=subprocess.PIPE) as ctl:
        try:
            yield ctl
        finally:
            ctl.kill()


@pytest.mark.parametrize("option", ["-f", "--follow"])
def test_lines_as_they_come(option):
    write(start("guest.00000001"))
    with following("guest", option) as ctl:
        assert b"00000001" in ctl.stdout.readline()
        write(start("student.00000002"), start("guest.00000003"))
        assert b"00000003" in ctl.stdout.readline()
        # a line comes in two pieces
        with FILES[0].open("a") as file:
            file.write(f"{STAMPS[0]} ispawn-supervisor[7]: session=guest.0000")
            file.flush()
            write_end = "0004 event=end\n"
            subprocess.run(["sleep", "0.6"], check=True)
            file.write(write_end)
        assert b"session=guest.00000004 event=end" in ctl.stdout.readline()


def test_through_a_rotation():
    write(start("guest.00000001"))
    with following("-f") as ctl:
        assert b"00000001" in ctl.stdout.readline()
        FILES[0].rename(f"{FILES[0]}.1")
        write(start("guest.00000002"))
        assert b"00000002" in ctl.stdout.readline()
        FILES[0].write_text("")
        subprocess.run(["sleep", "0.6"], check=True)
        write(start("guest.00000003"))
        assert b"00000003" in ctl.stdout.readline()


def test_a_reader_that_has_seen_enough_ends_it():
    write(start("guest.00000001"))
    done = run("bash", "-c", "ispawnctl log -f | head -1", timeout=20)
    assert "00000001" in done.stdout


# --- the journal ---------------------------------------------------------------------------------

@pytest.fixture(name="journal")
def make_journal(tmp_path):
    """journald's socket, and a journalctl that shows how it was started."""
    made = [path for path in (JOURNAL.parent.parent, JOURNAL.parent) if not path.exists()]
    JOURNAL.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(JOURNAL))
        JOURNALCTL.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" > {tmp_path}/argv\nenv > {tmp_path}/env\n"
                              f"readlink /proc/$$/fd/0 > {tmp_path}/stdin\ncat /var/log/as-journalctl-says\n. /var/log/then\n")
        JOURNALCTL.chmod(0o755)
        pathlib.Path("/var/log/then").write_text("exit 0\n")
        yield tmp_path
        JOURNAL.unlink()
        for name in ("as-journalctl-says", "then"):
            pathlib.Path("/var/log", name).unlink(missing_ok=True)
        for path in reversed(made):
            path.rmdir()


def test_the_journal_comes_first_and_is_asked_for_roots_lines(journal):
    write(start("guest.00000009"))
    write(start("guest.00000001"), "sshd[1]: x", path=pathlib.Path("/var/log/as-journalctl-says"),
          stamp="2026-11-25T13:00:00+0000 testhost")
    done = run("ispawnctl", "log", "guest", env={**os.environ, "SYSTEMD_PAGER": "evil", "PAGER": "evil", "TZ": "UTC-3"})
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"2026-11-25T13:00:00+0000 testhost {start('guest.00000001')}\n"
    assert (journal / "argv").read_text().split() == [
        "--quiet", "--no-pager", "--output=short-iso", "_UID=0", "SYSLOG_FACILITY=10", "+", "_UID=0",
        "SYSLOG_IDENTIFIER=ispawn-supervisor", "SYSLOG_IDENTIFIER=ispawn-door", "SYSLOG_IDENTIFIER=ispawnctl", "--no-tail"]
    assert sorted(line.split("=")[0] for line in (journal / "env").read_text().split()) == ["PWD", "TZ"]
    assert (journal / "stdin").read_text() == "/dev/null\n"


def test_a_newline_in_somebody_elses_text_begins_no_line_of_ours(journal):
    """journalctl(1) indents what follows a newline by the width of what stands before the text."""
    text = "sudo[1]: a name\n" + 42 * " " + "25 13:00:00 testhost " + start("guest.00000009")
    write(text, start("guest.00000001"), path=pathlib.Path("/var/log/as-journalctl-says"))
    for arguments in [], ["guest"]:
        assert log(*arguments) == [f"{STAMPS[0]} {start('guest.00000001')}"]


def test_the_journal_is_followed(journal):
    write(start("guest.00000001"), path=pathlib.Path("/var/log/as-journalctl-says"))
    pathlib.Path("/var/log/then").write_text("echo $$ > /var/log/then.pid; exec sleep 600\n")
    with following("-f") as ctl:
        assert b"00000001" in ctl.stdout.readline()
        pid_file = pathlib.Path("/var/log/then.pid")
        pid = int(wait_until(lambda: pid_file.exists() and pid_file.read_text()))
        ctl.terminate()
        ctl.wait(10)
        wait_until(lambda: not pathlib.Path(f"/proc/{pid}").exists(), what="the end of journalctl")
        pid_file.unlink()
    assert "--follow" in (journal / "argv").read_text().split()


def test_a_journalctl_that_fails_or_is_somebody_elses(journal):
    pathlib.Path("/var/log/as-journalctl-says").write_text("")
    pathlib.Path("/var/log/then").write_text("echo broken >&2; exit 1\n")
    done = run("ispawnctl", "log")
    assert done.returncode == 1 and "broken" in done.stderr and "journalctl failed" in done.stderr
    JOURNALCTL.chmod(0o757)
    done = run("ispawnctl", "log")
    assert done.returncode == 1 and "journalctl" in done.stderr and "broken" not in done.stderr


# --- errors --------------------------------------------------------------------------------------

def test_no_log_at_all():
    done = run("ispawnctl", "log")
    assert (done.returncode, done.stdout) == (1, "")
    assert "there is no log to read" in done.stderr and "/var/log/auth.log" in done.stderr


def test_what_is_no_file_is_none():
    os.mkfifo(FILES[0])
    FILES[1].symlink_to("/etc/shadow")
    try:
        assert run("ispawnctl", "log", timeout=10).returncode == 1
        assert stat.S_ISFIFO(FILES[0].stat().st_mode)
    finally:
        FILES[0].unlink()
        FILES[1].unlink()


@pytest.mark.parametrize("arguments", [["--json"], ["-x"], ["a", "b"], ["a b"], [""], ["a/b"], ["-f", "a", "b"], [".*"]])
def test_wrong_arguments(arguments):
    done = run("ispawnctl", "log", *arguments)
    assert (done.returncode, done.stdout) == (2, "") and "ispawnctl: log takes no" in done.stderr


def test_it_is_for_root():
    done = run("setpriv", "--reuid=guest", "--regid=guest", "--clear-groups", "ispawnctl", "log")
    assert (done.returncode, done.stderr) == (1, "ispawnctl: must be run as root\n")
