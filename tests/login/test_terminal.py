# SPDX-License-Identifier: GPL-3.0-or-later
"""A terminal of the login's own, made inside: job control, size, keys."""
import re
import time

import pexpect
import pytest

USERS = ["guest", "shelly"]


@pytest.fixture(name="term", params=USERS)
def make_term(host, request):
    child = host.terminal(request.param)
    yield child
    if child.isalive():
        child.sendline("exit 0")
        child.expect(pexpect.EOF)
    child.close()


def test_terminal_has_a_name_that_exists_inside(host, term):
    name = host.ask(term, "tty")
    assert name.startswith("/dev/pts/")
    assert host.ask(term, f"test -c {name} && echo there") == "there"
    assert host.ask(term, "test -w $(tty) && stat -c %U $(tty)") == host.ask(term, "whoami")
    assert host.ask(term, "echo through > $(tty)") == "through"


def test_terminal_is_the_controlling_one(host, term):
    assert host.ask(term, "echo via tty > /dev/tty") == "via tty"
    assert host.ask(term, "ps -o tty= -p $$") == host.ask(term, "tty").replace("/dev/", "")


def test_size_arrives_and_follows(host, term):
    assert host.ask(term, "stty size") == "24 80"
    term.setwinsize(50, 132)
    time.sleep(0.3)
    # readline draws its prompt anew on a resize: look for the answer, not for the next prompt
    term.sendline("stty size; echo en''d")
    term.expect_exact("50 132\r\nend")
    term.expect_exact("READY> ")


def test_resize_is_signalled(host, term):
    host.ask(term, "trap 'echo resi''zed' WINCH")
    term.setwinsize(40, 100)
    time.sleep(0.3)
    term.sendline("")
    term.expect_exact("resized")
    term.sendline("")


def test_ctrl_c_interrupts(host, term):
    term.sendline("sleep 60; echo status $?")
    time.sleep(0.3)
    term.sendintr()
    term.expect_exact("READY> ")
    assert host.ask(term, "echo alive") == "alive"


def test_ctrl_z_stops_and_fg_continues(host, term):
    term.sendline("sleep 1.5; echo slept")
    time.sleep(0.4)
    term.send("\x1a")
    term.expect("Stopped")
    term.expect_exact("READY> ")
    assert "sleep" in host.ask(term, "jobs")
    start = time.monotonic()
    host.ask(term, "fg")
    assert time.monotonic() - start < 10


def test_ctrl_backslash_quits(host, term):
    term.sendline("sleep 60")
    time.sleep(0.3)
    term.send("\x1c")
    term.expect("Quit")
    term.expect_exact("READY> ")


def test_ctrl_d_ends_the_login(host, term):
    term.send("\x04")
    term.expect(pexpect.EOF)
    term.close()
    assert term.exitstatus == 0


def test_status_of_an_interactive_shell(host, term):
    term.sendline("exit 42")
    term.expect(pexpect.EOF)
    term.close()
    assert term.exitstatus == 42


def test_full_screen_programs(host, term):
    term.sendline("vi -u NONE ~/note")
    term.expect("note")
    term.send("ihello from vi\x1b:wq\r")
    term.expect_exact("READY> ")
    assert host.ask(term, "cat ~/note") == "hello from vi"


def test_tmux_starts_and_detaches(host, term):
    assert host.ask(term, "tmux -f /dev/null new-session -d -s one && tmux ls").startswith("one: 1 windows")
    host.ask(term, "tmux kill-server")


def test_modes_of_the_clients_terminal(host, term):
    assert host.ask(term, "echo $TERM") == "xterm"
    assert re.search(r"\bintr = \^C", host.ask(term, "stty -a"))
    assert host.ask(term, "stty -echo; stty -a | grep -ow -- -echo; stty echo") == "-echo"


def test_large_output_on_a_terminal_is_complete(host, term):
    output = host.ask(term, "seq 1 20000")
    assert output.split("\n")[-1].strip() == "20000"
    assert len(output.split()) == 20000


def test_paste_longer_than_a_pipe(host, term):
    term.sendline("stty -icanon -echo min 1; echo go''ing; head -c 100000 | wc -c; stty sane")
    term.expect_exact("going")
    for _ in range(100):
        term.send("y" * 1000)
    term.expect_exact("100000")
    term.sendline("")


def test_command_with_a_forced_terminal(host):
    child = host.terminal("guest", "tty; stty size; exit 9")
    child.expect(pexpect.EOF)
    child.close()
    lines = child.before.split()
    assert lines[0].startswith("/dev/pts/")
    assert lines[1:3] == ["24", "80"]
    assert child.exitstatus == 9


def test_no_terminal_without_asking_for_one(host):
    assert host.sh("guest", "tty || true") == "not a tty"
    assert host.ssh("guest", "echo x > /dev/tty").returncode != 0


def test_two_terminals_at_once_are_two(host):
    one, two = host.terminal("guest"), host.terminal("guest")
    host.ask(one, "echo first > /tmp/ours-$$")
    assert host.ask(one, "tty").startswith("/dev/pts/")
    assert host.ask(two, "tty").startswith("/dev/pts/")
    assert host.leave(one) == 0
    assert host.ask(two, "echo still here") == "still here"
    assert host.leave(two) == 0


def test_who_sees_the_hosts_terminal_on_the_host(host):
    # utmp and lastlog record the host's pty: the one that `write` and `kill -t` there can use.
    child = host.terminal("guest")
    inside = host.ask(child, "echo $SSH_TTY")
    assert inside == host.ask(child, "tty")
    assert host.leave(child) == 0
