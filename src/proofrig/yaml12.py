"""YAML 1.2 text -> plain values that remember where they stood.

Rules:
1. Plain scalars are read by the YAML 1.2 core schema: `no`, `on`, `1:30` and dates are text,
   `0o17` is an integer, `.5` and `.inf` are numbers, `~`, `null` and nothing are None.
2. A mapping key is the text that stands there, as in JSON (`1:` is "1"); the same key twice in
   one mapping is refused.
3. Anchors and aliases work; merge keys (`<<`), own tags, several documents and keys that are not
   scalars are refused with a message that says what to write instead.
4. Size, depth and what aliases may add up to are limited, so that a small file stays small.
5. Every problem is a `SuiteError` with file, line, column, the source line and a caret.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, NoReturn

import yaml

from proofrig.errors import Problem, SuiteError

MAX_BYTES = 32_000_000
MAX_DEPTH = 64  # levels of nesting
MAX_DIGITS = 4_000  # of an integer; a longer one stays text
MAX_ALIASED = 100_000  # nodes that all aliases together stand for

# libyaml where the wheel has it (all common platforms), else the same events from pure Python.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_NULL = {"", "~", "null", "Null", "NULL"}
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"([-+]?)\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_MAY_BE_TYPED = frozenset("+-.0123456789~nNtTfF")  # how every scalar that is not text begins

_CORE = "tag:yaml.org,2002:"

# What libyaml says, and what to do about it.
_HINTS = (
    ("mapping values are not allowed", 'quote text that holds ": ", as in "a: b"'),
    ("cannot start any token", "indent with spaces, not tabs; quote text that begins with @ ` %"),
    ("unexpected end of stream", "a quote is opened here and never closed"),
    ("expected ',' or", "a bracket or brace is not closed, or a comma is missing"),
    ("expected '-' indicator", "items of one list start in the same column"),
    ("expected key", "keys of one mapping start in the same column"),
    ("could not find expected ':'", "a key needs a colon and a space after it"),
    ("control characters", "write control characters as escapes in double quotes"),
    ("undefined alias", "define it first, as in `&name value`"),
)


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file. `value` is plain data; `at` finds where a part of it stands. `line`: where
    the whole stands, for values whose parts have no places of their own; 0 when they have none."""

    file: str
    value: Any
    line: int = 1
    # id of a container -> key or index -> (mark of the key, mark of the value); id -> own mark.
    _parts: dict[int, dict[Any, tuple[Any, Any]]] = field(default_factory=dict, repr=False)
    _containers: dict[int, Any] = field(default_factory=dict, repr=False)

    def at(self, path: tuple[str | int, ...], *, key: bool = False) -> tuple[int, int]:
        """Line and column, from 1, of the value at `path` (of its key when `key`); the nearest
        enclosing part when the path goes further than the document; 0 when `line` is 0."""
        value, mark = self.value, self._containers.get(id(self.value))
        for place, part in enumerate(path):
            marks = self._parts.get(id(value), {}).get(part)
            if marks is None:
                break
            mark = marks[0] if key and place == len(path) - 1 else marks[1]
            value = value[part]
        if mark is None:
            return self.line, min(self.line, 1)
        return mark.line + 1, mark.column + 1


def parse(text: str | bytes, file: str = "<text>") -> Document:
    """The one document in `text`. Raises SuiteError."""
    if len(text) > MAX_BYTES:
        _refuse(
            Problem(
                f"the file is too large: at most {MAX_BYTES:,} bytes, got {len(text):,}",
                file,
                hint="split it over several files",
            )
        )
    source = _decode(text, file) if isinstance(text, bytes) else text
    reader = _Reader(source.removeprefix("\ufeff"), file)
    try:
        return reader.read()
    except yaml.reader.ReaderError as error:
        _refuse(_unreadable(source, file, error))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = error.problem or "cannot be read"
        if error.context_mark and mark and mark.index >= len(source.rstrip()):
            mark = error.context_mark  # where it was opened says more than where the file ends
        form = "JSON" if file.endswith(".json") else "YAML"
        reader.refuse(mark, f"broken {form}: {said}", _hint(said))


