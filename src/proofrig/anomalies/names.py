"""What the names and results of calls say by themselves.

Rules:
1. A result is empty when it is JSON with an empty list and nothing else (`[]`, `{"items": [],
   "total": 0}`), or a short text that says that nothing was found. `null`, `{}` and no text at all
   are how a tool without a result answers.
2. Only of a call that looks for something (`tool.search`, `tool.get_order`) an empty result is bad
   news: of one that checks something it is good news.
3. A name waits when one of its words says so: `tool.sleep`, `tool.wait_for_job`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

LONGEST = 400  # bytes; what is longer says something
_NONE_FOUND = re.compile(
    r"(no|none|nothing|not|0|zero)\b[\w\s]{0,40}"
    r"\b(found|results?|match(es)?|items?|rows?|data|hits?)\b[\w\s]{0,40}[.!]?",
    re.IGNORECASE,
)
_LOOKS = re.compile(
    r"(^|[._-])(search|find|query|look|list|get|fetch|retrieve|grep|read|browse)|"
    r"(Search|Find|Query|Lookup|Fetch|Retrieve)"
)
_WAITS = re.compile(r"(^|[._-])(sleep|wait|delay|pause)([._-]|$)")


def waits(name: str) -> bool:
    """Whether an action of this name is there to let time pass."""
    return _WAITS.search(name) is not None


def looks(name: str) -> bool:
    """Whether an action of this name is there to find or get something."""
    return _LOOKS.search(name) is not None


def empty(result: bytes | None) -> bool:
    """Whether a result says that there is nothing. None, one that is not kept, does not."""
    if result is None or len(result) > LONGEST:
        return False
    try:
        said = _said(msgspec.json.decode(result))
    except (msgspec.DecodeError, RecursionError):
        said = _said(result.decode("utf-8", "replace"))
    return bool(said)


def _said(value: Any) -> bool | None:
    """True: there is nothing; None: it says neither; False: there is something."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        text = value.strip()
        return text == "[]" or _NONE_FOUND.fullmatch(text) is not None
    if isinstance(value, list):
        return _all(value) if value else True
    if isinstance(value, dict):
        # MCP wraps what a tool says: {"content": [{"type": "text", "text": "[]"}]}
        told = (one for name, one in value.items() if name not in ("type", "isError"))
        return _all(None if _is_count(one) else one for one in told)
    return False


def _all(values: Iterable[Any]) -> bool | None:
    said = [_said(value) for value in values]
    return None if not any(one is not None for one in said) else False not in said


def _is_count(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == 0
