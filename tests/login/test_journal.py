# SPDX-License-Identifier: GPL-3.0-or-later
"""The log: fields where journald is, syslog elsewhere, the same words in both, and no login waits for it."""
import os
import re
import shutil
import signal

import pytest

import ways
from host import DEFAULT_CONFIG, STORE, processes, run
from journald import SOCKET, fill, journald, remove

TEMPLATE = STORE / "templates/default/rootfs"

def words(message):
    """The `key=value` words of a line, quotes taken off, as fields are named."""
    return {f"ISPAWN_{key.upper()}": value[1:-1] if value.startswith('"') else value
            for key, value in re.findall(r'(?:^| )([a-z_]+)=("(?:[^"\\]|\\.)*"|\S*)', message)}


def fields(entry):
    return {name: value for name, value in entry.items() if name.startswith("ISPAWN_")}


@pytest.fixture(name="journal")
def make_journal():
    with journald() as served:
        yield served


def test_each_word_of_a_line_is_a_field(host, log, journal):
    host.sh("guest", "exec true")
    start, tenant, end = (journal.wait(event) for event in ("start", "tenant", "end"))
    session = start["ISPAWN_SESSION"]
    for entry in start, tenant, end:
        told = fields(entry)
        assert told == {**words(entry["MESSAGE"]), "ISPAWN_USER": "guest"}
        assert (told["ISPAWN_SESSION"], entry["SYSLOG_FACILITY"], entry["PRIORITY"]) == (session, "10", "6")
        assert entry["MESSAGE"].startswith(f"session={session} event={told['ISPAWN_EVENT']} ")
    assert start["ISPAWN_SERVICE"] == "sshd" and start["ISPAWN_UID"].isdigit()
    assert (tenant["ISPAWN_TENANT"], tenant["ISPAWN_COMMAND"]) == ("1", "-c exec true")
    assert end["ISPAWN_CAUSE"] == "logout" and int(end["ISPAWN_MEMORY_PEAK_KIB"]) > 0
    assert {"ISPAWN_DURATION_S", "ISPAWN_TENANTS", "ISPAWN_CPU_MS", "ISPAWN_OOM_KILLS", "ISPAWN_PIDS_REFUSED"} <= set(end)
    assert len({entry["SYSLOG_PID"] for entry in (start, tenant, end)}) == 1
    assert "ispawn-supervisor" not in log()


def test_the_words_are_those_of_syslog(host, log):
    def lines(texts):
        numbers = re.compile(r"(session|init|ready_ms|duration_s|cpu_ms|memory_peak_kib)=\S+|(rhost)=\S+")
        return [numbers.sub(r"\1\2=", text) for text in texts]
    with journald() as served:
        host.sh("guest", "exec true")
        served.wait("end")
        journal = [e["MESSAGE"] for e in served.entries if e["SYSLOG_IDENTIFIER"] == "ispawn-supervisor"]
    host.sh("guest", "exec true")
    assert not host.wait_clean()
    syslog = re.findall(r"ispawn-supervisor\[\d+\]: (.*)", log())
    assert lines(journal) == lines(syslog) and len(syslog) == 3


def test_a_denial_of_the_module(host, log, journal):
    host.config(DEFAULT_CONFIG + "\nnonsense\n")
    assert host.ssh("guest", "true").returncode != 0
    entry = journal.wait("denied", "sshd")
    assert entry["MESSAGE"].startswith('pam_ispawn(sshd:session): session=- user="guest" stage=config: ')
    assert entry["PRIORITY"] == "3"
    told = fields(entry)
    assert (told["ISPAWN_SESSION"], told["ISPAWN_USER"], told["ISPAWN_STAGE"]) == ("-", "guest", "config")
    assert int(entry["ERRNO"]) > 0
    assert "pam_ispawn" not in log()


def test_a_denial_without_journald_is_the_same_line(host, log):
    host.config(DEFAULT_CONFIG + "\nnonsense\n")
    assert host.ssh("guest", "true").returncode != 0
    assert re.search(r'sshd: pam_ispawn\(sshd:session\): session=- user="guest" stage=config: ', log())


