"""Calls held below a vendor's limits, in a time of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from fault_rig import Around
from llm_rig import CHAT, Rig, answer, post, rig, says_hello, stream, turn
from proofrig.faults.injector import Injector
from proofrig.faults.rate_limit import RateLimit
from proofrig.gateways.gateway import Binding
from proofrig.gateways.throttle import Patience, Throttle, open_throttles
from proofrig.gateways.upstream import Upstream, UpstreamError, UpstreamLimits, open_client
from proofrig.providers.provider import Ceilings, Endpoint
from proofrig.wire import CODECS
from virtual_time import VirtualTime


@dataclass
class Answered:
    """What a vendor answers."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"{}"

    async def peek(self) -> bytes:
        return self.body


@dataclass
class Asking:
    """A call as the throttle sees it."""

    binding: Binding
    queue_ns: int = 0
    backoff_ns: int = 0
    sent_ns: int = 0


@dataclass
class Called:
    """A call that has ended."""

    status: int
    patience: Patience
    call: Asking

    def settle(self, tokens: int = 0) -> dict[str, Any]:
        return self.patience.settle(tokens)


class Vendor:
    """Lets so many requests through in each window of `window` seconds, and refuses the others."""

    def __init__(self, time: VirtualTime, most: int, window: float = 1.0, told: bool = True):
        self.time = time
        self.most = most
        self.window = window
        self.told = told
        self.taken: list[float] = []
        self.refused: list[float] = []
        self.who: list[str] = []

    def answer(self, trial: str) -> Answered:
        now = self.time.now
        recent = [at for at in self.taken if at > now - self.window]
        if len(recent) >= self.most:
            self.refused.append(now)
            wait = recent[0] + self.window - now
            return Answered(429, {"retry-after-ms": f"{wait * 1000:.0f}"} if self.told else {})
        self.taken.append(now)
        self.who.append(trial)
        return Answered()


class Lab:
    """A throttle before a vendor."""

    def __init__(self, ceilings: Ceilings, most: int = 1_000_000, **vendor: Any) -> None:
        self.time = VirtualTime()
        self.vendor = Vendor(self.time, most, **vendor)
        self.throttle = Throttle(
            ceilings, clock=self.time.clock, sleep=self.time.sleep, chance=lambda: 0.5
        )
        self.notes: list[dict[str, Any]] = []

    async def call(self, trial: str = "a", tokens: int = 0, takes: float = 0.1) -> Called:
        asking = Asking(Binding("t", trial, "acme", "acme/s/b/r"))
        patience = Patience(self.throttle, asking, tokens, self.notes.append)

        async def send() -> Any:
            answer = self.vendor.answer(trial)
            await self.time.sleep(takes)
            return answer

        answer: Any = await self.throttle.carry(patience, send)
        return Called(answer.status, patience, asking)

    async def run(self, *calls: Any) -> list[Any]:
        return await self.time.run(*calls)


async def test_without_ceilings_and_refusals_nothing_waits() -> None:
    lab = Lab(Ceilings())
    done = await lab.run(*(lab.call() for _ in range(50)))
    assert lab.vendor.taken == [0.0] * 50
    assert [(one.settle(), one.call.queue_ns, one.call.backoff_ns) for one in done] == [
        ({}, 0, 0)
    ] * 50


async def test_calls_leave_evenly_and_their_wait_is_queue_time() -> None:
    lab = Lab(Ceilings(requests_per_minute=600))
    done = await lab.run(*(lab.call() for _ in range(4)))
    gap = 60 / 588
    assert lab.vendor.taken == pytest.approx([0, gap, 2 * gap, 3 * gap])
    queued = [one.call.queue_ns / 1e9 for one in done]
    assert queued == pytest.approx([0, gap, 2 * gap, 3 * gap])
    assert [one.call.sent_ns for one in done] == [one.call.queue_ns for one in done]
    assert [one.settle().get("throttle_ns", 0) for one in done] == [
        one.call.queue_ns for one in done
    ]


async def test_trials_take_turns_and_keep_their_own_order() -> None:
    lab = Lab(Ceilings(requests_per_minute=600))
    greedy = [lab.call("greedy") for _ in range(6)]
    await lab.run(*greedy, lab.call("b"), lab.call("c"), lab.call("b"))
    assert lab.vendor.who == ["greedy", "greedy", "b", "c", "greedy", "b"] + ["greedy"] * 3


