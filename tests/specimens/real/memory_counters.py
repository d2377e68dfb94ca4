"""A counter in a dict that agents in tasks raise, as notes of an agent framework are: lost updates,
and how they are prevented."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from proofrig.observers import observed_kv
from specimens.real.lab import Lab, Ran, Specimen
from specimens.real.truth import Changes

AGENTS, ROUNDS = 6, 3
Raise = Callable[[Any, Changes, asyncio.Lock], Awaitable[None]]


async def across_await(memory: Any, changes: Changes, lock: asyncio.Lock) -> None:
    """Read, wait for a model, write."""
    visits, since = memory.get("visits", 0), changes.read()
    await asyncio.sleep(0.002)
    memory["visits"] = visits + 1
    changes.wrote(since)


async def locked(memory: Any, changes: Changes, lock: asyncio.Lock) -> None:
    async with lock:
        await across_await(memory, changes, lock)


async def at_once(memory: Any, changes: Changes, lock: asyncio.Lock) -> None:
    """Wait first; nothing comes between reading and writing."""
    await asyncio.sleep(0.002)
    visits, since = memory.get("visits", 0), changes.read()
    memory["visits"] = visits + 1
    changes.wrote(since)


def _run(way: Raise) -> Callable[[Path, int], Ran]:
    def run(folder: Path, seed: int) -> Ran:
        notes: dict[str, int] = {}
        changes = Changes()

        async def play(lab: Lab) -> None:
            memory, lock = observed_kv(notes, "notes", recorder=lab.recorder), asyncio.Lock()

            async def agent() -> None:
                for _ in range(ROUNDS):
                    await way(memory, changes, lock)

            await lab.tasks([agent() for _ in range(AGENTS)])

        with Lab(folder, seed) as lab:
            asyncio.run(play(lab))
        return Ran(lab.run_dir, notes["visits"] < changes.acknowledged, changes.overlapped)

    return run


def _of(variant: str, way: Raise, *, bad: bool) -> Specimen:
    kind = "lost_update" if bad else None
    return Specimen("lost update", f"dict: {variant}", kind, "lost_update", _run(way))


SPECIMENS = [
    _of("an await between reading and writing", across_await, bad=True),
    _of("asyncio.Lock around both", locked, bad=False),
    _of("no await between them", at_once, bad=False),
]
