"""Budgets as people write them, and which scope a policy gives which of them.

Rules:
1. People write dollars, tokens, calls, seconds and bytes; the authority books integers of
   micro-dollars, tokens, calls, milliseconds and bytes. The conversion is exact or refused.
2. `calls:<kind or name>` limits the calls of one kind or name (`calls:llm`, `calls:tool.search`).
   `children` limits how many child scopes a scope may ever open.
3. A unit followed by `/minute`, `/hour` or `/day` limits what is used in any such time.
4. What is not written is not limited.
5. A scope pattern matches scopes of as many levels as it has, level by level; `*` also takes a
   level that is left empty. Where several patterns match, every one of them holds: the least
   amount of each unit counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ValidationError,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError

from proofrig.authority.budget import MAX_AMOUNT
from proofrig.authority.globs import glob_problem, matcher
from proofrig.authority.recent import Recent

WINDOWS = ("minute", "hour", "day")

_CALLS = "calls:"
_WINDOWED = re.compile(rf"(.+)/({'|'.join(WINDOWS)})")
# A unit as people write it -> the authority's, and how many of those it is.
_SCALED = {"usd": ("usd_micro", 1_000_000), "seconds": ("ms", 1_000)}
_MOST = {"usd": 10**9, "seconds": 10**9}
_REMEMBERED = 4_096


class Budget(BaseModel):
    """What one scope may use. Amounts are upper limits; zero allows nothing."""

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[str, int | float] = Field(init=False)

    usd: float | None = Field(default=None, ge=0, le=1e9, strict=True, description="Dollars.")
    tokens: int | None = Field(
        default=None, ge=0, le=MAX_AMOUNT, strict=True, description="Input and output tokens."
    )
    calls: int | None = Field(
        default=None, ge=0, le=MAX_AMOUNT, strict=True, description="Calls of every kind."
    )
    seconds: float | None = Field(
        default=None, ge=0, le=1e9, strict=True, description="Busy seconds."
    )
    bytes: int | None = Field(
        default=None, ge=0, le=MAX_AMOUNT, strict=True, description="Bytes sent and received."
    )
    children: int | None = Field(
        default=None, ge=0, le=MAX_AMOUNT, strict=True, description="Child scopes ever opened."
    )

    @model_validator(mode="before")
    @classmethod
    def _known_units(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        problems: list[InitErrorDetails] = []
        for unit, amount in value.items():
            if unit in cls.model_fields:
                continue
            if said := _unit_problem(str(unit), list(cls.model_fields)):
                problems.append(_placed(said, unit, "[key]"))
                continue
            try:
                _authority_amount(str(unit), amount)
            except ValueError as error:
                problems.append(_placed(str(error), unit))
        if problems:
            raise ValidationError.from_exception_data(cls.__name__, problems)
        return value

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        schema = handler.resolve_ref_schema(handler(core))
        whole = {"type": "integer", "minimum": 0, "maximum": MAX_AMOUNT}
        schema["additionalProperties"] = False
        windows = "|".join(WINDOWS)
        schema["patternProperties"] = {
            r"^calls:[^\s*?]+$": whole,
            rf"^(tokens|calls|bytes)/({windows})$": whole,
            rf"^(usd|seconds)/({windows})$": {"type": "number", "minimum": 0, "maximum": 10**9},
        }
        return schema

    def amounts(self) -> dict[str, int]:
        """The authority's units: usd_micro, tokens, calls, calls:<kind or name>, ms, bytes,
        children, and each but the last with `/minute`, `/hour` or `/day`."""
        written = {name: getattr(self, name) for name in type(self).model_fields}
        written |= self.__pydantic_extra__ or {}
        return dict(
            _authority_amount(unit, amount)
            for unit, amount in written.items()
            if amount is not None
        )

    @model_validator(mode="after")
    def _whole(self) -> Budget:
        self.amounts()
        return self


def scope_problem(pattern: str) -> str:
    """What is wrong with a scope pattern; "" when nothing is."""
    if pattern.startswith("@"):
        return (
            glob_problem(pattern[1:])
            if "/" not in pattern
            else f"expected @ and a name without levels, got {pattern!r}"
        )
    levels = pattern.split("/")
    if not levels[0] or not levels[-1]:
        return (
            "expected a path of levels tenant/workflow/agent/run that begins and ends with a name "
            f"or glob, or a scope that begins with @; got {pattern!r}"
        )
    if "**" in pattern:
        return (
            f"expected one glob for each level, got `**` in {pattern!r}; write */* for two levels"
        )
    return next((said for level in levels if level and (said := glob_problem(level))), "")


class Limits:
    """Scope patterns and their amounts, compiled. Amounts are in the authority's units."""

    def __init__(self, written: Mapping[str, Budget]) -> None:
        self.patterns = tuple(written)
        self._table = [(_scope_matcher(p), budget.amounts()) for p, budget in written.items()]
        self._found: Recent[str, dict[str, int]] = Recent(_REMEMBERED)
        self.units = frozenset(unit for _, amounts in self._table for unit in amounts)

    def amounts_of(self, scope: str) -> dict[str, int]:
        """What `scope` (a path, or a name that begins with @) may use; {} when not limited."""
        found = self._found.get(scope)
        if found is None:
            found = least(amounts for matches, amounts in self._table if matches(scope))
            self._found.put(scope, found)
        return found

    def unused(self, scopes: Iterable[str]) -> tuple[str, ...]:
        """The patterns that match none of `scopes`."""
        left = dict(zip(self.patterns, (matches for matches, _ in self._table), strict=True))
        for scope in scopes:
            left = {pattern: matches for pattern, matches in left.items() if not matches(scope)}
        return tuple(left)


