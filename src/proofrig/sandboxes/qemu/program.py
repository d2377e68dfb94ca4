"""A program in a guest: what it writes is kept here, how it ended is told by the agent.

Rules:
1. Its end is complete when the agent has told it and all streams have ended; a stream that does not
   end by itself is given a moment.
2. Time runs on the clock of the host: that of an emulated guest may stand still.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from proofrig.errors import SandboxError
from proofrig.sandboxes.guest import frames
from proofrig.sandboxes.qemu.channel import Channel
from proofrig.sandboxes.sandbox import Command, Exit

LINGER_S = 5.0  # for the rest of the output, once the end was told


class Kept:
    """Bytes of a stream: the first `cap`, or the last when `tail`; all counted."""

    def __init__(self, cap: int, *, tail: bool = False) -> None:
        self.cap = cap
        self.tail = tail
        self.data = bytearray()
        self.total = 0

    def take(self, data: bytes) -> None:
        self.total += len(data)
        if self.tail:
            self.data += data
            if len(self.data) > 2 * self.cap:
                del self.data[: len(self.data) - self.cap]
        elif len(self.data) < self.cap:
            self.data += data[: self.cap - len(self.data)]

    def bytes(self) -> bytes:
        return bytes(self.data[max(0, len(self.data) - self.cap) :])


class VmProgram:
    """One started command. `told` is given by the box when the agent tells its end."""

    def __init__(
        self,
        channel: Channel,
        command: Command,
        *,
        keep_stdin: bool,
        on_reply: Callable[[bytes], None] | None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.channel = channel
        self.command = command
        self.number = channel.number()
        self.stdout = Kept(command.stdout_cap)
        self.stderr = Kept(command.stderr_cap, tail=True)
        self.reply = Kept(command.reply_cap)
        self.replies = bool(command.reply_cap or on_reply)
        self.timed_out = self.stopped = False
        self.ended: asyncio.Future[dict[str, Any]] = loop.create_future()
        self.done: asyncio.Future[None] = loop.create_future()
        self.timer: asyncio.TimerHandle | None = None
        self.keep_stdin = keep_stdin
        self.open = 0
        self.exit: Exit | None = None
        takes: list[tuple[int, Callable[[bytes], None]]] = [
            (frames.STDOUT, self.stdout.take),
            (frames.STDERR, self.stderr.take),
        ]
        if self.replies:
            takes.append((frames.REPLY, on_reply or self.reply.take))
        for stream, take in takes:
            self.open += 1
            channel.pull(self.number + stream, take, self.stream_ended)
        self.stdin = channel.push(self.number + frames.STDIN)

    def start(self) -> None:
        """The agent has started it: what goes in, and how long it may take."""
        self.stdin.write(self.command.stdin)
        if not self.keep_stdin:
            self.stdin.write_eof()
        if self.command.deadline_s is not None:
            loop = asyncio.get_running_loop()
            self.timer = loop.call_later(self.command.deadline_s, self.expire)

    def stream_ended(self) -> None:
        self.open -= 1
        if self.open == 0 and self.ended.done() and not self.done.done():
            self.done.set_result(None)

    def told(self, message: dict[str, Any]) -> None:
        """The agent tells its end."""
        if self.timer is not None:
            self.timer.cancel()
        if not self.ended.done():
            self.ended.set_result(message)
        if self.open == 0 and not self.done.done():
            self.done.set_result(None)

    def lose(self, why: str) -> None:
        """The guest is gone."""
        if self.timer is not None:
            self.timer.cancel()
        if not self.ended.done():
            self.ended.set_exception(SandboxError(f"the vm of the trial was lost: {why}"))
            self.ended.exception()  # nobody may be waiting
        if not self.done.done():
            self.done.set_result(None)

    def send(self, data: bytes) -> None:
        if self.keep_stdin:
            self.stdin.write(data)

    def kill(self) -> None:
        if not self.ended.done():
            self.stopped = True
            self.end()

    def expire(self) -> None:
        if not self.ended.done():
            self.timed_out = True
            self.end()

    def end(self) -> None:
        asked = asyncio.ensure_future(self.channel.ask("kill", program=self.number))
        asked.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def wait(self) -> Exit:
        try:
            message = await asyncio.shield(self.ended)
        except asyncio.CancelledError:
            self.kill()
            raise
        if self.exit is None:
            await asyncio.wait([self.done], timeout=LINGER_S)
            self.forget()
            self.exit = self.describe(message)
        return self.exit

    def forget(self) -> None:
        for stream in range(frames.PIPES):
            self.channel.streams.pop(self.number + stream, None)

    def describe(self, message: dict[str, Any]) -> Exit:
        status: int = message["status"]
        return Exit(
            code=status if status >= 0 else None,
            signal=-status if status < 0 else None,
            timed_out=self.timed_out,
            stopped=self.stopped,
            stdout=self.stdout.bytes(),
            stderr=self.stderr.bytes(),
            stdout_bytes=self.stdout.total,
            reply=self.reply.bytes(),
            reply_bytes=self.reply.total,
            max_rss_bytes=message["memory"],
            cpu_ms=message["cpu_ms"],
            strays=message["strays"],
        )
