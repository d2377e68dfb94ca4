"""When a ruling has nothing to add."""

from __future__ import annotations

from typing import Any

import pytest

from proofrig.authority.ruling import ALLOWED, Ruling


@pytest.mark.parametrize(
    ("said", "plain"),
    [
        ({}, True),
        ({"wait_s": 5.0}, True),
        ({"rule": "r"}, False),
        ({"units": {"taint:web": 1}}, False),
        ({"earns": {"step:act": 1}}, False),
        ({"also": ("@writes",)}, False),
        ({"max_tokens": 0}, False),
        ({"effect": "ask"}, False),
        ({"effect": "deny"}, False),
    ],
)
def test_only_what_adds_nothing_is_plain(said: dict[str, Any], plain: bool) -> None:
    assert Ruling(**said).plain is plain
    assert ALLOWED.plain
