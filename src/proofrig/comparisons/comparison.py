"""Two runs held against each other: what a comparison says, and the terms it is made on.

Rules:
1. A verdict needs evidence AND a minimum effect; want of evidence is `inconclusive`, never a pass.
2. All false alarms of one comparison together are at most `alpha`: the suite's test takes what the
   cases' tests cannot spend (they are exact, so what they can spend is known).
3. Two runs that were not measured alike are `unreliable`, whatever their figures.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from proofrig.stats.intervals import Interval

Word = Literal["regressed", "improved", "no worse", "inconclusive", "unreliable"]
Better = Literal["higher", "lower", ""]


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What a comparison is made on. Shares, not percent.

    alpha: false alarms of the whole comparison. margin: a drop of the pass rate that is still "no
    worse". min_effect: the least drop of the pass rate that counts as one; of other metrics, the
    least relative change. power: for "what it would take". infra_ceiling: the most trials of a run
    that may have come to nothing for reasons around the agent. cases: `fixed` judges this very
    suite (stratified exact test); `sampled`, for generated or drawn cases, judges what new cases
    would show (sign-flip test). metrics: further ones that block, each with its least relative
    change; they share `alpha` by Holm's method with the pass rate.
    """

    alpha: float = 0.05
    margin: float = 0.05
    min_effect: float = 0.01
    power: float = 0.8
    infra_ceiling: float = 0.02
    cases: Literal["fixed", "sampled"] = "fixed"
    metrics: dict[str, float] = {}

    @property
    def confidence(self) -> float:
        """Of the intervals beside one-sided tests at alpha: 90 % at 5 %, so that both agree."""
        return 1 - 2 * self.alpha

    def least_of(self, metric: str) -> float | None:
        """The least relative change of a further metric that blocks; None where it does not. A
        gate on `pass_hat_k` means whatever k the runs have."""
        hat = "pass_hat_k" if metric.startswith("pass_hat_") else metric
        return self.metrics.get(metric, self.metrics.get(hat))


class Effect(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What became of one metric. `base`, `now` and `change` (now - base, with its interval) are in
    the metric's base unit; `p` is one-sided for a change for the worse, `p_adjusted` within its
    family. `blocks`: whether the run's verdict rests on it. `needs`: what it would take to decide,
    in words; "" when it is decided."""

    metric: str
    unit: str = ""  # share, ns, usd_micro, tokens, calls, ...
    better: Better = ""
    base: float | None = None
    now: float | None = None
    change: Interval | None = None
    p: float | None = None
    p_adjusted: float | None = None
    verdict: Word = "inconclusive"
    blocks: bool = False
    says: str = ""
    needs: str = ""


class CaseChange(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A case whose outcome changed. `p`: Fisher's, one-sided for the worse; `broken`: the family
    of all cases holds (Holm, at the cases' share of alpha)."""

    case: str
    base_passed: int
    base_measured: int
    now_passed: int
    now_measured: int
    p: float = 1.0
    broken: bool = False
    fixed: bool = False
    flaky: bool = False


class Behaviour(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """How the agent acts otherwise, whatever its pass rate. kind: tool_new, tool_dropped,
    tool_use, trajectory, cost, tokens, calls, finding_new, finding_gone. `certain`: proved at alpha
    within the family; else it is only seen. `cases`: those that show it, most first."""

    kind: str
    says: str
    name: str = ""  # of the tool, the finding, ...
    distance: float | None = None  # of trajectories, in [0, 1]
    p: float | None = None
    certain: bool = False
    cases: tuple[str, ...] = ()


class Comparison(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What holding `run` against `base` came to. `says`: the verdict in one line. `why`: further
    lines, among them what makes it unreliable. `differences`: where the manifests differ.
    `left_out`: cases that only one has, or whose text changed. `mde`: the least drop of the pass
    rate that this comparison would see with the power of the terms. `repeats_needed`: how many more
    repeats per case would decide it; None when that is known not to help, or it is decided."""

    run: str
    base: str
    verdict: Word
    says: str
    why: list[str] = []
    effects: list[Effect] = []
    broken: list[CaseChange] = []
    flips: list[CaseChange] = []
    flaky: list[str] = []
    behaviour: list[Behaviour] = []
    differences: list[str] = []
    left_out: list[str] = []
    cases: int = 0
    mde: float | None = None
    repeats_needed: int | None = None
    terms: Terms = Terms()
