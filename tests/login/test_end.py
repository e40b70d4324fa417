# SPDX-License-Identifier: GPL-3.0-or-later
"""How a session ends: at logout, by hangup, by time; and what ispawnctl shows and does."""
import json
import re
import signal
import time

import pexpect
import pytest

from host import processes, run, wait_until


def test_background_jobs_end_at_logout(host):
    host.sh("guest", "nohup sleep 1000 >/dev/null 2>&1 & setsid -f sleep 1001 </dev/null >/dev/null 2>&1; true")
    assert not host.wait_clean()
    assert not [p for p in processes().values() if "sleep 100" in p["command"]]


def test_logout_does_not_wait_for_background_jobs_without_our_streams(host):
    start = time.monotonic()
    host.sh("guest", "setsid -f sleep 1000 </dev/null >/dev/null 2>&1; true")
    assert time.monotonic() - start < 5


def test_lingering_keeps_them_until_they_end(host):
    host.guest("on_logout = linger")
    host.sh("guest", "setsid -f sleep 3 </dev/null >/dev/null 2>&1; true")
    time.sleep(0.5)
    assert [p for p in processes().values() if p["command"].startswith("sleep 3")]
    assert len(host.sessions()) == 1
    assert not host.wait_clean(10)


def test_tenants_get_a_hangup_before_they_are_killed(host):
    script = "exec 2>/dev/null; trap 'echo hup >> ~/signals; exit' HUP; trap 'echo term >> ~/signals' TERM; echo up; " \
             "while :; do sleep 0.05; done"
    host.sh("guest", "rm -f ~/signals")
    ssh = host.popen("guest", script)
    assert ssh.stdout.readline() == b"up\n"
    ssh.send_signal(signal.SIGKILL)
    ssh.communicate()
    assert not host.wait_clean()
    assert host.sh("guest", "cat ~/signals").startswith("hup")


def test_whoever_ignores_the_hangup_is_killed(host):
    ssh = host.popen("guest", "trap '' HUP TERM INT; echo up; while :; do sleep 1; done")
    assert ssh.stdout.readline() == b"up\n"
    ssh.send_signal(signal.SIGKILL)
    ssh.communicate()
    assert not host.wait_clean()


def test_terminal_closed_by_its_window(host):
    child = host.terminal("guest")
    host.ask(child, "sleep 1000 &")
    child.close(force=True)
    assert not host.wait_clean()


def test_max_session_ends_a_session(host, log):
    host.guest("max_session = 2s")
    start = time.monotonic()
    done = host.ssh("guest", "sleep 60; echo never")
    assert b"never" not in done.stdout
    assert 1 < time.monotonic() - start < 15
    wait_until(lambda: "cause=max-session" in log(), what="the last log line")


def test_idle_timeout_ends_an_idle_terminal(host, log):
    # A terminal's times move in steps of 8 s, so that is how late the end may come, but never early.
    host.guest("idle_timeout = 1s")
    child = host.terminal("guest")
    for _ in range(5):
        time.sleep(1.9)
        assert host.ask(child, "echo busy") == "busy"
    child.expect("idle_timeout", timeout=40)
    child.expect(pexpect.EOF)
    wait_until(lambda: "cause=idle-timeout" in log(), what="the last log line")


def test_idle_timeout_leaves_programs_without_a_terminal_alone(host, log):
    # A transfer or a build that says nothing is at work: only a terminal tells idleness.
    host.guest("idle_timeout = 1s")
    with host.open_session("guest") as ssh:
        time.sleep(8)
        ssh.stdin.write(b"x\n")
        ssh.stdin.flush()
        assert ssh.stdout.readline() == b"x\n"
    assert "cause=idle-timeout" not in log()


def test_log_tells_start_tenant_and_end(host, log):
    host.sh("guest", "echo visible; python3 -c 'bytearray(30 << 20)'")
    assert not host.wait_clean()
    ours = [line for line in log().splitlines() if re.search(r"session=guest\.[0-9a-f]{8}", line)]
    text = "\n".join(ours)
    assert len({re.search(r"session=(\S+)", line).group(1) for line in ours}) == 1, text
    assert len(ours) >= 3, text
    assert "echo visible" in text
    for word in ("duration", "cpu", "memory", "oom"):
        assert word in ours[-1], text


def test_log_escapes_what_users_type(host, log):
    # pitfall 41
    host.ssh("guest", "echo $'\x1b]0;title\x07' \"quoted\"\necho second line")
    text = log()
    assert "\x1b" not in text
    assert "#033" not in text, "a raw escape byte reached the log"
    assert "\\x1b" in text


@pytest.fixture(name="two")
def make_two(host):
    with host.open_session("guest") as guest, host.open_session("student") as student:
        yield guest, student


def test_ispawnctl_list(host, two):
    done = run("ispawnctl", "list")
    assert done.returncode == 0, done
    for user in ("guest", "student"):
        assert len(re.findall(rf"{user}\.[0-9a-f]{{8}}", done.stdout)) == 1


def test_ispawnctl_list_json(host, two):
    done = run("ispawnctl", "list", "--json")
    found = json.loads(done.stdout)
    rows = found if isinstance(found, list) else found["sessions"]
    assert sorted(row["user"] for row in rows) == ["guest", "student"]
    assert {row["session"] for row in rows} == set(host.sessions())


def test_ispawnctl_list_of_nothing(host):
    done = run("ispawnctl", "list", "--json")
    assert (done.returncode, json.loads(done.stdout) in ([], {"sessions": []})) == (0, True)


def test_ispawnctl_kill_by_id(host, two):
    guest, student = two
    session, = [s for s in host.sessions() if s.startswith("guest.")]
    assert run("ispawnctl", "kill", session).returncode == 0
    guest.wait(10)
    assert student.poll() is None
    assert [s.split(".")[0] for s in host.sessions()] == ["student"]


def test_ispawnctl_kill_by_user(host):
    with host.open_session("guest") as one, host.open_session("guest") as two, host.open_session("student") as other:
        assert run("ispawnctl", "kill", "guest").returncode == 0
        one.wait(10)
        two.wait(10)
        assert other.poll() is None


@pytest.mark.parametrize("who", ["guest.00000000", "nobody", "../guest", ""])
def test_ispawnctl_kill_of_nothing_fails(host, who):
    done = run("ispawnctl", "kill", who)
    assert done.returncode != 0
    assert done.stderr != ""


def test_ispawnctl_gc_leaves_live_sessions_alone(host, two):
    assert run("ispawnctl", "gc").returncode == 0
    for ssh in two:
        ssh.stdin.write(b"alive\n")
        ssh.stdin.flush()
        assert ssh.stdout.readline() == b"alive\n"


def test_ispawnctl_check_of_a_good_host(host):
    done = run("ispawnctl", "check")
    assert done.returncode == 0, done


def test_ispawnctl_check_names_what_is_wrong(host):
    host.config("[user guest]\nmemroy = 1G\n")
    done = run("ispawnctl", "check")
    assert done.returncode != 0
    assert "memroy" in done.stdout + done.stderr


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["list", "--xml"], ["kill"], ["gc", "extra"]])
def test_ispawnctl_refuses_what_it_does_not_know(arguments):
    done = run("ispawnctl", *arguments)
    assert done.returncode not in (0, 139)
    assert done.stderr != ""


def test_ispawnctl_needs_root(host):
    done = run("setpriv", "--reuid=free", "--regid=free", "--clear-groups", "ispawnctl", "list")
    assert done.returncode != 0
