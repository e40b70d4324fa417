# SPDX-License-Identifier: GPL-3.0-or-later
"""What a tenant might regain: capabilities, ids, groups, keyrings, setuid programs."""
import os
import pathlib
import re

import pytest

from conftest import PLACES
from host import processes, wait_until

SETS = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]


def statuses(text):
    """/proc/PID/status files one after the other: a list of dictionaries."""
    return [dict(re.findall(r"^(\w+):[ \t]*(.*)$", part, re.M)) for part in text.split("Name:")[1:]]


def test_cve_2022_24769_inheritable_and_ambient_sets(host, place):
    """Pitfall 26: both empty in every process inside, and no process holds what another lacks."""
    found = statuses(host.sh("guest", "cat /proc/[0-9]*/status"))
    assert len(found) >= 2
    for status in found:
        assert int(status["CapInh"], 16) == int(status["CapAmb"], 16) == 0
        assert status["CapBnd"] == found[0]["CapBnd"] and status["CapPrm"] == found[0]["CapPrm"], status["CapPrm"]


def test_capabilities_cannot_be_taken_back(host, place, upload):
    """Pitfall 26: capset, PR_CAP_AMBIENT_RAISE, securebits, file capabilities beyond the bounding set."""
    found = {name: (verdict, why) for name, verdict, why in upload("regain.c")}
    assert len(found) == 11
    assert {name for name, (verdict, _) in found.items() if verdict != "refused"} == set(), found


def test_the_tries_to_regain_tell(upload):
    """The host's root is given what is refused inside."""
    found = {name: verdict for name, verdict, _ in upload("regain.c", user="root")}
    for name in ("capset all", "raise bounding-wide ambient", "become uid 0", "set groups", "change securebits",
                 "parent namespace ids"):
        assert found[name] == "given", name


def test_securebits_are_locked(host):
    """Pitfall 26: without privilege nothing that root's uid would bring, for good."""
    bits = re.search(r"Securebits: \d+/(0x\w+)", host.sh("guest", "/sbin/capsh --print")).group(1)
    noroot, noroot_locked, no_setuid_fixup_locked, keep_caps_locked, ambient_locked = 1, 2, 8, 32, 128
    for bit in (noroot, noroot_locked, no_setuid_fixup_locked, keep_caps_locked, ambient_locked):
        assert int(bits, 16) & bit, bits


@pytest.mark.parametrize("groups,expected", [("", []), ("groups = projects", ["projects"]),
                                             ("groups = confined, secrets", ["secrets"])])
def test_supplementary_groups(host, groups, expected, place):
    """Pitfall 25: exactly the listed ones that the user is in, in every process inside."""
    host.guest(*PLACES[place], *([groups] if groups else []))
    done = host.sh("guest", "for g in $(sed -n 's/^Groups://p' /proc/[0-9]*/status); do getent group $g | cut -d: -f1; "
                            "done | sort -u")
    assert done.split() == expected
    for status in statuses(host.sh("guest", "cat /proc/[0-9]*/status")):
        assert len(status["Groups"].split()) == len(expected)


def test_ids_as_the_host_sees_them(host, place):
    """Pitfalls 19, 25: a tenant is the user, or an id that nobody else has; never root, never a group of the host's."""
    with host.open_session("guest"):
        cat = wait_until(lambda: [pid for pid, p in processes().items() if p["command"] == "cat "])
        inside = cat + host.pids("ispawn-init")
        assert len(inside) == 2
        for pid in inside:
            with open(f"/proc/{pid}/status", encoding="ascii") as file:
                status, = statuses(file.read())
            uids, gids = set(status["Uid"].split()), set(status["Gid"].split())
            assert len(uids) == len(gids) == 1
            assert int(*uids) >= 100000 if place == "root" else uids == {"1001"}
            assert "0" not in uids | gids | set(status["Groups"].split())