class _Reader:
    """Builds values from libyaml's events. Recursion is ours, and bounded by MAX_DEPTH."""

    def __init__(self, source: str, file: str) -> None:
        self._source = source
        self._events = _Loader(source)
        self._doc = Document(file, None)
        self._anchors: dict[str, tuple[Any, int] | None] = {}  # None: still open
        self._nodes = 0
        self._aliased = 0

    def read(self) -> Document:
        next_event = self._events.get_event
        next_event()  # stream start
        event = next_event()
        if isinstance(event, yaml.StreamEndEvent):
            return self._doc
        value = self._node(next_event(), 0)
        next_event()  # document end
        event = next_event()
        if isinstance(event, yaml.DocumentStartEvent):
            self.refuse(
                event.start_mark,
                "a second document starts here; expected one document in a file",
                "put it into a file of its own",
            )
        doc = self._doc
        return Document(doc.file, value, 1, doc._parts, doc._containers)

    def refuse(self, mark: Any, message: str, hint: str = "") -> NoReturn:
        """Raise with the source line and a caret under `mark`."""
        file = self._doc.file
        if mark is None:
            _refuse(Problem(message, file, hint=hint))
        lines = self._source.splitlines()
        line = lines[mark.line] if mark.line < len(lines) else ""
        _refuse(_pointed(Problem(message, file, mark.line + 1, mark.column + 1, hint), line))

    def _node(self, event: Any, depth: int) -> Any:
        self._nodes += 1
        kind = type(event)
        if kind is yaml.ScalarEvent:
            value = self._scalar(event)
            if event.anchor is not None:
                self._anchors[event.anchor] = (value, 1)
            return value
        if kind is yaml.AliasEvent:
            return self._alias(event)
        if depth >= MAX_DEPTH:
            self.refuse(event.start_mark, f"nested deeper than {MAX_DEPTH} levels")
        anchor, before = event.anchor, self._nodes + self._aliased
        if anchor is not None:
            self._anchors[anchor] = None
        is_mapping = kind is yaml.MappingStartEvent
        core = "map" if is_mapping else "seq"
        if event.tag not in (None, "!", _CORE + core):
            self._bad_tag(event)
        made = self._mapping(event, depth) if is_mapping else self._sequence(event, depth)
        if anchor is not None:
            self._anchors[anchor] = (made, self._nodes + self._aliased - before + 1)
        return made

    def _sequence(self, start: Any, depth: int) -> list[Any]:
        made: list[Any] = []
        marks: dict[Any, tuple[Any, Any]] = {}
        self._doc._containers[id(made)] = start.start_mark
        self._doc._parts[id(made)] = marks
        next_event = self._events.get_event
        while type(event := next_event()) is not yaml.SequenceEndEvent:
            marks[len(made)] = (event.start_mark, event.start_mark)
            made.append(self._node(event, depth + 1))
        return made

    def _mapping(self, start: Any, depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        marks: dict[Any, tuple[Any, Any]] = {}
        self._doc._containers[id(made)] = start.start_mark
        self._doc._parts[id(made)] = marks
        next_event = self._events.get_event
        while type(event := next_event()) is not yaml.MappingEndEvent:
            key, key_mark = self._key(event), event.start_mark
            if key in made:
                first = marks[key][0].line + 1
                self.refuse(
                    key_mark,
                    f"the key `{key}` is here a second time; it is already on line {first}",
                    "keep one of them",
                )
            event = next_event()
            marks[key] = (key_mark, event.start_mark)
            made[key] = self._node(event, depth + 1)
        return made

    def _key(self, event: Any) -> str:
        if type(event) is yaml.AliasEvent:
            value = self._alias(event)
            if isinstance(value, str):
                return value
        elif type(event) is yaml.ScalarEvent:
            self._nodes += 1
            key: str = event.value
            if key == "<<" and event.implicit[0]:
                self.refuse(
                    event.start_mark,
                    "merge keys (<<) are not part of YAML 1.2",
                    "write the keys out; an alias stands for a whole value: `key: *name`",
                )
            if event.anchor is not None:
                self._anchors[event.anchor] = (key, 1)
            return key
        self.refuse(event.start_mark, "expected a scalar as key, got a list or a mapping")

    def _alias(self, event: Any) -> Any:
        if event.anchor not in self._anchors:
            said = f"undefined alias `*{event.anchor}`"
            self.refuse(event.start_mark, said, _hint(said))
        known = self._anchors[event.anchor]
        if known is None:
            self.refuse(event.start_mark, f"the alias `*{event.anchor}` contains itself")
        value, nodes = known
        self._aliased += nodes
        if self._aliased > MAX_ALIASED:
            self.refuse(
                event.start_mark,
                f"the aliases up to here stand for more than {MAX_ALIASED:,} nodes",
            )
        return value

    def _scalar(self, event: Any) -> Any:
        text: str = event.value
        tag = event.tag
        if tag is None:
            if event.implicit[0] and (not text or text[0] in _MAY_BE_TYPED):
                return plain(text)
            return text
        if tag in ("!", _CORE + "str"):
            return text
        value = plain(text)
        fits = {"null": type(None), "bool": bool, "int": int, "float": float}
        wanted = fits.get(tag.removeprefix(_CORE)) if tag.startswith(_CORE) else None
        if wanted is float and type(value) is int:
            return float(value)
        if wanted is None or type(value) is not wanted:
            self._bad_tag(event)
        return value

    def _bad_tag(self, event: Any) -> NoReturn:
        tag = event.tag.replace(_CORE, "!!")
        self.refuse(event.start_mark, f"the tag `{tag}` does not fit here", "leave the tag out")


def plain(text: str) -> Any:
    """The value of a plain scalar by the YAML 1.2 core schema."""
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INT.fullmatch(text):
        if len(text) > MAX_DIGITS:
            return text
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if special := _SPECIAL.fullmatch(text):
        return float(special[1] + "inf") if special[2] else float("nan")
    return text


def _decode(data: bytes, file: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
        said = f"not UTF-8: byte 0x{data[error.start]:02x}"
        _refuse(Problem(said, file, line, column, "save the file as UTF-8"))


def _unreadable(source: str, file: str, error: yaml.reader.ReaderError) -> Problem:
    """libyaml counts from the start of the text; people count lines."""
    character = error.character if isinstance(error.character, int) else ord(error.character)
    offset = source.find(chr(character))
    before = source[: max(offset, 0)]
    line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
    reason = str(error.reason)
    return Problem(f"broken YAML: {reason} (U+{character:04X})", file, line, column, _hint(reason))


def _hint(said: str) -> str:
    return next((hint for words, hint in _HINTS if words in said), "")


def _pointed(problem: Problem, line: str) -> Problem:
    """`problem` with its source line and a caret in front of the hint; long lines are cut."""
    start = max(0, problem.column - 60)
    shown = line[start : start + 100].replace("\t", " ")
    caret = " " * (problem.column - 1 - start) + "^"
    text = f"{shown}\n    {caret}" + (f"\n    {problem.hint}" if problem.hint else "")
    return Problem(problem.message, problem.file, problem.line, problem.column, text)


def _refuse(problem: Problem) -> NoReturn:
    raise SuiteError([problem])
