# SPDX-License-Identifier: GPL-3.0-or-later
"""ispawnctl explain: each verdict is what really trying that way comes to.

A configuration, the verdicts that its author expects, and a try of every way: explain, the author
and the host must be of one opinion.
"""
import contextlib
import os
import pathlib
import pwd
import re

import pytest

import ways
from host import CONFIG, DEFAULT_CONFIG, restored, run
from ways import CONFINED, DENIED, HOST, agree, agree_host, explain, pam, sshd_config, verdicts, without_module

PROGRAMS = ["ssh-shell", "ssh-command", "sftp"]
FORWARDED = ["forward-local", "forward-remote", "forward-dynamic", "jump"]
CLOSED = ["AllowStreamLocalForwarding no", "PermitUserRC no", "PermitUserEnvironment no", "AcceptEnv LANG",
          "AllowAgentForwarding no"]
LINE = "session required pam_ispawn.so"


def all_of(names, verdict):
    return {name: verdict for name in names}


# --- policy --------------------------------------------------------------------------------------

def test_a_confined_user(host):
    agree(host, "guest", expected={
        **all_of(PROGRAMS + FORWARDED + ["su", "su-l", "login", "agent"], CONFINED),
        "internal-sftp": DENIED, "streamlocal": HOST, "x11": DENIED, "tunnel": DENIED, "door": DENIED})


def test_a_user_whom_only_the_name_service_knows(host):
    agree(host, "ldapish", ["ssh-command", "jump"], all_of(["ssh-command", "jump", "su", "login"], CONFINED))


@pytest.mark.parametrize("user", ["free", "exempt"])
def test_who_is_not_confined_is_on_the_host(host, user):
    agree(host, user, expected=all_of(PROGRAMS + FORWARDED + ["su", "su-l", "login", "streamlocal", "agent"], HOST))


def test_root_is_on_the_host(host):
    assert verdicts("root")["ssh-shell"] == HOST
    assert "never confined" in explain("root")["ways"][0]["reason"]


def test_a_denied_user_gets_nowhere(host):
    host.config(DEFAULT_CONFIG + "\nnonsense\n")
    agree(host, "guest", expected=all_of(
        PROGRAMS + FORWARDED + ["su", "su-l", "login", "streamlocal", "agent", "internal-sftp"], DENIED))


def test_shell_none_is_for_forwarding_only(host):
    host.guest("shell = none")
    agree(host, "guest", PROGRAMS + ["su", "login", "jump"],
          {**all_of(PROGRAMS + ["su", "su-l", "login"], DENIED), **all_of(FORWARDED, CONFINED)})


def test_network_host_forwards_on_the_host(host):
    host.guest("network = host")
    agree(host, "guest", FORWARDED + ["ssh-command"], {**all_of(FORWARDED, HOST), "ssh-command": CONFINED})


def test_services_and_other_services(host):
    host.guest("services = login su-l", "other_services = allow")
    agree(host, "guest", PROGRAMS + FORWARDED + ["su", "su-l", "login"],
          {**all_of(PROGRAMS + FORWARDED + ["su"], HOST), "su-l": CONFINED, "login": CONFINED})
    host.guest("services = login su-l")
    agree(host, "guest", PROGRAMS + ["jump", "su", "su-l"],
          {**all_of(PROGRAMS + FORWARDED + ["su", "streamlocal"], DENIED), "su-l": CONFINED})


# --- sshd ----------------------------------------------------------------------------------------

def test_an_sshd_by_the_snippet_leaves_nothing_open(host):
    with sshd_config(*CLOSED):
        told = agree(host, "guest", ["ssh-command", "streamlocal", "agent", "jump"], {
            "streamlocal": DENIED, "agent": DENIED, "ssh-rc": DENIED, "ssh-environment": DENIED})
        assert [name for name, verdict in told.items() if verdict == HOST and name != "cron"
                and name != "at" and not name.startswith("service:")] == []


