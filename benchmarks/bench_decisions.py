"""How often the rule for pass rates raises a false alarm, and how often it sees a drop.

Simulates runs of a suite (`decision_rules.py`) and asks the rule that ships and three others.
Prints the page; `--write` puts it into docs/decisions-power.md; `--check` ends with 1 where a
false-alarm cell exceeds 5 %, or power is below the stratified test's, by more than Monte Carlo
error. The default is a quick look, of about half a minute on two cores; the page's own command
says how many replicates it has, and a thousand take about 15 minutes.

    python benchmarks/bench_decisions.py [--replicates N] [--seed S] [--write] [--check]
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
import time
from collections.abc import Callable
from multiprocessing import Pool
from pathlib import Path

from decision_rules import (
    ALPHA,
    BEST,
    CACHED,
    CASES,
    CHUNK,
    DROPS,
    FAIL,
    FLIP,
    LEVEL,
    MODES,
    NAIVE,
    OURS,
    PASS,
    RATES,
    REPEATS,
    TRIALS,
    Cell,
    cells,
    simulate,
)

PAGE = Path(__file__).parents[1] / "docs" / "decisions-power.md"
NULLS = 5  # times as many replicates where nothing changed
SURE = 4.0  # Monte Carlo standard errors that a check allows
ODDS = 0.02  # what it allows where all log odds fall alike: there the plain test is the best
DESIGNS = [(n, k) for n in CASES for k in REPEATS]

Results = dict[Cell, dict[str, tuple[float, float]]]


def run(replicates: int, seed: int, chosen: list[Cell]) -> Results:
    """All chosen cells, in two processes."""
    jobs = [(cell, replicates * (1 if cell.drop else NULLS), seed) for cell in chosen]
    with Pool(2) as pool:
        return dict(zip(chosen, pool.imap(simulate, jobs), strict=True))


def mean(results: Results, pick: Callable[[Cell], bool], rule: str) -> float:
    """A rule's rate, the mean over the cells picked."""
    found = [said[rule][0] for cell, said in results.items() if pick(cell)]
    return sum(found) / len(found)


def row(n: int, k: int, mode: str, drop: float, cached: bool = False) -> Callable[[Cell], bool]:
    """Picks the cells of one row and column, over all rates."""

    def pick(cell: Cell) -> bool:
        wide = cell.base == (CACHED if cached else k)
        here = (cell.n, cell.k, cell.mode, cell.drop) == (n, k, mode, drop)
        return here and wide and not cell.looks

    return pick


def error(rate: float, size: int) -> float:
    """Monte Carlo standard error of a rate."""
    return math.sqrt(rate * (1 - rate) / size)


def alarms(results: Results, rule: str = OURS) -> dict[Cell, float]:
    """The false alarms of a rule, in all cells in which nothing changed."""
    found = {}
    for cell, said in results.items():
        name = FAIL if cell.looks else rule
        if not cell.drop and name in said:
            found[cell] = said[name][0]
    return found


def problems(results: Results, replicates: int) -> list[str]:
    """What `--check` finds wrong."""
    found = []
    beyond = ALPHA + SURE * error(ALPHA, replicates * NULLS)
    told = [(cell, rate, beyond) for cell, rate in alarms(results).items()]
    levels = {cell: said[LEVEL] for cell, said in results.items() if LEVEL in said}
    told += [(cell, rate, ALPHA + SURE * math.sqrt(e2)) for cell, (rate, e2) in levels.items()]
    for cell, rate, most in told:
        if rate > most:
            found.append(f"{100 * rate:.2f} % false alarms, above {100 * most:.2f} %: {cell}")
    for (n, k), mode, drop in itertools.product(DESIGNS, MODES, DROPS):
        pick = row(n, k, mode, drop)
        spread = [said[OURS][1] for cell, said in results.items() if pick(cell)]
        allowed = SURE * math.sqrt(sum(spread)) / len(spread) + (ODDS if mode == "logit" else 0)
        behind = mean(results, pick, BEST) - mean(results, pick, OURS)
        if behind > allowed:
            where = f"{n} cases, {k} repeats, {mode}, drop {drop}"
            found.append(f"power is {100 * behind:.1f} points below the stratified test's: {where}")
    return found


