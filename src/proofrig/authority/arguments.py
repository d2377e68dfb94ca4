"""Finding the arguments that rules read; what cannot be read is an error of its own.

Rules:
1. An argument that is missing or null cannot be read, nor one of a type that cannot be compared,
   nor any when the arguments are no object. Nobody skips a rule by leaving something out.
2. A dotted name goes into objects. Every list on the way, and a list at its end, stands for each
   of its elements; a list without elements is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

MAX_VALUES = 1_000  # that one name stands for
MAX_DEPTH = 32  # of lists in lists, of objects in objects

Code = Literal["argument_missing", "argument_unreadable"]


class Unread(Exception):
    """An argument that a rule reads and that cannot be read. says: what was expected and came."""

    def __init__(self, says: str, code: Code = "argument_unreadable") -> None:
        super().__init__(says)
        self.says = says
        self.code: Code = code

    def at(self, name: str) -> Unread:
        """The same, with the name of the argument in front."""
        if f"`{name}`" not in self.says:
            self.says = f"argument `{name}`: {self.says}"
        return self


def values_at(arguments: Any, name: str, *, whole: bool = False) -> list[Any]:
    """What `name` stands for in `arguments`: one value, or one per element of lists on the way,
    each a scalar or an object; whole: a list at the end stays one value. Raises Unread."""
    if not isinstance(arguments, Mapping):
        raise Unread(f"expected arguments in an object, got {shown(arguments)}")
    if "." in name and name in arguments and name.partition(".")[0] in arguments:
        # Which of the two would the tool take?
        raise Unread(f"expected `{name}` in objects, got an argument with dots in its name")
    found: list[Any] = [arguments]
    gone = ""
    for part in name.split("."):
        found = _elements(found, name)
        for value in found:
            if not isinstance(value, Mapping):
                raise Unread(f"expected an object at `{gone}`, got {shown(value)}")
            if value.get(part) is None:
                raise Unread(f"expected the argument `{name}`, got none", "argument_missing")
        gone = f"{gone}.{part}" if gone else part
        found = [value[part] for value in found]
    return found if whole else _elements(found, name)


def _elements(values: list[Any], name: str) -> list[Any]:
    """`values`, with each list in them, at any depth, replaced by its elements."""
    for _ in range(MAX_DEPTH):
        if not any(isinstance(value, list | tuple) for value in values):
            break
        flat: list[Any] = []
        for value in values:
            if not isinstance(value, list | tuple):
                flat.append(value)
            elif value:
                flat.extend(value)
            else:
                raise Unread(
                    f"expected something in the list `{name}`, got none", "argument_missing"
                )
        if len(flat) > MAX_VALUES:
            raise Unread(f"expected at most {MAX_VALUES:,} values in `{name}`, got {len(flat):,}")
        values = flat
    else:
        raise Unread(f"expected lists no deeper than {MAX_DEPTH} in `{name}`, got deeper ones")
    if any(value is None for value in values):
        raise Unread(f"expected the argument `{name}`, got null in its list", "argument_missing")
    return values


def shown(value: Any) -> str:
    """A value for a message, short and of bounded cost."""
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else f"{value[:57]}...")
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float) or (isinstance(value, int) and abs(value) < 1 << 64):
        return repr(value)
    return f"a value of type {type(value).__name__}"
