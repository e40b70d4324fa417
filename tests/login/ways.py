# SPDX-License-Identifier: GPL-3.0-or-later
"""Every way in that `ispawnctl explain` knows, really tried: where does it end?

Each function below of_way() has the name of its way and returns what explain would say: "confined",
"denied" or "HOST".  What tells the two sides apart is a file that only the template has, a service
on the host's loopback, a socket among the host's files.
"""
import contextlib
import json
import os
import pathlib
import pwd
import re
import signal
import socket
import stat
import subprocess
import threading
import time

import pexpect

from host import LIBEXEC, RUN, restored, run, wait_until

SSHD_CONFIG = pathlib.Path("/etc/ssh/sshd_config")
SSHD_LOG = pathlib.Path("/var/log/sshd.log")
LOOK = "[ -e /etc/ispawn-template ] && echo is-confined || echo is-on-the-host"
PORT = 5555
SOCKET = pathlib.Path("/var/tmp/host.socket")
GREETING = b"host service\n"
BATCH = ["-o", "BatchMode=yes"]
CONFINED, DENIED, HOST = "confined", "denied", "HOST"


# --- configurations ------------------------------------------------------------------------------

def hup_sshd():
    before = SSHD_LOG.read_text().count("Server listening on")
    os.kill(int(pathlib.Path("/run/sshd.test-pid").read_text()), signal.SIGHUP)
    wait_until(lambda: SSHD_LOG.read_text().count("Server listening on") > before, what="sshd")


@contextlib.contextmanager
def sshd_config(*lines):
    """sshd with these lines in the place of its own ones of the same keywords."""
    words = {line.split()[0] for line in lines}
    before = SSHD_CONFIG.read_text()
    try:
        kept = [line for line in before.splitlines() if (line.split() or [""])[0] not in words]
        SSHD_CONFIG.write_text("\n".join([*kept, *lines, ""]))
        hup_sshd()
        yield
    finally:
        SSHD_CONFIG.write_text(before)
        hup_sshd()


@contextlib.contextmanager
def pam(service, change):
    """A PAM file with its lines changed by a function of the list."""
    path = pathlib.Path("/etc/pam.d") / service
    with restored(path):
        lines = path.read_text().splitlines() if path.exists() else []
        path.write_text("\n".join([*change(lines), ""]))
        yield


def without_module(lines):
    return [line for line in lines if "pam_ispawn" not in line]


