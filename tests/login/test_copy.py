# SPDX-License-Identifier: GPL-3.0-or-later
"""The user's copy of the template, his home, and what is shared between his logins."""
import os
import socket
import subprocess
import time

import pytest

from host import STORE, run

# A full copy waits for the disk, which other tests may be writing to.
PATIENT = "start_timeout = 5m"


@pytest.mark.parametrize("mode", ["overlay", "copy"])
def test_what_is_written_stays(host, clean_store, mode):
    clean_store("guest")
    host.guest(f"rootfs = {mode}", "privilege = sudo", PATIENT)
    host.sh("guest", "sudo -n sh -c 'echo kept > /etc/kept; rm /etc/ispawn-template; mkdir /opt/new'")
    assert host.sh("guest", "cat /etc/kept; test ! -e /etc/ispawn-template; ls -d /opt/new") == "kept\n/opt/new"
    clean_store("guest")


def test_ephemeral_forgets(host, clean_store):
    clean_store("guest")
    host.guest("rootfs = ephemeral", "privilege = sudo")
    host.sh("guest", "sudo -n sh -c 'echo gone > /etc/gone; rm /etc/ispawn-template'; test -e /etc/gone")
    assert host.sh("guest", "test ! -e /etc/gone && cat /etc/ispawn-template") == "this is the template"
    clean_store("guest")


def test_ephemeral_is_bounded(host):
    host.guest("rootfs = ephemeral", "ephemeral_size = 16M", "privilege = sudo")
    done = host.ssh("guest", "sudo -n dd if=/dev/zero of=/opt/full bs=1M count=64")
    assert b"No space left" in done.stderr


def test_readonly_refuses_writes_even_of_root(host):
    host.guest("rootfs = readonly", "privilege = sudo")
    done = host.ssh("guest", "sudo -n touch /etc/x || sudo -n touch /x; cat /etc/ispawn-template")
    assert b"Read-only file system" in done.stderr
    assert done.stdout == b"this is the template\n"


@pytest.mark.parametrize("mode", ["overlay", "copy", "ephemeral", "readonly"])
def test_every_kind_of_copy_gives_a_working_login(host, mode):
    host.guest(f"rootfs = {mode}", PATIENT)
    assert host.sh("guest", "id -un; hostname >/dev/null && touch ~/f /tmp/f && echo works") == "guest\nworks"
    child = host.terminal("guest")
    assert host.ask(child, "tty").startswith("/dev/pts/")
    host.leave(child)


@pytest.mark.parametrize("mode", ["overlay", "copy", "ephemeral"])
def test_template_is_never_written_to(host, mode, clean_store):
    clean_store("guest")
    host.guest(f"rootfs = {mode}", "privilege = sudo", PATIENT)
    template = STORE / "templates/default/rootfs"
    before = os.stat(template / "etc/passwd")
    host.sh("guest", "sudo -n useradd fresh; sudo -n chown 5:5 /etc/fstab; sudo -n touch /etc/passwd")
    after = os.stat(template / "etc/passwd")
    assert (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size)
    assert "fresh" not in (template / "etc/passwd").read_text()
    assert (template / "etc/ispawn-template").read_text() == "this is the template\n"
    clean_store("guest")


def test_two_users_see_nothing_of_each_other(host):
    host.config("[defaults]\nconfine = yes\nprivilege = sudo\n[user free]\nconfine = no\n")
    host.sh("guest", "sudo -n touch /etc/of-guest; touch /tmp/of-guest")
    assert host.ssh("student", "ls /etc/of-guest /tmp/of-guest /home/guest").stdout == b""
    with host.open_session("guest"):
        assert "cat" not in host.sh("student", "ps ax -o args").split()
    host.sh("guest", "sudo -n rm /etc/of-guest")


def test_parallel_logins_share_the_copy_and_the_home(host):
    host.guest("privilege = sudo")
    with host.open_session("guest"):
        with host.open_session("guest"):
            host.sh("guest", "echo one > ~/shared; sudo -n sh -c 'echo two > /opt/shared'")
            assert host.sh("guest", "cat ~/shared /opt/shared") == "one\ntwo"
            host.sh("guest", "rm ~/shared; sudo -n rm /opt/shared")


def overlays_warned_of(host):
    def count():
        return run("dmesg").stdout.count("in-use as upperdir")

    before = count()
    for _ in range(20):
        assert host.su("guest", "-c", "true").returncode == 0
    return count() - before


def test_parallel_logins_have_one_overlay(host):
    # pitfall 33: two mounts on one upper layer are undefined; st_dev tells mounts apart, and the
    # kernel warns of a second one, but does not refuse it
    with host.open_session("guest"):
        first = host.sh("guest", "stat -c %d /")
        with host.open_session("guest"):
            assert host.sh("guest", "stat -c %d /") == first
    # The kernel's log is the whole machine's, where other tests may kill supervisors just now.
    assert any(overlays_warned_of(host) == 0 for _ in range(3))


