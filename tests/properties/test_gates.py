"""Gates over random figures, bounds and outcomes: what no spelling and no trial may change."""

from __future__ import annotations

from decimal import Decimal
from typing import get_args

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from proofrig.comparisons.bounds import hold, is_open, meets
from proofrig.comparisons.gate import Gate, judge_gates, must_abort
from proofrig.comparisons.readings import Reading
from proofrig.figures import FIGURES
from proofrig.results import Score, Summary
from proofrig.thresholds import UNITS, Op, Threshold, parse, shown, written

numbers = st.decimals(0, 10**9, places=4).map(lambda one: one.normalize())
ops = st.sampled_from(get_args(Op))
units = st.sampled_from(sorted(UNITS))


def spelled(number: Decimal, unit: str) -> str:
    plain = format(number, "f")
    return f"${plain}" if unit == "$" else f"{plain} {unit}".strip()


@st.composite
def gates(draw: st.DrawFn) -> str:
    name = draw(st.sampled_from(["accuracy", "p50(duration)", "p99.9(x:y/z)", "measure:a-b"]))
    bound = spelled(draw(numbers), draw(units))
    if draw(st.booleans()):
        factor = draw(numbers.filter(bool))
        sign = draw(st.sampled_from(["+", "-"]))
        more = draw(st.sampled_from(["", f" {sign} {bound}"]))
        bound = f"{draw(st.sampled_from(['', f'{factor:f} * ']))}baseline{more}"
    return f"{name} {draw(ops)} {bound}"


def values(threshold: Threshold) -> Threshold:
    return msgspec.structs.replace(threshold, text="")


@given(gates())
def test_a_gate_written_again_is_the_same_gate(text: str) -> None:
    read = parse(text)
    again = written(read)
    assert values(parse(again)) == values(read)
    assert written(parse(again)) == again


@given(gates(), st.randoms())
def test_space_means_nothing(text: str, random: object) -> None:
    assert values(parse(f" {text.replace(' ', '  ')} ")) == values(parse(text))


@given(st.text(alphabet="pax(9) <>=!$%.*+-e,1bselin", max_size=24))
def test_any_text_is_read_or_refused_with_a_column(text: str) -> None:
    try:
        read = parse(text)
    except ValueError as error:
        assert "in column " in str(error) and str(error).startswith("expected ")
    else:
        assert values(parse(written(read))) == values(read)


@given(numbers, units)
def test_a_figure_shown_in_full_is_read_back(number: Decimal, unit: str) -> None:
    value = parse(f"x < {spelled(number, unit)}").offset
    assert parse(f"x < {shown(value, unit)}").offset == value


@st.composite
def counted(draw: st.DrawFn) -> Reading:
    n = draw(st.integers(1, 30))
    hits, missing = draw(st.integers(0, n)), draw(st.integers(0, 5))
    figure = FIGURES["timeout_rate"]
    return Reading(
        name="x", figure=figure, value=hits / n, hits=hits, n=n, of="trials", missing=missing
    )


shares = st.integers(0, 20).map(lambda twentieth: twentieth / 20)


@given(counted(), ops, shares)
def test_what_is_said_holds_whatever_was_not_measured(
    reading: Reading, op: Op, bound: float
) -> None:
    held = hold(Threshold(text="", figure="x", op=op, offset=bound), reading, {}, sure=False)
    hits, n, missing = int(reading.hits or 0), reading.n, reading.missing
    could = {meets(op, (hits + more) / (n + missing), bound) for more in range(missing + 1)}
    if held.met is not None:
        assert could == {held.met}
    else:
        assert len(could) == 2 or op in ("==", "!=")


@given(counted(), ops, shares)
def test_who_must_be_sure_says_no_other_thing_only_less(
    reading: Reading, op: Op, bound: float
) -> None:
    threshold = Threshold(text="", figure="x", op=op, offset=bound)
    sure, plain = (hold(threshold, reading, {}, sure=sure).met for sure in (True, False))
    assert sure in (plain, None)


@given(st.floats(0, 1), st.floats(0, 1), ops, shares)
def test_what_is_not_open_is_the_same_between_the_ends(
    one: float, other: float, op: Op, bound: float
) -> None:
    low, high = sorted((one, other))
    if not is_open(op, low, high, bound):
        middle = (low + high) / 2
        assert meets(op, middle, bound) == meets(op, low, bound) == meets(op, high, bound)


@given(
    st.lists(st.sampled_from([True, False, None]), min_size=1, max_size=30),
    st.integers(1, 30),
    st.sampled_from([">=", ">", "<", "<=", "=="]),
    shares,
)
def test_a_run_that_was_ended_would_not_have_passed(
    outcomes: list[bool | None], ran: int, op: str, bound: float
) -> None:
    """Abort is asked after `ran` trials; the gate is judged after all of them."""
    gate = Gate(rule="x", threshold=parse(f"accuracy {op} {bound}"), abort=True)
    if must_abort(gate, summary_of(outcomes[:ran]), len(outcomes)):
        (final,) = judge_gates([gate], summary_of(outcomes))
        assert final.state != "pass"


def summary_of(outcomes: list[bool | None]) -> Summary:
    measured = [one for one in outcomes if one is not None]
    score = Score("all", trials=len(outcomes), measured=len(measured), passed=sum(measured))
    return Summary(overall=score)
