"""Long stream: one long answer, and short work beside it a little later."""

from __future__ import annotations

import pytest

from proofrig.errors import UsageError
from proofrig.scenarios.launch import NS
from proofrig.scenarios.long_stream import LongStream
from scenario_facts import facts, parts, shape


def test_the_short_ones_start_while_the_long_ones_stream() -> None:
    [phase] = LongStream(agents=4, streams=2, after_s=0.25).phases(facts())
    assert shape([phase]) == [("streams", 6, 0, None)]
    assert parts(phase) == {"long": 2, "short": 4}
    assert [(start.case, start.at_ns) for start in phase.starts] == [
        *[("ship", 0)] * 2,
        *[("pay", NS // 4), ("shop/list", NS // 4)] * 2,
    ]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"long": ("tag:longer",)}, "expected a case for tag:longer"),
        ({"long": ("*",)}, r"beside the long ones, got only pay, ship, shop/list; name them"),
    ],
)
def test_it_takes_long_and_short_cases(given: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        LongStream.model_validate(given).phases(facts())
