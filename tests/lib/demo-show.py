# SPDX-License-Identifier: GPL-3.0-or-later
"""demo-show.py TRIES - the tables of `make demo`, inside the test host.

Everything printed was measured a moment before: by the same commands in an unconfined login (free)
and in a confined one (guest), and by the same program (TRIES) on the host, in a chroot and in logins.
"""
import os
import pathlib
import pwd
import re
import subprocess
import sys
import textwrap

from host import CONFIG, DEFAULT_CONFIG, STORE, Host, cgroup_roots, processes

WIDTH = 100
MARK = pathlib.Path("/demo-host-mark")
NAMESPACES = ("user", "pid", "mnt", "net", "uts", "ipc", "cgroup")
CAPABILITIES = """chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable
    net_bind_service net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot
    sys_ptrace sys_pacct sys_admin sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease audit_write
    audit_control setfcap mac_override mac_admin syslog wake_alarm block_suspend audit_read perfmon bpf
    checkpoint_restore""".split()
# What each login is asked; answers are NAME=VALUE lines.  `read` keeps it open until it was looked
# at from outside too.
QUESTIONS = r"""
echo "ids=$(id)"
echo "processes=$(ls -d /proc/[0-9]* | wc -l)"
echo "names=$(cat /proc/[0-9]*/comm 2> /dev/null | sort -u | grep -vxE 'cat|sort|grep|tr' | tr '\n' ' ')"
echo "mounts=$(wc -l < /proc/self/mounts)"
echo "hostname=$(hostname)"
echo "interfaces=$(ls /sys/class/net | tr '\n' ' ')"
echo "sshd=$( (exec 3<> /dev/tcp/127.0.0.1/22) 2> /dev/null && echo reachable || echo 'not reachable')"
sed -n -E 's/^(CapEff|CapBnd|Seccomp|NoNewPrivs):\s*/\1=/p' /proc/self/status
for kind in user pid mnt net uts ipc cgroup; do echo "$kind=$(readlink /proc/self/ns/$kind | tr -dc 0-9)"; done
echo "files=$(ulimit -n)"
echo "core=$(ulimit -c)"
echo asked
read line
"""


# --- limits, which a container does not see, from outside -------------------------------------------

def limit_of(pid, controller, file_v2, file_v1):
    """The least of that limit from the process's cgroup up to the root; None when there is none."""
    roots = cgroup_roots()
    least = None
    for line in pathlib.Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        is_v2 = names == ""
        root = roots.get("") if is_v2 else next((roots[n] for n in (names, *names.split(",")) if n in roots), None)
        if root is None or (not is_v2 and controller not in names.split(",")):
            continue
        directory = root / path.lstrip("/")
        while root in (directory, *directory.parents):
            value = read_limit(directory, file_v2 if is_v2 else file_v1)
            least = value if least is None or (value is not None and value < least) else least
            directory = directory.parent
    return least


def read_limit(directory, file):
    """A number; of a CPU quota percent of one processor; None for none."""
    try:
        words = (directory / file).read_text().split()
        if file == "cpu.cfs_quota_us":
            words += (directory / "cpu.cfs_period_us").read_text().split()
    except OSError:
        return None
    if words[0] in ("max", "-1") or int(words[0]) >= 1 << 60:
        return None
    return int(words[0]) * 100 // int(words[1]) if len(words) == 2 else int(words[0])


def limits(pid):
    memory = limit_of(pid, "memory", "memory.max", "memory.limit_in_bytes")
    pids = limit_of(pid, "pids", "pids.max", "pids.max")
    cpu = limit_of(pid, "cpu", "cpu.max", "cpu.cfs_quota_us")
    return {"memory": "no limit" if memory is None else f"{memory >> 20} MiB",
            "pids": "no limit" if pids is None else f"{pids}",
            "cpu": "no limit" if cpu is None else f"{cpu} % of one processor"}


# --- the first table: what a login sees --------------------------------------------------------------

def tenant_pid(user):
    """On the host, the shell that asks the questions: the user's youngest bash."""
    uid = pwd.getpwnam(user).pw_uid
    return max(pid for pid, p in processes().items() if p["uid"] == uid and p["name"] == "bash")


