"""Runs a real specimen and judges its history with all checkers."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from proofrig.checkers.checker import Checked
from proofrig.checkers.judge import Judge
from proofrig.history.history import History
from proofrig.history.payloads import PayloadReader
from specimens.real.lab import Specimen


class Result(msgspec.Struct):
    """What became of one run of a specimen. happened: the trouble was there. flagged: its checker
    found something. as_expected: of the expected kind. true: each of these findings has a witness
    that tells what happened. others: checkers that found something invalid beside its own."""

    happened: bool
    flagged: bool
    as_expected: bool
    true: bool
    verdict: str
    others: list[str]
    checked: Checked
    seconds: float
    problems: list[str]


def judged(run_dir: Path) -> tuple[dict[str, Checked], list[str]]:
    """What all checkers come to, by name, and what of the history could not be read."""
    judge, history = Judge(PayloadReader(run_dir).get), History(run_dir)
    history.fold(judge)
    return {one.checker: one for one in judge.result()[-1].checked}, history.problems


def run_and_judge(specimen: Specimen, folder: Path, seed: int) -> Result:
    """Run it once in a folder of its own."""
    folder.mkdir(exist_ok=True)
    before = time.perf_counter()
    ran = specimen.run(folder, seed)
    took = time.perf_counter() - before
    checked, problems = judged(ran.run_dir)
    mine = checked[specimen.checker]
    right = [one for one in mine.findings if one.kind == specimen.expected]
    return Result(
        happened=ran.happened,
        flagged=bool(mine.found),
        as_expected=bool(right),
        true=bool(right) and all(ran.true(one) for one in right),
        verdict=mine.verdict,
        others=[
            name
            for name, one in checked.items()
            if one.verdict == "invalid" and name != specimen.checker
        ],
        checked=mine,
        seconds=took,
        problems=problems,
    )
