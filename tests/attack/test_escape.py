# SPDX-License-Identifier: GPL-3.0-or-later
"""Ways out: to the host's root directory, its processes, its descriptors."""
import contextlib
import os
import pathlib
import re
import subprocess

import pytest

from conftest import HERE, LAYER, MARK, PLACES
from host import LIBEXEC, processes, run, wait_until

BATCH = ["-o", "BatchMode=yes", "-o", "LogLevel=ERROR"]


@pytest.fixture(scope="session", name="escapes")
def try_once(the_host, upload):
    """{place: {try: verdict}}, and under ("seen", place) what /proc showed of other processes."""
    found = {}
    for name, policy in PLACES.items():
        the_host.guest(*policy)
        lines = upload("escape.c", MARK.name)
        found[name] = {line[0]: line[1] for line in lines if line[0] != "seen"}
        found["seen", name] = [line[1:] for line in lines if line[0] == "seen"]
    assert not the_host.wait_clean()
    return found


@pytest.fixture(params=PLACES, name="tried")
def make_tried(escapes, request):
    return escapes[request.param]


def test_the_tries_tell(upload):
    """On the host itself the same program reaches what there is to reach."""
    found = {line[0]: line[1] for line in upload("escape.c", MARK.name, user="root")}
    for name in ("dots", "chroot, fchdir", "chroot twice", "openat2", "/proc/1/root", "setns", "ptrace init",
                 "/proc/1/mem", "/proc/1/fd", "device nodes", "other processes"):
        assert found[name] == "reached", name


def test_chroot_escape(tried):
    """A second chroot, with and without a kept descriptor, and "..": SYS_CHROOT is in root's set."""
    for name in ("dots", "chroot, fchdir", "chroot twice", "openat2"):
        assert tried[name] == "not", name


def test_chroot_itself_works_for_root_inside(host, root_inside):
    assert host.sh("guest", "chroot / /bin/echo in a chroot") == "in a chroot"


def test_proc_root_and_cwd_of_others(tried):
    """Pitfall 21: /proc/1/root, /proc/*/root, /proc/*/cwd, /proc/*/fd lead nowhere."""
    for name in ("/proc/1/root", "/proc/self/task", "other processes"):
        assert tried[name] == "not", name


def test_setns(tried):
    """Pitfall 20: what namespaces there are to enter are one's own, and entering is refused."""
    assert tried["setns"] == "not"


def test_cve_2016_9962_ptrace_of_init(tried):
    """Pitfall 20: PID 1 is not traced, its memory, environment and descriptors are not read."""
    for name in ("ptrace init", "/proc/1/mem", "/proc/1/fd"):
        assert tried[name] == "not", name


def test_dd_of_a_disk_by_a_node_of_ones_own(tried):
    """Pitfall 35: neither made nor, where a file system took it, opened."""
    assert tried["device nodes"] == "not"


def test_shocker(tried):
    """Pitfall 46: open_by_handle_at with a guessed handle."""
    assert tried["open_by_handle_at"] == "not"


def test_cve_2024_21626_leaked_descriptors(tried, escapes, host):
    """Pitfall 21: no directory or file of the host is open, in oneself or in anything that runs inside."""
    assert tried["own descriptors"] == "not"
    for name in PLACES:
        targets = {target for what, target in escapes["seen", name] if what.startswith("fd/")}
        odd = {t for t in targets if not re.fullmatch(r"(pipe|socket):\[\d+\]|/dev/null", t)}
        assert not odd, odd
        # The shell that started it, init's other children: all stand inside.
        assert {t for what, t in escapes["seen", name] if what == "root"} <= {"/"}


def descriptors(pid):
    """Number to target; one that is closed meanwhile is none."""
    found = {}
    for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found[entry.name] = os.readlink(entry)
    return found


def test_init_holds_two_sockets_and_nothing_of_the_host(host, place):
    """Pitfall 21: as seen from the host, where nothing is hidden."""
    def is_quiet(pid):
        return not [t for t in descriptors(pid).values() if t.startswith("pipe:")]
    with host.open_session("guest"):
        init, = host.pids("ispawn-init")
        # The tenant's streams pass through init's hands, and do not stay there.
        wait_until(lambda: is_quiet(init), what="init to close its tenant's streams")
        found = descriptors(init)
        root = run("readlink", f"/proc/{init}/cwd", f"/proc/{init}/root").stdout.split()
    assert {found.pop(n) for n in "012"} == {"/dev/null"}
    odd = {t for t in found.values() if not re.match(r"socket:|anon_inode:|/memfd:", t)}
    assert not odd, odd
    assert root == ["/", "/"]


def test_cwd_outside_the_root(host, place):
    """Pitfall 21, CVE-2024-21626: the working directory is a name inside, for init and tenants."""
    script = f"readlink /proc/$$/cwd; cd ../../../..; pwd -P; test -e {MARK} && echo out; /bin/pwd; ls -di / . | " \
             "cut -c1-20 | tr -d ' /.' | sort -u | wc -l"
    home = "/root" if place == "root" else "/home/guest"
    assert host.sh("guest", script).split() == [home, "/", "/", "1"]


