"""The network of a box: the rig's ports, planted into it, and a watch over what it tries elsewhere.

The box has a network namespace with `lo` alone. The rig's listening sockets are made in there from
outside and stay in the runner, so no process of ours is in the box, and the listener tells whose
connection it is. Rules:
1. Nothing leaves the box but through the planted listeners.
2. A first packet to any other address is refused at once, and seen. What a box does on its own
   127.0.0.1 and ::1 is its own affair: not refused, not seen.
3. A box that tries very much costs the runner little: packets are read in small portions, with
   pauses, and destinations beyond a number are counted together. None is left uncounted.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from proofrig.errors import SandboxError
from proofrig.sandboxes.sandbox import Refused

HELPER = Path(__file__).with_name("netns_helper.py")
DEADLINE_S = 30.0
PLACES = 256  # destinations told apart
PORTION, PAUSE_S = 128, 0.02  # packets read at a time, and the pause after a full portion
PACKET, SEEN = 65536, 80
SOL_PACKET, PACKET_STATISTICS = 263, 6
PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmp", 132: "sctp"}
OTHERS = "other places"


class Planted(NamedTuple):
    """Listening sockets of a box's network by port, and the packet socket of its `Watch`. Whoever
    holds them closes them; the network lives as long as they do."""

    listeners: dict[int, socket.socket]
    watch: socket.socket

    @classmethod
    def of(cls, fds: Sequence[int], ports: Sequence[int]) -> Planted:
        """From the descriptors of `netns_helper.plant_here(pid, ports)`."""
        sockets = [socket.socket(fileno=fd) for fd in fds]
        for each in sockets:
            each.set_inheritable(False)  # descriptors that were received can be inherited
            each.setblocking(False)
        return cls(dict(zip(ports, sockets[1:], strict=True)), sockets[0])

    def close(self) -> None:
        for each in (*self.listeners.values(), self.watch):
            each.close()


def plant(pid: int, ports: Sequence[int]) -> Planted:
    """Plant listeners on 127.0.0.1 at `ports`, and the watch, into the network namespace of `pid`.

    Starts a process and waits for it (some 20 ms), so call it in a thread. A process that is
    forked for it calls `netns_helper.plant_here` instead. Raises SandboxError.
    """
    ours, theirs = socket.socketpair()
    with ours, theirs:
        # -I -S: nothing but the standard library, and none of the user's settings.
        helper = subprocess.Popen(
            [sys.executable, "-I", "-S", str(HELPER), str(theirs.fileno()), str(pid)]
            + [str(port) for port in ports],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        theirs.close()
        ours.settimeout(DEADLINE_S)
        try:
            answer, fds, _, _ = socket.recv_fds(ours, 4096, len(ports) + 1)
        except TimeoutError:
            answer, fds = b"!no answer", []
        finally:
            helper.kill()  # it has said all it had to say
            _, said = helper.communicate()
    if answer != b".":
        reason = answer[1:] or said.strip()
        raise SandboxError(
            f"no network for the box: planting {list(ports)} into that of process {pid} failed:"
            f" {reason.decode(errors='replace')}"
        )
    return Planted.of(fds, ports)


def destination(packet: bytes) -> tuple[str, str]:
    """What a first packet (from its IP header on) was for: `("connect", "tcp 1.1.1.1:443")`,
    `("send", "udp [2001:db8::1]:53")`, `("send", "icmp 1.1.1.1")`."""
    if packet[0] >> 4 == 4:
        number, at = packet[9], 4 * (packet[0] & 15)
        host = socket.inet_ntop(socket.AF_INET, packet[16:20])
    else:
        number, at = packet[6], 40
        host = "[" + socket.inet_ntop(socket.AF_INET6, packet[24:40]) + "]"
    where = f"{PROTOCOLS.get(number, f'protocol {number}')} {host}"
    if number in (6, 17, 132) and len(packet) >= at + 4:
        where += f":{struct.unpack_from('!H', packet, at + 2)[0]}"
    return "connect" if number == 6 else "send", where


class Watch:
    """Counts what the packet socket of a box saw. Made on the event loop that reads it."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.loop = asyncio.get_running_loop()
        self.seen: Counter[tuple[str, str]] = Counter()
        self.pause: asyncio.TimerHandle | None = None
        self.listen()

    def listen(self) -> None:
        self.pause = None
        self.loop.add_reader(self.socket.fileno(), self.read)

    def read(self) -> None:
        """What is there, up to a portion; after a full one, a pause."""
        if not self.read_portion():
            self.loop.remove_reader(self.socket.fileno())
            self.pause = self.loop.call_later(PAUSE_S, self.listen)

    def read_portion(self) -> bool:
        """True when nothing is left."""
        for _ in range(PORTION):
            try:
                packet = self.socket.recv(SEEN)
            except BlockingIOError:
                return True
            except OSError:  # the device went down with its box
                continue
            self.count(destination(packet), 1)
        return False

    def count(self, tried: tuple[str, str], times: int) -> None:
        if times and tried not in self.seen and len(self.seen) >= PLACES:
            tried = (tried[0], OTHERS)
        self.seen[tried] += times

    def refused(self) -> tuple[Refused, ...]:
        """What the box tried so far, most frequent first. `OTHERS` are those that came too fast or
        to too many places to be told apart."""
        if self.socket.fileno() >= 0:
            for _ in range(8):  # the buffer holds less
                if self.read_portion():
                    break
            with contextlib.suppress(OSError):
                raw = self.socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8)
                self.count(("connect", OTHERS), struct.unpack("II", raw)[1])
        return tuple(
            Refused(what, where, times) for (what, where), times in self.seen.most_common() if times
        )

    def detach(self) -> int:
        """Stop, and give the descriptor to somebody who closes it where it disturbs nobody: the
        kernel takes 10 ms for it. -1 when that was done."""
        if self.socket.fileno() >= 0:
            if self.pause is not None:
                self.pause.cancel()
            self.loop.remove_reader(self.socket.fileno())
        return self.socket.detach()

    def close(self) -> None:
        """Stop; what was counted stays."""
        fd = self.detach()
        if fd >= 0:
            os.close(fd)
