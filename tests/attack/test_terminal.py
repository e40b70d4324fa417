# SPDX-License-Identifier: GPL-3.0-or-later
"""Terminals and text: what a tenant could type for others, and what he could make them read."""
import os
import pathlib
import re

import pexpect
import pytest

from conftest import PLACES
from host import cgroup_roots, run

INJECT = """
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>
/* Into every terminal that can be had, under every spelling of the request. */
int main(void)
{
    static const char *const names[] = {"/dev/tty", "/proc/self/fd/0", "/dev/console", "/dev/pts/0", "/dev/pts/1",
                                        "/dev/pts/2", "/dev/pts/3"};
    static const unsigned long requests[] = {TIOCSTI, 0xffffffff00000000UL | TIOCSTI, 0x100000000UL | TIOCSTI};
    const char text[] = "touch /tmp/injected\\n";
    int worked = 0;
    for (unsigned n = 0; n < sizeof(names) / sizeof(names[0]); n++) {
        int fd = open(names[n], O_RDWR | O_NOCTTY);
        for (unsigned r = 0; r < 3; r++)
            for (const char *c = text; *c; c++)
                worked += syscall(SYS_ioctl, fd, requests[r], c) == 0;
    }
    printf("injected %d\\n", worked);
    return 0;
}
"""


@pytest.mark.parametrize("way", ["su", "login"])
def test_cve_2017_5226_tiocsti_from_su(host, compile_c, way):
    """Pitfall 40: root types su, the user's program types for root.  It types for nobody."""
    host.guest(*PLACES["root"])
    injected = pathlib.Path("/tmp/injected")
    injected.unlink(missing_ok=True)
    host.ssh("guest", "cat > ~guest/inject; chmod 755 ~guest/inject", input=compile_c(INJECT))
    if way == "su":
        child = host.spawn("bash", "--norc", "-i")
        host.set_prompt(child)
        child.sendline("su guest -c ~guest/inject; echo ba''ck; su guest -c ~guest/inject < /dev/null; echo ba''ck")
        child.expect_exact("back")
        child.expect_exact("back")
        child.expect_exact("READY> ")
        said = child.before
    else:
        child = host.login("guest")
        host.set_prompt(child)
        said = host.ask(child, "~guest/inject")
        assert "injected 0" in said
    assert host.ask(child, "echo nothing was ty''ped") == "nothing was typed"
    child.close()
    assert not injected.exists(), said


def test_terminal_inside_is_not_the_hosts(host):
    """Pitfalls 40, 47: another devpts; the host's pty, which utmp records, is not among the tenant's descriptors."""
    before = set(os.listdir("/dev/pts"))
    child = host.terminal("guest")
    of_host = set(os.listdir("/dev/pts")) - before
    device = host.ask(child, "stat -c %d $(tty); ls /dev/pts | wc -w; stat -c %d /proc/self/fd/0 -L").split()
    assert of_host, "sshd opened no pty"
    assert int(device[0]) != os.stat("/dev/pts").st_dev
    for name in of_host:
        host.ask(child, f"stat -c %d /dev/pts/{name}")
    # Writing to every terminal there is reaches the tenant's own alone.
    watcher = host.terminal("student")
    host.ask(child, "for t in /dev/pts/[0-9]*; do echo EV''IL > $t; done")
    assert "EVIL" not in host.ask(watcher, "echo quiet")
    host.leave(watcher)
    host.leave(child)


def test_ptmx_and_console_of_the_host(host, place):
    """No terminal of the host, by number or by name."""
    done = host.ssh("guest", "for t in console tty0 tty1 ttyS0 vcs vcsa input hidraw0; do test -e /dev/$t && echo $t; done; "
                             "readlink /dev/ptmx; stat -f -c %T /dev/pts; ls /dev/pts")
    assert done.stdout.split() == [b"pts/ptmx", b"devpts", b"ptmx"]


SEQUENCES = [b"\x1b]0;evil\x07", b"\x1b[2J", b"\x9b31m", b"\xc2\x9b31m", b"\r\n", b"\xe2\x80\xaetxt", b"\xff\xfe",
             b"\x7f", b'"', b"\\"]


