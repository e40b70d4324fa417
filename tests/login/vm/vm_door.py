# SPDX-License-Identifier: GPL-3.0-or-later
"""Door 2 as systemd serves it: the units that are shipped, and no PAM line."""
import pytest

from vm_host import wait_until

MARK = "this is the template"


@pytest.fixture(name="door", scope="module")
def make_door(the_vm):
    the_vm.root("set -e; sed -i.kept /pam_ispawn/d /etc/pam.d/sshd; usermod -s /usr/bin/ispawn-shell student;"
                " usermod -s /usr/bin/ispawn-shell free; systemctl start ispawn.socket")
    yield
    the_vm.root("systemctl stop ispawn.socket; mv /etc/pam.d/sshd.kept /etc/pam.d/sshd;"
                " usermod -s /bin/bash student; usermod -s /bin/bash free")


def units(vm):
    return vm.root("systemctl list-units --no-legend --plain 'ispawn@*' 'ispawn-door@*'; true").splitlines()


def test_the_socket_is_open_to_all_and_its_directory_lists_to_none(vm, door):
    assert vm.root("stat -c '%a %U' /run/ispawn /run/ispawn/door") == "711 root\n666 root"


def test_a_login_is_a_unit_and_a_container(vm, door):
    mark = vm.mark()
    with vm.session("student", "cat /etc/ispawn-template; cat /proc/1/comm; cat /proc/self/cgroup") as session:
        assert session.printed.splitlines()[:2] == [MARK, "ispawn-init"]
        assert len(units(vm)) == 1 and "running" in units(vm)[0]
        # The supervisor has left the unit, which holds the door alone.
        assert vm.root("cat /sys/fs/cgroup/system.slice/system-ispawn*/*/cgroup.procs | xargs -I PID cat /proc/PID/comm"
                       ) == "ispawn-door"
        assert vm.root(f"cat /proc/{vm.pid('ispawn-supervisor')}/cgroup") == "0::/ispawn/.supervisors"
    assert not vm.wait_clean()
    wait_until(lambda: units(vm) == [], "the end of the unit")
    assert 'service="ispawn-door"' in vm.log(mark)


def test_stopping_the_unit_ends_the_session_without_a_trace(vm, door):
    with vm.session("student"):
        vm.root("systemctl stop 'ispawn@*' 'ispawn-door@*'")
        wait_until(lambda: vm.sessions("student") == [], "the end of the session")
    assert not vm.wait_clean()
    assert vm.root("systemctl list-units --failed --no-legend --plain 'ispawn*'; true") == ""


def test_who_is_not_confined_is_refused(vm, door):
    done = vm.ssh("free", "id")
    assert done.returncode == 125
    assert "may not use this service" in done.stderr


FLOOD_S = 300  # three hundred units, each with a decision in it, on an emulated machine that shares its own


def test_a_flood_closes_the_door_for_nobody_else(vm, door):
    # systemd would by default close a socket that is connected to more than 200 times in two seconds.
    # Nobody may be denied for want of time, or there are fewer than two in the end.
    vm.confine(student=("sessions = 2", "start_timeout = 5m"))
    vm.root("cat > /tmp/flood.pl << 'END'\n"
            "use Socket; my @s; for (1..300) { socket(my $s, AF_UNIX, SOCK_SEQPACKET, 0) or die;"
            " connect($s, pack_sockaddr_un('/run/ispawn/door')) and push @s, $s; } open(my $f, '>', '/tmp/flooded'); sleep 1000;\nEND\n"
            "rm -f /tmp/flooded; setpriv --reuid=student --regid=student --init-groups perl /tmp/flood.pl"
            " < /dev/null > /dev/null 2>&1 &",
            timeout=300)
    try:
        # Those that are refused are gone, so that what follows does not race with them.
        wait_until(lambda: len(vm.sessions("student")) == 2 and vm.root("test -e /tmp/flooded; echo $?") == "0"
                   and len(units(vm)) == 2, "the flood's own sessions", FLOOD_S)
        vm.root("usermod -s /usr/bin/ispawn-shell guest")
        assert vm.sh("guest", "cat /etc/ispawn-template") == MARK
        assert vm.root("systemctl is-active ispawn.socket") == "active"
        assert len(vm.sessions("student")) == 2
    finally:
        vm.root("pkill -f /tmp/flood.pl; usermod -s /bin/bash guest; rm -f /tmp/flood.pl /tmp/flooded", check=False)
        vm.confine()
    assert not vm.wait_clean(FLOOD_S)
