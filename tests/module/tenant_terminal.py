# SPDX-License-Identifier: GPL-3.0-or-later
"""Tenants with a terminal, and what idle programs cost."""
import fcntl
import hashlib
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import termios
import time

import pexpect

from tenant_world import EXITED, STARTED, ask, same, test, until


@test
def a_terminal_exists_inside(world):
    child = world.prompt()
    name = ask(child, "tty")
    assert re.fullmatch(r"/dev/pts/\d+", name), name
    same(ask(child, "[ -t 0 -a -t 1 -a -t 2 ] && echo all; echo $0"), "all\r\n-bash")
    same(ask(child, "echo here > /dev/tty"), "here")
    same(ask(child, "ps -o tty= -p $$"), name[5:])
    child.sendline("exit 9")
    child.expect(pexpect.EOF)
    child.close()
    same(child.exitstatus, 9)


@test
def ssh_tty_is_the_inside_one(world):
    child = world.prompt(env=world.environment(SSH_TTY="/dev/pts/12345", TERM="vt220"))
    same(ask(child, "[ $SSH_TTY = $(tty) ] && echo $TERM"), "vt220")
    child.close(force=True)


@test
def size_arrives_and_follows(world):
    child = world.prompt(dimensions=(33, 101))
    same(ask(child, "stty size"), "33 101")
    child.setwinsize(50, 132)
    time.sleep(0.2)
    same(ask(child, "stty size"), "50 132")
    same(ask(child, "trap 'echo resized' WINCH; echo"), "")
    child.setwinsize(20, 70)
    child.expect("resized")
    child.close(force=True)


@test
def job_control_works(world):
    child = world.prompt()
    child.sendline("sleep 50")
    time.sleep(0.3)
    child.send("\x1a")
    child.expect("Stopped.*READY> ")
    assert "Stopped" in ask(child, "jobs")
    child.sendline("fg")
    child.expect("sleep 50")
    time.sleep(0.2)
    child.send("\x03")
    child.expect("READY> ")
    same(ask(child, "echo $?"), "130")
    child.sendline("cat")
    child.sendline("line")
    child.expect("line")
    child.send("\x04")
    child.expect("READY> ")
    child.send("\x04")
    child.expect(pexpect.EOF)


@test
def keys_are_keys(world):
    child = world.terminal("ispawn-shell", "-c", "stty raw -echo; echo on; head -c 256 | sha256sum")
    child.expect("on")
    child.send(bytes(range(256)))
    child.expect(hashlib.sha256(bytes(range(256))).hexdigest())
    child.expect(pexpect.EOF)
    child.close()
    same(child.exitstatus, 0)


@test
def output_is_eight_bit_and_whole(world):
    child = world.terminal("ispawn-shell", "-c", "stty raw; head -c 3000000 /dev/zero | "
                           "tr '\\0' '\\377'; printf END")
    data = child.read()
    same((data.count(b"\xff"), data[-3:]), (3000000, b"END"))
    child.close()
    same(child.exitstatus, 0)
    for i in range(30):
        child = world.terminal("ispawn-shell", "-c", f"echo {i}; echo last words {i}")
        assert child.read().endswith(b"last words %d\r\n" % i)
        child.close()


