"""429: which calls pass, whose limit it is, and what a client is told."""

from __future__ import annotations

import asyncio
import time
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pydantic import ValidationError

from answers_in_forms import APIS, PLAIN, model_call, tool_call, tool_result
from fault_rig import CALL, Bench, events_of, fault_rig, through, whole
from proofrig.faults.injector import carry
from proofrig.faults.late_result import LateResult
from proofrig.faults.rate_limit import RateLimit
from proofrig.wire import CODECS
from proofrig.wire.answer import Cut, Made
from proofrig.wire.outbound import Outbound


def limited(limit: Any, **more: Any) -> RateLimit:
    return RateLimit.model_validate({"limit": limit} | more)


def of(trial: str, tenant: str = "acme") -> Outbound:
    return msgspec.structs.replace(CALL, trial=trial, tenant=tenant)


async def statuses(bench: Bench, calls: list[tuple[float, Outbound]]) -> list[int]:
    """The status of each call, made at this second."""
    found = []
    for at_s, call in calls:
        bench.now_ns = round(at_s * 1e9)
        found.append((await bench.through(whole(b"{}"), call)).status)
    return found


@pytest.mark.parametrize(
    ("limit", "times", "expected"),
    [
        ({"bucket": {"rate": 1, "burst": 2}}, [0, 0, 0, 1, 1, 3, 3, 3], "..x.x..x"),
        ({"bucket": {"rate": 0.5}}, [0, 1, 2, 3.9, 4], ".x.x."),
        ({"window": {"calls": 2, "seconds": 10}}, [0, 6, 9, 10, 15, 16, 20], "..x.x.."),
        ("always", [0, 100], "xx"),
    ],
)
async def test_which_calls_pass(limit: Any, times: list[float], expected: str) -> None:
    bench = Bench([limited(limit)])
    got = await statuses(bench, [(at_s, CALL) for at_s in times])
    assert "".join("." if status == 200 else "x" for status in got) == expected
    assert len(bench.facts) == expected.count("x")


@pytest.mark.parametrize(("per", "expected"), [("trial", 3), ("tenant", 2), ("all", 1)])
async def test_whose_limit_it_is(per: str, expected: int) -> None:
    bench = Bench([limited({"window": {"calls": 1, "seconds": 60}}, per=per)])
    callers = [of("a:1"), of("a:2"), of("b:1", "globex")]
    got = await statuses(bench, [(0, caller) for caller in callers])
    assert got.count(200) == expected
    assert await statuses(bench, [(1, caller) for caller in callers]) == [429] * 3


async def test_the_limit_of_a_trial_ends_with_it() -> None:
    bench = Bench([limited({"window": {"calls": 1, "seconds": 60}}, per="trial")])
    assert await statuses(bench, [(0, CALL), (1, CALL)]) == [200, 429]
    bench.injector.end(CALL.trial)
    assert await statuses(bench, [(2, CALL)]) == [200]


async def test_a_place_is_free_again_when_its_answer_has_ended() -> None:
    bench = Bench([limited({"concurrency": 2})])
    closed: list[str] = []

    class Answer(Made):
        def close(self) -> None:
            closed.append("closed")

    async def begin() -> Any:
        (fault, hit), *_ = bench.injector.upon(CALL)

        async def onward() -> Any:
            return Answer(200, b"body", {"content-length": "4"})

        return await fault.strike(hit, onward)

    first, second, third = await begin(), await begin(), await begin()
    assert [one.status for one in (first, second, third)] == [200, 200, 429]
    assert (first.length, await first.readany(), await first.readany()) == (4, b"body", b"")
    first.close()
    first.close()
    assert [(await begin()).status, (await begin()).status] == [200, 429]
    second.close()  # also when it was not read
    assert (await begin()).status == 200 and len(closed) >= 2


async def test_a_place_is_free_again_when_the_call_fails() -> None:
    bench = Bench([limited({"concurrency": 1})])

    def breaks() -> Made:
        raise Cut("reset")

    assert (await bench.through(breaks)).cut == "reset"
    assert (await bench.through(events_of(b"data: 1\n\n"))).chunks == [b"data: 1\n\n"]
    assert (await bench.through(whole(b"{}"))).status == 200


@pytest.mark.parametrize(
    ("settings", "headers"),
    [
        ({"retry_after": "none"}, {}),
        ({"retry_after": "seconds", "wait_s": 1.2}, {"retry-after": "2"}),
        ({"retry_after": "milliseconds", "wait_s": 0.25}, {"retry-after-ms": "250"}),
        ({"retry_after": "huge"}, {"retry-after": "3600"}),
        ({"retry_after": "huge", "wait_s": 130}, {"retry-after": "130"}),
        (
            {"should_retry": False, "wait_s": 1},
            {"retry-after": "1", "x-should-retry": "false"},
        ),
        ({"retry_after": "none", "should_retry": True}, {"x-should-retry": "true"}),
    ],
)
async def test_what_a_client_is_told(settings: dict[str, Any], headers: dict[str, str]) -> None:
    seen = await through([RateLimit.model_validate(settings)], whole(b"{}"))
    said = {name: value for name, value in seen.headers.items() if "retry" in name}
    assert (seen.status, said, seen.calls) == (429, headers, 0)