@contextlib.contextmanager
def door():
    """The socket door, as ispawn.socket serves it."""
    RUN.mkdir(mode=0o711, exist_ok=True)
    path = RUN / "door"
    path.unlink(missing_ok=True)
    listener = subprocess.Popen(
        ["systemd-socket-activate", "--seqpacket", "--accept", f"--listen={path}", LIBEXEC / "ispawn-door"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(path.exists, what="the door's socket")
        path.chmod(0o666)
        yield
    finally:
        listener.terminate()
        listener.wait()
        path.unlink(missing_ok=True)


# --- what explain says ---------------------------------------------------------------------------

def explain(user, *arguments):
    """The JSON; its form is checked here, once for all tests."""
    done = run("ispawnctl", "explain", user, *arguments, "--json")
    assert done.stderr == "", done.stderr
    assert done.stdout.isascii()
    told = json.loads(done.stdout)
    assert set(told) == {"user", "uid", "home", "shell", "from", "policy", "services", "ways"}
    assert set(told["policy"]) == {"service", "verdict", "reason", "values"}
    assert all(set(way) == {"way", "what", "verdict", "reason", "change"} for way in told["ways"])
    assert {way["verdict"] for way in told["ways"]} <= {CONFINED, DENIED, HOST}
    assert all(way["reason"] for way in told["ways"])
    is_open = any(way["verdict"] == HOST for way in told["ways"])
    assert done.returncode == (1 if is_open else 0)
    return told


def verdicts(user, *arguments):
    return {way["way"]: way["verdict"] for way in explain(user, *arguments)["ways"]}


def agree(host, user, ways=None, expected=None):
    """Each verdict is what a try comes to; of @expected, also what the test's author expects."""
    told = verdicts(user)
    for name, verdict in (expected or {}).items():
        assert told[name] == verdict, f"{name}: expected {verdict}, explained {told[name]}"
    for name in ways or TRIALS:
        tried = TRIALS[name](host, user, told)
        assert told[name] == tried, f"{name}: tried {tried}, explained {told[name]}"
    return told


# --- programs ------------------------------------------------------------------------------------

def where(output):
    if "is-on-the-host" in output:
        return HOST
    return CONFINED if "is-confined" in output else DENIED


def ssh_shell(host, user, _told):
    return where(host.ssh(user, None, input=f"{LOOK}\nexit\n").stdout.decode())


def ssh_command(host, user, _told):
    return where(host.ssh(user, LOOK).stdout.decode())


def sftp_client(user):
    """Which files does the client see?"""
    got = pathlib.Path("/tmp/sftp-got")
    for path, place in (("/etc/ispawn-template", CONFINED), ("/etc/ssh/sshd_config", HOST)):
        got.unlink(missing_ok=True)
        run("sftp", *BATCH, "-b", "-", f"{user}@localhost", input=f"get {path} {got}\n")
        if got.exists():
            got.unlink()
            return place
    return DENIED


def sftp(_host, user, told):
    # The client cannot say which of the two it is: the other one may serve it.
    return DENIED if (told["sftp"], told["internal-sftp"]) == (DENIED, HOST) else sftp_client(user)


def internal_sftp(_host, user, told):
    return sftp_client(user) if told["sftp"] == DENIED else told["internal-sftp"]


def su(host, user, _told, *flags):
    place = where(host.su(*flags, user, "-c", LOOK).stdout)
    # Whoever knows the password may name another shell, when /etc/shells has the user's.
    child = host.spawn("setpriv", "--reuid=free", "--regid=free", "--init-groups",
                       "su", *flags, "--shell", "/bin/bash", user, "-c", LOOK)
    if child.expect(["assword:", pexpect.EOF]) == 0:
        child.sendline(f"{user}-password")
        child.expect(pexpect.EOF)
    return HOST if HOST in (place, where(child.before)) else place


def su_login(host, user, told):
    return su(host, user, told, "-l")


def login(host, user, _told):
    child = host.login(user)
    child.sendline(LOOK + "; exit")
    child.expect([pexpect.EOF, pexpect.TIMEOUT], timeout=10)
    child.close()
    # The terminal shows the typed line as well, which has both words in it.
    return where(re.sub(r"echo is-[a-z-]+", "", child.before))


# --- what sshd forwards --------------------------------------------------------------------------

@contextlib.contextmanager
def services():
    """On the host's loopback and among its files: whoever reaches them is greeted."""
    SOCKET.unlink(missing_ok=True)
    servers = [socket.create_server(("127.0.0.1", PORT)), socket.socket(socket.AF_UNIX)]
    servers[1].bind(str(SOCKET))
    SOCKET.chmod(0o777)
    servers[1].listen()
    stop = threading.Event()

    def serve(server):
        server.settimeout(0.1)
        while not stop.is_set():
            with contextlib.suppress(OSError):
                connection, _ = server.accept()
                with connection:
                    connection.sendall(GREETING)
    threads = [threading.Thread(target=serve, args=[server]) for server in servers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        for server in servers:
            server.close()
        SOCKET.unlink()


def listens(port):
    return str(port) in run("ss", "-Hltn", f"sport = :{port}").stdout


@contextlib.contextmanager
def ssh_beside(user, *options, ready):
    ssh = subprocess.Popen(["ssh", *BATCH, "-N", *options, f"{user}@localhost"],
                           stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: ready() or ssh.poll() is not None, what=f"ssh {options}")
        yield ssh
    finally:
        ssh.kill()
        ssh.communicate()


def refusal(words):
    """sshd's word for a connection that it did not make: forbidden, or nobody there to answer."""
    return CONFINED if "Connection refused" in words or "unreachable" in words else DENIED


def dial(user, *options):
    done = run("ssh", *BATCH, *options, f"{user}@localhost", input="")
    return HOST if GREETING.decode() in done.stdout else refusal(done.stderr)


def jump(_host, user, _told):
    with services():
        return dial(user, "-W", f"127.0.0.1:{PORT}")


def by_port(user, option, port, hello=b""):
    with services(), ssh_beside(user, *option, ready=lambda: listens(port)) as ssh:
        got = b""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(hello)
            while data := connection.recv(100):
                got += data
                if GREETING in got:
                    return HOST
        ssh.kill()
        return refusal(ssh.stderr.read())


def forward_local(_host, user, _told):
    return by_port(user, ["-L", f"6011:127.0.0.1:{PORT}"], 6011)


def forward_dynamic(_host, user, _told):
    return by_port(user, ["-D", "6012"], 6012,
                   b"\x05\x01\x00\x05\x01\x00\x01\x7f\x00\x00\x01" + PORT.to_bytes(2, "big"))


def forward_remote(_host, user, _told):
    with services():
        ssh = subprocess.Popen(["ssh", "-v", *BATCH, "-N", "-R", f"6013:127.0.0.1:{PORT}", f"{user}@localhost"],
                               stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            for line in ssh.stderr:
                if "remote forward success" in line:
                    return HOST if listens(6013) else CONFINED
                if "remote forward failure" in line or "forwarding failed" in line:
                    return DENIED
            return DENIED
        finally:
            ssh.kill()
            ssh.communicate()


def streamlocal(_host, user, _told):
    place = None
    with services(), ssh_beside(user, "-L", f"6014:{SOCKET}", ready=lambda: listens(6014)):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", 6014), timeout=5) as connection:
            place = connection.recv(100)
    return HOST if place == GREETING else DENIED


# --- what sshd runs by itself --------------------------------------------------------------------

def x11(host, user, _told):
    """sshd's xauth is a script that leaves a trace where it runs."""
    trace = pathlib.Path("/var/tmp/xauth-ran")
    trace.unlink(missing_ok=True)
    script = pathlib.Path("/usr/bin/xauth")
    with restored(script):
        content = script.read_bytes()
        pathlib.Path("/usr/bin/xauth.real").write_bytes(content)
        pathlib.Path("/usr/bin/xauth.real").chmod(0o755)
        script.write_text(f"#!/bin/sh\necho ran > {trace}\n")
        done = host.ssh(user, "echo display=$DISPLAY", env={"DISPLAY": ":99"},
                        options=["-Y", "-o", "XAuthLocation=/usr/bin/xauth.real"])
    ran = trace.exists()
    trace.unlink(missing_ok=True)
    if ran:
        return HOST
    return DENIED if done.returncode != 0 or b"display=\n" in done.stdout else CONFINED


def agent_sockets(uid):
    return [path for path in pathlib.Path("/tmp").glob("ssh-*/agent.*") if path.stat().st_uid == uid]


def agent(host, user, told):
    """Does sshd make the socket?  Then who can use it is whoever is where the login is."""
    process = subprocess.run(["ssh-agent", "-a", "/tmp/test-agent"], capture_output=True, text=True, check=True)
    pid = int(re.search(r"SSH_AGENT_PID=(\d+)", process.stdout)[1])
    try:
        # ssh-agent is this test's own; its socket is not among those that sshd makes.
        with subprocess.Popen(["ssh", *BATCH, "-A", f"{user}@localhost", "echo up; exec cat"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              env={**os.environ, "SSH_AUTH_SOCK": "/tmp/test-agent"}) as ssh:
            up = ssh.stdout.readline() == b"up\n"
            made = bool(agent_sockets(pwd.getpwnam(user).pw_uid))
            ssh.stdin.close()
        return ssh_command(host, user, told) if up and made else DENIED
    finally:
        os.kill(pid, signal.SIGTERM)


def ssh_rc(host, user, _told):
    """~/.ssh/rc of the host leaves a trace in a directory that both sides have, if it is run at all."""
    home = pathlib.Path(pwd.getpwnam(user).pw_dir)
    trace = pathlib.Path("/var/tmp/rc-ran")
    trace.unlink(missing_ok=True)
    with restored(home / ".ssh/rc") as rc:
        rc.write_text(f"echo ran > {trace}\n")
        host.ssh(user, "true")
    ran = trace.exists()
    trace.unlink(missing_ok=True)
    return HOST if ran else None


def ssh_environment(host, user, _told):
    """A library that LD_PRELOAD names leaves a trace when a program of the host loads it."""
    trace = pathlib.Path("/var/tmp/preloaded")
    library = pathlib.Path("/usr/local/lib/ispawn-test-preload.so")
    trace.unlink(missing_ok=True)
    subprocess.run(["gcc", "-shared", "-fPIC", "-x", "c", "-o", library, "-"], check=True, text=True, input=f"""
        #include <stdio.h>
        #include <unistd.h>
        __attribute__((constructor)) static void f(void)
        {{ if (getuid() != 0) {{ FILE *t = fopen("{trace}", "w"); if (t) fclose(t); }} }}""")
    try:
        run("ssh", *BATCH, "-o", f"SetEnv=LD_PRELOAD={library}", f"{user}@localhost", "true")
        return HOST if trace.exists() else None
    finally:
        trace.unlink(missing_ok=True)
        library.unlink()


def tunnel(_host, user, _told):
    """A device of the host's that the user may take: does sshd's end of the tunnel get it?"""
    device = pathlib.Path("/dev/net/tun")
    if not device.exists():
        device.parent.mkdir(exist_ok=True)
        os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(10, 200))
        device.chmod(0o666)
    said = pathlib.Path("/tmp/tunnel-said")
    assert run("ip", "tuntap", "add", "dev", "tun7", "mode", "tun", "user", user).returncode == 0
    assert run("ip", "link", "set", "tun7", "up").returncode == 0
    try:
        with said.open("w") as log, subprocess.Popen(["ssh", *BATCH, "-N", "-w", "any:7", f"{user}@localhost"],
                                                     stdin=subprocess.DEVNULL, stderr=log) as ssh:
            try:
                return wait_until(lambda: HOST if "LOWER_UP" in run("ip", "link", "show", "tun7").stdout
                                  else "refused" if "failed" in said.read_text() else None, what="ssh -w")
            finally:
                ssh.kill()
    finally:
        run("ip", "link", "del", "tun7")


# --- cron and at ---------------------------------------------------------------------------------

def as_user(user, *argv, **kwargs):
    """A program of the host's as the user, who is not logged in: what a job left behind comes from."""
    return run("setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "env", "HOME=/", f"USER={user}",
               f"LOGNAME={user}", *argv, **kwargs)


@contextlib.contextmanager
def daemon_of_jobs(*argv):
    """It runs jobs as soon as it is there; the log says that a session was opened or refused."""
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as daemon:
        try:
            yield
        finally:
            daemon.terminate()
            daemon.wait()


def where_job_ran(trace, has_had_its_turn):
    wait_until(has_had_its_turn, what="the job's turn")
    end = time.monotonic() + 3
    while time.monotonic() < end and not (trace.exists() and trace.read_text()):
        time.sleep(0.05)
    return where(trace.read_text()) if trace.exists() else DENIED


def cron(_host, user, _told):
    """Left by crontab(1); @reboot jobs run as soon as cron does."""
    trace = pathlib.Path("/var/tmp/cron-ran")
    boot = pathlib.Path("/run/crond.reboot")
    trace.unlink(missing_ok=True)
    boot.unlink(missing_ok=True)
    if as_user(user, "crontab", "-", input=f"@reboot ({LOOK}) > {trace}\n").returncode != 0:
        return DENIED
    mark = pathlib.Path("/var/log/host.log").stat().st_size
    try:
        with daemon_of_jobs("/usr/sbin/cron", "-f"):
            # cron says so whether or not its job may run
            return where_job_ran(trace, lambda: "(CRON)" in log_since(mark) or "CRON[" in log_since(mark))
    finally:
        trace.unlink(missing_ok=True)
        boot.unlink(missing_ok=True)
        run("crontab", "-r", "-u", user)


def at(_host, user, _told):
    """Left by at(1) before atd starts, which takes what is due."""
    trace = pathlib.Path("/var/tmp/at-ran")
    jobs = pathlib.Path("/var/spool/cron/atjobs")
    trace.unlink(missing_ok=True)
    done = as_user(user, "at", "now", input=f"({LOOK}) > {trace}\n")
    if done.returncode != 0:
        assert "do not have permission" in done.stderr, done
        return DENIED
    try:
        with daemon_of_jobs("/usr/sbin/atd", "-f"):
            return where_job_ran(trace, lambda: not any(jobs.glob("a*")))
    finally:
        trace.unlink(missing_ok=True)
        for job in jobs.glob("[a=]*"):
            job.unlink()


def log_since(mark):
    with open("/var/log/host.log", "rb") as file:
        file.seek(mark)
        return file.read().decode(errors="replace")


# --- the door ------------------------------------------------------------------------------------

def socket_door(_host, user, _told):
    done = run("setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "env", "-u", "ISPAWN_SESSION",
               "ispawn-shell", "-c", LOOK)
    return where(done.stdout)


TRIALS = {
    "ssh-shell": ssh_shell,
    "ssh-command": ssh_command,
    "sftp": sftp,
    "internal-sftp": internal_sftp,
    "forward-local": forward_local,
    "forward-remote": forward_remote,
    "forward-dynamic": forward_dynamic,
    "jump": jump,
    "streamlocal": streamlocal,
    "x11": x11,
    "agent": agent,
    "su": su,
    "su-l": su_login,
    "login": login,
    "cron": cron,
    "at": at,
    "door": socket_door,
}
# Where a program runs can be told of these, but not whether sshd was about to run it.
HOST_OR_NOT = {"ssh-rc": ssh_rc, "ssh-environment": ssh_environment, "tunnel": tunnel}


def agree_host(host, user, name):
    told = verdicts(user)
    tried = HOST_OR_NOT[name](host, user, told)
    assert (told[name] == HOST) == (tried == HOST), f"{name}: tried {tried}, explained {told[name]}"
    return told[name]