async def test_what_tokens_did_not_come_to_is_given_back() -> None:
    lab = Lab(Ceilings(tokens_per_minute=60_000, max_wait_s=100))

    async def asks() -> None:
        (await lab.call(tokens=9800)).settle(980)

    await lab.run(asks(), asks(), asks())
    assert lab.vendor.taken == pytest.approx([0, 1.0, 2.0], abs=0.15)


async def test_who_leaves_the_line_gives_no_tokens_back_that_it_never_took() -> None:
    lab = Lab(Ceilings(tokens_per_minute=60_000, max_wait_s=100))

    async def given_up() -> None:
        asking = Asking(Binding("t", "b", "acme", "acme/s/b/r"))
        patience = Patience(lab.throttle, asking, 9800, lab.notes.append)
        waiting = asyncio.create_task(lab.throttle.carry(patience, lambda: pytest.fail("sent")))
        await lab.time.sleep(0.5)
        waiting.cancel()
        patience.settle(0)

    await lab.run(lab.call(tokens=9800), *(given_up() for _ in range(20)), lab.call(tokens=9800))
    assert lab.vendor.taken == pytest.approx([0, 10.0], abs=0.15)


async def test_a_refused_call_takes_its_tokens_once() -> None:
    lab = Lab(Ceilings(tokens_per_minute=60_000, max_wait_s=100), most=1, window=4.0)
    await lab.run(lab.call("a"), lab.call("b", tokens=9800))
    assert (len(lab.vendor.refused), len(lab.vendor.taken)) == (1, 2)
    assert lab.vendor.taken[1] == pytest.approx(4.6)  # the wait, and a little longer by chance


@pytest.mark.parametrize("told", [True, False])
async def test_refused_calls_wait_and_get_through(told: bool) -> None:
    lab = Lab(Ceilings(), most=5, told=told)
    done = await lab.run(*(lab.call(f"t{n}") for n in range(30)))
    assert [one.status for one in done] == [200] * 30
    assert len(lab.vendor.taken) == 30
    waited = [one for one in done if one.call.backoff_ns]
    assert len(waited) == 25
    assert all(one.settle() == {"throttle_ns": one.patience.waited_ns} for one in waited)
    assert {note["why"] for note in lab.notes} == {"status 429"}
    assert "rate_before" not in lab.notes[0]
    assert all(note["wait_ns"] > 0 for note in lab.notes)


async def test_after_the_first_refusals_there_are_few() -> None:
    lab = Lab(Ceilings(max_wait_s=3600), most=10)
    await lab.run(*(lab.call(f"t{n}") for n in range(300)))
    assert len(lab.vendor.taken) == 300
    later = [at for at in lab.vendor.refused if at > 0]
    assert len(later) < 40
    assert lab.time.now < 300 / 10 * 4  # and it is not slow for that


async def test_refused_calls_do_not_come_back_as_a_herd() -> None:
    lab = Lab(Ceilings(), most=5, window=2.0)
    await lab.run(*(lab.call(f"t{n}") for n in range(20)))
    times = sorted(lab.vendor.taken + lab.vendor.refused)
    together = [at for at in set(times) if times.count(at) > 1]
    assert together == [0.0]


async def test_with_the_right_ceiling_nothing_is_ever_refused() -> None:
    lab = Lab(Ceilings(requests_per_minute=600), most=10)
    await lab.run(*(lab.call(f"t{n}") for n in range(100)))
    assert lab.vendor.refused == []
    assert lab.notes == []


async def test_fail_fast_hands_the_refusal_on() -> None:
    lab = Lab(Ceilings(on_throttle="fail_fast"), most=2)
    done = await lab.run(*(lab.call() for _ in range(3)))
    assert [one.status for one in done] == [200, 200, 429]
    assert [one.settle() for one in done] == [{}, {}, {"infra": True, "throttled": True}]
    assert lab.notes == []
    assert lab.time.now == pytest.approx(0.1)


async def test_a_wait_beyond_the_longest_is_not_begun() -> None:
    lab = Lab(Ceilings(max_wait_s=10), most=1, window=60.0)
    first, second = await lab.run(lab.call("a"), lab.call("b"))
    assert (first.status, second.status) == (200, 429)
    assert lab.time.now == pytest.approx(0.1)
    assert [note["wait_ns"] for note in lab.notes] == [0]
    assert second.settle() == {"infra": True, "throttled": True}