def test_uid_in_words_or_out_of_range_is_nobody(host):
    """Pitfall 25, CVE-2026-30892: the ids come from the account alone; no name or number inside changes them."""
    done = host.ssh("guest", "echo 'guest:x:0:0::/root:/bin/bash' > /tmp/passwd; id -u; id -G; "
                             "python3 -c 'import os; os.setuid(0)' 2>&1 | tail -1; "
                             "python3 -c 'import os; os.setgroups([0])' 2>&1 | tail -1")
    lines = done.stdout.decode().splitlines()
    assert lines[0] == "1001" and "0" not in lines[1].split()
    assert "PermissionError" in lines[2] and "PermissionError" in lines[3]


def test_the_copys_passwd_makes_nobody_root(host, root_inside):
    """Pitfall 25: what root inside wrote about himself changes nothing at the next login."""
    host.sh("guest", "sed -i 's/^guest:[^:]*:[0-9]*:[0-9]*/guest::0:0/; s/^root:/groot:/' /etc/passwd")
    try:
        host.guest("privilege = none")
        assert host.sh("guest", "id -u; grep ^CapEff /proc/self/status") == "1001\nCapEff:\t0000000000000000"
        assert host.sh("guest", "id -un") == "guest"
    finally:
        host.guest("privilege = root")
        host.sh("guest", "sed -i 's/^groot:/root:/' /etc/passwd")


def test_setuid_programs_give_nothing_without_privilege(host):
    """Pitfall 34: su, mount, passwd and what root inside had planted: nosuid, and no_new_privs besides."""
    host.guest("privilege = root")
    host.sh("guest", "cp /usr/bin/python3 /opt/planted; chmod 4755 /opt/planted; cp /usr/bin/python3 /opt/capable; "
                     "setcap cap_dac_override,cap_setuid+ep /opt/capable; getcap /opt/capable | grep -q dac_override")
    host.guest("privilege = none")
    ask = "-c 'import os; print(os.geteuid()); os.setuid(0)' 2>/dev/null || echo kept"
    done = host.sh("guest", f"/opt/planted {ask}; /opt/capable {ask}; findmnt -no OPTIONS / | grep -ow nosuid")
    assert done.split() == ["1001", "kept", "1001", "kept", "nosuid"]
    host.guest("privilege = root")
    # The same file does work where the policy says so: the nosuid above is what held.
    assert host.sh("guest", f"su guest -s /bin/bash -c \"/opt/planted {ask}\"").split()[0] == "0"
    host.sh("guest", "rm /opt/planted /opt/capable")


def test_keyrings_show_nothing(host, place):
    """Pitfall 27: /proc/keys and key-users are empty inside; the calls are refused in test_syscalls.py."""
    assert pathlib.Path("/proc/key-users").read_text() != ""
    assert host.sh("guest", "cat /proc/keys /proc/key-users | wc -c; stat -c %t:%T /proc/keys") == "0\n1:3"


def test_no_new_privileges_and_filter_for_everything_inside(host):
    for status in statuses(host.sh("guest", "cat /proc/[0-9]*/status")):
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


def test_user_namespaces_are_counted_out(host, place):
    """Pitfall 24: the namespace's own limit is nought, below it and in it, and not to be raised."""
    done = host.ssh("guest", "cat /proc/sys/user/max_user_namespaces; echo 100 > /proc/sys/user/max_user_namespaces; "
                             "cat /proc/sys/user/max_user_namespaces; cat /proc/self/setgroups")
    assert done.stdout.split()[:2] == [b"0", b"0"]
    for name in ("uid_map", "gid_map"):
        assert host.ssh("guest", f"echo '0 0 4294967295' > /proc/self/{name}").returncode != 0


def test_maps_hold_no_id_of_the_hosts_but_the_users(host, place):
    """Pitfall 19: what is in the map is the user, the listed groups, and ids of nobody."""
    for kind, own in (("uid", 1001), ("gid", None)):
        for line in host.sh("guest", f"cat /proc/self/{kind}_map").splitlines():
            _, start, count = map(int, line.split())
            assert start >= 100000 or (count == 1 and start == (own or os.stat("/home/guest").st_gid)), line
