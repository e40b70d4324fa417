# SPDX-License-Identifier: GPL-3.0-or-later
"""What people try first, typed at a prompt, by an ordinary user and by the root of his container."""
import pathlib

import pytest

from conftest import MARK, PLACES
from host import processes

DISKS = [line.split()[3] for line in pathlib.Path("/proc/partitions").read_text().splitlines()[2:]]

# What is typed; each must fail, and must print nothing but the reason.
TYPED = {
    "mount tmpfs": "mkdir -p /tmp/m; mount -t tmpfs tmpfs /tmp/m",
    "mount proc": "mkdir -p /tmp/m; mount -t proc proc /tmp/m",
    "bind mount": "mkdir -p /tmp/m; mount --bind / /tmp/m",
    "remount": "mount -o remount,rw,exec,suid,dev /proc",
    "umount": "umount /proc/sys || umount -l /proc/sysrq-trigger || umount /dev",
    "swapon": "swapon -a && swapoff -a && false || swapon /tmp/none",
    "unshare -Urm": "unshare -Urm id",
    "unshare -m": "unshare -m id",
    "nsenter -t 1": "nsenter -t 1 -m -p -n -- cat " + str(MARK),
    "chroot to init's root": "chroot /proc/1/root cat " + str(MARK),
    "sysrq": "echo h > /proc/sysrq-trigger && test ! -c /proc/sysrq-trigger",
    "sysctl": "echo 1 > /proc/sys/kernel/sysrq",
    "core_pattern": "echo '|/tmp/evil' > /proc/sys/kernel/core_pattern",
    "modprobe path": "echo /tmp/evil > /proc/sys/kernel/modprobe",
    "binfmt_misc": "echo ':evil:M::evil::/tmp/evil:' > /proc/sys/fs/binfmt_misc/register",
    "uevent_helper": "echo /tmp/evil > /sys/kernel/uevent_helper",
    "ip_forward": "echo 1 > /proc/sys/net/ipv4/ip_forward",
    "dmesg": "dmesg",
    "kmsg": "cat /dev/kmsg || head -c1 /proc/kmsg | grep .",
    "kcore": "head -c4 /proc/kcore | grep ELF",
    "hostname": "python3 -c \"import socket; socket.sethostname('evil')\"",
    "set the clock": "date -s 2001-01-01 > /dev/null; test $(date +%Y) = 2001",
    "another address": "ip addr add 10.9.9.9/24 dev lo || ip link add d0 type dummy",
    "losetup": "losetup -f /etc/hosts || ls /dev/loop0",
    "the host's docker": "ls -d /run/docker.sock /run/containerd /run/dbus /run/systemd /run/user",
    "the host's ispawn": "ls -d /run/ispawn /var/lib/ispawn/users /etc/ispawn/ispawn.conf",
    "the host's passwords": "grep -e exempt -e free /etc/shadow /etc/passwd",
    "the host's logs": "ls /var/log/host.log /var/log/sshd.log",
    "the host's keys": "ls /etc/ssh/ssh_host_ed25519_key /home/guest/host-home-marker",
}


def ask(host):
    """All of TYPED in one login: {name: (status, stdout)}"""
    script = ["exec 2>/dev/null; PATH=$PATH:/sbin:/usr/sbin", *(f"( {line} ); echo \"$? of {name}\"" for name, line in TYPED.items())]
    found, text = {}, []
    for line in host.ssh("guest", "bash -s", input="\n".join(script)).stdout.decode().splitlines():
        status, _, name = line.partition(" of ")
        if name in TYPED:
            found[name], text = (int(status), text), []
        else:
            text.append(line)
    return found


@pytest.fixture(scope="session", name="typed")
def ask_once(the_host):
    found = {}
    for place, policy in PLACES.items():
        the_host.guest(*policy)
        found[place] = ask(the_host)
    assert not the_host.wait_clean()
    return found


