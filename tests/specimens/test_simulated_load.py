"""The checkers of load against systems of which we know how they are: bad ones are found, good ones
never flagged.

    python -m specimens.test_simulated_load 100      in tests/: the table, with so many seeds
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache

import msgspec
import pytest

from proofrig.checkers.checker import Setting
from specimens.simulated_load import SPECIMENS
from specimens.simulated_load.judging import judged, judged_alone

SEEDS = range(20)


class Row(msgspec.Struct):
    """What a checker made of one specimen: seeds, those in which it found something and in which it
    found the expected kind, and how often it came to which verdict."""

    name: str
    variant: str
    expected: str | None
    checker: str
    seeds: int
    flagged: int
    as_expected: int
    verdicts: dict[str, int]
    entries: int
    seconds: float


def run_simulated(seeds: Iterable[int], names: Iterable[str] = ()) -> list[Row]:
    """A row for each specimen (of the names given, else of all)."""
    seeds, wanted = list(seeds), set(names)
    return [
        _row(place, seeds) for place, one in enumerate(SPECIMENS) if one[0] in wanted or not wanted
    ]


def _row(place: int, seeds: Sequence[int]) -> Row:
    name, variant, expected, checker, history = SPECIMENS[place]
    flagged = as_expected = size = 0
    verdicts: Counter[str] = Counter()
    spent = 0.0
    for seed in seeds:
        entries = history(seed)
        before = time.perf_counter()
        result = judged(checker, entries)
        spent += time.perf_counter() - before
        size += len(entries)
        verdicts[result.verdict] += 1
        flagged += result.verdict == "invalid"
        as_expected += any(finding.kind == expected for finding in result.findings)
    counts = (len(seeds), flagged, as_expected, dict(verdicts), size, spent)
    return Row(name, variant, expected, checker, *counts)


@cache
def row(place: int) -> Row:
    return _row(place, SEEDS)


IDS = [f"{one[0]}: {one[1]} ({one[3]})" for one in SPECIMENS]


@pytest.mark.parametrize("place", range(len(SPECIMENS)), ids=IDS)
def test_what_is_bad_is_found_and_what_is_good_is_not_flagged(place: int) -> None:
    found = row(place)
    wanted = 0 if found.expected is None else found.seeds
    assert (found.flagged, found.as_expected) == (wanted, wanted), found.verdicts


def test_a_finding_names_entries_of_the_history_in_the_order_of_time() -> None:
    for _, _, expected, checker, history in SPECIMENS:
        if expected is None:
            continue
        entries = history(0)
        known = {entry.id for entry in entries if entry.id} | {""}
        times = {entry.t for entry in entries}
        for finding in judged(checker, entries).findings:
            assert finding.witness, finding.kind
            assert {one.id for one in finding.witness} <= known
            at = [one.t for one in finding.witness]
            assert at == sorted(at)
            assert set(at) <= times


def test_the_same_seed_gives_the_same_verdict() -> None:
    for _, _, _, checker, history in SPECIMENS[::7]:
        assert judged(checker, history(3)) == judged(checker, history(3))


def test_what_was_seen_by_nobody_is_unknown() -> None:
    for name in sorted({one[3] for one in SPECIMENS} - {"launch"}):
        assert judged_alone(name, Setting(), []).verdict == "unknown", name


def main() -> None:
    rows = run_simulated(range(int(sys.argv[1])), sys.argv[2:])
    for one in rows:
        print(
            f"{one.name:9s} {one.variant:34s} {one.checker:20s} {one.expected or '-':24s} "
            f"flagged {one.flagged:3d} as expected {one.as_expected:3d} of {one.seeds} "
            f"{one.verdicts}  {one.seconds * 1e6 / one.entries:.1f} us/entry"
        )


if __name__ == "__main__":
    main()
