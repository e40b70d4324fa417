# SPDX-License-Identifier: GPL-3.0-or-later
"""What a tenant may do: none, sudo or root, the capability sets, no_new_privs, the filter."""
import os
import re

import pytest

# Docker's documented default set, design section 5; the numbers are those of linux/capability.h.
REDUCED = {"CHOWN": 0, "DAC_OVERRIDE": 1, "FOWNER": 3, "FSETID": 4, "KILL": 5, "SETGID": 6, "SETUID": 7,
           "SETPCAP": 8, "NET_BIND_SERVICE": 10, "NET_RAW": 13, "SYS_CHROOT": 18, "MKNOD": 27,
           "AUDIT_WRITE": 29, "SETFCAP": 31}
REDUCED_MASK = sum(1 << bit for bit in REDUCED.values())


def status(host, user="guest", command="cat /proc/self/status"):
    return dict(re.findall(r"^(\w+):\s+(.*)$", host.sh(user, command), re.M))


def sets(found):
    return [int(found[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")]


@pytest.mark.parametrize("user", ["guest", "shelly", "bigid"])
def test_none_holds_no_capability_at_all(host, user):
    found = status(host, user)
    assert sets(found) == [0, 0, 0, 0, 0]
    assert found["NoNewPrivs"] == "1"


def test_filter_is_on(host):
    assert status(host)["Seccomp"] == "2"


def test_init_holds_no_more_than_the_tenant(host):
    found = status(host, command="cat /proc/1/status")
    assert sets(found) == [0, 0, 0, 0, 0]
    assert found["NoNewPrivs"] == "1"
    assert found["Seccomp"] == "2"
    assert found["Uid"].split() == [host.sh("guest", "id -u")] * 4


def test_none_makes_setuid_programs_ordinary(host):
    done = host.ssh("guest", "sudo -n id; /usr/bin/newgrp root < /dev/null; id -u")
    assert b"uid=0" not in done.stdout
    assert host.sh("guest", "id -u") != "0"


def test_sudo_becomes_root_of_the_container(host):
    host.guest("privilege = sudo")
    assert host.sh("guest", "sudo -n id -u") == "0"
    found = status(host, command="sudo -n cat /proc/self/status")
    assert sets(found) == [0, REDUCED_MASK, REDUCED_MASK, REDUCED_MASK, 0]
    assert found["Seccomp"] == "2"


def test_sudo_logs_in_as_the_user(host):
    host.guest("privilege = sudo")
    found = status(host)
    assert sets(found) == [0, 0, 0, REDUCED_MASK, 0]
    assert found["NoNewPrivs"] == "0"


def test_root_logs_in_as_root_of_the_container(host):
    host.guest("privilege = root")
    assert host.sh("guest", "id -u; id -un; cat /etc/ispawn-template") == "0\nroot\nthis is the template"
    assert sets(status(host)) == [0, REDUCED_MASK, REDUCED_MASK, REDUCED_MASK, 0]


def test_listed_capabilities_are_all_there_are(host):
    host.guest("privilege = root", "capabilities = CHOWN, KILL")
    assert sets(status(host))[1:4] == [0x21] * 3


@pytest.mark.parametrize("level", ["sudo", "root"])
def test_root_inside_administers_the_copy(host, level, clean_store):
    # what package managers do: many owners, setuid files, users of their own
    clean_store("guest")
    host.guest(f"privilege = {level}")
    become = "sudo -n " if level == "sudo" else ""
    script = ("set -e; groupadd -g 990 svc; useradd -r -u 990 -g 990 svc; mkdir /opt/app; touch /opt/app/f; "
              "chown svc:svc /opt/app/f; chmod 4755 /opt/app/f; stat -c '%U %G %a' /opt/app/f; "
              "su svc -s /bin/sh -c 'id -un'; install -o 65534 -g 65534 -m 600 /dev/null /opt/app/n; "
              "stat -c %u /opt/app/n; rm -rf /opt/app; userdel svc")
    assert host.sh("guest", f"{become}bash -s", input=script).split("\n") == ["svc svc 4755", "svc", "65534"]
    clean_store("guest")


def test_root_inside_owns_no_file_of_the_host(host):
    # pitfall 19: on the host, what container root writes belongs to an id that nobody else has
    host.guest("privilege = root", "bind = /srv/shared")
    os.makedirs("/srv/shared", exist_ok=True)
    os.chmod("/srv/shared", 0o1777)
    host.ssh("guest", "touch /srv/shared/of-root; id > /srv/shared/of-root")
    for name in os.listdir("/srv/shared"):
        assert os.stat(f"/srv/shared/{name}").st_uid != 0
        os.unlink(f"/srv/shared/{name}")


@pytest.mark.parametrize("limit,expected", [("core file size", "1"), ("open files", "4096")])
def test_resource_limits(host, limit, expected):
    # A core limit of 0 does not keep a core from a program in core_pattern; 1 byte does (pitfall 45).
    line, = [line for line in host.sh("guest", "cat /proc/self/limits").splitlines()
             if line.lower().startswith("max " + limit)]
    assert re.findall(r"\d+", line)[:2] == [expected, expected]


def test_open_files_follow_the_policy(host):
    host.guest("nofile = 100")
    assert host.sh("guest", "ulimit -n; ulimit -Hn") == "100\n100"