def test_exit_status_0_when_nothing_is_open(host):
    with contextlib.ExitStack() as stack:
        stack.enter_context(sshd_config(*CLOSED))
        for service in verdicts("guest"):
            if service.startswith("service:"):
                stack.enter_context(pam(service.split(":")[1], lambda lines: [*lines, LINE]))
        for service in ("cron", "atd"):
            stack.enter_context(pam(service, lambda lines: [*lines, LINE]))
        assert HOST not in verdicts("guest").values()
        assert run("ispawnctl", "explain", "guest").returncode == 0


def test_internal_sftp_by_subsystem(host):
    with sshd_config("Subsystem sftp internal-sftp"):
        agree(host, "guest", PROGRAMS + ["internal-sftp"],
              {"internal-sftp": HOST, "sftp": DENIED, "ssh-command": CONFINED})


def test_internal_sftp_by_force_command(host):
    with sshd_config("ForceCommand internal-sftp"):
        agree(host, "guest", PROGRAMS + ["internal-sftp"], {"internal-sftp": HOST, **all_of(PROGRAMS, DENIED)})


def test_internal_sftp_for_this_user_alone(host):
    with sshd_config("Match User guest", "\tForceCommand internal-sftp"):
        assert verdicts("guest")["internal-sftp"] == HOST
        assert verdicts("student")["internal-sftp"] == DENIED
        agree(host, "student", PROGRAMS)


def test_sections_for_addresses_are_asked_for_by_from(host):
    with sshd_config("Match Address 127.0.0.1,::1", "\tForceCommand internal-sftp"):
        assert verdicts("guest")["internal-sftp"] == DENIED
        assert verdicts("guest", "--from", "127.0.0.1")["internal-sftp"] == HOST
        assert ways.sftp_client("guest") == HOST


def test_no_sftp_at_all(host):
    with sshd_config("#", "Subsystem nothing /bin/false"):
        agree(host, "guest", ["sftp"], {"sftp": DENIED, "internal-sftp": DENIED})


def keys_of(user):
    return pathlib.Path(pwd.getpwnam(user).pw_dir) / ".ssh/authorized_keys"


def test_internal_sftp_by_an_option_of_a_key(host):
    with restored(keys_of("guest")) as keys:
        keys.write_text('command="internal-sftp" ' + keys.read_text())
        assert verdicts("guest")["internal-sftp"] == HOST
        assert ways.sftp_client("guest") == HOST
        with sshd_config("ForceCommand /usr/lib/openssh/sftp-server"):
            assert verdicts("guest")["internal-sftp"] == DENIED
            assert ways.sftp_client("guest") == CONFINED


def test_home_bind_lets_the_user_write_such_a_key(host):
    host.guest("home = bind")
    assert verdicts("guest")["internal-sftp"] == HOST
    with restored(keys_of("guest")):
        host.sh("guest", "sed -i 's/^/command=\"internal-sftp\" /' ~/.ssh/authorized_keys")
        assert ways.sftp_client("guest") == HOST
    with sshd_config("AuthorizedKeysFile /etc/ssh/keys-of-%u"):
        assert verdicts("guest")["internal-sftp"] == DENIED


@pytest.mark.parametrize("word, direct, remote", [
    ("no", DENIED, DENIED), ("local", CONFINED, DENIED), ("remote", DENIED, CONFINED)])
def test_allow_tcp_forwarding(host, word, direct, remote):
    with sshd_config(f"AllowTcpForwarding {word}"):
        agree(host, "guest", FORWARDED, {"forward-local": direct, "forward-dynamic": direct, "jump": direct,
                                         "forward-remote": remote})


