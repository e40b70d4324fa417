# SPDX-License-Identifier: GPL-3.0-or-later
"""Door 3, the runner: a directory becomes a container, as root."""
import fcntl
import json
import os
import pathlib
import pwd
import re
import signal
import socket
import stat
import struct
import subprocess
import time

import pexpect
import pytest

from host import CONFIG, STORE, processes, run, wait_until

HERE = pathlib.Path(__file__).resolve().parent
HOLDER = STORE / "runner"  # mode 0700, as the store itself
TREE = HOLDER / "tree"
TEMPLATE = STORE / "templates/default/rootfs"
POLICY_OPTIONS = {  # a value that is refused, and one that is taken
    "privilege": ("everything", "sudo"), "capabilities": ("sys_admin", "chown kill"), "seccomp": ("no such", "default"),
    "network": ("internet", "host"), "dns": ("example.org", "192.0.2.1"), "memory": ("1", "64M"), "swap": ("-1", "1M"),
    "pids": ("7", "64"), "cpu": ("100", "50%"), "cpu-weight": ("0", "1"), "io-weight": ("10001", "10"),
    "tmp-size": ("0", "1M"), "ephemeral-size": ("x", "1M"), "nofile": ("63", "128"), "bind": ("/proc:/x", "/srv:/x"),
    "environment": ("LD_PRELOAD", "EDITOR"), "idle-timeout": ("1y", "1h"), "max-session": ("-1s", "1h"),
    "start-timeout": ("0", "20s")}


@pytest.fixture(name="tree", scope="module", autouse=True)
def make_tree():
    HOLDER.mkdir(mode=0o700, exist_ok=True)
    subprocess.run(["cp", "-a", "--reflink=auto", TEMPLATE, TREE], check=True)
    (TREE / "etc/hosts").write_text("192.0.2.99 of-the-tree\n")
    (TREE / "etc/resolv.conf").unlink(missing_ok=True)
    (TREE / "etc/resolv.conf").write_text("nameserver 192.0.2.77\n")
    with (TREE / "etc/passwd").open("a") as passwd:
        passwd.write("worker:x:1500:1600::/home/worker:/bin/sh\n")
    yield TREE
    subprocess.run(["rm", "-rf", "--one-file-system", HOLDER], check=True)


def ispawn(*argv, stdin=b"", quiet=True, **kwargs):
    """Run the runner; bytes in and out."""
    argv = ["ispawn", *(["--quiet"] if quiet else []), *map(str, argv)]
    return subprocess.run(argv, input=stdin, capture_output=True, timeout=60, check=False, **kwargs)


def text(*argv, **kwargs):
    """What a command inside that must succeed says."""
    done = ispawn(*argv, **kwargs)
    assert (done.returncode, done.stderr) == (0, b""), done
    return done.stdout.decode().strip()


def sh(*argv, **kwargs):
    """The same, of a shell's line, which is the last argument."""
    return text(*argv[:-1], TREE, "sh", "-c", argv[-1], **kwargs)


def snapshot():
    """Everything in the tree that a change would show in."""
    return subprocess.run(["find", TREE, "-printf", "%p %i %m %U %G %s %T@ %C@\n"], check=True,
                          capture_output=True).stdout


