# SPDX-License-Identifier: GPL-3.0-or-later
"""The copy on the reference kernel: overlays over idmapped layers, and a tmpfs that cannot be idmapped."""
import pytest

from vm_host import USERS

CHANGE = r"""
touch /tmp/t ~/mine 2>/dev/null && echo "home=yes"
(echo changed > /etc/ispawn-template) 2>/dev/null; echo "root=$(cat /etc/ispawn-template)"
"""
# What root of the container does in its copy: files of the template are changed, made anew, given away, deleted.
AS_ROOT = r"""
set -e
echo changed > /etc/ispawn-template
chown guest:guest /etc/ispawn-template
mkdir /srv/mine; echo fresh > /srv/mine/file; chown 33:33 /srv/mine/file
mv /etc/debian_version /etc/x
rm -r /usr/share/base-files
useradd --no-create-home second
"""
SEEN = r"""
echo "template=$(cat /etc/ispawn-template):$(stat -c %u:%g /etc/ispawn-template)"
echo "file=$(cat /srv/mine/file 2>/dev/null):$(stat -c %u:%g /srv/mine/file 2>/dev/null)"
echo "passwd=$(stat -c %u:%g /etc/passwd):$(id -u second 2>/dev/null)"
echo "root=$(id -u)"
"""


@pytest.fixture(autouse=True)
def fresh_users(vm):
    """Nobody has logged in before; and the template is as it was afterwards."""
    vm.root(f"rm -rf --one-file-system {USERS}")
    find = "cd /var/lib/ispawn/templates; find . -printf '%p %m %U:%G %s %T@\\n' | sha256sum"
    before = vm.root(find)
    yield
    assert vm.root(find) == before, "the template was written to"


def test_overlay_is_kept_and_holds_the_container_s_ids(vm):
    vm.confine("rootfs = overlay", "privilege = root")
    vm.sh("guest", AS_ROOT)
    facts = vm.facts("guest", SEEN)
    assert facts == {"template": "changed:1000:1000", "file": "fresh:33:33", "passwd": "0:0:1001", "root": "0"}
    upper = f"{USERS}/guest/rootfs-default/data/upper"
    on_disk = vm.root(f"cd {upper}; stat -c '%n %u:%g' srv/mine/file etc/passwd etc/ispawn-template; "
                      "stat -c '%F' etc/debian_version")
    assert on_disk.splitlines() == ["srv/mine/file 33:33", "etc/passwd 0:0", "etc/ispawn-template 1000:1000",
                                    "character special file"]
    assert "overlayfs" not in vm.root("dmesg | grep -i 'overlayfs:.*\\(undefined\\|in-use\\)'; true")


def test_overlay_is_one_for_logins_at_once(vm):
    # pitfall 33
    vm.confine("rootfs = overlay", "privilege = root")
    with vm.session("guest", "echo first > /srv/note") as first, vm.session("guest") as second:
        assert second.run("cat /srv/note; echo second > /srv/note; stat -c %d /srv") \
            == "first\n" + first.run("stat -c %d /srv")
        assert first.run("cat /srv/note") == "second"


def test_overlay_belongs_to_nobody_else(vm):
    vm.confine("rootfs = overlay")
    assert vm.sh("guest", CHANGE) == "home=yes\nroot=this is the template"


def test_ephemeral_is_gone_at_logout(vm):
    vm.confine("rootfs = ephemeral", "ephemeral_size = 16M", "privilege = root")
    vm.sh("guest", AS_ROOT + SEEN)
    said = vm.ssh("guest", SEEN + "head -c 20M /dev/zero > /srv/fill; touch /home/guest/stays")
    assert "template=this is the template:0:0" in said.stdout
    assert "No space left on device" in said.stderr
    assert vm.sh("guest", "ls /srv /home/guest") == "/home/guest:\nstays\n\n/srv:"
    assert vm.root(f"find {USERS}/guest/rootfs-default -type f | wc -l") == "0"


def test_readonly_stays_as_it_is(vm):
    vm.confine("rootfs = readonly", "privilege = root")
    done = vm.ssh("guest", "id -un 1000; hostname; echo x > /etc/passwd; touch /srv/x; rm /etc/ispawn-template; "
                           "mount -o remount,rw / ; touch /srv/x; echo x > /tmp/x && echo x > /home/guest/x && "
                           "echo places to write")
    assert "places to write" in done.stdout
    assert done.stderr.count("Read-only file system") == 4
    assert vm.sh("guest", "cat /etc/ispawn-template; ls /srv") == "this is the template"


def test_copy_is_the_user_s_own(vm):
    vm.confine("template = small", "rootfs = copy", "shell = /bin/sh", "privilege = root")
    write = "echo changed > /etc/ispawn-template; chown 33:33 /etc/ispawn-template; rm /bin/vi; id -u"
    with vm.session("guest", write, "sh") as login:
        assert login.printed == "0"
        # parallel logins need no sharing here: both are the same directory
        with vm.session("guest", "cat /etc/ispawn-template; stat -c %u:%g /etc/ispawn-template", "sh") as second:
            assert second.printed == "changed\n33:33"
    copy = f"{USERS}/guest/rootfs-small/copy"
    assert vm.root(f"ls {copy}/bin/vi 2>/dev/null; stat -c %u:%g {copy}/etc/ispawn-template {copy}/bin/busybox") \
        == "33:33\n0:0"


@pytest.mark.parametrize("home, kept", [("private", "kept"), ("tmpfs", "gone")])
def test_home(vm, home, kept):
    vm.confine(f"home = {home}")
    vm.sh("guest", "echo kept > ~/file; stat -c %u:%g ~ ~/file")
    assert vm.sh("guest", "stat -c %U:%a ~; cat ~/file 2>/dev/null || echo gone").split("\n") == ["guest:700", kept]
    assert vm.root("ls /home/guest") == "", "the host's home is another one"


def test_home_of_the_host(vm):
    vm.confine("home = bind")
    try:
        assert vm.sh("guest", "echo inside > ~/note; stat -c %U ~/note") == "guest"
        assert vm.root("stat -c %U /home/guest/note; cat /home/guest/note") == "guest\ninside"
    finally:
        vm.root("rm -f /home/guest/note")


def test_sudo_in_the_copy(vm):
    # setuid programs of an idmapped lower layer, on a mount that may not be nosuid for it
    vm.confine("privilege = sudo")
    vm.root("grep -qs NOPASSWD /var/lib/ispawn/templates/default/rootfs/etc/sudoers.d/test")
    facts = vm.facts("guest", "su_mode=$(stat -c %a:%u /usr/bin/sudo); echo mode=$su_mode; "
                              "sudo -n id -u 2>&1 | sed 's/^/sudo=/; 1q'")
    assert facts["mode"] == "4755:0"
    assert "setuid" not in facts["sudo"] and "no new privileges" not in facts["sudo"]
