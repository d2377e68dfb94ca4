"""Whether two samples were measured alike, so that a difference between them can mean anything.

Rules:
1. Failures around the agent leave the denominator, but not evenly: hard cases fail late. So their
   shares must be small and alike.
2. A baseline whose own runs disagree is no ruler.
"""

from __future__ import annotations

from proofrig.comparisons.comparable import Arms
from proofrig.comparisons.comparison import Terms
from proofrig.comparisons.sample import Sample
from proofrig.stats.flaky import drift_by_case
from proofrig.stats.per_case import fisher_less

SURELY = 0.01  # the level of these checks: a sound comparison is seldom called unreliable
ENOUGH = 0.5  # of the cases must have been measured in both


def doubts(base: Sample, now: Sample, arms: Arms, terms: Terms) -> list[str]:
    """Why the comparison is unreliable; none where it is not."""
    found = []
    sides = {"the base": base, "this run": now}
    for name, sample in sides.items():
        many = len(sample.trials)
        if many and sample.infra > terms.infra_ceiling * many:
            found.append(
                f"{sample.infra:,} of {many:,} trials of {name} came to nothing for reasons around "
                f"the agent, more than {100 * terms.infra_ceiling:g} %; run it again"
            )
    before, after = ((len(one.trials), one.infra) for one in sides.values())
    p = min(1.0, 2 * min(fisher_less(before, after), fisher_less(after, before)))
    if p < SURELY:
        found.append(
            f"{after[1]:,} of {after[0]:,} trials failed for reasons around the agent, and "
            f"{before[1]:,} of {before[0]:,} of the base: the two were not measured alike"
        )
    if (noise := _drift(base, arms)) < SURELY:
        found.append(
            f"the {len(base.runs)} pooled runs of the base disagree among themselves "
            f"(p {noise:.2g}): something about them changed; keep a new base"
        )
    both = sum(
        any(t.passed is not None for t in b) and any(t.passed is not None for t in n)
        for b, n in zip(arms.base, arms.now, strict=True)
    )
    if both < ENOUGH * len(arms.labels):
        found.append(
            f"only {both:,} of {len(arms.labels):,} cases were measured in both; see which trials "
            "were not, and why"
        )
    return found


def _drift(base: Sample, arms: Arms) -> float:
    """The p that the runs of a pooled base have the same pass rates."""
    runs = [[[0, 0] for _ in arms.labels] for _ in base.runs]
    for index, trials in enumerate(arms.base):
        for trial in trials:
            if trial.passed is not None:
                counts = runs[trial.run][index]
                counts[0] += 1
                counts[1] += trial.passed
    return drift_by_case([[(many, passed) for many, passed in run] for run in runs])
