# SPDX-License-Identifier: GPL-3.0-or-later
"""Door 3, the runner, as an ordinary user: with subordinate ids, and with his own id alone."""
import contextlib
import os
import pathlib
import pwd
import signal
import subprocess

import pytest

from host import processes, restored, run, wait_until
from journald import journald

USER = pwd.getpwnam("free")
HOME = pathlib.Path(USER.pw_dir)
TREE = HOME / "tree"
TEMPLATE = pathlib.Path("/var/lib/ispawn/templates/default/rootfs")
NO_LIMITS = ["--memory", "max", "--swap", "max", "--pids", "max", "--cpu", "0%"]
AS_USER = ["setpriv", f"--reuid={USER.pw_uid}", f"--regid={USER.pw_gid}", "--clear-groups",
           "env", "-u", "ISPAWN_SESSION", f"HOME={HOME}"]
NEWUIDMAP = pathlib.Path("/usr/bin/newuidmap")


@pytest.fixture(name="tree", scope="module", autouse=True)
def make_tree():
    mode = HOME.stat().st_mode
    HOME.chmod(0o700)
    TREE.mkdir()
    for name in ("bin", "etc", "lib", "lib64", "sbin", "usr"):
        subprocess.run(["cp", "-a", TEMPLATE / name, TREE], check=True)
    for name in ("proc", "sys", "dev", "tmp", "run", "root"):
        (TREE / name).mkdir()
    subprocess.run(["chown", "-hR", f"{USER.pw_uid}:{USER.pw_gid}", TREE], check=True)
    yield TREE
    subprocess.run(["rm", "-rf", "--one-file-system", TREE], check=True)
    HOME.chmod(mode)


@pytest.fixture(name="one_id")
def make_one_id():
    """A machine without newuidmap."""
    moved = NEWUIDMAP.with_name("newuidmap.away")
    NEWUIDMAP.rename(moved)
    yield
    moved.rename(NEWUIDMAP)


@pytest.fixture(name="ids", params=["subordinate ids", "one id"])
def make_ids(request):
    if request.param == "one id":
        request.getfixturevalue("one_id")
    return request.param


def ispawn(*argv, limits=False, quiet=True, stdin=b"", prefix=(), **kwargs):
    words = [*AS_USER, *prefix, "ispawn", *(["--quiet"] if quiet else []), *([] if limits else NO_LIMITS),
             *map(str, argv)]
    return subprocess.run(words, input=stdin, capture_output=True, timeout=60, check=False, **kwargs)


def sh(*argv):
    done = ispawn(*argv[:-1], TREE, "sh", "-c", argv[-1])
    assert (done.returncode, done.stderr) == (0, b""), done
    return done.stdout.decode().strip()


def test_no_program_of_ours_is_setuid():
    for path in (*pathlib.Path("/usr/libexec/ispawn").iterdir(), *pathlib.Path("/usr/bin").glob("ispawn*")):
        assert path.stat().st_mode & 0o6000 == 0


def test_who_one_is(ids):
    assert sh("id -u; id -g; echo $USER $HOME") == "0\n0\nroot /root"
    assert sh("cat /proc/self/uid_map").split() == (
        ["0", "0", "1"] if ids == "one id" else ["0", "0", "1", "1", "1", "65535"])


def test_statuses_signals_and_messages(ids):
    done = ispawn(TREE, "sh", "-c", "exit 42", quiet=False)
    assert (done.returncode, done.stderr) == (42, b"exited with status 42\n")
    done = ispawn(TREE, "sh", "-c", "kill -9 $$", quiet=False)
    assert (done.returncode, done.stderr) == (137, b"killed by signal SIGKILL (9)\n")
    assert ispawn(TREE, "nonesuch").returncode == 127
    assert ispawn(TREE, "/etc/passwd").returncode == 126


def test_pipes_are_8_bit_clean(ids):
    data = os.urandom(1_000_000)
    assert ispawn(TREE, "cat", stdin=data).stdout == data


