"""Plants sockets into the network namespace of another process: what `netns.py` runs as a script,
and what a process that was forked for it calls.

Standard library only, and importable on its own. Rules:
1. `plant_here` moves the calling process into the box's namespaces for good, and needs it to have
   one thread. So: a process forked for it, which ends soon after. A process that becomes a box
   itself calls `begin_here` and `listen` instead, before there is anything in its network.
2. `lo` of a box that somebody else makes is never brought up from here: two at once kill it. What
   needs `lo` is tried again until it is up.
3. Every address is made a local one, so that a connection to anywhere is refused at once, and its
   first packet passes `lo`, where the packet socket sees it.
4. The packet socket's filter passes first packets to places outside the box only: what a box says
   to the rig's ports, or to itself, costs it nothing.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import socket
import struct
import sys
import time
from collections.abc import Callable, Sequence

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
NS_GET_USERNS = 0xB701
SO_ATTACH_FILTER, PACKET_IGNORE_OUTGOING = 26, 23
SOL_PACKET, ETH_P_ALL = 263, 3
NEWROUTE, REQUEST_ACK_CREATE_REPLACE = 24, 0x1 | 0x4 | 0x400 | 0x100
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
TABLE_LOCAL, SCOPE_HOST, TYPE_LOCAL, OIF, LO = 255, 254, 2, 4, 1
LO_DEADLINE_S = 10.0  # a box's `lo` is up within milliseconds
NOT_UP = {errno.EADDRNOTAVAIL, errno.ENETDOWN, errno.ENODEV}
NO_IPV6 = {errno.EAFNOSUPPORT, errno.EACCES, errno.EINVAL, errno.EOPNOTSUPP, errno.ENODEV}
BACKLOG = 1024
SEEN_BYTES = 80  # of each packet: headers, and the port

# Classic BPF: (code, jump if true, jump if false, constant). Offsets are from the IP header.
LDB, LDH, LDW, LDB_X, LDX_IP = 0x30, 0x28, 0x20, 0x50, 0xB1
AND, JEQ, JSET, RET = 0x54, 0x15, 0x45, 0x06


def first_packets_elsewhere() -> bytes:
    """The filter: TCP SYN without ACK, ICMP echo requests, and every UDP datagram or other packet,
    to addresses outside 127.0.0.0/8 and ::1. Later fragments are dropped."""
    see, drop = "see", "drop"
    lines: list[tuple[str, int, int, str, str]] = [  # label, code, constant, if true, if false
        ("", LDB, 0, "", ""),
        ("", AND, 0xF0, "", ""),
        ("", JEQ, 0x40, "v4", ""),
        ("", JEQ, 0x60, "v6", drop),
        ("v4", LDB, 16, "", ""),
        ("", JEQ, 127, drop, ""),
        ("", LDH, 6, "", ""),
        ("", JSET, 0x1FFF, drop, ""),
        ("", LDX_IP, 0, "", ""),  # X: length of the IP header
        ("", LDB, 9, "", ""),
        ("", JEQ, 6, "tcp4", ""),
        ("", JEQ, 1, "icmp4", see),
        ("tcp4", LDB_X, 13, "", ""),
        ("", AND, 0x12, "", ""),
        ("", JEQ, 0x02, see, drop),
        ("icmp4", LDB_X, 0, "", ""),
        ("", JEQ, 8, see, drop),
        ("v6", LDW, 24, "", ""),
        ("", JEQ, 0, "", "out6"),
        ("", LDW, 28, "", ""),
        ("", JEQ, 0, "", "out6"),
        ("", LDW, 32, "", ""),
        ("", JEQ, 0, "", "out6"),
        ("", LDW, 36, "", ""),
        ("", JEQ, 1, drop, ""),
        ("out6", LDB, 6, "", ""),
        ("", JEQ, 6, "tcp6", ""),
        ("", JEQ, 58, "icmp6", see),
        ("tcp6", LDB, 53, "", ""),
        ("", AND, 0x12, "", ""),
        ("", JEQ, 0x02, see, drop),
        ("icmp6", LDB, 40, "", ""),
        ("", JEQ, 128, see, drop),
        (see, RET, SEEN_BYTES, "", ""),
        (drop, RET, 0, "", ""),
    ]
    at = {line[0]: number for number, line in enumerate(lines) if line[0]}
    return b"".join(
        struct.pack(
            "=HBBI",
            code,
            at[true] - number - 1 if true else 0,
            at[false] - number - 1 if false else 0,
            constant,
        )
        for number, (_, code, constant, true, false) in enumerate(lines)
    )


def join(pid: int) -> None:
    """Move this process into the network namespace of `pid`, and where that takes it, into the
    user namespace that owns it. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    net = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(net, CLONE_NEWNET) == 0:
            return
        owner = fcntl.ioctl(net, NS_GET_USERNS)
        try:
            for namespace, kind in ((owner, CLONE_NEWUSER), (net, CLONE_NEWNET)):
                if libc.setns(namespace, kind):
                    number = ctypes.get_errno()
                    raise OSError(number, os.strerror(number), f"/proc/{pid}/ns/net")
        finally:
            os.close(owner)
    finally:
        os.close(net)


