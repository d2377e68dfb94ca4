"""What was asked and is on no tape: where it parts from what was recorded, for people and as JSON.

Rules:
1. A miss names the first field that differs from the nearest recorded request: the one that has the
   most pieces in common from the beginning, not asked again yet before one that was.
2. Values are shown in canonical form, as they were compared: cut to 200 characters around the first
   character that differs.
3. What was asked again though it was recorded once is a repeat: the agent loops, or tries again
   where it did not when it was recorded.
4. A tunnel is never recorded: its miss says what to do.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from proofrig.cassettes.asked import Asked
from proofrig.cassettes.canonical import Canonical
from proofrig.cassettes.exchange import Exchange
from proofrig.cassettes.leaves import MISSING, Part, parting
from proofrig.cassettes.lineage import Place

Kind = Literal["differs", "repeat", "nothing", "unknown_trial", "tunnel"]
SHOWN = 200  # characters of a value
_NEAREST = 3
_WHERE = "the address"


class Near(msgspec.Struct, frozen=True):
    """A recorded exchange that was nearly it. shared: pieces in common from the beginning. served:
    it was asked for already. path: where it parts from what was asked; recorded, asked: what each
    has there."""

    exchange: int
    lineage: str
    turn: int
    shared: int
    served: bool
    path: str
    recorded: str
    asked: str


class Miss(msgspec.Struct, frozen=True):
    """A request without a recorded answer. lineage, turn: its place in this run. path, recorded,
    asked: where it first parts from the nearest. rules: that applied to its texts. last_common: the
    last turn of the nearest one's lineage that was asked as recorded, -1 for none. known: the
    trials of the cassette, where it has not this one."""

    kind: Kind
    trial: str
    lineage: str
    turn: int
    channel: str
    name: str
    path: str = ""
    recorded: str = ""
    asked: str = ""
    rules: list[str] = []
    last_common: int = -1
    nearest: list[Near] = []
    known: list[str] = []

    @property
    def message(self) -> str:
        """One line."""
        where = f"trial {self.trial}, {self.name}" if self.trial else self.name
        if self.kind == "unknown_trial":
            shown = ", ".join(self.known[:5]) + (", ..." if len(self.known) > 5 else "")
            return f"replay miss: {where}: the cassette has no such trial; it has {shown or 'none'}"
        if self.kind == "tunnel":
            return (
                f"replay miss: {where}: a tunnel to {self.asked} is on no recording, since nobody "
                "can read it. Name the host in the suite's `egress.intercept`, and record again"
            )
        if self.kind == "nothing":
            return f"replay miss: {where}: nothing was recorded for it in this trial"
        place = f"turn {self.turn} of lineage {self.lineage}"
        if self.kind == "repeat":
            number = self.nearest[0].exchange
            return (
                f"replay miss: {where}, {place}: asked again, but exchange {number} was recorded "
                "once: a loop, or a retry where none was recorded"
            )
        return (
            f"replay miss: {where}, {place}: {self.path} differs: "
            f"recorded {_short(self.recorded)}, asked {_short(self.asked)}"
        )

    def text(self, width: int = 100) -> str:
        """Several lines, none wider than `width`, what was recorded beside what was asked."""
        lines = textwrap.wrap(self.message.partition(" differs: ")[0], width)
        if self.kind == "differs":
            lines[-1:] = textwrap.wrap(f"{lines[-1]} differs", width)
            near = self.nearest[0]
            lines += ["", *beside((f"recorded (exchange {near.exchange})", "asked"), width)]
            lines += ["─" * ((width - 3) // 2) + "─┼─" + "─" * ((width - 3) // 2)]
            lines += [*beside((self.recorded, self.asked), width), ""]
            said = "none" if self.last_common < 0 else str(self.last_common)
            lines += textwrap.wrap(f"last common turn of lineage {near.lineage}: {said}", width)
            if self.rules:
                lines += textwrap.wrap(f"rules that applied: {', '.join(self.rules)}", width)
        for near in self.nearest[self.kind == "differs" :]:
            again = ", asked for already" if near.served else ""
            at = f", parts at {near.path}" if near.path else ""
            text = f"also near: exchange {near.exchange}, turn {near.turn} of {near.lineage}"
            lines += textwrap.wrap(f"{text}, {near.shared} pieces in common{at}{again}", width)
        return "\n".join(lines)


class Known(msgspec.Struct, frozen=True):
    """A recorded exchange, to be compared."""

    exchange: Exchange
    asked: Asked
    form: Canonical
    served: bool


def nearest(asked: Asked, form: Canonical, known: Iterable[Known]) -> list[Near]:
    """The recorded requests of the same kind that are nearest, the nearest first."""
    ranked = sorted(
        (one for one in known if one.asked.channel == asked.channel and _same(one.asked, asked)),
        key=lambda one: (
            one.form.hash != form.hash,
            -_shared(one.form, form),
            one.served,
            abs(len(one.form.chain) - len(form.chain)),
            one.exchange.n,
        ),
    )
    value = form.value()
    return [_near(one, asked, form, value) for one in ranked[:_NEAREST]]


def miss_of(
    asked: Asked, form: Canonical, place: Place, *, trial: str, near: list[Near], last_common: int
) -> Miss:
    """The miss of a request in a trial that the cassette has."""
    first = near[0] if near else None
    kind: Kind = "nothing" if first is None else "differs" if first.path else "repeat"
    return Miss(
        kind=kind,
        trial=trial,
        lineage=place.lineage,
        turn=place.turn,
        channel=asked.channel,
        name=asked.tool or asked.name,
        path=first.path if first else "",
        recorded=first.recorded if first else "",
        asked=first.asked if first else "",
        rules=sorted(form.rules),
        last_common=last_common,
        nearest=near,
    )


def beside(texts: tuple[str, str], width: int) -> list[str]:
    """Two texts side by side, each wrapped into its half."""
    half = (width - 3) // 2
    left, right = (_wrapped(text, half) for text in texts)
    rows = max(len(left), len(right))
    left += [""] * (rows - len(left))
    right += [""] * (rows - len(right))
    return [f"{one:<{half}} │ {other}".rstrip() for one, other in zip(left, right, strict=True)]


def _near(one: Known, asked: Asked, form: Canonical, value: Any) -> Near:
    part = None
    if one.form.hash != form.hash:
        told = _address(one.asked, one.form), _address(asked, form)
        part = parting(one.form.value(), value) or Part(_WHERE, *told)
    recorded, now = _cut(part.one, part.other) if part else ("", "")
    return Near(
        exchange=one.exchange.n,
        lineage=one.exchange.lineage,
        turn=one.exchange.turn,
        shared=_shared(one.form, form),
        served=one.served,
        path=part.path if part else "",
        recorded=recorded,
        asked=now,
    )


def _same(one: Asked, other: Asked) -> bool:
    return (one.form, one.tool, one.server) == (other.form, other.tool, other.server)


def _address(asked: Asked, form: Canonical) -> str:
    return f"{asked.method} {form.address} {asked.child}".strip()


def _shared(one: Canonical, other: Canonical) -> int:
    count = 0
    for left, right in zip(one.chain, other.chain, strict=False):
        if left != right:
            break
        count += 1
    return count


def _cut(one: Any, other: Any) -> tuple[str, str]:
    """Both values as texts of at most 200 characters, around where they part."""
    left, right = _text(one), _text(other)
    same = next((at for at, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), 0)
    start = max(0, same - SHOWN // 4) if max(len(left), len(right)) > SHOWN else 0
    return _window(left, start), _window(right, start)


def _window(text: str, start: int) -> str:
    cut = text[start:] if start <= len(text) else ""
    before = "…" if start else ""
    room = SHOWN - len(before)
    return before + (cut if len(cut) <= room else cut[: room - 1] + "…")


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value if value == MISSING else msgspec.json.encode(value).decode()
    return msgspec.json.encode(value).decode()


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"


def _wrapped(text: str, width: int) -> list[str]:
    return [text[at : at + width] for at in range(0, len(text), width)] or [""]
