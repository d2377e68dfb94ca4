"""How well the checkers tell good systems from bad: all specimens, over and over.

    python -m specimens.power [--seeds 100] [--runs 10] [--write]        in tests/

Exit code 1 when a goal is missed: of the bad ones, 99 % of simulated runs and all real runs are
flagged with the right class and a true witness; of the good ones, none is flagged.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from proofrig.checkers.checker import Checked
from proofrig.checkers.judge import Judge
from proofrig.stats.intervals import wilson
from specimens import real, simulated, simulated_load
from specimens.real.judging import run_and_judge
from specimens.witnesses import Story, proves

TABLE = Path(__file__).parents[2] / "docs" / "detection-power.md"
MODULES = {"data and locks": simulated, "load": simulated_load}
GOAL = 0.99  # of simulated runs
# Trouble of another class that a specimen really has, the good ones of its own class included:
# jitter spreads retries and still sends them all; who is refused fails, or takes long.
RIGHTLY = {
    "herds": {"retry_amplification"},
    "tenants": {"retry_amplification", "burst"},
    "pools": {"burst"},
}


class Row(msgspec.Struct):
    """A specimen after `runs` runs. flagged: its checker found something; right: of the expected
    kind; true: with a witness that proves it. valid: its checker was sure that all was well.
    others: checkers that found something invalid beside it. missing: further runs in which the
    trouble, as the world shows it, was not there, or was in a good one."""

    real: bool
    name: str
    variant: str
    expected: str | None
    checker: str
    runs: int = 0
    flagged: int = 0
    right: int = 0
    true: int = 0
    valid: int = 0
    missing: int = 0
    others: dict[str, int] = {}

    def add(self, checked: Checked, others: Iterable[str], *, true: bool) -> None:
        """Count one run."""
        right = any(one.kind == self.expected for one in checked.findings)
        self.runs += 1
        self.flagged += bool(checked.found)
        self.right += right
        self.true += right and true
        self.valid += checked.verdict == "valid"
        self.others = dict(Counter(self.others) + Counter(others))

    @property
    def wrong_others(self) -> dict[str, int]:
        """Other checkers that flagged a good specimen without cause."""
        if self.expected is not None:
            return {}
        rightly = set() if self.real else RIGHTLY.get(self.name, set())
        return {name: count for name, count in self.others.items() if name not in rightly}

    @property
    def met(self) -> bool:
        """Whether this specimen's goal is."""
        if self.missing >= max(self.runs, 1):
            return False
        if self.expected is None:
            return not self.flagged and not self.wrong_others
        least = self.runs if self.real else GOAL * self.runs
        return min(self.flagged, self.right, self.true) >= least


def simulated_row(seeds: Sequence[int], which: tuple[str, int]) -> Row:
    """One simulated specimen over all seeds."""
    family, place = which
    name, variant, expected, checker, history = MODULES[family].SPECIMENS[place]
    row = Row(False, name, variant, expected, checker)
    for seed in seeds:
        entries = history(seed)
        judge = Judge(lambda digest: None)
        for entry in entries:
            judge.step(entry)
        checked = {one.checker: one for one in judge.result()[-1].checked}
        mine = checked[checker]
        found = [one for one in mine.findings if one.kind == expected]
        if hasattr(entries, "guilty"):
            true = all(entries.guilty & {part.id for part in one.witness} for one in found)
        else:
            true = not found or all(map(partial(proves, story=Story(entries)), found))
        others = [
            each for each, one in checked.items() if one.verdict == "invalid" and each != checker
        ]
        row.add(mine, others, true=true)
    return row


def real_row(specimen: real.Specimen, runs: int) -> Row:
    """One real specimen, run after run. A run that was not as built, for the machine was too busy,
    says nothing of the checkers: it is counted and repeated, up to as often as there are runs."""
    row = Row(True, specimen.name, specimen.variant, specimen.expected, specimen.checker)
    for seed in range(2 * runs):
        with tempfile.TemporaryDirectory(prefix="specimen-") as folder:
            result = run_and_judge(specimen, Path(folder), seed)
        if result.happened != (specimen.expected is not None):
            row.missing += 1
            continue
        row.add(result.checked, result.others, true=result.true)
        if row.runs == runs:
            break
    return row


def measure(seeds: int, runs: int, say: Any = print) -> list[Row]:
    """All rows: simulated ones two at a time, real ones alone, for they need the processors."""
    every = [(name, n) for name, each in MODULES.items() for n in range(len(each.SPECIMENS))]
    rows = []
    with ProcessPoolExecutor(2) as pool:
        work = partial(simulated_row, range(seeds))
        for row in pool.map(work, every if seeds else []):
            rows.append(row)
            say(line(row))
    for specimen in real.SPECIMENS if runs else []:
        rows.append(real_row(specimen, runs))
        say(line(rows[-1]))
    return rows