def test_disable_forwarding_and_permit(host):
    with sshd_config("DisableForwarding yes"):
        agree(host, "guest", [*FORWARDED, "streamlocal"],
              all_of([*FORWARDED, "streamlocal", "x11", "tunnel"], DENIED))
        # CVE-2025-32728: which sshd obeys it here, none can tell but by trying
        assert verdicts("guest")["agent"] == CONFINED
        assert ways.agent(host, "guest", {}) in (CONFINED, DENIED)
    with sshd_config("DisableForwarding yes", "X11Forwarding yes"):
        assert verdicts("guest")["x11"] == HOST
    with sshd_config("AllowAgentForwarding no"):
        agree(host, "guest", ["agent"], {"agent": DENIED})
    with sshd_config("PermitOpen none", "PermitListen none"):
        agree(host, "guest", FORWARDED, all_of(FORWARDED, DENIED))


def test_x11(host):
    with sshd_config("X11Forwarding yes"):
        agree(host, "guest", ["x11"], {"x11": HOST})
        # /bin/sh is what sshd starts xauth by, and there it is the covered shell
        run("usermod", "--shell", "/bin/sh", "other")
        try:
            assert verdicts("other")["x11"] == CONFINED
            assert ways.x11(host, "other", {}) != HOST
        finally:
            run("usermod", "--shell", "/bin/bash", "other")
    with sshd_config("X11Forwarding yes", "XAuthLocation /usr/bin/none"):
        assert verdicts("guest")["x11"] == DENIED


def test_a_tunnel(host):
    with sshd_config("PermitTunnel yes"):
        assert agree_host(host, "free", "tunnel") == HOST
        assert agree_host(host, "guest", "tunnel") == CONFINED
        host.guest("network = host")
        assert agree_host(host, "guest", "tunnel") == HOST
    assert agree_host(host, "guest", "tunnel") == DENIED


def test_chroot_directory(host):
    """Below it the shell is not the covered one: there it is the host's own, bound elsewhere."""
    root = pathlib.Path("/srv/chroot")
    root.mkdir(parents=True)
    run("mount", "--rbind", "/usr", str(root))
    try:
        with sshd_config(f"ChrootDirectory {root}"):
            agree(host, "guest", ["ssh-command", "ssh-shell", "jump"], {"ssh-command": HOST, "jump": CONFINED})
    finally:
        run("umount", "-l", str(root))
        root.rmdir()


def test_use_pam_no(host):
    with sshd_config("UsePAM no"):
        agree(host, "guest", [*PROGRAMS, *FORWARDED], all_of([*PROGRAMS, *FORWARDED], HOST))
        agree(host, "shelly", PROGRAMS, all_of(PROGRAMS, DENIED))


def test_an_sshd_that_cannot_be_asked_vouches_for_nothing(host):
    with restored(ways.SSHD_CONFIG):
        ways.SSHD_CONFIG.write_text("Nonsense yes\n")
        told = explain("guest")["ways"]
        assert all(way["verdict"] == HOST for way in told if way["way"].startswith("ssh"))
        assert "Nonsense" in told[0]["reason"]


# --- rc files and variables ----------------------------------------------------------------------

def test_user_rc(host):
    assert agree_host(host, "guest", "ssh-rc") == CONFINED
    assert agree_host(host, "free", "ssh-rc") == HOST
    with sshd_config("PermitUserRC no"):
        assert agree_host(host, "guest", "ssh-rc") == DENIED


def test_system_rc(host):
    trace = pathlib.Path("/var/tmp/sshrc-ran")
    with restored(pathlib.Path("/etc/ssh/sshrc")) as path:
        path.write_text(f"echo ran > {trace}\n")
        assert verdicts("guest")["ssh-rc"] == HOST
        host.sh("guest", "true")
        assert trace.read_text() == "ran\n"
    trace.unlink()


@pytest.mark.parametrize("home, has_rc, expected", [
    ("private", False, CONFINED), ("private", True, HOST), ("bind", True, HOST)])
def test_variables_of_the_loader(host, home, has_rc, expected):
    host.guest(f"home = {home}")
    with restored(pathlib.Path(pwd.getpwnam("guest").pw_dir) / ".ssh/rc") as path:
        if has_rc:
            path.write_text("true\n")
        assert agree_host(host, "guest", "ssh-environment") == expected