class Running:
    """An ispawn that goes on in the background."""

    def __init__(self, *argv, **kwargs):
        self.process = subprocess.Popen(["ispawn", *map(str, argv)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, **kwargs)

    def __enter__(self):
        assert self.process.stdout.readline() == b"up\n", self.process.stderr.read()
        return self.process

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


# --- how it ends ---------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [0, 1, 42, 125, 126, 127, 255])
def test_the_exit_status_is_the_commands(status):
    done = ispawn(TREE, "sh", "-c", f"exit {status}", quiet=False)
    assert (done.returncode, done.stdout, done.stderr) == (status, b"", b"exited with status %d\n" % status)


@pytest.mark.parametrize("name", ["HUP", "INT", "QUIT", "KILL", "SEGV", "PIPE", "TERM", "USR1"])
def test_a_signal_is_128_and_its_number_and_is_named(name):
    number = signal.Signals[f"SIG{name}"]
    done = ispawn(TREE, "sh", "-c", f"kill -{name} $$", quiet=False)
    assert (done.returncode, done.stderr.decode()) == (128 + number, f"killed by signal SIG{name} ({number})\n")


def test_a_realtime_signal_has_its_number():
    done = ispawn(TREE, "perl", "-e", "kill 40, $$; sleep 9", quiet=False)
    assert (done.returncode, done.stderr) == (168, b"killed by signal 40 (40)\n")


def test_quiet_says_nothing_of_its_own():
    assert ispawn(TREE, "sh", "-c", "exit 3").stderr == b""
    assert ispawn(TREE, "sh", "-c", "kill -9 $$").stderr == b""


@pytest.mark.parametrize("command, status, words", [
    ("nonesuch", 127, "nonesuch: No such file or directory"),
    ("/bin/nonesuch", 127, "/bin/nonesuch: No such file or directory"),
    ("/etc/passwd", 126, "/etc/passwd: Permission denied"),
    ("/etc", 126, "/etc: Permission denied"),
    ("/bin/sh/x", 126, "/bin/sh/x: Not a directory"),
    ("bad\x1b[2Jname", 127, r"bad\x1b[2Jname: No such file or directory"),
    ("", 127, ": No such file or directory")])
def test_what_cannot_be_run(command, status, words):
    for options in ([], ["--readonly"]):
        done = ispawn(*options, TREE, command)
        assert (done.returncode, done.stdout, done.stderr.decode()) == (status, b"", f"ispawn: {words}\n")


def test_a_command_is_looked_for_in_the_containers_path(monkeypatch):
    monkeypatch.setenv("PATH", f"/nowhere:{os.environ['PATH']}")
    (TREE / "usr/local/bin/only-here").write_text("#!/bin/sh\nprintf '%s' \"here $0\"; printf ' [%s]' \"$@\"\n")
    (TREE / "usr/local/bin/only-here").chmod(0o755)
    assert text(TREE, "only-here", "a b", "", "c") == "here /usr/local/bin/only-here [a b] [] [c]"


def test_arguments_arrive_as_they_are():
    words = ["", " ", "a  b", "*", "$HOME", "-x", "--", "\n", "\udcff\udcfe"]
    done = ispawn(TREE, "printf", "%s\\0", *words)
    assert done.stdout.split(b"\0")[:-1] == [os.fsencode(word) for word in words]


# --- the command line ----------------------------------------------------------------------------


@pytest.mark.parametrize("option", POLICY_OPTIONS)
def test_every_bad_value_is_125_and_names_its_option(option):
    bad, good = POLICY_OPTIONS[option]
    for argv in ([f"--{option}", bad], [f"--{option}={bad}"]):
        done = ispawn(*argv, TREE, "true")
        assert (done.returncode, done.stdout) == (125, b"")
        assert done.stderr.decode().startswith(f"ispawn: --{option}: "), done
    done = ispawn(f"--{option}={good}", TREE, "true")
    assert (done.returncode, done.stderr) == (0, b""), done


def test_all_policy_options_are_tried_here():
    listed = set(re.findall(r"^  --([a-z-]+) VALUE", text("--help"), re.M))
    assert listed == set(POLICY_OPTIONS)


@pytest.mark.parametrize("argv, words", [
    ([], "no directory is given"), ([TREE], "no command is given"), (["--", TREE], "no command is given"),
    (["--memory"], "--memory: the value is missing"), (["--memroy", "1G", TREE, "true"], "--memroy: no such option"),
    (["--mem", "1G", TREE, "true"], "--mem: no such option"), (["-q", TREE, "true"], "-q: no such option"),
    (["--confine", "yes", TREE, "true"], "--confine: no such option"),
    (["--cpu_weight", "1", TREE, "true"], "--cpu_weight: no such option"),
    (["--quiet=yes", TREE, "true"], "--quiet=yes: takes no value"),
    (["--ephemeral", "--readonly", TREE, "true"], "exclude each other"),
    (["--hostname", "a_b", TREE, "true"], "--hostname: "), (["--chdir", "etc", TREE, "true"], "--chdir: "),
    (["--setenv", "X", TREE, "true"], "--setenv: "), (["--setenv", "LD_PRELOAD=x", TREE, "true"], "--setenv: "),
    (["--user", "nobody-here", TREE, "true"], "--user: "), (["--user", "65536", TREE, "true"], "--user: "),
    (["--user", "1:x", TREE, "true"], "--user: "), (["--user", "../etc", TREE, "true"], "--user: "),
    (["--user", "worker", "--privilege", "root", TREE, "true"], "--user says 1500"),
    (["--config", "user nobody-here", TREE, "true"], "--config: no section [user nobody-here]")])
def test_a_bad_command_line_runs_nothing(argv, words):
    done = ispawn(*argv, quiet=False)
    assert (done.returncode, done.stdout) == (125, b"")
    assert words in done.stderr.decode(), done


def test_options_end_at_the_directory_and_at_two_dashes():
    assert text("--", TREE, "echo", "--quiet") == "--quiet"


def test_of_two_values_the_last_counts_and_of_lists_both():
    assert sh("--nofile", "64", "--nofile", "128", "ulimit -n") == "128"
    assert sh("--bind", "/etc:/one:ro", "--bind=/usr:/two:ro", "test -e /one/passwd && test -d /two/bin && echo") == ""


@pytest.mark.parametrize("kind", ["missing", "file", "fifo", "symlink", "symlink on the way", "socket"])
def test_what_is_not_a_directory(tmp_path, kind):
    path = HOLDER / "thing"
    sock = socket.socket(socket.AF_UNIX)
    path.unlink(missing_ok=True)
    {"missing": lambda: None, "file": path.touch, "fifo": lambda: os.mkfifo(path), "socket": lambda: sock.bind(str(path)),
     "symlink": lambda: path.symlink_to(TREE), "symlink on the way": lambda: path.symlink_to(HOLDER)}[kind]()
    done = ispawn(path / "tree" if kind == "symlink on the way" else path, "true")
    assert (done.returncode, done.stdout) == (125, b"")
    assert b"open directory" in done.stderr and os.fsencode(path) in done.stderr


def test_a_relative_directory_is_one():
    assert text("./tree/", "pwd", cwd=HOLDER) == "/"


# --- whose directory -----------------------------------------------------------------------------


def test_a_directory_that_others_reach_is_run_only_unchanged():
    # What a program leaves set-user-ID in it could be run on the host by anybody.
    HOLDER.chmod(0o755)
    STORE.chmod(0o755)
    try:
        done = ispawn(TREE, "true")
        assert done.returncode == 125 and b"others than root could run what is left in it" in done.stderr
        assert ispawn("--ephemeral", TREE, "true").returncode == 0
        assert ispawn("--readonly", TREE, "true").returncode == 0
        STORE.chmod(0o755)  # which the store has put right
        done = ispawn("--best-effort", TREE, "true")
        assert done.returncode == 0 and b"--best-effort: others than root can run what is left" in done.stderr
    finally:
        HOLDER.chmod(0o700)
        STORE.chmod(0o700)


def test_a_directorys_own_mode_protects_nothing():
    # Inside it is "/", and root of the container opens it: chmod 755 /; cp sh /x; chmod 4755 /x.
    HOLDER.chmod(0o755)
    STORE.chmod(0o755)
    TREE.chmod(0o700)
    try:
        done = ispawn(TREE, "true")
        assert done.returncode == 125 and b"others than root could run what is left in it" in done.stderr
    finally:
        TREE.chmod(0o755)
        HOLDER.chmod(0o700)
        STORE.chmod(0o700)


def test_a_closed_directory_of_somebody_else_protects_nothing():
    os.chown(HOLDER, 1000, 0)
    STORE.chmod(0o755)
    try:
        assert b"others than root" in ispawn(TREE, "true").stderr
    finally:
        os.chown(HOLDER, 0, 0)
        STORE.chmod(0o700)


def test_the_hosts_own_root_is_refused():
    done = ispawn("/", "true")
    assert done.returncode == 125 and b"others than root" in done.stderr


def test_a_hostile_passwd_is_read_as_text():
    path = TREE / "etc/passwd"
    kept = path.read_bytes()
    try:
        path.unlink()
        path.symlink_to("/etc/passwd")  # of the tree, which is itself; the host's has such a user
        assert ispawn("--user", "guest", TREE, "true").returncode == 125
        path.unlink()
        os.mkfifo(path)
        done = ispawn("--user", "worker", TREE, "true")
        assert done.returncode == 125 and b"a plain file" in done.stderr
        path.unlink()
        assert text("--user", "7:8", TREE, "sh", "-c", "id -u; id -g; id -G") == "7\n8\n8"
        path.write_bytes(b"worker:x:99999999999:1::/:/bin/sh\nworker:x:\n" + b"x" * 5000 + b"\nworker:x:1:2::relative:sh\n")
        assert text("--user", "worker", TREE, "sh", "-c", "id -u; id -g; echo $HOME $SHELL") == "1\n2\n/ /bin/bash"
    finally:
        path.unlink(missing_ok=True)
        path.write_bytes(kept)


def test_what_is_mounted_below_is_not_read():
    path = TREE / "etc/passwd"
    kept = path.read_bytes()
    subprocess.run(["mount", "-t", "proc", "proc", TREE / "proc"], check=True)
    try:
        path.unlink()
        path.symlink_to("/proc/kmsg")  # a plain file, which ends when there is nothing more to be said
        done = ispawn("--user", "worker", TREE, "true")
        assert done.returncode == 125 and b"etc/passwd" in done.stderr, done
    finally:
        path.unlink(missing_ok=True)
        path.write_bytes(kept)
        subprocess.run(["umount", TREE / "proc"], check=True)


def test_the_log_names_root_and_not_whom_a_directory_names(log):
    path = TREE / "etc/passwd"
    kept = path.read_bytes()
    try:
        path.write_bytes(b"guest:x:0:0::/srv/of-the-tree:/bin/sh\n" + kept)
        assert sh("echo $USER $HOME; env | grep -c LOGNAME=guest") == "guest /srv/of-the-tree\n1"
    finally:
        path.write_bytes(kept)
    lines = [line for line in log().splitlines() if "event=start" in line]
    assert len(lines) == 1 and 'user="root" uid=0 service="ispawn"' in lines[0], lines


# --- the directory in place ----------------------------------------------------------------------


def test_ids_on_disk_are_those_inside():
    assert sh("echo x > /root/by-root; mkdir -p /shared; chmod 1777 /shared") == ""
    assert sh("--user", "worker", "echo x > /shared/by-worker; stat -c %u:%g /shared/by-worker /root") == "1500:1600\n0:0"
    for name, ids in (("root/by-root", (0, 0)), ("shared/by-worker", (1500, 1600))):
        st = (TREE / name).stat()
        assert (st.st_uid, st.st_gid) == ids
    # and the processes are nobody's on the host
    with Running("--user", "worker", TREE, "sh", "-c", "echo up; exec cat"):
        uids = wait_until(lambda: {p["uid"] for p in processes().values() if p["command"].strip() == "cat"})
        assert min(uids) >= 100000


def test_nothing_but_the_command_writes_into_it():
    before = snapshot()
    assert sh("cat /etc/hostname /etc/hosts").startswith("tree\n127.0.0.1\tlocalhost\n127.0.1.1\ttree\n")
    assert sh("--network", "host", "--dns", "192.0.2.5", "cat /etc/resolv.conf") == "nameserver 192.0.2.5"
    assert sh("cat /etc/resolv.conf") == "nameserver 192.0.2.77"
    assert snapshot() == before


def test_ephemeral_forgets():
    before = snapshot()
    assert sh("--ephemeral", "rm -rf /usr/share; echo x > /etc/passwd; echo y > /new; chown 5 /bin/sh; cat /new") == "y"
    assert snapshot() == before


def test_ephemeral_size_is_its_limit():
    assert ispawn("--ephemeral", "--ephemeral-size", "2M", TREE, "dd", "if=/dev/zero", "of=/big", "bs=1M", "count=3"
                  ).returncode == 1
    assert sh("--ephemeral", "--ephemeral-size", "8M", "dd if=/dev/zero of=/big bs=1M count=3 2>/dev/null; stat -c %s /big"
              ) == str(3 << 20)


def test_readonly_refuses():
    before = snapshot()
    done = ispawn("--readonly", TREE, "sh", "-c", "echo x > /new")
    assert done.returncode != 0 and b"Read-only file system" in done.stderr
    assert sh("--readonly", "echo x > /tmp/x; cat /tmp/x") == "x"
    assert snapshot() == before


@pytest.mark.parametrize("options", [[], ["--readonly"], ["--ephemeral"]])
def test_a_file_system_without_idmapped_mounts_is_named(options):
    path = pathlib.Path("/root/on-an-overlay")  # as the whole test host is
    path.mkdir(mode=0o700)
    path.parent.chmod(0o700)
    try:
        done = ispawn(*options, path, "/x")
    finally:
        path.rmdir()
    assert done.returncode == 125 and f"{path}: its file system has no idmapped mounts" in done.stderr.decode(), done


def test_a_tree_of_one_program(compile_c):
    path = HOLDER / "one"
    path.mkdir()
    (path / "hello").write_bytes(compile_c('int main(){puts("hello");return 4;}', "-include", "stdio.h"))
    (path / "hello").chmod(0o755)
    done = ispawn(path, "/hello")
    assert (done.returncode, done.stdout) == (4, b"hello\n")
    assert ispawn(path, "sh").returncode == 127
    assert ispawn("--readonly", path, "/hello").stdout == b"hello\n"


# --- what it looks like inside -------------------------------------------------------------------


def test_who_one_is():
    assert sh("id -u; id -g; echo $USER $HOME $$") == "0\n0\nroot /root 2"
    assert sh("--user", "worker", "id -un; id -u; id -g; id -G; echo $USER $HOME $SHELL") == \
        "worker\n1500\n1600\n1600\nworker /home/worker /bin/sh"
    assert sh("--user", "1500", "id -un") == "worker"
    assert sh("--user", "4711", "id -u; id -g; echo $USER $HOME") == "4711\n4711\n4711 /"


def test_rights():
    def effective(*options):
        return int(sh(*options, "grep CapEff /proc/self/status").split()[1], 16)
    assert effective() == 0xa80425fb  # what container engines call the default
    assert effective("--capabilities", "kill") == 1 << 5
    assert effective("--privilege", "none") == 0
    assert effective("--user", "worker") == 0
    assert sh("--privilege", "none", "grep NoNewPrivs /proc/self/status").split()[1] == "1"
    assert sh("grep Seccomp: /proc/self/status").split()[1] == "2"


def test_a_system_call_filter_of_ones_own():
    profile = pathlib.Path("/etc/ispawn/seccomp/runner.json")
    profile.parent.mkdir(exist_ok=True)
    content = json.loads((HERE.parent / "lib/seccomp-profile.json").read_text())
    for rule in content["syscalls"]:
        rule["names"] = [name for name in rule["names"] if not name.startswith("mkdir")]
    profile.write_text(json.dumps(content))
    try:
        assert sh("--readonly", "mkdir /tmp/x && echo made") == "made"
        done = ispawn("--readonly", "--seccomp", "runner", TREE, "mkdir", "/tmp/x")
        assert done.returncode == 1 and b"Operation not permitted" in done.stderr, done
    finally:
        profile.unlink()
    done = ispawn("--seccomp", "runner", TREE, "true")
    assert done.returncode == 125 and b"runner.json" in done.stderr


def test_where_and_with_what(monkeypatch):
    monkeypatch.setenv("SECRET", "x")
    monkeypatch.setenv("EDITOR", "ed")
    assert text(TREE, "pwd") == "/"
    assert text("--chdir", "/usr/bin", TREE, "pwd") == "/usr/bin"
    done = ispawn("--chdir", "/nowhere", TREE, "pwd")
    assert (done.returncode, done.stdout) == (125, b"") and b"working directory" in done.stderr
    names = {line.split("=")[0] for line in text(TREE, "env").splitlines()}
    assert names <= {"HOME", "USER", "LOGNAME", "SHELL", "PATH", "ISPAWN_SESSION", "TERM", "LANG", "TZ"}
    assert sh("--environment", "EDITOR", "echo $EDITOR:$SECRET") == "ed:"
    assert sh("--setenv", "A=1=2 3", "--setenv", "B=", "--setenv", "A=4", 'echo "$A:$B:"; env | grep -c "^B="') == "4::\n1"


def test_hostname():
    assert text(TREE, "hostname") == "tree"
    assert text("--hostname", "other-name", TREE, "hostname") == "other-name"


def test_network():
    assert sh("cat /proc/net/dev | grep -c :") == "1"
    with socket.create_server(("127.0.0.1", 0)) as server:
        script = f"exec 3<>/dev/tcp/127.0.0.1/{server.getsockname()[1]}"
        assert ispawn(TREE, "bash", "-c", script).returncode != 0
        assert ispawn("--network", "host", TREE, "bash", "-c", script).returncode == 0


def test_binds(tmp_path):
    source = pathlib.Path("/srv/shown")
    source.mkdir(exist_ok=True)
    (source / "file").write_text("content\n")
    assert sh("--bind", f"{source}:/mnt/there:ro", "cat /mnt/there/file") == "content"
    done = ispawn("--bind", f"{source}:/mnt/there:ro", TREE, "sh", "-c", "echo > /mnt/there/new")
    assert b"Read-only" in done.stderr


@pytest.mark.parametrize("option, value, script, expected", [
    ("nofile", "77", "ulimit -n; ulimit -Hn", "77\n77"),
    ("tmp-size", "3M", "df -k /tmp | tail -1 | tr -s ' ' | cut -d' ' -f2", "3072")])
def test_limits_inside(option, value, script, expected):
    assert sh(f"--{option}", value, script) == expected


def test_limits_are_the_runs_own(host):
    with Running("--pids", "20", "--memory", "64M", "--cpu", "50%", TREE, "sh", "-c", "echo up; exec cat"), \
            Running("--pids", "30", "--memory", "128M", TREE, "sh", "-c", "echo up; exec cat"):
        holders = {pathlib.Path(path).parent for path in host.cgroups() if re.search(r"/root\.\w{8}/root\.\w{8}$", path)}
        pids = {(holder / "pids.max").read_text().strip() for holder in holders if (holder / "pids.max").exists()}
        assert pids == {"20", "30"}
        assert len(host.sessions()) == 2


def test_the_memory_limit_is_told():
    done = ispawn("--memory", "32M", "--swap", "0", TREE, "perl", "-e", '$x = "x" x (1 << 27); print length $x')
    assert done.returncode == 137
    assert b"the memory limit of this container (32 MiB for all in it) was reached" in done.stderr


def test_the_pids_limit_holds():
    done = ispawn("--pids", "16", TREE, "bash", "-c", "for i in {1..40}; do sleep 5 & done; echo no; kill %1")
    assert b"Resource temporarily unavailable" in done.stderr or b"retry" in done.stderr


def test_max_session_ends_it():
    done = ispawn("--max-session", "1s", TREE, "sleep", "60")
    assert done.returncode in (125, 129, 137, 143), done


def test_config_takes_a_section(host):
    host.config("[defaults]\nnofile = 111\npids = 50\n[user guest]\nconfine = yes\nnofile = 222\nshell = none\n"
                "[group two words]\nnofile = 333\n")
    assert sh("--config", "defaults", "ulimit -n") == "111"
    assert sh("--config", "user guest", "ulimit -n") == "222"
    assert sh("--config", "group two words", "ulimit -n") == "333"
    assert sh("--config", "user guest", "--nofile", "444", "ulimit -n") == "444"
    assert sh("ulimit -n") == "4096"
    CONFIG.write_text("nonsense\n")
    done = ispawn("--config", "defaults", TREE, "true")
    assert done.returncode == 125 and b"ispawn.conf" in done.stderr
    assert ispawn(TREE, "true").returncode == 0


# --- pipes and terminals -------------------------------------------------------------------------


def test_pipes_are_8_bit_clean():
    data = os.urandom(3_000_000) + bytes(range(256))
    assert ispawn(TREE, "cat", stdin=data).stdout == data


def test_in_a_pipeline_with_files_and_closed_streams(tmp_path):
    def line(script):
        return subprocess.run(["bash", "-c", script], capture_output=True, timeout=60, check=False)
    assert line(f"seq 100000 | ispawn --quiet {TREE} cat | tail -1").stdout == b"100000\n"
    assert line(f"ispawn --quiet {TREE} seq 1000000 | head -1").stdout == b"1\n"
    assert line(f"ispawn --quiet {TREE} sh -c 'echo out; echo err >&2' > {tmp_path}/o 2> {tmp_path}/e").returncode == 0
    assert [(tmp_path / name).read_text() for name in "oe"] == ["out\n", "err\n"]
    assert line(f"ispawn --quiet {TREE} bash -c 'for n in 0 1 2 3 4; do [ ! -e /proc/$$/fd/$n ] || echo $n; done' <&- 2>&-"
                ).stdout == b"1\n"
    assert line(f"ispawn --quiet {TREE} true >&- <&- 2>&-").returncode == 0


@pytest.mark.parametrize("name", ["HUP", "INT", "QUIT", "TERM", "USR1", "USR2"])
def test_signals_are_passed_on(name):
    script = f"trap 'echo got; exit 9' {name}; echo up; while :; do sleep 0.1; done"
    with Running(TREE, "sh", "-c", script) as process:
        process.send_signal(signal.Signals[f"SIG{name}"])
        out, err = process.communicate(timeout=20)
        if name != "HUP":  # which is a caller that has gone
            assert (process.returncode, out) == (9, b"got\n") and err.endswith(b"exited with status 9\n"), err
        else:
            assert (process.returncode, err) == (129, b"killed by signal SIGHUP (1)\n")


@pytest.fixture(name="terminal")
def make_terminal(host):
    child = host.spawn("bash", "--norc", timeout=20)
    host.set_prompt(child)
    yield child
    child.close(force=True)


def test_a_terminal_is_one(host, terminal):
    assert host.ask(terminal, f"ispawn --quiet {TREE} tty") == "/dev/pts/0"
    assert host.ask(terminal, f"ispawn --quiet {TREE} sh -c 'stty size; test -t 0 && test -t 1 && test -t 2 && echo all'"
                    ) == "24 80\nall"
    assert host.ask(terminal, "stty | grep -c -- -icanon") == "0"  # as it was before


def test_resizes_pass_through(host, terminal):
    terminal.sendline(f"ispawn --quiet {TREE} bash --norc")
    host.set_prompt(terminal)
    terminal.setwinsize(41, 123)
    wait_until(lambda: host.ask(terminal, "stty size") == "41 123")
    terminal.sendline("exit")
    terminal.expect_exact("READY> ")


def test_job_control_inside_and_outside(host, terminal):
    terminal.sendline(f"ispawn --quiet {TREE} bash --norc")
    host.set_prompt(terminal)
    terminal.sendline("sleep 1000")
    time.sleep(0.3)
    terminal.sendcontrol("z")
    terminal.expect_exact("Stopped")
    terminal.expect_exact("READY> ")
    assert "Stopped" in host.ask(terminal, "jobs")
    terminal.sendline("fg")
    time.sleep(0.3)
    terminal.sendcontrol("c")
    terminal.expect_exact("READY> ")
    assert host.ask(terminal, "echo $?") == "130"
    # The runner as a job of the host's shell: stopped and continued from outside.
    runner, = [pid for pid, p in processes().items() if p["name"] == "ispawn"]
    os.kill(runner, signal.SIGTSTP)
    terminal.expect_exact("READY> ")
    assert "Stopped" in host.ask(terminal, "jobs")
    terminal.sendline("fg")
    terminal.expect_exact("ispawn")
    assert host.ask(terminal, "hostname") .endswith("tree")
    terminal.sendline("exit 5")
    terminal.expect_exact("READY> ")
    assert host.ask(terminal, "echo $?") == "5"


def test_a_terminal_that_goes_away_takes_it_along(host):
    child = pexpect.spawn("ispawn", ["--quiet", str(TREE), "sleep", "1000"], timeout=20)
    wait_until(lambda: any(p["command"].startswith("sleep 1000") for p in processes().values()))
    child.close(force=False)
    assert not host.wait_clean()


# --- nothing is left -----------------------------------------------------------------------------


@pytest.mark.parametrize("victim", ["ispawn", "ispawn-supervis", "ispawn-init", "cat"])
def test_kill_9_of_each_process_leaves_nothing(host, victim):
    with Running(TREE, "sh", "-c", "sleep 1000 & setsid sleep 1000 & echo up; exec cat") as process:
        def victims():
            return [pid for pid, p in processes().items() if p["name"] == victim and p["state"] != "Z"]
        wait_until(lambda: len(victims()) == 1)  # the shell becomes a cat
        found = victims()
        os.kill(found[0], signal.SIGKILL)
        process.wait(20)
        if victim == "cat":
            assert process.returncode == 137
        elif victim != "ispawn":
            assert process.returncode == 125
        if victim == "ispawn-supervis":  # what it leaves on disk the next run sweeps
            assert ispawn(TREE, "true").returncode == 0
        assert not host.wait_clean()


def memory(pid):
    """All that a process has written."""
    found = b""
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as mem:
        for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
            start, end = (int(part, 16) for part in line.split()[0].split("-"))
            if line.split()[1].startswith("rw"):
                mem.seek(start)
                found += mem.read(end - start)
    return found


@pytest.mark.parametrize("arguments", [[], ["--quiet"] * 9])
def test_the_supervisor_keeps_nothing_of_its_callers(host, tmp_path, arguments):
    def prepare():
        os.umask(0o077)
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])

    secrets = {"BRIEF_SECRET": "of-the-environment", "LONG_SECRET": "0123456789" * 100}
    with (tmp_path / "open").open("w") as inherited, \
            Running(*arguments, "--setenv", "GIVEN=on-the-command-line", TREE, "sh", "-c", "echo up; exec cat",
                    env={"PATH": os.environ["PATH"], **secrets}, cwd=tmp_path, preexec_fn=prepare,
                    pass_fds=[inherited.fileno()]) as process:
        pid, = host.pids("ispawn-supervisor")
        proc = pathlib.Path("/proc", str(pid))
        assert (proc / "cmdline").read_bytes().split(b"\0")[0] == b"ispawn-supervisor"
        assert not (proc / "environ").read_bytes().strip(b"\0")
        # The sanitizer's own copy of the environment is the sanitizer's.
        for secret in () if os.environ.get("SANITIZE") else (*secrets.values(), "on-the-command-line"):
            assert secret.encode() not in memory(pid)
            assert secret.encode() in memory(process.pid)
        stat_fields = (proc / "stat").read_text().rsplit(") ", 1)[1].split()
        assert stat_fields[3:5] == [str(pid), "0"]  # a session of its own, without a terminal
        assert stat_fields[35] == "0"  # no exit signal: no SIGCHLD, and nothing that wait() finds
        status = dict(line.split(":\t", 1) for line in (proc / "status").read_text().splitlines())
        assert (status["Umask"], int(status["SigIgn"], 16), int(status["SigCgt"], 16)) == ("0022", 0, 0)
        assert status["Groups"].strip() == ""
        assert os.readlink(proc / "cwd") == "/"
        links = {fd.name: os.readlink(fd) for fd in (proc / "fd").iterdir()}
        assert {links.pop(str(fd)) for fd in range(3)} == {"/dev/null"}
        assert not any(str(tmp_path) in link or "pipe:" in link for link in links.values()), links


