"""The contract's own few words of code."""

from __future__ import annotations

import math

import pytest

from proofrig.sandboxes.sandbox import Command


@pytest.mark.parametrize(("timeout_s", "deadline_s"), [(2.5, 2.5), (math.inf, None)])
def test_an_infinite_timeout_is_no_deadline(timeout_s: float, deadline_s: float | None) -> None:
    command = Command(argv=["true"], env={}, cwd="/", timeout_s=timeout_s)
    assert command.deadline_s == deadline_s
