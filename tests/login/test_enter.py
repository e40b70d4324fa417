# SPDX-License-Identifier: GPL-3.0-or-later
"""`ispawnctl enter`: the administrator in a session, as a tenant of it and as its container's root."""
import contextlib
import os
import re
import signal
import subprocess
import time

import pexpect
import pytest

from host import RUN, processes, run, wait_until

WAYS = pytest.mark.parametrize("root", [[], ["--root"]], ids=["tenant", "root"])


def enter(*arguments, **kwargs):
    return run("ispawnctl", "enter", *arguments, **kwargs)


def said(*arguments, **kwargs):
    done = enter(*arguments, **kwargs)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout.strip()


@pytest.fixture(name="one")
def make_one(host):
    with host.open_session("guest"):
        yield host.sessions()[0]


# --- what it is ----------------------------------------------------------------------------------

def test_a_command_runs_as_the_user_in_the_users_session(host, one):
    assert said("guest", "sh", "-c", "id -un; pwd; hostname; echo $ISPAWN_SESSION").split() == \
        ["guest", "/home/guest", "guest-testhost", one]
    host.sh("guest", "rm -f ~/seen")
    assert said(one, "sh", "-c", "echo yes > ~/seen; cat /proc/1/comm") == "ispawn-init"
    assert host.sh("guest", "cat ~/seen") == "yes"


def test_a_command_as_root_is_the_containers_root(host, one):
    assert said("--root", "guest", "sh", "-c", "id -un; pwd; hostname; echo $HOME $USER $ISPAWN_SESSION").split() == \
        ["root", "/root", "guest-testhost", "/root", "root", one]
    said("--root", "guest", "sh", "-c", "echo from-root > /etc/made-by-root; chmod 600 /etc/made-by-root")
    assert host.sh("guest", "stat -c '%U %a' /etc/made-by-root; cat /etc/made-by-root 2>&1 || echo kept").splitlines()[::2] == \
        ["root 600", "kept"]
    assert not os.path.exists("/etc/made-by-root")
    said("--root", one, "rm", "/etc/made-by-root")


@WAYS
def test_without_a_command_it_is_a_login_shell(one, root):
    home = "/root" if root else "/home/guest"
    assert said(*root, "guest", input="echo $0; pwd; shopt login_shell\n").split() == ["-bash", home, "login_shell", "on"]


@pytest.mark.parametrize("privilege", ["none", "sudo", "root"])
def test_root_under_each_privilege(host, privilege):
    host.guest(f"privilege = {privilege}")
    with host.open_session("guest"):
        found = said("--root", "guest", "sh", "-c", "id -u; grep -E '^(CapEff|NoNewPrivs)' /proc/self/status").split()
        assert found == ["0", "CapEff:", "00000000a80425fb", "NoNewPrivs:", "1" if privilege == "none" else "0"]
        assert said("guest", "id", "-u") == ("0" if privilege == "root" else "1001")


def test_root_has_what_the_policy_calls_root(host):
    host.guest("capabilities = chown, kill")
    with host.open_session("guest"):
        assert said("--root", "guest", "sed", "-n", "s/^CapEff:.//p", "/proc/self/status") == "0000000000000021"


def test_root_under_a_profile_of_the_administrators(host):
    host.guest("seccomp = learn")
    with host.open_session("guest"):
        assert said("--root", "guest", "sed", "-n", "s/^Seccomp:.//p", "/proc/self/status") == "2"


def test_forwarding_only_has_programs_for_the_administrator_alone(host):
    host.guest("shell = none")
    with contextlib.closing(host.spawn("ssh", "-N", "-o", "BatchMode=yes", "guest@localhost")):
        wait_until(host.sessions)
        wait_until(lambda: run("ispawnctl", "list").stdout.count("running") == 1)
        assert said("guest", "id", "-un") == "guest"
        assert said("--root", "guest", input="id -un\n") == "root"
        done = enter("guest")
        assert (done.returncode, done.stdout) == (125, "") and "no shell" in done.stderr
    wait_until(lambda: not host.sessions())


# --- streams and status --------------------------------------------------------------------------

