# SPDX-License-Identifier: GPL-3.0-or-later
"""ispawnctl explain on systemd --user: each verdict is what a unit of the user's comes to."""
import pytest

FILE = "/etc/pam.d/systemd-user"
UNITS = "/home/guest/.config/systemd/user"
TRACE = "/var/tmp/trial"
# A unit that the user left in his home on the host; the manager starts it as soon as it runs itself.
PLANT = f"""
install -d -o guest -g guest /home/guest/.config /home/guest/.config/systemd {UNITS} {UNITS}/default.target.wants
cat > {UNITS}/trial.service << 'END'
[Service]
Type=oneshot
ExecStart=/bin/sh -c "if [ -e /etc/ispawn-template ]; then echo confined; else echo HOST; fi > {TRACE}"
END
ln -s ../trial.service {UNITS}/default.target.wants/
"""
WAYS = {
    "start": "systemctl start user@1000.service",
    "linger": "loginctl enable-linger guest",
}


@pytest.fixture(autouse=True)
def clean(the_vm):
    the_vm.root(f"cp {FILE} {FILE}.kept; {PLANT}")
    yield
    the_vm.root(f"mv {FILE}.kept {FILE}; loginctl disable-linger guest; systemctl stop user@1000.service;"
                f" systemctl reset-failed; rm -rf {TRACE} /home/guest/.config; true")


def tried(vm, way):
    """The manager is a notifying service: it is up or has failed when its job is done, and its units soon after."""
    return vm.root(f"""rm -f {TRACE}; systemctl stop user@1000.service; systemctl reset-failed
        timeout 60 {WAYS[way]}
        for try in $(seq 100); do
            state=$(systemctl show -P ActiveState user@1000.service)
            [ ! -e {TRACE} ] && [ "$state" != failed ] || break
            sleep 0.2
        done
        cat {TRACE} 2>/dev/null || echo denied""")


@pytest.mark.parametrize("has_line, policy, expected", [
    (True, (), "denied"),
    (False, (), "HOST"),
    (True, ("other_services = allow",), "HOST"),
], ids=["line", "no-line", "others-allowed"])
@pytest.mark.parametrize("way", sorted(WAYS))
def test_systemd_user(vm, way, has_line, policy, expected):
    vm.confine(*policy)
    if not has_line:
        vm.root(f"sed -i /pam_ispawn/d {FILE}")
    assert vm.explained("guest")["systemd-user"] == expected
    assert tried(vm, way) == expected


def test_systemd_user_among_the_services(vm):
    """It does not run the login shell: a session that opens there confines nothing."""
    vm.confine("services = sshd login su systemd-user")
    assert vm.explained("guest")["systemd-user"] == "HOST"
    assert tried(vm, "start") != "confined"


def test_a_confined_login_starts_none_and_reaches_none(vm):
    vm.confine()
    told = vm.ssh("guest", "systemctl --user status 2>&1; ls /run/user 2>&1; ls -d ~/.config 2>&1; true").stdout
    assert "HOST" not in told and "/home/guest/.config\n" not in told
    assert vm.root(f"cat {TRACE} 2>/dev/null || echo denied") == "denied"


def test_machinectl_shell_is_a_login(vm):
    """Root asks machined for a shell of the host's as the user: PAM service "login", and the covered shell."""
    vm.confine()
    child = vm.terminal("root", "exec machinectl -q shell guest@.host")
    child.expect(r"[$#] ")
    child.sendline("cat /etc/ispawn-temp''late; exit")
    child.expect("this is the template")
    child.close(force=True)
    assert not vm.wait_clean()