def test_a_terminal(host, ids):
    child = host.spawn("setpriv", *AS_USER[1:], "bash", "--norc")
    host.set_prompt(child)
    options = " ".join(NO_LIMITS)
    assert host.ask(child, f"ispawn --quiet {options} {TREE} sh -c 'tty; stty size'") == "/dev/pts/0\n24 80"
    child.sendline(f"ispawn --quiet {options} {TREE} sleep 1000")
    wait_until(lambda: any(p["command"].startswith("sleep 1000") for p in processes().values()))
    child.sendcontrol("c")
    child.expect_exact("READY> ")
    assert host.ask(child, "echo $?") == "130"
    assert host.leave(child) == 0


def test_the_host_is_not_reached(ids):
    assert ispawn(TREE, "cat", "/etc/shadow-").stdout == b""
    assert sh("cat /proc/net/dev | grep -c :") == "1"
    assert sh("ls /home 2>/dev/null | wc -l") == "0"
    # Root inside is nobody to the host: what only its root may read stays shut, through a bind, too.
    done = ispawn("--bind", "/etc:/mnt:ro", TREE, "cat", "/mnt/shadow")
    assert done.returncode == 1 and b"Permission denied" in done.stderr


def test_rights_are_the_reduced_ones(ids):
    assert sh("grep -E 'CapEff|Seccomp:' /proc/self/status").split() == ["CapEff:", "00000000a80425fb", "Seccomp:", "2"]
    assert sh("--privilege", "none", "grep CapEff /proc/self/status").split()[1] == "0" * 16
    done = ispawn(TREE, "unshare", "--user", "true")
    assert done.returncode == 1 and b"Operation not permitted" in done.stderr


def test_what_root_inside_makes_is_the_users(ids):
    assert sh("echo x > /root/made") == ""
    st = (TREE / "root/made").stat()
    assert (st.st_uid, st.st_gid) == (USER.pw_uid, USER.pw_gid)


def test_ephemeral_and_readonly_change_nothing(ids):
    def snapshot():
        return subprocess.run(["find", TREE, "-printf", "%p %i %m %U %G %s %T@\n"], check=True,
                              capture_output=True).stdout
    before = snapshot()
    assert sh("--ephemeral", "rm -r /usr/share; mkdir /usr/share; ls /usr/share; echo x > /new; cat /new") == "x"
    assert b"Read-only" in ispawn("--readonly", TREE, "sh", "-c", "echo x > /new").stderr
    assert snapshot() == before


def test_hostname_network_environment_chdir(ids):
    assert sh("--hostname", "other", "hostname") == "other"
    assert sh("--chdir", "/usr", "--setenv", "A=b", "echo $PWD $A") == "/usr b"
    assert sh("--network", "host", "ls /sys/class/net").split() == ["lo"]


def test_other_users_of_the_tree_need_subordinate_ids():
    assert sh("--user", "nobody", "id -u; id -g; id -G") == "65534\n65534\n65534"
    assert sh("touch /root/x; chown 5:6 /root/x; stat -c %u:%g /root/x; rm /root/x") == "5:6"


def test_without_them_zero_is_the_only_user(one_id):
    done = ispawn("--user", "nobody", TREE, "true")
    assert done.returncode == 125 and b"--user: 0 is the only user" in done.stderr


def test_without_them_supplementary_groups_are_named(one_id):
    groups = [*AS_USER[:3], f"--groups={USER.pw_gid},4", *AS_USER[4:]]
    done = subprocess.run([*groups, "ispawn", *NO_LIMITS, TREE, "true"], capture_output=True, check=False)
    assert done.returncode == 125 and b"your supplementary groups cannot be given up" in done.stderr
    done = subprocess.run([*groups, "ispawn", "--quiet", "--best-effort", *NO_LIMITS, TREE, "true"], capture_output=True,
                          check=False)
    assert done.returncode == 0 and b"--best-effort: your supplementary groups cannot be given up" in done.stderr


def test_with_them_groups_are_given_up():
    groups = [*AS_USER[:3], f"--groups={USER.pw_gid},4", *AS_USER[4:]]
    done = subprocess.run([*groups, "ispawn", "--quiet", *NO_LIMITS, TREE, "id", "-G"], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, b"0\n")


@pytest.mark.parametrize("options, named", [
    ([], "--memory --swap --pids --cpu"), (["--memory", "1G", "--swap", "max", "--pids", "max", "--cpu", "0%"], "--memory"),
    ([*NO_LIMITS, "--cpu-weight", "5", "--io-weight", "6"], "--cpu-weight --io-weight")])