@WAYS
@pytest.mark.parametrize("status", [0, 1, 2, 125, 126, 127, 255])
def test_the_status_is_the_commands(one, root, status):
    done = enter(*root, "guest", "sh", "-c", f"exit {status}")
    assert (done.returncode, done.stdout, done.stderr) == (status, "", "")


@WAYS
@pytest.mark.parametrize("name", ["TERM", "KILL", "SEGV", "HUP"])
def test_a_signal_is_128_and_its_number(one, root, name):
    assert enter(*root, "guest", "sh", "-c", f"kill -{name} $$").returncode == 128 + signal.Signals[f"SIG{name}"]


@WAYS
@pytest.mark.parametrize("command, status, words", [
    ("nonesuch", 127, "nonesuch: No such file or directory"),
    ("/etc/passwd", 126, "/etc/passwd: Permission denied"),
    ("bad\x1b[2Jname", 127, r"bad\x1b[2Jname: No such file or directory")])
def test_what_cannot_be_run(one, root, command, status, words):
    done = enter(*root, "guest", command)
    assert (done.returncode, done.stdout, done.stderr) == (status, "", f"ispawnctl: {words}\n")


@WAYS
def test_streams_are_three_and_whole(one, root):
    data = os.urandom(300000)
    done = subprocess.run(["ispawnctl", "enter", *root, "guest", "sh", "-c", "cat; echo error >&2"], input=data,
                          capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout == data, done.stderr) == (0, True, b"error\n")


@WAYS
def test_what_scripts_do_with_their_streams(one, root):
    done = enter(*root, "guest", "sh", "-c", "echo out > /dev/stdout; echo err > /dev/stderr; cat /dev/stdin", input="in")
    assert (done.returncode, done.stdout, done.stderr) == (0, "out\nin", "err\n")


@WAYS
def test_arguments_arrive_as_they_are(one, root):
    words = ["", " ", "a  b", "*", "$HOME", "-x", "--", "--root", "\n"]
    done = enter(*root, "guest", "printf", "%s\\0", *words)
    assert done.stdout.split("\0")[:-1] == words


@WAYS
def test_a_reader_that_has_seen_enough_ends_it(one, root):
    done = run("bash", "-c", f"ispawnctl enter {' '.join(root)} guest yes | head -1; echo ${{PIPESTATUS[0]}}")
    assert done.stdout == f"y\n{128 + signal.SIGPIPE}\n"


@WAYS
def test_signals_are_passed_on(one, root):
    with subprocess.Popen(["ispawnctl", "enter", *root, "guest", "sh", "-c",
                           "trap 'echo got; exit 3' TERM; echo up; while :; do sleep 0.05; done"],
                          stdout=subprocess.PIPE) as ctl:
        assert ctl.stdout.readline() == b"up\n"
        ctl.terminate()
        assert (ctl.stdout.readline(), ctl.wait(10)) == (b"got\n", 3)


# --- terminal ------------------------------------------------------------------------------------

@pytest.fixture(name="term", params=[[], ["--root"]], ids=["tenant", "root"])
def make_term(host, one, request):
    child = host.spawn("ispawnctl", "enter", *request.param, "guest")
    host.set_prompt(child)
    yield child
    child.close()


def test_a_terminal_inside_with_a_name_a_size_and_an_owner(host, term):
    name = host.ask(term, "tty")
    assert re.fullmatch(r"/dev/pts/\d+", name)
    assert host.ask(term, f"stat -c %U {name}; test -c {name} && echo there").split() == [host.ask(term, "whoami"), "there"]
    assert host.ask(term, "echo via > /dev/tty") == "via"
    assert host.ask(term, "stty size") == "24 80"
    term.setwinsize(50, 132)
    term.sendline("until [ \"$(stty size)\" = '50 132' ]; do sleep 0.1; done; echo re''sized")
    term.expect_exact("resized")


def test_keys_and_jobs(host, term):
    term.sendline("sleep 600; echo status $?")
    wait_until(lambda: [p for p in processes().values() if p["command"] == "sleep 600 "])
    term.sendintr()
    term.expect_exact("READY> ")
    term.sendline("sleep 601")
    wait_until(lambda: [p for p in processes().values() if p["command"] == "sleep 601 "])
    term.send("\x1a")
    term.expect("Stopped")
    term.expect_exact("READY> ")
    assert "sleep 601" in host.ask(term, "jobs")
    host.ask(term, "kill -9 %1; disown -a")
    term.sendline("exit 42")
    term.expect(pexpect.EOF)
    term.close()
    assert term.exitstatus == 42


