"""When two values mean the same, for every verifier that compares values.

Rules:
1. Numbers are compared by value: 1 is 1.0. A boolean is not a number, and "1" is not 1.
2. Text is compared after Unicode NFC. Key order never matters, list order does unless said.
3. A listed value covers a found one when everything listed is there; more may be there.
4. Text that an agent wrote is read as JSON without ever raising.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

Lists = Literal["ordered", "unordered", "subset"]
Left = TypeVar("Left")
Right = TypeVar("Right")

_FENCE = re.compile(r"^[ \t]*```[\w-]*[ \t]*\n(.*?)^[ \t]*```[ \t]*$", re.DOTALL | re.MULTILINE)


def nfc(text: str) -> str:
    """Unicode NFC: composed and decomposed letters are the same text."""
    return unicodedata.normalize("NFC", text)


def same(left: Any, right: Any, tolerance: float = 0.0) -> bool:
    """True when two JSON-like values mean the same. `tolerance` is absolute."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, int | float) and isinstance(right, int | float):
        return bool(left == right or (tolerance > 0 and abs(left - right) <= tolerance))
    if isinstance(left, str) and isinstance(right, str):
        return left == right or nfc(left) == nfc(right)
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(
            same(value, right[key], tolerance) for key, value in left.items()
        )
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(
            same(one, other, tolerance) for one, other in zip(left, right, strict=True)
        )
    return type(left) is type(right) and bool(left == right)


def covers(listed: Any, found: Any, lists: Lists = "ordered", tolerance: float = 0.0) -> bool:
    """True when everything in `listed` is in `found`: objects may hold further keys at any depth;
    a list is met item by item, in any order, or (subset) by some of the found items."""
    return difference(listed, found, lists, tolerance) is None


def difference(
    listed: Any, found: Any, lists: Lists = "ordered", tolerance: float = 0.0, at: str = "$"
) -> str | None:
    """The first place where `found` does not hold what is `listed`, as a sentence; else None."""
    if isinstance(listed, dict) and isinstance(found, dict):
        for key, value in listed.items():
            if key not in found:
                return f"{at}.{key} is missing"
            if reason := difference(value, found[key], lists, tolerance, f"{at}.{key}"):
                return reason
        return None
    if isinstance(listed, list | tuple) and isinstance(found, list | tuple):
        if lists != "subset" and len(listed) != len(found):
            return f"{at} has {len(found)} items, not {len(listed)}"
        if lists == "ordered":
            pairs = zip(listed, found, strict=True)
            steps = (
                difference(one, other, lists, tolerance, f"{at}[{place}]")
                for place, (one, other) in enumerate(pairs)
            )
            return next((reason for reason in steps if reason), None)
        missing, _ = assign(listed, found, lambda a, b: covers(a, b, lists, tolerance))
        return f"{at} has no item like {show(listed[missing[0]])}" if missing else None
    if same(listed, found, tolerance):
        return None
    return f"{at} is {show(found)}, not {show(listed)}"


def assign(
    wanted: Sequence[Left], found: Sequence[Right], fits: Callable[[Left, Right], bool]
) -> tuple[list[int], list[int]]:
    """Match each wanted item to its own found item, as many as possible (augmenting paths).

    Returns the places of the wanted items left without one, and of the found items not used.
    A greedy match is not enough: a loose item may take what only a strict one could use.
    """
    edges = [[place for place, item in enumerate(found) if fits(want, item)] for want in wanted]
    owner: dict[int, int] = {}
    for start in range(len(wanted)):
        came_from: dict[int, int] = {}  # found place -> the wanted item that reached it
        queue = [start]
        free = -1
        while queue and free < 0:
            want = queue.pop()
            for place in edges[want]:
                if place in came_from:
                    continue
                came_from[place] = want
                if place not in owner:
                    free = place
                    break
                queue.append(owner[place])
        while free >= 0:  # hand the places back along the path
            want = came_from[free]
            previous = next((place for place, has in owner.items() if has == want), -1)
            owner[free] = want
            free = previous if want != start else -1
    used = set(owner.values())
    return (
        [place for place in range(len(wanted)) if place not in used],
        [place for place in range(len(found)) if place not in owner],
    )


def same_tool(called: str, wanted: str) -> bool:
    """True when the called name is the wanted tool, with or without its server in front
    (`mcp__shop__refund`, `shop.refund`, `shop/refund`)."""
    return called == wanted or called.endswith((f"__{wanted}", f".{wanted}", f"/{wanted}"))


def read_json(text: str) -> tuple[Any, str]:
    """The JSON value that a text is, or holds in its only code fence, and "" or the reason why
    there is none."""
    text = text.encode("utf-8", "replace").decode().lstrip("\ufeff").strip()
    fences = _FENCE.findall(text)
    reason = "the text is empty" if not text else ""
    for candidate in (text, *(fences if len(fences) == 1 else ())):
        try:
            return json.loads(candidate, parse_constant=_refuse_constant), ""
        except RecursionError:
            return None, "the JSON is nested too deeply"
        except ValueError as error:
            reason = reason or f"not JSON: {error}"
    return None, reason


def show(value: Any) -> str:
    """A value as JSON text for a message."""
    try:
        return json.dumps(value, ensure_ascii=False, default=repr)
    except (ValueError, RecursionError):
        return repr(type(value))


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
