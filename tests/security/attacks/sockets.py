"""Sockets that know no network namespace, or go around one: vsock to the host, packets, raw IP, a
route or an address of its own by netlink."""

import fcntl
import json
import socket
import struct

found = []
for cid in (1, 2, 3):
    for port in (22, 80, 1024, 9999):
        try:
            with socket.socket(40, socket.SOCK_STREAM) as tried:  # AF_VSOCK
                tried.settimeout(2)
                tried.connect((cid, port))
            found.append(f"vsock {cid} {port}")
        except ConnectionResetError:  # somebody was there to say no
            found.append(f"vsock {cid} {port} refused by a host")
        except (OSError, TypeError):
            pass
for family, kind, protocol in ((17, socket.SOCK_RAW, 0x0300), (2, socket.SOCK_RAW, 255)):
    try:
        with socket.socket(family, kind, protocol):
            found.append(f"raw socket of family {family}")
    except OSError:
        pass
try:  # RTM_NEWADDR: 10.1.2.3 on lo
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as link:
        address = struct.pack("=BBBBI", 2, 8, 0, 0, 1)
        address += struct.pack("=HH4s", 8, 2, socket.inet_aton("10.1.2.3"))
        link.send(struct.pack("=IHHII", 16 + len(address), 20, 0x605, 1, 0) + address)
        if struct.unpack_from("=i", link.recv(4096), 16)[0] == 0:
            found.append("an address of its own")
except OSError:
    pass
try:  # SIOCSIFFLAGS: take lo down
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sH14x", b"lo", 0))
        found.append("lo taken down")
except OSError:
    pass
print(json.dumps({"got_out": bool(found), "detail": found}))
