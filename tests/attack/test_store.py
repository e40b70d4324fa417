# SPDX-License-Identifier: GPL-3.0-or-later
"""A user's copy turned hostile: what its names point at when the next login is built in it.

The promise: the next login comes up, or is denied with a line in the log, within the deadline, and
nothing outside the container is read, written, made or removed.  The copy is made hostile by the
root inside where he can, and directly in the user's layer, as if he had found a way.
"""
import os
import pathlib
import shutil
import signal
import socket
import stat
import time

import pytest

from conftest import LAYER, MARK, PLACES
from host import STORE, run

UP = "../" * 12
# Each of these stands where the builder is going to attach or write something.
TARGETS = ["proc", "sys", "dev", "run", "tmp", "etc", "home", "home/guest", "data", "etc/passwd", "etc/group",
           "etc/hosts", "etc/hostname", "etc/machine-id", "etc/resolv.conf", "etc/passwd.ispawn", "etc/hosts.ispawn"]
DIRECTORIES = {"proc", "sys", "dev", "run", "tmp", "etc", "home", "home/guest", "data"}
SOME_DIRECTORIES = {"proc", "dev", "etc", "data"}  # where it is no link, one is like the other
OUTSIDE = pathlib.Path("/srv/outside")


def remove(path):
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def plant_link(target):
    def plant(path):
        path.symlink_to(target)
    return plant


def plant_socket(path):
    with socket.socket(socket.AF_UNIX) as server:
        fd = os.open(path.parent, os.O_PATH)
        server.bind(f"/proc/self/fd/{fd}/{path.name}")
        os.close(fd)


def plant_device(path):
    os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))


def plant_other_kind(path):
    """A file where a directory should be, and the other way round."""
    if str(path.relative_to(LAYER)) in DIRECTORIES:
        path.write_text("no directory\n")
    else:
        path.mkdir()


def plant_loop(path):
    path.symlink_to(path.name)


def plant_huge(path):
    with path.open("wb") as file:
        file.truncate(1 << 40)


KINDS = {
    "relative link": plant_link(UP + "proc/1/root/srv/outside"),
    "absolute link": plant_link("/srv/outside"),
    "link to a file": plant_link(UP + "srv/outside/file"),
    "link to nowhere": plant_link("/srv/outside/new"),
    "link to itself": plant_loop,
    "FIFO": os.mkfifo,
    "socket": plant_socket,
    "device": plant_device,
    "other kind": plant_other_kind,
    "huge sparse file": plant_huge,
}


def outside_state():
    """Everything the copy's links point at on the host, and what a builder might confuse with it."""
    found = {}
    for path in (OUTSIDE, OUTSIDE / "file", OUTSIDE / "directory", *map(pathlib.Path, (
            "/etc/passwd", "/etc/group", "/etc/hosts", "/etc/hostname", "/etc/machine-id", "/etc/resolv.conf"))):
        if path.exists():
            info = path.stat()
            found[path] = (info.st_mode, info.st_uid, info.st_ino, info.st_mtime_ns,
                           sorted(os.listdir(path)) if path.is_dir() else path.read_bytes())
    return found


@pytest.fixture(name="outside")
def make_outside():
    """A directory of the host that everybody may write to: a link that led there would leave traces."""
    shutil.rmtree(OUTSIDE, ignore_errors=True)
    (OUTSIDE / "directory").mkdir(parents=True)
    (OUTSIDE / "file").write_text("root:x:0:0::/:/bin/sh\n")
    for path in (OUTSIDE, OUTSIDE / "file", OUTSIDE / "directory"):
        path.chmod(0o777)
    before = outside_state()
    yield OUTSIDE
    assert outside_state() == before


@pytest.fixture(name="fresh_layer")
def make_fresh_layer(host, clean_store):
    clean_store("guest")
    host.guest("bind = /srv/attacked:/data", "start_timeout = 5s")
    pathlib.Path("/srv/attacked").mkdir(exist_ok=True)
    host.sh("guest", "true")
    assert not host.wait_clean()
    yield
    clean_store("guest")


def log_in(host, log):
    """A login that comes up, or is denied within the deadline and with its cause in the log."""
    mark, start = host.log_mark(), time.monotonic()
    done = host.ssh("guest", f"test ! -e {MARK} && stat -f -c %T /proc && stat -c %t:%T /dev/null && id -u", timeout=20)
    assert time.monotonic() - start < 15
    text = host.log(mark)
    if done.returncode != 0:
        assert b"uid" not in done.stdout and b"proc" not in done.stdout, done
        assert any("ispawn" in line and "stage=" in line for line in text.splitlines()), (done, text)
        # Denied for what it is, and not because the builder hung on it.
        assert "stage=deadline" not in text and "start_timeout" not in text, text
        return False
    assert done.stdout.split() == [b"proc", b"1:3", b"1001"], done
    return True


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.replace(" ", "-"))
def test_cve_2021_30465_targets_in_the_copy(host, log, outside, fresh_layer, kind):
    """Pitfalls 29, 31, 32 (CVE-2025-52565, CVE-2025-52881, CVE-2019-16884, CVE-2024-22365): each target by itself."""
    came_up = {}
    for name in TARGETS:
        if "link" not in kind and name in DIRECTORIES - SOME_DIRECTORIES:
            continue
        path = LAYER / name
        saved = path.with_name(path.name + ".saved")
        path.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(path):
            os.rename(path, saved)
        KINDS[kind](path)
        try:
            came_up[name] = log_in(host, log)
            assert not host.wait_clean(), name
        finally:
            remove(path)
            if os.path.lexists(saved):
                os.rename(saved, path)
    # A tree that is whole again is a login again: nothing was left behind by the denials.
    assert log_in(host, log)
    # Where files are written anew, a link is replaced and not followed.
    assert came_up["etc/hosts.ispawn"] or kind == "other kind", came_up


