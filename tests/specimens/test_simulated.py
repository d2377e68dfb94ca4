"""The checkers of data and locks against systems of which we know how they are: bad ones are found,
with a witness that really is guilty, good ones never flagged, by no checker.

    python -m specimens.test_simulated 100      in tests/: the table, with so many seeds
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec
import pytest

from proofrig.checkers.checker import Checked
from proofrig.checkers.judge import Judge
from proofrig.history.action import Entry
from specimens.simulated import SPECIMENS

SEEDS = range(20)
# What another checker may rightly say of a bad specimen beside its own.
RELATED = {
    "lost_update": {"stale_holder"},
    "lost_write": {"stale_read"},
    "dirty_read": {"stale_read"},
    "stale_read": {"lost_write"},
    "key_collision": {"lost_update"},
    "stale_holder": {"lost_update"},
}


class Row(msgspec.Struct):
    """What became of one specimen: seeds, those in which its checker found something, in which it
    found the expected kind with a guilty witness in each finding, and what other checkers found."""

    name: str
    variant: str
    expected: str | None
    checker: str
    seeds: int
    flagged: int
    as_expected: int
    verdicts: dict[str, int]
    others: dict[str, int]
    entries: int


def judged(entries: Iterable[Entry]) -> dict[str, Checked]:
    """What all checkers come to, by name."""
    judge = Judge(lambda digest: None)
    for entry in entries:
        judge.step(entry)
    return {one.checker: one for one in judge.result()[-1].checked}


def run_simulated(seeds: Iterable[int], names: Iterable[str] = ()) -> list[Row]:
    """A row for each specimen (of the names given, else of all)."""
    seeds, wanted = list(seeds), set(names)
    return [
        _row(place, seeds) for place, one in enumerate(SPECIMENS) if one[0] in wanted or not wanted
    ]


def _row(place: int, seeds: Sequence[int]) -> Row:
    name, variant, expected, checker, history = SPECIMENS[place]
    row = Row(name, variant, expected, checker, len(seeds), 0, 0, {}, {}, 0)
    verdicts: Counter[str] = Counter()
    others: Counter[str] = Counter()
    for seed in seeds:
        told = history(seed)
        results = judged(told)
        mine = results[checker]
        row.entries += len(told)
        verdicts[mine.verdict] += 1
        row.flagged += bool(mine.found)
        row.as_expected += bool(mine.findings) and all(
            one.kind == expected and told.guilty & {part.id for part in one.witness}
            for one in mine.findings
        )
        others.update(
            one.checker
            for one in results.values()
            if one.verdict == "invalid" and one.checker != checker
        )
    row.verdicts, row.others = dict(verdicts), dict(others)
    return row


IDS = [f"{one[0]}: {one[1]}" for one in SPECIMENS]


@pytest.mark.parametrize("place", range(len(SPECIMENS)), ids=IDS)
def test_what_is_bad_is_found_and_what_is_good_is_not_flagged(place: int) -> None:
    row = _row(place, SEEDS)
    wanted = 0 if row.expected is None else row.seeds
    assert (row.flagged, row.as_expected) == (wanted, wanted), row.verdicts
    assert set(row.others) <= (RELATED.get(row.name, set()) if row.expected else set())


@pytest.mark.parametrize("place", range(len(SPECIMENS)), ids=IDS)
def test_a_witness_is_made_of_entries_in_the_order_of_time(place: int) -> None:
    told = SPECIMENS[place][4](0)
    known = {entry.id for entry in told} | {""}
    for one in judged(told).values():
        for finding in one.findings:
            assert {part.id for part in finding.witness} <= known
            times = [part.t for part in finding.witness]
            assert times == sorted(times) and len(times) > 1


def main() -> None:
    for one in run_simulated(range(int(sys.argv[1])), sys.argv[2:]):
        print(
            f"{one.name:15s} {one.variant:36s} {one.expected or '-':18s} flagged {one.flagged:3d} "
            f"true {one.as_expected:3d} of {one.seeds} {one.verdicts} {one.others or ''}"
        )


if __name__ == "__main__":
    main()
