# SPDX-License-Identifier: GPL-3.0-or-later
"""What is killed, restarted, or loses its power in the middle: the next login works, nothing half made is left.

A crash loses what the kernel had not written: a rename may be on disk before the contents of the file renamed.
Cases wait long enough for that (ext4 commits names after 5 s, contents after 30 s), and no longer.
"""
import pytest

from vm_host import CGROUP, USERS, wait_until

COMMIT_S = 8  # later than the journal's commit, and much earlier than the contents
HALF_MADE = f"ls -d {USERS}/*/*.new {USERS}/*/*/*.new 2>/dev/null; true"
SIZES = "cd; find . -type f -printf '%p %s\\n' | sort"


@pytest.fixture(autouse=True)
def fresh_users(vm):
    vm.root(f"rm -rf --one-file-system {USERS}; sync")


def assert_nothing_of_before(vm):
    """After a boot, before any login of ours."""
    vm.note_baseline()
    assert vm.sessions() == []
    assert vm.root(f"ls -d {CGROUP}/*/ 2>/dev/null; true") == ""


def test_killed_supervisor_leaves_nothing_after_the_next_login(vm):
    with vm.session("guest", "(sleep 1000) > /dev/null 2>&1 &"):
        vm.root("pkill -9 -x ispawn-supervis")
        wait_until(lambda: vm.root("pgrep -x 'sleep|ispawn-init'; true") == "", "the kernel to kill what was inside")
        assert len(vm.sessions()) == 1, "what the sweep is for"
    assert vm.sh("guest", "echo works") == "works"
    assert not vm.wait_clean()


def test_killed_application_ends_its_session(vm):
    with vm.session("guest", "(sleep 1000) > /dev/null 2>&1 &"):
        vm.root("kill -9 $(cat /sys/fs/cgroup/user.slice/user-1000.slice/session-*.scope/cgroup.procs)")
        assert not vm.wait_clean()


def test_terminated_user_ends_all_sessions(vm):
    # the administrator's own word for it
    with vm.session("guest"), vm.session("guest"):
        vm.root("loginctl terminate-user guest")
        assert not vm.wait_clean()


def test_reboot_in_a_session(vm):
    # `linger`: nobody but us ends these, neither logind nor the scope's end
    vm.confine("on_logout = linger")
    vm.sh("guest", "trap '' HUP; echo written > ~/file; setsid -f sleep 1000 > /dev/null 2>&1 < /dev/null")
    assert len(vm.sessions()) == 1
    with vm.session("student"):
        vm.vm("reboot")
    assert_nothing_of_before(vm)
    assert vm.root(HALF_MADE) == ""
    before = vm.root("journalctl -q -b -1 -o cat; true")
    assert before.count("event=end") >= 2, "both sessions ended in order"
    assert vm.sh("guest", "cat ~/file") == "written"


def test_crash_in_a_session(vm):
    vm.confine("privilege = root")
    with vm.session("guest", "echo synced > /srv/file; useradd second; sync; echo lost > /srv/lost"):
        vm.vm("crash")
    assert_nothing_of_before(vm)
    assert vm.sh("guest", "cat /srv/file; id -u second; id -un 1000; touch /srv/new && echo works").split("\n") \
        == ["synced", "1001", "guest", "works"]


def test_crash_after_a_first_login(vm):
    # Names are on disk by then, contents only where somebody saw to it: a file `owner` that is empty
    # would lock the user out, a home full of empty files would be his for ever.
    sizes = vm.sh("guest", SIZES)
    assert "./.bashrc" in sizes
    ids = vm.root(f"cat {USERS}/guest/machine-id")
    assert vm.root(f"sleep {COMMIT_S}; echo slept") == "slept"
    vm.vm("crash")
    assert_nothing_of_before(vm)
    assert vm.sh("guest", SIZES) == sizes
    assert vm.sh("guest", "id -un; id -gn") == "guest\nguest"
    assert vm.root(f"cat {USERS}/guest/machine-id") == ids


def test_crash_while_the_copy_is_made(vm):
    vm.confine("rootfs = copy", "start_timeout = 120s")
    copy = f"{USERS}/guest/rootfs-default"
    with vm.attempt("guest"):
        wait_until(lambda: vm.root(f"ls -d {copy}/copy.new/usr 2>/dev/null; true"), "the copy to be begun")
        vm.root("sync")
        assert vm.root(f"ls {copy}") == "copy.new", "only begun"
        vm.vm("crash")
    assert_nothing_of_before(vm)
    assert vm.root(f"ls {copy}") == "copy.new", "what the next login has to deal with"
    vm.confine("rootfs = copy", "start_timeout = 120s")
    assert vm.sh("guest", "cat /etc/ispawn-template; ls -d /var") == "this is the template\n/var"
    assert vm.root(f"ls {copy}") == "copy"
    count = "find . | wc -l"
    assert abs(int(vm.root(f"cd {copy}/copy; {count}"))
               - int(vm.root(f"cd /var/lib/ispawn/templates/default/rootfs; {count}"))) < 20


def test_crash_after_the_copy_was_made(vm):
    vm.confine("template = small", "rootfs = copy", "shell = /bin/sh")
    with vm.session("guest", "true", "sh"):
        sum_of = "find . -type f -size +0 ! -path './etc/*' -exec sha256sum {} + | sort | sha256sum"
        whole = vm.root(f"cd /var/lib/ispawn/templates/small/rootfs; {sum_of}")
        vm.root(f"sleep {COMMIT_S}")
        vm.vm("crash")
    assert vm.root(f"cd {USERS}/guest/rootfs-small/copy; {sum_of}") == whole
    assert_nothing_of_before(vm)
    with vm.session("guest", "cat /etc/ispawn-template", "sh") as login:
        assert login.printed == "this is the template"