@WAYS
def test_the_terminal_is_put_back(host, one, root):
    child = host.spawn("bash", "--norc", "-i")
    host.set_prompt(child)
    before = host.ask(child, "stty -a")
    child.sendline(f"ispawnctl enter {' '.join(root)} guest sh -c 'stty raw -echo; exit 3'")
    child.expect_exact("READY> ")
    assert host.ask(child, "echo $?") == "3"
    assert host.ask(child, "stty -a") == before
    child.close()


@WAYS
def test_a_terminal_that_goes_takes_the_program_along(host, one, root):
    child = host.spawn("ispawnctl", "enter", *root, "guest", "sleep", "600")
    wait_until(lambda: [p for p in processes().values() if p["command"] == "sleep 600 "])
    child.close(force=True)
    wait_until(lambda: not [p for p in processes().values() if p["command"] == "sleep 600 "])
    assert host.sessions() == [one] and not host.pids("ispawn-enter")


@WAYS
def test_killed_with_9_it_leaves_nothing(host, one, root):
    with subprocess.Popen(["ispawnctl", "enter", *root, "guest", "sleep", "600"], stdin=subprocess.PIPE) as ctl:
        wait_until(lambda: [p for p in processes().values() if p["command"] == "sleep 600 "])
        ctl.kill()
    wait_until(lambda: not [p for p in processes().values() if p["command"] == "sleep 600 "])
    wait_until(lambda: not host.pids("ispawn-enter"))


# --- which session -------------------------------------------------------------------------------

def test_a_session_by_id_prefix_and_user(host, one):
    for name in (one, one[:-1], "guest.", "gu", "guest"):
        assert said(name, "sh", "-c", "echo $ISPAWN_SESSION") == one


def test_more_than_one_is_an_error_with_the_candidates(host):
    with host.open_session("guest"), host.open_session("guest"), host.open_session("student"):
        for name in ("guest", "g"):
            done = enter(name, "true")
            assert (done.returncode, done.stdout) == (125, "")
            first, *lines = done.stderr.splitlines()
            assert first == f'ispawnctl: "{name}" is more than one session; say which:'
            assert sorted(line.split()[0] for line in lines) == [s for s in host.sessions() if s.startswith("guest.")]
            assert all("sshd from " in line for line in lines)
        assert said("student", "id", "-un") == "student"
        assert said([s for s in host.sessions() if s.startswith("guest.")][0], "id", "-un") == "guest"


@pytest.mark.parametrize("name", ["nobody-here", "guest.00000000", "", "x\x1b[2J"])
def test_no_such_session(host, one, name):
    done = enter(name, "true")
    assert (done.returncode, done.stdout) == (125, "") and "no session's id begins with" in done.stderr
    assert done.stderr.isprintable() or done.stderr[:-1].isprintable()


@WAYS
def test_a_dead_session_is_said_to_be_dead(host, root):
    ssh = host.session("guest")
    session, = host.sessions()
    supervisor = int((RUN / "sessions" / session / "pid").read_text())
    os.kill(supervisor, signal.SIGKILL)
    wait_until(lambda: not host.pids("ispawn-init"))
    done = enter(*root, "guest", "true")
    assert done.returncode == 125 and f"nothing runs in session {session} any more" in done.stderr
    host.end(ssh)
    run("ispawnctl", "gc")


@WAYS
def test_a_supervisor_that_hangs_does_not_hold_the_administrator(host, one, root):
    supervisor = int((RUN / "sessions" / one / "pid").read_text())
    os.kill(supervisor, signal.SIGSTOP)
    try:
        done = enter(*root, "guest", "true")
        assert (done.returncode, done.stdout) == (125, "")
        assert "does not answer" in done.stderr or "timed out" in done.stderr
    finally:
        os.kill(supervisor, signal.SIGCONT)


