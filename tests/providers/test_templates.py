"""Texts with expressions in them."""

from __future__ import annotations

from typing import Any

import pytest

from proofrig.errors import UsageError
from proofrig.providers.templates import Missing, compile_condition, compile_value

KNOWN = frozenset({"n", "text", "order"})
NAMES = {"n": 7, "text": "012", "order": {"items": [1, 2], "paid": None}}


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("plain", "plain"),
        (5, 5),
        (None, None),
        ("{{ n }}", 7),
        (" {{ n + 1 }}\n", 8),
        ("{{ text }}", "012"),
        ("{{ order['items'] }}", [1, 2]),
        ("{{ order.paid }}", None),
        ("{{ n }}{{ n }}", "77"),
        ("no. {{ n }}", "no. 7"),
        ("{% if n > 3 %}many{% else %}few{% endif %}", "many"),
        ('{"json": {{ n }}}', '{"json": 7}'),
        ({"a": ["{{ n }}", {"b": "{{ text }}!"}]}, {"a": [7, {"b": "012!"}]}),
    ],
)
def test_values(source: Any, value: Any) -> None:
    assert compile_value(source, KNOWN)(NAMES) == value


@pytest.mark.parametrize(
    "source", ["{{ order.gone }}", "x{{ order.gone }}", "{{ order.paid > 3 }}"]
)
def test_what_is_absent_is_missing_in_texts_and_false_in_conditions(source: str) -> None:
    with pytest.raises(Missing, match="order"):
        compile_value(source, KNOWN)(NAMES)
    condition = source.strip("x{} ")
    assert compile_condition(condition, KNOWN)(NAMES) is False


@pytest.mark.parametrize("source", ["{{ ordr }}", "{{ n", "{% if %}"])
def test_what_cannot_be_meant_is_found_when_it_is_compiled(source: str) -> None:
    with pytest.raises(UsageError, match="expected"):
        compile_value(source, KNOWN)


def test_texts_cannot_reach_into_python() -> None:
    with pytest.raises(Exception, match=r"unsafe|has no attribute"):
        compile_value("{{ text.__class__.__mro__ }}", KNOWN)(NAMES)
