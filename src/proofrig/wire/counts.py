"""Token counts as servers write them: whole numbers, mostly.

Rules:
1. A count that is left out or null is 0; a float that is a whole number is that number.
2. Any other count makes the whole usage none said: what the provider counted is not guessed.
   Details that are no object say nothing.
3. A usage that cannot be read never costs the turn it came with.
"""

from __future__ import annotations

from typing import Any

# What may stand where an object is expected, so that reading goes on.
Odd = bool | int | float | str | list[Any] | None


def whole_counts(*counts: Any) -> tuple[int, ...] | None:
    """The counts as whole numbers; None when one of them is no count."""
    for count in counts:
        if type(count) is not int:
            break
    else:
        return counts  # as nearly always
    try:
        return tuple([_whole(count) for count in counts])
    except ValueError:
        return None


def _whole(count: Any) -> int:
    if count is None:
        return 0
    if type(count) is int or (type(count) is float and count.is_integer()):
        return int(count)
    raise ValueError(count)