def test_its_name_fits_the_shortest_command_line(host):
    # A caller without any variable.
    (TREE / "q").symlink_to("/usr/bin/cat")
    process = subprocess.Popen(["i", ".", "/q"], executable="/usr/bin/ispawn", stdin=subprocess.PIPE, cwd=TREE,
                               env={}, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: any(p["name"] == "q" for p in processes().values()))
        pid, = host.pids("ispawn-supervisor")
        assert b"ispawn-supervisor".startswith(pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().strip(b"\0"))
    finally:
        process.communicate()
        (TREE / "q").unlink()


def test_a_supervisor_that_cannot_be_cloned_is_told(host):
    done = run("strace", "-o", "/dev/null", "-e", "trace=clone3", "-e", "inject=clone3:error=EAGAIN", "ispawn", str(TREE), "true")
    assert done.returncode == 125 and "clone the supervisor: Resource temporarily" in done.stderr, done


def test_what_the_command_leaves_running_ends_with_it(host):
    assert sh("setsid sleep 1000 > /dev/null 2>&1 & echo done") == "done"
    assert not any(p["command"].startswith("sleep 1000") for p in processes().values())
    # The entry and an empty cgroup may be there for a moment, and nothing else.
    wait_until(lambda: not host.sessions() and not host.cgroups())


