# SPDX-License-Identifier: GPL-3.0-or-later
"""Every way in leads into the container: ssh by key, password and dialogue, login, su."""
import pexpect
import pytest

from host import run

INSIDE = "cat /etc/ispawn-template 2>/dev/null || echo on the host"
MARK = "this is the template"
CONFINED = ["guest", "student", "shelly", "bigid", "ldapish"]


@pytest.mark.parametrize("user", CONFINED)
def test_ssh_with_a_key(host, user):
    assert host.sh(user, INSIDE) == MARK


@pytest.mark.parametrize("method", ["password", "keyboard-interactive"])
@pytest.mark.parametrize("user", ["guest", "shelly"])
def test_ssh_with_a_password(host, user, method):
    done = run("sshpass", "-p", f"{user}-password", "ssh", "-o", f"PreferredAuthentications={method}",
               "-o", "PubkeyAuthentication=no", f"{user}@localhost", INSIDE)
    assert done.stdout.strip() == MARK, done


def test_wrong_password_makes_no_container(host, log):
    done = run("sshpass", "-p", "wrong", "ssh", "-o", "PreferredAuthentications=password",
               "-o", "PubkeyAuthentication=no", "-o", "NumberOfPasswordPrompts=1", "guest@localhost", "id")
    assert done.returncode != 0
    assert "session=guest" not in log()


@pytest.mark.parametrize("user", ["free", "root", "exempt"])
def test_everybody_else_stays_on_the_host(host, user, log):
    assert host.sh(user, INSIDE) == "on the host"
    assert host.sh(user, "hostname") == "testhost"
    assert host.sh(user, "echo ${ISPAWN_SESSION-unset}") == "unset"


@pytest.mark.parametrize("user", ["guest", "shelly", "ldapish"])
@pytest.mark.parametrize("login", [[], ["-l"], ["-"]])
def test_su_with_a_command(host, user, login):
    done = host.su(*login, user, "-c", INSIDE)
    assert (done.returncode, done.stdout.strip()) == (0, MARK), done


@pytest.mark.parametrize("status", [0, 1, 42])
def test_su_passes_the_status_on(host, status):
    assert host.su("guest", "-c", f"exit {status}").returncode == status


def test_su_reads_a_script_from_standard_input(host):
    done = host.su("guest", input=f"{INSIDE}\nexit 3\n")
    assert (done.returncode, done.stdout.strip()) == (3, MARK), done


def test_su_to_an_unconfined_user_stays_on_the_host(host):
    assert host.su("free", "-c", INSIDE).stdout.strip() == "on the host"


def test_su_to_root_works_for_whoever_knows_the_password(host):
    child = host.spawn("su", "free", "-c", "su root -c 'id -u; hostname'")
    child.expect("assword:")
    child.sendline("root-password")
    child.expect("0\r\ntesthost")


@pytest.mark.parametrize("flag", [[], ["-"]])
def test_su_on_a_terminal(host, flag):
    child = host.spawn("su", *flag, "guest")
    host.set_prompt(child)
    assert host.ask(child, INSIDE) == MARK
    assert host.ask(child, "test -t 0 && tty").startswith("/dev/pts/")
    assert host.leave(child) == 0


@pytest.mark.parametrize("user", ["guest", "shelly"])
def test_login_on_a_terminal(host, user):
    child = host.login(user)
    host.set_prompt(child)
    assert host.ask(child, INSIDE) == MARK
    assert host.ask(child, "whoami; pwd").split() == [user, f"/home/{user}"]
    assert host.ask(child, "echo $0") == "-bash"
    host.leave(child)


def test_login_of_root_stays_on_the_host(host):
    child = host.login("root")
    host.set_prompt(child)
    assert host.ask(child, INSIDE) == "on the host"
    host.leave(child)


def test_ispawn_shell_without_a_session_says_what_to_do(host):
    done = run("setpriv", "--reuid=guest", "--regid=guest", "--clear-groups", "ispawn-shell", "-c", "id")
    assert done.returncode == 125
    assert done.stdout == ""
    assert "pam_ispawn" in done.stderr, done.stderr


def test_ispawn_shell_does_not_take_a_session_of_somebody_else(host):
    with host.open_session("guest"):
        session, = host.sessions()
        done = run("setpriv", "--reuid=free", "--regid=free", "--clear-groups",
                   "env", f"ISPAWN_SESSION={session}", "ispawn-shell", "-c", "id")
        assert done.returncode == 125
        assert done.stdout == ""


@pytest.mark.parametrize("value", ["", "nonsense", "../../../tmp/x", "guest.zzzzzzzz", "guest.00000000",
                                   "guest.00000000/../guest.00000000", "A" * 5000],
                         ids=["empty", "word", "path", "not-hex", "unknown", "path-after-id", "long"])
def test_ispawn_shell_refuses_a_strange_session_name(host, value):
    done = run("setpriv", "--reuid=guest", "--regid=guest", "--clear-groups",
               "env", f"ISPAWN_SESSION={value}", "ispawn-shell", "-c", "id")
    assert (done.returncode, done.stdout) == (125, "")


def test_shell_from_the_policy_replaces_the_users_own(host):
    host.guest("shell = /bin/sh")
    done = host.ssh("guest", None, input=b"echo $0\n")
    assert done.stdout.strip() == b"-sh"


def test_shell_none_lets_nothing_run(host):
    host.guest("shell = none")
    for command in ("id", None):
        done = host.ssh("guest", command)
        assert done.returncode not in (0, 255), done
        assert b"uid=" not in done.stdout


def test_other_services_deny_confined_users(host, log):
    pam = "/etc/pam.d/runuser"
    with host.restore(pam):
        with open(pam, "a", encoding="ascii") as file:
            file.write("session required pam_ispawn.so\n")
        assert run("runuser", "-u", "free", "--", "echo", "ran").returncode == 0
        done = run("runuser", "guest", "-c", "echo ran")
        assert "ran" not in done.stdout
        assert done.returncode != 0
    assert "runuser" in log()


def test_other_services_allow_lets_them_be(host):
    host.guest("other_services = allow")
    pam = "/etc/pam.d/runuser"
    with host.restore(pam):
        with open(pam, "a", encoding="ascii") as file:
            file.write("session required pam_ispawn.so\n")
        assert run("runuser", "guest", "-c", "echo ran").stdout == "ran\n"


def test_denied_user_is_told_at_a_terminal_too(host):
    host.guest("template = missing")
    child = host.terminal("guest", "id")
    child.expect(pexpect.EOF)
    assert "uid=" not in child.before
