"""What a gate says, as text and as values: `accuracy >= 90 %`, `tool_429_rate <= 2 * baseline`.

    gate      = figure  op  bound
    figure    = NAME | QUANTILE "(" NAME ")"            QUANTILE: p50, p95, p99, p99.9
    op        = ">=" | "<=" | ">" | "<" | "==" | "!="
    bound     = amount | [NUMBER "*"] "baseline" [("+" | "-") amount]
    amount    = NUMBER [UNIT] | "$" NUMBER
    UNIT      = "%" | ns us ms s min h | B kB MB GB | USD

Rules:
1. Figures are kept in base units: shares in [0, 1], nanoseconds, bytes, US dollars. `%` divides by
   100, so `accuracy >= 90 %` and `accuracy >= 0.9` are the same gate.
2. Both wings read this: a suite checks what is written, the judging side evaluates it. Which names
   there are, and in which unit each is, this file does not know.
3. An error says what was expected, what came instead, in which column, and what was meant if that
   can be told.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from difflib import get_close_matches
from typing import Literal, NoReturn, cast, get_args

import msgspec

Op = Literal[">=", "<=", ">", "<", "==", "!="]
Kind = Literal["share", "ns", "bytes", "USD", ""]

# As written -> what it measures, and how many of the base unit it is.
UNITS: dict[str, tuple[Kind, float]] = {
    "": ("", 1.0),
    "%": ("share", 0.01),
    **{name: ("ns", each) for name, each in (("ns", 1.0), ("us", 1e3), ("ms", 1e6), ("s", 1e9))},
    **{name: ("ns", each) for name, each in (("min", 60e9), ("h", 3600e9))},
    **{name: ("bytes", each) for name, each in (("B", 1.0), ("kB", 1e3), ("MB", 1e6), ("GB", 1e9))},
    **dict.fromkeys(("USD", "$"), ("USD", 1.0)),
}
_SUFFIXES = [name for name in UNITS if name not in ("", "$")]
_MEANT_UNITS = {
    **dict.fromkeys(("sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("msec", "msecs", "millis", "milliseconds"), "ms"),
    **dict.fromkeys(("m", "mins", "minute", "minutes"), "min"),
    **dict.fromkeys(("hr", "hrs", "hour", "hours"), "h"),
    **dict.fromkeys(("µs", "usec", "micros"), "us"),
    **dict.fromkeys(("dollar", "dollars"), "USD"),
    **dict.fromkeys(("percent", "pct", "points", "pp"), "%"),
}
_MEANT_OPS = {
    **{"=>": ">=", "≥": ">=", "=<": "<=", "≤": "<=", "=": "==", "===": "==", "is": "=="},
    **{"<>": "!=", "≠": "!=", "!": "!=", "below": "<", "above": ">", "under": "<", "over": ">"},
}

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:/@^-]*")
_QUANTILE = re.compile(r"p(\d{1,2}(?:\.\d+)?)")
_NUMBER = re.compile(r"(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
_OP = re.compile(r"[<>=!≤≥≠]+")
_WORD = re.compile(r"%|[A-Za-zµ]+")
_PLAIN = re.compile(r"[A-Za-z_]\w*")
_PIECE = re.compile(r"[A-Za-z0-9_.:/@µ-]+|[<>=!≤≥≠]+|\S")


class Threshold(msgspec.Struct, frozen=True, kw_only=True):
    """A gate that was read. `figure`: the metric's name; `quantile`: in [0, 1], where it was asked
    for one. The bound is `scale` times the baseline's figure plus `offset`; without a baseline in
    it, `scale` is 0. `unit`: as written beside the number, "" for none. `text`: as written."""

    text: str
    figure: str
    op: Op
    quantile: float | None = None
    scale: float = 0.0
    offset: float = 0.0
    unit: str = ""

    @property
    def needs_baseline(self) -> bool:
        return self.scale != 0

    @property
    def asks(self) -> str:
        """The figure with its quantile, as it is written: `p99(pool_wait)`."""
        return named(self.figure, self.quantile)

    def bound(self, baseline: float = 0.0) -> float:
        """The bound in the figure's base unit, given the baseline's figure."""
        return self.scale * baseline + self.offset


def named(figure: str, quantile: float | None) -> str:
    """A figure, with its quantile where it has one, as a gate writes it."""
    return figure if quantile is None else f"p{_percent(quantile)}({figure})"


def parse(text: str) -> Threshold:
    """The gate that `text` says. Raises ValueError for what is none."""
    reader = _Reader(text)
    figure, quantile = _figure(reader)
    op = _op(reader)
    scale, offset, unit = _bound(reader)
    if not reader.ended():
        hint = "write each gate as an item of its own" if _WORD.match(reader.rest()) else ""
        if reader.rest().startswith("*"):
            hint = "write the factor as a number before it: 1.1 * baseline"
        if reader.rest().startswith("$"):
            hint = "write it before the number: $2"
        reader.fail("the end of the gate", hint)
    return Threshold(
        text=text.strip(),
        figure=figure,
        op=op,
        quantile=quantile,
        scale=scale,
        offset=offset,
        unit=unit,
    )


def figure_of(text: str) -> tuple[str, float | None]:
    """The name and the quantile of a figure alone, as `accuracy` or `p95(duration)`. Raises
    ValueError."""
    reader = _Reader(text)
    found = _figure(reader)
    if not reader.ended():
        reader.fail("the name of a figure, and no more")
    return found


def amount(text: str) -> tuple[float, str]:
    """A number with its unit, as `5 %`, `30s` or `$0.50`: its value in the base unit, and the unit
    as written. Raises ValueError."""
    reader = _Reader(text)
    value, unit = _signed(reader)
    if not reader.ended():
        reader.fail("a number with its unit, and no more")
    return value, unit


def written(threshold: Threshold) -> str:
    """The gate again as text, from its values; `parse` reads the same values from it."""
    parts = []
    if threshold.scale:
        times = "" if threshold.scale == 1 else f"{shown(threshold.scale)} * "
        parts.append(f"{times}baseline")
        if threshold.offset or threshold.unit:
            parts.append("-" if threshold.offset < 0 else "+")
            parts.append(shown(abs(threshold.offset), threshold.unit))
    else:
        parts.append(shown(threshold.offset, threshold.unit))
    return " ".join([threshold.asks, threshold.op, *parts])


def shown(value: float, unit: str = "", *, digits: int = 0) -> str:
    """A figure that is held in its base unit, in `unit`, as a gate would write it. digits: how many
    significant ones a fraction is rounded to; 0: as many as tell it from its neighbours."""
    factor = UNITS[unit][1]
    number = value / factor
    if digits:
        number *= 1 + 1e-12  # halves up, as 100 times a share comes out elsewhere
    if digits and abs(number) < 10 ** (digits - 1):
        text = _plain(f"{number:.{digits}g}")
    elif digits:
        text = f"{number:.0f}"
    else:
        tries = (f"{number:.{n}g}" for n in range(1, 18))
        text = _plain(next((s for s in tries if _scaled(s, unit) == value), f"{number:.17g}"))
    if unit == "$":
        return f"-${text[1:]}" if text.startswith("-") else f"${text}"
    return f"{text} {unit}" if unit else text


def fitting(kind: str, value: float) -> str:
    """The unit to show a value of this kind in, where nobody wrote one."""
    if kind == "share":
        return "%"
    if kind == "USD":
        return "$"
    if kind == "ns":
        fits = [name for name in ("us", "ms", "s", "min") if abs(value) >= UNITS[name][1]]
        return (fits or ["ms" if value == 0 else "ns"])[-1]
    if kind == "bytes":
        fits = [name for name in ("kB", "MB", "GB") if abs(value) >= UNITS[name][1]]
        return (fits or ["B"])[-1]
    return ""


class _Reader:
    """A text that is read from left to right; space between its pieces means nothing."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    @property
    def at(self) -> int:
        """Where the next piece begins."""
        while self._text[self._at : self._at + 1].isspace():
            self._at += 1
        return self._at

    def rest(self) -> str:
        return self._text[self.at :]

    def ended(self) -> bool:
        return not self.rest()

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """The next piece, if it is one of these."""
        found = pattern.match(self.rest())
        if found is not None:
            self._at += found.end()
        return found

    def takes(self, text: str) -> bool:
        """Whether the next piece is this one, which is then passed over."""
        if not self.rest().startswith(text):
            return False
        self._at += len(text)
        return True

    def fail(self, expected: str, hint: str = "", *, at: int | None = None) -> NoReturn:
        """Say what was expected here, or at the piece that began `at`, instead of what comes."""
        at = self.at if at is None else at
        piece = _PIECE.match(self._text, at)
        got = f"`{piece[0]}`" if piece else "nothing more"
        where = f"column {at + 1} of `{self._text}`"
        raise ValueError(f"expected {expected}, got {got} in {where}{f'; {hint}' if hint else ''}")


