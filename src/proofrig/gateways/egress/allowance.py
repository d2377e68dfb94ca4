"""How many bytes a trial may still move, both directions together.

Rules:
1. What is let through never exceeds the limit, however many connections move bytes at once.
2. When it is used up is said once.
"""

from __future__ import annotations

from collections.abc import Callable


class Allowance:
    """The bytes of one trial. limit: None for no limit. used: what passed so far; over: called
    once, when more was asked for than was left."""

    __slots__ = ("_over", "limit", "spent", "used")

    def __init__(self, limit: int | None, over: Callable[[Allowance], None]) -> None:
        self.limit = limit
        self.used = 0
        self.spent = limit == 0
        self._over = over

    def take(self, size: int) -> int:
        """How many of `size` bytes may pass; they are counted."""
        if self.limit is None:
            self.used += size
            return size
        taken = min(size, self.limit - self.used)
        self.used += taken
        if taken < size and not self.spent:
            self.spent = True
            self._over(self)
        return taken