def test_variables_that_nobody_takes(host):
    with sshd_config("PermitUserEnvironment no", "AcceptEnv LANG LC_*"):
        assert agree_host(host, "guest", "ssh-environment") == DENIED


# --- PAM -----------------------------------------------------------------------------------------

def module_of(told, service="sshd"):
    found, = [s for s in told["services"] if s["service"] == service]
    return found


@pytest.mark.parametrize("change, word, verdict", [
    (without_module, "absent", HOST),
    (lambda lines: [*without_module(lines), "session optional pam_ispawn.so"], "optional", HOST),
    (lambda lines: [*without_module(lines), "session sufficient pam_ispawn.so"], "optional", HOST),
    (lambda lines: [*without_module(lines), "session [success=ok default=ignore] pam_ispawn.so"], "optional", HOST),
    (lambda lines: [*without_module(lines), "session [success=ok ignore=ignore default=die] pam_ispawn.so"],
     "enforced", DENIED),
    (lambda lines: [*without_module(lines), "-session requisite pam_ispawn.so debug"], "enforced", DENIED),
    (lambda lines: [*without_module(lines), "session \\", "  required \\", "  pam_ispawn.so # why"], "enforced",
     DENIED),
    (lambda lines: ["session sufficient pam_permit.so", *lines], "skipped", HOST),
    (lambda lines: [*without_module(lines), "session [success=1 default=ignore] pam_permit.so", LINE], "skipped", HOST),
    (lambda lines: [*without_module(lines), "session [success=1 default=ignore] pam_permit.so",
                    "session optional pam_permit.so", LINE], "enforced", DENIED),
    (lambda lines: [*lines, "session [default=reset] pam_permit.so", "session required pam_permit.so"], "optional",
     HOST),
    (lambda lines: [*lines, "session optional pam_permit.so"], "enforced", DENIED),
    (lambda lines: [*without_module(lines), "session required pam_ispawn.so wrong"], "enforced", DENIED),
    (lambda lines: [*without_module(lines), "session substack ispawn-test"], "enforced", DENIED),
    (lambda lines: [*without_module(lines), "session include ispawn-test"], "enforced", DENIED),
    (lambda lines: [*without_module(lines), "@include ispawn-test"], "enforced", DENIED),
    (lambda lines: [*without_module(lines), "session substack ispawn-skip", "session required pam_permit.so"],
     "skipped", HOST),
    (lambda lines: [*without_module(lines), "session substack ispawn-done", LINE], "enforced", DENIED),
    (lambda lines: [*without_module(lines), "session include ispawn-done", LINE], "skipped", HOST),
], ids=["absent", "optional", "sufficient", "bracket-weak", "bracket-strong", "requisite", "continued",
        "sufficient-before", "jumped", "jump-short", "reset-after", "not-last", "bad-option", "substack", "include",
        "at-include", "skipped-in-substack", "done-in-substack", "done-in-include"])
def test_stacks_when_the_module_denies(host, change, word, verdict):
    """libpam itself is the judge: a session that the module denies opens, or does not."""
    host.config(DEFAULT_CONFIG + "\nnonsense\n")
    with pam("su", change), pam("ispawn-test", lambda _: [LINE]), \
            pam("ispawn-skip", lambda _: ["session sufficient pam_permit.so", LINE]), \
            pam("ispawn-done", lambda _: ["session sufficient pam_permit.so"]):
        assert module_of(explain("guest"), "su")["module"] == word
        assert ways.where(host.su("guest", "-c", ways.LOOK).stdout) == verdict
        assert verdicts("guest")["su"] == verdict


@pytest.mark.parametrize("service, names", [("sshd", [*PROGRAMS, *FORWARDED]), ("login", ["login"])])
def test_a_missing_line(host, service, names):
    with pam(service, without_module):
        agree(host, "guest", names, all_of(names, HOST))
        assert "add `session required pam_ispawn.so`" in [w for w in explain("guest")["ways"]
                                                          if w["way"] == names[0]][0]["change"]


