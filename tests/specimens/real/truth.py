"""What a specimen itself saw happen, to hold a finding's witness against.

Rules:
1. Nothing here reads the history: times and values are the specimen's own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from proofrig.checkers.checker import Finding
from specimens.real.lab import now


class Changes:
    """Who changed a number, from what it had read when to what it wrote when."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: list[tuple[str, int, int]] = []

    def read(self) -> tuple[str, int]:
        """A trial has read."""
        return now(), time.monotonic_ns()

    def wrote(self, since: tuple[str, int]) -> None:
        """It has written what it made of it, and was told so."""
        with self._lock:
            self._made.append((*since, time.monotonic_ns()))

    @property
    def acknowledged(self) -> int:
        return len(self._made)

    def overlapped(self, finding: Finding) -> bool:
        """Two trials of the witness were between reading and having written at the same time."""
        if len(finding.trials) != 2:
            return False
        one, two = ([made for made in self._made if made[0] == who] for who in finding.trials)
        return any(a[1] < b[2] and b[1] < a[2] for a in one for b in two)


def of_trials(*trials: str) -> Callable[[Finding], bool]:
    """The witness names these trials, and no others."""
    return lambda finding: set(finding.trials) == set(trials)


def says(finding: Finding, *words: Any) -> bool:
    """The finding names all of these, in its text or its witness."""
    text = " ".join([finding.says, *(f"{one.says} {one.id}" for one in finding.witness)])
    return all(str(word) in text for word in words)
