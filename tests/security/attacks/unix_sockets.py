"""Connects to unix sockets of the host: engines, the bus, what it was told of, by path and in the
abstract name space. argv[1]: {"sockets": [...]}; "@" begins an abstract name."""

import json
import socket
import sys

KNOWN = [
    *("/var/run/docker.sock", "/run/docker.sock", "/run/podman/podman.sock"),
    *("/run/containerd/containerd.sock", "/run/dbus/system_bus_socket", "/run/systemd/private"),
    *("/run/user/0/bus", "/tmp/.X11-unix/X0", "@/tmp/.X11-unix/X0"),
]
found = []
for name in [*json.loads(sys.argv[1])["sockets"], *KNOWN]:
    with socket.socket(socket.AF_UNIX) as tried:
        try:
            tried.connect("\0" + name[1:] if name.startswith("@") else name)
            found.append(name)
        except OSError:
            pass
print(json.dumps({"got_out": bool(found), "detail": found}))
