# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters beside the default one: profiles of the administrator's, and `seccomp = learn`.

What a profile says is tried from inside, by programs that make the calls, for 64 and for 32 bits;
the host's root is asked the same, so that an answer that everybody gets proves nothing.
"""
import contextlib
import json
import os
import pathlib
import re

import pytest

from host import HERE, LIBEXEC, restored, run

PROFILES = pathlib.Path("/etc/ispawn/seccomp")
CACHE = pathlib.Path("/var/cache/ispawn")
USUAL = HERE / "seccomp-profile.json"
COMPILER = LIBEXEC / "ispawn-seccomp"

# Each argument: NAME=NUMBER,ARGUMENT...; prints NAME and the errno.  The numbers are of the ABI.
CALLS = """
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        char *at = strchr(argv[i], '=');
        long n, a[6] = {0};
        *at++ = 0;
        n = strtol(at, &at, 0);
        for (int k = 0; k < 6 && *at == ','; k++)
            a[k] = (long)strtoull(at + 1, &at, 0);
        errno = 0;
        long r = syscall(n, a[0], a[1], a[2], a[3], a[4], a[5]);
        printf("%s %s\\n", argv[i], r == -1 ? strerrorname_np(errno) : "0");
    }
}
"""
NEWUSER, NEWNS = 0x10000000, 0x20000
HIGH = 0xdeadbeef00000000
# The containment's own answers, whatever a profile says: the call, and what it must get.
MANDATORY = {
    "unshare-user": (f"272,{NEWUSER}", "EPERM"), "unshare-high": (f"272,{NEWUSER | HIGH}", "EPERM"),
    "clone-ns": (f"56,{NEWNS}", "EPERM"), "clone3": "435,0,0 ENOSYS".split(), "keyctl": ("250,0x7fffffff", "EPERM"),
    "add_key": ("248,8,8", "EPERM"), "request_key": ("249,8,8", "EPERM"),
    "tiocsti": ("16,-1,0x5412", "EPERM"), "tiocsti-high": (f"16,-1,{0x5412 | HIGH}", "EPERM"),
    "tioclinux": ("16,-1,0x541c", "EPERM"), "vsock": ("41,40,1", "EAFNOSUPPORT"),
    "x32": ("0x40000027", "ENOSYS"), "unknown": ("9999", "ENOSYS")}
MANDATORY_32 = {
    "unshare-user": (f"310,{NEWUSER}", "EPERM"), "clone-ns": (f"120,{NEWNS}", "EPERM"),
    "clone3": ("435,0,0", "ENOSYS"), "keyctl": ("288,0x7fffffff", "EPERM"), "tiocsti": ("54,-1,0x5412", "EPERM"),
    "vsock": ("359,40,1", "EAFNOSUPPORT"), "socketcall": ("102,1,8", "ENOSYS"), "unknown": ("9999", "ENOSYS")}


@pytest.fixture(autouse=True)
def no_profiles():
    """Neither profiles nor compiled ones, before and after."""
    def remove():
        for directory in (PROFILES, CACHE):
            for path in directory.glob("*") if directory.is_dir() else ():
                path.unlink()
    remove()
    yield
    remove()


def write(name, profile):
    path = PROFILES / f"{name}.json"
    path.write_text(profile if isinstance(profile, str) else json.dumps(profile))
    return path


def usual():
    return json.loads(USUAL.read_text())


@pytest.fixture(name="calls")
def make_calls(host, compile_c):
    """calls(user, {name: "NUMBER,ARGUMENT..."}): what each call is answered."""
    def ask(user, wanted, *flags):
        words = " ".join(f"{name}={call}" for name, call in wanted.items())
        done = host.ssh(user, f"cat > /tmp/calls && chmod 700 /tmp/calls && exec /tmp/calls {words}",
                        input=compile_c(CALLS, *flags))
        assert done.returncode == 0, done.stderr
        return dict(line.split() for line in done.stdout.decode().splitlines())
    return ask


def check_mandatory(calls):
    assert calls("guest", {n: c for n, (c, _) in MANDATORY.items()}) == {n: a for n, (_, a) in MANDATORY.items()}
    assert calls("guest", {n: c for n, (c, _) in MANDATORY_32.items()}, "-m32") == \
        {n: a for n, (_, a) in MANDATORY_32.items()}


def check():
    """ispawnctl check: its failures, and its lines about filters."""
    done = run("ispawnctl", "check")
    lines = done.stdout.splitlines()
    failures = [line for line in lines if line.startswith("FAIL: ")]
    assert (done.returncode != 0) == bool(failures), done
    return failures, [line for line in lines if line.startswith("ok: ") and "seccomp" in line]


# --- a profile in force --------------------------------------------------------------------------

def test_a_profile_of_the_usual_shape_holds_a_login(host, calls, log):
    """Allowed calls work, others get the default errno or their own; what is allowed only there."""
    write("lab", usual())
    host.guest("seccomp = lab")
    asked = {"getpid": "39", "sync": "162", "mount": "165,8,8,8", "personality": "135,0xffffffff",
             "no-randomize": "135,0x40000", "chroot": "161,8", "bpf": "321,0,8,0", "packet": "41,17,255"}
    assert calls("guest", asked) == {
        "getpid": "0", "sync": "EOPNOTSUPP", "mount": "EPERM", "personality": "0", "no-randomize": "EPERM",
        "chroot": "EPERM", "bpf": "EPERM", "packet": "EINVAL"}
    root = calls("root", asked)
    assert root["sync"] == root["no-randomize"] == "0" and root["chroot"] == "EFAULT" and root["mount"] == "EFAULT"
    check_mandatory(calls)
    assert 'seccomp="lab"' in log()


def test_conditions_follow_the_capabilities_inside(host, calls):
    """chroot is in the profile where CAP_SYS_CHROOT is; the two policies do not share a compiled form."""
    write("lab", usual())
    for lines, answer in ((["privilege = root"], "EFAULT"), ([], "EPERM"),
                          (["privilege = root", "capabilities = chown, setuid, setgid"], "EPERM")):
        host.guest("seccomp = lab", *lines)
        assert calls("guest", {"chroot": "161,8"}) == {"chroot": answer}
    assert len(list(CACHE.glob("lab.*"))) == 3


def test_a_profile_that_allows_everything_does_not_open_the_container(host, calls):
    write("open", {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]})
    host.guest("seccomp = open")
    check_mandatory(calls)
    # The kernel's own answers, for the rest: the profile is really in force.
    assert calls("guest", {"io_uring": "425,1,8", "userfaultfd": "323,0xffff"}) == \
        {"io_uring": "EFAULT", "userfaultfd": "EINVAL"}
    host.guest()
    assert calls("guest", {"io_uring": "425,1,8", "userfaultfd": "323,0xffff"}) == \
        {"io_uring": "EPERM", "userfaultfd": "EPERM"}


def test_i386_is_unknown_where_the_profile_does_not_cover_it(host, compile_c):
    write("native", {"defaultAction": "SCMP_ACT_ALLOW"})
    host.guest("seccomp = native")
    done = host.ssh("guest", "cat > /tmp/p && chmod 700 /tmp/p && /tmp/p a=20", input=compile_c(CALLS, "-m32"))
    assert done.returncode != 0


def test_arguments_are_compared_in_64_bits(host, calls):
    """For i386, whose arguments have 32, no comparison is cut: 0x100000001 never equals 1 there."""
    wide, narrow = 0x100000001, 1
    sync, sync_32 = "187", "225"  # readahead(fd, offset, count): any errno but ours means allowed

    def profile(op, **values):
        return {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"], "syscalls": [
            {"names": ["readahead"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95,
             "args": [{"index": 1, "op": f"SCMP_CMP_{op}", **values}]}]}

    for op, values, refused, refused_32 in (
            ("EQ", {"value": wide}, {wide}, set()), ("NE", {"value": wide}, {narrow, 0}, {narrow, 0}),
            ("GT", {"value": 0xffffffff}, {wide}, set()), ("LT", {"value": wide}, {narrow, 0}, {narrow, 0}),
            ("GE", {"value": 1 << 62}, set(), set()), ("LE", {"value": 0}, {0}, {0}),
            ("MASKED_EQ", {"value": 0x1ffffffff, "valueTwo": wide}, {wide}, set()),
            ("MASKED_EQ", {"value": 0xff000000ff, "valueTwo": 1}, {narrow, wide & ~0x100000000 | 1 << 50}, {narrow})):
        write("wide", profile(op, **values))
        host.guest("seccomp = wide")
        tried = {0, narrow, wide, 1 | 1 << 50} if op == "MASKED_EQ" else {0, narrow, wide}
        answers = calls("guest", {str(v): f"{sync},-1,{v},0" for v in tried})
        assert {int(v) for v, a in answers.items() if a == "EOPNOTSUPP"} == refused & tried, (op, values, answers)
        answers = calls("guest", {str(v): f"{sync_32},-1,{v},0" for v in (0, narrow)}, "-m32")
        assert {int(v) for v, a in answers.items() if a == "EOPNOTSUPP"} == refused_32, (op, values, answers)


def test_sudo_inside_works_under_a_profile(host):
    write("lab", usual())
    host.guest("seccomp = lab", "privilege = root")
    assert host.sh("guest", "id -u; su -s /bin/sh guest -c 'id -un'").split() == ["0", "guest"]


def test_terminals_work_under_a_profile(host):
    write("lab", usual())
    host.guest("seccomp = lab")
    child = host.terminal("guest")
    assert host.ask(child, "tty").startswith("/dev/pts/")
    assert host.ask(child, "grep ^Seccomp: /proc/self/status") == "Seccomp:\t2"
    assert host.leave(child) == 0


@pytest.mark.parametrize("action", ["SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRAP"])
def test_a_profile_too_narrow_to_build_denies(host, log, action):
    """What could not even say why is refused when it is compiled; the rest when the builder meets it."""
    write("narrow", {"defaultAction": action, "architectures": ["SCMP_ARCH_X86_64"]})
    host.guest("seccomp = narrow")
    assert host.ssh("guest", "true").returncode != 0
    assert re.search(r'narrow\.json.*capget.* is not allowed', log())
    failures, _ = check()
    assert any("seccomp profile narrow" in failure for failure in failures)
    needed = ["capget", "capset", "clone", "close_range", "execve", "exit_group", "openat", "prctl",
              "recvmsg", "sendmsg", "setgroups", "setresgid", "setresuid"]
    write("narrow", {"defaultAction": action, "syscalls": [{"names": needed, "action": "SCMP_ACT_ALLOW"}]})
    assert host.ssh("guest", "true").returncode != 0
    # A sanitizer needs calls of its own, and dies without them before init can say why.
    told = "under the seccomp profile|by the seccomp profile" + ("|was killed by signal" if os.environ.get("SANITIZE") else "")
    assert re.search(told, log())
    failures, _ = check()
    assert any("seccomp profile narrow" in failure for failure in failures)


# --- the cache -----------------------------------------------------------------------------------

@contextlib.contextmanager
def no_compiler():
    """It is there, unchanged, and cannot be executed."""
    mode = COMPILER.stat().st_mode & 0o7777
    try:
        COMPILER.chmod(0o644)
        yield
    finally:
        COMPILER.chmod(mode)


def test_a_profile_is_compiled_once(host, log):
    path = write("lab", usual())
    host.guest("seccomp = lab")
    with no_compiler():
        assert host.ssh("guest", "true").returncode != 0
        assert "ispawn-seccomp" in log()
    host.sh("guest", "true")
    entry, = CACHE.glob("lab.*")
    assert (entry.stat().st_mode & 0o7777, CACHE.stat().st_mode & 0o7777) == (0o600, 0o700)
    with no_compiler():
        host.sh("guest", "true")
        path.write_text(path.read_text() + "\n")
        assert host.ssh("guest", "true").returncode != 0
    inode = entry.stat().st_ino
    host.sh("guest", "true")
    assert entry.stat().st_ino != inode
    assert not list(CACHE.glob(".new"))


def damage_cut(entry):
    entry.write_bytes(entry.read_bytes()[:-8])


def damage_empty(entry):
    entry.write_bytes(b"")


def damage_longer(entry):
    entry.write_bytes(entry.read_bytes() + bytes(8))


def damage_other_profile(entry):
    content = entry.read_bytes()
    entry.write_bytes(content.replace(b'"sync"', b'"sinc"'))


def damage_writable(entry):
    entry.chmod(0o666)


def damage_owner(entry):
    os.chown(entry, 12345, 0)


def damage_symlink(entry):
    content = entry.read_bytes()
    entry.unlink()
    (CACHE / "elsewhere").write_bytes(content)
    entry.symlink_to("/nonexistent")


@pytest.mark.parametrize("damage", [damage_cut, damage_empty, damage_longer, damage_other_profile, damage_writable,
                                    damage_owner, damage_symlink])
def test_a_damaged_entry_is_made_again(host, calls, damage):
    write("lab", usual())
    host.guest("seccomp = lab")
    host.sh("guest", "true")
    entry, = CACHE.glob("lab.*")
    good = entry.read_bytes()
    damage(entry)
    with no_compiler():  # it is not taken
        assert host.ssh("guest", "true").returncode != 0
    assert calls("guest", {"sync": "162"}) == {"sync": "EOPNOTSUPP"}
    assert entry.read_bytes() == good and entry.stat().st_uid == 0 and entry.stat().st_mode & 0o7777 == 0o600


def test_another_compiler_compiles_again(host):
    """A new libseccomp knows other calls: the entry holds the file it was made by."""
    write("lab", usual())
    host.guest("seccomp = lab")
    host.sh("guest", "true")
    entry, = CACHE.glob("lab.*")
    for path in (COMPILER, pathlib.Path("/usr/lib/x86_64-linux-gnu/libseccomp.so.2").resolve()):
        inode = entry.stat().st_ino
        os.utime(path)
        host.sh("guest", "true")
        assert entry.stat().st_ino != inode, path


def test_without_a_cache_each_login_compiles(host):
    write("lab", usual())
    host.guest("seccomp = lab")
    CACHE.mkdir(exist_ok=True)
    try:
        CACHE.chmod(0o777)
        host.sh("guest", "true")
        assert not list(CACHE.glob("*"))
        failures, _ = check()
        assert failures and all(str(CACHE) in failure for failure in failures)
    finally:
        CACHE.chmod(0o700)


# --- refused profiles ----------------------------------------------------------------------------

def rule(**members):
    return {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["sync"], "action": "SCMP_ACT_ERRNO", **members}]}


@pytest.mark.parametrize("profile, words", [
    ("{", "line 1"),
    ({"defaultAction": "SCMP_ACT_ALLOW", "seccomp": {}}, '"seccomp" is not a key'),
    (rule(action="SCMP_ACT_NOTIFY"), "syscalls[0]: action:"),
])
def test_a_bad_profile_denies_and_is_named(host, log, profile, words):
    write("bad", profile)
    host.guest("seccomp = bad")
    assert host.ssh("guest", "true").returncode != 0
    told = log().replace('\\"', '"')
    assert "/etc/ispawn/seccomp/bad.json" in told and words in told
    failures, _ = check()
    assert failures and "bad.json" in failures[0]
    assert host.sh("free", "echo fine") == "fine"


def test_a_missing_profile_denies(host, log):
    host.guest("seccomp = nowhere")
    assert host.ssh("guest", "true").returncode != 0
    assert "/etc/ispawn/seccomp/nowhere.json" in log()


@pytest.mark.parametrize("change", [
    lambda path: path.chmod(0o666), lambda path: os.chown(path, 12345, 0), lambda path: path.parent.chmod(0o777)],
    ids=["writable", "owned", "directory"])
def test_a_profile_that_others_can_write_denies(host, log, change):
    path = write("lab", usual())
    host.guest("seccomp = lab")
    try:
        change(path)
        assert host.ssh("guest", "true").returncode != 0
        assert "others than root" in log()
        failures, _ = check()
        assert failures
    finally:
        PROFILES.chmod(0o755)


def test_a_fifo_for_a_profile_denies_at_once(host, log):
    """Pitfall 32."""
    os.mkfifo(PROFILES / "pipe.json")
    host.guest("seccomp = pipe")
    assert host.ssh("guest", "true").returncode != 0
    assert "not a regular file" in log()


@pytest.mark.parametrize("name", ["none", "unconfined", "../lab", ".hidden", "a/b", ""])
def test_no_filter_at_all_is_no_choice(host, log, name):
    host.guest(f"seccomp = {name}")
    assert host.ssh("guest", "true").returncode != 0
    assert "seccomp:" in log()


# --- learn ---------------------------------------------------------------------------------------

def test_learn_lets_through_what_the_default_refuses_but_not_what_holds_the_container(host, calls):
    asked = {"io_uring": "425,1,8", "userfaultfd": "323,0xffff", "no-randomize": "135,0x40000", "sync": "162"}
    host.guest("seccomp = learn")
    assert calls("guest", asked) == {"io_uring": "EFAULT", "userfaultfd": "EINVAL", "no-randomize": "0", "sync": "0"}
    check_mandatory(calls)
    host.guest()
    assert calls("guest", asked) == {"io_uring": "EPERM", "userfaultfd": "EPERM", "no-randomize": "EPERM", "sync": "0"}


def test_learn_writes_to_the_kernels_log_what_would_be_refused(host, calls):
    """The number in the line is a name by scmp_sys_resolver; nothing is said of what is allowed."""
    host.guest("seccomp = learn")
    before = run("dmesg").stdout.count("\n")
    calls("guest", {"userfaultfd": "323,0xffff", "getpid": "39"})
    lines = [line for line in run("dmesg").stdout.splitlines()[before - 50:] if "type=1326" in line
             and 'comm="calls"' in line]
    assert lines and re.search(r"arch=c000003e syscall=323 .*code=0x7ffc0000", lines[-1]), lines
    assert not any("syscall=39 " in line for line in lines)
    assert run("scmp_sys_resolver", "-a", "x86_64", "323").stdout == "userfaultfd\n"


# --- ispawnctl check -----------------------------------------------------------------------------

def test_check_compiles_and_counts_what_libseccomp_does_not_know(host):
    write("lab", usual())
    write("spare", usual())
    host.guest("seccomp = lab")
    failures, lines = check()
    assert not failures
    for name in "lab", "spare":
        line, = [line for line in lines if f"profile {name} " in line]
        assert re.search(r"\d+ instructions, names that libseccomp does not know: \d+ \(.*no_call_of_this_name_yet",
                         line), line
    host.guest("seccomp = learn")
    failures, lines = check()
    assert not failures and any("seccomp = learn, for trusted users alone" in line for line in lines)


def test_check_names_a_profile_that_no_section_can_name():
    write("default", usual())
    failures, _ = check()
    assert len(failures) == 1 and "default" in failures[0]
