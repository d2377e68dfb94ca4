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
def test_no_rate_passes_through_a_float(rate: object, tokens: int, cost: int) -> None:
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


def test_every_problem_of_a_table_is_named_at_once() -> None:
    with pytest.raises(SuiteError) as refused:
        parse_prices(
            {
                "prices": {
                    "a": {"input": -1, "output": "x", **FROM},
                    "b": {"input": 1, "output": 1},
                    "c": {**FULL, "per_call": 1},
                    "d": 3,
                    "e": {**FULL, "input": True, "output": "nan"},
                },
                "price": {},
            },
            file="prices.yaml",
        )
    shown = [str(problem) for problem in refused.value.problems]
    wanted = ["'price'", "a: expected `input`", "a: expected `output`", "b: expected `source`"]
    wanted += ["b: expected `as_of`", "per_call", "d: expected a mapping", "e: expected `input`"]
    wanted += ["e: expected `output`"]
    assert [part for part in wanted if not any(part in line for line in shown)] == []
    assert all(line.startswith("prices.yaml: ") for line in shown)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("prices: [1", "broken YAML"),
        ("prices:\n  a: {input: 1, input: 2}\n", ":2:17: expected each key once, got 'input'"),
        ("prices: 3", "expected a mapping"),
        ("- a", "expected a mapping"),
    ],
)
def test_a_broken_file_is_refused_with_its_place(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text(text)
    with pytest.raises(SuiteError) as refused:
        load_prices(file)
    assert says in str(refused.value)
    assert str(file) in str(refused.value)


def test_an_absent_file_is_refused_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match=r"absent\.yaml"):
        load_prices(tmp_path / "absent.yaml")


def test_a_file_reads_like_the_mapping_it_holds(tmp_path: Path) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text("prices:\n  'm*': {input: 0.15, output: 1, source: me, as_of: 2026-01-31}\n")
    price = load_prices(file).price("mini")
    assert (price.input, price.source, price.as_of) == (150_000, "me", "2026-01-31")


@pytest.mark.parametrize("text", ["plain words", "0123456789", "日本語", "🙂", "a\x00b"])
def test_the_input_bound_counts_every_byte(text: str) -> None:
    body = text.encode()
    assert input_token_bound(body) == len(body)
    assert input_token_bound(body, tools=True, carried=7) == len(body) + TOOL_PREAMBLE + 7