def _figure(reader: _Reader) -> tuple[str, float | None]:
    """The name and the quantile on the left."""
    at, first = reader.at, reader.take(_NAME)
    if first is None:
        reader.fail("the name of a figure, as in `accuracy >= 90 %`")
    quantile = _QUANTILE.fullmatch(first[0])
    if not reader.takes("("):
        following = _NAME.match(reader.rest())
        if quantile and following:
            reader.fail("`(`", f"did you mean `{first[0]}({following[0]})`?")
        return first[0], None
    if quantile is None or float(quantile[1]) == 0:
        reader.fail("a quantile before `(`: p50, p95, p99, p99.9", at=at)
    name = reader.take(_NAME)
    if name is None:
        reader.fail(f"the name of a figure, as in `{first[0]}(duration)`")
    if not reader.takes(")"):
        reader.fail("`)`")
    return name[0], float(Decimal(quantile[1]) / 100)


def _op(reader: _Reader) -> Op:
    ops = get_args(Op)
    at, found = reader.at, reader.take(_OP)
    if found is not None and found[0] in ops:
        return cast(Op, found[0])
    piece = found or _PIECE.match(reader.rest())
    meant = _MEANT_OPS.get(piece[0]) if piece else None
    hint = f"did you mean `{meant}`?" if meant else ""
    reader.fail(f"one of {', '.join(ops)}", hint, at=at)