def test_escape_sequences_in_commands_and_names(host, log):
    """Pitfall 41: commands, terminal names and program names, as the log and ispawnctl show them."""
    forged = b"\nsession=root.00000000 event=end cause=forged"
    host.ssh("guest", b": " + b" ".join(SEQUENCES) + forged)
    # bash makes the bytes itself here: the name of a program, and what it calls itself.
    ssh = host.popen("guest", "cp /bin/cat $'/tmp/\\e[31mevil'; echo up; exec -a $'\\e]0;evil\\a' $'/tmp/\\e[31mevil'")
    assert ssh.stdout.readline() == b"up\n"
    for argv in (["list"], ["list", "--json"], ["check"]):
        done = run("ispawnctl", *argv)
        assert done.stdout.isascii() and not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", done.stdout)
    host.end(ssh)
    text = log()
    ours = [line for line in text.splitlines() if "ispawn" in line]
    assert not [line for line in ours if re.search(r"#\d\d\d|[\x00-\x1f\x7f-\x9f\u202e]|\ufffd", line)], ours
    assert not [line for line in text.splitlines() if line.startswith("session=root") or "] session=root" in line]
    assert [line for line in ours if "\\x1b" in line]


def test_a_line_of_the_log_cannot_be_forged_or_flooded(host, log):
    """Pitfall 41: a command of 100 kB is one line, cut."""
    host.ssh("guest", ": " + "A" * 100000)
    lines = [line for line in log().splitlines() if "event=tenant" in line]
    assert len(lines) == 1 and len(lines[0]) < 1000


def test_inside_no_syslog_of_the_host(host, place):
    """Pitfall 41: nobody inside writes a line into the host's log himself."""
    mark = host.log_mark()
    host.ssh("guest", "logger -p auth.crit 'for''ged'; echo 'for''ged' > /dev/log; echo forged | nc.openbsd -Uuw1 /dev/log")
    assert not [line for line in host.log(mark).splitlines() if "forged" in line and "event=tenant" not in line]


def test_output_is_the_tenants_and_nothing_else(host):
    """Pitfall 16: not one byte of ours on stdout, on the way in, at a limit, or at the end of a session."""
    host.guest("memory = 64M", "max_session = 1h")
    done = host.ssh("guest", "printf 'a\\0b'; python3 -c 'bytearray(200 << 20)'; printf 'c\\n'")
    assert done.stdout == b"a\0bc\n"
    assert b"memory" in done.stderr
    host.guest("pids = 20")
    done = host.ssh("guest", "for i in $(seq 40); do sleep 0.2 & done 2>/dev/null; printf x")
    assert done.stdout == b"x"
    for program in ("scp -O", "sftp -b /dev/null"):
        words = program.split()
        target = ["guest@localhost"] if words[0] == "sftp" else ["/etc/hostname", "guest@localhost:h"]
        assert run(*words, "-o", "BatchMode=yes", *target).returncode == 0


def test_hangup_leaves_no_terminal_behind(host):
    """A client that vanishes with its window: no process, no pty, no cgroup (the fixture looks)."""
    before = set(os.listdir("/dev/pts"))
    child = host.terminal("guest", options=["-o", "ServerAliveInterval=0"])
    host.ask(child, "trap '' HUP TERM; (trap '' HUP TERM; sleep 1000) & disown")
    child.close(force=True)
    assert not host.wait_clean()
    assert set(os.listdir("/dev/pts")) <= before


def test_zombies_and_signals_at_pid_1(host):
    """Pitfall 23: orphans are reaped, and PID 1 is no shell that ignores what it is told."""
    script = "for i in $(seq 50); do (sleep 0.01 &) ; done; (setsid sh -c 'sleep 0.05 & exit' &); sleep 0.5; " \
             "cat /proc/[0-9]*/stat | grep -c ') Z '; cat /proc/1/comm; grep -E 'SigIgn' /proc/1/status"
    lines = host.ssh("guest", script).stdout.decode().split("\n")
    assert lines[:2] == ["0", "ispawn-init"]
    with host.open_session("guest"):
        init, = host.pids("ispawn-init")
        assert pathlib.Path(f"/proc/{init}/stat").read_text().split(") ")[1][0] in "SR"
        assert cgroup_roots()


def test_what_a_denied_user_is_told(host):
    """Pitfalls 13, 41: a sentence and an id, on the way to nobody's terminal but his; no path, no cause."""
    host.guest("template = nowhere")
    child = host.terminal("guest", "id")
    child.expect(pexpect.EOF)
    assert re.search(r"guest\.[0-9a-f]{8}", child.before)
    assert "/var/lib" not in child.before and "nowhere" not in child.before and "\x1b" not in child.before
