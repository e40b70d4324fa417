# SPDX-License-Identifier: GPL-3.0-or-later
"""What people do in a login: their editors, pagers, multiplexers and tools just work."""
import os
import pathlib
import re
import socket
import subprocess

import pexpect
import pytest

from host import run

GIT = {"GIT_SSH_COMMAND": "ssh -o BatchMode=yes -o LogLevel=ERROR", "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b",
       "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b", "GIT_CONFIG_GLOBAL": "/dev/null"}


@pytest.fixture(name="term")
def make_term(host):
    child = host.terminal("guest")
    yield child
    child.close(force=True)


def test_vim_edits_and_leaves_the_terminal_as_it_was(host, term):
    before = host.ask(term, "stty -g")
    host.sh("guest", "rm -f note")
    term.sendline("vim.tiny -u NONE note")
    # Its screen is drawn and the cursor shown in its first line: what is typed before may be lost.
    term.expect_exact("\x1b[1;1H\x1b[?25h")
    term.send("iwritten in vim\x1b:wq\r")
    term.expect_exact("READY> ")
    assert host.ask(term, "cat note; rm note") == "written in vim"
    assert host.ask(term, "stty -g") == before


def test_less_pages_and_searches(host, term):
    term.sendline("seq 1000 | less")
    term.expect_exact("1\r\n2")
    term.send("/777\r")
    term.expect("777")
    term.send("q")
    term.expect_exact("READY> ")


def test_tmux_survives_a_detach_in_one_login(host, term):
    term.sendline("tmux -f /dev/null new -s work 'echo inside; exec bash --norc'")
    term.expect("inside")
    term.send("\x02d")
    term.expect_exact("detached (from session work)")
    term.expect_exact("READY> ")
    assert "work: 1 windows" in host.ask(term, "tmux ls")
    assert host.ask(term, "tmux kill-server; echo gone") == "gone"


def test_tmux_outlives_the_connection_where_the_policy_says_so(host):
    # A later login gets a container of its own, so what a lingering one shows is its work going on.
    host.guest("on_logout = linger")
    host.sh("guest", "tmux -f /dev/null new -d 'sleep 2; echo finished > ~/tmux-was-here'")
    assert len(host.sessions()) == 1
    assert not host.wait_clean(15)
    assert host.sh("guest", "cat ~/tmux-was-here; rm ~/tmux-was-here") == "finished"


def test_su_and_sudo_inside(host):
    host.guest("privilege = sudo")
    assert host.sh("guest", "sudo -n id -un; sudo -n su nobody -s /bin/sh -c 'id -un'") == "root\nnobody"
    host.guest()
    done = host.ssh("guest", "sudo -n id")
    assert done.returncode != 0 and b"uid=0" not in done.stdout


def test_passwd_says_what_is_the_matter(host):
    # The account has no password inside to change: said at once, not asked for.
    done = host.ssh("guest", "passwd")
    assert done.returncode != 0
    assert done.stderr