@pytest.mark.parametrize("name", TYPED, ids=lambda name: name.replace(" ", "-"))
@pytest.mark.parametrize("where", PLACES)
def test_typed(typed, where, name):
    status, text = typed[where][name]
    assert status != 0, text
    assert not [line for line in text if "not permitted" not in line.lower()], text


def test_the_programs_to_try_with_are_there(host):
    names = "mount umount swapon unshare nsenter chroot dmesg date ip losetup dd python3"
    assert host.sh("guest", f"export PATH=$PATH:/sbin:/usr/sbin; command -v {names} | wc -l") == str(len(names.split()))


def test_reboot(host, place, compile_c):
    """Kernel: the right is asked for before the magic number, so a wrong one tells and is harmless."""
    program = compile_c("""#include <errno.h>\n#include <stdio.h>\n#include <sys/syscall.h>\n#include <unistd.h>
        int main(void) { long r = syscall(SYS_reboot, 1, 2, 3, 0); printf("%ld %d\\n", r, errno); }""")
    command = "cat > /tmp/p; chmod 700 /tmp/p; /tmp/p"
    assert host.ssh("guest", command, input=program).stdout == b"-1 1\n"
    assert host.ssh("root", command, input=program).stdout == b"-1 22\n"


def test_echo_dollar_dollar(host, place):
    """A process number of one's own, small, and PID 1 is ispawn-init (pitfall 23)."""
    number, name = host.sh("guest", "echo $$; cat /proc/1/comm").split()
    assert 1 < int(number) < 20
    assert name == "ispawn-init"


@pytest.mark.parametrize("signal", ["9", "TERM", "HUP", "SEGV"])
def test_kill_minus_one(host, survivor, signal):
    """Everything that one may signal, and PID 1 by name: one's own container at most."""
    host.guest(*PLACES["root"])
    before = {pid for pid, p in processes().items() if p["uid"] == 0 and p["name"] in ("sshd", "python3")}
    host.ssh("guest", f"kill -{signal} -1; kill -{signal} 1; sleep 0.1; kill -{signal} -1")
    assert before <= set(processes()) | {0}
    assert host.sh("guest", "echo again") == "again"


def test_dd_of_the_disks(host, place):
    """Reading, writing, and by names that udev would have given."""
    names = " ".join(f"/dev/{name}" for name in DISKS[:4]) + " /dev/sda /dev/vda /dev/mem /dev/kmem /dev/port"
    done = host.ssh("guest", f"for d in {names}; do dd if=$d of=/dev/null bs=512 count=1 && echo read $d; "
                             "dd if=/dev/zero of=$d bs=512 count=1 conv=nocreat && echo wrote $d; done; "
                             "find / -xdev -type b 2>/dev/null; for d in /dev/* /dev/*/*; do test -b $d && echo $d; "
                             "done; echo looked")
    assert done.stdout == b"looked\n", done


def test_modprobe(host, place):
    """No module goes in, and none is loaded on the way by asking for what it would do."""
    before = pathlib.Path("/proc/modules").read_text() if pathlib.Path("/proc/modules").exists() else ""
    done = host.ssh("guest", "python3 -c 'import socket; socket.socket(38, 5, 0)' && echo algorithm; "
                             "python3 -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132)' && "
                             "echo sctp; mount -t nfs a:b /mnt && echo nfs")
    assert done.stdout == b""
    assert not pathlib.Path("/proc/modules").exists() or pathlib.Path("/proc/modules").read_text() == before


def test_fork_less_shell_tricks(host, place):
    """Builtins alone, as in a restricted shell: exec, cd, redirections, /dev/tcp."""
    done = host.ssh("guest", f"cd /proc/1/root 2>/dev/null && echo cd; [ -e {MARK} ] && echo mark; "
                             f"(exec 3<{MARK}) 2>/dev/null && echo open; "
                             "(exec 3<>/dev/tcp/127.0.0.1/22) 2>/dev/null && echo sshd; echo done")
    assert done.stdout.split() in ([b"done"], [b"cd", b"done"])
