"""What trials used: entries in, figures out."""

from __future__ import annotations

from typing import Any

import pytest

from proofrig.history.action import Entry
from proofrig.resources import Resources, ResourcesFold, Spread, Used, resources_of

MB = 1_000_000


def entry(kind: Any, name: str, trial: str = "a:1", **attrs: Any) -> Entry:
    return Entry(0, 0, kind, name, trial=trial, attrs=attrs)


def folded(*entries: Entry) -> dict[str, Used]:
    fold = ResourcesFold()
    for one in entries:
        fold.step(one)
    return fold.result()


def ended(trial: str = "a:1", **box: Any) -> Entry:
    return entry("trial", "end", trial, box={"level": "namespace", "held": "enforced"} | box)


def test_a_box_tells_what_it_counted() -> None:
    usage = {
        **{"memory_peak_bytes": 64 * MB, "memory_anon_peak_bytes": 60 * MB, "cpu_ms": 1200},
        **{"processes_peak": 5, "oom_kills": 2, "bytes_out": 900, "disk_bytes": 7},
    }
    found = folded(ended(usage=usage, broke=["memory", "cpu"], emulated=True))
    assert found == {
        "a:1": Used(
            memory_peak=64 * MB,
            memory_anon=60 * MB,
            cpu_time=1_200_000_000,
            processes_peak=5,
            egress=900,
            disk=7,
            met=("memory_mb", "cpu_s"),
            level="namespace",
            held="enforced",
            emulated=True,
            oom_kills=2,
        )
    }


def test_packages_that_a_trial_installed() -> None:
    level = {"level": "namespace", "held": "enforced"}
    installed = {"packages": 2, "bytes": 5 * MB}
    found = folded(ended("a:1"), entry("trial", "end", "a:2", box=level, installed=installed))
    assert (found["a:1"].packages, found["a:1"].package_bytes) == (None, None)
    assert (found["a:2"].packages, found["a:2"].package_bytes) == (2, 5 * MB)
    assert resources_of(found.values()).spreads["packages"].n == 1


def test_what_nobody_could_tell_is_not_zero() -> None:
    (bare,) = folded(ended()).values()
    assert (bare.memory_peak, bare.cpu_time, bare.egress, bare.context_tokens) == (None,) * 4
    assert folded(entry("trial", "end"))["a:1"] == Used()


def test_the_longest_context_and_the_retries_that_were_let_in() -> None:
    (used,) = folded(
        entry("commit", "llm.messages", usage={"input": 40, "output": 900}),
        entry("commit", "llm.messages", usage={"input": 70}),
        entry("commit", "llm.messages", usage={"input": 60}),
        entry("reserve", "llm.messages", attempt=2, retry=1, decision="allow"),
        entry("reserve", "tool.x", retry=2, decision="cap"),
        entry("reserve", "tool.x", retry=3, decision="deny", code="limit_retries"),
        entry("reserve", "tool.y", decision="deny", code="forbidden"),
    ).values()
    assert used == Used(context_tokens=70, retries=2, met=("retries",))


@pytest.mark.parametrize(
    ("code", "limit"),
    [
        ("limit_tools", "allowed_tools"),
        ("limit_context", "context_tokens"),
        ("limit_egress", "egress_mb"),
    ],
)
def test_a_denial_is_a_limit_met(code: str, limit: str) -> None:
    denial = entry("reserve", "tool.x", decision="deny", code=code)
    assert folded(denial, denial)["a:1"].met == (limit,)


@pytest.mark.parametrize(("box", "sent"), [({}, 30), ({"bytes_out": 500}, 500)])
def test_what_was_sent_is_counted_by_the_box_or_else_at_the_gateway(
    box: dict[str, int], sent: int
) -> None:
    up = entry("commit", "egress.get", bytes_up=10, bytes_down=1000)
    cut = entry("commit", "egress.post", bytes_up=20, bytes_down=0, blocked="limit_egress")
    (used,) = folded(up, cut, ended(usage=box)).values()
    assert (used.egress, used.met) == (sent, ("egress_mb",))


def test_attempts_are_told_apart_and_strangers_left_out() -> None:
    found = folded(
        ended("a:1", usage={"cpu_ms": 1}),
        ended("a:1~2", usage={"cpu_ms": 2}),
        entry("commit", "llm.messages", trial="", usage={"input": 5}),
    )
    assert {trial: used.cpu_time for trial, used in found.items()} == {
        "a:1": 1_000_000,
        "a:1~2": 2_000_000,
    }


def test_trials_together_have_a_spread_of_what_is_known() -> None:
    boxed = [Used(cpu_time=n, level="vm", held="enforced", met=("cpu_s",)) for n in (1, 2, 3)]
    found = resources_of([*boxed, Used(retries=4, met=("retries",))])
    assert found.spreads == {
        "cpu_time": Spread(3, {"p50": 2.0, "p95": 2.9, "p99": 2.98}, 3.0),
        "retries": Spread(4, found.spreads["retries"].at, 4.0),
    }
    assert (found.trials, found.met) == (4, {"cpu_s": 3, "retries": 1})
    assert found.levels == {"vm, enforced": 3}


def test_of_no_trial_nothing_is_known() -> None:
    assert resources_of([]) == Resources()
