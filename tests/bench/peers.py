# SPDX-License-Identifier: GPL-3.0-or-later
"""peers.py - /bin/true in the same root file system, through ispawn and through what does the like.

Each gets the smallest configuration with which it does what ispawn does, as far as it can: all
namespaces, no capability, no_new_privs, a filter, limits.  What it then really does is asked of the
kernel by a program inside and printed beside its name: firejail, for one, ends with success without
having confined anything.  One that cannot run here is shown with its last words.
"""
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess

from host import HERE, STORE
from turns import in_turns

ROUNDS = {"quick": (2, 10), "normal": (5, 20), "full": (10, 50)}
NAMESPACES = ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup")
MARK = "this is the template"
PROBE = ["/bin/sh", "-c", "cat /etc/ispawn-template; cd /proc/self; "
         f"for kind in {' '.join(NAMESPACES)}; do readlink ns/$kind; done; exec cat status"]
TEMPLATE = STORE / "templates/default/rootfs"
PLACE = pathlib.Path("/srv/bench")  # where others than root can reach it
ROOT = PLACE / "root"
FIREJAIL_ROOT = PLACE / "firejail"
LAST_EARLY_PID = 10


# --- what each needs --------------------------------------------------------------------------------

def place_root():
    """The template once more, where an id that is nobody's on the host can reach it."""
    ROOT.mkdir(parents=True)
    subprocess.run(["mount", "--bind", TEMPLATE, ROOT], check=True)


def install(debs):
    """Programs that were fetched for this run: into the test host, and gone with it."""
    found = sorted(pathlib.Path(debs).glob("*.deb"))
    if found:
        policy = pathlib.Path("/usr/sbin/policy-rc.d")
        policy.write_text("#!/bin/sh\nexit 101\n")  # no daemon of theirs is to be started
        policy.chmod(0o755)
        subprocess.run(["dpkg", "--install", "--no-triggers", *found], check=True, capture_output=True,
                       env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
        subprocess.run(["ldconfig"], check=True)


def pose_as_kernel_thread():
    """firejail takes a host none of whose first processes is a kernel thread for a sandbox, and would
    run the command without any confinement."""
    sleeper = PLACE / "kthreadd"
    shutil.copy("/usr/bin/sleep", sleeper)
    for pid in range(2, LAST_EARLY_PID + 1):
        pathlib.Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
        process = subprocess.Popen([sleeper, "infinity"])
        if process.pid <= LAST_EARLY_PID:
            return
        process.kill()
        process.wait()


def prepare_firejail():
    config = pathlib.Path("/etc/firejail/firejail.config")
    config.write_text(config.read_text() + "\nchroot yes\n")
    FIREJAIL_ROOT.mkdir()
    subprocess.run(["mount", "--bind", TEMPLATE, FIREJAIL_ROOT], check=True)
    # It makes directories there, and nothing else may be written.
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", FIREJAIL_ROOT / "run"], check=True)
    pose_as_kernel_thread()


def prepare_lxc():
    # It maps ids with newuidmap, for root too.
    for name in ("/etc/subuid", "/etc/subgid"):
        with open(name, "a") as file:
            file.write("root:100000:65536\n")
    (PLACE / "lxc.conf").write_text("\n".join([
        f"lxc.rootfs.path = dir:{ROOT}", "lxc.uts.name = guest", "lxc.net.0.type = empty",
        "lxc.idmap = u 0 100000 65536", "lxc.idmap = g 0 100000 65536",
        "lxc.mount.auto = proc:mixed sys:ro cgroup:ro", "lxc.cap.keep = none", "lxc.no_new_privs = 1",
        "lxc.seccomp.profile = /usr/share/lxc/config/common.seccomp", ""]))


def applies(rule):
    """To a container of this machine's without capabilities."""
    includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
    return not includes.get("caps") and "amd64" in includes.get("arches", ["amd64"]) \
        and "amd64" not in excludes.get("arches", [])


def oci_filter():
    """The tests' profile, which is in the form that container managers take, in the one that they hand on."""
    profile = json.loads((HERE / "seccomp-profile.json").read_text())
    fields = ("names", "action", "args", "errnoRet")
    calls = [{key: rule[key] for key in fields if rule.get(key) is not None} for rule in profile["syscalls"]
             if applies(rule)]
    return {"defaultAction": profile["defaultAction"], "defaultErrnoRet": profile["defaultErrnoRet"],
            "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"], "syscalls": calls}


def bundle(program, command):
    """A directory as `PROGRAM run --bundle` wants it; from the program's own example."""
    directory = PLACE / f"{program}-{len(list(PLACE.iterdir()))}"
    directory.mkdir()
    subprocess.run([program, "spec"], cwd=directory, check=True, capture_output=True)
    path = directory / "config.json"
    config = json.loads(path.read_text())
    config["process"].update(terminal=False, args=command, noNewPrivileges=True, capabilities={})
    config["root"] = {"path": str(ROOT), "readonly": True}
    ids = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    names = {entry["type"] for entry in config["linux"]["namespaces"]} | {"user", "cgroup"}
    config["linux"].update(namespaces=[{"type": name} for name in sorted(names)], uidMappings=ids, gidMappings=ids,
                           seccomp=oci_filter())
    config["linux"]["resources"].update(pids={"limit": 256}, memory={"limit": 1 << 30})
    path.write_text(json.dumps(config))
    return directory


# --- the programs -------------------------------------------------------------------------------------

def runner(*options):
    return lambda command: ["ispawn", "--quiet", *options, "--user", "1000", "--privilege", "none", "--hostname",
                            "guest", str(ROOT), *command]