def test_overlay_outlives_the_login_that_made_it(host):
    first = host.session("guest")
    second = host.session("guest")
    host.end(first)
    time.sleep(0.3)
    second.stdin.write(b"still\n")
    second.stdin.flush()
    assert second.stdout.readline() == b"still\n"
    assert host.sh("guest", "touch ~/x && echo ok") == "ok"
    host.end(second)


@pytest.mark.parametrize("mode", ["overlay", "copy"])
def test_ten_first_logins_at_once(host, clean_store, mode):
    clean_store("guest")
    host.guest(f"rootfs = {mode}", "sessions = 20", PATIENT)
    logins = [host.popen("guest", f"echo {n} > ~/n{n}; stat -c %d /; ls -a ~ | grep -c bashrc; sleep 1")
              for n in range(10)]
    answers = []
    for ssh in logins:
        out, err = ssh.communicate(timeout=90)
        assert ssh.returncode == 0, err
        answers.append(out)
    if mode == "overlay":
        assert len(set(answers)) == 1, answers
    assert host.sh("guest", "ls ~ | grep -c '^n[0-9]'") == "10"
    clean_store("guest")


def test_private_home_starts_from_the_templates_skeleton(host, clean_store):
    clean_store("guest")
    assert set(host.sh("guest", "ls -A").split()) >= {".bashrc", ".profile"}
    assert host.sh("guest", "stat -c %U:%G . .bashrc").split() == ["guest:guest", "guest:guest"]
    host.sh("guest", "echo mine > note")
    assert host.sh("guest", "cat note") == "mine"


def test_private_home_is_not_the_hosts(host):
    # pitfall 7: what is planted here must not take effect on the host
    host.sh("guest", "mkdir -p .ssh .config/systemd/user; echo evil > .ssh/authorized_keys; echo x > .forward")
    assert not os.path.exists("/home/guest/.forward")
    assert not os.path.exists("/home/guest/.config/systemd/user")
    assert "evil" not in open("/home/guest/.ssh/authorized_keys", encoding="ascii").read()
    host.sh("guest", "rm -rf .ssh .config .forward")


def test_bound_home_is_the_hosts(host):
    host.guest("home = bind")
    assert host.sh("guest", "cat host-home-marker; echo written > from-inside") == "this is guest's home on the host"
    path = "/home/guest/from-inside"
    assert open(path, encoding="ascii").read() == "written\n"
    assert os.stat(path).st_uid == os.stat("/home/guest").st_uid
    os.unlink(path)


def test_tmpfs_home_forgets(host):
    host.guest("home = tmpfs")
    assert host.sh("guest", "touch note; stat -f -c %T .; stat -c %U .").split() == ["tmpfs", "guest"]
    assert host.ssh("guest", "ls note").returncode != 0


def test_tmp_and_run_are_sized(host):
    host.guest("tmp_size = 16M")
    done = host.ssh("guest", "dd if=/dev/zero of=/tmp/full bs=1M count=64; stat -f -c %T /tmp /run /dev/shm")
    assert b"No space left" in done.stderr
    assert done.stdout.split() == [b"tmpfs"] * 3


def test_binds_show_host_directories(host):
    os.makedirs("/srv/data", exist_ok=True)
    os.makedirs("/srv/results", exist_ok=True)
    subprocess.run("echo shown > /srv/data/file; chmod 1777 /srv/results", shell=True, check=True)
    host.guest("bind = /srv/data:/data:ro, /srv/results")
    assert host.sh("guest", "cat /data/file; echo r > /srv/results/r; cat /srv/results/r") == "shown\nr"
    assert b"Read-only" in host.ssh("guest", "touch /data/x").stderr
    assert os.path.exists("/srv/results/r")
    os.unlink("/srv/results/r")


def test_a_bind_that_holds_a_socket_is_refused(host, log):
    # pitfall 10: a host daemon's socket is execution on the host, read-only or not
    os.makedirs("/srv/sockets", exist_ok=True)
    server = socket.socket(socket.AF_UNIX)
    server.bind("/srv/sockets/docker.sock")
    try:
        host.guest("bind = /srv/sockets:/srv/sockets:ro")
        done = host.ssh("guest", "id")
        assert done.returncode != 0
        assert b"uid=" not in done.stdout
        assert "/srv/sockets" in log()
        assert "sockets and devices of the host do not go inside" in log()
    finally:
        server.close()
        os.unlink("/srv/sockets/docker.sock")


def test_store_is_closed_to_users(host):
    host.sh("guest", "true")
    assert oct(os.stat(STORE).st_mode & 0o777) == "0o700"
    assert os.stat(STORE).st_uid == 0
    assert host.ssh("free", f"ls {STORE}/users").returncode != 0


def test_hosts_mount_table_shows_nothing(host):
    # pitfall 36: backups and `rm -rf` on the host must not walk into containers
    before = host.mounts()
    with host.open_session("guest"), host.open_session("student"):
        assert host.mounts() == before
