# SPDX-License-Identifier: GPL-3.0-or-later
"""The completions of bash: installed where bash-completion looks, and what the Tab key makes of them.

That they offer each verb and option there is, is tests/check/completions's to show.
"""
import pathlib
import re

import pytest

from host import run

PLACE = pathlib.Path("/usr/share/bash-completion/completions")


@pytest.fixture(name="shell")
def make_shell(host):
    child = host.spawn("bash", "--norc", "-i", size=(50, 200))
    host.set_prompt(child)
    host.ask(child, f"bind 'set bell-style none'; . {PLACE}/ispawnctl; . {PLACE}/ispawn; cd /var/lib/ispawn/templates")
    yield child
    child.close()


def tab(shell, line):
    """What the line is after one Tab; it is not executed."""
    shell.send(f"{line}\t")
    shell.send("\x01echo 'LI''NE' \r")
    shell.expect(r"LINE (.*?)\r\n")
    line = shell.match.group(1)
    shell.expect_exact("READY> ")
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line).strip()


def offered(shell, line):
    """What two Tabs show."""
    shell.send(f"{line}\t\t")
    shell.expect(r"\n(.*\n)READY> ")
    words = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shell.match.group(1)).split()
    shell.send("\x03")
    shell.expect_exact("READY> ")
    return words


@pytest.mark.parametrize("typed, line", [
    ("ispawnctl en", "ispawnctl enter"), ("ispawnctl top --o", "ispawnctl top --once"),
    ("ispawnctl log --f", "ispawnctl log --follow"), ("ispawnctl explain stud", "ispawnctl explain student"),
    ("ispawnctl doctor --prove stud", "ispawnctl doctor --prove student"),
    ("ispawnctl explain guest --service ssh", "ispawnctl explain guest --service sshd"),
    ("ispawnctl check --config /etc/ispawn/ispawn.c", "ispawnctl check --config /etc/ispawn/ispawn.conf"),
    ("ispawnctl gc -", "ispawnctl gc -"), ("ispawn --be", "ispawn --best-effort"),
    ("ispawn --privilege su", "ispawn --privilege sudo"), ("ispawn --quiet def", "ispawn --quiet default/"),
    ("ispawn --memory 1G default/rootfs rsyn", "ispawn --memory 1G default/rootfs rsync")])
def test_one_tab(shell, typed, line):
    assert tab(shell, typed) == line


def test_sessions_and_their_users(host, shell):
    with host.open_session("guest"), host.open_session("student"):
        guest, student = host.sessions()
        assert sorted(offered(shell, "ispawnctl kill ")) == sorted([guest, student, "guest", "student"])
        assert tab(shell, f"ispawnctl enter --root {student[:-2]}") == f"ispawnctl enter --root {student}"
        assert tab(shell, f"ispawnctl enter {guest} gue") == f"ispawnctl enter {guest} gue"
        assert tab(shell, "ispawnctl log stu") == "ispawnctl log student"


def test_a_file_name_with_a_space(shell):
    run("mkdir", "-p", "/tmp/two words/x")
    assert tab(shell, "ispawn /tmp/two").replace("\\", "") == "ispawn /tmp/two words/"
    run("rm", "-r", "/tmp/two words")


def test_they_are_installed_to_be_read():
    for name in ("ispawn", "ispawnctl"):
        assert (PLACE / name).stat().st_mode & 0o7777 == 0o644
