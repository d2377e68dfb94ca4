"""The contract of a sandbox: where an agent's processes run.

First member: `process` (a process group on the host; limits advisory). Stronger levels implement
the same contract.

Rules:
1. A box ends with everything that was started in it, grandchildren and daemons included.
2. Output is read as it comes and kept only up to its cap; a flood never fills memory.
3. What ended a box is told from facts (our kill, a signal, an exit code), never guessed.
4. A box dies with the runner, even when the runner is killed with SIGKILL.
5. A program that speaks a protocol answers on a pipe of its own, so that what it prints cannot
   disturb it: the variable `PROOFRIG_REPLY_FD` names the descriptor inside the box.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import msgspec

REPLY_FD = "PROOFRIG_REPLY_FD"  # names the descriptor of the reply pipe, inside the box


class Command(msgspec.Struct, frozen=True):
    """What to start. Empty `stdin` reads as end of file; `timeout_s` may be infinite."""

    argv: list[str]
    env: dict[str, str]
    cwd: str
    stdin: bytes = b""
    timeout_s: float = 60.0
    stdout_cap: int = 1_000_000  # bytes kept; the rest is read and dropped
    stderr_cap: int = 64_000  # bytes kept of the tail
    reply_cap: int = 0  # bytes kept of what is written to the reply pipe; 0: there is none
    marker: str = ""  # the trial's token: how strays that left the process group are found

    @property
    def deadline_s(self) -> float | None:
        """`timeout_s`, or None when it is infinite."""
        return None if math.isinf(self.timeout_s) else self.timeout_s


class Exit(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a command ended. `code` is None when it was killed by `signal`."""

    code: int | None
    signal: int | None = None
    timed_out: bool = False
    stopped: bool = False  # by `Box.kill`
    stdout: bytes = b""
    stderr: bytes = b""  # the tail
    stdout_bytes: int = 0  # all that was written, kept or not
    reply: bytes = b""
    reply_bytes: int = 0
    max_rss_bytes: int = 0
    cpu_ms: int = 0
    strays: int = 0  # processes that had to be hunted down after the end


class Box(Protocol):
    """One started command."""

    def send(self, data: bytes) -> None:
        """Write to its standard input (only when started with `keep_stdin`)."""

    def kill(self) -> None:
        """End it and everything in it; `wait` tells when that is done."""

    def expire(self) -> None:
        """As `kill`; the exit says that it was out of time."""

    async def wait(self) -> Exit:
        """Wait for the end of the command and of everything it left behind."""


class Sandbox(Protocol):
    """Runs commands in boxes. `level` is the isolation it really gives."""

    level: str

    async def run(self, command: Command) -> Exit:
        """Start, feed, wait, and end with everything in the box. Raises SandboxError when the
        command cannot be started (the message names argv[0] and cwd)."""

    async def start(
        self,
        command: Command,
        *,
        keep_stdin: bool = False,
        on_reply: Callable[[bytes], None] | None = None,
    ) -> Box:
        """Start only. `keep_stdin` leaves standard input open for `Box.send`; `on_reply` gets
        what comes on the reply pipe, as it comes (nothing of it is kept). Raises SandboxError."""

    async def close(self) -> None:
        """End every box that is left."""
