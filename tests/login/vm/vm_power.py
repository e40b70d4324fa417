# SPDX-License-Identifier: GPL-3.0-or-later
"""What is killed, restarted, or loses its power in the middle: the next login works, nothing half made is left.

A crash loses what the kernel had not written: a name may be on disk before the contents of the file.
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


def test_crash_in_first_sessions(vm):
    # Names are on disk by then, contents only where somebody saw to it: an empty file `owner` would
    # lock the user out, a home or a copy of empty files would be his for ever.  (A logout would hide
    # it: when an overlay goes, the kernel writes out the file system below.)
    vm.confine(student=["template = small", "rootfs = copy", "shell = /bin/sh"])
    kept = f"cd {USERS}; grep . */owner */machine-id; true"
    files = "find . -type f ! -path './etc/*' -exec sha256sum {} + | sort | sha256sum"
    template = vm.root(f"cd /var/lib/ispawn/templates/small/rootfs; {files}")
    # Order: what the copy has written out would be written out for the other as well.
    with vm.session("student", "true", "sh"), vm.session("guest", SIZES) as login:
        assert "./.bashrc" in login.printed
        before = vm.root(kept)
        assert len(before.splitlines()) == 4
        vm.root(f"sleep {COMMIT_S}")
        vm.vm("crash")
    assert_nothing_of_before(vm)
    assert vm.root(kept) == before
    assert vm.root(f"cd {USERS}/student/rootfs-small/copy; {files}") == template
    assert vm.sh("guest", SIZES) == login.printed
    assert vm.sh("guest", "id -un; id -gn") == "guest\nguest"
    with vm.session("student", "cat /etc/ispawn-template", "sh") as login:
        assert login.printed == "this is the template"


def test_crash_in_a_session_and_in_the_making_of_a_copy(vm):
    slow = ["rootfs = copy", "start_timeout = 300s"]
    vm.confine("privilege = root", student=slow)
    copy = f"{USERS}/student/rootfs-default"
    with vm.session("guest", "echo written > /srv/file; useradd second"), vm.attempt("student"):
        wait_until(lambda: vm.root(f"ls -d {copy}/copy.new/usr 2>/dev/null; true"), "the copy to be begun")
        vm.root("sync")
        assert vm.root(f"ls {copy}") == "copy.new", "only begun"
        vm.vm("crash")
    assert_nothing_of_before(vm)
    assert vm.root(f"ls {copy}") == "copy.new", "what the next login has to deal with"
    vm.root(f"touch {copy}/copy.new/half-made")
    assert vm.sh("guest", "cat /srv/file; id -u second; id -un 1000; touch /srv/new && echo works").split("\n") \
        == ["written", "1001", "guest", "works"]
    assert vm.sh("student", "cat /etc/ispawn-template; ls -d /var") == "this is the template\n/var"
    assert vm.root(f"ls {copy}; ls {copy}/copy/half-made 2>/dev/null; true") == "copy"
    count = "find . | wc -l"
    assert abs(int(vm.root(f"cd {copy}/copy; {count}"))
               - int(vm.root(f"cd /var/lib/ispawn/templates/default/rootfs; {count}"))) < 20
