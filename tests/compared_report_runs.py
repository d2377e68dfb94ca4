"""Comparisons for the tests of reports, built by hand: one of each verdict, a vast and a vile one.

report = a_compared_run(tmp_path, regressed())
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from proofrig.comparisons.comparison import (
    Behaviour,
    Better,
    CaseChange,
    Comparison,
    Effect,
    Terms,
    Word,
)
from proofrig.reports.report import RunReport
from proofrig.stats.intervals import Interval
from report_runs import MANIFEST, a_run

RUN = str(MANIFEST["run"])
EVIL = "</script><img src=x onerror=alert(1)>\x1b[31m\u202e"


def effect(
    metric: str,
    unit: str,
    figures: tuple[float | None, float | None],
    ends: tuple[float, float] | None = None,
    verdict: Word = "inconclusive",
    **more: Any,
) -> Effect:
    """An effect from the two figures and the ends of its interval."""
    base, now = figures
    change = None
    if ends is not None and base is not None and now is not None:
        change = Interval(now - base, *ends)
    better: Better = more.pop("better", "lower")
    return Effect(
        metric=metric,
        unit=unit,
        base=base,
        now=now,
        change=change,
        verdict=verdict,
        better=better,
        **more,
    )


def flip(case: str, *counts: int, **more: Any) -> CaseChange:
    """A case with its counts: passed and measured before, then now."""
    names = ("base_passed", "base_measured", "now_passed", "now_measured")
    return CaseChange(case=case, **dict(zip(names, counts, strict=True)), **more)


def _rest() -> list[Effect]:
    """What is compared besides the pass rate; nothing of it has moved."""
    return [
        effect("pass^4", "share", (0.46, 0.45), (-0.06, 0.04), "no worse", better="higher"),
        effect("tokens", "tokens", (2_541.0, 2_560.0), (-92.0, 131.0), "no worse", p=0.39),
        effect("llm_calls", "calls", (3.41, 3.44), (-0.12, 0.18), p=0.35, better=""),
        effect("retries", "calls", (0.0, 0.0), (0.0, 0.0), "no worse", p=1.0),
        effect("timeout_rate", "share", (0.0, 0.0125), (-0.01, 0.04), p=0.21),
        effect("p95(duration)", "ns", (5.7e8, 6.1e8), (-8e7, math.inf), p=0.3),
        effect("burst:tool_429_rate", "share", (0.02, None), needs="one figure a run"),
        effect("burst:p99(latency)", "ns", (1.1e9, 1.9e9), needs="one figure a run"),
        effect("tenant_probe:leak_rate", "share", (0.0, 0.031), needs="one figure a run"),
    ]


def regressed() -> Comparison:
    """A drop that is proved, two broken cases, another tool."""
    return Comparison(
        run=RUN,
        base="main",
        verdict="regressed",
        says="pass rate 72.9 %, was 85.0 %: 12.1 points less (5.2 to 18.9); 2 cases broke",
        why=["against 5 pooled runs of main, the newest 20260228-031200-desk-77aa"],
        effects=[
            effect(
                *("accuracy", "share", (0.85, 0.729), (-0.189, -0.052), "regressed"),
                better="higher",
                p=0.0002,
                blocks=True,
            ),
            effect(
                *("cost", "usd_micro", (652.0, 730.4), (21.0, 139.0), "regressed"),
                p=0.003,
                p_adjusted=0.012,
            ),
            effect("p50(duration)", "ns", (4.4e8, 3.9e8), (-9e7, -1.5e7), "improved", p=0.99),
            *_rest(),
        ],
        broken=[
            flip("refund_07", 19, 20, 0, 4, p=0.0002, broken=True),
            flip("address_change_08", 17, 20, 0, 4, p=0.004, broken=True),
        ],
        flips=[
            flip("refund_07", 19, 20, 0, 4, p=0.0002, broken=True),
            flip("order_status_09", 16, 20, 1, 4, p=0.06),
            flip("exchange_10", 15, 20, 2, 4, p=0.29, flaky=True),
            flip("two_orders_05", 9, 20, 4, 4, fixed=True),
        ],
        flaky=["exchange_10", "two_orders_11"],
        behaviour=[
            Behaviour(
                kind="tool_new",
                name="issue_voucher",
                says="issue_voucher is called in 14 of 48 trials, and was called in none",
                p=0.0005,
                certain=True,
                cases=("refund_01", "refund_07", "exchange_10", "exchange_04", "two_orders_05"),
            ),
            Behaviour(
                kind="tool_dropped", name="lookup_policy", says="lookup_policy is called no more"
            ),
            Behaviour(
                kind="trajectory",
                says="other steps: distance 0.31 where chance makes 0.12",
                distance=0.31,
                p=0.001,
                certain=True,
                cases=("refund_07",),
            ),
            Behaviour(
                kind="finding_new",
                name="lost_update",
                says="lost update in 3 trials, and in none before",
                cases=("address_change_08@burst",),
            ),
        ],
        differences=["what.model.script: 'models.py:desk' | 'models.py:desk2'", "seed: 7 | 8"],
        left_out=["angry_customer_06", "a_case_that_is_gone"],
        cases=10,
        mde=0.081,
    )


def improved() -> Comparison:
    """A rise that is proved."""
    return Comparison(
        run=RUN,
        base="20260228-031200-desk-77aa",
        verdict="improved",
        says="pass rate 72.9 %, was 58.3 %: 14.6 points more (4.2 to 24.9)",
        effects=[
            effect(
                *("accuracy", "share", (0.583, 0.729), (0.042, 0.249), "improved"),
                better="higher",
                p=0.998,
                blocks=True,
            ),
            *_rest(),
        ],
        flips=[flip("refund_01", 0, 4, 4, 4, fixed=True)],
        cases=12,
        mde=0.12,
    )


def no_worse() -> Comparison:
    """Nothing changed, and that is proved as far as the margin goes."""
    return Comparison(
        run=RUN,
        base="main",
        verdict="no worse",
        says="pass rate 72.9 %, was 72.1 %: 0.8 points more (-3.9 to 5.5)",
        effects=[
            effect(
                *("accuracy", "share", (0.721, 0.729), (-0.039, 0.055), "no worse"),
                better="higher",
                p=0.62,
                blocks=True,
            ),
            *_rest(),
        ],
        cases=12,
        mde=0.058,
    )


def inconclusive() -> Comparison:
    """Too little to tell, and what it would take."""
    return Comparison(
        run=RUN,
        base="main",
        verdict="inconclusive",
        says="pass rate 72.9 %, was 77.1 %: 4.2 points less (-13.1 to 4.8)",
        effects=[
            effect(
                *("accuracy", "share", (0.771, 0.729), (-0.131, 0.048)),
                better="higher",
                p=0.18,
                blocks=True,
                needs="the interval still holds a drop of more than 5 points",
            ),
            *_rest(),
        ],
        flips=[flip("refund_07", 4, 4, 2, 4, p=0.21, flaky=True)],
        flaky=["refund_07"],
        cases=12,
        mde=0.115,
        repeats_needed=8,
    )


def unreliable() -> Comparison:
    """Two runs that were not measured alike."""
    return Comparison(
        run=RUN,
        base="main",
        verdict="unreliable",
        says="the shares of trials that came to nothing differ: 0.5 % and 12.5 %",
        why=[
            "6 of 48 trials came to nothing for reasons around the agent; at most 2 % may",
            "where.versions.aiohttp: '3.11' | '3.13'",
        ],
        effects=[
            effect(
                *("accuracy", "share", (0.85, 0.729), (-0.24, 0.01), "unreliable"),
                better="higher",
                blocks=True,
            ),
        ],
        differences=["where.versions.aiohttp: '3.11' | '3.13'"],
        cases=12,
    )


def bare() -> Comparison:
    """A comparison that has nothing to compare."""
    says = "no case is in both runs"
    return Comparison(run=RUN, base="main", verdict="unreliable", says=says, left_out=["x"] * 90)


def vast() -> Comparison:
    """200 metrics, 200 cases, 50 changes of behaviour."""
    words: tuple[Word, ...] = ("regressed", "improved", "no worse", "inconclusive")
    effects = [
        effect(
            *(f"measure_{number}", "", (10.0, 10.0 + number % 9 - 4), (-6.0 + number % 9, 4.0)),
            words[number % 4],
            blocks=number < 5,
            better=("lower", "higher", "")[number % 3],
            p=number / 200,
        )
        for number in range(200)
    ]
    flips = [flip(f"case_{n}", n % 5, 4, (n * 7) % 5, 4) for n in range(200)]
    return Comparison(
        run=RUN,
        base="main",
        verdict="regressed",
        says="much",
        effects=effects,
        flips=flips,
        flaky=[one.case for one in flips],
        behaviour=[
            Behaviour(kind="tool_new", says=f"tool {n}", cases=(f"case_{n}@burst",))
            for n in range(50)
        ],
        differences=[f"what.x{n}: 1 | 2" for n in range(100)],
        cases=200,
    )


def vile() -> Comparison:
    """Names and texts of somebody who means harm, wherever there is room for one."""
    change = flip(EVIL, 4, 4, 0, 4, p=0.01, broken=True)
    return Comparison(
        run=EVIL,
        base=EVIL,
        verdict="regressed",
        says=EVIL,
        why=[EVIL],
        effects=[
            effect(EVIL, EVIL, (1.0, 2.0), (0.5, 1.5), "regressed", says=EVIL, needs=EVIL),
            effect(EVIL, "share", (0.1, 0.2), (0.0, 0.3), blocks=True, says=EVIL, needs=EVIL),
        ],
        broken=[change],
        flips=[change, flip(EVIL + "2", 4, 4, 2, 4)],
        flaky=[EVIL],
        behaviour=[Behaviour(kind=EVIL, says=EVIL, name=EVIL, cases=(EVIL,))],
        differences=[EVIL],
        left_out=[EVIL],
        terms=Terms(metrics={EVIL: 0.1}),
    )


EVERY: dict[str, Callable[[], Comparison]] = {
    made.__name__: made
    for made in (regressed, improved, no_worse, inconclusive, unreliable, bare, vast, vile)
}
CODES = {"regressed": 1, "inconclusive": 4, "unreliable": 4}


def a_compared_run(run_dir: Path, comparison: Comparison, **more: Any) -> RunReport:
    """A support desk that was held against a baseline."""
    report = a_run(run_dir).report(CODES.get(comparison.verdict, 0), **more)
    return replace(report, comparison=comparison)
