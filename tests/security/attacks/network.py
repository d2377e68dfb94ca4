"""Connects to everything but the rig, and asks for names.
argv[1]: {"stream": [[host, port, ...], ...], "datagram": [...], "names": [...]}"""

import contextlib
import json
import socket
import sys

told, found = json.loads(sys.argv[1]), []
for name, kind in (("stream", socket.SOCK_STREAM), ("datagram", socket.SOCK_DGRAM)):
    for host, *rest in told[name]:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, kind) as tried:
            tried.settimeout(3)
            try:
                tried.connect((host, *rest))
                if kind == socket.SOCK_DGRAM:
                    tried.send(b"\0\0\1\0\0\1\0\0\0\0\0\0\7example\3com\0\0\1\0\1")
                    tried.recv(512)
                found.append(f"{name} {host} {rest[0]}")
            except OSError:
                pass
for name in told["names"]:
    with contextlib.suppress(OSError):
        found.append(socket.gethostbyname(name))
print(json.dumps({"got_out": bool(found), "detail": found}))
