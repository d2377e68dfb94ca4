"""Gates as text: what is read, what is refused and how, and how figures are written."""

from __future__ import annotations

import pytest

from proofrig.thresholds import (
    UNITS,
    Op,
    Threshold,
    amount,
    figure_of,
    fitting,
    named,
    parse,
    shown,
    written,
)


def gate(figure: str, op: Op, **more: object) -> Threshold:
    return Threshold(text="", figure=figure, op=op, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("accuracy >= 90 %", gate("accuracy", ">=", offset=0.9, unit="%")),
        ("accuracy>=0.9", gate("accuracy", ">=", offset=0.9)),
        ("leak_rate == 0", gate("leak_rate", "==")),
        ("x <= 7 %", gate("x", "<=", offset=0.07, unit="%")),
        ("p99(pool_wait) < 250ms", gate("pool_wait", "<", quantile=0.99, offset=2.5e8, unit="ms")),
        ("p99.9( d )<1.5 min", gate("d", "<", quantile=0.999, offset=9e10, unit="min")),
        ("cost_per_trial <= $0.50", gate("cost_per_trial", "<=", offset=0.5, unit="$")),
        ("cost != 3 USD", gate("cost", "!=", offset=3.0, unit="USD")),
        ("x > 2e3 kB", gate("x", ">", offset=2e6, unit="kB")),
        ("x > -.5", gate("x", ">", offset=-0.5)),
        ("x <= baseline", gate("x", "<=", scale=1.0)),
        ("x <= 2*baseline", gate("x", "<=", scale=2.0)),
        ("x >= baseline - 5 %", gate("x", ">=", scale=1.0, offset=-0.05, unit="%")),
        ("x < 1.1 * baseline + 20ms", gate("x", "<", scale=1.1, offset=2e7, unit="ms")),
        ("measure:a.b/c-d:e@1 < 3", gate("measure:a.b/c-d:e@1", "<", offset=3.0)),
        ("p99 < 3", gate("p99", "<", offset=3.0)),
    ],
)
def test_a_gate_is_read(text: str, wanted: Threshold) -> None:
    found = parse(f"  {text}\n")
    assert found.text == text
    values = ("figure", "op", "quantile", "scale", "offset", "unit")
    for name in values:
        assert getattr(found, name) == getattr(wanted, name), name


@pytest.mark.parametrize(
    ("text", "column", "expected", "got", "hint"),
    [
        ("", 1, "the name of a figure", "nothing more", ""),
        ("90 % <= x", 1, "the name of a figure", "`90`", ""),
        ("accuracy", 9, "one of >=, <=, >, <, ==, !=", "nothing more", ""),
        ("accuracy => 90 %", 10, "one of >=", "`=>`", "did you mean `>=`?"),
        ("accuracy = 1", 10, "one of >=", "`=`", "did you mean `==`?"),
        ("accuracy ≥ 1", 10, "one of >=", "`≥`", "did you mean `>=`?"),
        ("accuracy above 1", 10, "one of >=", "`above`", "did you mean `>`?"),
        ("p99 pool_wait < 3", 5, "`(`", "`pool_wait`", "did you mean `p99(pool_wait)`?"),
        ("avg (x) < 3", 1, "a quantile before `(`: p50", "`avg`", ""),
        ("p0(x) < 3", 1, "a quantile", "`p0`", ""),
        ("p99() < 3", 5, "the name of a figure", "`)`", ""),
        ("p99(x < 3", 7, "`)`", "`<`", ""),
        ("x <", 4, "a number", "nothing more", ""),
        ("x < $", 6, "a number", "nothing more", ""),
        ("x < Baseline", 5, "a number or `baseline`", "`Baseline`", "did you mean `baseline`?"),
        ("x < many", 5, "a number or `baseline`", "`many`", ""),
        ("x < 2 * bse", 9, "`baseline`", "`bse`", ""),
        ("x < 2 * 3", 9, "`baseline`", "`3`", ""),
        ("x < 2 baseline", 7, "a unit", "`baseline`", "did you mean `2 * baseline`?"),
        ("x < 2x baseline", 6, "a unit", "`x`", "did you mean `2 * baseline`?"),
        ("x < baseline * 2", 14, "`+`, `-` or the end", "`*`", "the factor first: 2 * baseline"),
        ("x < 110 % * baseline", 11, "the end of the gate", "`*`", "1.1 * baseline"),
        ("x < 0 * baseline", 5, "another factor than 0", "`0`", "write that"),
        ("x < 3 sec", 7, "a unit (% ns us ms s min h B kB MB GB USD)", "`sec`", "mean `3 s`?"),
        ("x < 3 MS", 7, "a unit", "`MS`", "did you mean `3 ms`?"),
        ("x < 3 percent", 7, "a unit", "`percent`", "did you mean `3 %`?"),
        ("x < 3 parsecs", 7, "a unit", "`parsecs`", ""),
        ("x < 1,000", 6, "a number without commas", "`,`", "write 1000 for 1,000"),
        ("x < 1e999", 5, "a number that can be reached", "`1e999`", ""),
        ("x < 2$", 6, "the end of the gate", "`$`", "before the number: $2"),
        ("x < 5 % and y < 3", 9, "the end of the gate", "`and`", "each gate as an item"),
    ],
)
def test_what_is_no_gate_is_refused_where_it_stops_to_be_one(
    text: str, column: int, expected: str, got: str, hint: str
) -> None:
    with pytest.raises(ValueError) as caught:
        parse(text)
    said = str(caught.value)
    assert said.startswith(f"expected {expected}")
    assert f", got {got} in column {column} of `{text}`" in said
    assert said.endswith(hint) if hint.endswith("?") or not hint else hint in said
    assert (";" in said) == bool(hint)