def _bound(reader: _Reader) -> tuple[float, float, str]:
    """The factor of the baseline, what is added to it, and the unit of that."""
    scale = 0.0
    if _is_baseline(reader):
        scale = 1.0
    else:
        at = reader.at
        value, unit = _signed(reader)
        if unit or not reader.takes("*"):
            return 0.0, value, unit
        if value == 0:
            reader.fail("another factor than 0", "0 * baseline is 0: write that", at=at)
        if not _is_baseline(reader, "`baseline`"):
            reader.fail("`baseline`")
        scale = value
    if reader.rest().startswith("*"):
        reader.fail("`+`, `-` or the end of the gate", "write the factor first: 2 * baseline")
    sign = 1.0 if reader.takes("+") else -1.0 if reader.takes("-") else 0.0
    if not sign:
        return scale, 0.0, ""
    value, unit = _amount(reader)
    return scale, sign * value, unit


def _is_baseline(reader: _Reader, expected: str = "a number or `baseline`") -> bool:
    word = _PLAIN.match(reader.rest())
    if word is not None and word[0] == "baseline":
        return reader.takes("baseline")
    if word is not None:
        near = get_close_matches(word[0].lower(), ["baseline"])
        reader.fail(expected, "did you mean `baseline`?" if near else "")
    return False


def _signed(reader: _Reader) -> tuple[float, str]:
    sign = -1.0 if reader.takes("-") else 1.0
    value, unit = _amount(reader)
    return sign * value, unit


def _amount(reader: _Reader) -> tuple[float, str]:
    """A number and its unit: the value in the base unit, and the unit as written."""
    dollars = reader.takes("$")
    at, number = reader.at, reader.take(_NUMBER)
    if number is None:
        reader.fail("a number")
    if math.isinf(float(number[0])):
        reader.fail("a number that can be reached", at=at)
    if dollars:
        return _scaled(number[0], "$"), "$"
    if reader.rest().startswith(","):
        reader.fail("a number without commas", "write 1000 for 1,000, and 0.5 for 0,5")
    at, word = reader.at, reader.take(_WORD)
    if word is None:
        return _scaled(number[0], ""), ""
    if word[0] not in _SUFFIXES:
        hint = _meant_unit(number[0], word[0])
        reader.fail(f"a unit ({' '.join(_SUFFIXES)}) or none", hint, at=at)
    return _scaled(number[0], word[0]), word[0]


def _meant_unit(number: str, word: str) -> str:
    if word in ("x", "baseline", "times", "of"):
        return f"did you mean `{number} * baseline`?"
    by_case = {name.lower(): name for name in _SUFFIXES}
    meant = _MEANT_UNITS.get(word.lower()) or by_case.get(word.lower())
    return f"did you mean `{number} {meant}`?" if meant else ""


def _scaled(number: str, unit: str) -> float:
    """The value in the base unit. The decimal that was written counts: 7 % is 0.07."""
    return float(Decimal(number) * Decimal(str(UNITS[unit][1])))


def _plain(number: str) -> str:
    """A number without an exponent, and without zeros that say nothing."""
    text = format(Decimal(number), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _percent(quantile: float) -> str:
    return _plain(f"{quantile * 100:.10g}")