def least(vectors: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The least amount of every unit named in any of `vectors`."""
    found: dict[str, int] = {}
    for amounts in vectors:
        for unit, amount in amounts.items():
            found[unit] = min(amount, found.get(unit, amount))
    return found


def _scope_matcher(pattern: str) -> Callable[[str], bool]:
    if pattern.startswith("@"):
        return matcher([pattern])
    levels = [
        matcher([level]) if level else (lambda name: not name) for level in pattern.split("/")
    ]

    def matches(scope: str) -> bool:
        if scope.startswith("@"):
            return False
        names = scope.split("/")
        return len(names) == len(levels) and all(map(_call, levels, names))

    return matches


def _call(matches: Callable[[str], bool], name: str) -> bool:
    return matches(name)


def _split(unit: str) -> tuple[str, str]:
    """The unit without its window, and the window with its slash."""
    found = _WINDOWED.fullmatch(unit)
    return (found[1], f"/{found[2]}") if found else (unit, "")


def _unit_problem(unit: str, known: list[str]) -> str:
    base, window = _split(unit)
    what = base.removeprefix(_CALLS)
    if base == "children" and window:
        return f"expected `children` without a time, got {unit!r}: it counts for good"
    if base in known and window:
        return ""
    if what != base and what and not any(c.isspace() or c in "*?" for c in what):
        return ""
    if what != base and ("*" in what or "?" in what):
        return (
            f"expected calls:<kind or name>, got {unit!r}; declare a scope for the names under "
            "`scopes` and limit the `calls` of that"
        )
    return (
        f"expected the units {', '.join(known)} or calls:<kind>, each but children also with "
        f"/{', /'.join(WINDOWS)}; got {unit!r}"
    )


def _placed(said: str, *loc: str) -> InitErrorDetails:
    """A problem of one unit, which points at that unit."""
    plain = said.replace("{", "{{").replace("}", "}}")
    return {"type": PydanticCustomError("value_error", plain), "loc": loc, "input": None}


def _authority_amount(unit: str, amount: Any) -> tuple[str, int]:
    """Unit and amount as the authority books them. Raises ValueError."""
    base, window = _split(unit)
    if base not in _SCALED:
        if type(amount) is not int or not 0 <= amount <= MAX_AMOUNT:
            raise ValueError(f"{unit}: expected a whole number from 0, got {amount!r}")
        return unit, amount
    if type(amount) not in (int, float) or not 0 <= amount <= _MOST[base]:
        raise ValueError(f"{unit}: expected a number from 0 to {_MOST[base]:,}, got {amount!r}")
    name, factor = _SCALED[base]
    # The decimal that was written counts, not its binary form.
    scaled = Decimal(str(amount)) * factor
    if scaled != scaled.to_integral_value():
        raise ValueError(f"expected at most a whole number of 1/{factor:,}, got {amount!r}")
    return name + window, int(scaled)