def test_cve_2016_9962_whoever_joins_brings_nothing(host, compile_c, root_inside, tmp_path):
    """Pitfall 20: an attacker watches every process that appears while others join his session."""
    control = ["-o", f"ControlPath={tmp_path}/control"]
    master = subprocess.Popen(["ssh", *BATCH, *control, "-MN", "guest@localhost"])
    try:
        wait_until((tmp_path / "control").exists, what="the shared connection")
        host.ssh("guest", "cat > /tmp/w; chmod 700 /tmp/w", input=compile_c((HERE / "escape.c").read_text()),
                 options=control)
        with (tmp_path / "seen").open("wb") as seen:
            watcher = host.popen("guest", f"exec /tmp/w {MARK.name} 3", options=control, stdout=seen)
            joined = 0
            while watcher.poll() is None:
                assert host.ssh("guest", "true", options=control).returncode == 0
                joined += 1
            watcher.communicate()
    finally:
        run("ssh", *control, "-O", "exit", "guest@localhost")
        master.wait(10)
    lines = [line.split("\t") for line in (tmp_path / "seen").read_text().splitlines()]
    assert joined > 3 and ["other processes", "not"] in [line[:2] for line in lines]
    # "not" says that each file and directory among these was on a mount of the container's own.
    seen = {line[2] for line in lines if line[0] == "seen" and line[1].startswith("fd/")}
    assert [t for t in seen if t.startswith("/usr/lib/")], "nobody was caught starting"


def test_cve_2019_5736_the_programs_own_file(host, place, python_inside):
    """Pitfall 19: init's file is the host's; neither its content nor its mode can be changed from inside."""
    program = LIBEXEC / "ispawn-init"
    before = (program.stat().st_mtime_ns, program.read_bytes())
    done = python_inside("""
import os
for path in ("/proc/1/exe", "/proc/self/exe", "/proc/1/map_files", "/proc/1/root/proc/1/exe"):
    for flags in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR | os.O_TRUNC):
        try:
            fd = os.open(path, flags)
            print(path, flags, os.readlink(f"/proc/self/fd/{fd}"))
        except OSError as e:
            pass
try:
    os.execv("/proc/1/exe", ["x"])
except OSError as e:
    print("exec", e.errno)
""")
    assert b"ispawn" not in done.stdout
    assert b"/proc/1/" not in done.stdout, done.stdout
    assert b"exec 13" in done.stdout or b"exec 1\n" in done.stdout, done
    assert (program.stat().st_mtime_ns, program.read_bytes()) == before


def test_no_process_of_the_host_is_seen_or_signalled(host, place):
    """kill -1 reaches one's own container; echo $$ tells a small number of one's own."""
    with host.open_session("student"):
        before = {pid for pid, p in processes().items() if "ispawn" in p["name"] or p["name"] == "sshd"}
        done = host.ssh("guest", "echo $$; ls -d /proc/[0-9]* | wc -l; kill -9 -1; echo survived; kill -9 1; "
                                 "test -d /proc/1 && echo init too")
        after = set(processes())
        assert before <= after
    lines = done.stdout.split(b"\n")
    assert int(lines[0]) < 20 and int(lines[1]) < 10
    assert lines[2:] in ([b"survived", b"init too", b""], [b""])


def test_cve_2019_14271_and_cve_2025_32463_name_services(host, root_inside, compile_shared, clean_store):
    """Pitfall 18: a name service module planted in the copy is loaded by its own programs alone."""
    clean_store("guest")
    module = """
        #include <stdio.h>
        #include <stdlib.h>
        #include <unistd.h>
        __attribute__((constructor)) static void run(void) {
            FILE *f = fopen("/loaded", "a"); char name[64] = "";
            FILE *c = fopen("/proc/self/comm", "r"); if (c) fgets(name, sizeof name, c);
            if (f) fprintf(f, "%d %s", getpid(), name); if (f) fclose(f); }"""
    host.sh("guest", "cat > /usr/lib/x86_64-linux-gnu/libnss_evil.so.2; sed -i 's/^\\(passwd\\|group\\):.*/\\1: evil/' "
                     "/etc/nsswitch.conf", input=compile_shared(module))
    try:
        assert host.sh("guest", "echo logged in") == "logged in"
        with host.open_session("guest"):
            for name in ("ispawn-init", "ispawn-supervisor", "ispawn-shell"):
                for pid in host.pids(name):
                    maps = run("cat", f"/proc/{pid}/maps").stdout
                    assert "libnss" not in maps and str(LAYER) not in maps
            # It does load where it may: without this the test would prove nothing.
            host.ssh("guest", "getent passwd nobody-in-particular")
        assert not run("ls", "/loaded").stdout
        names = set(host.sh("guest", "cat /loaded").split()[1::2])
        assert names and not {n for n in names if n.startswith(("ispawn", "sshd", "cp"))}, names
    finally:
        clean_store("guest")


def test_pids_are_held_and_not_remembered(host):
    """Pitfall 22: the supervisor signals through pidfds; a number that was reused is never hit."""
    with host.open_session("guest"):
        session, = host.sessions()
        pid, = host.pids("ispawn-supervisor")
        links = run("sh", "-c", f"readlink /proc/{pid}/fd/*").stdout
        assert links.count("[pidfd]") >= 2, "the login's program and init"
        trace = subprocess.Popen(["strace", "-qq", "-f", "-e", "trace=kill,tkill,tgkill,pidfd_send_signal", "-p",
                                  str(pid)], stderr=subprocess.PIPE, text=True)
        wait_until(lambda: "TracerPid:\t0" not in run("cat", f"/proc/{pid}/status").stdout)
        assert run("ispawnctl", "kill", session).returncode == 0
        calls = trace.communicate(timeout=20)[1]
    assert not re.search(r"^(\[pid +\d+\] )?t?g?kill\(", calls, re.M), calls
