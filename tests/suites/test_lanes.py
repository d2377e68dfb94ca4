"""What a lane may say, what it makes of a run's options, and what it names in vain."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from proofrig.conclusion import Options
from proofrig.errors import UsageError
from proofrig.suites import Suite
from proofrig.suites.lanes import LaneSettings, lane_of, options_in, unmet

SUITE = Suite.model_validate(
    {
        "suite": "s",
        "agent": {"type": "null"},
        "scenarios": {"burst": {}},
        "cases": [
            {"id": one, "task": one, "tags": tags, "verify": [{"type": "exact", "value": "x"}]}
            for one, tags in (("one", ["smoke"]), ("two", ["smoke", "slow"]), ("three", []))
        ],
    }
)


def lane(**written: Any) -> LaneSettings:
    return LaneSettings.model_validate(written)


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ({"repeats": "many"}, "auto"),
        ({"repeats": 0}, "greater than or equal to 1"),
        ({"usd": 0}, "greater than 0"),
        ({"usd": 0.0000001}, "whole number of 1/1,000,000 dollars"),
        ({"minutes": -1}, "greater than 0"),
        ({"gates": ["accuracy is nice"]}, "accuracy"),
        ({"seconds": 3}, "Extra inputs"),
    ],
)
def test_what_is_no_lane_is_refused(written: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        lane(**written)


FULL = {
    **{"repeats": 4, "tags": ["smoke"], "usd": 0.5, "minutes": 10, "concurrency": 3},
    "baselines": False,
}
TAKEN = {
    **{"auto": False, "repeats": 4, "only": ("one", "two"), "concurrency": 3, "baselines": False},
    **{"usd": 0.5, "minutes": 10.0},
}
NOTHING = {
    **{"auto": False, "repeats": None, "only": (), "concurrency": None, "baselines": True},
    **{"usd": None, "minutes": None},
}


@pytest.mark.parametrize(
    ("written", "asked", "changes"),
    [
        ({}, {}, NOTHING),
        (FULL, {}, TAKEN),
        (FULL, {"repeats": 2}, TAKEN | {"repeats": 2}),
        (FULL, {"auto": True}, TAKEN | {"auto": True, "repeats": None}),
        (FULL, {"only": ("three",)}, TAKEN | {"only": ("three",)}),
        (
            FULL,
            {"concurrency": 9, "baselines": True},
            TAKEN | {"concurrency": 9, "baselines": True},
        ),
        (FULL, {"usd": 9.0, "minutes": 1.0}, TAKEN | {"usd": 9.0, "minutes": 1.0}),
        ({"repeats": "auto"}, {}, NOTHING | {"auto": True}),
        ({"repeats": "auto"}, {"repeats": 3}, NOTHING | {"repeats": 3}),
        ({"cases": ["t*"], "tags": ["slow"]}, {}, NOTHING | {"only": ("two",)}),
        ({"scenarios": ["all"]}, {}, NOTHING | {"scenarios": ("all",), "plain": False}),
        (
            {"scenarios": ["all"], "repeats": 2},
            {},
            NOTHING | {"scenarios": ("all",), "plain": True, "repeats": 2},
        ),
        # what is asked for by name is run alone, as without a lane
        ({"scenarios": ["all"], "repeats": 2}, {"scenarios": ("ramp",)}, NOTHING | {"repeats": 2}),
    ],
)
def test_the_command_line_goes_over_the_lane(
    written: dict[str, Any], asked: dict[str, Any], changes: dict[str, Any]
) -> None:
    assert options_in(lane(**written), SUITE, Options(**asked)) == changes


def test_a_lane_without_cases_is_refused() -> None:
    with pytest.raises(UsageError, match="no case has a tag of slow and is one of one"):
        lane(tags=["slow"], cases=["one"]).selected(SUITE)


@pytest.mark.parametrize(
    ("written", "problems"),
    [
        ({"tags": ["smoke"], "cases": ["t*"], "scenarios": ["all", "ramp"]}, []),
        ({"tags": ["smok"]}, [("tags", "no case has the tag 'smok'; did you mean 'smoke'?")]),
        (
            {"cases": ["four"], "scenarios": ["bursts"]},
            [
                ("cases", "no case is named 'four'; there are: one, three, two"),
                ("scenarios", "there is no scenario 'bursts'; did you mean 'burst'?"),
            ],
        ),
    ],
    ids=["nothing", "tags", "cases-scenarios"],
)
def test_what_a_lane_names_in_vain_is_said(
    written: dict[str, Any], problems: list[tuple[str, str]]
) -> None:
    assert list(unmet(lane(**written), SUITE)) == problems


def test_a_lane_goes_by_its_name() -> None:
    lanes = {"pr": lane(repeats=4), "nightly": lane()}
    assert lane_of(lanes, "pr").repeats == 4
    with pytest.raises(UsageError, match=r"there is no lane 'nightl'; did you mean 'nightly'\?"):
        lane_of(lanes, "nightl")
    with pytest.raises(UsageError, match="there is no lane 'pr'; there are none"):
        lane_of({}, "pr")