async def test_a_call_whose_turn_does_not_come_in_time_fails_as_throttled() -> None:
    lab = Lab(Ceilings(requests_per_minute=6, max_wait_s=25))
    *done, last = await lab.run(*(lab.call() for _ in range(4)))
    assert [one.status for one in done] == [200] * 3
    assert isinstance(last, UpstreamError)
    assert (last.status, last.definite, last.throttled) == (429, True, True)
    assert "waited 25 s for the vendor's limits" in str(last)
    assert lab.time.now == pytest.approx(25)


@pytest.mark.parametrize(
    ("answer", "asked"),
    [
        (Answered(429, {}, b'{"error": {"code": "insufficient_quota"}}'), 1),
        (Answered(429, {"x-should-retry": "false"}), 1),
        (Answered(503), 1),
        (Answered(500, {"retry-after": "1"}), 1),
        (Answered(503, {"retry-after": "1"}), 9),
        (Answered(529, {"retry-after": "1"}), 9),
    ],
)
async def test_what_is_worth_waiting_for(answer: Answered, asked: int) -> None:
    lab = Lab(Ceilings(max_wait_s=10))
    came = []

    async def send() -> Any:
        came.append(lab.time.now)
        return answer

    asking = Asking(Binding("t", "a", "acme", "acme/s/b/r"))
    patience = Patience(lab.throttle, asking, 0, lab.notes.append)
    [got] = await lab.run(lab.throttle.carry(patience, send))
    assert got is answer
    assert len(came) <= asked and (asked == 1) == (len(came) == 1)


async def test_who_leaves_the_line_holds_nobody_up() -> None:
    lab = Lab(Ceilings(requests_per_minute=60))
    calls = [lab.call("a"), lab.call("a"), lab.call("a")]

    async def all_of_them() -> None:
        first, second, third = (asyncio.create_task(call) for call in calls)
        await lab.time.sleep(0.5)
        second.cancel()
        await first
        await third

    await lab.run(all_of_them())
    assert lab.vendor.taken == pytest.approx([0, 60 / 58.8])


async def test_apis_of_one_endpoint_share_its_pace_and_a_simulated_one_has_none() -> None:
    limited = Endpoint("http://a/v1", ceilings=Ceilings(requests_per_minute=5))
    plain = Endpoint("http://b/v1", simulated=True)
    async with open_client() as client:
        one, other = (Upstream(end, client, UpstreamLimits()) for end in (limited, plain))
    found = open_throttles({"chat_completions": one, "responses": one, "messages": other})
    assert found.keys() == {"chat_completions", "responses"}
    assert found["chat_completions"] is found["responses"]


# Behind a gateway


def refuses(first: int, **headers: str) -> Any:
    """A vendor that refuses its first requests."""
    left = [first]

    async def reply(request: web.Request) -> web.StreamResponse:
        left[0] -= 1
        if left[0] < 0:
            return await says_hello(request)
        refusal = answer(b'{"error": {"message": "slow down"}}', **headers)
        refusal.set_status(429)
        return refusal

    return reply


async def until(holds: Callable[[], Any]) -> None:
    """Wait until it holds, for ten seconds at most."""
    for _ in range(1000):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never held")


def notes(r: Rig) -> list[dict[str, Any]]:
    return [entry.attrs for entry in r.entries() if entry.name == "throttle"]


async def test_the_agent_sees_no_refusal_and_its_time_is_not_counted(tmp_path: Path) -> None:
    vendor = refuses(1, **{"retry-after-ms": "100"})
    async with rig(tmp_path, vendor, ceilings=Ceilings()) as r:
        status, _, _ = await post(f"{r.trial_url()}/chat/completions", CHAT)
        [action] = r.actions()
        said = notes(r)
    assert status == 200
    assert (action.outcome, action.attr("infra"), action.attr("throttled")) == ("ok", None, None)
    assert action.attr("backoff_ns") == action.attr("throttle_ns") >= 100_000_000
    assert action.end is not None and action.start is not None
    took = action.end.t - action.start.t
    assert action.attr("service_ns") + action.attr("backoff_ns") <= took
    assert [note["why"] for note in said] == ["status 429"]
    assert (said[0].get("rate_before"), said[0]["rate_after"]) == (None, 30.0)
    assert 100_000_000 <= said[0]["wait_ns"] <= 125_000_000


