# SPDX-License-Identifier: GPL-3.0-or-later
"""ispawn-shell and its surroundings: sessions that are none, and supervisors that lie."""
import os
import shutil
import signal
import subprocess
import sys

import pexpect

from tenant_world import EXITED, REFUSED, SESSION, STARTED, UID, pack, same, test


@test
def no_session_is_125_and_says_what_to_do(world):
    for env in ({}, {"ISPAWN_SESSION": ""}, {"ISPAWN_SESSION": "../../tmp/x.0123abcd"},
                {"ISPAWN_SESSION": "tester.0123abcd/"}):
        status, out, err = world.sh("echo host", env=env or {"A": "b"})
        same((status, out), (125, b""))
        assert b"tell the administrator" in err and b"pam_ispawn(8)" in err, err
        same(err.count(b"\n"), 1)
    status, out, err = world.sh("echo host", env={"ISPAWN_SESSION": "tester.99999999"})
    same((status, out), (125, b""))
    assert b"tester.99999999" in err, err


@test
def a_door_that_is_not_roots_is_not_used(world):
    fake = "/run/ispawn/sessions/tester.00000001"
    os.makedirs(fake, exist_ok=True)
    os.chown(fake, UID, UID)
    listener = subprocess.Popen(
        [sys.executable, "-c", "import socket,sys,time\n"
         "s=socket.socket(socket.AF_UNIX,socket.SOCK_SEQPACKET)\n"
         f"s.bind('{fake}/socket'); s.listen(); print('up',flush=True); time.sleep(20)"],
        user=UID, group=UID, extra_groups=[], stdout=subprocess.PIPE)
    listener.stdout.readline()
    status, out, err = world.sh("echo host", env={"ISPAWN_SESSION": "tester.00000001"})
    listener.kill()
    listener.wait()
    same((status, out), (125, b""))
    assert b"not permitted" in err, err


@test
def root_gets_the_covered_shell_or_nothing(world):
    def as_root():
        return subprocess.run(["-sh", "-c", "echo $0 $ISPAWN_SESSION"], executable=world.shell,
                              env=world.environment(), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, check=False)
    result = as_root()
    same((result.returncode, result.stdout), (125, b""))
    os.makedirs("/run/ispawn/cover", exist_ok=True)
    shutil.copy("/bin/dash", "/run/ispawn/cover/shell")
    same(as_root().stdout, f"-sh {SESSION}\n".encode())
    same(world.out("echo $0"), b"bash\n")  # the user is not let through
    os.unlink("/run/ispawn/cover/shell")
    shutil.copy(world.shell, "/run/ispawn/cover/shell")
    same(as_root().returncode in (0, 125), True)
    os.unlink("/run/ispawn/cover/shell")


@test
def a_setuid_copy_refuses(world):
    path = world.work / "setuid-shell"
    shutil.copy(world.shell, path)
    os.chmod(path, 0o4755)
    child = subprocess.run([str(path), "-c", "id"], user=UID, group=UID, extra_groups=[],
                           env=world.environment(), stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, check=False)
    same((child.returncode, child.stdout), (125, b""))
    assert b"setuid" in child.stderr, child.stderr


@test
def a_limit_is_named_once_without_a_terminal(world):
    world.supervisor.last_words[1] = b"memory limit \x1b[2J reached"
    status, out, err = world.sh("kill -9 $$")
    same((status, out), (-9, b""))
    same(err, b"ispawn: memory limit \\x1b[2J reached\n")


@test
def hostile_answers_do_no_harm(world):
    plain = os.open("/etc/hostname", os.O_RDONLY)
    primary, peer = os.openpty()
    cases = [
        [(pack(STARTED), [plain])],
        [(pack(STARTED), [primary])],            # a pty nobody asked for
        [(pack(EXITED, 1, 0), [])],              # before STARTED
        [(pack(STARTED, magic=7), [])],
        [(pack(STARTED), []), (pack(STARTED), [])],
        [(b"short", [])],
    ]
    for case in cases:
        world.supervisor.script = case
        child = world.popen("-c", "x", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE)
        out, err = child.communicate(timeout=10)
        same((child.returncode, out), (125, b""))
        assert b"has ended" in err, (case, err)
    for value, wanted in ((signal.SIGSTOP, 128 + 19), (signal.SIGCHLD, 128 + 17), (0x7f, 125),
                          (0xffff, 125)):
        world.supervisor.script = [(pack(STARTED), []), (pack(EXITED, 1, value), [])]
        same(world.sh("x")[0], wanted)
    for value, wanted in ((126, 126), (127, 127), (0, 125), (1, 125), (300, 125)):
        world.supervisor.script = [(pack(REFUSED, 1, value, code=2, why=b"no\x1b[2J shell"), [])]
        status, _, err = world.sh("x")
        same(status, wanted)
        assert b"\x1b" not in err and b"no?[2J shell" in err, err
    for fd in (plain, primary, peer):
        os.close(fd)


@test
def a_false_terminal_is_not_read(world):
    plain = os.open("/dev/zero", os.O_RDWR)
    pipe_r, pipe_w = os.pipe()
    for fds in ([plain], [pipe_r], []):
        world.supervisor.script = [(pack(STARTED), fds)]
        child = world.terminal("ispawn-shell", "-c", "x")
        child.expect("has ended\r\n")
        child.expect(pexpect.EOF)
        child.close()
        same(child.exitstatus, 125)
    for fd in (plain, pipe_r, pipe_w):
        os.close(fd)


@test
def a_terminal_that_never_answers_is_left(world):
    """A primary whose other side stays open and silent must not hold the shell after EXITED."""
    primary, peer = os.openpty()
    os.write(peer, b"last words")
    world.supervisor.script = [(pack(STARTED), [primary]), (pack(EXITED, 1, 5 << 8), [])]
    child = world.terminal("ispawn-shell", "-c", "x")
    child.expect("last words")
    child.expect(pexpect.EOF)
    child.close()
    same(child.exitstatus, 5)
    os.close(primary)
    os.close(peer)