def _share(rate: float) -> str:
    return f"{100 * rate:.1f}"


def alarm_table(results: Results, replicates: int) -> list[str]:
    """False alarms, a row for each number of cases and repeats."""
    lines = [
        "| cases | repeats | ours: p = 0.6 | 0.8 | 0.95 | 20 cached: worst p | ours, seen: worst p "
        "| stratified | sign-flip | naive |",
        "|--:" * 10 + "|",
    ]
    for n, k in DESIGNS:
        own = [results[Cell(n, k, k, p)] for p in RATES]
        cached = max(results[Cell(n, CACHED, k, p)][LEVEL][0] for p in RATES)
        levels = [f"{100 * said[LEVEL][0]:.2f}" for said in own]
        seen, *others = (max(said[rule][0] for said in own) for rule in (OURS, BEST, FLIP, NAIVE))
        told = f"{_share(seen)} ± {_share(error(seen, replicates * NULLS))}"
        row_ = [*levels, f"{100 * cached:.2f}", told, *map(_share, others)]
        lines.append(f"| {n} | {k} | {' | '.join(row_)} |")
    return lines


def power_table(results: Results, mode: str) -> list[str]:
    """Power, the mean over the rates: the better of the two others, and ours."""
    cached = mode == "uniform"
    heads = [
        head
        for drop in DROPS
        for head in (
            f"{100 * drop:g} points: best other",
            "ours",
            *(["ours, 20 cached"] if cached else []),
        )
    ]
    lines = [f"| cases | repeats | {' | '.join(heads)} |", "|--:" * (2 + len(heads)) + "|"]
    for n, k in DESIGNS:
        shown = []
        for drop in DROPS:
            pick = row(n, k, mode, drop)
            best = max(mean(results, pick, rule) for rule in (BEST, FLIP))
            own = mean(results, pick, OURS)
            shown += [_share(best), f"**{_share(own)}**" if own > best else _share(own)]
            if cached:
                shown.append(_share(mean(results, row(n, k, mode, drop, cached=True), OURS)))
        lines.append(f"| {n} | {k} | {' | '.join(shown)} |")
    return lines


def looks_table(results: Results) -> list[str]:
    """Adaptive repeats: what became of runs, and how many repeats they took."""
    heads = [
        f"{f'{100 * d:g} points' if d else 'no change'}: {what}"
        for d in (0, *DROPS)
        for what in (
            ("regressed", "no worse", "repeats") if d in (0, 0.05) else ("regressed", "repeats")
        )
    ]
    lines = [f"| cases | {' | '.join(heads)} |", "|--:" * (1 + len(heads)) + "|"]
    for n in CASES:
        shown = []
        for drop in (0.0, *DROPS):
            own = [
                said
                for cell, said in results.items()
                if cell.looks and (cell.n, cell.drop) == (n, drop)
            ]
            each = {
                name: sum(one[name][0] for one in own) / len(own) for name in (FAIL, PASS, TRIALS)
            }
            shown.append(_share(each[FAIL]))
            shown += [_share(each[PASS])] if drop in (0, 0.05) else []
            shown.append(f"{each[TRIALS]:.1f}")
        lines.append(f"| {n} | {' | '.join(shown)} |")
    return lines


def worst_alarm(results: Results) -> str:
    """The worst true level of the rule that ships, in words."""
    found = {cell: said[LEVEL] for cell, said in results.items() if LEVEL in said}
    cell = max(found, key=lambda one: found[one][0])
    level, error2 = found[cell]
    mean_of = sum(one for one, _ in found.values()) / len(found)
    return (
        f"{100 * level:.2f} % ± {100 * math.sqrt(error2):.2f}\n"
        f"({cell.n} cases, {cell.base} base and {cell.k} repeats, p = {cell.p}); the mean over all "
        f"{len(found)} cells is {100 * mean_of:.2f} %."
    )


