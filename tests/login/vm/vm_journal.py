# SPDX-License-Identifier: GPL-3.0-or-later
"""What the real journal has of a session, and what is read back from it; lxcfs's numbers on v2."""
import json

from vm_host import wait_until


def entries(vm, *matches):
    return [json.loads(line) for line in vm.root(f"journalctl -q -b -o json {' '.join(matches)}").splitlines()]


def test_lines_have_fields(vm):
    session = vm.sh("guest", "echo $ISPAWN_SESSION")
    match = f"ISPAWN_SESSION={session}"
    end, = wait_until(lambda: entries(vm, match, "ISPAWN_EVENT=end"), "the end in the journal")
    start, = entries(vm, match, "ISPAWN_EVENT=start")
    tenant, = entries(vm, match, "ISPAWN_EVENT=tenant")
    for entry in (start, tenant, end):
        assert (entry["ISPAWN_USER"], entry["_UID"], entry["SYSLOG_IDENTIFIER"], entry["SYSLOG_FACILITY"]) == \
            ("guest", "0", "ispawn-supervisor", "10"), entry
    assert (start["ISPAWN_SERVICE"], start["ISPAWN_UID"], tenant["ISPAWN_COMMAND"]) == ("sshd", "1000", "-c bash -s")
    assert (end["ISPAWN_CAUSE"], end["ISPAWN_OOM_KILLS"], end["PRIORITY"]) == ("logout", "0", "6")
    assert int(end["ISPAWN_CPU_MS"]) > 0
    # the words are those that syslog gets elsewhere
    assert end["MESSAGE"].startswith(f"session={session} event=end cause=logout ")


def test_a_denial_has_fields(vm):
    mark = vm.mark()
    vm.confine("template = missing")
    assert vm.ssh("guest", "true").returncode != 0
    wait_until(lambda: vm.log(mark), "the denial in the log")
    entry = entries(vm, "ISPAWN_EVENT=denied", "ISPAWN_USER=guest")[-1]
    assert entry["PRIORITY"] == "3" and entry["ERRNO"] == "2" and entry["ISPAWN_STAGE"], entry
    assert "templates/missing" in entry["MESSAGE"]


def test_log_reads_the_journal(vm):
    session = vm.sh("guest", "echo $ISPAWN_SESSION")
    lines = wait_until(lambda: [line for line in vm.root("ispawnctl log guest").splitlines() if session in line][2:],
                       "three lines of the session")
    assert "event=end" in lines[-1]
    # a line that the user has made up is not one of root's
    vm.root(f"runuser -u free -- logger -t ispawn-supervisor 'session={session} event=forged'")
    wait_until(lambda: "forged" in vm.root("journalctl -q -b -t ispawn-supervisor -o cat"), "it in the journal")
    assert "forged" not in vm.root("ispawnctl log; ispawnctl log guest")
    assert session not in vm.root("ispawnctl log student; true")


def test_numbers_are_the_containers_where_lxcfs_runs(vm):
    vm.confine("memory = 96M", "cpu = 100%")
    try:
        vm.root("systemctl start lxcfs")
        wait_until(lambda: vm.root("ls /var/lib/lxcfs/proc/meminfo 2>/dev/null; true"), "lxcfs's files")
        found = vm.facts("guest", "echo cpus=$(nproc); echo memory=$(free -m | awk '/^Mem:/ {print $2}')")
    finally:
        vm.root("systemctl stop lxcfs")
    assert found == {"cpus": "1", "memory": "96"}