def ask(user):
    """What one login answers, with what the host knows about it."""
    ssh = Host().popen(user, QUESTIONS)
    found = {}
    for line in iter(ssh.stdout.readline, b""):
        name, _, value = line.decode().strip().partition("=")
        if name == "asked":
            found.update(limits(tenant_pid(user)))
            break
        found[name] = value
    else:
        sys.exit(f"demo: {user} could not log in:\n{ssh.stderr.read().decode()}")
    Host.end(ssh)
    return found


def capabilities(mask):
    names = [name for bit, name in enumerate(CAPABILITIES) if int(mask, 16) >> bit & 1]
    if not names:
        return "none"
    missing = [name for name in CAPABILITIES if name not in names]
    if len(missing) > len(names):
        return f"{len(names)}: {' '.join(names)}"
    return f"{len(names)} of {len(CAPABILITIES)}" + (f", not {' '.join(missing)}" if missing else "")


def rows(host, login):
    """(what, on the host, in the login, does it hold)"""
    def both(what, name, holds, show=str):
        return what, show(host[name]), show(login[name]), holds(host[name], login[name])

    def differ(a, b):
        return a != b

    seccomp = {"0": "off", "2": "filter"}.get
    yes_no = {"0": "no", "1": "yes"}.get
    yield both("id", "ids", lambda _, b: "uid=0" not in b)
    yield both("processes, all users'", "processes", lambda a, b: int(b) < int(a))
    yield both("their names", "names", lambda _, b: "sshd" not in b and "ispawn-init" in b)
    yield both("mounts", "mounts", differ)
    yield both("hostname", "hostname", differ)
    yield both("network interfaces", "interfaces", lambda _, b: b.strip() == "lo")
    yield both("sshd on 127.0.0.1", "sshd", lambda a, b: a == "reachable" and b != a)
    yield both("capabilities (CapEff)", "CapEff", lambda _, b: int(b, 16) == 0, capabilities)
    yield both("obtainable (CapBnd)", "CapBnd", lambda _, b: int(b, 16) == 0, capabilities)
    yield both("seccomp", "Seccomp", lambda _, b: b == "2", seccomp)
    yield both("no_new_privs", "NoNewPrivs", lambda _, b: b == "1", yes_no)
    for name in ("memory", "pids", "cpu"):
        yield both(f"limit: {name}", name, lambda _, b: b != "no limit")
    yield both("limit: open files", "files", lambda _, b: b.isdigit())
    yield both("limit: core dump", "core", lambda _, b: b == "0")
    for kind in NAMESPACES:
        yield both(f"{kind} namespace", kind, differ)


def print_comparison():
    host, login = ask("free"), ask("guest")
    first, second = 22, (WIDTH - 22 - 4) // 2
    print(f"\n{'':<{first}}  {'the host, as free sees it':<{second}}  a login of guest")
    print("-" * WIDTH)
    failed = []
    for what, left, right, holds in rows(host, login):
        lefts, rights = textwrap.wrap(left, second) or [""], textwrap.wrap(right, second) or [""]
        for i in range(max(len(lefts), len(rights))):
            cell = [column[i] if i < len(column) else "" for column in (lefts, rights)]
            print(f"{what if i == 0 else '':<{first}}  {cell[0]:<{second}}  {cell[1]}".rstrip())
        if not holds:
            failed.append(f"{what}: {right!r}")
    return failed


# --- the second table: what people try first -------------------------------------------------------------

def victim(user):
    """A process of that user on the host, for as long as the demo runs."""
    info = pwd.getpwnam(user)
    return subprocess.Popen(["sleep", "300"], user=info.pw_uid, group=info.pw_gid, extra_groups=[])


def first_disk():
    for line in pathlib.Path("/proc/partitions").read_text().splitlines()[2:]:
        major, minor, blocks, name = line.split()
        # Memory disks may be empty.
        if int(blocks) > 0 and not name.startswith(("ram", "zram", "loop")):
            return f"{major}:{minor}"
    return "-"


def try_login(user, program, *args):
    command = f"cat > /tmp/tries && chmod 700 /tmp/tries && /tmp/tries {' '.join(args)}"
    return Host().ssh(user, command, input=program.read_bytes()).stdout.decode()