PAGE_TEXT = """# How sure a verdict is

How often the rule for pass rates cries wolf, and how often it sees the wolf. Generated by
`python benchmarks/bench_decisions.py{options} --write`. The rule is
[`stats/decision.py`](../src/proofrig/stats/decision.py), called as it ships for every pair of
runs; the others are what people use instead.

Set-up: a suite of so many cases, each with a true pass rate p_i ~ Beta(2p, 2(1-p)), for cases
differ. It is run before and now, each case so often. Level 5 %, one-sided. {size:,} pairs of runs
in each cell in which nothing changed, {replicates:,} in each other; `±` is the Monte Carlo standard
error. Percent throughout.

- **ours**: `decide`. A case that broke for certain suffices (Fisher's test, Holm's method over the
  cases that could be rejected at all); else the exact test, given each case's total, of a mixture:
  some cases broke, or the odds of all fell; and a fall of at least one point.
- **stratified**: the exact test of the plain number of passes, given each case's total, mid-p.
- **sign-flip**: the signs of the cases' differences flipped at random, mid-p.
- **naive**: red when the pass rate fell by five points.
- **20 cached**: the base is a baseline with 20 trials of each case, whatever the repeats now.

## False alarms

Nothing changed. Of ours the true level is told, worked out for at least {suites:,} simulated suites
of each cell given their totals, whatever the two runs then were. The worst cell: {worst}
"Seen" is what the rule really said, with the noise of {size:,} pairs of runs; so are the others.
All at their worst p.

{alarms}

## Power

Each figure is the mean over p = 0.6, 0.8 and 0.95. "Best other" is the better one of stratified and
sign-flip. **Bold**: ours is above it.

### All cases lose the same share of their rate

{uniform}

### The log odds of all cases fall by the same

The plain test is the most powerful one against this kind of harm, and ours is as good but for a
point.

{logit}

### Some cases break: their rate becomes 0, the others stay

{broken}

## Adaptive repeats

`--repeat auto` looks after 1, 2, 4 and 8 repeats, here against 8 of the base, and stops when it is
decided: regressed, or no worse than five points. Each of the two has its level over all looks
together: "regressed" where nothing changed, and "no worse" where the drop is the margin. Repeats:
the mean number that were run.

{looks}

## How to read this

- Find your cases and repeats. The power beside the least drop that matters to you is the chance
  that a change which does that harm is caught. Otherwise the verdict is mostly *inconclusive*,
  which is no pass.
- More repeats help while the base has as many. A cached baseline helps as much, and is there
  already.
- Red whenever the rate fell by five points is wrong in up to {naive} % of runs in which nothing
  changed.
- All this is about this very suite, run again. Cases that are drawn anew need `cases: sampled`.
- The rule's constants were chosen with this simulation. With fewer cases than 20 the true level
  may pass 5 % by a little: the mid-p is nearly a bound, and no more.
"""


def page(results: Results, replicates: int, options: str) -> str:
    """docs/decisions-power.md."""
    text = PAGE_TEXT.format(
        options=options,
        size=replicates * NULLS,
        replicates=replicates,
        suites=min(CHUNK, replicates * NULLS),
        worst=worst_alarm(results),
        alarms="\n".join(alarm_table(results, replicates)),
        looks="\n".join(looks_table(results)),
        naive=f"{100 * max(alarms(results, NAIVE).values()):.0f}",
        **{mode: "\n".join(power_table(results, mode)) for mode in MODES},
    )
    return text


def main() -> int:
    """Runs all cells and prints the tables."""
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--replicates", type=int, default=20)
    given.add_argument("--seed", type=int, default=1)
    given.add_argument("--write", action="store_true", help="write docs/decisions-power.md")
    given.add_argument("--check", action="store_true", help="end with 1 where a goal is missed")
    asked = given.parse_args()
    began = time.monotonic()
    results = run(asked.replicates, asked.seed, list(cells()))
    text = page(results, asked.replicates, f" --replicates {asked.replicates} --seed {asked.seed}")
    print(text)
    found = problems(results, asked.replicates)
    for line in found:
        print(line, file=sys.stderr)
    print(f"{time.monotonic() - began:.0f} s; {len(found)} goals missed", file=sys.stderr)
    if asked.write:
        PAGE.write_text(text, "utf-8")
    return int(asked.check and bool(found))


if __name__ == "__main__":
    raise SystemExit(main())