def door(build):
    """A login without sshd: the user's shell is /bin/true itself, the probe another user's command."""
    return lambda command: [f"{build}/door", "run", "guest", "-c", shlex.join(command)] if command == PROBE \
        else [f"{build}/door", "run", "other"]


def unshare(command):
    return ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--uts", "--ipc", "--net", "--cgroup",
            "--root", str(ROOT), "--mount-proc", *command]


def bubblewrap(command, *options):
    return ["bwrap", "--unshare-all", "--uid", "1000", "--gid", "1000", "--hostname", "guest", "--ro-bind", str(ROOT), "/",
            "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/run", "--tmpfs", "/home", "--remount-ro",
            "/", "--cap-drop", "ALL", "--new-session", "--die-with-parent", "--clearenv", *options, *command]


def runtime(program):
    return lambda command: [program, "run", "--bundle", str(bundle(program, command)), "bench"]


def firejail(command):
    return ["firejail", "--quiet", "--noprofile", f"--chroot={FIREJAIL_ROOT}", "--net=none", "--ipc-namespace",
            "--hostname=guest", "--caps.drop=all", "--nonewprivs", "--seccomp", *command]


def lxc(command):
    return ["lxc-execute", "--name", "bench", "--rcfile", str(PLACE / "lxc.conf"), "--", *command]


def nspawn(command):
    return ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--directory", str(ROOT), "--read-only",
            "--private-users=100000:65536", "--private-network", "--drop-capability=all", "--no-new-privileges=yes",
            "--as-pid2", *command]


class Peer:
    """@program: what must be there; @package: what brings it; @prepare: called once, before its first run."""

    def __init__(self, name, argv, program="ispawn", package="", prepare=lambda: None):
        self.name, self.argv, self.program, self.package, self.prepare = name, argv, program, package, prepare


def all_peers(build):
    return [
        Peer("ispawn --ephemeral (overlay)", runner("--ephemeral")),
        Peer("ispawn --readonly", runner("--readonly")),
        Peer("ispawn, a login without sshd (overlay)", door(build)),
        Peer("unshare", unshare, "unshare", "util-linux"),
        Peer("bubblewrap", bubblewrap, "bwrap", "bubblewrap"),
        Peer("bubblewrap with our filter", lambda command: [f"{build}/filtered", *bubblewrap(command, "--seccomp", "9")],
             "bwrap", "bubblewrap"),
        Peer("crun", runtime("crun"), "crun", "crun"),
        Peer("runc", runtime("runc"), "runc", "runc"),
        Peer("firejail", firejail, "firejail", "firejail", prepare_firejail),
        Peer("lxc-execute", lxc, "lxc-execute", "lxc", prepare_lxc),
        Peer("systemd-nspawn", nspawn, "systemd-nspawn", "systemd-container"),
    ]


# --- what it really does ---------------------------------------------------------------------------------

def describe(text):
    """What the probe saw, in a few words; None when it was not in the template."""
    lines = text.replace("\r", "").splitlines()
    if lines[:1] != [MARK]:
        return None
    inside = dict(line.split(":", 1) for line in lines[1:1 + len(NAMESPACES)])
    shared = [kind for kind in NAMESPACES
              if inside.get(kind, "").strip() == os.readlink(f"/proc/self/ns/{kind}").split(":", 1)[1]]
    status = dict(re.findall(r"^(\w+):\s+(\S+)$", "\n".join(lines), re.M))
    capabilities = int(status["CapBnd"], 16).bit_count() if int(status["CapEff"], 16) else 0
    words = ["all namespaces" if not shared else f"not {', '.join(shared)}",
             f"{capabilities} capabilities" if capabilities else "no capability"]
    if status["Seccomp"] == "2":
        words.append("filter")
    return ", ".join(words)


def last_line(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:160] if lines else "no word of why"


def probe(peer):
    """Run the probe; (what it does, None) or (None, why it cannot be measured)."""
    try:
        peer.prepare()
        done = subprocess.run(peer.argv(PROBE), capture_output=True, text=True, errors="replace", timeout=60,
                              stdin=subprocess.DEVNULL, check=False)
    except (OSError, subprocess.SubprocessError) as problem:
        return None, f"cannot run here: {last_line(str(problem))}"
    if done.returncode != 0:
        return None, f"cannot run here: {last_line(done.stderr + done.stdout)}"
    words = describe(done.stdout)
    return words, None if words else f"ran the program outside of the directory: {last_line(done.stderr)}"


def installed_peers(table, peers):
    there = [peer for peer in peers if shutil.which(peer.program)]
    packages = sorted({peer.package for peer in peers if peer not in there})
    if packages:
        table.note("not installed here", f"apt-get install --no-install-recommends {' '.join(packages)}")
    return there


def measure_peers(table, size, build):
    rounds, runs = ROUNDS[size]
    table.head(f"start to exit of /bin/true in the same root file system, {rounds} rounds of {runs} in turns")
    commands, words = {}, {}
    for peer in installed_peers(table, all_peers(build)):
        does, problem = probe(peer)
        if problem:
            table.note(peer.name, problem)
            continue
        words[peer.name] = does
        commands[peer.name] = shlex.join(peer.argv(["/bin/true"]))
    taken = in_turns(commands, rounds, runs, warmup=3)
    for name in commands:
        table.add_times(f"{name}: {words[name]}", taken[name])
    compare(table, taken)


def compare(table, taken):
    ours = [name for name in taken if name.startswith("ispawn")]
    for other, limit in (("unshare", {"most": 1.5}), ("bubblewrap", {"below": 1})):
        for name in ours:
            if other in taken:
                table.add_ratio(f"{name} / {other}", taken[name], taken[other], **limit)
    for name in taken:
        if name not in (*ours, "unshare", "bubblewrap"):
            table.add_ratio(f"{ours[0]} / {name}", taken[ours[0]], taken[name])
