"""What is planted into another process's network: the filter's program, and the sockets."""

from __future__ import annotations

import errno
import os
import socket
import struct
import subprocess
import sys

import pytest

from bare_box import bare_box, needs_bwrap
from proofrig.sandboxes import netns_helper
from proofrig.sandboxes.netns_helper import SEEN_BYTES, first_packets_elsewhere, plant_here

SYN, SYN_ACK, ACK, RST = 0x02, 0x12, 0x10, 0x04


def ran(program: bytes, packet: bytes) -> int:
    """What the program of the filter answers to a packet: a small machine for the instructions
    that it uses. Reading past the end answers 0, as in the kernel."""
    a = x = at = 0
    while True:
        code, true, false, k = struct.unpack_from("=HBBI", program, 8 * at)
        at += 1
        try:
            if code == 0x30:
                a = packet[k]
            elif code == 0x50:
                a = packet[x + k]
            elif code == 0x28:
                (a,) = struct.unpack_from("!H", packet, k)
            elif code == 0x20:
                (a,) = struct.unpack_from("!I", packet, k)
            elif code == 0xB1:
                x = 4 * (packet[k] & 15)
            elif code == 0x54:
                a &= k
            elif code == 0x15:
                at += true if a == k else false
            elif code == 0x45:
                at += true if a & k else false
            else:
                assert code == 0x06
                return int(k)
        except (IndexError, struct.error):
            return 0


def ipv4(to: str, protocol: int, payload: bytes, *, options: bytes = b"", part: int = 0) -> bytes:
    first = 0x40 | (5 + len(options) // 4)
    head = struct.pack("!BBHHHBBH", first, 0, 0, 0, part, 64, protocol, 0)
    return head + socket.inet_aton("127.0.0.1") + socket.inet_aton(to) + options + payload


def ipv6(to: str, protocol: int, payload: bytes) -> bytes:
    head = struct.pack("!IHBB", 0x60000000, len(payload), protocol, 64)
    pton = socket.inet_pton
    return head + pton(socket.AF_INET6, "::1") + pton(socket.AF_INET6, to) + payload


def tcp(flags: int) -> bytes:
    return struct.pack("!HHIIBBHHH", 40000, 443, 0, 0, 0x50, flags, 0, 0, 0)


UDP = struct.pack("!HHHH", 40000, 53, 8, 0)
PING, ANSWERED, PING6, ANSWERED6 = b"\x08" + b"\0" * 7, b"\0" * 8, b"\x80" + b"\0" * 7, b"\x81"


@pytest.mark.parametrize(
    ("packet", "seen"),
    [
        (ipv4("1.1.1.1", 6, tcp(SYN)), True),
        (ipv4("1.1.1.1", 6, tcp(SYN), options=b"\1" * 12), True),
        (ipv4("1.1.1.1", 6, tcp(SYN_ACK)), False),
        (ipv4("1.1.1.1", 6, tcp(ACK)), False),
        (ipv4("1.1.1.1", 6, tcp(RST), options=b"\1" * 4), False),
        (ipv4("1.1.1.1", 6, tcp(SYN), part=0x2000), True),  # the first of several parts
        (ipv4("1.1.1.1", 6, tcp(SYN), part=0x0003), False),
        (ipv4("127.0.0.1", 6, tcp(SYN)), False),
        (ipv4("127.255.0.9", 17, UDP), False),
        (ipv4("126.0.0.1", 17, UDP), True),
        (ipv4("169.254.169.254", 6, tcp(SYN)), True),
        (ipv4("8.8.8.8", 17, UDP), True),
        (ipv4("8.8.8.8", 1, PING), True),
        (ipv4("8.8.8.8", 1, ANSWERED), False),
        (ipv4("8.8.8.8", 132, b""), True),
        (ipv6("2001:db8::1", 6, tcp(SYN)), True),
        (ipv6("2001:db8::1", 6, tcp(SYN_ACK)), False),
        (ipv6("fe80::1", 17, UDP), True),
        (ipv6("::1", 6, tcp(SYN)), False),
        (ipv6("::2", 6, tcp(SYN)), True),
        (ipv6("1::1", 17, UDP), True),
        (ipv6("0:0:1::1", 17, UDP), True),
        (ipv6("::1:0:1", 17, UDP), True),
        (ipv6("2001:db8::1", 58, PING6), True),
        (ipv6("2001:db8::1", 58, ANSWERED6), False),
        (b"\x45", False),
        (b"\x00" * 60, False),
    ],
    ids=lambda value: value.hex()[:120] if isinstance(value, bytes) else str(value),
)
def test_the_filter_passes_first_packets_to_other_places(packet: bytes, seen: bool) -> None:
    assert ran(first_packets_elsewhere(), packet) == (SEEN_BYTES if seen else 0)


def planting(pid: int, *ports: int) -> subprocess.CompletedProcess[bytes]:
    """`plant_here` in a process of its own; its exit code is the error's number."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from netns_helper import plant_here\n"
        "try: print(len(plant_here(int(sys.argv[2]), [int(p) for p in sys.argv[3:]])))\n"
        "except OSError as error: print(error); sys.exit(error.errno)\n"
    )
    argv = [sys.executable, "-I", "-S", "-c", script, os.path.dirname(netns_helper.__file__)]
    numbers = [str(number) for number in (pid, *ports)]
    return subprocess.run([*argv, *numbers], capture_output=True, timeout=60)


@needs_bwrap
@pytest.mark.parametrize("ports", [(), (8080,), (1, 8080, 65535)], ids=str)
async def test_one_descriptor_for_the_watch_and_one_for_each_port(ports: tuple[int, ...]) -> None:
    async with bare_box(["true"]) as box:
        done = planting(box.pid, *ports)
        assert (done.returncode, done.stdout) == (0, b"%d\n" % (1 + len(ports)))


@needs_bwrap
async def test_a_port_that_cannot_be_had_is_named() -> None:
    async with bare_box(["true"]) as box:
        done = planting(box.pid, 8080, 8080)
    assert done.returncode == errno.EADDRINUSE
    assert b"127.0.0.1:8080" in done.stdout


def test_a_process_that_is_gone_is_an_error() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    before = os.listdir("/proc/self/fd")
    with pytest.raises(FileNotFoundError):
        plant_here(gone.pid, [8080])
    assert os.listdir("/proc/self/fd") == before
