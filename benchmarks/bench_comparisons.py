"""What holding one run against another costs.

Makes two samples of 200 cases, each run 8 times by an agent with 12 tools, and compares them: the
first time in a process, and again. Ends with 1 where the first takes more than half a second.

    python benchmarks/bench_comparisons.py [cases] [repeats]
"""

from __future__ import annotations

import random
import sys
import time

from proofrig.comparisons.comparing import compare
from proofrig.comparisons.sample import Sample, TrialSample

GOAL_S = 0.5
TOOLS = [f"tool_{n}" for n in range(12)]


def sample(cases: int, repeats: int, seed: int) -> Sample:
    """A run of an agent that passes nine times in ten, and passes over three tools in ten."""
    chance = random.Random(seed)
    trials = []
    for case in range(cases):
        for repeat in range(repeats):
            tools = tuple(tool for tool in TOOLS if chance.random() > 0.3)
            passed = chance.random() < 0.9
            trials.append(
                TrialSample(
                    f"case_{case:04}",
                    repeat=repeat,
                    passed=passed,
                    failure="" if passed else "agent",
                    usd_micro=chance.randrange(300, 900),
                    tokens=chance.randrange(1000, 3000),
                    llm_calls=len(tools) + 1,
                    tool_calls=len(tools),
                    duration_ns=chance.randrange(10**8, 10**9),
                    tools=tools,
                )
            )
    return Sample(suite="desk", suite_digest="d", runs=[f"r{seed}"], trials=trials)


def main() -> int:
    """Times the first comparison and the median of five more."""
    cases, repeats = (int(text) for text in (sys.argv[1:] + ["200", "8"][len(sys.argv) - 1 :]))
    base, now = sample(cases, repeats, 1), sample(cases, repeats, 2)
    times = []
    for _ in range(6):
        began = time.perf_counter()
        compare(base, now)
        times.append(time.perf_counter() - began)
    first, again = times[0], sorted(times[1:])[2]
    print(f"{cases} cases x {repeats} repeats, both sides: {first:.3f} s, then {again:.3f} s")
    return int(first > GOAL_S)


if __name__ == "__main__":
    raise SystemExit(main())
