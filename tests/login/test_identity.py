# SPDX-License-Identifier: GPL-3.0-or-later
"""Who one is inside, what the place is called, and which variables come along."""
import pwd
import re

import pytest

USERS = ["guest", "shelly", "bigid", "ldapish"]


@pytest.mark.parametrize("user", USERS)
def test_user_has_his_own_ids_and_name(host, user):
    entry = pwd.getpwnam(user)
    assert host.sh(user, "id -u; id -g; id -un; id -gn; whoami").split() == \
        [str(entry.pw_uid), str(entry.pw_gid), user, user, user]


@pytest.mark.parametrize("user", USERS)
def test_user_has_a_passwd_entry_home_and_shell(host, user):
    entry = host.sh(user, f"getent passwd {user}").split(":")
    assert entry[0] == user
    assert entry[2:4] == [str(pwd.getpwnam(user).pw_uid), str(pwd.getpwnam(user).pw_gid)]
    assert entry[5] == f"/home/{user}"
    assert host.sh(user, f"test -x {entry[6]} && echo runs") == "runs"
    assert host.sh(user, "echo $HOME $USER $LOGNAME; pwd; test -O . && touch f && echo mine").split() == \
        [f"/home/{user}", user, user, f"/home/{user}", "mine"]


def test_root_and_system_users_keep_their_names(host):
    assert host.sh("guest", "id -un 0; id -un 65534; stat -c %U:%G /etc/passwd /usr/bin/env").split() == \
        ["root", "nobody", "root:root", "root:root"]


def test_supplementary_groups_stay_outside(host):
    # pitfall 25: guest is in projects and secrets on the host
    assert host.sh("guest", "id -G; id -Gn") == f"{pwd.getpwnam('guest').pw_gid}\nguest"


def test_listed_groups_come_along_with_their_names(host):
    host.guest("groups = projects")
    assert host.sh("guest", "id -Gn") == "guest projects"
    assert host.sh("guest", "touch f; chgrp projects f && stat -c %G f") == "projects"


def test_groups_that_the_user_is_not_in_do_not(host):
    host.guest("groups = projects, confined")
    assert host.sh("guest", "id -Gn") == "guest projects"


def test_place_has_a_name_of_its_own(host):
    name = host.sh("guest", "hostname")
    assert name
    assert name != "testhost"
    assert host.sh("guest", "cat /etc/hostname; uname -n") == f"{name}\n{name}"
    assert name in host.sh("guest", f"getent hosts {name}")


def test_machine_id_is_stable_and_not_the_hosts(host):
    first = host.sh("guest", "cat /etc/machine-id")
    assert re.fullmatch("[0-9a-f]{32}", first)
    assert host.sh("guest", "cat /etc/machine-id") == first
    assert host.sh("student", "cat /etc/machine-id") != first


def test_session_names_itself(host):
    with host.open_session("guest"):
        session, = host.sessions()
    assert re.fullmatch(r"guest\.[0-9a-f]{8}", session)
    assert re.fullmatch(r"guest\.[0-9a-f]{8}", host.sh("guest", "echo $ISPAWN_SESSION"))


def test_ssh_variables_arrive(host):
    found = host.sh("guest", "env")
    assert re.search(r"^SSH_CONNECTION=127\.0\.0\.1 \d+ 127\.0\.0\.1 22$", found, re.M)
    assert re.search(r"^SSH_CLIENT=127\.0\.0\.1 \d+ 22$", found, re.M)


def test_locale_arrives(host):
    done = host.sh("guest", "echo $LANG $LC_TIME", options=["-o", "SendEnv=LANG LC_*"],
                   env={"LANG": "C.UTF-8", "LC_TIME": "C"})
    assert done == "C.UTF-8 C"


def test_other_variables_stay_outside(host):
    variables = {"LD_PRELOAD": "/tmp/x.so", "LD_LIBRARY_PATH": "/tmp", "BASH_ENV": "/tmp/x", "ENV": "/tmp/x",
                 "TEST_ONE": "1", "TEST_TWO": "2"}
    found = host.sh("guest", "env", options=["-o", "SendEnv=" + " ".join(variables)], env=variables)
    for name in variables:
        assert f"{name}=" not in found


def test_variables_from_the_policy_arrive(host):
    host.guest("environment = TEST_ONE")
    found = host.sh("guest", "env", options=["-o", "SendEnv=TEST_*"], env={"TEST_ONE": "1", "TEST_TWO": "2"})
    assert "TEST_ONE=1" in found
    assert "TEST_TWO" not in found


def test_nothing_of_the_hosts_root_environment_arrives(host):
    done = host.su("guest", "-c", "env")
    allowed = {"HOME", "USER", "LOGNAME", "SHELL", "PATH", "LANG", "TERM", "PWD", "SHLVL", "_", "ISPAWN_SESSION",
               "MAIL", "TZ", "container", "COLORTERM"}
    names = {line.split("=")[0] for line in done.stdout.splitlines()}
    assert {n for n in names if not n.startswith("LC_")} <= allowed


def test_path_is_usable_and_does_not_name_the_hosts_directories(host):
    path = host.sh("guest", "echo $PATH").split(":")
    assert "/usr/bin" in path
    assert "." not in path
    assert "" not in path


def test_resolver_from_the_policy(host):
    host.guest("dns = 192.0.2.1, 192.0.2.2")
    assert re.findall(r"^nameserver (\S+)", host.sh("guest", "cat /etc/resolv.conf"), re.M) == \
        ["192.0.2.1", "192.0.2.2"]


def test_passwd_lists_nobody_of_the_hosts(host):
    found = host.sh("guest", "getent passwd; getent group")
    for name in ("student", "free", "exempt", "secrets"):
        assert f"{name}:" not in found
