"""The parts of a request's time, from its marks."""

from __future__ import annotations

import pytest

from proofrig.observers import pools
from proofrig.observers.pools import Timing, begin, is_stream, pool_name, settle_open
from proofrig.observers.recorder import Recorder

from .conftest import Recorded


class Pool:
    pass


def timing(recorded: Recorded, retries: str | None = None, *, told: bool = True) -> Timing:
    found = begin(recorded.recorder, {"service": "x"}, retries, told=told)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("marks", "parts"),
    [
        ((0, 0, 0, 0, 0), [99, None, None, None, None]),
        ((10, 0, 0, 0, 0), [10, 89, None, None, None]),
        ((10, 30, 0, 0, 0), [10, 20, 69, None, None]),
        ((0, 30, 35, 0, 0), [30, None, 5, 64, None]),
        ((0, 30, 35, 60, 0), [30, None, 5, 25, 39]),
        ((10, 30, 35, 60, 90), [10, 20, 5, 25, 30]),
        ((10, 30, 0, 60, 90), [10, 20, 30, None, 30]),
    ],
)
def test_times_are_left_out_where_nothing_happened(
    recorded: Recorded, marks: tuple[int, ...], parts: list[int | None]
) -> None:
    one = timing(recorded)
    start = one.begun.t
    at = [start + mark if mark else 0 for mark in marks]
    one.connect, one.send, one.sent, one.headers, one.body_end = at
    attrs = one.measured(start + 99)
    names = ("wait", "connect", "send", "ttfb", "body")
    assert [attrs.get(f"{name}_ns") for name in names] == parts
    one.finish()


def test_outcomes(recorded: Recorded) -> None:
    read, never_left, sent, unseen = (timing(recorded, told=t) for t in (True, True, True, False))
    read.headers = read.body_end = read.begun.t + 1
    read.finish()
    read.finish(ValueError("too late"))
    never_left.finish(TimeoutError())
    sent.send = sent.begun.t + 1
    sent.finish(TimeoutError())
    unseen.finish(TimeoutError())
    assert [a.outcome for a in recorded.actions()] == ["ok", "fail", "unknown", "unknown"]


def test_attempts_are_counted_from_what_the_client_says(recorded: Recorded) -> None:
    for retries in (None, "0", "2", "many"):
        timing(recorded, retries).finish()
    assert [a.attr("attempt") for a in recorded.actions()] == [1, 1, 3, 1]


def test_what_is_open_at_the_end_is_settled_with_what_is_known(recorded: Recorded) -> None:
    one = timing(recorded)
    one.send, one.status = one.begun.t + 5, 200
    recorded.recorder.close()
    (action,) = recorded.actions()
    assert (action.outcome, action.attr("status"), action.attr("wait_ns")) == ("unknown", 200, 5)
    assert action.attr("error") == "still open when the process ended"
    assert pools.OPEN == {}
    settle_open()


def test_pools_are_named_once_and_noted_with_their_limits(recorded: Recorded) -> None:
    one, other = Pool(), Pool()
    limits = {"max_connections": 3, "max_keepalive": 2**63 - 1}
    names = [pool_name(p, "httpx", recorded.recorder, lambda: limits) for p in (one, other, one)]
    assert names[0] == names[2] != names[1]
    assert [e.attrs for e in recorded.entries()] == [
        {"service": name, "max_connections": 3} for name in names[:2]
    ]


def test_nothing_is_begun_without_a_history() -> None:
    assert begin(Recorder({}), {"service": "x"}, None, told=True) is None


def test_streams_are_known_by_their_type() -> None:
    types = ["text/event-stream; charset=utf-8", "application/x-ndjson", "application/json", ""]
    assert [is_stream(one) for one in types] == [True, True, False, False]
