# SPDX-License-Identifier: GPL-3.0-or-later
"""Variables, dot files of the host's home, names and shells: what a client or an account file can say.

The test host's sshd accepts LD_PRELOAD, BASH_ENV, ENV, PATH and ISPAWN_SESSION from clients, and reads
~/.ssh/environment and ~/.ssh/rc, as careless configurations do.
"""
import contextlib
import os
import pathlib
import pwd
import shutil
import subprocess

import pytest

from host import run

PLANTED = {"LD_PRELOAD": "/tmp/evil.so", "LD_AUDIT": "/tmp/evil.so", "LD_LIBRARY_PATH": "/tmp", "BASH_ENV": "/tmp/evil.sh",
           "ENV": "/tmp/evil.sh", "PATH": "/tmp/evil.d:/usr/bin:/bin"}
TRACE = pathlib.Path("/tmp/evil-was-here")
CONSTRUCTOR = '#include <fcntl.h>\n__attribute__((constructor)) static void run(void) ' \
              '{ open("/tmp/evil-was-here", O_CREAT | O_WRONLY, 0666); }'


@pytest.fixture(name="evil")
def make_evil(compile_shared):
    """On the host, readable for all: a library and a script that leave a trace when they run."""
    pathlib.Path("/tmp/evil.so").write_bytes(compile_shared(CONSTRUCTOR))
    pathlib.Path("/tmp/evil.sh").write_text(f": > {TRACE}\n")
    pathlib.Path("/tmp/evil.d").mkdir(exist_ok=True)
    for name in ("sh", "bash", "id", "ispawn-shell", "ispawn-supervisor", "sftp-server"):
        path = pathlib.Path("/tmp/evil.d") / name
        path.write_text(f"#!/bin/sh\n: > {TRACE}\n")
        path.chmod(0o755)
    TRACE.unlink(missing_ok=True)
    yield
    for path in (TRACE, pathlib.Path("/tmp/evil.so"), pathlib.Path("/tmp/evil.sh")):
        path.unlink(missing_ok=True)
    shutil.rmtree("/tmp/evil.d")


def by_client(host, user, name, value):
    """Sent by SetEnv, so that it does not act on our own ssh."""
    return host.ssh(user, "id -un; bash -c :; env", options=["-o", f"SetEnv={name}={value}"])


@contextlib.contextmanager
def by_file(user, text, name="environment"):
    """In the ~/.ssh of the host's home."""
    path = pathlib.Path(pwd.getpwnam(user).pw_dir) / ".ssh" / name
    path.write_text(text)
    shutil.chown(path, user)
    try:
        yield path
    finally:
        path.unlink()


@pytest.mark.parametrize("name", ["LD_PRELOAD", "BASH_ENV", "ENV", "PATH", "LD_LIBRARY_PATH"])
@pytest.mark.parametrize("user", ["guest", "shelly"])
def test_acceptenv(host, evil, user, name):
    """Pitfall 6: neither ispawn-shell nor anything on the host obeys them, and they do not arrive inside."""
    done = by_client(host, user, name, PLANTED[name])
    assert done.stdout.startswith(user.encode() + b"\n"), done
    assert PLANTED[name].encode() not in done.stdout
    assert not TRACE.exists()


def test_acceptenv_tells(host, evil):
    """Unconfined, the same reaches a program that runs on the host."""
    for name in ("LD_PRELOAD", "BASH_ENV"):
        TRACE.unlink(missing_ok=True)
        by_client(host, "free", name, PLANTED[name])
        assert TRACE.exists(), name


@pytest.mark.parametrize("user", ["guest", "shelly"])
def test_permit_user_environment(host, evil, user):
    """Pitfalls 6, 7: the same by ~/.ssh/environment, which a host home that the user can write would hold."""
    text = "".join(f"{name}={value}\n" for name, value in PLANTED.items())
    with by_file(user, text + "ISPAWN_SESSION=student.00000000\nHOME=/root\nUSER=root\nSHELL=/tmp/evil.d/sh\n"):
        done = host.ssh(user, "id -un; echo $HOME $USER; env; test -e /etc/ispawn-template && echo inside")
    lines = done.stdout.decode().splitlines()
    assert lines[:2] == [user, f"/home/{user} {user}"] and lines[-1] == "inside", done
    assert "evil" not in done.stdout.decode()
    assert not TRACE.exists()


@pytest.mark.parametrize("user", ["guest", "shelly"])
def test_ssh_rc_runs_inside_or_not_at_all(host, user):
    """Pitfalls 5, 7: sshd starts it through the user's shell, and that is ours."""
    with by_file(user, f": > {TRACE}\n", "rc"):
        done = host.ssh(user, "echo up")
        assert done.stdout == b"up\n"
        assert not TRACE.exists()
    with by_file("free", f": > {TRACE}\n", "rc"):
        host.ssh("free", "true")
        assert TRACE.exists()
    TRACE.unlink()


def test_ssh_rc_of_the_private_home_runs_inside(host):
    """Pitfall 7: what the user plants in his own home takes effect there only."""
    host.sh("guest", f"mkdir -p ~/.ssh; echo 'id -un > {TRACE}; touch ~/rc-ran' > ~/.ssh/rc")
    with by_file("guest", "exit 0\n", "rc"):
        host.sh("guest", "true")
    assert not TRACE.exists()
    assert host.ssh("guest", "rm ~/rc-ran && echo ran; rm -r ~/.ssh").stdout == b"ran\n"


