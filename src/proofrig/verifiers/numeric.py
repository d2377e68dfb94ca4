"""`numeric`: a number within a tolerance.

Rules:
1. Numbers are decimals, never binary floats: 12.51 is within 0.01 of 12.5, and long ids are exact.
2. |got - value| <= max(abs_tol, rel_tol * |value|). Both tolerances are 0 unless set.
3. `find: whole` wants an answer that is a number and nothing else; `only`, `last` and `first`
   look for it in prose. An answer that offers several numbers fails `only`.
4. A number in prose that is denied ("not 42", "isn't 42") does not count as given.
5. Without `unit` a percentage is a fraction ("12 %" is 0.12) and "3 million" is 3000000. With
   `unit: "%"` the value is in percent, so that "12" and "12 %" are both 12.
6. With `unit`, a number may come bare or carry that unit, and fails when it carries another;
   in prose, numbers that carry it come before bare ones. Without, a currency sign is ignored.
7. Groups of three may be parted by a comma, an apostrophe, an underscore or a thin or no-break
   space; `decimal: ","` swaps comma and point. A figure that is neither ("1,23") is no number.
"""

from __future__ import annotations

import decimal
import re
from decimal import Decimal
from typing import Literal

from pydantic import Field

from proofrig.verifiers._values import nfc, show
from proofrig.verifiers.verifier import Evidence, Verdict, Verifier

_LONGEST = 400  # digits; a longer figure is not a number anybody asked for
_SEARCHED = 1_000_000  # characters of an answer that are looked at
_SCALES = {"thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_PERCENT = frozenset({"%", "percent"})
_CURRENCY = "$€£¥"
_DENIED = re.compile(
    r"(?:\b(?:not|never|no longer)|n['’]t)(?:\s+\w+)?[\s:$€£¥*_`]*$", re.IGNORECASE
)
_BEFORE = 40  # characters before a number in which a denial is looked for


class Numeric(Verifier):
    """The answer is, or holds, `value` within the tolerance."""

    type: Literal["numeric"] = "numeric"
    value: int | float = Field(allow_inf_nan=False)
    abs_tol: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    rel_tol: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    find: Literal["whole", "only", "last", "first"] = "whole"
    unit: str | tuple[str, ...] = ()
    decimal: Literal[".", ","] = "."

    def verify(self, evidence: Evidence) -> Verdict:
        text = nfc(evidence.answer.strip()[:_SEARCHED])
        match, why = self._choose(text)
        if match is None:
            return self.verdict(False, expected=self._wish(), got=show(text), why=why)
        value = _value(match, self.decimal, self._units())
        passed = self._near(value)
        if self.find != "whole" and _DENIED.search(text[: match.start()][-_BEFORE:]):
            passed, why = False, "the answer denies this number"
        return self.verdict(passed, expected=self._wish(), got=f"{value} in {show(text)}", why=why)

    def _choose(self, text: str) -> tuple[re.Match[str] | None, str]:
        """The number that counts, or None and why there is none."""
        found = [m for m in _figure(self.decimal).finditer(text) if len(m["digits"]) <= _LONGEST]
        if not found:
            return None, "there is no number in the answer"
        if self.find == "whole":
            around = text[: found[0].start()] + text[found[0].end() :]
            if around.strip(" \n.*`'\""):
                return None, "there is more than a number; `find: only` looks for it in prose"
        units = self._units()
        fitting = [m for m in found if units & {_carried(m), (m["unit"] or "").casefold()}]
        fitting = fitting or [m for m in found if self._bare(m)]
        if not fitting:
            return None, f"the number carries the unit {_carried(found[-1])!r}"
        if self.find == "only" and len(fitting) > 1:
            return None, f"there are {len(fitting)} numbers in the answer"
        return fitting[0 if self.find == "first" else -1], ""

    def _bare(self, match: re.Match[str]) -> bool:
        """True when the number carries no unit that could make it another quantity."""
        carried = _carried(match)
        if self._units():
            return not carried
        return self.find != "whole" or not carried or carried in _PERCENT | set(_CURRENCY)

    def _units(self) -> frozenset[str]:
        units = (self.unit,) if isinstance(self.unit, str) else self.unit
        named = {nfc(unit.strip()).casefold() for unit in units if unit.strip()}
        return frozenset(named | _PERCENT if named & _PERCENT else named)

    def _near(self, value: Decimal) -> bool:
        with decimal.localcontext(decimal.Context(prec=3 * _LONGEST)):
            wanted = Decimal(str(self.value))
            relative = Decimal(str(self.rel_tol)) * abs(wanted)
            return abs(value - wanted) <= max(Decimal(str(self.abs_tol)), relative)

    def _wish(self) -> str:
        unit = self.unit if isinstance(self.unit, str) else " or ".join(self.unit)
        tolerances = (("abs_tol", self.abs_tol), ("rel_tol", self.rel_tol))
        within = "".join(f", {name} {tol}" for name, tol in tolerances if tol)
        return f"{self.value}{' ' if unit else ''}{unit}{within}"


def _figure(point: str) -> re.Pattern[str]:
    """A number with the sign and currency before it and the unit after it."""
    dot, comma = (r"\.", ",") if point == "." else (",", r"\.")
    part = rf"(?:{comma}|['’_\u00a0\u2009\u202f])"
    return re.compile(
        rf"(?<!\w)(?<![0-9][.,])(?P<sign>[-+−]?)(?P<currency>[{_CURRENCY}]?)[ \u00a0]?"
        rf"(?>(?P<digits>(?:[0-9]{{1,3}}(?:{part}[0-9]{{3}})+(?![0-9])|[0-9]+)(?:{dot}[0-9]+)?"
        rf"|{dot}[0-9]+)(?P<exponent>[eE][-+]?[0-9]{{1,3}}(?![0-9]))?)(?![.,]?[0-9])"
        rf"(?:[ \u00a0\u2009\u202f]?(?P<scale>(?i:{'|'.join(_SCALES)})\b))?"
        rf"(?:[ \u00a0\u2009\u202f]?(?P<unit>[%{_CURRENCY}]|[^\W\d_]+[²³]?(?:/[^\W\d_]+)?))?"
    )


def _carried(match: re.Match[str]) -> str:
    """The unit of a number. A currency sign in front settles it: "$83 comes back" is in dollars,
    unless another sign or a percentage follows."""
    unit = match["unit"] or ""
    if match["currency"] and unit not in {"%", *_CURRENCY}:
        return str(match["currency"])
    return unit.casefold()


def _value(match: re.Match[str], point: str, units: frozenset[str]) -> Decimal:
    """The number in the unit that `value` is written in."""
    parts = r"['’_\u00a0\u2009\u202f]|" + ("," if point == "." else r"\.")
    digits = re.sub(parts, "", match["digits"]).replace(",", ".")
    sign = "-" if match["sign"] in ("-", "−") else ""
    value = Decimal(sign + digits + (match["exponent"] or ""))
    power = _SCALES.get((match["scale"] or "").casefold(), 0)
    if _carried(match) in _PERCENT - units:
        power -= 2
    return value * (Decimal(10) ** power) if power else value
