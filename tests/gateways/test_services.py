"""`/services` over real HTTP: what an agent gets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from proofrig.gateways.admission import Approval
from proofrig.gateways.gateway import Binding
from service_rig import OTHER, post_as, service_rig
from tool_rig import BINDING

SETTINGS: list[dict[str, Any]] = [
    {"type": "kv", "name": "memory", "max_value_bytes": 10},
    {"type": "lock", "name": "jobs"},
    {"type": "quota", "name": "search", "capacity": 1, "retry_after_s": 1.25},
]


async def test_a_round_of_everything(tmp_path: Path) -> None:
    async with service_rig(tmp_path, SETTINGS) as rig:
        assert await rig.post("memory/put", {"key": "a", "value": 1}) == (
            200,
            {"result": {"version": 1}},
        )
        assert await rig.post("memory/get", {"key": "a"}, OTHER) == (
            200,
            {"result": {"value": 1, "version": 1}},
        )
        assert (await rig.post("jobs/acquire", {"key": "a"}))[0] == 200
        status, answer = await rig.post("jobs/acquire", {"key": "a"}, OTHER)
        assert (status, answer["error"]["type"]) == (409, "refused")
        assert "held by another" in answer["error"]["message"]
        assert "case:0" not in answer["error"]["message"]
        assert [one.attr("channel") for one in rig.actions()] == ["path"] * 4


@pytest.mark.parametrize(
    ("path", "body", "status", "kind", "says"),
    [
        ("memroy/get", {}, 404, "misasked", "did you mean memory?"),
        ("memory/gte", {}, 404, "misasked", "did you mean get?"),
        ("memory/get", {"kye": "a"}, 400, "misasked", "a JSON object with key"),
        ("memory/get", [], 400, "misasked", "Expected `object`"),
        ("memory/cas", {"key": "a", "value": 1, "expected": 1}, 409, "refused", "it is 0"),
        ("memory/put", {"key": "a", "value": "x" * 11}, 413, "too_large", "at most 10 bytes"),
    ],
)
async def test_what_goes_wrong_is_said(
    tmp_path: Path, path: str, body: Any, status: int, kind: str, says: str
) -> None:
    async with service_rig(tmp_path, SETTINGS) as rig:
        got, answer = await rig.post(path, body)
        assert (got, answer["error"]["type"]) == (status, kind)
        assert says in answer["error"]["message"]


async def test_over_a_limit_says_when_to_come_again(tmp_path: Path) -> None:
    async with service_rig(tmp_path, SETTINGS) as rig:
        assert (await rig.post("search/take"))[0] == 200
        async with rig.context.client.post(f"{rig.url()}/search/take", json={}) as answer:
            assert answer.status == 429
            assert (answer.headers["retry-after"], answer.headers["retry-after-ms"]) == (
                "2",
                "1250",
            )
        (_, over) = rig.actions()
        assert (over.attr("status"), over.attr("retry_after_ns")) == (429, 1_250_000_000)


async def test_a_budget_that_is_used_up_is_said(tmp_path: Path) -> None:
    async with service_rig(tmp_path, SETTINGS) as rig:
        rig.context.authority.set_budget("acme", {"calls": 0})
        status, answer = await rig.post("memory/get", {"key": "a"})
        assert (status, answer["error"]["type"], answer["error"]["scope"]) == (
            429,
            "denied",
            "acme",
        )


async def test_whose_it_is(tmp_path: Path) -> None:
    async with service_rig(tmp_path, SETTINGS) as rig:
        url = f"http://127.0.0.1:{rig.port}/services/search/take"
        client = rig.context.client
        assert (await post_as(client, url, {}))[0] == 401
        baggage = {"baggage": f"proofrig.trial={OTHER.token}"}
        assert (await post_as(client, url, baggage))[0] == 200
        rig.context.bindings.end(OTHER.token)
        status, answer = await post_as(client, url, baggage)
        assert (status, "has ended" in answer["error"]["message"]) == (401, True)
        assert [one.attrs["service"] for one in rig.entries("note", "unattributed")] == ["search"]
        assert [one.trial for one in rig.entries("note", "late")] == ["case:1"]
        assert [(one.trial, one.attr("channel")) for one in rig.actions()] == [
            ("case:1", "baggage")
        ]


async def test_kill_points_are_passed_in_order(tmp_path: Path) -> None:
    passed: list[tuple[str, str, str]] = []

    def kills(point: str, binding: Binding, action: str) -> None:
        passed.append((point, binding.trial, action))

    async with service_rig(tmp_path, SETTINGS, kills=kills) as rig:
        assert (await rig.post("memory/put", {"key": "a", "value": 1}))[0] == 200
        assert (await rig.post("memory/get", {"key": "a"}))[0] == 200
        put, get = rig.actions()
        points = ["before_write", "after_write", "after_ack"]
        assert passed[:3] == [(point, BINDING.trial, put.id) for point in points]
        assert passed[3:] == []
        assert get.outcome == "ok"


POLICY: dict[str, Any] = {
    "limits": {"acme/*/*/*": {"calls/hour": 4}},
    "rules": [
        {
            "name": "no-secrets",
            "deny": "kv.*",
            "when": {"service": "memory", "key": {"matches": "^secret"}},
            "fix": "use another key",
        },
        {"name": "locks-ask", "ask": "lock.acquire", "wait_s": 30},
    ],
}


async def test_rules_hold_for_services_too(tmp_path: Path) -> None:
    async with service_rig(tmp_path, SETTINGS, policy=POLICY) as rig:
        rig.context.admission.approvals = [Approval(reason="not now")]
        status, said = await rig.post("memory/put", {"key": "secret-1", "value": 1})
        error = said["error"]
        assert (status, error["code"], error["rule"]) == (403, "forbidden", "no-secrets")
        assert error["message"].endswith(
            "by rule no-secrets at acme/flow/agent/run. use another key"
        )
        status, said = await rig.post("jobs/acquire", {"key": "a"})
        assert (status, said["error"]["code"]) == (403, "approval_refused")
        rig.context.admission.approvals = [Approval(answer="approve")]
        assert (await rig.post("jobs/acquire", {"key": "a"}))[0] == 200
        for n in range(3):
            assert (await rig.post("memory/put", {"key": str(n), "value": 1}))[0] == 200
        async with rig.context.client.post(f"{rig.url()}/memory/get", json={"key": "0"}) as answer:
            said = (await answer.json())["error"]
            assert (answer.status, said["code"]) == (429, "rate_exceeded")
            assert answer.headers["retry-after-ms"] == str(said["retry_after_ms"])
        assert (await rig.post("memory/get", {"key": "0"}, OTHER))[0] == 200
        decisions = [action.attr("decision") for action in rig.actions()]
        assert decisions == ["deny", "ask", "ask", "allow", "allow", "allow", "deny", "allow"]
        spent = rig.context.authority.balances("acme")["calls"]
        assert (spent.reserved, spent.spent) == (0, 4)
