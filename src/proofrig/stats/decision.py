"""THE rule for pass rates: has this very suite got worse?

    a case broke for certain                                       ──▶ yes
    the suite fell for certain, and by at least the least effect   ──▶ yes

Rules:
1. Both tests are conditional on each case's total, so exact whatever the cases' true rates are. All
   false alarms together are at most `alpha`: the cases' tests get `CASES_SHARE` of it, and as what
   they can really spend is known (nothing, where no single case could ever be rejected), the
   suite's test gets all the rest.
2. The suite's statistic is a sum over cases of how much likelier what was seen is if the suite got
   worse than if nothing changed. "Worse" is a mixture: a case broke and never passes any more, or
   its odds of passing fell. That sees a few broken cases as well as a little harm to all.
3. `decide(now, base)` is the mirror: has it got better?
4. The constants come from `benchmarks/bench_decisions.py`; docs/decisions-power.md has the result.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import msgspec

from proofrig.stats._hypergeometric import Counts, checked, dealt
from proofrig.stats.paired import Exact
from proofrig.stats.per_case import Broken, broken_cases

# Of alpha, what the cases' own tests may spend. More would buy little: a broken case moves the
# suite's statistic too.
CASES_SHARE = 0.1
# The mid-p, which may pass its level by a little, is held against a little less than alpha. Then
# the true level of the rule at 5 % is below that in all cells of docs/decisions-power.md, which
# have 20 cases or more. With fewer it may pass 5 % by a little.
SAFETY = 0.988
# What "worse" means in rule 2: the share of cases that broke, and by how much the log odds of the
# others fall, more where a case nearly always passes: FALL * (1 - rate)^-GAMMA. Chosen by
# simulation over several values of each: of those that lose next to nothing against the plain test
# where that is the best there is (all log odds fall alike), these see broken cases and harm in
# proportion most often.
BROKE = 0.05
FALL = 0.5
GAMMA = 0.25
FINE = 16  # steps of the statistic per unit of log likelihood


class Decision(msgspec.Struct, frozen=True):
    """What was decided. `p`: of the suite's test, one-sided, mid-p; `level`: what it was held
    against. `fell`: the mean over cases of base's rate less now's. `cases`: the cases' own tests,
    aligned with the counts."""

    regressed: bool
    p: float
    level: float
    fell: float
    cases: Broken


def decide(
    base: Sequence[Counts], now: Sequence[Counts], *, alpha: float = 0.05, min_effect: float = 0.01
) -> Decision:
    """Whether `now` passes less often than `base`; arms are (measured, passed) per case, aligned by
    index. A broken case suffices; the suite as a whole must also have fallen by `min_effect` (a
    share). Raises ValueError for arms that do not fit, or no case measured in both."""
    cases = broken_cases(base, now, alpha * CASES_SHARE)
    fell = fall(base, now)
    p = suite_test(base, now).mid_p
    level = SAFETY * alpha - cases.attained
    worse = p <= level and fell >= min_effect - 1e-12
    return Decision(any(cases.flags) or worse, p, level, fell, cases)


def fall(base: Sequence[Counts], now: Sequence[Counts]) -> float:
    """The mean of base's pass rate less now's, over the cases that both measured; every case weighs
    the same. Raises ValueError where there is none."""
    falls = [x / b - y / n for (b, x), (n, y) in zip(base, now, strict=True) if b and n]
    if not falls:
        raise ValueError("expected at least one case measured in both arms, got none")
    return math.fsum(falls) / len(falls)


def suite_test(base: Sequence[Counts], now: Sequence[Counts]) -> Exact:
    """Whether this very suite passes less often now: the exact test, given each case's total, of
    the mixture of rule 2 (most powerful against it, by Neyman & Pearson 1933; conditional on totals
    as in Birch 1964). At one trial each it is McNemar's. The statistic is the log likelihood ratio
    in steps of 1/`FINE`, counted from its least."""
    from proofrig.stats._lattice import Part, tails

    checked(base, now)
    groups = Counter((b, n, x + y) for (b, x), (n, y) in zip(base, now, strict=True) if b and n)
    parts = [Part(1, _spread(*key), count) for key, count in groups.items()]
    seen = 0
    for (b, x), (n, y) in zip(base, now, strict=True):
        if b and n:
            seen += evidence(b, n, x + y)[y - max(0, x + y - b)]
    found = tails(parts, seen)
    return Exact(found.above + found.at, found.above + found.at / 2, float(seen))


@lru_cache(maxsize=16384)
def evidence(base: int, now: int, passed: int) -> tuple[int, ...]:
    """The evidence that a case got worse, of each outcome that its total leaves open: now's passes
    from the fewest to the most, as in `dealt`. In steps, the least being 0."""
    low, chances = dealt(base, now, passed)
    odds = -FALL * (1 - (passed + 0.5) / (base + now + 1)) ** -GAMMA
    tilted = [math.exp(odds * x) for x in range(len(chances))]
    scale = math.fsum(t * p for t, p in zip(tilted, chances, strict=True))
    ratios = [(1 - BROKE) * t / scale for t in tilted]
    if low == 0 and passed:
        ratios[0] += BROKE / max(chances[0], 1e-300)
    logs = [math.log(max(ratio, 1e-300)) for ratio in ratios]
    return tuple(round(FINE * (one - min(logs))) for one in logs)


@lru_cache(maxsize=16384)
def _spread(base: int, now: int, passed: int) -> tuple[float, ...]:
    """The chance of each amount of evidence when nothing changed, from 0 up."""
    steps = evidence(base, now, passed)
    spread = [0.0] * (max(steps) + 1)
    for step, chance in zip(steps, dealt(base, now, passed)[1], strict=True):
        spread[step] += chance
    return tuple(spread)
