"""Gates and baselines in a suite: both forms, and what cannot be judged, each at its place."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from proofrig.errors import UsageError
from proofrig.figures import COMPARED
from proofrig.problems import Origin, problems_of
from proofrig.suites.case import Settings
from proofrig.suites.gates import (
    AnyGate,
    BaselineSettings,
    Duration,
    GateSettings,
    Share,
    gate_of,
    problem_of,
)
from proofrig.thresholds import parse
from proofrig.yaml12 import parse as read_yaml


class Part(Settings):
    """What of a suite this is about."""

    gates: tuple[AnyGate, ...] = ()
    baseline: BaselineSettings = BaselineSettings()


def told(text: str) -> list[str]:
    """What is wrong with a part of a suite, as it is told."""
    document = read_yaml(text.encode(), "suite.yaml")
    with pytest.raises(ValidationError) as caught:
        Part.model_validate(document.value)
    schema = TypeAdapter(Part).json_schema()
    problems = problems_of(caught.value, schema, document.value, Origin(document))
    return [str(problem) for problem in problems]


def test_a_text_and_a_mapping_are_the_same_gate() -> None:
    text, mapping = Part.model_validate(
        {"gates": ["accuracy >= 90 %", {"check": "accuracy >= 90 %"}]}
    ).gates
    assert text == mapping
    assert text.threshold() == parse("accuracy >= 90 %")
    assert text.rule() == "accuracy >= 90 %"


def test_a_mapping_says_more() -> None:
    written = {"check": "leak_rate <= 1 %", "scenario": "burst", "sure": True}
    more = {"abort_on_fail": True, "after": "30s"}
    gate = GateSettings.model_validate(written | more)
    assert (gate.scenario, gate.sure, gate.abort_on_fail, gate.after) == ("burst", True, True, 30)
    assert gate.rule() == "leak_rate <= 1 % in burst (sure)"


def test_a_metric_that_must_not_be_worse() -> None:
    gate = GateSettings.model_validate({"regression": "p95(duration)", "min_effect": "10 %"})
    assert (gate.threshold(), gate.regression, gate.min_effect) == (None, "p95(duration)", 0.1)
    assert (gate.margin, gate.rule()) == (None, "no regression of p95(duration)")


@pytest.mark.parametrize("metric", COMPARED)
def test_whatever_a_comparison_judges_can_be_a_gate(metric: str) -> None:
    assert GateSettings(regression=f" {metric} ").regression == metric


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ("cost_per_trial", "a comparison is by the trial: write `cost`"),
        ("leak_rate", "a comparison has no verdict on leak_rate, but on accuracy, pass_hat_k"),
        ("p99(duration)", "write what it may come to, as `check: p99(duration) <= 1.1 * baseline`"),
        ("duration", "`duration` is a spread: write p50(duration)"),
    ],
)
def test_what_a_comparison_does_not_judge_is_refused(metric: str, said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        GateSettings(regression=metric)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "gate", [{"check": "accuracy >= 0.9"}, {"regression": "accuracy", "margin": 0.1}]
)
def test_what_is_kept_of_a_gate_is_the_gate(gate: dict[str, Any]) -> None:
    made = GateSettings.model_validate(gate)
    assert GateSettings.model_validate(made.model_dump(mode="json")) == made


def test_a_baseline_has_terms_of_its_own() -> None:
    assert BaselineSettings().margin == 0.05
    written = {"branch": "release", "pool": 5, "margin": "10 %", "alpha": 0.1, "cases": "sampled"}
    made = BaselineSettings.model_validate(written)
    assert (made.branch, made.pool, made.margin, made.alpha, made.cases) == (
        *("release", 5, 0.1, 0.1, "sampled"),
    )
    assert (made.autosave, made.min_effect, made.infra_ceiling) == (True, 0.01, 0.02)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("accuracy => 90 %", "2:5: gates[0]: expected one of >="),
        ('{check: "acuracy > 0"}', "2:13: gates[0].check: there is no figure `acuracy`. Did you"),
        ("3", "2:5: gates[0]: expected a gate, as `accuracy >= 90 %`, or a mapping"),
        ("{}", "2:5: gates[0]: expected either `check` or `regression`, got neither"),
        ("{chek: a}", "2:6: gates[0]: unknown key `chek`"),
        (
            "{regression: accuracy, check: accuracy > 0}",
            "2:5: gates[0]: expected either `check` or `regression`, got both",
        ),
        ("{check: accuracy > 0, margin: 5 %}", "2:5: gates[0]: `margin` belongs to `regression`"),
        ("{regression: cost, margin: 5 %}", "2:5: gates[0]: `margin` is that of accuracy"),
        ("{regression: accuracy, sure: true}", "2:5: gates[0]: `sure` belongs to `check`"),
        ("{check: accuracy > 0, after: 3}", "2:5: gates[0]: `after` belongs to `abort_on_fail"),
        (
            "{check: accuracy > 0, scenario: brust}",
            "2:37: gates[0].scenario: there is no scenario 'brust'. Did you mean `burst`?",
        ),
        (
            "{check: accuracy > 0, scenario: nowhere_near}",
            "2:37: gates[0].scenario: there is no scenario 'nowhere_near'. There are: sequential",
        ),
        (
            "{check: accuracy > 0, abort_on_fail: true, after: 5 %}",
            "2:55: gates[0].after: expected a time, as 30s, 5min or a number of seconds",
        ),
        ("{regression: tokns}", "2:18: gates[0].regression: there is no figure `tokns`."),
        ("{regression: p95(duration) < 3}", "2:18: gates[0].regression: expected the name"),
        (
            "{regression: tokens, min_effect: 10}",
            "2:38: gates[0].min_effect: expected a share from 0 to 1, as 5 % or 0.05, got 10",
        ),
    ],
)
def test_what_is_no_gate_is_told_where_it_stands(line: str, said: str) -> None:
    (problem,) = told(f"gates:\n  - {line}\n")
    assert problem.startswith(f"suite.yaml:{said}")


def test_every_gate_that_is_wrong_is_told() -> None:
    problems = told("gates:\n  - accuracy > 3\n  - accuracy > 0\n  - cost < 3 s\n")
    assert [problem.split(": ")[1] for problem in problems] == ["gates[0]", "gates[2]"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("pool: 0", "baseline.pool: expected a number greater than or equal to 1, got 0"),
        ("margin: 5", "baseline.margin: expected a share from 0 to 1, as 5 % or 0.05, got 5"),
        ("margin: 2 s", "baseline.margin: expected a share, as 5 % or 0.05, got '2 s'"),
        ("margin: true", "baseline.margin: expected a number, got true"),
        ("alpha: 60 %", "baseline.alpha: expected a number less than or equal to 0.5"),
        ("alpha: 0", "baseline.alpha: expected a number greater than 0"),
        ("cases: fixd", "baseline.cases: expected 'fixed' or 'sampled', got \"fixd\""),
        ("brunch: main", "baseline: unknown key `brunch`"),
    ],
)
def test_what_is_no_baseline(line: str, said: str) -> None:
    (problem,) = told(f"baseline:\n  {line}\n")
    assert problem.partition(": ")[2].startswith(said)


@pytest.mark.parametrize(
    "text",
    [
        *("accuracy >= 90 %", "accuracy >= 0.9", "accuracy >= baseline - 5 %", "pass_at_4 > 0.5"),
        *("tool_429_rate <= 2 * baseline", "leak_rate == 0", "lost_updates == 0"),
        *("p99(pool_wait) < 250ms", "p95(pool_wait:llm) < 1 s", "p50(llm_latency) < baseline + 1s"),
        *("cost <= $1.50", "cost_per_trial <= 1.1 * baseline", "tokens < 1000000"),
        *("amplification <= 1.2", "amplification:tool.search <= 1.2", "cap:kv.max_entries <= 90 %"),
        *("case:status/late >= 50 %", "measure:mine > 3", "measure:mine:x <= 2 * baseline"),
        "p99(pool_wait) < 0",
    ],
)
def test_what_can_be_judged(text: str) -> None:
    assert problem_of(parse(text)) == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tool_420_rate > 0", "there is no figure `tool_420_rate`. Did you mean `tool_429_rate`"),
        ("mine > 3", "there is no figure `mine`. A measure of a checker of your own is written"),
        ("measure: > 3", "expected measure:<name>, as the checker calls it"),
        ("p95(measure:mine) > 3", "expected measure:<name>, as the checker calls it"),
        ("measure:mine < 3 ms", "measure:mine is compared as it is: write a plain number"),
        ("pool_wait_p99_ms < 3", "the measure `pool_wait_p99_ms` is asked for as `p99(pool_wait)`"),
        ("measure:recovery_ms < 3", "the measure `recovery_ms` is asked for as `recovery`"),
        ("measure:leak_rate < 3", "the measure `leak_rate` is asked for as `leaking_trials`"),
        ("case > 0", "say of which: `case:<case>`"),
        ("accuracy:x > 0", "`accuracy` has no parts"),
        ("amplification: > 0", "say of which: `amplification:<service>`"),
        ("pool_wait < 3 s", "`pool_wait` is a spread: write p50(pool_wait) or p95(pool_wait) or"),
        ("p99(accuracy) > 0", "`accuracy` is one number and has no quantiles"),
        ("p99.9(duration) < 3 s", "expected p50(duration) or p95(duration) or p99(duration), got"),
        ("p99(pool_wait:llm) < 3 s", "expected p95(pool_wait:llm), got p99(pool_wait:llm)"),
        ("p99(pool_wait) < 250", "pool_wait is a time: write 250ms, 30s, 5min; 250 of what?"),
        ("p99(pool_wait) < 2 %", "pool_wait is a time: write 250ms, 30s, 5min, and has no unit %"),
        ("p95(memory_peak) < 512", "memory_peak is a size: write 64 kB, 512 MB; 512 of what?"),
        ("p95(memory_peak) < 3 s", "memory_peak is a size: write 64 kB, 512 MB, and has no unit s"),
        ("accuracy >= 90", "accuracy is a share and never above 100 %; did you mean 90 %?"),
        ("accuracy >= 101 %", "accuracy is a share and never above 100 %"),
        (
            "accuracy >= baseline - 5",
            "accuracy is a share and never above 100 %; did you mean 5 %?",
        ),
        ("accuracy >= -5 %", "accuracy is never below 0"),
        ("p95(duration) < -3 s", "duration is never below 0"),
        ("pass^4 >= 50 %", "there is no figure `pass^4`. Did you mean `pass_hat_4`?"),
        ("pass@k >= 50 %", "there is no figure `pass@k`. Did you mean `pass_at_k`?"),
        ("pass^0 >= 50 %", "there is no figure `pass^0`. "),
        ("accuracy >= 3 s", "accuracy is a share: write 5 %, or 0.05, and has no unit s"),
        ("lost_updates <= 5 %", "lost_updates is a plain number, and has no unit %"),
        ("amplification <= 120 %", "amplification is a plain number, and has no unit %"),
        (
            "cost_per_trial <= baseline + 10 %",
            "cost_per_trial is US dollars: write $0.50, or 0.5, and has no unit %; for a part of "
            "the baseline write 1.1 * baseline",
        ),
        (
            "cost <= 1.2 * baseline",
            "cost depends on how many trials ran: no baseline tells; take cost_per_trial",
        ),
        ("unattributed <= baseline", "unattributed depends on how many trials ran: no baseline"),
    ],
)
def test_what_cannot_be_judged_is_refused(text: str, said: str) -> None:
    assert problem_of(parse(text)).startswith(said)


@pytest.mark.parametrize(
    ("text", "more", "said"),
    [
        ("flaky_rate < 0.1", {"scenario": "burst"}, "flaky_rate is known of the whole run alone"),
        ("p95(duration) < 3 s", {"sure": True}, "`sure` needs an interval, and that of p95"),
        ("measure:mine < 3", {"sure": True}, "`sure` needs an interval"),
        ("leak_rate == 0", {"sure": True}, "no sample is sure to be exactly a number"),
    ],
)
def test_what_a_figure_cannot_do_is_refused(text: str, more: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        GateSettings.model_validate({"check": text} | more)


@pytest.mark.parametrize(
    ("written", "value"), [("5 %", 0.05), (0.05, 0.05), ("0.05", 0.05), (0, 0.0), (1, 1.0)]
)
def test_a_share(written: object, value: float) -> None:
    assert TypeAdapter(Share).validate_python(written) == value


@pytest.mark.parametrize(
    ("written", "value"), [("30s", 30.0), ("1.5min", 90.0), (30, 30.0), ("30", 30.0), (0.5, 0.5)]
)
def test_a_duration_is_in_seconds(written: object, value: float) -> None:
    assert TypeAdapter(Duration).validate_python(written) == value


@pytest.mark.parametrize("written", [-1, "30 %", "2 days", True, None, "90000s"])
def test_what_is_no_duration(written: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Duration).validate_python(written)


def test_a_gate_of_the_command_line() -> None:
    assert gate_of("accuracy >= 90 %").threshold() == parse("accuracy >= 90 %")
    with pytest.raises(UsageError, match=r"gate 'acuracy > 0': there is no figure `acuracy`"):
        gate_of("acuracy > 0")
