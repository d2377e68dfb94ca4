"""What is delivered twice: a request to its tool, a message to its agent."""

from __future__ import annotations

import msgspec
import pytest

from answers_in_forms import PLAIN, tool_call
from fault_rig import Bench, whole
from proofrig.errors import ProviderError
from proofrig.faults.duplicate_delivery import DuplicateDelivery
from proofrig.wire.answer import Made
from proofrig.wire.outbound import Outbound

LINE = tool_call("mcp")
OVER_HTTP = msgspec.structs.replace(LINE, method="POST")


@pytest.mark.parametrize("call", [tool_call(), LINE, OVER_HTTP, PLAIN])
async def test_a_request_is_carried_out_twice_and_answered_once(call: Outbound) -> None:
    bench, answers = Bench([DuplicateDelivery()]), [b"first", b"second"]
    seen = await bench.through(lambda: whole(answers.pop(0)), call)
    assert (seen.calls, seen.body, answers) == (2, b"first", [])
    assert [fact["what"] for fact in bench.facts] == ["request"]


async def test_only_a_line_can_come_twice() -> None:
    bench = Bench([DuplicateDelivery(what="result")])
    for call in (tool_call(), OVER_HTTP):
        seen = await bench.through(lambda: whole(b'{"id":1}\n'), call)
        assert (seen.calls, seen.body, bench.facts) == (1, b'{"id":1}\n', [])
    seen = await bench.through(lambda: whole(b'{"id":1}\n'), LINE)
    assert (seen.calls, seen.body) == (1, b'{"id":1}\n{"id":1}')
    assert [fact["what"] for fact in bench.facts] == ["result"]


async def test_the_first_answer_comes_however_the_second_delivery_ends() -> None:
    bench, made = Bench([DuplicateDelivery()]), list[int]()

    def once() -> Made:
        made.append(1)
        if len(made) == 2:
            raise ProviderError("broke off", definite=False)
        return whole(b"first")

    seen = await bench.through(once, tool_call())
    assert (seen.body, seen.cut, len(made)) == (b"first", "", 2)