async def test_a_refused_call_holds_no_connection_while_it_waits(tmp_path: Path) -> None:
    async with rig(tmp_path, refuses(1), ceilings=Ceilings(), connections=1) as r:
        url = f"{r.trial_url()}/chat/completions"
        first = asyncio.create_task(post(url, CHAT | {"user": "a"}))
        await until(lambda: notes(r))
        second = asyncio.create_task(post(url, CHAT | {"user": "b"}))
        got = [(await first)[0], (await second)[0]]
        await until(lambda: r.gateway._desk.upstreams["chat_completions"]._free == 1)
    assert got == [200, 200]
    assert [b'"user":"b"' in body.replace(b" ", b"") for body in r.bodies] == [False, True, False]


async def test_a_refusal_that_is_handed_on_was_not_measured(tmp_path: Path) -> None:
    ceilings = Ceilings(on_throttle="fail_fast")
    async with rig(tmp_path, refuses(1), ceilings=ceilings) as r:
        status, _, body = await post(f"{r.trial_url()}/chat/completions", CHAT)
        [action] = r.actions()
    assert (status, b"slow down" in body) == (429, True)
    assert (action.attr("infra"), action.attr("throttled")) == (True, True)
    assert len(r.bodies) == 1


async def test_the_declared_limits_of_a_simulated_provider_count(tmp_path: Path) -> None:
    async with rig(tmp_path, refuses(1), simulated=True) as r:
        status, _, _ = await post(f"{r.trial_url()}/chat/completions", CHAT)
        [action] = r.actions()
    assert (status, action.attr("infra"), action.attr("throttled")) == (429, None, None)


async def test_a_refusal_by_a_fault_is_neither_waited_out_nor_lowers_the_pace(
    tmp_path: Path,
) -> None:
    async with rig(tmp_path, says_hello, ceilings=Ceilings(requests_per_minute=6000)) as r:
        write, clock = r.context.journal.write, r.context.clock
        fault = RateLimit(times=1)
        r.context.faults = Injector(
            [fault],
            7,
            clock,
            lambda call, kind, attrs: write("fault", kind, id=call.action, attrs=attrs) and None,
            Around(r.context.bindings),
        )
        url = f"{r.trial_url()}/chat/completions"
        got = [(await post(url, CHAT))[0] for _ in range(2)]
        first, second = r.actions()
        said = notes(r)
        pace = r.gateway._desk.throttles["chat_completions"].pace
    assert got == [429, 200]
    assert (first.attr("struck"), first.attr("infra"), first.attr("throttled")) == (
        ["rate_limit"],
        None,
        None,
    )
    assert second.outcome == "ok"
    assert (said, len(r.bodies), pace.per_minute) == ([], 1, 5880.0)


async def test_an_agent_that_goes_away_while_it_waits_has_cost_nothing(tmp_path: Path) -> None:
    vendor = refuses(9, **{"retry-after": "30"})
    budget = {"tokens": 100_000, "usd_micro": 1_000_000}
    async with rig(tmp_path, vendor, ceilings=Ceilings(), budget=budget) as r:
        asking = asyncio.create_task(post(f"{r.trial_url()}/chat/completions", CHAT))
        await until(lambda: notes(r))
        asking.cancel()
        await until(lambda: r.actions()[0].end)
        end = r.actions()[0].end
        spent = r.spent()
    assert end is not None
    assert (end.kind, end.attrs["reason"]) == ("release", "never_sent")
    assert (end.attrs["infra"], end.attrs["throttled"]) == (True, True)
    assert not spent.get("tokens") and not spent.get("usd_micro")


async def test_streams_wait_too_and_the_first_piece_is_timed_from_the_last_sending(
    tmp_path: Path,
) -> None:
    refusal = refuses(1, **{"retry-after-ms": "200"})
    events = CODECS["chat_completions"].encode_stream(turn(), usage=True)
    pieces = [event for event, _ in events]

    async def vendor(request: web.Request) -> web.StreamResponse:
        refused = await refusal(request)
        return refused if refused.status == 429 else await stream(request, pieces)

    async with rig(tmp_path, vendor, ceilings=Ceilings()) as r:
        _, _, body = await post(f"{r.trial_url()}/chat/completions", CHAT | {"stream": True})
        [action] = r.actions()
    assert b"[DONE]" in body
    assert 0 <= action.attr("ttft_ns") <= action.attr("service_ns")
    assert action.attr("backoff_ns") >= 200_000_000
