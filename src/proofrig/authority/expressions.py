"""Conditions in CEL, for what comparisons cannot say.

Rules:
1. The variables are args, run{tainted, taints, step, tier}, action{name, kind} and
   scope{tenant, workflow, agent, run}; other names are refused when the policy is loaded.
2. An expression that fails (a missing argument, another type) or answers neither true nor false
   denies. `has(args.x)` asks whether an argument is there. CEL's own `==` holds values of two
   types for different and does not fail: compare with < or >, or natively, what may come as text.
3. CEL numbers are 64 bits wide and its comparisons with NaN false: arguments that hold a number
   that is not finite or wider cannot be read, nor can those nested deeper than MAX_DEPTH or of
   more than MAX_ARGUMENTS values.
4. The package is imported when the first expression is compiled.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import isfinite
from typing import Any

from proofrig.authority.arguments import MAX_DEPTH, Unread, shown

MAX_ARGUMENTS = 10_000  # values in them all: an expression may go through them more than once
VARIABLES = ("args", "run", "action", "scope")

_BOUND = re.compile(r"\.\s*(?:all|exists|exists_one|map|filter)\s*\(\s*(\w+)\s*,")
_FUNCTION = re.compile(r"[a-zA-Z][\w.]*")
_FIELD = re.compile(r"(?<![\w.])(run|action|scope)\s*\.\s*(\w+)")
_FIELDS = {
    "run": ("tainted", "taints", "step", "tier"),
    "action": ("name", "kind"),
    "scope": ("tenant", "workflow", "agent", "run"),
}
# Every function takes one of these; one that takes none does not exist.
_PROBES = (
    *("{}(1)", "{}('')", "''.{}('')", "''.{}()", "{}([])", "[].{}()", "{}()"),
    *("timestamp('2020-01-01T00:00:00Z').{}()", "duration('1s').{}()", "[''].{}('')"),
    *("''.{}('', '')", "''.{}(1)", "{}(true)"),
)
_INT64 = 1 << 63
_UNKNOWN = "Undefined variable or function"


def expression_problem(source: str) -> str:
    """What is wrong with an expression; "" when nothing is."""
    import cel

    try:
        program = cel.compile(source)
    except ValueError as error:
        said = str(error).partition("ERROR: ")[2].splitlines() or [str(error)]
        return f"expected a CEL expression, got {source!r}: {said[0]}"
    bound = set(_BOUND.findall(source))
    if unknown := [name for name in program.variables() if name not in (*VARIABLES, *bound)]:
        return f"expected the variables {', '.join(VARIABLES)}; got {', '.join(unknown)}"
    for name, field in _FIELD.findall(source):
        if field not in _FIELDS[name]:
            return f"expected one of {name}.{f', {name}.'.join(_FIELDS[name])}; got {name}.{field}"
    for name in program.functions():
        if _FUNCTION.fullmatch(name) and not _is_function(name):
            return f"expected a function of CEL, got {name}()"
    return ""


class Expression:
    """A compiled expression. `variables`: the ones it reads; no other need be given."""

    def __init__(self, source: str) -> None:
        import cel

        self._source = source
        self._program = cel.compile(source)
        self.variables = frozenset(self._program.variables()) & frozenset(VARIABLES)

    def holds(self, variables: Mapping[str, Any]) -> bool:
        """Whether it holds for `variables`, of which `args` come as they are. Raises Unread."""
        given = dict(variables)
        if "args" in given:
            if not isinstance(given["args"], Mapping):
                raise Unread(f"expected arguments in an object, got {shown(given['args'])}")
            given["args"] = _representable(given["args"], MAX_DEPTH, [MAX_ARGUMENTS])
        try:
            answer = self._program.execute(given)
        except (KeyError, IndexError) as error:
            said = f"expected the argument {error} for `{self._source}`, got none"
            raise Unread(said, "argument_missing") from None
        except Exception as error:
            said = str(error).split(". ")[0]
            raise Unread(f"expected arguments that fit `{self._source}`: {said}") from None
        if type(answer) is not bool:
            said = f"expected true or false from `{self._source}`, got {shown(answer)}"
            raise Unread(said)
        return answer


def _is_function(name: str) -> bool:
    import cel

    for probe in _PROBES:
        try:
            cel.compile(probe.format(name)).execute({})
        except Exception as error:
            if _UNKNOWN in str(error):
                continue
        return True
    return False


def _representable(value: Any, depth: int, left: list[int]) -> Any:
    """`value` as CEL holds it without loss; left: how many more values there may be. Raises
    Unread."""
    left[0] -= 1
    if left[0] < 0:
        raise Unread(f"expected at most {MAX_ARGUMENTS:,} values, got more")
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int) and -_INT64 <= value < _INT64:
        return value
    if isinstance(value, float) and isfinite(value):
        return value
    if depth and isinstance(value, Mapping):
        return {str(key): _representable(part, depth - 1, left) for key, part in value.items()}
    if depth and isinstance(value, list | tuple):
        return [_representable(part, depth - 1, left) for part in value]
    raise Unread(
        "expected text, numbers of 64 bits, true, false, null, and lists and objects of them no "
        f"deeper than {MAX_DEPTH}, got {shown(value)}"
    )