def test_what_it_leaves_running_may_end_in_order(host):
    (TREE / "root/words").unlink(missing_ok=True)
    script = ("sh -c 'trap \"\" HUP; trap \"echo bye > /root/words; exit\" TERM; : > /root/words; "
              "while :; do sleep 0.01; done' 2> /dev/null & until [ -e /root/words ]; do sleep 0.01; done; echo done")
    assert sh(script) == "done"
    assert (TREE / "root/words").read_text() == "bye\n"
    wait_until(lambda: not host.sessions())


@pytest.mark.parametrize("command, status", [("read -r _; seq 9000; exit 7", 7), ("read -r _; exec /nonesuch", 127)])
def test_it_ends_with_its_command_and_not_when_told_so(host, command, status):
    with Running("--quiet", TREE, "sh", "-c", f"echo up; {command}") as process:
        session, = host.sessions()
        entered = subprocess.Popen(["ispawnctl", "enter", session, "sh", "-c", "echo in; exec sleep 1000"],
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        with entered.stdout:
            assert entered.stdout.readline() == b"in\n"
            process.send_signal(signal.SIGSTOP)
            process.stdin.write(b"\n")
            process.stdin.flush()
            wait_until(lambda: not host.sessions() and not host.cgroups())
            assert entered.wait(20) != 0
        process.send_signal(signal.SIGCONT)
        out, _ = process.communicate(timeout=20)
        assert process.returncode == status
        assert status == 127 or out.splitlines() == [b"%d" % i for i in range(1, 9001)]


def test_what_a_terminal_got_last_is_shown_though_the_container_is_gone(host):
    (TREE / "root/go").unlink(missing_ok=True)
    script = "echo up; until [ -e /root/go ]; do sleep 0.01; done; seq 500; echo over; exit 3"
    child = host.spawn("ispawn", "--quiet", str(TREE), "sh", "-c", script)
    child.expect_exact("up")
    child.kill(signal.SIGSTOP)
    (TREE / "root/go").touch()
    wait_until(lambda: not host.sessions())
    child.kill(signal.SIGCONT)
    child.expect_exact("\r\n500\r\nover\r\n")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 3


def test_entering_a_running_one_does_not_end_it(host):
    with Running("--quiet", TREE, "sh", "-c", "echo up; read -r _; echo still") as process:
        session, = host.sessions()
        for argv in (["true"], ["sh", "-c", "exit 3"], ["/nonesuch"]):
            assert run("ispawnctl", "enter", session, *argv).returncode == {"true": 0, "sh": 3, "/nonesuch": 127}[argv[0]]
            assert run("ispawnctl", "enter", "--root", session, *argv).returncode == (
                {"true": 0, "sh": 3, "/nonesuch": 127}[argv[0]])
            assert host.sessions() == [session]
        assert process.communicate(b"\n", timeout=20)[0] == b"still\n" and process.returncode == 0


def test_a_command_that_cannot_be_asked_for_leaves_nothing(host):
    done = ispawn(TREE, "true", *["x"] * 4097)
    assert done.returncode == 125 and b"ispawn: " in done.stderr, done
    assert not host.sessions() and not host.cgroups()


@pytest.mark.parametrize("name", ["INT", "TERM", "HUP"])
def test_a_signal_ends_a_start_that_waits(host, name):
    assert text(TREE, "true") == ""
    held = os.open(STORE / "users/root", os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(held, fcntl.LOCK_EX)  # as another start
    try:
        process = subprocess.Popen(["ispawn", TREE, "true"], preexec_fn=lambda: signal.signal(signal.Signals[f"SIG{name}"], signal.SIG_DFL))
        wait_until(lambda: host.pids("ispawn-supervisor"))
        process.send_signal(signal.Signals[f"SIG{name}"])
        assert process.wait(20) == -signal.Signals[f"SIG{name}"]
        wait_until(lambda: not host.pids("ispawn-supervisor"))
    finally:
        os.close(held)
    assert not host.sessions()


def test_a_killed_start_leaves_nothing(host):
    for delay in range(0, 12):
        process = subprocess.Popen(["ispawn", "--quiet", TREE, "sleep", "1000"])
        time.sleep(delay / 1000)
        process.kill()
        process.wait()
    assert not host.wait_clean()


def test_many_at_once(host):
    running = [subprocess.Popen(["ispawn", "--quiet", TREE, "sh", "-c", f"echo {i}; sleep 0.2; exit {i}"],
                                stdout=subprocess.PIPE) for i in range(20)]
    assert [(p.communicate(timeout=60)[0], p.returncode) for p in running] == [(b"%d\n" % i, i) for i in range(20)]


# --- who may -------------------------------------------------------------------------------------


def test_a_session_of_roots_is_listed_and_killed(host):
    with Running(TREE, "sh", "-c", "echo up; exec cat") as process:
        session, = host.sessions()
        assert session.startswith("root.")
        assert session in run("ispawnctl", "list").stdout
        assert run("ispawnctl", "kill", session).returncode == 0
        assert process.wait(20) in (125, 129)


def test_a_user_of_the_host_with_the_tenants_uid_gets_no_further(host):
    with Running("--user", str(1001), TREE, "sh", "-c", "echo up; exec cat"):
        session, = host.sessions()
        path = f"/run/ispawn/sessions/{session}/socket"
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600 and os.stat(path).st_uid == 0
        script = f"import socket; s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.connect('{path}')"
        assert run("setpriv", "--reuid=1001", "--clear-groups", "python3", "-c", script).returncode != 0


def test_a_login_of_a_confined_user_may_not_name_a_program_or_place(host):
    # The runner's own request, on a session whose spec does not allow it; and the login's, which it does.
    def ask(is_command, has_directory, *args):
        count = len(args) - has_directory  # the directory comes last
        header = struct.pack("=10I60s8s", 0x69737232, 0, is_command, has_directory, 0o22, 0, 0, 0, count, 0, b"", b"")
        fd = os.memfd_create("request", os.MFD_ALLOW_SEALING)
        os.write(fd, header + b"".join(arg + b"\0" for arg in args))
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, 0xf)
        message = struct.pack("=IIIiiI240s256s", magic, types.index("OPEN"), 0, 0, 0, 0, b"", b"by hand")
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            os.seteuid(pwd.getpwnam("guest").pw_uid)
            try:
                sock.connect(f"/run/ispawn/sessions/{session}/socket")
            finally:
                os.seteuid(0)
            socket.send_fds(sock, [message], [fd])
            os.close(fd)
            sock.settimeout(10)
            answer = struct.unpack("=IIIiiI240s256s", sock.recv(4096))
        return types[answer[1]], answer[6].split(b"\0")[0].decode()
    protocol = (HERE.parents[1] / "include/ispawn/session/protocol.h").read_text()
    magic = int(re.search(r"define ISP_MESSAGE_MAGIC (0x[0-9a-f]+)u", protocol).group(1), 16)
    types = re.findall(r"^\tISP_MESSAGE_(\w+),", protocol, re.M)
    with host.open_session("guest"):
        session, = host.sessions()
        assert ask(0, 0, b"-c", b"exit 0")[0] == "STARTED"
        assert ask(1, 0, b"/bin/true") == ("REFUSED", "this account runs its shell and nothing else by name")
        assert ask(0, 1, b"-c", b"exit 0", b"/tmp") == ("REFUSED", "this account starts in its home and nowhere else")


def test_it_is_not_setuid(host):
    path = pathlib.Path("/usr/bin/ispawn-setuid")
    path.write_bytes(pathlib.Path("/usr/bin/ispawn").read_bytes())
    path.chmod(0o4755)
    try:
        done = run("setpriv", "--reuid=free", "--regid=free", "--init-groups", str(path), str(TREE), "true")
        assert done.returncode == 125 and "must not be setuid" in done.stderr
    finally:
        path.unlink()
