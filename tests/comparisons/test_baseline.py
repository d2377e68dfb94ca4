"""Which runs may become a baseline and stand together as one; a baseline's file."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from proofrig.comparisons.baseline import (
    alike,
    conditions_of,
    may_save,
    pooled,
    read_file,
    render,
    scenarios_of,
    write_file,
)
from proofrig.comparisons.sample import Sample, TrialSample
from proofrig.errors import UsageError

WHAT = {"suite_digest": "d1", "model": {"name": "sim"}, "retries": {"infra": 2}}


def sample(
    run: str, started_ns: int = 0, *, passes: dict[str, str] | None = None, **more: Any
) -> Sample:
    """A run; `passes`: by case a letter per repeat, + passed, - failed, ? not measured."""
    signs = {"+": True, "-": False, "?": None}
    cases = {"a": "++", "b": "+-"} if passes is None else passes
    trials = [
        TrialSample(case=case, repeat=place, passed=signs[sign], scenario=more.get("scenario", ""))
        for case, letters in cases.items()
        for place, sign in enumerate(letters, 1)
    ]
    told = {"suite": "desk", "suite_digest": "d1", "what": WHAT, "cases": {"a": "1", "b": "2"}}
    told |= {name: value for name, value in more.items() if name != "scenario"}
    return Sample(runs=[run], started_ns=started_ns, trials=trials, **told)


@pytest.mark.parametrize(
    ("settings", "scenarios"),
    [
        ({}, ("",)),
        ({"scenarios": []}, ("",)),
        ({"scenarios": ["drain", "burst"]}, ("burst", "drain")),
        ({"scenarios": ["burst"], "plain": True}, ("", "burst")),
    ],
)
def test_the_plain_plan_is_the_scenario_without_a_name(
    settings: dict[str, Any], scenarios: tuple[str, ...]
) -> None:
    assert scenarios_of(settings) == scenarios


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ({}, {"repeats": 8, "seed": 3, "concurrency": 2, "baselines": False}, True),
        ({}, {"agents": None, "packs": [], "faultless": False}, True),
        ({"packs": ["a", "b"]}, {"packs": ["b", "a"]}, True),
        ({}, {"agents": 32}, False),
        ({"tenants": 4}, {"tenants": 5}, False),
        ({}, {"packs": ["flaky-network"]}, False),
        ({}, {"faultless": True}, False),
        ({}, {"replay": {"mode": "live"}}, False),
    ],
)
def test_conditions_are_what_a_run_is_put_under_besides_its_suite(
    one: dict[str, Any], other: dict[str, Any], equal: bool
) -> None:
    assert (conditions_of(one) == conditions_of(other)) == equal


def test_conditions_are_said_in_words() -> None:
    asked = {"agents": 32, "packs": ["flaky-network"], "tenants": None}
    assert conditions_of(asked) == "agents 32, packs flaky-network"


@pytest.mark.parametrize(
    ("change", "equal"),
    [
        ({"what": WHAT | {"retries": {"infra": 0}, "redirection": "interception"}}, True),
        ({"where": {"cpus": 64}}, True),
        ({"settings": {"repeats": 8, "seed": 3}}, True),
        ({"commit": "c0ffee", "branch": "fix"}, True),
        ({"suite_digest": "d2"}, False),
        ({"suite": "shop"}, False),
        ({"what": WHAT | {"model": {"name": "other"}}}, False),
        ({"what": WHAT | {"egress": {}}}, False),
        ({"settings": {"scenarios": ["burst"]}}, False),
        ({"settings": {"agents": 32}}, False),
    ],
)
def test_runs_are_alike_when_nothing_differs_that_the_agent_could_notice(
    change: dict[str, Any], equal: bool
) -> None:
    assert alike(sample("r-1"), sample("r-2", **change)) == equal


def test_what_is_not_like_the_first_is_left_out_of_the_pool() -> None:
    other = sample("r-2", 2, suite_digest="d2")
    found = pooled([sample("r-3", 3), other, sample("r-1", 1)])
    assert found.runs == ["r-1", "r-3"]
    assert len(found.trials) == 8
    assert {found.runs[trial.run] for trial in found.trials} == {"r-1", "r-3"}


def test_one_run_alone_is_itself() -> None:
    one = sample("r-1")
    assert pooled([one]) is one
    assert pooled([one, sample("r-2", suite_digest="d2")]) is one


@pytest.mark.parametrize(
    ("repeats", "most", "runs"),
    [(1, 20, 20), (4, 20, 5), (8, 20, 2), (3, 20, 6), (4, 1, 1), (4, 0, 1), (30, 20, 1)],
)
def test_runs_are_taken_whole_up_to_the_most_trials_of_a_case(
    repeats: int, most: int, runs: int
) -> None:
    passes = {"a": "+" * repeats, "b": "-" * (repeats - 1)}
    every = [sample(f"r-{n}", n, passes=passes) for n in range(30, 0, -1)]
    found = pooled(every, most)
    assert found.runs == [f"r-{n}" for n in range(31 - runs, 31)]
    counts = Counter(trial.case for trial in found.trials)
    assert counts == {"a": runs * repeats} | ({"b": runs * (repeats - 1)} if repeats > 1 else {})


def test_pooling_ends_where_the_agent_was_another() -> None:
    good, bad = {"a": "+++++", "b": "++++-"}, {"a": "-+---", "b": "-----"}
    by_commit = [good, good, bad, bad, good]  # newest first
    every = [sample(f"r-{5 - n}", 5 - n, passes=one) for n, one in enumerate(by_commit)]
    assert pooled(every).runs == ["r-4", "r-5"]
    assert pooled(every[2:]).runs == ["r-2", "r-3"]
    assert pooled(every[1:]).runs == ["r-4"], "the first is used whatever the others say"


def test_chance_does_not_end_pooling() -> None:
    runs = [{"a": "++-+", "b": "-+++"}, {"a": "+++-", "b": "++-+"}, {"a": "+-++", "b": "+-+-"}]
    every = [sample(f"r-{3 - n}", 3 - n, passes=one) for n, one in enumerate(runs)]
    assert pooled(every).runs == ["r-1", "r-2", "r-3"]


def test_other_scenarios_and_cases_are_no_disagreement() -> None:
    one, other = sample("r-2", 2, passes={"a": "+" * 5}), sample("r-1", 1, passes={"a": "-" * 5})
    other.trials = [msgspec.structs.replace(t, scenario="burst") for t in other.trials]
    assert pooled([one, other]).runs == ["r-1", "r-2"]


def test_trials_that_were_not_measured_fill_no_place() -> None:
    bad = sample("r-2", 2, passes={"a": "?????+"})
    found = pooled([bad, sample("r-1", 1, passes={"a": "+++"})], 4)
    assert found.runs == ["r-1", "r-2"]


def test_each_scenario_has_its_own_room() -> None:
    both = [sample(f"r-{n}", n, passes={"a": "++"}) for n in (3, 2, 1)]
    for one in both:
        one.trials += [msgspec.structs.replace(trial, scenario="burst") for trial in one.trials]
    assert pooled(both, 4).runs == ["r-2", "r-3"]


FINE = {"passes": {"a": "+" * 50, "b": "-" * 50}}


@pytest.mark.parametrize(
    ("given", "how", "why"),
    [
        ({}, {}, None),
        (FINE | {"infra": 2}, {}, None),
        (FINE | {"infra": 3}, {}, r"3 of 100 trials came to nothing .*, more than 2 %"),
        (FINE | {"infra": 3}, {"infra_ceiling": 0.03}, None),
        ({}, {"verdict": "improved"}, None),
        ({}, {"verdict": "inconclusive"}, None),
        ({}, {"verdict": "no worse"}, None),
        ({}, {"verdict": "regressed"}, "it is regressed against the baseline"),
        ({}, {"verdict": "unreliable"}, "it is unreliable against the baseline"),
        ({}, {"status": "interrupted"}, "did not finish: interrupted"),
        ({}, {"status": "stopped"}, "did not finish: stopped"),
        ({"settings": {"only": ["a"]}}, {}, "a selection, 1 of 2 cases"),
        ({"settings": {"replay": {"mode": "strict"}}}, {}, "it was a replay"),
        ({"passes": {"a": "++"}, "cases": dict.fromkeys("abc", "1")}, {}, "only 1 of 3 cases"),
        ({"passes": {"a": "++"}}, {}, None),
        (  # a scenario may play one case only
            {"passes": {"a": "++"}, "cases": dict.fromkeys("abc", "1")}
            | {"settings": {"scenarios": ["burst"]}, "scenario": "burst"},
            {},
            None,
        ),
    ],
)
def test_a_run_may_become_a_baseline_or_there_is_a_reason(
    given: dict[str, Any], how: dict[str, Any], why: str | None
) -> None:
    found = may_save(sample("r-1", **given), **{"status": "finished"} | how)
    if why is None:
        assert found is None
    else:
        assert found is not None and not found.final
        assert re.search(why, found.says)


@pytest.mark.parametrize("passes", [{}, {"a": "??"}], ids=["empty", "unmeasured"])
def test_nothing_can_be_held_against_nothing(passes: dict[str, str]) -> None:
    found = may_save(sample("r-1", passes=passes), status="finished")
    assert found is not None and found.final


def test_a_file_holds_all_of_a_sample(tmp_path: Path) -> None:
    whole = sample("r-1", 5, branch="main", commit="c0ffee", infra=1, where={"cpus": 2})
    whole.measures = {"": {"tool_429_rate": 0.25}, "burst": {"pool_wait_p99_ms": 1e-9}}
    whole.findings = {"": {"lost_update": 2}}
    write_file(tmp_path / "base.json", whole)
    assert read_file(tmp_path / "base.json") == whole
    assert [path.name for path in tmp_path.iterdir()] == ["base.json"]


def test_a_file_has_a_line_for_each_trial_and_says_what_it_is_first() -> None:
    lines = render(sample("r-1")).splitlines()
    assert lines[1] == '"schema": "proofrig.sample/1",'
    assert sum(line.startswith('{"case":') for line in lines) == 4
    assert json.loads(render(sample("r-1", passes={})))["trials"] == []


SCHEMA = "proofrig.sample/1"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no whole JSON"),
        ("\x00\x01", "no whole JSON"),
        (render(sample("r-1"))[:-20], "no whole JSON"),
        ("[]", "JSON without the schema"),
        ('{"run": "r-1", "status": "finished"}', "JSON without the schema"),
        ('{"schema": 7}', "JSON without the schema"),
        ('{"schema": "proofrig.report/1"}', "JSON of schema 'proofrig.report/1'"),
        ('{"schema": "proofrig.sample/2"}', "schema 'proofrig.sample/2'; this proofrig reads"),
        (f'{{"schema": "{SCHEMA}", "suite": "desk"}}', "was changed: .*suite_digest"),
        (render(sample("r-1")).replace('"repeat":2', '"repeat":"x"'), "was changed: .*repeat"),
        (render(sample("r-1")).replace('"repeat":2', '"run":1'), "`runs` to name the run of every"),
        (render(sample("r-1")).replace('["r-1"]', "[]"), "`runs` to name the run of every"),
    ],
    ids=[
        *("empty", "bytes", "cut off", "list", "summary", "number", "report", "newer"),
        *("lacking", "wrong type", "stray run", "no run"),
    ],
)
def test_a_file_that_is_none_says_what_it_seems_to_be(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "base.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=said) as caught:
        read_file(path)
    assert str(path) in str(caught.value)


def test_bytes_that_are_no_text_are_no_baseline(tmp_path: Path) -> None:
    (tmp_path / "base.json").write_bytes(b'{"schema": "\xff\xfe"}')
    with pytest.raises(UsageError, match="no whole JSON"):
        read_file(tmp_path / "base.json")


def test_a_place_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read the baseline .*none\.json: No such file"):
        read_file(tmp_path / "none.json")
    with pytest.raises(UsageError, match=r"cannot write the baseline to .*none/base\.json"):
        write_file(tmp_path / "none" / "base.json", sample("r-1"))
