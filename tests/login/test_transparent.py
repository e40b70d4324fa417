# SPDX-License-Identifier: GPL-3.0-or-later
"""A confined login behaves as any other: statuses, signals, streams, arguments.

Nothing here asks where the program runs; every test would pass for an unconfined user too.
"""
import hashlib
import os
import signal
import subprocess
import time

import pytest

USERS = ["guest", "shelly"]  # covered /bin/bash, and ispawn-shell as the login shell


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("status", [0, 1, 2, 42, 125, 126, 127, 128, 254, 255])
def test_exit_status_is_exact(host, user, status):
    assert host.ssh(user, f"exit {status}").returncode == status


@pytest.mark.parametrize("user", USERS)
def test_command_not_found_is_127(host, user):
    done = host.ssh(user, "no-such-command-here")
    assert done.returncode == 127
    assert b"not found" in done.stderr


@pytest.mark.parametrize("name", ["TERM", "KILL", "HUP", "USR1", "SEGV"])
def test_death_by_signal_is_reported_as_such(host, name):
    # ssh itself exits with 255 and says which signal it was when asked to be verbose.
    done = subprocess.run(["ssh", "-v", "-o", "BatchMode=yes", "guest@localhost",
                           f"kill -{name} $$; sleep 5"], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 255
    assert "exit-signal" in done.stderr, done.stderr[-2000:]


@pytest.mark.parametrize("user", USERS)
def test_no_byte_of_ours_on_stdout_or_stderr(host, user):
    done = host.ssh(user, "true")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_stdout_and_stderr_are_separate(host):
    done = host.ssh("guest", "echo out; echo err >&2")
    assert (done.stdout, done.stderr) == (b"out\n", b"err\n")


def test_twenty_megabytes_pass_unchanged_both_ways(host):
    sent = os.urandom(20 << 20)
    done = host.ssh("guest", "cat", input=sent)
    assert done.returncode == 0
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(sent).digest()


def test_every_byte_value_passes(host):
    sent = bytes(range(256)) * 64
    assert host.ssh("guest", "cat", input=sent).stdout == sent
    assert host.ssh("guest", "cat >&2", input=sent).stderr == sent


def test_end_of_input_reaches_the_program_while_its_output_goes_on(host):
    done = host.ssh("guest", "cat >/dev/null; sleep 0.2; echo after", input=b"x" * 100000)
    assert (done.returncode, done.stdout) == (0, b"after\n")


def test_program_that_closes_its_output_gets_no_more_time(host):
    done = host.ssh("guest", "echo before; exec >&- 2>&-; sleep 0.3; exit 3")
    assert (done.returncode, done.stdout) == (3, b"before\n")


def test_reader_that_stops_early_does_not_hang_the_login(host):
    start = time.monotonic()
    done = subprocess.run("ssh -o BatchMode=yes guest@localhost yes | head -c 1000 | wc -c", shell=True,
                          capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout.strip() == "1000"
    assert time.monotonic() - start < 15


def test_output_without_a_reader_of_input(host):
    # The program never reads: the pipe fills, and neither end may wait for the other.
    done = host.ssh("guest", "head -c 5000000 /dev/zero", input=b"y" * (4 << 20))
    assert len(done.stdout) == 5000000


def test_shell_reads_its_script_from_standard_input(host):
    done = host.ssh("guest", None, input=b"echo one\nread x\ninput\necho got $x\nexit 7\n")
    assert done.returncode == 7
    assert done.stdout.split() == [b"one", b"got", b"input"]


@pytest.mark.parametrize("user", USERS)
def test_login_shell_has_a_dash_in_front(host, user):
    done = host.ssh(user, None, input=b'echo "$0"; shopt -q login_shell && echo login\n')
    assert done.stdout.split() == [b"-bash", b"login"], done


def test_command_runs_by_a_shell_that_is_no_login_shell(host):
    assert host.sh("guest", "shopt -q login_shell && echo login || echo plain") == "plain"


def test_quoting_arrives_as_typed(host):
    assert host.sh("guest", r"""printf '%s|' "a  b" 'c"d' '$HOME' \\ "é" '*'""") == "a  b|c\"d|$HOME|\\|é|*|"


def test_long_command_line(host):
    text = "x" * 60000
    assert host.sh("guest", f"printf %s {text} | wc -c") == "60000"


def test_several_lines_in_one_command(host):
    assert host.sh("guest", "echo a\necho b\n\nif true; then\n echo c\nfi") == "a\nb\nc"


def test_standard_input_from_dev_null(host):
    done = subprocess.run(["ssh", "-n", "-o", "BatchMode=yes", "guest@localhost", "cat; echo end"],
                          capture_output=True, timeout=30, check=False)
    assert done.stdout == b"end\n"


def test_subprocesses_and_pipelines(host):
    assert host.sh("guest", "seq 1000 | sort -rn | head -1; (exit 5); echo $?; sleep 0.1 & wait; echo ok") == \
        "1000\n5\nok"


def test_signal_ends_only_what_it_is_sent_to(host):
    done = host.ssh("guest", "sleep 30 & sleep 0.1; kill -TERM $!; wait $!; echo $?")
    assert done.stdout == b"143\n"


def test_ignored_signals_are_not_inherited(host):
    # SIGPIPE ignored would leave `yes` running into errors, SIGINT ignored would break Ctrl-C.
    status = host.sh("guest", "grep SigIgn /proc/self/status; grep SigBlk /proc/self/status")
    assert [int(line.split()[1], 16) for line in status.splitlines()] == [0, 0]


def test_umask_and_working_directory(host):
    # of the distribution's choice: 0002 where each user has a group of his own
    assert host.sh("guest", "umask; pwd") == f"{host.sh('free', 'umask')}\n/home/guest"


def test_only_the_three_standard_descriptors_are_open(host):
    assert host.sh("guest", "ls /proc/$$/fd; true").split() == ["0", "1", "2"]


def test_many_short_commands_one_after_the_other(host):
    for number in range(5):
        assert host.sh("guest", f"echo {number}") == str(number)


def test_client_killed_by_a_signal_leaves_no_process(host):
    ssh = host.session("guest")
    ssh.send_signal(signal.SIGKILL)
    ssh.wait()
    ssh.stdin.close()
    ssh.stdout.close()
    ssh.stderr.close()
    assert not host.wait_clean()
