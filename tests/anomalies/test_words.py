"""Every kind of anomaly in words: what, how often, what to do instead."""

from __future__ import annotations

from typing import get_args

import pytest

from proofrig.anomalies.floods import Flood
from proofrig.anomalies.loops import Loop, LoopKind
from proofrig.anomalies.words import flood_says, loop_says


@pytest.mark.parametrize("kind", get_args(LoopKind))
def test_a_loop_is_told_with_its_names_its_count_and_a_way_out(kind: LoopKind) -> None:
    says = loop_says(Loop(kind, 17, 1, 2, ("tool.search", "tool.fetch"), 0), 17)
    assert "search" in says
    assert "17" in says
    assert "finish" in says
    assert "tool." not in says, "a model knows its tools by their own names"


def test_a_flood_is_told_with_its_pace_and_the_usual_one() -> None:
    says = flood_says(Flood("calls", 2, 1, 1200.0, 0.0, 0))
    assert says.startswith("This run makes 1,200 calls per minute; its usual pace is next to none.")
    says = flood_says(Flood("tokens", 2, 1, 2e6, 3e4, 0))
    assert says.startswith("This run uses 2,000,000 tokens per minute; its usual pace is 30,000.")
