"""Which calls are struck, in what order, how often, and what is taken back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, ClassVar, Literal

import msgspec
import pytest

from fault_rig import CALL, Bench, call_at, whole
from proofrig.faults.fault import Calls, Fault, Hit, Onward, Target, When
from proofrig.faults.injector import carry
from proofrig.faults.latency import Latency
from proofrig.wire.answer import Answer, Cut, Made, read, rechunked
from proofrig.wire.outbound import Surface

S = 1_000_000_000


class Mark(Fault):
    """Puts its mark around a body: what is outermost shows outermost."""

    kind: Literal["mark"] = "mark"
    mark: str = "m"
    only: tuple[int, ...] | None = None  # the calls upon which it takes effect

    async def strike(self, hit: Hit, onward: Onward) -> Answer:
        answer = await onward()
        if self.only is not None and hit.nth not in self.only:
            return answer
        hit.struck()

        async def marked(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
            yield self.mark.encode()
            async for chunk in chunks:
                yield chunk
            yield self.mark.encode()

        return rechunked(answer, marked)


class Breaks(Fault):
    kind: Literal["breaks"] = "breaks"

    async def strike(self, hit: Hit, onward: Onward) -> Answer:
        hit.struck()
        raise Cut("reset")


class AtTools(Fault):
    surfaces: ClassVar[tuple[Surface, ...]] = ("tool",)
    kind: Literal["at_tools"] = "at_tools"

    async def strike(self, hit: Hit, onward: Onward) -> Answer:
        hit.struck()
        return await onward()


def numbers(bench: Bench) -> list[int]:
    return [fact["number"] for fact in bench.facts]


async def test_the_first_declared_is_the_outermost() -> None:
    bench = Bench([Mark(mark="a"), Mark(mark="b"), Latency(ms=1), Mark(mark="c")])
    seen = await bench.through(whole(b"-"))
    assert (seen.body, seen.calls, seen.slept) == (b"abc-cba", 1, [0.001])
    assert numbers(bench) == [2, 3, 1, 0]


async def test_what_breaks_before_stands_in_the_way_of_all_behind_it() -> None:
    bench = Bench([Mark(mark="a"), Breaks(), Mark(mark="b")])
    seen = await bench.through(whole(b"-"))
    assert (seen.cut, seen.calls, numbers(bench)) == ("reset", 0, [1])


async def test_without_a_fault_the_answer_itself_comes_back() -> None:
    answer = whole(b"-")

    async def onward() -> Answer:
        return answer

    assert await carry([], onward) is answer
    assert await read(answer) == b"-"


async def test_a_fault_strikes_at_its_surfaces_only() -> None:
    bench = Bench([AtTools()])
    for surface in ("llm", "tool", "egress", "service", "tool"):
        await bench.through(whole(b""), call_at(surface))
    assert [(fact["at"], fact["nth"]) for fact in bench.facts] == [("tool", 1), ("tool", 2)]


async def test_calls_are_counted_in_their_trial_among_those_that_fit() -> None:
    fault = Mark(on=Target(tool="search", nth=Calls(first=2, every=2)))
    bench = Bench([fault])
    sent = [("search", "a"), ("buy", "a"), ("search", "b"), ("search", "a"), ("search", "b")]
    struck = []
    for tool, trial in [*sent, ("search", "a"), ("search", "a")]:
        call = call_at("tool", "tool", tool=tool, trial=trial, name=f"tool.{tool}")
        seen = await bench.through(whole(b""), call)
        struck += [(trial, fact["nth"]) for fact in seen.facts]
    assert struck == [("a", 2), ("b", 2), ("a", 4)]


async def test_times_counts_what_was_struck_in_a_trial_and_not_what_was_drawn() -> None:
    bench = Bench([Mark(times=2, only=(2, 4, 5))])
    for trial in ("a", "b"):
        for _ in range(6):
            await bench.through(whole(b""), call_at(trial=trial))
    assert [fact["nth"] for fact in bench.facts] == [2, 4, 2, 4]


async def test_its_times_are_those_of_the_runs_clock_and_of_the_trials_begin() -> None:
    bench = Bench([Mark(when=When(after_s=5, for_s=5))])
    call = call_at(began_ns=100 * S)
    struck = []
    for second in (100, 104, 105, 109, 110):
        bench.now_ns = second * S
        if (await bench.through(whole(b""), call)).facts:
            struck.append(second)
    assert struck == [105, 109]


async def test_a_fault_keeps_what_it_wants_for_a_trial_and_no_longer() -> None:
    bench = Bench([Latency(), Latency()])

    def memories(trial: str) -> list[dict[str, Any]]:
        return [hit.memory for _, hit in bench.injector.upon(call_at(trial=trial))]

    first, second = memories("a")
    first["seen"] = 1
    assert memories("a") == [{"seen": 1}, {}] and second == {}
    assert memories("b") == [{}, {}]
    bench.injector.end("a")
    assert memories("a") == [{}, {}]


class Holding(Fault):
    """Something that must be taken back."""

    kind: Literal["holding"] = "holding"
    for_s: float = 0.0
    fails: bool = False

    async def strike(self, hit: Hit, onward: Onward) -> Answer:
        hit.struck()
        done = hit.around.done  # type: ignore[attr-defined]
        done.append(("take", hit.nth))

        def give_back() -> None:
            done.append(("back", hit.nth))
            if self.fails:
                raise ProcessLookupError("gone")

        hit.undo(self.for_s, give_back)
        return await onward()


async def test_it_is_taken_back_after_its_time_and_not_again_at_the_end() -> None:
    bench = Bench([Holding()])
    await bench.through(whole(b""))
    await asyncio.sleep(0.01)
    assert bench.around.done == [("take", 1), ("back", 1)]
    bench.injector.end(CALL.trial)
    bench.injector.close()
    assert bench.around.done == [("take", 1), ("back", 1)]


@pytest.mark.parametrize("how", ["end", "close"])
@pytest.mark.parametrize("fails", [False, True])
async def test_it_is_taken_back_when_the_trial_or_the_rig_ends(how: str, fails: bool) -> None:
    bench = Bench([Holding(for_s=0.02, fails=fails)])
    await bench.through(whole(b""))
    await bench.through(whole(b""))
    await bench.through(whole(b""), call_at(trial="other"))
    bench.around.done.clear()
    if how == "end":
        bench.injector.end(CALL.trial)
        assert sorted(bench.around.done) == [("back", 1), ("back", 2)]
        bench.injector.end(CALL.trial)
        bench.injector.end("never begun")
        assert len(bench.around.done) == 2
    bench.injector.close()
    assert sorted(bench.around.done) == [("back", 1), ("back", 1), ("back", 2)]
    await asyncio.sleep(0.03)  # its time comes: nothing is left to take back
    assert len(bench.around.done) == 3


async def test_what_a_call_does_after_its_trial_has_ended_is_taken_back_at_once() -> None:
    bench = Bench([Holding(for_s=60)])
    ((fault, hit),) = bench.injector.upon(CALL)
    bench.injector.end(CALL.trial)

    async def onward() -> Answer:
        return whole(b"")

    await fault.strike(hit, onward)
    assert bench.around.done == [("take", 1), ("back", 1)]


async def test_the_order_in_which_calls_of_a_tool_come_changes_no_draw() -> None:
    def struck(order: str) -> set[str]:
        bench = Bench([Mark(probability=0.5)], seed=3)
        given = {
            letter: msgspec.structs.replace(
                CALL, surface="tool", name="tool.refund", body=b'{"order": "%s"}' % letter.encode()
            )
            for letter in order
        }
        return {letter for letter, call in given.items() if bench.injector.upon(call)}

    assert struck("abcdefgh") == struck("hgfedcba") == struck("badcfehg")
    assert 0 < len(struck("abcdefgh")) < 8


async def test_the_order_of_calls_of_other_names_changes_no_draw() -> None:
    def struck(order: str) -> set[tuple[str, int]]:
        bench, found, counts = Bench([Mark(probability=0.5)], seed=3), set(), dict.fromkeys("ab", 0)
        for letter in order:
            counts[letter] += 1
            call = msgspec.structs.replace(CALL, name=f"tool.{letter}")
            found |= {(letter, counts[letter]) for _ in bench.injector.upon(call)}
        return found

    assert struck("aaaabbbb") == struck("bbbbaaaa") == struck("abababab") != set()


class Watches(Fault):
    """Writes down what it is handed."""

    watches: ClassVar[bool] = True
    kind: Literal["watches"] = "watches"
    strikes_idle: bool = False

    async def strike(self, hit: Hit, onward: Onward) -> Answer:
        hit.memory.setdefault("seen", []).append((hit.nth, hit.idle))
        if not hit.idle or self.strikes_idle:
            hit.struck()
        return await onward()


def watched(bench: Bench) -> list[tuple[int, bool]]:
    ((_, hit),) = bench.injector.upon(CALL)
    seen: list[tuple[int, bool]] = hit.memory["seen"]
    return seen


@pytest.mark.parametrize(
    "drawn",
    [
        Watches(on=Target(nth=2)),
        Watches(when=When(after_s=1, for_s=1)),
        Watches(times=1, when=When(after_s=1)),
    ],
)
async def test_a_fault_that_watches_sees_the_calls_that_were_not_drawn(drawn: Fault) -> None:
    bench = Bench([drawn])
    for second in range(3):
        bench.now_ns = second * S
        await bench.through(whole(b""))
    assert watched(bench) == [(1, True), (2, False), (3, True)]
    assert [fact["nth"] for fact in bench.facts] == [2]


async def test_what_does_not_fit_is_not_watched_and_chance_leaves_idle_hits() -> None:
    bench = Bench([Watches(probability=0)])
    assert bench.injector.upon(call_at("service")) == []
    assert [hit.idle for _, hit in bench.injector.upon(CALL)] == [True]


async def test_who_may_only_look_cannot_strike() -> None:
    bench = Bench([Watches(probability=0, strikes_idle=True)])
    with pytest.raises(RuntimeError, match="watches struck a call at which it may only look"):
        await bench.through(whole(b""))
    assert bench.facts == []


async def test_calls_at_once_do_not_exceed_its_times() -> None:
    gate = asyncio.Event()

    class Slow(Fault):
        kind: Literal["slow"] = "slow"

        async def strike(self, hit: Hit, onward: Onward) -> Answer:
            await gate.wait()
            hit.struck()
            return await onward()

    bench = Bench([Slow(times=2)])
    asked = [asyncio.create_task(bench.through(whole(b""))) for _ in range(5)]
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(*asked)
    assert len(bench.facts) == 2


async def test_a_call_that_ends_unstruck_gives_its_time_back() -> None:
    bench = Bench([Mark(times=1, only=(4,))])

    def breaks() -> Answer:
        raise Cut

    await bench.through(whole(b"-"))  # read to its end
    await bench.through(breaks)  # raised
    ((fault, hit),) = bench.injector.upon(CALL)
    (await carry([(fault, hit)], lambda: asyncio.sleep(0, whole(b"-")))).close()  # not read
    assert bench.injector.upon(call_at(trial="case:1")) != []  # nth 4: it is on its way
    assert bench.injector.upon(CALL) == []


async def test_what_waits_when_its_trial_ends_breaks() -> None:
    bench = Bench([Latency(ms=60_000)])
    waits = asyncio.Event()

    async def forever(seconds: float) -> None:
        waits.set()
        await asyncio.Event().wait()

    bench.injector._sleep = forever
    calls = [asyncio.create_task(bench.through(whole(b""))) for _ in range(3)]
    await waits.wait()
    calls[2].cancel()
    await asyncio.sleep(0)
    bench.injector.end(CALL.trial)
    first, second, gone = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(gone, asyncio.CancelledError)
    assert [(one.cut, one.calls) for one in (first, second)] == [("reset", 0)] * 2  # type: ignore[union-attr]
    assert len(asyncio.all_tasks()) == 1


async def test_what_raises_closes_the_answers_that_it_got() -> None:
    closed = list[str]()

    class Closes(Made):
        def close(self) -> None:
            closed.append("closed")

    class Late(Fault):
        kind: Literal["late"] = "late"

        async def strike(self, hit: Hit, onward: Onward) -> Answer:
            await onward()
            raise Cut

    seen = await Bench([Late()]).through(Closes(200, b""))
    assert (seen.cut, closed) == ("reset", ["closed"])


async def test_draws_of_requests_to_a_host_do_not_depend_on_their_order() -> None:
    def struck(paths: list[str]) -> set[str]:
        bench = Bench([Mark(probability=0.5)], seed=3)
        calls = {path: call_at("egress", path=path, name="egress.get") for path in paths}
        return {path for path, call in calls.items() if bench.injector.upon(call)}

    paths = [f"/{letter}" for letter in "abcdefgh"]
    assert struck(paths) == struck(paths[::-1]) != set(paths)