def try_chroot(user, program, *args):
    """The chroot that administrators build: the same tree, with proc, sys and dev in it."""
    script = """
        dir=/run/demo-chroot; mkdir -p $dir
        mount --bind "$1" $dir
        mount -t proc proc $dir/proc
        mount -t sysfs sysfs $dir/sys
        mount --rbind /dev $dir/dev
        mount -t tmpfs -o mode=1777 tmpfs $dir/tmp
        install -m 0755 "$2" $dir/tmp/tries
        user=$3; shift 3
        exec chroot --userspec="$user" $dir /tmp/tries "$@"
        """
    info = pwd.getpwnam(user)
    return subprocess.run(["unshare", "--mount", "--propagation", "private", "bash", "-ec", script, "-",
                           str(STORE / "templates/default/rootfs"), str(program), f"{info.pw_uid}:{info.pw_gid}", *args],
                          capture_output=True, text=True, check=False).stdout


PLACES = [  # heading, who, how, must it refuse
    ("host", "user", "free", try_login, False), ("host", "root", "root", try_login, False),
    ("chroot", "user", "free", try_chroot, False), ("chroot", "root", "root", try_chroot, False),
    ("login", "user", "guest", try_login, True), ("login", "root", "student", try_login, True),
]


def try_everywhere(program):
    """{try: [(verdict, why) per place]}"""
    disk, found = first_disk(), {}
    for number, (_, _, user, attempt, _) in enumerate(PLACES):
        target = victim(user)
        out = attempt(user, program, str(target.pid), disk)
        target.kill()
        target.wait()
        for line in out.splitlines():
            name, verdict, why = line.split("\t")
            found.setdefault(name, [("no answer", "")] * len(PLACES))[number] = (verdict, why)
    return found


def print_tries(program):
    found = try_everywhere(program)
    print(f"\n{'what people try first':<24}" + "".join(f"{place[0]:<8}" for place in PLACES).rstrip())
    print(f"{'':<24}" + "".join(f"{place[1]:<8}" for place in PLACES) + "the login's answer to user")
    print("-" * WIDTH)
    failed, stars = [], 0
    for name, answers in found.items():
        line = f"{name:<24}" + "".join(f"{verdict:<8}" for verdict, _ in answers)
        # A refusal tells something only where somebody is allowed.
        tells_nothing = all(verdict != "allowed" for verdict, _ in answers) and name != "echo $$"
        stars += tells_nothing
        print(f"{line}{answers[4][1]}{' *' if tells_nothing else ''}"[:WIDTH].rstrip())
        if name == "echo $$":
            failed += [f"{name}: {answers[n][0]}" for n in (4, 5) if not re.fullmatch(r"\d", answers[n][0])]
            continue
        failed += [f"{name} as {PLACES[n][1]} in a login: {verdict}, {why}"
                   for n, (verdict, why) in enumerate(answers) if PLACES[n][4] and verdict != "refused"]
    if not any(answers[1][0] == "allowed" for answers in found.values()):
        failed.append("the host's own root was refused everything: the tries do not tell")
    print(textwrap.fill("user: an ordinary account; root: the host's root, also in the chroot; in the login, uid 0 "
                        "of a container whose policy says `privilege = root`.", WIDTH))
    print(textwrap.fill("What could do harm stops one step after the kernel's check of the right to it: reboot(2) with a "
                        "wrong magic number, an empty module, files in /proc opened but not written, signal 0 to the "
                        "host's process 1. In a login, kill -9 1 is real.", WIDTH))
    if stars:
        print("*: this machine's kernel or virtual machine refuses it to the host's root as well.")
    return failed


def main():
    program = pathlib.Path(sys.argv[1])
    MARK.write_text("the root of the host\n")
    CONFIG.write_text(DEFAULT_CONFIG + "\n[user student]\nprivilege = root\n")
    failed = print_comparison() + print_tries(program)
    print()
    for line in failed:
        print(f"NOT AS IT MUST BE: {line}")
    if not failed:
        print("Everything that a login must be refused was refused.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
