# SPDX-License-Identifier: GPL-3.0-or-later
"""syslogd.py SOCKET FILE - the test host's system log: one datagram, one line."""
import os
import re
import socket
import sys

path, log = sys.argv[1:]
sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
sock.bind(path)
os.chmod(path, 0o666)
out = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
while True:
    line = sock.recv(65536).rstrip(b"\0\n")
    # <priority>Mon dd hh:mm:ss program[pid]: text; control bytes would show as such in a real log
    line = re.sub(rb"[\x00-\x1f\x7f]", lambda m: b"#%03o" % m.group()[0], line)
    os.write(out, line + b"\n")
