"""An engine that can be looked into."""

from __future__ import annotations

from authority_service import RUN
from proofrig.authority.authority import Authority
from proofrig.authority.http.served import ServedMemory
from proofrig.authority.ledger import Ledger
from proofrig.authority.policy import parse_policy
from proofrig.authority.transition import ReserveRequest


async def test_what_is_known_of_an_id() -> None:
    rules = parse_policy({"rules": [{"name": "ask", "ask": "tool.pay", "wait_s": 5}]})
    engine = ServedMemory(Authority(Ledger(), None, lambda: 1, rules))
    assert await engine.look("a") is None
    assert await engine.pending() == []
    for id, name in (("a", "tool.pay"), ("b", "tool.x"), ("c", "tool.pay")):
        await engine.reserve(ReserveRequest(id, RUN, name, {"calls": 1}))
    seen = await engine.look("a")
    assert seen is not None
    assert (seen.state, seen.opened.event, seen.held) == ("pending", "ask", {"calls": 1})
    assert await engine.pending() == ["a", "c"]
    await engine.approve("a", "dana")
    seen = await engine.look("a")
    assert seen is not None and (seen.state, seen.last.event) == ("reserved", "approve")
    assert await engine.pending() == ["c"]
