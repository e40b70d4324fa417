# SPDX-License-Identifier: GPL-3.0-or-later
"""What people run over ssh without thinking of it: scp, sftp, rsync, git, shared connections."""
import os
import subprocess
import tarfile

import pytest

from host import run, wait_until

BATCH = ["-o", "BatchMode=yes", "-o", "LogLevel=ERROR"]


@pytest.fixture(name="tree")
def make_tree(tmp_path):
    tree = tmp_path / "tree"
    (tree / "sub dir").mkdir(parents=True)
    (tree / "big").write_bytes(os.urandom(3 << 20))
    (tree / "sub dir" / "näme").write_text("x")
    (tree / "script").write_text("#!/bin/sh\necho ran\n")
    (tree / "script").chmod(0o755)
    (tree / "link").symlink_to("script")
    return tree


def same(one, two):
    return run("diff", "-r", "--no-dereference", str(one), str(two)).returncode == 0


@pytest.mark.parametrize("user", ["guest", "shelly"])
@pytest.mark.parametrize("protocol", ["-O", "-s"], ids=["scp", "sftp"])
def test_scp_there_and_back(host, tree, tmp_path, user, protocol):
    (tree / "link").unlink()  # scp follows links
    name = f"there{protocol}"
    there = run("scp", protocol, *BATCH, "-rq", str(tree), f"{user}@localhost:{name}")
    assert (there.returncode, there.stdout, there.stderr) == (0, "", "")
    assert host.sh(user, f"{name}/script; test -e /etc/ispawn-template && echo inside") == "ran\ninside"
    back = run("scp", protocol, *BATCH, "-rq", f"{user}@localhost:{name}", str(tmp_path / "back"))
    assert back.returncode == 0, back
    assert same(tree, tmp_path / "back")


@pytest.mark.parametrize("user", ["guest", "shelly"])
def test_sftp_works_inside(host, tree, user):
    batch = f"put {tree}/big big\nget /etc/ispawn-template /tmp/got-{user}\nls -l big\nrename big big2\nrm big2\n"
    done = run("sftp", *BATCH, "-b", "-", f"{user}@localhost", input=batch)
    assert done.returncode == 0, done
    with open(f"/tmp/got-{user}", encoding="ascii") as file:
        assert file.read() == "this is the template\n"


def test_sftp_sees_the_containers_files_only(host):
    done = run("sftp", *BATCH, "-b", "-", "guest@localhost", input="get /home/guest/host-home-marker /tmp/x\n")
    assert done.returncode != 0
    assert "not found" in done.stderr


@pytest.mark.parametrize("user", ["guest", "shelly"])
def test_rsync_there_and_back(host, tree, tmp_path, user):
    ssh = "ssh " + " ".join(BATCH)
    for _ in range(2):
        done = run("rsync", "-a", "-e", ssh, f"{tree}/", f"{user}@localhost:synced/")
        assert (done.returncode, done.stderr) == (0, ""), done
    done = run("rsync", "-a", "-e", ssh, f"{user}@localhost:synced/", str(tmp_path / "back"))
    assert done.returncode == 0, done
    assert same(tree, tmp_path / "back")


def test_tar_through_a_pipe(host, tree, tmp_path):
    archive = tmp_path / "a.tar"
    run("tar", "-cf", str(archive), "-C", str(tree), ".")
    done = host.ssh("guest", "mkdir -p t && tar -C t -xf - && tar -C t -cf - .", input=archive.read_bytes())
    assert done.returncode == 0, done.stderr
    (tmp_path / "b.tar").write_bytes(done.stdout)
    with tarfile.open(tmp_path / "b.tar") as back:
        assert "./big" in back.getnames()


def test_git_clone_and_push(host, tmp_path):
    host.sh("guest", "rm -rf repo.git; git init -q --bare repo.git")
    git = {"GIT_SSH_COMMAND": "ssh " + " ".join(BATCH), "HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    clone = tmp_path / "clone"
    assert run("git", "clone", "-q", "guest@localhost:repo.git", str(clone), env=git).returncode == 0
    (clone / "file").write_text("text")
    for command in (["add", "file"], ["-c", "user.name=n", "-c", "user.email=e", "commit", "-qm", "one"],
                    ["push", "-q", "origin", "HEAD"]):
        done = run("git", "-C", str(clone), *command, env=git)
        assert done.returncode == 0, done
    assert host.sh("guest", "git -C repo.git log --oneline --all | wc -l") == "1"


def test_several_sessions_on_one_connection_are_one_container(host, tmp_path):
    control = ["-o", f"ControlPath={tmp_path}/control"]
    master = subprocess.Popen(["ssh", *BATCH, *control, "-MN", "guest@localhost"])
    try:
        wait_until((tmp_path / "control").exists, what="the shared connection")
        first = host.sh("guest", "echo kept > /tmp/mark; readlink /proc/self/ns/mnt", options=control)
        second = host.sh("guest", "cat /tmp/mark; readlink /proc/self/ns/mnt", options=control)
        assert second == f"kept\n{first}"
        assert len(host.sessions()) == 1
        assert host.ssh("guest", "exit 9", options=control).returncode == 9
        done = run("scp", *BATCH, *control, "/etc/hostname", "guest@localhost:h")
        assert done.returncode == 0, done
    finally:
        run("ssh", *control, "-O", "exit", "guest@localhost")
        master.wait(10)


def test_parallel_sessions_on_one_connection_end_by_themselves(host, tmp_path):
    control = ["-o", f"ControlPath={tmp_path}/control"]
    master = subprocess.Popen(["ssh", *BATCH, *control, "-MN", "guest@localhost"])
    try:
        wait_until((tmp_path / "control").exists, what="the shared connection")
        running = [host.popen("guest", f"sleep 0.{n}; exit {n}", options=control) for n in range(8)]
        for number, ssh in enumerate(running):
            ssh.communicate(timeout=20)
            assert ssh.returncode == number
        assert host.sh("guest", "ls /proc | grep -c '^[0-9]'", options=control) != ""
    finally:
        run("ssh", *control, "-O", "exit", "guest@localhost")
        master.wait(10)


def test_connection_without_a_command_holds_a_session(host):
    ssh = subprocess.Popen(["ssh", *BATCH, "-N", "guest@localhost"])
    try:
        wait_until(lambda: host.sessions(), what="a session for ssh -N")
    finally:
        ssh.terminate()
        ssh.wait()
    assert not host.wait_clean()


def test_agent_forwarding_offers_no_host_socket(host, tmp_path):
    # The agent's socket is made by sshd on the host: inside, its path leads nowhere.
    agent = run("ssh-agent", "-c", "-a", str(tmp_path / "agent"))
    pid = int(agent.stdout.split("SSH_AGENT_PID ")[1].split(";")[0])
    try:
        environment = {"SSH_AUTH_SOCK": str(tmp_path / "agent")}
        run("ssh-add", "-q", "/root/.ssh/id_ed25519", env={**os.environ, **environment})
        done = host.ssh("guest", 'test -S "$SSH_AUTH_SOCK" && echo reachable', options=["-A"], env=environment)
        assert b"reachable" not in done.stdout
    finally:
        os.kill(pid, 15)