def test_limits_that_nobody_enforces_are_refused_and_named(options, named):
    done = ispawn(*options, TREE, "true", limits=True)
    assert (done.returncode, done.stdout) == (125, b"")
    assert f"to enforce them: {named}: " in done.stderr.decode()
    done = ispawn("--best-effort", *options, TREE, "echo", "ran", limits=True)
    assert (done.returncode, done.stdout) == (0, b"ran\n")
    assert done.stderr.decode().endswith(f"to enforce them: {named}\n")


def remove_cgroup(top):
    """True when it is gone; the supervisor's last instructions are after its answer to the runner."""
    with contextlib.suppress(OSError):
        for path in sorted(top.rglob("*"), reverse=True):
            if path.is_dir():
                path.rmdir()
        top.rmdir()
    return not top.exists()


@contextlib.contextmanager
def delegated_cgroup(neighbours):
    """A unified hierarchy in a mount namespace of its own, and in it a cgroup that is the user's: what puts a command in
    there, with as many others."""
    mount = pathlib.Path("/mnt/unified")
    mount.mkdir(exist_ok=True)
    run("mount", "-t", "cgroup2", "none", mount)
    own = mount / "delegated"
    own.mkdir()
    for path in (own, own / "cgroup.procs", own / "cgroup.subtree_control"):
        os.chown(path, USER.pw_uid, USER.pw_gid)
    others = [subprocess.Popen(["sleep", "1000"]) for _ in range(neighbours)]
    try:
        for other in others:
            (own / "cgroup.procs").write_text(str(other.pid))
        yield own, ["unshare", "--mount", "sh", "-c",
                    'umount -R /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup && '
                    'echo $$ > /sys/fs/cgroup/delegated/cgroup.procs && exec "$@"', "sh"]
    finally:
        for other in others:
            other.kill()
            other.wait()
        wait_until(lambda: remove_cgroup(own))
        run("umount", mount)


def test_a_cgroup_that_is_shared_stays_as_it_was():
    with delegated_cgroup(1) as (own, enter):
        done = subprocess.run([*enter, *AS_USER, "ispawn", "--quiet", *NO_LIMITS, TREE, "cat", "/proc/self/cgroup"],
                              capture_output=True, check=False)
        assert done.returncode == 0, done
        assert not [path for path in own.iterdir() if path.is_dir()]


def test_a_cgroup_of_ones_own_is_used_for_what_it_can_enforce():
    # On a machine whose controllers are those of version 1, that is nothing.
    with delegated_cgroup(0) as (own, enter):
        controllers = (own / "cgroup.controllers").read_text().split()
        named = "".join(f" --{option}" for option, controller in (
            ("memory", "memory"), ("swap", "memory"), ("pids", "pids"), ("cpu", "cpu"), ("io-weight", "io"))
            if controller not in controllers)
        words = [*enter, *AS_USER, "ispawn", "--quiet", "--best-effort", "--io-weight", "50", TREE, "true"]
        done = subprocess.run(words, capture_output=True, check=False)
        assert done.returncode == 0, done
        assert (f"to enforce them:{named}\n" in done.stderr.decode()) == bool(named), done
        assert (own / "ispawn-runner").is_dir()
        words.remove("--best-effort")
        done = subprocess.run(words, capture_output=True, check=False)
        assert (done.returncode == 125 and f"to enforce them:{named}: " in done.stderr.decode()) == bool(named), done


def test_started_with_children_ignored(ids):
    # Whoever starts it so takes the status of getent and newuidmap away from it.
    done = ispawn(TREE, "sh", "-c", "sleep 0.1 & wait; wc -l < /proc/self/uid_map; exit 3", preexec_fn=lambda: signal.signal(
        signal.SIGCHLD, signal.SIG_IGN))
    assert (done.returncode, done.stdout, done.stderr) == (3, b"1\n" if ids == "one id" else b"2\n", b"")


def test_a_lower_limit_of_open_files_is_kept(ids):
    done = ispawn(TREE, "sh", "-c", "ulimit -n; ulimit -Hn", prefix=["prlimit", "--nofile=256:512"])
    assert (done.returncode, done.stdout) == (0, b"512\n512\n"), done


