"""The link to a keeper in a box, whose other end says what it likes."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Iterator

import pytest

from proofrig.errors import SandboxError
from proofrig.sandboxes.inner import MOST_UNREAD, Inner
from proofrig.sandboxes.keeping import KeptProgram
from proofrig.sandboxes.sandbox import Command

COMMAND = Command(["program"], {}, "/")


class Other:
    """The keeper's end."""

    def __init__(self) -> None:
        self.ours, self.socket = socket.socketpair()
        self.lost = 0

    def says(self, *reports: object) -> None:
        for report in reports:
            self.socket.sendall(json.dumps(report).encode() + b"\n")

    def lose(self) -> None:
        self.lost += 1


@pytest.fixture
def other() -> Iterator[Other]:
    made = Other()
    yield made
    made.socket.close()
    made.ours.close()


async def started(inner: Inner, other: Other, key: int = 1) -> KeptProgram:
    launching = asyncio.create_task(inner.launch(COMMAND))
    await asyncio.sleep(0)
    _, fds, _, _ = socket.recv_fds(other.socket, 4096, 8)
    for fd in fds:
        os.close(fd)
    other.says({"key": key, "pid": 7})
    return await launching


async def until(condition: object) -> None:
    assert callable(condition)
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("never")


async def test_a_command_ends_as_it_is_told(other: Other) -> None:
    inner = Inner(other.ours, other.lose)
    program = await started(inner, other)
    other.says({"key": 1, "status": 3, "rss": 1, "cpu_ms": 2, "strays": 4})
    exit = await program.wait()
    assert (exit.code, exit.strays, inner.strays()) == (3, 4, 4)
    inner.link.end(lost=False)
    assert other.lost == 0


@pytest.mark.parametrize(
    "said",
    [
        b"no json\n",
        b"[]\n",
        b"7\n",
        b'{"key": 99, "pid": 1}\n',
        b'{"key": 99, "status": 1}\n',
        b'{"pid": 1}\n',
        b"[" * 100_000 + b"\n",
        b"x" * (MOST_UNREAD + 1),
    ],
    ids=["text", "list", "number", "pid", "status", "no key", "deep", "endless"],
)
async def test_what_is_no_report_ends_the_link(other: Other, said: bytes) -> None:
    inner = Inner(other.ours, other.lose)
    program = await started(inner, other)
    other.socket.setblocking(False)
    loop = asyncio.get_running_loop()
    sending = asyncio.create_task(loop.sock_sendall(other.socket, said))
    await until(lambda: other.lost)
    await asyncio.wait([sending])
    sending.exception()
    inner.link.end(lost=True)
    with pytest.raises(SandboxError, match="the box ended while 'program' ran in it"):
        await program.wait()
    assert other.lost == 1


async def test_a_program_that_we_ended_is_no_error(other: Other) -> None:
    inner = Inner(other.ours, other.lose)
    program = await started(inner, other)
    inner.link.end(lost=False)
    exit = await program.wait()
    assert (exit.code, exit.signal, exit.stopped, exit.timed_out) == (None, 9, True, False)


async def test_nothing_starts_in_a_box_that_has_ended_least_of_all_outside(other: Other) -> None:
    inner = Inner(other.ours, other.lose)
    other.socket.close()
    await until(lambda: other.lost)
    with pytest.raises(SandboxError, match="the box has ended"):
        await inner.launch(COMMAND)
    inner.link.end(lost=False)
