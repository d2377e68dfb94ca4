"""The runner's link to a keeper that runs inside a box (`inside.py`).

Rules:
1. The other end is not trusted: what it says that is no report ends the link, and nothing else.
2. A box that has lost its keeper starts nothing any more, least of all on the host.
3. Commands that run when a box ends have ended by that, and say so. They were lost only where
   neither we nor a limit ended it.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable
from typing import Any

from proofrig.errors import SandboxError
from proofrig.sandboxes.keeping import KeeperLink, Keeping, KeptProgram
from proofrig.sandboxes.sandbox import Command

MOST_UNREAD = 1 << 20  # bytes of a report; a real one has a hundred


class InnerLink(KeeperLink):
    """The runner's end of the socket. on_lost: called when the other end has gone by itself."""

    def __init__(self, connection: socket.socket, on_lost: Callable[[], None]) -> None:
        self.socket = connection
        self.socket.setblocking(False)
        self.on_lost = on_lost
        self.loop = asyncio.get_running_loop()
        self.boxes: dict[int, KeptProgram] = {}
        self.out: deque[tuple[bytes, list[int]]] = deque()
        self.data = b""
        self.asked: dict[int, asyncio.Future[int]] = {}
        self.count = 0
        self.lost = False
        self.loop.add_reader(self.socket.fileno(), self.receive)

    def receive(self) -> None:
        try:
            super().receive()
            too_much = len(self.data) > MOST_UNREAD
        except (ValueError, TypeError, LookupError, RecursionError):
            too_much = True
        if too_much:
            self.lose()

    async def signal(self, number: int) -> int:
        """Send a signal to all that runs in the box; how many got it."""
        if self.lost:
            return 0
        self.count += 1
        answer = self.asked[self.count] = self.loop.create_future()
        self.send({"signal": number, "asked": self.count}, [])
        return await asyncio.shield(answer)

    def tell(self, report: dict[str, Any]) -> None:
        if "asked" in report:
            self.asked.pop(report["asked"]).set_result(int(report["processes"]))
        else:
            super().tell(report)

    def lose(self) -> None:
        """The other end has gone. What of its commands, `end` is told when that is known."""
        if not self.lost:
            self.disconnect()
            self.on_lost()

    def end(self, *, lost: bool) -> None:
        """The box is dead, so are its commands. lost: by no doing of ours, or of theirs."""
        if not self.lost:
            self.disconnect()
        programs, self.boxes = list(self.boxes.values()), {}
        for program in programs:
            if not program.started.done():
                program.started.set_result(0)
            if lost:
                error = SandboxError(f"the box ended while {program.command.argv[0]!r} ran in it")
                program.ended.set_exception(error)
                program.ended.exception()  # nobody may be waiting; that is no news
            else:
                program.stopped = not program.timed_out
                program.ended.set_result({"status": -9, "rss": 0, "cpu_ms": 0, "strays": 0})

    def disconnect(self) -> None:
        self.lost = True
        self.loop.remove_reader(self.socket.fileno())
        self.loop.remove_writer(self.socket.fileno())
        self.socket.close()
        for _, fds in self.out:
            for fd in fds:
                os.close(fd)
        self.out.clear()
        for answer in self.asked.values():
            answer.set_result(0)
        self.asked.clear()


class Inner(Keeping):
    """Starts commands in a box."""

    def __init__(self, connection: socket.socket, on_lost: Callable[[], None]) -> None:
        super().__init__()
        self.link = InnerLink(connection, on_lost)
        self._link = self.link
        self.programs: list[KeptProgram] = []

    async def launch(
        self,
        command: Command,
        *,
        keep_stdin: bool = False,
        on_reply: Callable[[bytes], None] | None = None,
    ) -> KeptProgram:
        if self.link.lost:
            raise SandboxError(
                f"cannot start {command.argv[0]!r} in {command.cwd}: the box has ended",
                definite=True,
            )
        program = await super().launch(command, keep_stdin=keep_stdin, on_reply=on_reply)
        self.programs.append(program)
        return program

    def strays(self) -> int:
        """Processes that commands left and that had to be hunted down."""
        return sum(program.exit.strays for program in self.programs if program.exit is not None)
