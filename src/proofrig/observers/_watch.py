"""Calls an observed object, plain or async, and says how it ended. Standard library only.

Rules:
1. The call is passed on as it came, once; what it gives or raises reaches the agent unchanged.
2. An answer that is awaited ends when the awaiting does, cancelled or not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Ended = Callable[[Any, "BaseException | None"], None]  # (result, error)


def watched(call: Callable[..., Any], args: Any, kwargs: Any, ended: Ended) -> Any:
    """`call(*args, **kwargs)`; `ended` is called with what came of it."""
    try:
        result = call(*args, **kwargs)
    except BaseException as error:
        ended(None, error)
        raise
    if hasattr(result, "__await__"):
        return _awaited(result, ended)
    ended(result, None)
    return result


async def _awaited(pending: Any, ended: Ended) -> Any:
    try:
        result = await pending
    except BaseException as error:
        ended(None, error)
        raise
    ended(result, None)
    return result


def shown(error: BaseException) -> str:
    """An error in a line, for the history."""
    try:
        text = str(error)
    except Exception:
        text = ""
    return (f"{type(error).__name__}: {text}" if text else type(error).__name__)[:200]


class Observed:
    """What stands before an observed object: everything it does not know is the object's own."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __repr__(self) -> str:
        return f"<observed {self._inner!r}>"

    def __bool__(self) -> bool:
        return bool(self._inner)

    def __eq__(self, other: object) -> bool:
        return bool(self._inner == (other._inner if isinstance(other, Observed) else other))

    __hash__ = None  # type: ignore[assignment]

    def __len__(self) -> int:
        return len(self._inner)

    def __iter__(self) -> Any:
        return iter(self._inner)

    def __contains__(self, key: object) -> bool:
        return key in self._inner