def test_git_over_ssh(host, tmp_path):
    host.sh("guest", "rm -rf repo.git; git init -q --bare repo.git")
    env = {**os.environ, **GIT}

    def git(*argv, cwd=tmp_path):
        done = subprocess.run(["git", *argv], cwd=cwd, env=env, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done
        return done.stdout

    work = tmp_path / "work"
    git("clone", "-q", "ssh://guest@localhost/home/guest/repo.git", str(work))
    (work / "file").write_bytes(os.urandom(300000))
    git("add", "file", cwd=work)
    git("commit", "-qm", "one", cwd=work)
    git("push", "-q", "origin", "HEAD:main", cwd=work)
    again = tmp_path / "again"
    git("clone", "-q", "-b", "main", "ssh://guest@localhost/home/guest/repo.git", str(again))
    assert (again / "file").read_bytes() == (work / "file").read_bytes()
    host.sh("guest", "rm -rf repo.git")


@pytest.mark.parametrize("tty", [False, True])
def test_python_fed_on_stdin(host, tty):
    # Ansible's way: a program on stdin, its answer on stdout.
    done = host.ssh("guest", "python3 -", tty=False, input="import os; print(os.isatty(1), 6 * 7)\n") if not tty else \
        host.ssh("guest", "python3 -c 'import os; print(os.isatty(1), 6 * 7)'", tty=True)
    assert done.returncode == 0
    assert done.stdout.decode().split() == [str(tty), "42"]


def test_an_editors_remote_agent(host):
    # Copied over, started by sh -c, and spoken to over stdin for as long as the editor runs.
    agent = "import sys\nprint('agent up', flush=True)\nfor line in sys.stdin:\n    print(line.strip()[::-1], flush=True)\n"
    pathlib.Path("/tmp/agent.py").write_text(agent)
    assert run("scp", "-q", "-o", "BatchMode=yes", "/tmp/agent.py", "guest@localhost:.agent.py").returncode == 0
    ssh = host.popen("guest", "sh -c 'exec python3 $HOME/.agent.py'")
    assert ssh.stdout.readline() == b"agent up\n"
    for word in (b"abc", b"\xc3\xa4x", b"z" * 5000):
        ssh.stdin.write(word + b"\n")
        ssh.stdin.flush()
        assert ssh.stdout.readline().strip() == word.decode()[::-1].encode()
    host.end(ssh)
    assert ssh.returncode == 0
    host.sh("guest", "rm .agent.py")


MOSH = ["network = host", "on_logout = linger"]


def start_mosh_server(host):
    """As mosh(1) does, by ssh, which ends at once: (port, key)."""
    told = host.sh("guest", "mosh-server new -i 127.0.0.1 -p 60001 -l LANG=C.UTF-8")
    port, key = re.search(r"^MOSH CONNECT (\d+) (\S+)$", told, re.MULTILINE).groups()
    return int(port), key


def is_answered(port):
    """Is somebody there on the host's loopback?  A datagram to nobody comes back as an error."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", port))
        sock.settimeout(1)
        sock.send(b"hello")
        try:
            sock.recv(1)
        except ConnectionRefusedError:
            return False
        except TimeoutError:
            return True
    return True


def test_mosh_survives_its_ssh_where_the_policy_says_so(host):
    host.guest(*MOSH)
    port, key = start_mosh_server(host)
    assert len(host.sessions()) == 1
    child = host.spawn("mosh-client", "127.0.0.1", str(port), env={"MOSH_KEY": key, "LANG": "C.UTF-8"})
    child.expect(r"\$ ")
    child.sendline("cat /etc/ispawn-tem''plate; echo pid-$(ps -o comm= -p 1)")
    child.expect("this is the template")
    child.expect("pid-ispawn-init")
    child.sendline("exit")
    child.expect(pexpect.EOF)
    child.close()
    # Its last process was the server.
    assert not host.wait_clean(15)


def test_mosh_as_people_call_it(host):
    host.guest(*MOSH)
    child = host.spawn("mosh", "--ssh=ssh -o BatchMode=yes", "guest@localhost", env={"LANG": "C.UTF-8"})
    child.expect(r"\$ ")
    child.sendline("echo in-$(cat /etc/ispawn-tem''plate)")
    child.expect("in-this is the template")
    child.setwinsize(30, 100)
    child.sendline("stty size")
    child.expect("30 100")
    child.sendline("exit")
    child.expect(pexpect.EOF)
    child.close()
    assert not host.wait_clean(15)


def test_mosh_ends_with_its_ssh_where_nothing_may_linger(host):
    host.guest("network = host")
    port, _ = start_mosh_server(host)
    assert not host.wait_clean(15)
    assert not is_answered(port)


def test_mosh_reaches_nobody_without_a_network(host):
    host.guest("network = none", "on_logout = linger")
    port, _ = start_mosh_server(host)
    assert len(host.sessions()) == 1
    assert not is_answered(port)
    assert run("ispawnctl", "kill", "guest").returncode == 0
    assert not host.wait_clean(15)


def test_agent_forwarding_stays_outside(host):
    # sshd makes the agent's socket on the host, where a login that is confined cannot reach it.
    subprocess.run(["ssh-agent", "-a", "/tmp/agent.sock"], check=True, capture_output=True)
    try:
        done = host.ssh("guest", "echo sock=$SSH_AUTH_SOCK", options=["-A"], env={"SSH_AUTH_SOCK": "/tmp/agent.sock"})
        assert done.stdout == b"sock=\n"
    finally:
        run("pkill", "-x", "ssh-agent")


def test_a_window_of_another_size(host):
    child = host.terminal("guest", size=(50, 132))
    assert host.ask(child, "stty size") == "50 132"
    child.sendline("vim.tiny -u NONE")
    child.setwinsize(20, 60)
    child.send(":!stty size\r")
    child.expect("20 60")
    child.send("\r:q!\r")
    child.expect_exact("READY> ")
    assert host.leave(child) == 0


def test_less_with_a_broken_pipe_ends_quietly(host):
    done = host.ssh("guest", "yes | head -n 100000 | tail -n 1")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"y\n", b"")


def test_a_prompt_in_each_shell_that_the_template_has(host):
    host.guest("shell = /bin/sh")
    child = host.terminal("guest", "exec sh")
    child.expect(r"\$ ")
    child.sendline("echo $0")
    child.expect("sh")
    child.sendline("exit")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
