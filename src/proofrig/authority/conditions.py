"""Conditions on arguments: native comparisons, compiled once.

Rules:
1. What forbids (deny, ask) is read broadly, what permits (allow) narrowly: where an argument stands
   for several values, one of them is enough to forbid, and all of them are needed to permit;
   `matches` looks for its regex anywhere in the text to forbid, and takes the whole text to permit.
2. Numbers compare with numbers, text with text, true and false with each other. Another type, a
   number that is not finite or a text that is too long cannot be read, whatever the operator.
3. All conditions of a rule are read, also when one has failed: an argument that cannot be read is
   found in any order.
4. `matches` takes time in proportion to the text, whatever the regex: the syntax is that of Rust's
   regex, without look-around and back-references. A text longer than MAX_TEXT denies. To forbid, a
   text is also read without the line feed at its end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from math import isfinite
from operator import eq, ge, gt, le, lt, ne
from typing import Any

from pydantic_core import SchemaError, SchemaValidator, core_schema

from proofrig.authority.arguments import Unread, shown, values_at

MAX_TEXT = 10_000
MAX_REGEX = 1_000

Test = Callable[[Any], bool]
Condition = Callable[[Any], bool]  # of the arguments of an action; raises Unread

_WORDS = {
    "==": "",
    "!=": "other than",
    "<": "below",
    "<=": "at most",
    ">": "above",
    ">=": "at least",
    "in": "one of",
    "not_in": "none of",
    "matches": "text matching",
    "contains": "containing",
}
OPERATORS = tuple(_WORDS)


def condition(name: str, operators: Mapping[str, Any], *, permits: bool) -> Condition:
    """Whether the argument `name` satisfies every operator: {">": 100, "<": 500}.

    The operators and operands are valid, see `operand_problem`.
    """
    combined = all if permits else any
    plain = {op: operand for op, operand in operators.items() if op != "contains"}
    held = _contains(operators["contains"], permits) if "contains" in operators else None
    each = _all_of([_TESTS[op](operand, permits) for op, operand in plain.items()])
    nested = "." in name

    def holds(arguments: Any) -> bool:
        try:
            value = None if nested or type(arguments) is not dict else arguments.get(name)
            if value is not None and held is None and type(value) not in (list, tuple):
                return each(value)
            # A list first: every value is read, whatever the others are.
            fits = [each(value) for value in values_at(arguments, name)] if plain else []
            if held is None:
                return combined(fits)
            found = [held(value) for value in values_at(arguments, name, whole=True)]
            return combined(found) and (not plain or combined(fits))
        except Unread as unread:
            raise unread.at(name) from None

    return holds


def operand_problem(operator: str, operand: Any) -> str:
    """What is wrong with an operand; "" when nothing is."""
    if operator in ("in", "not_in"):
        if not isinstance(operand, list | tuple) or not operand:
            return f"expected a list of values, got {shown(operand)}"
        return next((said for value in operand if (said := operand_problem("==", value))), "")
    if isinstance(operand, float | Decimal) and not isfinite(operand):
        return f"expected a finite number, got {shown(operand)}"
    if operator == "matches":
        return _regex_problem(operand)
    if operator in ("<", "<=", ">", ">=") and isinstance(operand, bool):
        return f"expected a number or text to compare with, got {shown(operand)}"
    if not isinstance(operand, str | int | float | Decimal):
        return f"expected text, a number, true or false, got {shown(operand)}"
    return ""


def said_of(name: str, operators: Mapping[str, Any]) -> str:
    """A condition in words: `amount above 100`."""
    parts = []
    for operator, operand in operators.items():
        if isinstance(operand, list | tuple):
            value = ", ".join(map(shown, operand))
        else:
            value = shown(operand)
        parts.append(f"{_WORDS[operator]} {value}".strip())
    return f"{name} {' and '.join(parts)}"


# ---- one test per operator; each refuses what it cannot compare


def _kind(value: Any) -> type:
    """What a value compares with: numbers, text or truth values. Raises Unread."""
    if isinstance(value, bool):
        return bool
    if isinstance(value, int):
        return int
    if isinstance(value, float | Decimal):
        if not isfinite(value):
            raise Unread(f"expected a finite number, got {shown(value)}")
        return int
    if isinstance(value, str):
        return str
    raise Unread(f"expected text, a number, true or false, got {shown(value)}")


_NAMES = {int: "a number", str: "text", bool: "true or false"}


def _same_kind(value: Any, kind: type) -> Any:
    if _kind(value) is not kind:
        raise Unread(f"expected {_NAMES[kind]}, got {shown(value)}")
    return value


def _comparing(compare: Callable[[Any, Any], bool]) -> Callable[[Any, bool], Test]:
    def made(operand: Any, permits: bool) -> Test:
        kind = _kind(operand)
        plain = {int: int, str: str, bool: bool}[kind]

        def test(value: Any) -> bool:
            if type(value) is not plain:
                _same_kind(value, kind)
            return compare(value, operand)

        return test

    return made


def _member(inside: bool) -> Callable[[Any, bool], Test]:
    def made(operand: Any, permits: bool) -> Test:
        known = {(_kind(value), value) for value in operand}
        kinds = {kind for kind, _ in known}

        def test(value: Any) -> bool:
            kind = _kind(value)
            if kind not in kinds:
                wanted = " or ".join(sorted(_NAMES[kind] for kind in kinds))
                raise Unread(f"expected {wanted}, got {shown(value)}")
            return ((kind, value) in known) is inside

        return test

    return made


def _matches(operand: Any, permits: bool) -> Test:
    found = _compiled(_whole(operand) if permits else operand)

    def test(value: Any) -> bool:
        _same_kind(value, str)
        if len(value) > MAX_TEXT:
            raise Unread(f"expected at most {MAX_TEXT:,} characters, got {len(value):,}")
        if not value.isascii() and any(0xD800 <= ord(c) <= 0xDFFF for c in value):
            raise Unread(f"expected valid Unicode, got {value!a:.60}")
        if found(value):
            return True
        return not permits and value.endswith("\n") and found(value[:-1])

    return test


def _compiled(regex: str) -> Callable[[str], bool]:
    """Whether a regex is found in a text. Raises SchemaError."""
    schema = core_schema.str_schema(pattern=regex, regex_engine="rust-regex")
    return SchemaValidator(schema).isinstance_python


def _whole(regex: str) -> str:
    return rf"\A(?:{regex})\z"


def _contains(operand: Any, permits: bool) -> Test:
    """Of text: the operand as a part. Of a list: the operand as an element; to forbid also as a
    part of one, and in lists inside."""
    kind = _kind(operand)

    def test(value: Any) -> bool:
        if not isinstance(value, list | tuple):
            return kind is str and operand in _same_kind(value, str)
        found = False
        for element in values_at({"list": value}, "list", whole=permits) if not permits else value:
            if isinstance(element, Mapping | list | tuple) or element is None:
                raise Unread(f"expected a list of plain values, got {shown(element)} in it")
            if _kind(element) is kind:
                part = not permits and kind is str and operand in element
                found = found or element == operand or part
        return found

    return test


def _all_of(tests: list[Test]) -> Test:
    if len(tests) == 1:
        return tests[0]

    def every(value: Any) -> bool:
        # Every operator reads the value, so that the order of operators decides nothing.
        answers = [test(value) for test in tests]
        return all(answers)

    return every


_TESTS: dict[str, Callable[[Any, bool], Test]] = {
    "==": _comparing(eq),
    "!=": _comparing(ne),
    "<": _comparing(lt),
    "<=": _comparing(le),
    ">": _comparing(gt),
    ">=": _comparing(ge),
    "in": _member(inside=True),
    "not_in": _member(inside=False),
    "matches": _matches,
}


# ---- regexes that are refused


def _regex_problem(operand: Any) -> str:
    if not isinstance(operand, str):
        return f"expected a regex, got {shown(operand)}"
    if len(operand) > MAX_REGEX:
        return f"expected a regex of at most {MAX_REGEX:,} characters, got {len(operand):,}"
    try:
        _compiled(operand)
        _compiled(_whole(operand))
    except SchemaError as error:
        said = str(error).splitlines()[-1].strip().removeprefix("error: ")
        return f"expected a regex that takes linear time (Rust's), got {operand!r}: {said}"
    return ""
