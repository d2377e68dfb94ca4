from __future__ import annotations

from typing import Any

import pytest

from proofrig.agents.template import fill, fill_text

VALUES = {"task": "say {seed}", "seed": 7, "messages": [{"role": "user"}]}


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        ("{task}", "say {seed}"),
        ("<{task}>", "<say {seed}>"),
        ("{seed}", 7),
        ("n={seed}", "n=7"),
        ("{messages}", [{"role": "user"}]),
        ("m={messages}", 'm=[{"role": "user"}]'),
        ("{other} {} {{seed}}", "{other} {} {7}"),
        ({"a": ["{seed}", {"{seed}": None}], "b": 1.5}, {"a": [7, {7: None}], "b": 1.5}),
    ],
)
def test_fill(template: Any, filled: Any) -> None:
    assert fill(template, VALUES) == filled


def test_fill_text_is_always_text() -> None:
    assert fill_text("{messages}", VALUES) == '[{"role": "user"}]'
