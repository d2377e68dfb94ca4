"""The network of a real box: only the planted ports answer, all else is refused and seen."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
from typing import Any

import pytest

from bare_box import PYTHON, Bare, bare_box, needs_bwrap
from proofrig.errors import SandboxError
from proofrig.sandboxes import netns
from proofrig.sandboxes.netns import OTHERS, PLACES, Planted, Watch, plant
from proofrig.sandboxes.sandbox import Refused

TRIES = """
import errno, json, socket, sys
found = []
for family, kind, *address in json.loads(sys.argv[1]):
    with socket.socket(family, kind) as tried:
        tried.settimeout(20)
        try:
            tried.connect(tuple(address))
            if kind == socket.SOCK_DGRAM:
                tried.send(b"x")
                tried.recv(1)
            found.append("")
        except OSError as error:
            found.append(errno.errorcode.get(error.errno, str(error)))
print(json.dumps(found))
"""
SPEAKS = """
import json, socket
with socket.create_connection(("127.0.0.1", 8080), timeout=20) as rig:
    rig.sendall(b"x" * 1000000)
    rig.shutdown(socket.SHUT_WR)
    heard = rig.recv(10)
own = socket.create_server(("127.0.0.1", 0))
with socket.create_connection(own.getsockname()) as mine:
    mine.sendall(b"mine")
own6 = socket.create_server(("::1", 0), family=socket.AF_INET6)
socket.create_connection(own6.getsockname()[:2]).close()
print(json.dumps(heard.decode()))
"""
FLOOD = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for number in range(4000):
    s.sendto(b"x" * 100, (f"10.0.{number % 1000 // 250}.{number % 250}", 53))
print(0)
"""
S, D, V4, V6 = socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.AF_INET, socket.AF_INET6


async def tried(box: Bare) -> tuple[Any, tuple[Refused, ...], Planted]:
    """Plant, watch, run."""
    planted = await asyncio.to_thread(plant, box.pid, [8080])
    watch = Watch(planted.watch)
    try:
        return await box.run(), watch.refused(), planted
    finally:
        watch.close()
        watch.close()
        planted.close()


PLACES_TRIED = [
    ((V4, S, "1.1.1.1", 443), ("connect", "tcp 1.1.1.1:443")),
    ((V4, S, "169.254.169.254", 80), ("connect", "tcp 169.254.169.254:80")),
    ((V4, S, "10.0.0.1", 8080), ("connect", "tcp 10.0.0.1:8080")),  # no planted port is there
    ((V4, D, "8.8.8.8", 53), ("send", "udp 8.8.8.8:53")),
    ((V6, S, "2001:db8::1", 443), ("connect", "tcp [2001:db8::1]:443")),
    ((V6, S, "::ffff:1.2.3.4", 443), ("connect", "tcp 1.2.3.4:443")),
    ((V6, S, "fe80::1", 443, 0, 1), ("connect", "tcp [fe80::1]:443")),
    ((V6, D, "2001:db8::1", 53), ("send", "udp [2001:db8::1]:53")),
    ((V4, S, "127.0.0.1", 99), None),
    ((V4, S, "127.9.9.9", 8080), None),
    ((V6, S, "::1", 8080), None),
]


@needs_bwrap
async def test_every_other_place_refuses_at_once_and_is_seen() -> None:
    argv = [*PYTHON, TRIES, json.dumps([place for place, _ in PLACES_TRIED])]
    async with bare_box(argv) as box:
        found, refused, _ = await tried(box)
    assert found == ["ECONNREFUSED"] * len(PLACES_TRIED)
    assert refused == tuple(Refused(*seen) for _, seen in PLACES_TRIED if seen)


@needs_bwrap
async def test_what_is_said_to_the_rig_or_to_itself_is_not_seen() -> None:
    def rig(listener: socket.socket) -> None:
        listener.setblocking(True)
        listener.settimeout(30)
        with listener.accept()[0] as heard:
            while heard.recv(1 << 20):
                pass
            heard.sendall(b"all of it")

    async with bare_box([*PYTHON, SPEAKS]) as box:
        planted = await asyncio.to_thread(plant, box.pid, [8080])
        watch = Watch(planted.watch)
        serving = asyncio.create_task(asyncio.to_thread(rig, planted.listeners[8080]))
        assert await box.run() == "all of it"
        await serving
        assert watch.refused() == ()
        watch.close()
        planted.close()


@needs_bwrap
async def test_a_flood_is_counted_to_the_last_packet() -> None:
    async with bare_box([*PYTHON, FLOOD]) as box:
        _, refused, _ = await tried(box)
    assert sum(each.times for each in refused) == 4000
    assert len(refused) <= PLACES + 2
    assert OTHERS in {each.where for each in refused}


@needs_bwrap
async def test_a_watch_reads_as_it_comes() -> None:
    async with bare_box([*PYTHON, TRIES, json.dumps([[V4, S, "1.1.1.1", 443]])]) as box:
        planted = await asyncio.to_thread(plant, box.pid, [])
        watch = Watch(planted.watch)
        await box.run()
        while not watch.seen:  # noqa: ASYNC110 - the packet is on its way
            await asyncio.sleep(0.001)
        watch.close()
        planted.close()
        assert watch.refused() == (Refused("connect", "tcp 1.1.1.1:443"),)


def test_a_failure_says_for_which_process_and_why() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    before = sorted(os.listdir("/proc/self/fd"))
    with pytest.raises(SandboxError, match=rf"\[80\].*process {gone.pid} .*No such file"):
        plant(gone.pid, [80])
    assert sorted(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    ("packet", "seen"),
    [
        ("4500003c000040004006000001010101080808080050", ("connect", "tcp 8.8.8.8")),
        ("460000000000000000840000010101010808080800000000000101bb", ("send", "sctp 8.8.8.8:443")),
        ("4500003c00004000402f00000101010108080808", ("send", "protocol 47 8.8.8.8")),
    ],
)
def test_a_packet_names_its_destination(packet: str, seen: tuple[str, str]) -> None:
    assert netns.destination(bytes.fromhex(packet)) == seen