async def test_a_date_says_when() -> None:
    seen = await through([RateLimit(retry_after="date", wait_s=90)], whole(b"{}"))
    when = parsedate_to_datetime(seen.headers["retry-after"]).timestamp()
    assert 80 < when - time.time() <= 90.5 and seen.headers["retry-after"].endswith(" GMT")


@pytest.mark.parametrize(
    ("limit", "wait_s"),
    [
        ({"bucket": {"rate": 0.5}}, 1.5),
        ({"window": {"calls": 1, "seconds": 7}}, 6.5),
    ],
)
async def test_it_says_how_long_it_really_is(limit: Any, wait_s: float) -> None:
    bench = Bench([limited(limit, retry_after="milliseconds")])
    await statuses(bench, [(0, CALL), (0.5, CALL)])
    assert [one["wait_s"] for one in bench.facts] == [wait_s]
    assert await statuses(bench, [(0.5 + wait_s, CALL)]) == [200]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("api", APIS)
async def test_a_model_says_it_as_its_vendor_does(tmp_path: Path, api: str, stream: bool) -> None:
    async with fault_rig(tmp_path, [RateLimit()]) as rig:
        got = await rig.ask(api, stream=stream)
        turn = CODECS[api].decode_response(got.body)
        assert (got.status, got.headers["retry-after"], rig.calls) == (429, "1", 0)
        assert (turn.finish, "rate limit" in turn.error.lower()) == ("error", True)
        (action,) = rig.actions()
        assert (action.outcome, action.attr("struck")) == ("fail", ["rate_limit"])
        assert "infra" not in rig.ends()[0].attrs
        (fact,) = rig.facts()
        assert (fact["status"], fact["retry_after"], fact["wait_s"]) == (429, "seconds", 1.0)


def test_the_vendors_codes() -> None:
    from proofrig.faults._forms_errors import error_value

    assert error_value(model_call("responses"), 429)["error"]["code"] == "rate_limit_exceeded"
    assert error_value(model_call("messages"), 429)["error"]["type"] == "rate_limit_error"


async def test_tools_and_egress() -> None:
    fault = RateLimit(wait_s=3)
    seen = await through([fault], tool_result(1), tool_call())
    assert (seen.status, seen.headers["retry-after"]) == (429, "3")
    assert msgspec.json.decode(seen.body)["error"]["type"] == "too_many_requests"
    seen = await through([fault], whole(b"{}"), PLAIN)
    assert (seen.status, seen.headers["retry-after"]) == (429, "3")
    seen = await through([fault], whole(b"{}"), tool_call("mcp"))
    message = msgspec.json.decode(seen.body)
    assert (seen.status, message["id"], message["result"]["isError"]) == (200, None, True)
    (part,) = message["result"]["content"]
    assert part["text"] == "429 Too Many Requests: rate limit reached. Try again in 3 seconds."


@pytest.mark.parametrize(
    ("limit", "why"),
    [
        ({}, "expected one of bucket, window and concurrency, got none"),
        ({"concurrency": 1, "window": {"calls": 1, "seconds": 1}}, "got window, concurrency"),
        ({"bucket": {"rate": 0}}, "greater than 0"),
        ("never", "'always'"),
    ],
)
def test_a_limit_is_one_of_three(limit: Any, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        limited(limit)


async def test_calls_that_cannot_be_struck_use_the_limit_up() -> None:
    limit = {"window": {"calls": 3, "seconds": 60}}
    bench = Bench([limited(limit, on={"nth": {"from": 2, "every": 2}})])
    assert await statuses(bench, [(0, CALL)] * 6) == [200, 200, 200, 429, 200, 429]


async def test_a_call_that_passes_takes_none_of_its_times() -> None:
    bench = Bench([limited({"concurrency": 2}, times=1, per="trial")])
    held = [await carry(bench.injector.upon(CALL), held_open) for _ in range(2)]
    assert await statuses(bench, [(0, CALL), (0, CALL)]) == [429, 200]
    for one in held:
        one.close()
    assert len(bench.facts) == 1


async def test_a_place_is_free_again_when_what_stands_before_it_breaks() -> None:
    late = LateResult(by_s=9)
    bench = Bench([late, limited({"concurrency": 1})])
    call = tool_call()
    waiting = asyncio.create_task(bench.through(tool_result(1), call))
    bench.injector._sleep = lambda seconds: asyncio.Event().wait()  # type: ignore[assignment,return-value]
    for _ in range(5):
        await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    bench.injector._sleep = bench._sleep
    assert (await bench.through(tool_result(1), call)).status == 200


async def held_open() -> Made:
    return whole(b"{}")
