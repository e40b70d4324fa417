# SPDX-License-Identifier: GPL-3.0-or-later
"""Tenants without a terminal: status, signals, streams, environment, and what init lets them do."""
import fcntl
import hashlib
import os
import signal
import socket
import subprocess
import tempfile
import threading

from tenant_world import (
    EMPTY, EXITED, HANGUP, MIB, OPEN, READY, REFUSED, SESSION, SIGNAL, STARTED, STOP, pack, same, send, test)


@test
def exit_status_is_the_tenants(world):
    for status in (0, 1, 2, 125, 126, 127, 128, 255):
        same(world.sh(f"exit {status}"), (status, b"", b""))


@test
def death_by_signal_is_the_tenants(world):
    for name in ("HUP", "INT", "QUIT", "KILL", "TERM", "PIPE", "ALRM", "USR1", "SEGV", "ABRT"):
        same(world.sh(f"exec dash -c 'kill -{name} $$'")[0], -getattr(signal, "SIG" + name))


@test
def signals_are_passed_on_as_they_are(world):
    for name in ("HUP", "INT", "QUIT", "TERM", "USR1", "USR2"):
        child = world.popen("-c", f"exec 2>/dev/null; trap 'echo got {name}; exit 7' {name}; echo on; "
                            "while :; do sleep 0.02; done", stdout=subprocess.PIPE)
        same(child.stdout.readline(), b"on\n")
        child.send_signal(getattr(signal, "SIG" + name))
        same(child.stdout.read(), f"got {name}\n".encode())
        same(child.wait(10), -signal.SIGHUP if name == "HUP" else 7)


@test
def a_signal_reaches_the_whole_job(world):
    child = world.popen("-c", "exec 2>/dev/null; (trap 'echo inner; exit' TERM; echo on; "
                        "while :; do sleep 0.02; done); :", stdout=subprocess.PIPE)
    same(child.stdout.readline(), b"on\n")
    child.terminate()
    same(child.stdout.read(), b"inner\n")
    same(child.wait(10), -signal.SIGTERM)


@test
def not_one_byte_of_ours(world):
    same(world.sh("true"), (0, b"", b""))
    same(world.sh("echo out; echo err >&2"), (0, b"out\n", b"err\n"))
    same(world.sh("kill -9 $$"), (-9, b"", b""))


@test
def every_byte_arrives(world):
    every = bytes(range(256)) * 64
    same(world.out("cat", stdin=every), every)
    for kind in ("socket", "pipe"):
        blob = os.urandom(MIB) * 48
        wanted = hashlib.sha256(blob).hexdigest()
        if kind == "pipe":
            same(world.out("sha256sum", stdin=blob).split()[0].decode(), wanted)
            same(hashlib.sha256(world.out("cat", stdin=blob)).hexdigest(), wanted)
            continue
        ours, theirs = socket.socketpair()
        child = world.popen("-c", "cat", stdin=theirs, stdout=theirs)
        theirs.close()
        feeder = threading.Thread(target=lambda: (ours.sendall(blob),
                                                  ours.shutdown(socket.SHUT_WR)))
        feeder.start()
        digest = hashlib.sha256()
        while chunk := ours.recv(65536):
            digest.update(chunk)
        feeder.join()
        same(digest.hexdigest(), wanted)
        same(child.wait(10), 0)


@test
def half_close_travels_both_ways(world):
    same(world.out("wc -c", stdin=b"12345").strip(), b"5")
    child = world.popen("-c", "exec >&-; read line; exit 3", stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE)
    same(child.stdout.read(), b"")  # while the tenant still runs
    same(child.poll(), None)
    child.stdin.write(b"\n")
    child.stdin.close()
    same(child.wait(10), 3)
    child = world.popen("-c", "yes", stdout=subprocess.PIPE)
    child.stdout.read(10)
    child.stdout.close()
    same(child.wait(10), -signal.SIGPIPE)


