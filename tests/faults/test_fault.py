"""What a fault strikes and when, as tables, and what is said of bad input."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import msgspec
import pytest
from pydantic import ValidationError

from fault_rig import CALL, Bench, call_at
from proofrig.faults.fault import Calls, Fault, Target, When
from proofrig.faults.latency import Latency
from proofrig.wire.outbound import Surface

S = 1_000_000_000
FULL = msgspec.structs.replace(
    CALL,
    tenant="acme",
    scope="acme/shop/bot/r1/child",
    case="refund",
    scenario="burst",
    tool="search_web",
    server="web",
    model="sim-small",
    path="/v1/messages",
    host="api.example.com",
    service="stock",
    name="llm.messages",
)


class OnlyModels(Fault):
    surfaces: ClassVar[tuple[Surface, ...]] = ("llm",)
    kind: Literal["only_models"] = "only_models"


class Services(Fault):
    surfaces: ClassVar[tuple[Surface, ...]] = ("service",)
    kind: Literal["services"] = "services"


@pytest.mark.parametrize(
    ("on", "fits"),
    [
        ({}, True),
        ({"at": "llm"}, True),
        ({"at": "tool"}, False),
        ({"at": ["tool", "llm"]}, True),
        ({"tenant": "acme"}, True),
        ({"tenant": "ac"}, False),
        ({"tenant": "AC*"}, False),
        ({"agent": "bot"}, True),
        ({"agent": "shop"}, False),
        ({"case": "ref*"}, True),
        ({"scenario": ["solo", "burst"]}, True),
        ({"tool": "search_*"}, True),
        ({"server": "w?b"}, True),
        ({"model": "sim*", "tool": "other"}, False),
        ({"model": "sim*", "tool": "search*"}, True),
        ({"path": "/v1/*"}, True),
        ({"host": "*.example.com"}, True),
        ({"service": "stoc"}, False),
        ({"name": "llm.*"}, True),
        ({"name": ["tool.*", "egress.*"]}, False),
    ],
)
def test_a_target_fits_what_all_of_its_parts_name(on: dict[str, Any], fits: bool) -> None:
    assert Target.model_validate(on).fits(FULL) is fits


def test_a_part_that_a_call_does_not_have_is_not_named_by_a_glob_for_something() -> None:
    assert not Target(tool="?*").fits(CALL)
    assert Target(tool="*").fits(CALL)
    assert CALL.agent == "" and call_at(scope="a/b").agent == ""


@pytest.mark.parametrize(
    ("nth", "meant"),
    [
        (None, [1, 2, 3, 4, 5, 6, 7, 8]),
        (3, [3]),
        ([1, 4], [1, 4]),
        ({"from": 6}, [6, 7, 8]),
        ({"every": 3}, [1, 4, 7]),
        ({"from": 2, "every": 3}, [2, 5, 8]),
        ({"from": 2, "to": 6, "every": 2}, [2, 4, 6]),
        ({"to": 2}, [1, 2]),
    ],
)
def test_which_of_the_calls_that_fit(nth: Any, meant: list[int]) -> None:
    target = Target.model_validate({"nth": nth})
    assert [n for n in range(1, 9) if target.meant(n)] == meant


def test_calls_can_be_written_in_code() -> None:
    assert Calls(first=2, every=2) == Calls.model_validate({"from": 2, "every": 2})


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        ({}, {0: True, 100: True}),
        ({"after_s": 5}, {0: False, 4.9: False, 5: True, 900: True}),
        ({"for_s": 10}, {0: True, 9.9: True, 10: False}),
        ({"after_s": 5, "for_s": 10}, {4: False, 5: True, 14.9: True, 15: False}),
        (
            {"after_s": 5, "for_s": 10, "every_s": 30},
            {4: False, 5: True, 15: False, 34.9: False, 35: True, 44: True, 45: False, 65: True},
        ),
        ({"for_s": 3, "every_s": 3}, {0: True, 3: True, 4.5: True}),
    ],
)
def test_its_times(when: dict[str, Any], holds: dict[float, bool]) -> None:
    times = When.model_validate(when)
    began = 1_000 * S
    of_trial = {at: times.holds(began + round(at * S), began) for at in holds}
    assert of_trial == holds
    of_run = times.model_copy(update={"since": "run"})
    assert {at: of_run.holds(round(at * S), began) for at in holds} == holds


@pytest.mark.parametrize(
    ("fault", "written", "message"),
    [
        (Latency, {"on": {"nth": 0}}, "greater than or equal to 1"),
        (Latency, {"on": {"nth": "2"}}, "valid integer"),
        (Latency, {"on": {"at": "models"}}, "'llm', 'tool', 'egress' or 'service'"),
        (Latency, {"on": {"tol": "x"}}, "Extra inputs are not permitted"),
        (Latency, {"probability": 1.5}, "less than or equal to 1"),
        (Latency, {"probability": float("nan")}, "less than or equal to 1"),
        (Latency, {"times": 0}, "greater than or equal to 1"),
        (Latency, {"times": True}, "valid integer"),
        (Latency, {"ms": float("inf")}, "finite number"),
        (Latency, {"ms": -1}, "greater than or equal to 0"),
        (Latency, {"name": "two words"}, "should match pattern"),
        (Latency, {"kind": "late"}, "Input should be 'latency'"),
        (Latency, {"pact": 1}, "Extra inputs are not permitted"),
        (Latency, {"when": {"every_s": 5}}, "expected `for_s` beside `every_s`"),
        (Latency, {"when": {"every_s": 5, "for_s": 6}}, "not longer than it"),
        (Latency, {"when": {"every_s": 0, "for_s": 0}}, "greater than 0"),
        (OnlyModels, {"on": {"at": "tool"}}, "only_models acts at llm; `on` names tool"),
        (OnlyModels, {"on": {"at": ["llm", "egress"]}}, "`on` names egress"),
        (OnlyModels, {"on": {"tool": "search"}}, "only_models acts at llm; `on` names tool"),
        (OnlyModels, {"on": {"host": "*"}}, "`on` names egress"),
        (OnlyModels, {"on": {"service": "kv"}}, "`on` names service"),
        (Services, {"on": {"model": "m"}}, "services acts at service; `on` names llm"),
    ],
)
def test_what_is_said_of_bad_input(
    fault: type[Fault], written: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        fault.model_validate(written)
    assert message in str(caught.value)


def test_a_fault_is_called_by_its_name_or_its_kind() -> None:
    assert (Latency().title, Latency(name="slow-search").title) == ("latency", "slow-search")


def test_what_strikes_is_written_down_once_with_how_long_it_lasts() -> None:
    bench = Bench([Latency()])
    ((_, hit),) = bench.injector.upon(CALL)
    assert not hit.fired
    hit.struck(lasts_s=1.5, why="a")
    hit.struck(why="b")
    assert hit.fired
    assert bench.facts == [
        {
            "kind": "latency",
            "fault": "latency",
            "number": 0,
            "at": "llm",
            "nth": 1,
            "why": "a",
            "lasts_ns": 1_500_000_000,
        }
    ]


@pytest.mark.parametrize(
    ("on", "said"),
    [
        ({"tool": "a", "model": "m"}, r"`tool` \(only at tool\) and `model` \(only at llm\)"),
        ({"tool": "a", "at": "llm"}, r"`tool` \(only at tool\), `at` names llm"),
        ({"host": "h", "at": ["llm", "tool"]}, "`at` names llm, tool; write a fault for each"),
        ({"nth": []}, "at least 1"),
        ({"at": []}, "at least 1"),
        ({"tool": []}, "at least 1"),
        ({"nth": {"from": 5, "to": 4}}, "expected `to` not before `from`, which is 5"),
    ],
)
def test_what_can_never_strike_is_refused(on: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Latency.model_validate({"on": on})


def test_a_time_that_never_comes_is_refused() -> None:
    with pytest.raises(ValidationError, match="greater than 0"):
        Latency.model_validate({"when": {"for_s": 0}})


def test_where_a_fault_can_strike() -> None:
    assert Latency().acts_at == ("llm", "tool", "egress", "service")
    assert Latency.model_validate({"on": {"at": ["egress", "tool"]}}).acts_at == ("tool", "egress")
    assert Latency.model_validate({"on": {"model": "m", "at": ["llm", "tool"]}}).acts_at == ("llm",)
