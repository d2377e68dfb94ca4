"""The texts of a script with `{{ expressions }}` in them, compiled once.

Rules:
1. A text that is one `{{ expression }}` and nothing else gives the expression's own value.
2. An expression may read only names that are known when the script is loaded, so that a misspelt
   name is found before anything runs.
3. A value that is absent at run time raises `Missing`; in a condition it means "does not hold".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import StrictUndefined, TemplateSyntaxError, UndefinedError, meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from proofrig.errors import UsageError

Value = Callable[[Mapping[str, Any]], Any]
_ONE_EXPRESSION = re.compile(r"\s*\{\{((?:(?!\}\}).)*)\}\}\s*", re.DOTALL)
_ENVIRONMENT = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)


class Missing(UsageError):
    """A text needs something that this conversation does not have."""


def compile_condition(source: str, known: frozenset[str]) -> Callable[[Mapping[str, Any]], bool]:
    """A condition as a function of the names at hand. Raises `UsageError`."""
    expression = _expression(source, known)

    def holds(names: Mapping[str, Any]) -> bool:
        try:
            return bool(expression(names))
        except Missing:
            return False

    return holds


def compile_value(source: Any, known: frozenset[str]) -> Value:
    """A value with texts anywhere in it, as a function of the names at hand. Raises `UsageError`
    here for what cannot be compiled; the function raises `Missing`."""
    if isinstance(source, dict):
        fields = {key: compile_value(value, known) for key, value in source.items()}
        return lambda names: {key: value(names) for key, value in fields.items()}
    if isinstance(source, list):
        items = [compile_value(item, known) for item in source]
        return lambda names: [item(names) for item in items]
    if not isinstance(source, str) or "{" not in source:
        return lambda names: source
    whole = _ONE_EXPRESSION.fullmatch(source)
    return _expression(whole[1], known) if whole else _text(source, known)


def _expression(source: str, known: frozenset[str]) -> Value:
    _check("{{ " + source + " }}", source, known)
    compiled = _ENVIRONMENT.compile_expression(source, undefined_to_none=False)

    def value(names: Mapping[str, Any]) -> Any:
        try:
            found = compiled(names)
            if isinstance(found, StrictUndefined):
                str(found)  # raises the error that says what is missing
            return found
        except (UndefinedError, TypeError) as error:
            raise _missing(source, error) from None

    return value


def _text(source: str, known: frozenset[str]) -> Value:
    _check(source, source, known)
    template = _ENVIRONMENT.from_string(source)

    def value(names: Mapping[str, Any]) -> str:
        try:
            return template.render(names)
        except (UndefinedError, TypeError) as error:
            raise _missing(source, error) from None

    return value


def _check(template: str, source: str, known: frozenset[str]) -> None:
    try:
        read = meta.find_undeclared_variables(_ENVIRONMENT.parse(template))
    except TemplateSyntaxError as error:
        raise UsageError(f"expected a text or expression, got {source!r}: {error}") from None
    unknown = sorted(read - known - _ENVIRONMENT.globals.keys())
    if unknown:
        raise UsageError(
            f"expected only known names in {source!r}, got {', '.join(unknown)}; "
            f"known are {', '.join(sorted(known))}"
        )


def _missing(source: str, error: Exception) -> Missing:
    return Missing(f"{source.strip()!r} reads what this conversation does not have: {error}")