def test_a_machine_where_root_has_never_run_it(ids):
    words = [*AS_USER, "ispawn", "--quiet", *NO_LIMITS, TREE, "id", "-u"]
    done = subprocess.run(["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /var/lib && exec "$@"', "sh", *words],
                          capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"0\n", b"")


def test_what_is_mounted_below_a_directory_may_not_be_left_out(ids):
    done = ispawn("--readonly", "/", "true")
    assert done.returncode == 125 and b"something is mounted below it" in done.stderr, done


@pytest.mark.parametrize("name", ["learn", "some-profile"])
def test_another_filter_is_roots_alone(name):
    done = ispawn("--seccomp", name, TREE, "true")
    assert (done.returncode, done.stdout) == (125, b"") and b"--seccomp: only root" in done.stderr
    done = ispawn("--best-effort", "--seccomp", name, TREE, "grep", "Seccomp:", "/proc/self/status")
    assert done.stdout.split()[1] == b"2" and b"--best-effort: --seccomp: only root" in done.stderr


def test_a_range_that_newuidmap_refuses_is_told():
    with restored(pathlib.Path("/etc/subuid")) as path:
        path.write_text("free:3000000000:65536\n")
        NEWUIDMAP.chmod(0o755)  # not setuid: it can map nothing
        try:
            done = ispawn(TREE, "true")
        finally:
            NEWUIDMAP.chmod(0o4755)
    assert done.returncode == 125 and b"refused your range" in done.stderr


GETENT = pathlib.Path("/usr/bin/getent")
ENTRY = f"{USER.pw_name}:x:{USER.pw_uid}:{USER.pw_gid}:,,,:{HOME}:/bin/sh"


@contextlib.contextmanager
def another_getent(script):
    """The host's own is put back; None: there is none."""
    away = GETENT.with_name("getent.away")
    GETENT.rename(away)
    try:
        if script is not None:
            GETENT.write_text(f"#!/bin/sh\n{script}\n")
            GETENT.chmod(0o755)
        yield
    finally:
        away.rename(GETENT)


@contextlib.contextmanager
def ranges(*owners):
    with restored(pathlib.Path("/etc/subuid")) as subuid, restored(pathlib.Path("/etc/subgid")) as subgid:
        for path in (subuid, subgid):
            path.write_text("".join(f"{owner}:{300000 + 65536 * i}:65536\n" for i, owner in enumerate(owners)))
        yield


def has_range():
    return len(sh("cat /proc/self/uid_map").split()) == 6


def test_a_range_is_found_by_the_name_that_getent_tells():
    with ranges("somebody", USER.pw_name):
        assert has_range()
        with another_getent(f"[ \"$*\" = 'passwd {USER.pw_uid}' ] && [ -z \"$HOME\" ] && echo '{ENTRY}'"):
            assert has_range()


@pytest.mark.parametrize("script", [
    None, "exit 2", f"echo '{ENTRY}'; exit 2", "", f"printf %s '{ENTRY}'", f"echo '{ENTRY}'; echo '{ENTRY}'", "kill -9 $$",
    f"echo '{ENTRY}:more'", f"echo '{USER.pw_name}:x:{USER.pw_uid}'", f"printf '%s\\0\\n' '{ENTRY}'",
    f"echo '{USER.pw_name}:x:{USER.pw_uid + 1}:1::/:'", f"echo '{USER.pw_name}:x: {USER.pw_uid}:1::/:'",
    f"echo '{USER.pw_name}:x:{USER.pw_uid}:1:'$(printf %05000d 0)':/:'"])
def test_without_a_name_the_number_counts(script):
    with another_getent(script):
        with ranges(USER.pw_name):
            assert not has_range()
        with ranges(USER.pw_name, USER.pw_uid):
            assert has_range()


DIRECTORY_SERVICE = r"""
#include <nss.h>
#include <pwd.h>
#include <string.h>
enum nss_status _nss_ispawntest_getpwuid_r(uid_t uid, struct passwd *entry, char *buffer, size_t size, int *error)
{
	if (uid != 7878)
		return NSS_STATUS_NOTFOUND;
	*entry = (struct passwd){"of-a-directory", "x", 7878, 7878, "", "/", "/bin/sh"};
	return NSS_STATUS_SUCCESS;
}
"""


def test_a_user_of_a_directory_service_has_his_range(tmp_path):
    # In no file: libc loads who knows him, which the runner itself cannot.
    library = pathlib.Path(run("gcc", "-print-file-name=libc.so.6").stdout.strip()).resolve().with_name("libnss_ispawntest.so.2")
    (tmp_path / "service.c").write_text(DIRECTORY_SERVICE)
    HOME.chmod(0o755)
    try:
        with restored(pathlib.Path("/etc/nsswitch.conf")) as switch, restored(library), ranges("of-a-directory"):
            subprocess.run(["gcc", "-D_GNU_SOURCE", "-shared", "-fPIC", "-o", library, tmp_path / "service.c"], check=True)
            switch.write_text("passwd: files ispawntest\ngroup: files\n")
            done = subprocess.run(["setpriv", "--reuid=7878", "--regid=7878", "--clear-groups", "ispawn", "--quiet", "--readonly",
                                   *NO_LIMITS, str(TREE), "cat", "/proc/self/uid_map"], capture_output=True, check=False)
    finally:
        HOME.chmod(0o700)
    assert (done.returncode, done.stdout.split()) == (0, [b"0", b"0", b"1", b"1", b"1", b"65535"]), done


def test_no_namespace_to_be_had_is_told(ids):
    prefix = ["strace", "-o", "/dev/null", "-e", "trace=unshare", "-e", "inject=unshare:error=ENOSPC"]
    done = ispawn(TREE, "true", prefix=prefix)
    assert done.returncode == 125 and b"user.max_user_namespaces" in done.stderr, done


def test_a_directory_that_others_reach_is_run_only_unchanged():
    HOME.chmod(0o755)
    try:
        for mode in (0o700, 0o755):  # its own, which root inside can change
            TREE.chmod(mode)
            assert b"others than you could run what is left in it" in ispawn(TREE, "true").stderr
        assert ispawn("--readonly", TREE, "true").returncode == 0
    finally:
        HOME.chmod(0o700)


def test_a_directory_that_one_may_not_read():
    done = ispawn("--readonly", "/root", "true")
    assert done.returncode == 125 and done.stderr.startswith(b'ispawn: read "etc/passwd" of the directory'), done
    assert done.stderr.endswith(b": Permission denied\n")
    assert ispawn("/var/lib/ispawn", "true").returncode == 125


@pytest.mark.parametrize("victim", ["ispawn", "ispawn-supervis", "ispawn-init"])
def test_kill_9_of_each_process_leaves_nothing(host, ids, victim):
    process = subprocess.Popen([*AS_USER, "ispawn", *NO_LIMITS, str(TREE), "sh", "-c", "sleep 1000 & echo up; exec cat"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with contextlib.closing(process.stdout):
        assert process.stdout.readline() == b"up\n"
        pid, = [pid for pid, p in processes().items() if p["name"] == victim and p["state"] != "Z"]
        os.kill(pid, signal.SIGKILL)
        process.wait(20)
        process.stdin.close()
        process.stderr.close()
        wait_until(lambda: not any(p["command"].startswith("sleep 1000") for p in processes().values()))
        assert not host.wait_clean()
        assert not host.sessions()


def test_nothing_of_it_stands_in_the_systems_log(log):
    # Where it would be a session of root's.
    assert ispawn(TREE, "true").returncode == 0
    assert "ispawn" not in log()
    with journald() as served:
        assert ispawn(TREE, "true").returncode == 0
        assert ispawn("/nowhere", "true").returncode == 125
    assert not served.entries


def test_a_user_cannot_be_seen_or_disturbed_by_another(host):
    process = subprocess.Popen([*AS_USER, "ispawn", *NO_LIMITS, str(TREE), "sh", "-c", "echo up; exec cat"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"up\n"
        assert not host.sessions()  # the registry is one of his own
        supervisor, = host.pids("ispawn-supervisor")
        done = run("setpriv", "--reuid=other", "--regid=other", "--clear-groups", "ls", f"/proc/{supervisor}/root/run")
        assert done.returncode != 0
    finally:
        process.communicate()