@test
def the_terminals_modes_come_back(world):
    primary, peer = os.openpty()
    before = termios.tcgetattr(peer)
    before[6][termios.VERASE] = b"\x08"
    termios.tcsetattr(peer, termios.TCSANOW, before)
    before = termios.tcgetattr(peer)

    def lead():
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    for command, wanted in (("stty -a | grep -o 'erase = ^H'; exit 3", 3),
                            ("kill -TERM $$", -15)):
        child = world.popen("-c", command, stdin=peer, stdout=peer, stderr=peer, preexec_fn=lead)
        same(child.wait(10), wanted)
        same(termios.tcgetattr(peer), before)
    assert b"erase = ^H" in os.read(primary, 4096)
    child = world.popen("-c", "sleep 50", stdin=peer, stdout=peer, stderr=peer, preexec_fn=lead)
    world.supervisor.wait_for(STARTED, 3)
    time.sleep(0.2)
    assert termios.tcgetattr(peer) != before
    child.send_signal(signal.SIGTSTP)
    os.waitpid(child.pid, os.WUNTRACED)
    same(termios.tcgetattr(peer), before)
    child.send_signal(signal.SIGCONT)
    time.sleep(0.2)
    assert termios.tcgetattr(peer) != before
    child.send_signal(signal.SIGHUP)
    same(child.wait(10), -signal.SIGHUP)
    same(termios.tcgetattr(peer), before)
    os.close(primary)
    os.close(peer)


@test
def a_lost_terminal_hangs_up_inside(world):
    child = world.terminal("ispawn-shell", "-c", "trap 'echo hup >$HOME/trace3; exit' HUP; echo on; "
                           "while :; do sleep 0.02; done")
    child.expect("on\r\n")
    child.close(force=False)
    world.supervisor.wait_for(EXITED)
    same((world.work / "home" / "trace3").read_text(), "hup\n")


@test
def a_killed_shell_hangs_up_the_foreground_job(world):
    child = world.prompt()
    child.sendline("sh -c 'trap \"echo hup >$HOME/trace4; exit\" HUP; echo on; "
                   "while :; do sleep 0.02; done'")
    child.expect("on\r\n")
    child.kill(signal.SIGKILL)
    world.supervisor.wait_for(EXITED)
    # the prompt's shell, which may be done before its job is
    trace = world.work / "home" / "trace4"
    until(lambda: trace.exists() and trace.read_text())
    same(trace.read_text(), "hup\n")
    child.close(force=True)


@test
def a_background_job_does_not_hold_the_login(world):
    child = world.terminal("ispawn-shell", "-c", "trap '' HUP; (while :; do echo noise; done) & "
                           "sleep 0.1; exit 4")
    started = time.monotonic()
    while True:
        try:
            child.read_nonblocking(65536, 15)
        except pexpect.EOF:
            break
    child.close()
    same(child.exitstatus, 4)
    assert time.monotonic() - started < 10


@test
def a_notice_reaches_the_terminal(world):
    world.supervisor.last_words[1] = b"time is up"
    child = world.terminal("ispawn-shell", "-c", "exit 0")
    child.expect("ispawn: time is up\r\n")
    child.expect(pexpect.EOF)


@test
def a_terminal_beside_a_file_or_a_pipe(world):
    primary, peer = os.openpty()
    with tempfile.TemporaryFile() as sink:
        child = world.popen("-c", "[ -t 0 ] && [ -t 2 ] && [ ! -t 1 ] && echo kinds; echo e >&2",
                            stdin=peer, stdout=sink, stderr=peer)
        same(child.wait(10), 0)
        sink.seek(0)
        same(sink.read(), b"kinds\n")
        same(os.read(primary, 100), b"e\r\n")
    child = world.popen("-c", "cat", stdin=subprocess.PIPE, stdout=peer, stderr=peer)
    child.communicate(b"piped\n", timeout=10)
    same(os.read(primary, 100), b"piped\r\n")
    os.close(primary)
    os.close(peer)


# --- what it costs --------------------------------------------------------------------------------

def own_kib(pid):
    """What one more such process costs: a program's pages are shared with all others."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"Anonymous:\s+(\d+) kB", text).group(1))


@test
def idle_programs_are_small(world):
    child = world.prompt()
    sizes = {"init": own_kib(world.supervisor.init_pid()), "shell": own_kib(child.pid)}
    print(f"       memory of their own, idle, KiB: {sizes}")
    child.close(force=True)
    if os.environ.get("SANITIZE"):
        del sizes["init"]  # the sanitizer's own memory is most of it
    assert max(sizes.values()) < 150, sizes
