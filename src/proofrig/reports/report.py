"""What every report is made from, and the one door to all of them.

    run's directory + what the run came to  ->  RunReport  ->  a file, by its suffix, or a terminal

Rules:
1. A report reads; it never judges. Every number in it comes from the summary or the history.
2. The suffix of the path chooses the form.
3. A report is written whole or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

import msgspec

from proofrig.comparisons.comparison import Comparison
from proofrig.comparisons.gate import GateResult
from proofrig.errors import InfraError, UsageError
from proofrig.history.action import Entry
from proofrig.history.history import History
from proofrig.reports.scenes import Scene, ScenesFold
from proofrig.resources import ResourcesFold, Used
from proofrig.results import CaseFacts, Row, RowsFold, Summary

MANIFEST = "manifest.json"
MEMBERS = {
    ".html": "html",
    ".json": "machine",
    ".xml": "junit",
    ".md": "markdown",
    ".sarif": "sarif",
    ".annotations": "annotations",
}


class Concluded(Protocol):
    """What a run came to, as the evaluation says it."""

    @property
    def run(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def exit_code(self) -> int: ...
    @property
    def summary(self) -> Summary: ...
    @property
    def gates(self) -> list[GateResult]: ...
    @property
    def comparison(self) -> Comparison | None: ...
    @property
    def cuts(self) -> list[str]: ...
    @property
    def problems(self) -> list[str]: ...
    @property
    def notes(self) -> list[str]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """A run, ready to be shown.

    rows: one per trial, baselines included. manifest: `manifest.json` as it is. trend: the points
    of `Store.trend(suite)`, oldest first. facts: tags and difficulty per case id, where known.
    duration_ns: from the run's start to its last entry, pauses before a resume included; judging it
    again takes no part in it. scenes: when each scenario was. comparison: with the baseline that
    the run was held against; None without one. used: what each attempt used, by its id. cuts: what
    of its plan was not run, which stands among the problems too; notes: what else people should
    know, such as where it was settled.
    """

    run: str
    run_dir: Path
    status: str
    exit_code: int
    summary: Summary
    rows: list[Row]
    gates: list[GateResult] = field(default_factory=list)
    manifest: dict[str, Any] = field(default_factory=dict)
    cuts: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    trend: list[dict[str, Any]] = field(default_factory=list)
    facts: dict[str, CaseFacts] = field(default_factory=dict)
    duration_ns: int = 0
    scenes: list[Scene] = field(default_factory=list)
    comparison: Comparison | None = None
    used: dict[str, Used] = field(default_factory=dict)

    @property
    def troubles(self) -> list[str]:
        """The problems, but for what was cut."""
        return [problem for problem in self.problems if problem not in self.cuts]

    @property
    def suite(self) -> str:
        """The suite's name."""
        return str(self.manifest.get("suite", ""))


def gather_report(
    run_dir: Path,
    concluded: Concluded,
    *,
    trend: Sequence[dict[str, Any]] = (),
    facts: Iterable[CaseFacts] = (),
) -> RunReport:
    """Gather a run from its directory: one pass over its history. Raises InfraError when its
    manifest cannot be read."""
    fold, clock, scenes, used = RowsFold(), _LastTime(), ScenesFold(), ResourcesFold()
    History(run_dir).fold(fold, clock, scenes, used)
    return RunReport(
        run=concluded.run,
        run_dir=run_dir,
        status=concluded.status,
        exit_code=concluded.exit_code,
        summary=concluded.summary,
        rows=fold.result(),
        gates=list(concluded.gates),
        manifest=_manifest(run_dir),
        cuts=list(concluded.cuts),
        problems=list(concluded.problems),
        notes=list(concluded.notes),
        trend=list(trend),
        facts={fact.id: fact for fact in facts},
        duration_ns=clock.result(),
        scenes=scenes.result(),
        comparison=concluded.comparison,
        used=used.result(),
    )


def write_report(report: RunReport, path: Path) -> None:
    """Write the report in the form that the path's suffix names. Raises UsageError for a suffix
    that is not known, InfraError when the file cannot be written."""
    write_file(renderer(path)(report), path)


def write_file(data: bytes, path: Path, what: str = "report") -> None:
    """Write a file, whole or not at all. Raises InfraError, which calls it `what`."""
    fresh = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_bytes(data)
        fresh.replace(path)
    except OSError as error:
        raise InfraError(
            f"cannot write the {what} to {path}: {error.strerror or error}. "
            "Give a writable path; the run itself is safe."
        ) from error


def renderer(path: Path) -> Callable[[RunReport], bytes]:
    """What renders the form that the path's suffix names; nothing else is imported. Raises
    UsageError, so that a wrong suffix can be refused before the run begins."""
    member = MEMBERS.get(path.suffix.lower())
    if member is None:
        raise UsageError(
            f"expected a report path that ends in {' '.join(MEMBERS)}, "
            f"got {path.name!r}: rename it to one of these"
        )
    module = import_module(f"proofrig.reports.{member}")
    return cast("Callable[[RunReport], bytes]", module.render)


class _LastTime:
    """The time of the last entry of the run itself."""

    def __init__(self) -> None:
        self._last = 0

    def step(self, entry: Entry) -> None:
        if entry.kind != "note" or entry.name not in ("segment", "rescored"):
            self._last = max(self._last, entry.t)

    def result(self) -> int:
        return self._last


def _manifest(run_dir: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = msgspec.json.decode(
            (run_dir / MANIFEST).read_bytes(), type=dict[str, Any]
        )
        return found
    except (OSError, msgspec.DecodeError) as error:
        raise InfraError(
            f"cannot read {run_dir / MANIFEST}: {error}. Expected the directory of a run, "
            "as `proofrig list` shows it."
        ) from error