def test_cve_2021_30465_while_logins_are_built(host, outside, fresh_layer):
    """Pitfall 29: root inside swaps directories for links as fast as he can while other logins of his start."""
    host.guest("bind = /srv/attacked:/data", "privilege = root")
    # What fits a shell: renames of one's own /data, /opt, /etc/hosts.
    racer = host.popen("guest", f"mkdir -p /data.d; ln -s {UP}srv/outside /data.l; ln -s {UP}srv/outside/file /h.l; "
                                "cp /etc/hosts /h.f; echo up; while :; do mv -T /h.l /etc/hosts; ln -s "
                                f"{UP}srv/outside/file /h.l; mv -T /etc/hostname /n; ln -s {UP}srv/outside/file "
                                "/etc/hostname; rm -f /etc/hosts.ispawn; ln -s /srv/outside/new /etc/hosts.ispawn; "
                                "rm -f /etc/hostname; mkfifo /etc/hostname; rm /etc/hostname; done 2>/dev/null")
    assert racer.stdout.readline() == b"up\n"
    answers = set()
    for _ in range(15):
        done = host.ssh("guest", "echo in", timeout=30)
        answers.add(done.stdout.split()[:1] == [b"in"])
        assert b"root:x:0:0::/:/bin/sh" not in done.stdout
    racer.kill()
    racer.communicate()
    assert True in answers, "no login came up at all"


@pytest.mark.parametrize("how", ["by root inside", "directly"])
def test_names_that_programs_trust(host, outside, fresh_layer, how):
    """Pitfalls 18, 29: skeleton, shells and profile as links to the host; nothing of it is read from outside."""
    names = {"etc/skel": "/srv/outside", "opt": UP + "srv", "root": "/root", "var/lib": "/var/lib", "usr/libexec": "/usr"}
    host.guest("privilege = root")
    if how == "directly":
        for name, target in names.items():
            remove(LAYER / name)
            (LAYER / name).parent.mkdir(parents=True, exist_ok=True)
            (LAYER / name).symlink_to(target)
    else:
        script = "; ".join(f"mv /{name} /{name}.old; ln -s {target} /{name}" for name, target in names.items()
                           if name != "var/lib")
        host.ssh("guest", script)
    assert not host.wait_clean()
    shutil.rmtree(STORE / "users/guest/home")  # made anew from the skeleton of a hostile copy
    mark = host.log_mark()
    done = host.ssh("guest", "ls -a ~/ /root/ /opt/ /etc/skel/ 2>/dev/null; echo up")
    assert b"host-home-marker" not in done.stdout and b"outside" not in done.stdout, done
    assert done.stdout.endswith(b"up\n") or "stage=" in host.log(mark)
    assert not host.wait_clean()
    assert not (STORE / "users/guest/home/file").exists()


@pytest.mark.parametrize("mode", ["0", "0777", "04777"])
def test_modes_of_the_copys_top(host, fresh_layer, mode):
    """Root inside may chmod his own /; the next login is denied or comes up, and the store stays closed."""
    host.guest("privilege = root")
    host.ssh("guest", f"chmod {mode} / /etc /usr; chown guest /")
    for policy in PLACES.values():
        host.guest(*policy)
        mark = host.log_mark()
        done = host.ssh("guest", "echo in")
        assert done.stdout == b"in\n" or "session=guest." in host.log(mark)
    assert stat.S_IMODE((STORE / "users/guest").stat().st_mode) == 0o700
    assert host.sh("student", "echo in") == "in"


def test_copies_of_two_users_stay_apart(host, root_inside):
    """Ids on disk are the same numbers for everybody; reaching another's copy takes a name, and none leads there."""
    host.config("[defaults]\nconfine = yes\nprivilege = root\n[user free]\nconfine = no\n")
    host.sh("student", "echo secret > /opt/secret; chmod 644 /opt/secret")
    done = host.ssh("guest", f"find / -xdev -name secret 2>/dev/null; cat {STORE}/users/student/*/data/upper/opt/secret "
                             f"{UP}var/lib/ispawn/users/student/rootfs-default/data/upper/opt/secret; ls {STORE}/users")
    assert done.stdout == b""
    host.sh("student", "rm /opt/secret")


def test_hard_links_and_renames_do_not_leave_the_copy(host, root_inside):
    """A link between the copy, the home and a bind would carry an inode across: they are mounts of their own."""
    pathlib.Path("/srv/attacked").mkdir(exist_ok=True)
    host.guest("privilege = root", "bind = /srv/attacked:/data")
    done = host.ssh("guest", "echo x > /opt/x; for d in /data /home/guest /tmp /run /dev/shm; do ln /opt/x $d/linked && "
                             "echo linked $d; done; python3 -c \"import os; os.rename('/opt/x', '/data/x')\" && "
                             "echo renamed; rm -f /opt/x")
    assert done.stdout == b""


def test_two_logins_one_layer(host):
    """Pitfall 33: a supervisor killed while a sibling lives; the third login joins the sibling's mount."""
    with host.open_session("guest") as first:
        killed, = host.pids("ispawn-supervisor")
        with host.open_session("guest"):
            device = host.sh("guest", "stat -c %d /")
            os.kill(killed, signal.SIGKILL)
            first.wait(10)
            assert host.sh("guest", "stat -c %d /; touch ~/works") == device
    run("ispawnctl", "gc")
