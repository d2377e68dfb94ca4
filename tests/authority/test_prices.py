"""Prices: exact arithmetic, provenance, and no price out of nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from proofrig.authority.prices import (
    TOOL_PREAMBLE,
    PriceTable,
    PriceUnknown,
    default_prices,
    input_token_bound,
    load_prices,
    parse_prices,
)
from proofrig.errors import Denied, SuiteError
from proofrig.wire.turn import Usage

FROM = {"source": "https://vendor.example/pricing", "as_of": "2026-01-31"}
FULL = {"input": 3, "output": 15, "cache_read": 0.3, "cache_write": 3.75, **FROM}


def table(**prices: Any) -> PriceTable:
    return parse_prices({"prices": prices})


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        (Usage(), 0),
        (Usage(input=1000, output=200), 1000 * 3 + 200 * 15),
        (Usage(input=1000, cache_read=900, output=1), 100 * 3 + 270 + 15),
        (Usage(input=1000, cache_write=1000), 3750),
        (Usage(input=1, cache_read=1), 1),  # 0.3 micro-dollars, rounded up
        (Usage(input=2, cache_read=1, cache_write=1), 5),  # 4.05: rounded once, at the end
        (Usage(input=0, cache_read=10), 3),  # more cached than input: charged all the same
    ],
)
def test_a_cost_is_the_sum_of_its_parts_rounded_up(usage: Usage, cost: int) -> None:
    assert table(m=FULL).cost("m", usage) == cost


@pytest.mark.parametrize(
    ("rate", "tokens", "cost"),
    [("0.15", 1_000_000, 150_000), (0.1, 3, 1), ("0.0000001", 10**6, 1), ("1e-1", 10, 1)],
)
def test_the_decimal_that_was_written_counts(rate: object, tokens: int, cost: int) -> None:
    price = {"input": rate, "output": 0, **FROM}
    assert table(m=price).cost("m", Usage(input=tokens)) == cost


def test_an_estimate_takes_the_dearest_rate_an_input_token_can_have() -> None:
    assert table(m=FULL).estimate("m", 1000, 100) == 3750 + 1500


def test_cached_tokens_without_a_rate_cost_what_input_costs() -> None:
    price = table(m={"input": 3, "output": 15, **FROM}).price("m")
    assert (price.cache_read, price.cache_write) == (price.input, price.input)


def test_an_exact_name_wins_then_the_first_glob() -> None:
    prices = table(**{"gpt-*": FULL, "gpt-4*": {**FULL, "input": 9}, "gpt-4": {**FULL, "input": 5}})
    assert [prices.price(m).pattern for m in ("gpt-4", "gpt-4o", "gpt-3")] == [
        "gpt-4",
        "gpt-*",
        "gpt-*",
    ]


def test_an_unknown_model_is_denied_or_costs_the_fallback_and_is_never_free() -> None:
    with pytest.raises(PriceUnknown, match="'other'") as denied:
        table(m=FULL).estimate("other", 1, 1)
    assert isinstance(denied.value, Denied)
    assert denied.value.code == "price_unknown"
    with pytest.raises(PriceUnknown):
        table(m=FULL).cost("other", Usage(input=1))
    prices = parse_prices({"prices": {}, "fallback": FULL})
    assert prices.estimate("other", 1000, 0) == 3750
    assert prices.price("other").pattern == "fallback"


def test_a_table_can_be_made_again_from_its_parts() -> None:
    """As on the way to the rig's process."""
    table = parse_prices({"prices": {"b*": FULL, "b": FULL}, "fallback": {**FULL, "input": 9}})
    assert [price.pattern for price in table.prices] == ["b*", "b"]
    assert table.fallback is not None and table.fallback.input == 9_000_000
    again = PriceTable(list(table.prices), table.fallback)
    for model in ("b", "bc", "other"):
        assert again.price(model) == table.price(model)


def test_of_two_tables_the_first_fallback_holds() -> None:
    plain, dear = table(m=FULL), parse_prices({"fallback": {**FULL, "input": 9}})
    assert plain.fallback is None
    assert plain.over(dear).fallback == dear.fallback
    assert parse_prices({"fallback": FULL}).over(dear).price("x").input == 3_000_000