def test_a_line_that_is_not_the_last_is_told(host):
    with pam("sshd", lambda lines: [*lines, "session optional pam_permit.so"]):
        told = explain("guest")
        assert "not the last" in module_of(told)["note"]
        agree(host, "guest", ["ssh-command"], {"ssh-command": CONFINED})


def test_a_stack_of_nothing_else_denies_who_is_not_confined(host):
    """libpam takes 'everybody ignored it' for a refusal."""
    with pam("su", lambda lines: [*[line for line in lines if not line.startswith(("session", "@include common-session"))],
                                  LINE]):
        assert "root too" in module_of(explain("free"), "su")["note"]
        assert ways.where(host.su("free", "-c", ways.LOOK).stdout) == DENIED
        assert ways.where(host.su("guest", "-c", ways.LOOK).stdout) == CONFINED


def test_a_module_that_is_not_installed_denies_everybody(host):
    with pam("su", lambda lines: [*without_module(lines), "session required /lib/nowhere/pam_ispawn.so"]):
        agree(host, "guest", ["su"], {"su": DENIED})


def test_a_service_without_a_file_has_the_lines_of_other(host):
    with restored(pathlib.Path("/etc/pam.d/su")) as path, pam("other", lambda _: [
            "auth required pam_permit.so", "account required pam_permit.so", "session required pam_permit.so", LINE]):
        path.unlink()
        assert module_of(explain("guest"), "su")["file"] == "/etc/pam.d/other"
        assert ways.where(host.su("guest", "-c", ways.LOOK).stdout) == verdicts("guest")["su"] == CONFINED


def test_a_file_that_others_can_write_vouches_for_nothing(host):
    with restored(pathlib.Path("/etc/pam.d/su")) as path:
        path.chmod(0o666)
        assert verdicts("guest")["su"] == HOST


def test_the_configuration_of_the_line_is_the_one_that_counts(host):
    with restored(pathlib.Path("/etc/ispawn/other.conf")) as path, \
            pam("su", lambda lines: [*without_module(lines), LINE + " conf=/etc/ispawn/other.conf"]):
        path.write_text("[user free]\nconfine = yes\n")
        agree(host, "free", ["su", "ssh-command"], {"su": CONFINED, "ssh-command": HOST})


# --- cron and other services ---------------------------------------------------------------------

MINIMAL = ["account required pam_permit.so", "auth required pam_permit.so", "session required pam_permit.so"]


@contextlib.contextmanager
def lists(**files):
    """The files that say who may leave jobs: cron_allow="guest" is /etc/cron.allow; None: no such file."""
    with contextlib.ExitStack() as stack:
        for name, text in files.items():
            path = stack.enter_context(restored(pathlib.Path("/etc") / name.replace("_", ".")))
            path.unlink(missing_ok=True)
            if text is not None:
                path.write_text(text)
        yield


@pytest.mark.parametrize("way, service, lines, policy, expected", [
    *((way, service, lines, policy, expected)
      for way, service in (("cron", "cron"), ("at", "atd"))
      for lines, policy, expected in ((MINIMAL, [], HOST), ([*MINIMAL, LINE], [], DENIED),
                                      ([*MINIMAL, LINE], ["other_services = allow"], HOST))),
    ("cron", "cron", [*MINIMAL, LINE], ["services = sshd cron"], HOST),
    ("at", "atd", [*MINIMAL, LINE], ["services = sshd atd"], DENIED),
])
def test_cron_and_at(host, way, service, lines, policy, expected):
    host.guest(*policy)
    with pam(service, lambda _: lines), lists(at_deny=""):
        agree(host, "guest", [way], {way: expected})


def test_at_runs_the_covered_shell(host):
    host.guest("services = sshd atd")
    run("usermod", "--shell", "/bin/sh", "guest")
    try:
        with pam("atd", lambda _: [*MINIMAL, LINE]), lists(at_deny=""):
            assert verdicts("guest")["at"] == CONFINED
            assert ways.at(host, "guest", {}) != HOST
    finally:
        run("usermod", "--shell", "/bin/bash", "guest")


