"""How a trial's box ended and what it was refused, ready to be shown.

Rules:
1. It comes from the trial's end, as its box told it. What a box was refused is the trial's own
   text: it is cleaned and cut.
2. Of refused attempts the first are shown; the others are counted.
3. A file or module that a boxed agent did not find may be one of the suite that its box does not
   see: that is said, with the key that shows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from proofrig.reports.words import line

ROWS = 50
WHERE = 200  # characters
ROW_TEXT = 10  # characters of an excerpt that a row takes the room of
BY = {
    "memory": "by its limit of memory",
    "cpu": "by its limit of processor time",
    "wall": "by its limit of wall time",
    "processes": "by its limit of processes",
    "open_files": "by its limit of open files",
    "disk": "by its limit of disk",
    "egress": "by its limit of bytes sent",
    "lost": "because the sandbox failed: no fault of the trial",
}
_HELD = {"enforced": "limits enforced", "advisory": "limits advisory", "none": "limits not held"}
_ABSENT = ("FileNotFoundError", "ModuleNotFoundError")
UNSEEN = (
    "If that is a file of the suite: a box sees the agent's modules, found by their import "
    "statements, and what `sandbox.files` names."
)


class Box(msgspec.Struct, frozen=True, omit_defaults=True):
    """A trial's box. says: what it was, and how it ended. refused: each attempt, in words. more:
    attempts that are not in `refused`. hint: what to do about what it did not see."""

    says: str
    refused: list[str] = []
    more: int = 0
    hint: str = ""


class _Refused(msgspec.Struct):
    what: str
    where: str
    times: int = 1


class _Ended(msgspec.Struct):
    level: str
    held: str
    by: str = ""
    refused: list[_Refused] = []
    strays: int = 0
    start: str = "exec"
    start_ms: int = 0


def box_of(attrs: Mapping[str, Any], text: int) -> Box | None:
    """What a trial's end says of its box, with as many refused attempts as excerpts of `text`
    characters leave room for; None where there was no box, or nothing that can be read."""
    try:
        ended = msgspec.convert(attrs.get("box"), _Ended)
    except msgspec.ValidationError:
        return None
    most = min(ROWS, text // ROW_TEXT)
    said = [ended.level, _HELD.get(ended.held, ended.held)]
    if ended.start_ms:
        said.append(f"ready after {ended.start_ms:,} ms")
    if ended.start == "fork":
        said.append("a copy of a warm interpreter")
    if ended.by in BY:
        said.append(f"ended {BY[ended.by]}")
    if ended.strays:
        noun = "process" if ended.strays == 1 else "processes"
        said.append(f"{ended.strays:,} {noun} had to be hunted down")
    return Box(
        ", ".join(said),
        [_refused(one) for one in ended.refused[:most]],
        len(ended.refused[most:]),
        _hint(ended, str(attrs.get("error", ""))),
    )


def _refused(one: _Refused) -> str:
    times = f", {one.times:,} times" if one.times > 1 else ""
    return f"{line(one.what, 40)} {line(one.where, WHERE)}{times}"


def _hint(ended: _Ended, error: str) -> str:
    return UNSEEN if ended.level != "process" and error.startswith(_ABSENT) else ""