@pytest.mark.parametrize("how", ["SetEnv", "file", "by hand"])
def test_session_of_another_user(host, how):
    """Pitfalls 6, 12: ISPAWN_SESSION is an id and no right; the socket's owner decides."""
    with host.open_session("student"):
        other, = host.sessions()
        if how == "SetEnv":
            done = host.ssh("guest", "id -un; echo $ISPAWN_SESSION", options=["-o", f"SetEnv=ISPAWN_SESSION={other}"])
        elif how == "file":
            with by_file("guest", f"ISPAWN_SESSION={other}\n"):
                done = host.ssh("guest", "id -un; echo $ISPAWN_SESSION")
        else:
            done = subprocess.run(["ispawn-shell", "-c", "id -un"], user="guest", group="guest", extra_groups=[],
                                  env={"ISPAWN_SESSION": other}, capture_output=True, check=False)
            assert (done.returncode, done.stdout) == (125, b""), done
    assert b"student" not in done.stdout and other.encode() not in done.stdout


ARGV0 = ["ispawn-shell", "-ispawn-shell", "-su", "-bash", "sh", "", "su", "/bin/../bin/sh", "sshd: guest@notty",
         "x" * 3000, "\x1b]0;evil\x07", "--", "-c"]


def test_argv0_variants(host):
    """Pitfall 12: the name it is called by changes nothing; $USER and $SHELL lie in vain."""
    with host.open_session("shelly"):
        session, = host.sessions()
        lies = {"ISPAWN_SESSION": session, "USER": "root", "LOGNAME": "root", "HOME": "/root", "SHELL": "/bin/sh"}
        for name in ARGV0:
            done = subprocess.run([name, "-c", "id -un; test -e /etc/ispawn-template && echo inside"],
                                  executable="/usr/bin/ispawn-shell", user="shelly", group="shelly", extra_groups=[],
                                  env=lies, capture_output=True, check=False, stdin=subprocess.DEVNULL)
            assert done.stdout == b"shelly\ninside\n", (name[:20], done)
        # Without a session: no name makes it a host shell.
        for name in ARGV0:
            done = subprocess.run([name, "-c", "id -un"], executable="/usr/bin/ispawn-shell", user="shelly",
                                  group="shelly", extra_groups=[], env={}, capture_output=True, check=False)
            assert (done.returncode, done.stdout) == (125, b""), name[:20]


@pytest.mark.parametrize("shell", ["/bin/dash", "/usr/bin/python3", "/usr/bin/rbash", "/bin/sh"])
def test_chsh_away(host, shell):
    """Pitfall 11: another shell in the passwd database does not lead out; the policy confines, not the shell."""
    with host.restore("/etc/passwd"):
        run("usermod", "--shell", shell, "shelly")
        assert pwd.getpwnam("shelly").pw_shell == shell
        done = host.ssh("shelly", "print(open('/etc/ispawn-template').read())" if "python" in shell else
                        "cat /etc/ispawn-template")
        if done.returncode == 0:
            assert b"this is the template" in done.stdout, done
        assert host.su("shelly", "-c", "hostname").stdout != "testhost\n"


def test_a_shell_that_the_host_lacks(host):
    """Pitfall 11: nothing to cover is no reason to go on without."""
    with host.restore("/etc/passwd"):
        run("usermod", "--shell", "/no/such/shell", "guest")
        done = host.ssh("guest", "test -e /etc/ispawn-template && echo inside || echo outside")
        assert done.stdout != b"outside\n" and (done.returncode != 0 or done.stdout == b"inside\n")


@pytest.mark.parametrize("command", [
    "scp -S /tmp/evil.sh -f /etc/hostname", "scp -f x; hostname", "scp x; bash -c hostname", "scp -t $(hostname >&2)",
    "sftp-server; hostname", "/usr/lib/openssh/sftp-server;hostname", "internal-sftp; hostname", "rsync --server; hostname",
    "git-upload-pack 'x'; hostname", "scp\nhostname", "exec hostname #sftp-server", "-c hostname", "hostname | cat"])
def test_commands_that_look_like_file_transfers(host, evil, command):
    """Pitfall 2: no string is treated specially; every -c goes inside."""
    done = host.ssh("guest", command, timeout=20)
    # Inside, the place is called guest-testhost.
    assert b"testhost" not in (done.stdout + done.stderr).split(), done
    assert not TRACE.exists()
    done = host.ssh("shelly", command, timeout=20)
    assert b"testhost" not in (done.stdout + done.stderr).split()


@pytest.mark.parametrize("name", ["sftp;id", "sftp\nid", "../bin/sh", "shell"])
def test_subsystems_by_odd_names(host, name):
    """Pitfall 2: what sshd does not know is not started, and no shell sees the name."""
    done = subprocess.run(["ssh", "-o", "BatchMode=yes", "-s", "guest@localhost", name], input=b"", capture_output=True,
                          timeout=30, check=False)
    assert done.returncode != 0 and b"uid=" not in done.stdout


def test_private_home_plants_nothing_on_the_host(host):
    """Pitfall 7: user units, forward files, crontabs, keys and profiles of the container stay in the store."""
    before = sorted(os.listdir("/home/guest"))
    host.sh("guest", "mkdir -p ~/.config/systemd/user ~/.config/autostart ~/.ssh; echo x > ~/.forward; echo x > ~/.rhosts; "
                     "echo 'ssh-ed25519 AAAA evil' > ~/.ssh/authorized_keys; echo x > ~/.bash_profile; "
                     "echo x > ~/.pam_environment")
    assert sorted(os.listdir("/home/guest")) == before
    assert "evil" not in pathlib.Path("/home/guest/.ssh/authorized_keys").read_text()
    host.sh("guest", "rm -rf ~/.config ~/.forward ~/.rhosts ~/.ssh ~/.bash_profile ~/.pam_environment")
