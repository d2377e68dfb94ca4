"""A script read from YAML, every problem with its file, line and column.

Rules:
1. YAML 1.2 scalars: only `true` and `false` are booleans; `yes`, `on` and `1:30` are text; `012`
   is twelve.
2. A key given twice is refused, as is one that is not known.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from proofrig.errors import Problem, SuiteError, UsageError
from proofrig.providers.script import Script, ScriptText

_SCALARS = {
    "tag:yaml.org,2002:bool": (re.compile(r"true|True|TRUE|false|False|FALSE"), "tTfF"),
    "tag:yaml.org,2002:int": (re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"), "-+0123456789"),
    "tag:yaml.org,2002:float": (
        re.compile(r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?"),
        "-+.0123456789",
    ),
    "tag:yaml.org,2002:null": (re.compile(r"~|null|Null|NULL|"), ["~", "n", "N", ""]),
}
_LOADERS: tuple[Any, ...] = (getattr(yaml, "CSafeLoader", yaml.SafeLoader),)


class _Loader(*_LOADERS):  # type: ignore[misc]
    """The C loader with YAML 1.2's scalars."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012


for _tag, (_pattern, _first) in _SCALARS.items():
    _Loader.add_implicit_resolver(_tag, re.compile(f"^(?:{_pattern.pattern})$"), list(_first))


def _integer(_: Any, node: Any) -> int:
    text = str(node.value)
    return int(text, 0 if text[:2] in ("0o", "0x") else 10)


_Loader.add_constructor("tag:yaml.org,2002:int", _integer)


def load_script(path: Path) -> Script:
    """The script in a file. Raises `SuiteError` with all that is wrong with it."""
    name = str(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SuiteError([Problem(f"expected a script in UTF-8, got {error}", name)]) from None
    return parse_script(text, name)


def parse_script(text: str, name: str = "script") -> Script:
    """The script in a text. Raises `SuiteError`."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        repeated = list(_repeated(node, name))
        if repeated:
            raise SuiteError(repeated)
        value = loader.construct_document(node) if node is not None else None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        raise SuiteError([Problem(f"expected YAML, got {error.problem}", name, *where)]) from None
    finally:
        loader.dispose()
    try:
        return Script(ScriptText.model_validate(value))
    except ValidationError as error:
        problems = [_problem(one, node, name) for one in error.errors()]
        raise SuiteError(sorted(problems, key=lambda one: (one.line, one.column))) from None
    except UsageError as error:
        raise SuiteError([Problem(str(error), name)]) from None


def _repeated(node: Any, name: str) -> Any:
    """A problem for every key that its map has twice."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _repeated(item, name)
    elif isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if str(key.value) in seen:
                mark = key.start_mark
                message = f"expected each key once, got {key.value!r} again"
                yield Problem(message, name, mark.line + 1, mark.column + 1)
            seen.add(str(key.value))
            yield from _repeated(value, name)


def _problem(error: Any, node: Any, name: str) -> Problem:
    """One of pydantic's errors, at the deepest place of the text that it names."""
    trail: list[str] = []
    for step in error["loc"]:
        inner = _inside(node, step)
        if inner is None:
            continue  # a step into one form of a union, not into the text
        trail.append(str(step))
        node = inner
    mark = getattr(node, "start_mark", None)
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        message = f"expected only known keys, got {error['loc'][-1]!r}"
    at = ".".join(trail)
    place = (mark.line + 1, mark.column + 1) if mark else (0, 0)
    return Problem(f"{at}: {message}" if at else message, name, *place)


def _inside(node: Any, step: Any) -> Any:
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int):
        return node.value[step] if step < len(node.value) else None
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == str(step)), None)
    return None