def test_cron_and_at_as_debian_ships_them(host):
    for user in ("guest", "free", "ldapish"):
        agree(host, user, ["cron", "at"])


@pytest.mark.parametrize("files, expected", [
    ({"cron_allow": "free\n", "at_allow": "free\n"}, DENIED),
    ({"cron_allow": "free\nguest\n", "at_allow": "free\nguest", "cron_deny": "guest\n", "at_deny": "guest\n"}, HOST),
    ({"cron_deny": "guest\n", "at_deny": "guest\n"}, DENIED),
    ({"cron_deny": "guests\n", "at_deny": "gues\nguest guest\n"}, HOST),
], ids=["others-allowed", "allowed", "denied", "others-denied"])
def test_who_may_leave_jobs(host, files, expected):
    with lists(**{"cron_allow": None, "cron_deny": None, "at_allow": None, "at_deny": None, **files}):
        agree(host, "guest", ["cron", "at"], all_of(["cron", "at"], expected))


def test_without_lists_at_is_for_root(host):
    with lists(cron_allow=None, cron_deny=None, at_allow=None, at_deny=None):
        agree(host, "guest", ["cron", "at"], {"cron": HOST, "at": DENIED})


def test_jobs_that_are_there_already_run_whatever_the_lists_say(host):
    table = pathlib.Path("/var/spool/cron/crontabs/guest")
    with lists(cron_deny="guest\n", at_deny="guest\n"):
        assert verdicts("guest")["cron"] == verdicts("guest")["at"] == DENIED
        with restored(table):
            table.write_text("# nothing\n")
            assert verdicts("guest")["cron"] == HOST
        job = pathlib.Path("/var/spool/cron/atjobs/a0000101c5a0a0")
        with restored(job):
            job.write_text("#!/bin/sh\n")
            os.chown(job, pwd.getpwnam("guest").pw_uid, -1)
            assert verdicts("guest")["at"] == HOST


def test_services_without_the_line_are_ways_in(host):
    with pam("vsftpd", lambda _: ["session required pam_permit.so"]):
        assert verdicts("guest")["service:vsftpd"] == HOST
    with pam("vsftpd", lambda _: ["session required pam_permit.so", LINE]):
        assert verdicts("guest")["service:vsftpd"] == DENIED
    with pam("common-more", lambda _: ["session required pam_permit.so"]):
        assert "service:common-more" not in verdicts("guest")


def test_systemd_user_counts_where_systemd_is(host):
    assert verdicts("guest")["systemd-user"] == DENIED
    os.makedirs("/run/systemd/system")
    try:
        assert verdicts("guest")["systemd-user"] == HOST
        with pam("systemd-user", lambda _: ["session required pam_permit.so", LINE]):
            assert verdicts("guest")["systemd-user"] == DENIED
    finally:
        os.rmdir("/run/systemd/system")


# --- door 2 --------------------------------------------------------------------------------------

@pytest.fixture(name="no_pam")
def make_no_pam():
    with pam("sshd", without_module), pam("su", without_module), pam("login", without_module):
        yield


def test_the_door_alone(host, no_pam):
    with ways.door():
        agree(host, "shelly", [*PROGRAMS, *FORWARDED, "su", "login", "door", "streamlocal"],
              {**all_of([*PROGRAMS, "su", "login", "door"], CONFINED), **all_of([*FORWARDED, "streamlocal"], HOST)})
        agree(host, "guest", ["ssh-command", "door"], {"ssh-command": HOST, "door": CONFINED})
        agree(host, "free", ["door"], {"door": DENIED})


def test_neither_door_nor_pam(host, no_pam):
    agree(host, "shelly", [*PROGRAMS, "su", "login", "door"], all_of([*PROGRAMS, "su", "login", "door"], DENIED))


