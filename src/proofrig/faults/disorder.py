"""Tool results that come late, twice, or in another order than they were asked for.

Rules:
1. Only the delivery is disordered: the tool is called once, at once, with what the agent sent.
2. What is drawn depends on the seed, the trial and the number of the call, not on times.
3. A swapped result waits for the next call of its trial to be answered, `late_s` at most.
4. Only messages can come twice (MCP over stdio), not the answer to an HTTP request; a message that
   is to be swapped is late by half of `late_s`, so that those after it overtake it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from typing import Any, Literal, Protocol

import msgspec

Disordering = Literal["late", "swapped", "twice"]


class Disorder(msgspec.Struct, frozen=True):
    """What is done to the results of a trial's tool calls: each with `rate` (0 to 1), drawn from
    `seed`, one of `kinds`: `late` by `late_s` seconds, `swapped` with the call after it, `twice`.
    """

    kinds: tuple[Disordering, ...]
    rate: float
    late_s: float
    seed: int


class Whose(Protocol):
    """The trial whose results are disordered."""

    @property
    def trial(self) -> str: ...
    @property
    def disorder(self) -> Disorder | None: ...


class Disorders:
    """The rig's side: awaited before a tool's result is handed to its agent. `note(whose, attrs)`
    writes the note `disorder`."""

    def __init__(self, note: Callable[[Any, dict[str, Any]], None]) -> None:
        self._note = note
        self._calls: dict[str, int] = {}
        self._waiting: dict[str, asyncio.Future[str]] = {}

    async def deliver(self, whose: Whose, action: str) -> None:
        """Return when the result of `action` may be handed over."""
        disorder = whose.disorder
        if disorder is None:
            return
        kind = self._kind(whose, disorder, ("late", "swapped"))
        before = self._waiting.pop(whose.trial, None)
        if before is not None:
            # This one overtakes the one that waits, which goes as soon as this one has gone.
            asyncio.get_running_loop().call_later(0.01, _settle, before, action)
            return
        if kind is None:
            return
        if kind == "late":
            self._note(whose, {"call": action, "kind": kind, "by_ns": round(disorder.late_s * 1e9)})
            await asyncio.sleep(disorder.late_s)
            return
        overtaken = self._waiting[whose.trial] = asyncio.get_running_loop().create_future()
        try:
            with_ = await asyncio.wait_for(overtaken, disorder.late_s)
        except TimeoutError:
            self._note(
                whose, {"call": action, "kind": "late", "by_ns": round(disorder.late_s * 1e9)}
            )
        else:
            self._note(whose, {"call": action, "kind": kind, "with": with_})
        finally:
            if self._waiting.get(whose.trial) is overtaken:
                del self._waiting[whose.trial]

    def message(self, whose: Whose, action: str) -> tuple[float, bool]:
        """What is done to the message with the result of `action`: seconds that it is held back,
        and whether it comes twice."""
        disorder = whose.disorder
        if disorder is None:
            return 0.0, False
        kind = self._kind(whose, disorder, ("late", "swapped", "twice"))
        if kind is None:
            return 0.0, False
        delay_s = {"late": disorder.late_s, "swapped": disorder.late_s / 2}.get(kind, 0.0)
        by = {"by_ns": round(delay_s * 1e9)} if delay_s else {}
        self._note(whose, {"call": action, "kind": kind} | by)
        return delay_s, kind == "twice"

    def _kind(
        self, whose: Whose, disorder: Disorder, possible: tuple[Disordering, ...]
    ) -> Disordering | None:
        """What is drawn for the next call of a trial; None for no disorder."""
        number = self._calls[whose.trial] = self._calls.get(whose.trial, 0) + 1
        share, pick = _drawn(disorder.seed, whose.trial, number)
        kinds = [kind for kind in disorder.kinds if kind in possible]
        return kinds[pick % len(kinds)] if kinds and share < disorder.rate else None

    def end(self, trial: str) -> None:
        """The trial has ended."""
        self._calls.pop(trial, None)


def _settle(future: asyncio.Future[str], action: str) -> None:
    if not future.done():
        future.set_result(action)


def _drawn(seed: int, trial: str, number: int) -> tuple[float, int]:
    """A share in [0, 1) and a number, for one call of one trial."""
    text = f"disorder\0{seed}\0{trial}\0{number}".encode()
    drawn = hashlib.blake2b(text, digest_size=16).digest()
    return int.from_bytes(drawn[:8], "big") / 2**64, int.from_bytes(drawn[8:], "big")