def line(row: Row) -> str:
    """A row for the terminal."""
    mark = "  " if row.met else "!!"
    kind = "real" if row.real else "simulated"
    counts = f"flagged {row.flagged}/{row.runs}"
    if row.expected is not None:
        counts += f" class {row.right}/{row.runs} witness {row.true}/{row.runs}"
    else:
        counts += f" sure {row.valid}/{row.runs}"
    others = " ".join(f"{name} {count}" for name, count in sorted(row.others.items()))
    missing = f" not as built {row.missing}" if row.missing else ""
    return f"{mark} {kind:9s} {row.name:20s} {row.variant:50s} {counts}{missing}  {others}"


# The page


def page(rows: Sequence[Row], seeds: int, runs: int) -> str:
    """docs/detection-power.md."""
    parts = [
        HEAD.format(seeds=seeds, runs=runs, missing=sum(row.missing for row in rows)),
        *_summary(rows),
        READING,
    ]
    for title, wanted in (("Real specimens", True), ("Simulated specimens", False)):
        parts += [f"\n## {title}\n", COLUMNS]
        parts += [_columns(row) for row in rows if row.real is wanted]
    return "\n".join(parts) + "\n"


HEAD = """# Detection power

How often the checkers find what is wrong, and how often they accuse what is right. Generated by
`make power` (`python -m specimens.power --write` in `tests/`); the specimens are in
[`tests/specimens/`](../tests/specimens).

A specimen is a system of which it is known how it is: bad, with one trouble built in, or correct.
Real ones run on real libraries, servers, files and processes, {runs} times each; a run in which the
trouble did not come to be, as the specimen itself saw, is repeated ({missing} were). Simulated ones
run in virtual time, with {seeds} seeds each. All checkers judge every run.
"""

READING = """
- **Flagged**: the checker of the specimen's class found something. **Class**: of the right kind.
  **Witness**: every finding of that kind names what really went wrong: by the specimen's own record
  of what happened (real ones; data and locks), or by a second reading of the entries that shares no
  code with the checkers (load).
- **Sure**: a correct specimen was called `valid`. The others were `unknown`, because nothing
  happened that could have gone wrong, or too little of it.
- **Others**: other checkers that found something `invalid`. On a bad specimen that is another side
  of the same trouble, such as retries that are both too many and all at once. On a correct one it
  would be a false alarm, except where the specimen really has that other trouble: spread-out
  retries still multiply the load, and who is refused fails or takes long (`RIGHTLY` in
  [`power.py`](../tests/specimens/power.py)).
- **95 %**: the Wilson bound: of a bad specimen the least rate of detection, of a correct one the
  highest rate of false alarms, that fits what was seen.
"""

COLUMNS = """| class | specimen | | flagged | class | witness | sure | others | 95 % |
|---|---|---|---|---|---|---|---|---|"""


def _columns(row: Row) -> str:
    others = ", ".join(f"{name} {count}" for name, count in sorted(row.others.items()))
    of = f"/{row.runs}"
    variant = row.variant.replace("|", "\\|")
    if row.expected is None:
        bound = f"<= {wilson(row.flagged, row.runs).high:.1%}"
        middle = f"correct | {row.flagged}{of} | | | {row.valid}{of}"
    else:
        bound = f">= {wilson(min(row.right, row.true), row.runs).low:.1%}"
        middle = f"bad | {row.flagged}{of} | {row.right}{of} | {row.true}{of} | "
    return f"| {row.name.replace('_', ' ')} | {variant} | {middle} | {others} | {bound} |"


def _summary(rows: Sequence[Row]) -> list[str]:
    """All specimens of a kind together."""
    lines = [
        "| | specimens | runs | flagged, right class, true witness | 95 % |",
        "|---|---|---|---|---|",
    ]
    for title, is_real in (("real", True), ("simulated", False)):
        bad = [row for row in rows if row.real is is_real and row.expected is not None]
        good = [row for row in rows if row.real is is_real and row.expected is None]
        for what, some in (("bad", bad), ("correct", good)):
            n = sum(row.runs for row in some)
            if not n:
                continue
            if what == "bad":
                hits = sum(min(row.flagged, row.right, row.true) for row in some)
                said, bound = f"{hits} ({hits / n:.1%})", f">= {wilson(hits, n).low:.2%}"
            else:
                hits = sum(row.flagged for row in some)
                said, bound = f"{hits} flagged", f"<= {wilson(hits, n).high:.2%}"
            lines.append(f"| {title}, {what} | {len(some)} | {n:,} | {said} | {bound} |")
    return lines


def main() -> int:
    """Measure, print, say whether the goals are met."""
    asked = argparse.ArgumentParser(prog="specimens.power", description=__doc__)
    asked.add_argument("--seeds", type=int, default=100, help="of simulated specimens")
    asked.add_argument("--runs", type=int, default=10, help="of real ones")
    asked.add_argument("--write", action="store_true", help=f"write {TABLE.name}")
    args = asked.parse_args()
    rows = measure(args.seeds, args.runs, partial(print, flush=True))
    print("\n".join(["", *_summary(rows)]))
    if args.write:
        TABLE.write_text(page(rows, args.seeds, args.runs))
    missed = [row for row in rows if not row.met]
    if missed:
        print(f"\n{len(missed)} goals missed:", *map(line, missed), sep="\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