def test_a_table_lies_over_another() -> None:
    prices = table(**{"sim-large": {**FULL, "input": 7}}).over(default_prices())
    assert prices.price("sim-large").input == 7_000_000
    assert prices.price("sim-small") == default_prices().price("sim-small")


def test_the_bundled_table_prices_the_simulated_models_and_no_others() -> None:
    prices = default_prices()
    for model in ("sim-small", "sim-large", "sim-anything"):
        price = prices.price(model)
        assert min(price.input, price.output, price.cache_read, price.cache_write) > 0
        assert price.source and price.as_of
    with pytest.raises(PriceUnknown):
        prices.price("gpt-4o")


def problems(path: Path) -> list[tuple[int, int, str]]:
    with pytest.raises(SuiteError) as refused:
        load_prices(path)
    assert {problem.file for problem in refused.value.problems} == {str(path)}
    return [(found.line, found.column, found.message) for found in refused.value.problems]


def test_every_problem_of_a_table_is_named_at_its_place(tmp_path: Path) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text(
        """\
prices:
  a: {input: -1, output: x, source: me, as_of: 2026-01-31}
  b:
    input: 1
    output: 1
  c: {input: 1, output: 1, cache_read: , per_call: 1, source: me, as_of: 2026-01-31}
  d: 3
  e: {input: true, output: .nan, cache_write: "1", source: me, as_of: 2026-01-31}
price: {}
"""
    )
    rates = "input, output, cache_read, cache_write, source, as_of"
    dollars = "in US dollars per 1,000,000 tokens"
    assert problems(file) == [
        (2, 14, f"a: expected `input` {dollars}, got -1"),
        (2, 26, f"a: expected `output` {dollars}, got 'x'"),
        (4, 5, "b: expected `source`: where and when the price was read; got none"),
        (4, 5, "b: expected `as_of`: where and when the price was read; got none"),
        (6, 40, f"c: expected `cache_read` {dollars}, got None"),
        (6, 42, f"c: expected one of {rates}; got 'per_call'"),
        (7, 6, "d: expected a mapping of rates, got 3"),
        (8, 14, f"e: expected `input` {dollars}, got True"),
        (8, 28, f"e: expected `output` {dollars}, got nan"),
        (9, 1, "expected the keys prices and fallback, got 'price'"),
    ]


def test_problems_of_a_table_without_a_file_have_no_place() -> None:
    with pytest.raises(SuiteError) as refused:
        parse_prices({"prices": {"a": 3}, "fallback": {**FULL, "input": "dear"}})
    assert str(refused.value).splitlines() == [
        "a: expected a mapping of rates, got 3",
        "fallback: expected `input` in US dollars per 1,000,000 tokens, got 'dear'",
    ]


@pytest.mark.parametrize(
    ("text", "line", "column", "says"),
    [
        ("prices: [1", 1, 9, "broken YAML"),
        ("prices:\n  a: {input: 1, input: 2}\n", 2, 17, "the key `input` is here a second time"),
        ("prices: 3", 1, 9, "expected a mapping `prices`"),
        ("- a", 1, 1, "expected a mapping `prices`"),
        ("", 1, 1, "expected a mapping `prices`"),
    ],
)
def test_a_broken_file_is_refused_with_its_place(
    tmp_path: Path, text: str, line: int, column: int, says: str
) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text(text)
    ((*place, message),) = problems(file)
    assert (place, message[: len(says)]) == ([line, column], says)


def test_an_absent_file_is_refused_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match=r"absent\.yaml"):
        load_prices(tmp_path / "absent.yaml")


def test_a_file_reads_like_the_mapping_it_holds(tmp_path: Path) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text(
        "prices:\n  'm*': {input: 0.15, output: 0.0000001, source: me, as_of: 2026-01-31}\n"
    )
    price = load_prices(file).price("mini")
    assert (price.input, price.output) == (150_000, 1)
    assert (price.source, price.as_of) == ("me", "2026-01-31")


@pytest.mark.parametrize("text", ["plain words", "0123456789", "日本語", "🙂", "a\x00b"])
def test_the_input_bound_counts_every_byte(text: str) -> None:
    body = text.encode()
    assert input_token_bound(body) == len(body)
    assert input_token_bound(body, tools=True, carried=7) == len(body) + TOOL_PREAMBLE + 7
