"""A suite from a file, a folder or Python: read, validated, resolved.

Rules:
1. `suite.yaml` holds the suite; `cases_from` adds files of cases; `suite.py` builds the same
   objects and exposes them as `suite`.
2. All problems of all files are gathered before `SuiteError` is raised; a broken case does not
   hide what is wrong with the others.
3. What comes out is resolved: all cases are listed, defaults applied, named files are there.
4. Each case from a file knows the line it begins on: reports point there.
"""

from __future__ import annotations

import glob
import json
import os
import runpy
import sys
import traceback
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from proofrig.errors import Problem, SuiteError, UsageError
from proofrig.gateways.tool_settings import McpServerSettings
from proofrig.problems import UNSEEN, Origin, problems_of, shown_path
from proofrig.suites.case import Case
from proofrig.suites.checks import check_cases, check_lanes, check_scenarios, check_suite
from proofrig.suites.fault_checks import check_faults
from proofrig.suites.modules import check_modules
from proofrig.suites.suite import Defaults, Suite
from proofrig.yaml12 import Document, parse

NAMES = ("suite.yaml", "suite.yml", "suite.py")
_YAML = (".yaml", ".yml")
_JSONL = (".jsonl", ".ndjson")


def load_suite(source: str | Path | Suite, *, to_run: bool = False) -> Suite:
    """The suite in a file (`.yaml`, `.py`) or folder, or a suite built in Python, resolved.

    to_run: also look for the modules of its agent and tools, which judging it again does without.
    Raises UsageError when there is no suite, SuiteError with everything that is wrong with it.
    """
    if isinstance(source, Suite):
        return _Loading(source.dir, to_run).from_python(source, "")
    path = find_suite(Path(source))
    if path.suffix == ".py":
        return _Loading(path.parent, to_run).from_python(_run(path), shown_path(path))
    return _Loading(path.parent, to_run).from_yaml(path)


def find_suite(path: Path) -> Path:
    """The suite file that `path` means. Raises UsageError with the names tried."""
    if path.is_dir():
        for name in NAMES:
            if (path / name).is_file():
                return path / name
        raise UsageError(
            f"no suite in {path}: expected {', '.join(NAMES[:-1])} or {NAMES[-1]}; "
            "name the file, or write one with `proofrig init`"
        )
    if not path.is_file():
        raise UsageError(f"there is no file {path}; name a suite file or a folder that holds one")
    if path.suffix not in (*_YAML, ".py"):
        raise UsageError(f"expected a suite in a .yaml or .py file, got {path}")
    return path


class _Loading:
    """One YAML suite on its way in. Cases are validated one by one, so that each problem is found
    whatever else is wrong."""

    def __init__(self, directory: Path, to_run: bool) -> None:
        self._dir = directory.resolve()
        self._to_run = to_run
        self.problems: list[Problem] = []
        self.cases: list[tuple[Case, Origin]] = []

    def from_yaml(self, path: Path) -> Suite:
        document = parse(_bytes(path), shown_path(path))
        origin = Origin(document)
        value = document.value
        if not isinstance(value, dict):
            raise SuiteError([origin.problem(_not_a_suite(value))])
        written = {key: part for key, part in value.items() if key != "cases"}
        suite = self._valid(Suite, written, origin)
        inline = value.get("cases", [])
        if isinstance(inline, list):
            self._add((case, Origin(document, ("cases", n))) for n, case in enumerate(inline))
        else:
            self.problems.append(origin.problem("cases: expected a list of cases", ("cases",)))
        if suite is None:
            self._from_files(value.get("cases_from"), origin)
            self.problems += check_cases(self.cases, self._dir, verified="defaults" in value)
        else:
            self._from_files(list(suite.cases_from), origin)
        return self._finished(suite, origin)

    def from_python(self, suite: Suite, file: str) -> Suite:
        """A suite built in Python, with its case files read. Problems in it have no line."""
        origin = Origin(Document(file, None, line=0))
        for case in suite.cases:
            self.cases.append((case, Origin(origin.document, label=f"case {case.id}")))
        self._from_files(list(suite.cases_from), origin)
        return self._finished(suite, origin)

    def _finished(self, suite: Suite | None, origin: Origin) -> Suite:
        if suite is not None:
            self.problems += _checked(suite, origin, self.cases, self._dir)
            if self._to_run:
                self.problems += check_modules(suite, origin, self._dir)
            if not self.cases and not self.problems:
                self.problems.append(origin.problem(_NO_CASES, ("cases",), key=True))
        if self.problems or suite is None:
            raise SuiteError(_in_order(self.problems))
        return _settled(suite, [case for case, _ in self.cases], self._dir)

    def _valid(self, model: type[BaseModel], value: Any, origin: Origin) -> Any:
        try:
            return model.model_validate(value)
        except ValidationError as error:
            self.problems += problems_of(error, _schema(model), value, origin)
        return None

    def _add(self, found: Iterator[tuple[Any, Origin]]) -> None:
        for value, origin in found:
            if isinstance(value, dict) and isinstance(value.get("id"), str):
                origin.label = f"case {value['id']}"
            case = self._valid(Case, value, origin)
            if case is not None:
                line, _ = origin.document.at(origin.path)
                self.cases.append((case.written(Path(origin.document.file), line), origin))

    def _from_files(self, patterns: Any, origin: Origin) -> None:
        for place, pattern in enumerate(patterns if isinstance(patterns, list) else ()):
            if not isinstance(pattern, str):
                continue
            at = ("cases_from", place)
            try:
                for path in case_files(self._dir, pattern):
                    self._add(_cases_in(path))
            except SuiteError as error:
                self.problems += error.problems
            except UsageError as error:
                self.problems.append(origin.problem(f"cases_from[{place}]: {error}", at))


