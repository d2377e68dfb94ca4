"""The catalogue of figures: what checkers measure is in it, under one name; the guide has it."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from proofrig.checkers import CHECKERS
from proofrig.checkers.checker import Checked, Setting
from proofrig.comparisons.metrics import AMOUNTS, RATES, duration_metric
from proofrig.comparisons.metrics import QUANTILES as TAKEN
from proofrig.figures import (
    COMPARED,
    FIGURES,
    GROUPS,
    MEASURES,
    RUN,
    SCORE,
    called,
    find,
    quantiles_of,
)
from proofrig.thresholds import named
from specimens.simulated_load import SPECIMENS
from specimens.simulated_load.judging import judged

GUIDE = Path(__file__).parents[1] / "docs" / "guides" / "gates.md"
CHECKED = Path(__file__).parents[1] / "src" / "proofrig" / "checkers"
INTERNAL = ("alone:", "signature:")


@cache
def every() -> list[Checked]:
    """What all checkers come to of nothing, and those of load of systems that we know."""
    nothing = [checker(Setting()).result() for checker in CHECKERS]
    return nothing + [judged(checker, history(0)) for *_, checker, history in SPECIMENS]


def test_every_measure_of_a_checker_has_a_name_here() -> None:
    measured = {(one.checker, name) for one in every() for name in one.measures}
    assert len(measured) > 60
    for checker, measure in sorted(measured):
        if not measure.startswith(INTERNAL):
            told = called(measure)
            assert told is not None, f"{checker} measures {measure}, which is in no catalogue"
            assert told.figure.source == checker


def written(checker: Path) -> str:
    """The text of a checker, with that of the parts it is made of."""
    text = checker.read_text()
    parts = re.findall(r"^from proofrig\.checkers\.(_\w+) import", text, re.MULTILINE)
    return "\n".join([text, *((CHECKED / f"{part}.py").read_text() for part in parts)])


def test_every_figure_of_a_checker_is_measured() -> None:
    """Seen in what they came to, or else written in the checker."""
    seen = {
        name.partition(":")[0] + name.partition(":")[1] for one in every() for name in one.measures
    }
    for raw, told in MEASURES.items():
        if raw not in seen:
            text = written(CHECKED / f"{told.figure.source}.py")
            stems = (raw, raw.rpartition("_")[0] + "_{")
            assert any(stem in text for stem in stems), f"{told.figure.source} has no {raw}"


def test_what_a_figure_is_measured_over_is_counted() -> None:
    counted = {one.checker: set(one.exposure) for one in every()}
    for figure in FIGURES.values():
        if figure.over:
            assert figure.over in counted[figure.source], figure.name


def test_figures_come_from_somewhere_and_are_of_something() -> None:
    sources = {SCORE, RUN} | {checker.name for checker in CHECKERS}
    assert len(FIGURES) == sum(map(len, GROUPS.values())), "a name is there twice"
    for figure in FIGURES.values():
        assert figure.source in sources
        assert figure.says and not figure.says.endswith(".")
        assert not (figure.interval and figure.unit != "share"), figure.name


@pytest.mark.parametrize(
    ("name", "figure"),
    [
        ("accuracy", "accuracy"),
        ("pass_at_4", "pass_at_k"),
        ("pass_hat_16", "pass_hat_k"),
        ("amplification", "amplification"),
        ("amplification:tool.search", "amplification"),
        ("case:status/late", "case"),
        ("pass_at_0", None),
        ("accuracy:x", None),
        ("amplification:", None),
        ("acuracy", None),
    ],
)
def test_a_figure_is_found_by_its_name(name: str, figure: str | None) -> None:
    found = find(name)
    assert (found.name if found else None) == figure


@pytest.mark.parametrize(
    ("measure", "name", "scale"),
    [
        ("tool_429_rate", "tool_429_rate", 1.0),
        ("pool_wait_p99_ms", "p99(pool_wait)", 1e6),
        ("pool_wait_p95_ms:llm", "p95(pool_wait:llm)", 1e6),
        ("recovery_ms", "recovery", 1e6),
        ("retry_amplification", "amplification", 1.0),
        ("amplification:llm", "amplification:llm", 1.0),
        ("goodput:api:acme", "goodput:api:acme", 1.0),
        ("leak_rate", "leaking_trials", 1.0),
    ],
)
def test_a_measure_is_called_as_a_gate_asks_for_it(measure: str, name: str, scale: float) -> None:
    told = called(measure)
    assert told is not None
    assert (named(told.name, told.quantile), told.scale) == (name, scale)


@pytest.mark.parametrize("measure", ["my_own", "pool_wait_p98_ms", "case", "signature:a:b:c"])
def test_what_is_not_in_the_catalogue_is_called_nothing(measure: str) -> None:
    assert called(measure) is None


@pytest.mark.parametrize(
    ("name", "kept"),
    [("duration", (50, 95, 99)), ("pool_wait:llm", (95,)), ("lock_wait", (99,)), ("cost", ())],
)
def test_which_quantiles_are_kept(name: str, kept: tuple[int, ...]) -> None:
    figure = find(name)
    assert figure is not None
    assert quantiles_of(figure, name) == kept


def test_a_comparison_has_a_verdict_on_what_it_takes_from_trials() -> None:
    told = {one.name for one in (*AMOUNTS, *RATES)} | {duration_metric(q) for q in TAKEN}
    assert set(COMPARED) == told | {"accuracy", "pass_hat_k"}


def rows() -> list[str]:
    """The guide's tables, as the catalogue has them."""
    made = []
    for group, figures in GROUPS.items():
        made.append(f"### {group}")
        for figure in figures:
            name = figure.name
            if figure.parts:
                name = f"{name}:<{figure.parts}>" if figure.only else f"{name}[:<{figure.parts}>]"
            kept = " ".join(f"p{q}" for q in figure.quantiles)
            asked = f"{kept.replace(' ', ', ')} of `{name}`" if kept else f"`{name}`"
            better = figure.better or "-"
            made.append(f"| {asked} | {figure.unit} | {better} | {figure.source} | {figure.says} |")
    return made


def test_the_guide_has_every_figure() -> None:
    lines = GUIDE.read_text().splitlines()
    start = lines.index("## Figures")
    shown = [line for line in lines[start:] if line.startswith(("### ", "| "))]
    shown = [line for line in shown if not line.startswith("| Figure")]
    assert shown[: len(rows())] == rows(), "what stands there is in tests/test_figures.py: rows()"
