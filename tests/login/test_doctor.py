# SPDX-License-Identifier: GPL-3.0-or-later
"""ispawnctl audit and doctor: who is left out, what is not in order, and what a real login keeps."""
import json
import os
import pathlib
import pwd
import re
import shutil

import pytest

import ways
from host import CONFIG, DEFAULT_CONFIG, LIBEXEC, STORE, restored, run
from ways import pam, sshd_config, without_module

LINE = "session required pam_ispawn.so"
KEY = "/root/.ssh/id_ed25519"


# --- audit ---------------------------------------------------------------------------------------

def audit():
    done = run("ispawnctl", "audit", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert set(told) == {"accounts", "note"}
    for account in told["accounts"]:
        assert set(account) == {"user", "uid", "shell", "services", "reason", "change"}
    return {account["user"]: account for account in told["accounts"]}


def test_audit_lists_who_is_not_confined_and_why(host):
    found = audit()
    assert {"root", "free", "exempt"} <= set(found)
    assert not {"guest", "student", "shelly", "ldapish", "other"} & set(found)
    assert "never confined" in found["root"]["reason"] and found["root"]["uid"] == 0
    assert "ispawn-exempt" in found["exempt"]["reason"] and "group" in found["exempt"]["change"]
    assert found["free"]["reason"] == "confine = no (the default)"
    assert found["free"]["services"] == ["sshd", "login", "su"]


def test_audit_names_the_line(host):
    host.config(DEFAULT_CONFIG + "\n[user student]\nconfine = no\n")
    assert audit()["student"]["reason"] == f"confine = no ([user student] in {CONFIG})"


def test_audit_knows_the_pam_stacks(host):
    with pam("su", without_module):
        found = audit()
        assert found["guest"]["services"] == ["su"]
        assert "not in the session stack of su" in found["guest"]["reason"]
        assert "shelly" not in found  # ispawn-shell starts no other


def test_audit_knows_whether_sshd_asks_pam(host):
    with sshd_config("UsePAM no"):
        assert audit()["guest"]["services"] == ["sshd"]


def test_audit_leaves_out_who_cannot_log_in(host):
    assert "free" in audit()
    for shell in ("/usr/sbin/nologin", "/bin/false", "/bin/not-there"):
        with restored(pathlib.Path("/etc/passwd")) as passwd:
            passwd.write_text(re.sub("^(free:.*:).*$", rf"\1{shell}", passwd.read_text(), flags=re.M))
            assert "free" not in audit()


def test_audit_for_people(host):
    text = run("ispawnctl", "audit").stdout
    assert re.search(r"^free: uid \d+, shell /bin/bash, by sshd login su: confine = no \(the default\)$", text, re.M)
    assert "explain" in text.splitlines()[-1]


@pytest.mark.parametrize("arguments", [["audit", "x"], ["audit", "--json", "x"], ["doctor", "x"], ["doctor", "--prove"],
                                       ["doctor", "--identity", KEY], ["doctor", "--prove", "a", "--prove", "b"],
                                       ["doctor", "--prove", "guest", "--identity"], ["doctor", "--json"]])
def test_wrong_arguments(arguments):
    done = run("ispawnctl", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "ispawnctl: " in done.stderr


# --- doctor --------------------------------------------------------------------------------------

def doctor(*arguments, timeout=120):
    """The failures; each line is one of three kinds, and the status tells whether there are failures."""
    done = run("ispawnctl", "doctor", *arguments, timeout=timeout)
    assert done.stderr == "", done.stderr
    lines = done.stdout.splitlines()
    assert all(line.startswith(("ok: ", "note: ", "FAIL: ")) for line in lines), done.stdout
    failures = [line for line in lines if line.startswith("FAIL: ")]
    assert done.returncode == (1 if failures else 0)
    return failures, lines


@pytest.fixture(name="in_order")
def make_in_order():
    """A host that its administrator has finished."""
    with pam("cron", lambda lines: [*lines, LINE]), pam("atd", lambda lines: [*lines, LINE]):
        yield


def test_doctor_is_content_with_a_host_that_is_in_order(host, in_order):
    failures, lines = doctor()
    assert failures == []
    text = "\n".join(lines)
    for word in ("PAM service sshd", "PAM service su-l", "store", "cgroups: ", "id ranges", "build", "sshd opens",
                 "namespaces and id maps", "template default"):
        assert word in text, word


def test_doctor_includes_what_check_finds(host, in_order):
    host.guest("template = missing")
    failure, = doctor()[0]
    assert "templates/missing" in failure


@pytest.mark.parametrize("change, words", [
    (without_module, "not in its stack"),
    (lambda lines: [*without_module(lines), "session optional pam_ispawn.so"], "although pam_ispawn.so denies"),
    (lambda lines: ["session sufficient pam_permit.so", *lines], "may end the stack"),
    (lambda lines: [*without_module(lines), "session required /lib/nowhere/pam_ispawn.so"], "does not find the module"),
    (lambda lines: [LINE], "root too"),
])
def test_doctor_reads_the_stacks(host, in_order, change, words):
    with pam("login", change):
        failure, = doctor()[0]
        assert "PAM service login" in failure and words in failure


def test_doctor_notes_a_line_that_is_not_the_last(host, in_order):
    with pam("login", lambda lines: [*lines, "session optional pam_permit.so"]):
        failures, lines = doctor()
        assert failures == []
        assert any(line.startswith("note: PAM service login") and "not the last" in line for line in lines)


def test_doctor_names_schedulers_without_the_line(host):
    assert any("PAM service cron" in line for line in doctor()[0])


def test_doctor_asks_sshd(host, in_order):
    with sshd_config("UsePAM no"):
        failure, = doctor()[0]
        assert "UsePAM yes" in failure


def test_doctor_looks_at_the_store(host, in_order):
    STORE.chmod(0o755)
    try:
        failure, = doctor()[0]
        assert "others than root can enter" in failure
    finally:
        STORE.chmod(0o700)


@pytest.mark.parametrize("file, line, words", [
    ("/etc/subuid", "x:500000:65536\ny:520000:65536", "overlap"),
    ("/etc/subgid", "x:500000:65536\ny:520000:65536", "overlap"),
    ("/etc/subuid", "x:60000:65536", "account ldapish"),
    (str(STORE / "ranges"), "1001:2147483648:65536\n1002:2147483648:65536", "overlap"),
])
def test_doctor_finds_ids_with_two_owners(host, in_order, file, line, words):
    with restored(pathlib.Path(file)) as path:
        path.write_text(line + "\n")
        failures = doctor()[0]
        assert any(words in failure for failure in failures), failures


def test_doctor_takes_a_name_and_a_number_for_one_owner(host, in_order):
    with restored(pathlib.Path("/etc/subuid")) as path:
        path.write_text(f"guest:500000:65536\n{pwd.getpwnam('guest').pw_uid}:500000:65536\n")
        assert doctor()[0] == []


@pytest.mark.parametrize("program", [LIBEXEC / "ispawn-init", LIBEXEC / "ispawn-supervisor", LIBEXEC / "ispawn-door",
                                     LIBEXEC / "ispawn-seccomp", pathlib.Path("/usr/bin/ispawn-shell"),
                                     pathlib.Path("/usr/bin/ispawn")])
def test_doctor_finds_programs_of_another_build(host, in_order, program, tmp_path):
    shutil.copy2(program, tmp_path / "kept")
    try:
        content = program.read_bytes()
        mark = re.search(rb"ispawn-build:([0-9a-f]{16})", content)
        program.write_bytes(content.replace(mark[0], b"ispawn-build:" + b"0" * 16))
        failure, = doctor()[0]
        assert str(program) in failure and "is of build 0000000000000000" in failure
    finally:
        shutil.copy2(tmp_path / "kept", program)


def test_doctor_finds_a_module_that_others_can_write(host, in_order):
    module, = pathlib.Path("/usr/lib").glob("*/security/pam_ispawn.so")
    module.chmod(0o666)
    try:
        assert any("pam_ispawn.so" in failure for failure in doctor()[0])
    finally:
        module.chmod(0o644)


def test_doctor_looks_at_the_door(host, in_order):
    assert any(line.startswith("note: no door") for line in doctor()[1])
    with ways.door():
        assert any(line.startswith("ok: the door listens") for line in doctor()[1])
        os.chmod("/run/ispawn/door", 0o600)
        failure, = doctor()[0]
        assert "not for everybody" in failure
    pathlib.Path("/run/ispawn/door").touch()
    try:
        failure, = doctor()[0]
        assert "nobody listens" in failure
    finally:
        pathlib.Path("/run/ispawn/door").unlink()


# --- doctor --prove ------------------------------------------------------------------------------

PROMISES = ["uid", "namespaces", "capability", "no new privileges", "filtered", "process 1", "no process of the host",
            "root file system", "loopback"]


def proved(lines, way):
    return [line for line in lines if line.startswith(f"ok: {way}: ")]


@pytest.mark.parametrize("user", ["guest", "shelly", "ldapish", "bigid"])
def test_prove_keeps_every_promise_by_every_way(host, user):
    with ways.door():
        failures, lines = doctor("--prove", user, "--identity", KEY)
    assert failures == []
    for way in ("su", "su -", "door", "ssh"):
        assert len(proved(lines, way)) == len(PROMISES), lines
        for promise, line in zip(PROMISES, proved(lines, way)):
            assert promise in line
    assert len(proved(lines, "ssh -W")) == 1


@pytest.mark.parametrize("lines", [["privilege = sudo"], ["privilege = root"], ["network = host"], ["home = bind"],
                                   ["rootfs = readonly"], ["rootfs = ephemeral"]])
def test_prove_knows_the_policy(host, lines):
    host.guest(*lines)
    assert doctor("--prove", "guest", "--identity", KEY)[0] == []


def test_prove_without_a_key_or_a_door_says_so(host):
    lines = doctor("--prove", "guest")[1]
    assert any(line.startswith("note: ssh: needs --identity") for line in lines)
    assert any(line.startswith("note: door: nobody listens") for line in lines)


def test_prove_of_a_login_on_the_host_keeps_no_promise(host):
    failures, lines = doctor("--prove", "free", "--identity", KEY)
    for way in ("su", "su -", "ssh"):
        broken = [line for line in failures if line.startswith(f"FAIL: {way}: NOT so: ")]
        for promise in PROMISES[1:]:
            assert any(promise in line for line in broken), (way, promise, lines)
    assert any(line.startswith("FAIL: ssh -W: NOT so") for line in failures)


def test_prove_finds_the_way_that_is_open(host):
    with pam("su", without_module):
        failures, lines = doctor("--prove", "guest", "--identity", KEY)
    assert failures and all(line.startswith(("FAIL: su: ", "FAIL: su -: ")) for line in failures)
    assert len(proved(lines, "ssh")) == len(PROMISES)


def test_prove_of_a_denied_user_says_why(host):
    host.guest("template = missing")
    failures, _ = doctor("--prove", "guest")
    assert len(failures) == 2 and all("did not get as far" in line for line in failures)


def test_prove_leaves_nothing_behind(host):
    before = sorted(pathlib.Path("/var/tmp").iterdir())
    doctor("--prove", "guest")
    assert sorted(pathlib.Path("/var/tmp").iterdir()) == before


@pytest.mark.parametrize("user, words", [("nobody-here", "nobody-here"), ("root", "never confined")])
def test_prove_of_nobody(user, words):
    done = run("ispawnctl", "doctor", "--prove", user)
    assert (done.returncode, done.stdout) == (1, "")
    assert words in done.stderr
