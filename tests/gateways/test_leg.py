"""The last leg of a call: faults before the tape, the tape before what answers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, Literal

import msgspec
import pytest

from fault_rig import CALL, Bench, whole
from llm_rig import BINDING
from proofrig.errors import ProviderError
from proofrig.faults.fault import Fault, Hit, Onward
from proofrig.faults.latency import Latency
from proofrig.faults.reset import Reset
from proofrig.gateways.leg import Leg, Send, clear, outbound, stayed, told
from proofrig.wire.answer import Answer, Cut, Made, read, rebodied
from proofrig.wire.outbound import Outbound


class Wraps(Fault):
    kind: Literal["wraps"] = "wraps"

    async def strike(self, hit: Hit, onward: Onward) -> Answer:
        answer = await onward()
        hit.struck()
        return rebodied(answer, b"<" + await read(answer) + b">")


class Twice(Fault):
    kind: Literal["twice"] = "twice"

    async def strike(self, hit: Hit, onward: Onward) -> Answer:
        hit.struck()
        (await onward()).close()
        return await onward()


class Instead(Fault):
    kind: Literal["instead"] = "instead"

    async def strike(self, hit: Hit, onward: Onward) -> Answer:
        hit.struck()
        return Made(503, b"no")


class Unmoved(Fault):
    kind: Literal["unmoved"] = "unmoved"

    async def strike(self, hit: Hit, onward: Onward) -> Answer:
        return await onward()


class Recorder:
    """A tape that writes down what comes from outside, or plays what it has."""

    def __init__(self, plays: bytes | None = None) -> None:
        self.plays = plays
        self.kept: list[tuple[str, bytes]] = []

    async def carry(self, call: Outbound, send: Send) -> Answer:
        if self.plays is not None:
            return Made(200, self.plays)
        answer = await send()
        body = await read(answer)
        self.kept.append((call.name, body))
        return rebodied(answer, body)


def leg_of(
    faults: Sequence[Fault] = (), tape: Any = None, call: Outbound = CALL
) -> tuple[Leg, Bench]:
    bench = Bench(faults)
    context: Any = SimpleNamespace(faults=bench.injector if faults else None, tape=tape)
    return Leg(context, call), bench


class Provider:
    def __init__(self) -> None:
        self.calls = 0

    async def __call__(self) -> Answer:
        self.calls += 1
        return whole(b"real")


@pytest.mark.parametrize(
    ("faults", "plays", "body", "calls", "kept", "struck", "carried"),
    [
        ([], None, b"real", 1, [b"real"], [], True),
        ([Wraps()], None, b"<real>", 1, [b"real"], ["wraps"], True),
        ([Wraps()], b"then", b"<then>", 0, [], ["wraps"], True),
        ([Twice()], None, b"real", 2, [b"real", b"real"], ["twice"], True),
        ([Instead(name="down"), Wraps()], None, b"no", 0, [], ["down"], False),
        ([Wraps(), Instead()], None, b"<no>", 0, [], ["wraps", "instead"], False),
        ([Unmoved(), Wraps(name="w")], None, b"<real>", 1, [b"real"], ["w"], True),
    ],
)
async def test_what_is_recorded_is_what_came_from_outside(
    faults: list[Fault],
    plays: bytes | None,
    body: bytes,
    calls: int,
    kept: list[bytes],
    struck: list[str],
    carried: bool,
) -> None:
    tape, provider = Recorder(plays), Provider()
    leg, _ = leg_of(faults, tape)
    assert await read(await leg.send(provider)) == body
    assert (provider.calls, [said for _, said in tape.kept]) == (calls, kept)
    assert (leg.struck, leg.carried, stayed(leg)) == (struck, carried, not carried)


async def test_without_a_tape_the_answer_is_the_providers_own() -> None:
    answer = whole(b"real")

    async def send() -> Answer:
        return answer

    leg, _ = leg_of([Unmoved()])
    assert await leg.send(send) is answer


async def test_a_call_that_is_not_to_be_struck_is_not_even_counted() -> None:
    provider = Provider()
    spared = msgspec.structs.replace(CALL, faulted=False)
    leg, bench = leg_of([Instead()], call=spared)
    assert await read(await leg.send(provider)) == b"real"
    ((_, hit),) = bench.injector.upon(CALL)
    assert (hit.nth, bench.facts, leg.struck) == (1, [], [])


async def test_a_gateway_that_tries_again_meets_the_faults_again() -> None:
    provider = Provider()
    leg, bench = leg_of([Instead(times=1)])
    first = await leg.send(provider)
    second = await leg.send(provider)
    assert (first.status, second.status, provider.calls) == (503, 200, 1)
    assert [fact["nth"] for fact in bench.facts] == [1] and leg.struck == ["instead"]
    assert leg.carried


@pytest.mark.parametrize("executed", [False, True])
async def test_a_connection_that_breaks_before_the_answer(executed: bool) -> None:
    provider = Provider()
    leg, _ = leg_of([Reset(executed=executed)])
    with pytest.raises(Cut):
        await leg.send(provider)
    assert (provider.calls, leg.carried, leg.struck) == (int(executed), executed, ["reset"])


async def test_a_call_is_carried_from_the_moment_it_goes_out() -> None:
    out = asyncio.Event()

    async def send() -> Answer:
        out.set()
        await asyncio.sleep(60)
        return whole(b"")

    leg, _ = leg_of([Unmoved()])
    sending = asyncio.create_task(leg.send(send))
    await out.wait()
    assert leg.carried
    sending.cancel()


FACTS = {"infra": True, "throttled": True, "error": "gone", "status": 502}


async def test_what_fails_where_a_fault_struck_is_nobodys_failure() -> None:
    leg, _ = leg_of([Instead(name="down")])
    assert told(None, FACTS) == FACTS
    assert (told(leg, FACTS), told(leg, {})) == (FACTS, {})
    await leg.send(Provider())
    assert told(leg, FACTS) == {"error": "gone", "status": 502, "struck": ["down"]}
    assert told(leg, {}) == {"struck": ["down"]}
    assert not stayed(None)


@pytest.mark.parametrize(
    ("faults", "tape", "is_clear"),
    [(None, None, True), (Bench([]).injector, None, False), (None, Recorder(), False)],
)
def test_a_rig_says_when_nothing_stands_in_the_way(faults: Any, tape: Any, is_clear: bool) -> None:
    context: Any = SimpleNamespace(faults=faults, tape=tape)
    assert clear(context) is is_clear


def test_a_call_on_its_way_out_knows_its_trial() -> None:
    binding = msgspec.structs.replace(
        BINDING, case="refund", scenario="burst", faulted=False, began_ns=5
    )
    call = outbound(binding, "tool", "mcp", "a.1", "tool.x", tool="x", server="s")
    assert call == Outbound(
        surface="tool",
        form="mcp",
        action="a.1",
        name="tool.x",
        token=BINDING.token,
        trial="case:1",
        tenant="acme",
        scope="acme/shop/bot/r1",
        case="refund",
        scenario="burst",
        began_ns=5,
        tool="x",
        server="s",
        faulted=False,
    )
    assert call.agent == "bot"


def test_what_belongs_to_no_trial_meets_no_fault() -> None:
    nobody = msgspec.structs.replace(BINDING, trial="", token="")
    assert not outbound(nobody, "llm", "messages", "a.1", "llm.messages").faulted
    assert outbound(BINDING, "llm", "messages", "a.1", "llm.messages").faulted


async def test_who_gives_no_answer_is_told_from_a_fault_that_gives_none() -> None:
    async def away() -> Answer:
        raise ProviderError("gone")

    leg, _ = leg_of([Instead(probability=0), Latency(ms=0)])
    with pytest.raises(ProviderError):
        await leg.send(away)
    assert leg.unanswered
    assert told(leg, FACTS) == FACTS | {"struck": ["latency"]}
    broken, _ = leg_of([Reset()])
    with pytest.raises(Cut):
        await broken.send(away)
    assert not broken.unanswered


async def test_what_came_from_outside_is_blamed_though_a_fault_struck() -> None:
    leg, _ = leg_of([Instead()])
    await leg.send(Provider())
    assert told(leg, FACTS, blamed=True) == FACTS | {"struck": ["instead"]}