@WAYS
def test_the_sessions_end_ends_it(host, one, root):
    with subprocess.Popen(["ispawnctl", "enter", *root, "guest", "sh", "-c", "echo up; exec sleep 600"],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as ctl:
        assert ctl.stdout.readline() == b"up\n"
        assert run("ispawnctl", "kill", one).returncode == 0
        # It may have heard how its program ended, or only that there is no session any more.
        assert ctl.wait(10) in (125, 128 + signal.SIGKILL, 128 + signal.SIGHUP, 128 + signal.SIGTERM)


# --- every door ----------------------------------------------------------------------------------

def test_a_session_of_su(host):
    with subprocess.Popen(["su", "guest", "-c", "echo up; cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as su:
        assert su.stdout.readline() == b"up\n"
        assert said("guest", "id", "-un") == "guest"
        assert said("--root", "guest", "id", "-un") == "root"
        su.stdin.close()
        su.wait(10)


@pytest.mark.parametrize("options", [[], ["--readonly"], ["--network", "host"], ["--user", "nobody"]])
def test_a_session_of_the_runner(host, options):
    with subprocess.Popen(["ispawn", "--quiet", *(options if "--readonly" in options else ["--ephemeral", *options]),
                           "/var/lib/ispawn/templates/default/rootfs", "sh", "-c", "echo up; read x"],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as runner:
        assert runner.stdout.readline() == b"up\n"
        user = "nobody" if "nobody" in options else "root"
        assert said("root", "id", "-un") == user
        assert said("--root", "root", "id", "-un") == "root"
        runner.stdin.close()
        runner.wait(20)


def test_a_session_that_lingers(host):
    """It cannot be reached by its user any more: this is the way in; the container's root keeps it open."""
    host.guest("on_logout = linger")
    host.sh("guest", "setsid -f sleep 600 </dev/null >/dev/null 2>&1; true")
    wait_until(lambda: not [p for p in processes().values() if p["name"] == "ispawn-shell"])
    session, = host.sessions()
    assert "sleep 600" in said("guest", "ps", "ax", "-o", "args")
    with subprocess.Popen(["ispawnctl", "enter", "--root", "guest", "sh", "-c", "pkill sleep; echo up; read x; echo $x"],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as ctl:
        assert ctl.stdout.readline() == b"up\n"
        wait_until(lambda: not [p for p in processes().values() if p["command"] == "sleep 600 "])
        time.sleep(0.5)  # for init to say that it is alone
        assert host.sessions() == [session]
        assert ctl.communicate(b"still\n")[0] == b"still\n"
    wait_until(lambda: not host.sessions(), what="the end of a session in which nothing runs")


def test_a_tenant_of_the_administrators_keeps_a_lingering_session_too(host):
    host.guest("on_logout = linger")
    with host.open_session("guest"):
        ctl = subprocess.Popen(["ispawnctl", "enter", "guest", "sh", "-c", "echo up; read x; echo $x"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert ctl.stdout.readline() == b"up\n"
    time.sleep(0.5)
    assert ctl.communicate(b"still\n")[0] == b"still\n"
    wait_until(lambda: not host.sessions())


# --- what is told ---------------------------------------------------------------------------------

@WAYS
def test_the_log_says_who_went_in(host, one, log, root):
    said(*root, "guest", "echo", "a\x1bb\"")
    line, = [line for line in log().splitlines() if "event=enter" in line]
    assert re.search(rf'ispawnctl\[\d+\]: session={one} event=enter loginuid=\d+ root={"yes" if root else "no"} '
                     r'command="echo a\\x1bb\\""$', line)
    assert f"session={one} event=tenant tenant=2 " in log()


@pytest.mark.parametrize("arguments", [[], ["--root"], ["--toor", "guest"], ["--root", "--root"], ["-x"]])
def test_wrong_arguments(arguments):
    done = enter(*arguments)
    assert (done.returncode, done.stdout) == (2, "") and "ispawnctl: enter " in done.stderr


def test_it_is_for_root(one):
    done = run("setpriv", "--reuid=guest", "--regid=guest", "--clear-groups", "ispawnctl", "enter", "guest", "id")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "ispawnctl: must be run as root\n")


def test_ispawn_enter_by_hand_gains_nothing():
    for user in ([], ["setpriv", "--reuid=guest", "--regid=guest", "--clear-groups"]):
        done = run(*user, "/usr/libexec/ispawn/ispawn-enter", stdin=subprocess.DEVNULL)
        assert (done.returncode, done.stdout, done.stderr) == (125, "", "")