def case_files(directory: Path, pattern: str) -> list[Path]:
    """The files that one entry of `cases_from` means, in order of name. Raises UsageError."""
    if os.path.isabs(pattern) or ".." in Path(pattern).parts:
        raise UsageError(f"expected files inside the suite's folder, got {pattern!r}")
    names = sorted(glob.glob(pattern, root_dir=directory, recursive=True))
    files = [directory / name for name in names if (directory / name).is_file()]
    if not files:
        raise UsageError(f"no file matches {pattern!r} in {directory}")
    for file in files:
        if file.suffix not in (*_YAML, *_JSONL):
            raise UsageError(f"expected .yaml or .jsonl files, got {file.name}; narrow the pattern")
    return files


def _cases_in(path: Path) -> Iterator[tuple[Any, Origin]]:
    """The unvalidated cases of one file, with their places. Raises SuiteError."""
    if path.suffix in _JSONL:
        yield from _json_lines(path)
        return
    document = parse(_bytes(path), shown_path(path))
    if not isinstance(document.value, list):
        raise SuiteError([Origin(document).problem("expected a list of cases in this file")])
    for place, value in enumerate(document.value):
        yield value, Origin(document, (place,))


def _json_lines(path: Path) -> Iterator[tuple[Any, Origin]]:
    file = shown_path(path)
    problems = []
    for number, line in enumerate(_bytes(path).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line, object_pairs_hook=_unique)
        except json.JSONDecodeError as error:
            problems.append(Problem(f"broken JSON: {error.msg}", file, number, error.colno))
        except (UnicodeDecodeError, ValueError, RecursionError) as error:
            problems.append(Problem(f"broken JSON: {error}", file, number, 1))
        else:
            yield value, Origin(Document(file, value, line=number))
    if problems:
        raise SuiteError(problems)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key `{twice}` is there twice")
    return made


_NO_CASES = "the suite has no cases; list some under `cases` or name files under `cases_from`"


def _in_order(problems: list[Problem]) -> list[Problem]:
    """File by file as they were met, each from top to bottom."""
    files = list(dict.fromkeys(problem.file for problem in problems))
    return sorted(problems, key=lambda p: (files.index(p.file), p.line, p.column))


def _not_a_suite(value: Any) -> str:
    if isinstance(value, list):
        return "expected a suite (a mapping), got a list; name a file of cases under cases_from"
    return "expected a suite: a mapping with the keys suite, agent and cases"


def _checked(
    suite: Suite, origin: Origin, cases: list[tuple[Case, Origin]], directory: Path
) -> Iterator[Problem]:
    yield from check_suite(suite, origin, directory)
    servers = [tool.name for tool in suite.tools if isinstance(tool, McpServerSettings)]
    applied = [(suite.defaults.applied(case), place) for case, place in cases]
    yield from check_cases(applied, directory, tenants=list(suite.tenants), servers=servers)
    whole = suite.model_copy(update={"cases": tuple(case for case, _ in applied)})
    yield from check_scenarios(whole, origin)
    yield from check_lanes(whole, origin)
    yield from check_faults(whole, origin, applied)


def _settled(suite: Suite, cases: list[Case], directory: Path) -> Suite:
    applied = tuple(suite.defaults.applied(case) for case in cases)
    update = {"cases": applied, "cases_from": (), "defaults": Defaults()}
    settled = suite.model_copy(update=update).at(directory)
    return settled.model_copy(update={"constraints": settled.constrained()})


def _run(path: Path) -> Suite:
    """The `suite` of a Python file. What it raises is a problem at the line that raised it."""
    sys.path.insert(0, str(path.parent.resolve()))
    try:
        found = runpy.run_path(str(path)).get("suite")
    except (Exception, SystemExit) as error:
        lines = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
        line = (lines[-1].lineno or 0) if lines else getattr(error, "lineno", 0) or 0
        origin = Origin(Document(shown_path(path), None, line=line))
        if isinstance(error, ValidationError):
            schema = _schema({"Suite": Suite}.get(error.title, Case))
            raise SuiteError(problems_of(error, schema, UNSEEN, origin)) from error
        said = f"{type(error).__name__}: {error}"
        raise SuiteError([origin.problem(said)]) from error
    finally:
        sys.path.remove(str(path.parent.resolve()))
    if not isinstance(found, Suite):
        raise UsageError(
            f"{path}: expected a module-level `suite` of type proofrig.suites.Suite, "
            f"got {type(found).__name__}"
        )
    return found


@cache
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return TypeAdapter(model).json_schema()


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SuiteError(
            [Problem(f"cannot be read: {error.strerror}", shown_path(path))]
        ) from error
