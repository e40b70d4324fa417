# SPDX-License-Identifier: GPL-3.0-or-later
"""System calls: what the filter lets reach the kernel, for 64-bit and 32-bit programs.

One login at each end of privilege answers for all calls; the host's root is asked the same, so
that an answer that everybody gets here does not pass for a refusal.
"""
import pytest

from conftest import PLACES

ABIS = {"x86-64": (), "i386": ("-m32",)}


@pytest.fixture(scope="session", name="answers")
def ask_once(the_host, upload, compile_c):
    """{(who, abi): {group: {name: errno}}}"""
    found = {}
    for abi, flags in ABIS.items():
        for who, user in (("host", "root"), *((place, "guest") for place in PLACES)):
            the_host.guest(*PLACES.get(who, []))
            groups = found.setdefault((who, abi), {})
            for group, name, answer in upload("syscalls.c", user=user, flags=flags):
                groups.setdefault(group, {}).setdefault(name, answer)
        assert not the_host.wait_clean()
    return found


@pytest.fixture(params=[(place, abi) for place in PLACES for abi in ABIS], ids=lambda p: f"{p[0]}-{p[1]}",
                name="refused")
def make_refused(answers, request):
    """Call it with a group: each of its calls gets @errno here, and another answer on the host."""
    place, abi = request.param

    def check(group, errno="EPERM", is_same_on_host=False):
        here, host = answers[place, abi][group], answers["host", abi][group]
        assert here == dict.fromkeys(host, errno)
        assert is_same_on_host or all(answer != errno for answer in host.values()), f"proves nothing: {host}"
    return check


def test_mount_calls_old_and_new(refused):
    refused("mount")


def test_cve_2022_0492_and_cve_2021_3493_nested_namespaces(refused):
    """Pitfall 24: no user namespace, hence none of the kernel behind it; nor any other namespace."""
    refused("namespace")
    refused("clone")


def test_clone3_is_unknown_since_its_flags_cannot_be_seen(refused):
    """Pitfalls 24, 43: C libraries fall back to clone, whose flags can."""
    refused("clone3", "ENOSYS")


def test_calls_that_concern_the_machine(refused):
    """reboot, modules, kexec, swap, clocks, names, the kernel's log, I/O ports, quotas."""
    refused("machine")


def test_perf_bpf_userfaultfd_io_uring_fanotify_and_file_handles(refused):
    """Pitfall 46."""
    refused("kernel surface")


def test_keyrings(refused):
    """Pitfall 27: keyrings are per uid, not per container; another namespace's are not asked for."""
    refused("keyring")


def test_moving_pages_of_others(refused):
    refused("numa")


def test_personalities_that_weaken_programs(refused):
    refused("personality")


def test_unknown_calls_are_unknown_and_not_forbidden(refused):
    """Pitfall 43: C libraries try the newest call first and need to hear ENOSYS."""
    refused("unknown", "ENOSYS", is_same_on_host=True)


def test_rare_socket_families(refused, answers):
    """AF_VSOCK passes every network namespace; the others are where kernels break."""
    for place in PLACES:
        for abi in ABIS:
            found = answers[place, abi]["socket"]
            assert "0" not in found.values(), found
            assert {found[f] for f in ("AF_VSOCK", "AF_PACKET")} <= {"EAFNOSUPPORT", "ENOSYS"}
    assert answers["host", "x86-64"]["socket"]["netlink audit"] == "0"


def test_cve_2017_5226_tiocsti_and_tioclinux(refused):
    """Pitfall 40: nobody puts characters into a terminal's input."""
    refused("terminal")


def test_cve_2019_10063_garbage_in_the_high_half(answers):
    """Pitfall 40: the kernel looks at 32 bits of a request or a flag, and so must the filter."""
    for place in PLACES:
        found = answers[place, "x86-64"]
        assert found["terminal"]["TIOCSTI, garbage above"] == "EPERM"
        assert found["terminal"]["TIOCLINUX, garbage above"] == "EPERM"
        assert set(found["garbage above"].values()) == {"EPERM"}, found["garbage above"]
    assert answers["host", "x86-64"]["garbage above"]["clone"] == "0"


def test_x32_calls_are_unknown(answers):
    """Pitfall 44: the same calls under other numbers."""
    for place in PLACES:
        assert set(answers[place, "x86-64"]["x32"].values()) == {"ENOSYS"}


def test_i386_programs_run_under_the_same_filter(host, compile_c, answers):
    """Pitfall 44: int 0x80 from a 64-bit program, too."""
    assert answers["user", "i386"]["mount"] == {n: "EPERM" for n in answers["host", "i386"]["mount"]}
    source = """#include <stdio.h>
        static long call(long n, long a, long b) { long r; __asm__ volatile("int $0x80" : "=a"(r)
            : "a"(n), "b"(a), "c"(b), "d"(0L), "S"(0L), "D"(0L) : "memory", "r8", "r9", "r10", "r11"); return (int)r; }
        int main(void) { printf("%ld %ld %ld %ld\\n", call(20, 0, 0) > 0, /* getpid */ call(310, 0x10000000, 0),
            /* unshare */ call(21, 8, 8) /* mount */, call(102, 1, 8) /* socketcall */); return 0; }"""
    program = compile_c(source)
    run = "cat > /tmp/p; chmod 700 /tmp/p; /tmp/p"
    assert host.ssh("guest", run, input=program).stdout.split() == [b"1", b"-1", b"-1", b"-38"]
    assert host.ssh("root", run, input=program).stdout.split()[:2] == [b"1", b"0"]


def test_filter_holds_for_what_setuid_and_exec_start(host, root_inside):
    """A filter is inherited; root inside cannot take it off again, and what he adds only takes away."""
    script = "for i in 1 2 3; do exec_me=$(sh -c 'grep ^Seccomp: /proc/self/status'); done; echo $exec_me; " \
             "su guest -s /bin/sh -c 'grep ^Seccomp: /proc/self/status'; setsid -w grep ^Seccomp: /proc/1/status"
    assert host.sh("guest", script).split() == ["Seccomp:", "2"] * 3