def test_a_denial_of_the_door(journal):
    with ways.door():
        done = run("setpriv", "--reuid=free", "--regid=free", "--init-groups", "env", "-u", "ISPAWN_SESSION",
                   "ispawn-shell", "-c", "true")
    assert done.returncode == 125
    entry = journal.wait("denied", "ispawn-door")
    assert (entry["ISPAWN_USER"], entry["ISPAWN_STAGE"], entry["PRIORITY"]) == ("free", "policy", "5")
    assert entry["ISPAWN_UID"] == words(entry["MESSAGE"])["ISPAWN_UID"]


def test_what_others_chose_cannot_make_a_field(host, journal):
    host.sh("guest", "true '\nISPAWN_USER=root\nMESSAGE=forged\x1b[31m\\\"'")
    tenant = journal.wait("tenant")
    assert tenant["ISPAWN_USER"] == "guest"
    assert tenant["ISPAWN_COMMAND"] == r"""-c true '\x0aISPAWN_USER=root\x0aMESSAGE=forged\x1b[31m\\\"'"""
    assert tenant["MESSAGE"].isprintable()


def test_what_a_caller_names_su_cannot_make_a_field(host, journal):
    """The application's name is its argv[0], and su's is its caller's: it ends no field and begins none."""
    name = "su\nPRIORITY=0\nISPAWN_USER=root"
    host.config(DEFAULT_CONFIG + "\nnonsense\n")
    assert run(name, "guest", "-c", "true", executable=shutil.which("su")).returncode != 0
    entry = journal.wait("denied", r"su\x0aPRIORITY=0\x0aISPAWN_USER=root")
    assert (entry["ISPAWN_USER"], entry["PRIORITY"]) == ("guest", "3")


def test_a_journald_that_hangs_holds_no_login(host, log):
    with journald(is_listening=False):
        fill(SOCKET)
        host.sh("guest", "true")
        host.config(DEFAULT_CONFIG + "\nnonsense\n")
        assert host.ssh("guest", "true").returncode != 0
        assert not host.wait_clean()
    assert re.search(r"ispawn-supervisor\[\d+\]: session=guest\.\S+ event=end ", log())
    assert re.search(r'sshd\[\d+\]: pam_ispawn\(sshd:session\): session=- user="guest" ', log())


def test_a_whole_log_that_hangs_holds_no_session(host, log):
    """Both sockets full, as when the journald behind both is stopped; sshd would wait itself, by pam_unix."""
    syslogd, = [pid for pid, p in processes().items() if "syslogd.py" in p["command"]]
    with journald(is_listening=False):
        fill(SOCKET)
        os.kill(syslogd, signal.SIGSTOP)
        try:
            fill("/dev/log")
            assert run("ispawn", "--quiet", "--ephemeral", str(TEMPLATE), "true").returncode == 0
            assert not host.wait_clean()
        finally:
            os.kill(syslogd, signal.SIGCONT)


def test_a_journald_that_died_leaves_its_socket(host, log):
    with journald(is_listening=False) as served:
        served.socket.close()
        host.sh("guest", "true")
        assert not host.wait_clean()
        assert "event=start" in log() and "event=end" in log()


def test_a_journald_that_comes_late_gets_the_rest(host, log):
    with host.open_session("guest"):
        assert "event=start" in log()
        served = journald()
        journal = served.__enter__()
    try:
        assert journal.wait("end")["ISPAWN_USER"] == "guest"
        assert "event=end" not in log()
    finally:
        served.__exit__(None, None, None)


def test_nobody_needs_the_directory(host, log):
    """A machine whose /run/systemd is a file of something else's."""
    os.makedirs(SOCKET)
    try:
        host.sh("guest", "true")
        assert not host.wait_clean()
        assert "event=end" in log()
    finally:
        SOCKET.rmdir()
        remove()