def test_a_listed_shell_lets_su_choose_another(host, no_pam):
    with ways.door(), restored(pathlib.Path("/etc/shells")) as shells:
        shells.write_text(shells.read_text() + "/usr/bin/ispawn-shell\n")
        agree(host, "shelly", ["su", "ssh-command"], {"su": HOST, "ssh-command": CONFINED})


def test_nologin_lets_nobody_in(host, no_pam):
    run("usermod", "--shell", "/usr/sbin/nologin", "other")
    try:
        agree(host, "other", [*PROGRAMS, "jump"], {**all_of(PROGRAMS, DENIED), "jump": HOST})
    finally:
        run("usermod", "--shell", "/bin/bash", "other")


# --- the policy ----------------------------------------------------------------------------------

def test_each_value_has_its_place(host):
    host.config("[defaults]\nmemory = 2G\n\n[group confined]\nconfine = yes\npids = 99\n\n[service su]\nnofile = 100\n")
    told = explain("student")
    values = {value["key"]: value for value in told["policy"]["values"]}
    assert values["memory"] == {"key": "memory", "value": "2G", "file": str(CONFIG), "section": "[defaults]", "line": 2}
    assert values["pids"] == {"key": "pids", "value": "99", "file": str(CONFIG), "section": "[group confined]", "line": 6}
    assert values["nofile"] == {"key": "nofile", "value": "4096", "file": None, "section": None, "line": None}
    assert told["policy"]["verdict"] == "confine"
    of_su = {v["key"]: v for v in explain("student", "--service", "su")["policy"]["values"]}
    assert (of_su["nofile"]["value"], of_su["nofile"]["section"]) == ("100", "[service su]")


def test_a_service_of_the_readers_choice_is_told(host):
    told = explain("guest", "--service", "vsftpd")
    assert (told["policy"]["service"], told["policy"]["verdict"]) == ("vsftpd", "deny")
    assert module_of(told, "vsftpd")["policy"] == "deny"


def test_a_broken_configuration_is_told(host):
    host.config("[user guest]\nconfine = maybe\n")
    told = explain("guest")
    assert told["policy"]["verdict"] == "deny" and "maybe" in told["policy"]["reason"]
    assert told["policy"]["values"] == []


def test_for_people_it_is_the_same(host):
    text = run("ispawnctl", "explain", "guest").stdout
    assert "confine        = yes" in text and "[user guest] in /etc/ispawn/ispawn.conf, line 3" in text
    for name, verdict in verdicts("guest").items():
        assert any(line.split()[:2] == [name, verdict] for line in text.splitlines()), name
    assert text.isascii()


def test_what_others_chose_is_escaped(host):
    with restored(pathlib.Path("/etc/passwd")) as passwd:
        lines = passwd.read_text().splitlines()
        passwd.write_text("".join(re.sub("^(other:.*:).*$", "\\1/bin/\x1b[31m", line) + "\n" for line in lines))
        for arguments in ([], ["--json"]):
            done = run("ispawnctl", "explain", "other", *arguments)
            assert "\x1b" not in done.stdout and "1b[31m" in done.stdout


# --- errors --------------------------------------------------------------------------------------

@pytest.mark.parametrize("arguments", [
    [], ["--json"], ["a", "b"], ["guest", "--xml"], ["guest", "--service"], ["guest", "--service", "a/b"],
    ["guest", "--service", ""], ["guest", "--from"], ["guest", "--from", "a.example"]])
def test_wrong_arguments(arguments):
    done = run("ispawnctl", "explain", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "ispawnctl: " in done.stderr


def test_an_unknown_user():
    done = run("ispawnctl", "explain", "nobody-here")
    assert (done.returncode, done.stdout) == (1, "")
    assert "nobody-here" in done.stderr


def test_explain_is_for_root():
    done = run("setpriv", "--reuid=free", "--clear-groups", "ispawnctl", "explain", "guest")
    assert (done.returncode, done.stderr) == (1, "ispawnctl: must be run as root\n")