def once_up(act: Callable[[], object]) -> None:
    """Do what needs `lo`, again and again until it is up. Raises OSError."""
    deadline = time.monotonic() + LO_DEADLINE_S
    while True:
        try:
            act()
            return
        except OSError as error:
            if error.errno not in NOT_UP or time.monotonic() > deadline:
                raise
        time.sleep(0.0003)


def ask_lo(request: int, flags: int) -> int:
    """Get or set the flags of `lo`. Raises OSError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        answer = fcntl.ioctl(any_socket, request, struct.pack("16sH22x", b"lo", flags))
    (found,) = struct.unpack_from("H", answer, 16)
    return int(found)


def check_lo() -> None:
    """Raises OSError (ENETDOWN) while `lo` is down."""
    if not ask_lo(SIOCGIFFLAGS, 0) & IFF_UP:
        raise OSError(errno.ENETDOWN, os.strerror(errno.ENETDOWN), "lo")


def listen(port: int) -> socket.socket:
    """A socket that listens on 127.0.0.1:`port` of the namespace this process is in."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        once_up(lambda: listener.bind(("127.0.0.1", port)))  # up, the address may still come
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise OSError(error.errno, error.strerror, f"127.0.0.1:{port}") from None
    return listener


def make_all_local(family: int) -> None:
    """The route that makes every address of a family local: no packet of it leaves `lo`."""
    route = struct.pack("=BBBBBBBBI", family, 0, 0, 0, TABLE_LOCAL, 4, SCOPE_HOST, TYPE_LOCAL, 0)
    route += struct.pack("=HHI", 8, OIF, LO)
    header = struct.pack("=IHHII", 16 + len(route), NEWROUTE, REQUEST_ACK_CREATE_REPLACE, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as link:
        link.send(header + route)
        (status,) = struct.unpack_from("=i", link.recv(4096), 16)
    if status:
        raise OSError(-status, os.strerror(-status), "route add local default dev lo")


def watch() -> socket.socket:
    """A packet socket on `lo` that sees only what `first_packets_elsewhere` passes."""
    program = first_packets_elsewhere()
    buffer = ctypes.create_string_buffer(program, len(program))
    # Protocol 0: it sees nothing until it is bound, when the filter is there.
    seen = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
    try:
        pointer = struct.pack("HP", len(program) // 8, ctypes.addressof(buffer))
        seen.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, pointer)
        seen.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)  # each packet passes `lo` twice
        seen.bind(("lo", ETH_P_ALL))
        seen.setblocking(False)
    except OSError:
        seen.close()
        raise
    return seen


def refuse_elsewhere() -> socket.socket:
    """Rules 3 and 4 for the namespace this process is in; the packet socket. Raises OSError."""
    make_all_local(socket.AF_INET)
    try:
        make_all_local(socket.AF_INET6)
    except OSError as error:
        if error.errno not in NO_IPV6:
            raise
    return watch()


def begin_here() -> socket.socket:
    """A new network namespace for this process and what it becomes; its packet socket. It belongs
    to the user namespace that this process is in now. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), "a network of its own")
    ask_lo(SIOCSIFFLAGS, IFF_UP)
    return refuse_elsewhere()


def plant_here(pid: int, ports: Sequence[int]) -> list[int]:
    """Descriptors of the packet socket and of a listener for each port, in that order, of the
    network namespace of `pid`. See rule 1. Raises OSError, with nothing left open."""
    join(pid)
    once_up(check_lo)  # its address comes earlier than that it is up, and IPv6 only then
    made: list[socket.socket] = []
    try:
        for port in ports:
            made.append(listen(port))
        made.insert(0, refuse_elsewhere())
    except OSError:
        for each in made:
            each.close()
        raise
    return [each.detach() for each in made]


def main() -> None:
    """`netns_helper.py FD PID PORT...`: send the descriptors over the socket FD, or say why not."""
    link = socket.socket(fileno=int(sys.argv[1]))
    try:
        fds = plant_here(int(sys.argv[2]), [int(port) for port in sys.argv[3:]])
    except OSError as error:
        link.sendall(f"!{error}".encode())
        return
    socket.send_fds(link, [b"."], fds)


if __name__ == "__main__":
    main()