@test
def closed_and_null_stay_so(world):
    script = "for i in 0 1 2; do readlink /proc/self/fd/$i || echo none; done >$HOME/fds"
    home = world.work / "home" / "fds"
    child = world.popen("-c", "for i in 0 1 2; do readlink /proc/$$/fd/$i || echo none; done "
                        "3>$HOME/fds >&3 2>/dev/null; ls -l /proc/$$/fd >>$HOME/fds",
                        preexec_fn=lambda: [os.close(i) for i in (0, 1, 2)])
    same(child.wait(10), 0)
    lines = home.read_text().splitlines()
    same(lines[0], "none")
    child = world.popen("-c", script.replace("self", "$$"), stdin=subprocess.DEVNULL,
                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    same(child.wait(10), 0)
    same(home.read_text().splitlines()[0], "/dev/null")


@test
def files_are_relayed_and_never_go_inside(world):
    blob = os.urandom(3 * MIB + 17)
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as sink:
        source.write(blob)
        source.seek(0)
        child = world.popen("-c", "cat; readlink /proc/$$/fd/0 /proc/$$/fd/1 >&2",
                            stdin=source, stdout=sink, stderr=subprocess.PIPE)
        err = child.stderr.read().decode().split()
        same(child.wait(20), 0)
        assert all(name.startswith("pipe:") for name in err) and len(err) == 2, err
        sink.seek(0)
        same(hashlib.sha256(sink.read()).hexdigest(), hashlib.sha256(blob).hexdigest())
    with tempfile.TemporaryFile() as sink:
        child = world.popen("-c", "for i in 1 2 3 4 5 6 7 8 9; do echo $i; echo $i >&2; done",
                            stdout=sink, stderr=sink)
        same(child.wait(10), 0)
        sink.seek(0)
        same(sink.read(), b"".join(b"%d\n%d\n" % (i, i) for i in range(1, 10)))


@test
def a_directory_or_tcp_socket_never_goes_inside(world):
    directory = os.open("/", os.O_RDONLY)
    ours = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(ours.getsockname())
    server = ours.accept()[0]
    unix = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    for bad in (directory, server.fileno(), unix.fileno()):
        child = world.popen("-c", "readlink /proc/$$/fd/0 /proc/$$/fd/2; ls /proc/$$/fd; :",
                            stdin=bad, stdout=subprocess.PIPE, stderr=bad)
        out = child.stdout.read().decode().split()
        same(child.wait(10), 0)
        assert out[0].startswith("pipe:") and out[1].startswith("pipe:"), out
        assert set(out[2:]) <= {"0", "1", "2", "255"}, out
    os.close(directory)
    for sock in (ours, client, server, unix):
        sock.close()


@test
def the_tenant_has_three_descriptors(world):
    leak = os.open("/", os.O_RDONLY)
    os.set_inheritable(leak, True)
    child = world.popen("-c", "ls /proc/$$/fd; :", stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                        close_fds=False)
    same(sorted(child.stdout.read().split()), [b"0", b"1", b"2"])
    child.stdin.close()
    same(child.wait(10), 0)
    os.close(leak)


@test
def arguments_arrive_as_they_are(world):
    odd = bytes(range(1, 256))
    status, out, _ = world.run("-c", b'printf %s "$1"', "x", odd)
    same((status, out), (0, odd))
    long = "printf '%s' '" + "y" * (100 * 1024) + "' | wc -c"
    same(world.out(long).strip(), b"102400")
    same(world.run("-c", 'echo "$#$2"', "x", "", "two")[1], b"2two\n")
    same(world.supervisor.opened[-1], b"-c echo \"$#$2\" x  two")
    status, _, err = world.run("-c", ":", *["x" * (120 * 1024)] * 9)
    same(status, 125)
    assert b"more than 1048576 bytes" in err, err


@test
def a_leading_dash_makes_a_login_shell(world):
    same(world.out("echo $0", argv0="-su"), b"-bash\n")
    same(world.out("shopt -q login_shell && echo login", argv0="-anything"), b"login\n")
    same(world.out("echo $0", argv0="ispawn-shell"), b"bash\n")
    same(world.out("echo $0", argv0=""), b"bash\n")


@test
def the_tenant_starts_clean(world):
    def spoil():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
        os.umask(0o027)
        os.chdir("/")
    out = world.out("umask; pwd; ps -o pid=,sid=,pgid= -p $$; "
                    "exec grep -E '^Sig(Blk|Ign)' /proc/self/status",
                    preexec_fn=spoil).decode().split()
    same(out[0], "0027")
    same(out[1], str(world.work / "home"))
    same(len(set(out[2:5])), 1)
    same((out[6], out[8]), ("0" * 16, "0" * 16))


@test(variables=("EXTRA",))
def the_environment_is_an_allowlist(world):
    given = world.environment(
        HOME="/evil", USER="root", LOGNAME="root", SHELL="/evil", LD_PRELOAD="/evil",
        LD_LIBRARY_PATH="/evil", BASH_ENV="/evil", ENV="/evil", GLIBC_TUNABLES="glibc.malloc.perturb=1", IFS="x",
        LC_TIME="C", TZ="UTC", SSH_CONNECTION="1 2 3 4", SSH_TTY="/dev/pts/99", EXTRA="yes",
        OTHER="no", SSH_AUTH_SOCK="/tmp/x", PATH="/evil", GIT_PROTOCOL="version=2")
    out = dict(line.split("=", 1) for line in
               world.out("exec env", env=given).decode().splitlines())
    home = str(world.work / "home")
    wanted = {"HOME": home, "USER": "tester", "LOGNAME": "tester", "SHELL": "/bin/bash",
              "LANG": "C", "LC_TIME": "C", "TZ": "UTC", "SSH_CONNECTION": "1 2 3 4",
              "EXTRA": "yes", "PATH": "/usr/local/bin:/usr/bin:/bin", "GIT_PROTOCOL": "version=2",
              "ISPAWN_SESSION": SESSION}
    same({k: v for k, v in out.items() if k not in ("PWD", "SHLVL", "_", "OLDPWD")}, wanted)


@test(privilege="root")
def inside_root_is_called_root(world):
    same(world.out("echo $USER $LOGNAME $HOME; echo $PATH"),
         b"root root /root\n/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n")


@test
def orphans_are_reaped_and_empty_is_told(world):
    world.out("for i in 1 2 3 4 5; do (sleep 0.1 &) ; done; "
              "(setsid sleep 0.5 >/dev/null 2>&1 </dev/null &)")
    world.supervisor.wait_for(EXITED)
    same([seen for seen in world.supervisor.seen if seen[0] == EMPTY], [])
    world.supervisor.wait_for(EMPTY)
    world.out("true")
    world.supervisor.wait_for(EMPTY, 2)
    stat = subprocess.run(["ps", "--ppid", str(world.supervisor.init_pid()), "-o", "stat="],
                          stdout=subprocess.PIPE, check=False).stdout
    same(stat, b"")


@test
def many_tenants_at_once(world):
    children = [world.popen("-c", f"sleep 0.3; exit {i}") for i in range(60)]
    same([child.wait(30) for child in children], list(range(60)))


@test
def one_too_many_is_refused(world):
    # 64 of the user's and 4 of the administrator's, whom the supervisor tells apart
    children = [world.popen("-c", "read x", stdin=subprocess.PIPE) for _ in range(68)]
    world.supervisor.wait_for(STARTED, 68)
    status, out, err = world.sh("echo no")
    same((status, out), (125, b""))
    assert b"one more program than 68" in err, err
    for child in children:
        child.stdin.close()
        child.wait(10)
    same(world.out("echo again"), b"again\n")


@test(shell="/no/such/shell")
def a_missing_shell_is_127(world):
    status, out, err = world.sh("true")
    same((status, out), (127, b""))
    assert SESSION.encode() in err and b"/no/such/shell" in err, err
    same(err.count(b"\n"), 1)
    world.supervisor.wait_for(EMPTY)
    same([s for s in world.supervisor.seen if s[0] in (EXITED, STARTED)], [])


@test(shell="/etc/passwd")
def a_shell_that_is_no_program_is_126(world):
    same(world.sh("true")[0], 126)


@test(shell="")
def forwarding_only_runs_nothing(world):
    status, out, err = world.sh("true")
    same((status, out), (125, b""))
    assert b"forwarding only" in err, err


@test
def a_vanished_shell_hangs_the_tenant_up(world):
    # No stderr: bash says Hangup of its loop's sleep there, and would die of SIGPIPE before its trap.
    child = world.popen("-c", "exec 2>/dev/null; trap 'echo gone >$HOME/trace; exit' HUP; echo on; "
                        "while :; do sleep 0.02; done", stdout=subprocess.PIPE)
    same(child.stdout.readline(), b"on\n")
    child.kill()
    child.wait()
    world.supervisor.wait_for(EXITED)
    same((world.work / "home" / "trace").read_text(), "gone\n")


@test
def stop_ends_everything_polite(world):
    child = world.popen("-c", "(setsid sh -c 'trap \"echo term >$HOME/trace2\" TERM; echo on; "
                        "sleep 30 & wait' ) & wait", stdout=subprocess.PIPE)
    same(child.stdout.readline(), b"on\n")
    send(world.supervisor.sock, pack(STOP))
    same(child.wait(10), -signal.SIGHUP)
    world.supervisor.wait_for(EMPTY)


@test
def the_supervisors_death_is_the_end(world):
    child = world.popen("-c", "trap '' HUP TERM; sleep 60", stderr=subprocess.PIPE)
    world.supervisor.wait_for(STARTED)
    pid = world.supervisor.init_pid()
    inside = subprocess.run(["pgrep", "-P", str(pid)], stdout=subprocess.PIPE, check=True).stdout
    world.supervisor.sock.shutdown(socket.SHUT_RDWR)
    same(child.wait(10), 125)
    same(child.stderr.read(), f"ispawn: the container of session {SESSION} has ended\n".encode())
    world.supervisor.init.wait(10)
    assert not os.path.exists(f"/proc/{int(inside.split()[0])}")


@test
def an_unknown_message_ends_init(world):
    send(world.supervisor.sock, pack(READY))
    same(world.supervisor.init.wait(10), 125)


@test
def init_refuses_what_does_not_fit(world):
    memfd = os.memfd_create("x", os.MFD_ALLOW_SEALING)
    send(world.supervisor.sock, pack(OPEN, 901), [memfd])    # not sealed
    os.write(memfd, b"garbage" * 40)
    fcntl.fcntl(memfd, fcntl.F_ADD_SEALS, 0xf)
    send(world.supervisor.sock, pack(OPEN, 902), [memfd])    # no request
    send(world.supervisor.sock, pack(OPEN, 903))             # nothing at all
    for number, value in ((904, 9), (0, 15), (905, -1)):
        send(world.supervisor.sock, pack(SIGNAL, number, value))
    send(world.supervisor.sock, pack(HANGUP, 906))
    world.supervisor.wait_for(REFUSED, 3)
    same({seen[2] for seen in world.supervisor.seen if seen[0] == REFUSED}, {125})
    os.close(memfd)
    same(world.out("echo fine"), b"fine\n")


@test
def init_cannot_be_looked_into(world):
    status, out, _ = world.sh("cat /proc/1/environ; ls -l /proc/1/exe /proc/1/fd/")
    assert status != 0 and b"ispawn-init ->" not in out, out
    same(world.sh("kill -9 1; kill -TERM 1; kill -STOP 1; sleep 0.1; echo alive")[1], b"alive\n")