def test_a_gate_on_a_baseline_says_so() -> None:
    held, fixed = parse("x <= 2 * baseline + 1"), parse("x <= 3")
    assert (held.needs_baseline, fixed.needs_baseline) == (True, False)
    assert (held.bound(5.0), fixed.bound(5.0)) == (11.0, 3.0)


@pytest.mark.parametrize(
    ("text", "again"),
    [
        ("p99(x)<250ms", "p99(x) < 250 ms"),
        ("x<=$.5", "x <= $0.5"),
        ("x<=1*baseline-0.05", "x <= baseline - 0.05"),
        ("x<=1.10*baseline+0 %", "x <= 1.1 * baseline + 0 %"),
        ("x < 1e6", "x < 1000000"),
        ("x > -5%", "x > -5 %"),
    ],
)
def test_a_gate_is_written_again(text: str, again: str) -> None:
    assert written(parse(text)) == again


@pytest.mark.parametrize(
    ("text", "found"),
    [("accuracy", ("accuracy", None)), (" p95(duration) ", ("duration", 0.95))],
)
def test_a_figure_alone(text: str, found: tuple[str, float | None]) -> None:
    assert figure_of(text) == found
    assert named(*found) == text.strip()


def test_a_figure_alone_has_no_bound() -> None:
    with pytest.raises(ValueError, match="and no more, got `<` in column 10"):
        figure_of("accuracy < 3")


@pytest.mark.parametrize(
    ("text", "found"),
    [("5 %", (0.05, "%")), ("30s", (3e10, "s")), ("$2", (2.0, "$")), ("0.25", (0.25, ""))],
)
def test_an_amount_alone(text: str, found: tuple[float, str]) -> None:
    assert amount(text) == found


@pytest.mark.parametrize("text", ["", "5 % of it", "baseline", "x"])
def test_what_is_no_amount(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected a number"):
        amount(text)


@pytest.mark.parametrize(
    ("value", "unit", "digits", "text"),
    [
        (0.86666, "%", 0, "86.666 %"),
        (0.86666, "%", 3, "86.7 %"),
        (0.07, "%", 0, "7 %"),
        (1_234_567.0, "", 3, "1234567"),
        (250.5e6, "ms", 3, "251 ms"),
        (250.5e6, "ms", 0, "250.5 ms"),
        (12.34567, "$", 3, "$12.3"),
        (-0.5, "$", 0, "-$0.5"),
        (2_000_000.0, "MB", 0, "2 MB"),
        (0.0, "%", 3, "0 %"),
    ],
)
def test_a_figure_is_shown_in_a_unit(value: float, unit: str, digits: int, text: str) -> None:
    assert shown(value, unit, digits=digits) == text


@pytest.mark.parametrize(
    ("kind", "value", "unit"),
    [
        ("share", 0.5, "%"),
        ("USD", 0.5, "$"),
        ("ns", 12.0, "ns"),
        ("ns", 0.0, "ms"),
        ("ns", 2.5e8, "ms"),
        ("ns", -2.5e9, "s"),
        ("ns", 9e10, "min"),
        ("bytes", 10.0, "B"),
        ("bytes", 2e9, "GB"),
        ("tokens", 10.0, ""),
    ],
)
def test_a_unit_that_fits(kind: str, value: float, unit: str) -> None:
    assert fitting(kind, value) == unit
    assert unit in UNITS
