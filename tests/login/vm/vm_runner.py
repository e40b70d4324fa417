# SPDX-License-Identifier: GPL-3.0-or-later
"""The runner on the reference kernel with a unified hierarchy: as root, and in a user's own cgroup."""
import pytest

TREE = "/var/lib/ispawn/templates/small/rootfs"
OWN = "/home/free/tree"
NONE = "--memory max --swap max --pids max --cpu 0%"
DELEGATED = "systemd-run --quiet --pipe --wait --collect --uid=free --gid=free -p Delegate=yes"


@pytest.fixture(name="own_tree", scope="module")
def make_own_tree(the_vm):
    the_vm.root(f"chmod 0700 /home/free; cp -a {TREE} {OWN}; chown -hR free:free {OWN}")
    yield OWN
    the_vm.root(f"rm -rf {OWN}")


def test_root_with_each_kind_of_change(vm):
    before = vm.root(f"cp -a {TREE} /var/lib/ispawn/tree; ls /var/lib/ispawn/tree")
    try:
        assert vm.root("ispawn --quiet /var/lib/ispawn/tree sh -c 'echo x > /made; id -u; hostname'") == "0\ntree"
        assert vm.root("stat -c %u:%g /var/lib/ispawn/tree/made; rm /var/lib/ispawn/tree/made") == "0:0"
        assert vm.root("ispawn --quiet --ephemeral /var/lib/ispawn/tree sh -c 'echo x > /made; cat /made'") == "x"
        assert vm.root("ispawn --quiet --readonly /var/lib/ispawn/tree sh -c 'echo x > /made' 2>&1; echo $?").endswith("1")
        assert vm.root("ls /var/lib/ispawn/tree") == before
    finally:
        vm.root("rm -rf /var/lib/ispawn/tree")


def test_roots_limits_are_the_runs_own(vm):
    found = vm.root(f"ispawn --quiet --memory 64M --swap 0 --pids 33 --cpu 50% --readonly {TREE} sleep 4 & sleep 2; "
                    "cd /sys/fs/cgroup/ispawn/root.*/; cat memory.max memory.swap.max pids.max cpu.max; wait")
    assert found == f"{64 << 20}\n0\n33\n50000 100000"


def test_its_supervisor_is_where_those_of_logins_are(vm):
    found = vm.root(f"ispawn --quiet --readonly {TREE} sleep 4 & sleep 2; "
                    "cat /proc/$(pgrep -x ispawn-supervis)/cgroup; wait")
    assert found == "0::/ispawn/.supervisors"


def test_a_user_in_a_cgroup_of_his_own_has_limits(vm, own_tree):
    script = f"ispawn --quiet --memory 64M --swap 0 --pids 33 {own_tree} sh -c 'id -u; sleep 4'"
    found = vm.root(f"{DELEGATED} --unit=mine {script} & sleep 2; "
                    "cd /sys/fs/cgroup/system.slice/mine.service/ispawn/root.*/; "
                    "cat memory.max memory.swap.max pids.max; stat -c %U memory.max; wait")
    assert found == f"0\n{64 << 20}\n0\n33\nfree"  # what the command says comes first


def test_his_limit_bites_and_is_told(vm, own_tree):
    script = f"ispawn --memory 16M --swap 0 {own_tree} dd if=/dev/zero of=/dev/null bs=64M count=1"
    found = vm.root(f"{DELEGATED} {script} 2>&1; echo $?")
    assert "the memory limit of this container (16 MiB for all in it) was reached" in found
    assert found.endswith("killed by signal SIGKILL (9)\n137")


def test_a_user_without_one_is_told(vm, own_tree):
    done = vm.ssh("free", f"ispawn {own_tree} true; echo $?; ispawn --quiet {NONE} {own_tree} id -u; "
                          f"ispawn --quiet {NONE} --ephemeral {own_tree} sh -c 'rm -r /bin; mkdir /bin; echo x > /bin/x'; "
                          f"echo $?; ls {own_tree}/bin/sh")
    assert "limits without a cgroup of yours to enforce them: --memory --swap --pids --cpu: " in done.stderr
    assert done.stdout.split()[0] == "125"
    assert done.stdout.split()[1] == "0"
    assert done.stdout.split()[-1] == f"{own_tree}/bin/sh"
