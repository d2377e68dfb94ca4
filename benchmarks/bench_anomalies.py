"""What looking for anomalies costs, afterwards and live.

Makes N actions (default 200,000) of 100 trials, which think and call tools in turn, some of them in
batches with equal results, then judges them with each checker that looks at any run. Then watches
the same calls live, one `Watch` per trial: asked before each, told after it.
Prints CPU microseconds per action (the best of three rounds), pairing not included.

    python benchmarks/bench_anomalies.py [actions]
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from typing import Any

from proofrig.anomalies.ladder import Watch
from proofrig.anomalies.settings import Done
from proofrig.checkers import CHECKERS
from proofrig.checkers.checker import Setting
from proofrig.history.action import Action, Entry, Kind
from proofrig.history.payloads import digest_of

TRIALS, ROUNDS = 100, 3
MS = 1_000_000


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    actions = make(count)
    total = 0.0
    for kind in CHECKERS:
        if getattr(kind, "always", False):
            cost = best(lambda kind=kind: judge(kind, actions)) / count
            total += cost
            print(f"{kind.name:18} {cost * 1e6:5.2f} us per action")
    print(f"{'all of them':18} {total * 1e6:5.2f} us per action")
    calls = [done_of(action) for action in actions]
    cost = best(lambda: watch(calls)) / count
    print(f"{'watched live':18} {cost * 1e6:5.2f} us per action")


def make(count: int) -> list[Action]:
    """Actions in the order of time; every second one is a turn of a model, save in batches."""
    chance = random.Random(1)
    now = [number * MS for number in range(TRIALS)]
    batch = [0] * TRIALS
    actions = []
    for number in range(count):
        trial = number % TRIALS
        batch[trial] -= 1
        if batch[trial] < -50:
            batch[trial] = chance.choice([0, 0, 30])
        model = batch[trial] <= 0 and (number // TRIALS) % 2 == 0
        takes = (1000 if model else 20) * chance.uniform(0.5, 2) * MS
        result = "ok" if batch[trial] > 0 else str(number)
        actions.append(act(number, trial, model, now[trial], round(takes), result))
        now[trial] += round(takes) + MS
    return actions


def act(number: int, trial: int, model: bool, began: int, takes: int, result: str) -> Action:
    id, who, scope = f"a{number}", f"case:{trial}", f"acme/flow/agent/run{trial}"
    name = "llm.messages" if model else f"tool.do{number % 7}"
    asked: dict[str, Any] = {"decision": "allow", "estimate": {"calls": 1, "usd_micro": 9000}}
    told: dict[str, Any] = {"outcome": "ok", "service_ns": takes, "actual": {"calls": 1}}
    asked["request" if model else "arguments"] = digest_of(str(number).encode())
    told["response" if model else "result"] = digest_of(result.encode())
    if model:
        told |= {"usage": {"input": 500, "output": 60}, "source": "measured"}
        told["actual"] = {"calls": 1, "usd_micro": 1700, "tokens": 560}

    def entry(kind: Kind, t: int, attrs: dict[str, Any]) -> Entry:
        return Entry(0, t, kind, name, who, "acme", scope, id, attrs)

    last = entry("commit", began + takes, told)
    return Action(id, name, who, "acme", scope, entry("reserve", began, asked), None, last)


def done_of(action: Action) -> tuple[str, Done]:
    reserve, end = action.reserve, action.end
    assert reserve is not None
    assert end is not None
    asked = reserve.attrs.get("arguments") or reserve.attrs["request"]
    result = end.attrs.get("result") or end.attrs["response"]
    tokens = end.attrs["actual"].get("tokens", 0)
    return action.trial, Done(action.name, asked, result, reserve.t, end.t, tokens=tokens)


def judge(kind: type[Any], actions: list[Action]) -> None:
    checker = kind(Setting())
    for action in actions:
        checker.action(action)
    checker.result()


def watch(calls: list[tuple[str, Done]]) -> None:
    watches = {f"case:{trial}": Watch() for trial in range(TRIALS)}
    for trial, done in calls:
        each = watches[trial]
        each.seen(done.name, done.arguments, done.began_ns)
        each.ended(done)


def best(run: Callable[[], None]) -> float:
    seconds = []
    for _ in range(ROUNDS):
        began = time.process_time()
        run()
        seconds.append(time.process_time() - began)
    return min(seconds)


if __name__ == "__main__":
    main()
