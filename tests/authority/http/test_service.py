"""The service: requests in, statuses and bytes out."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from authority_service import ACME, ADMIN, OTHER, RUN, SECOND, Api, asked, served
from proofrig.authority.http.service import is_local

ASKS = {"rules": [{"name": "ask-first", "ask": "tool.refund", "wait_s": 30}]}


async def balance(api: Api, unit: str = "tokens", scope: str = "acme") -> dict[str, Any]:
    return (await api.get(f"/balances?scope={scope}")).json["balances"][unit]


async def test_reserve_start_commit() -> None:
    async with served() as api:
        assert (await api.post("/reservations", asked())).json == {"decision": "allow", "id": "a1"}
        assert (await balance(api))["reserved"] == 100
        assert (await api.move("a1", "start")).json == {"id": "a1", "state": "started"}
        done = await api.move("a1", "commit", {"actual": {"tokens": 130}})
        assert done.json == {
            "id": "a1",
            "state": "committed",
            "charged": {"calls": 1, "tokens": 130},
        }
        assert await balance(api) == {
            "allocated": None,
            "reserved": 0,
            "spent": 130,
            "remaining": None,
            "debt": 0,
        }
        seen = (await api.get("/reservations/a1")).json
        assert (seen["state"], seen["held"], seen["source"]) == ("committed", {}, "measured")
        assert seen["charged"] == {"calls": 1, "tokens": 130}


async def test_what_does_not_fit_is_429_with_the_reason_and_holds_nothing() -> None:
    async with served() as api:
        await api("PUT", "/budgets/acme/desk", {"amounts": {"tokens": 50, "calls/minute": 9}})
        denied = await api.post("/reservations", asked())
        assert denied.status == 429
        assert "Retry-After" not in denied.headers
        reason = denied.json["reason"]
        assert reason["code"] == "budget_exceeded"
        assert (reason["scope"], reason["remaining"]["tokens"]) == ("acme/desk", 50)
        assert (reason["rule"], reason["retry_after_ms"]) == ("", None)
        assert "asked 100 tokens where 50 remain" in reason["fix"]
        assert (await balance(api, scope="acme/desk"))["reserved"] == 0


async def test_a_window_says_when_to_come_back() -> None:
    async with served() as api:
        await api("PUT", "/budgets/acme", {"amounts": {"calls/minute": 1}})
        assert (await api.post("/reservations", asked("a1"))).status == 201
        denied = await api.post("/reservations", asked("a2"))
        assert (denied.status, denied.json["reason"]["code"]) == (429, "rate_exceeded")
        assert 59 <= int(denied.headers["Retry-After"]) <= 62
        assert denied.json["reason"]["retry_after_ms"] <= int(denied.headers["Retry-After"]) * 1000


async def test_a_rule_denies_with_403_and_caps_with_201() -> None:
    policy = {
        "rules": [
            {"name": "no-mail", "deny": "tool.mail", "fix": "write a note"},
            {"name": "short", "allow": "llm.*", "max_tokens": 50},
        ]
    }
    async with served(policy=policy) as api:
        denied = await api.post("/reservations", asked(name="tool.mail"))
        assert denied.status == 403
        assert denied.json["reason"] | {"remaining": 0} == {
            "code": "forbidden",
            "rule": "no-mail",
            "scope": RUN,
            "remaining": 0,
            "fix": "write a note",
            "retry_after_ms": None,
        }
        capped = await api.post("/reservations", asked("a2", name="llm.chat"))
        assert capped.json == {"decision": "cap", "id": "a2", "rule": "short", "max_tokens": 50}


async def test_ask_is_202_until_an_administrator_answers() -> None:
    async with served(policy=ASKS) as api:
        asking = await api.post("/reservations", asked())
        assert asking.status == 202
        assert asking.json == {
            "decision": "ask",
            "id": "a1",
            "rule": "ask-first",
            "wait_ms": 30_000,
        }
        listed = (await api.get("/reservations?state=pending")).json["reservations"]
        assert [(one["id"], one["held"]["tokens"]) for one in listed] == [("a1", 100)]
        assert (await api.move("a1", "start")).status == 409
        assert (await api.get("/reservations/a1/answer")).status == 202
        waiting = [asyncio.create_task(api.get("/reservations/a1/answer?wait_s=20")) for _ in "ab"]
        await asyncio.sleep(0.05)
        assert (await api.move("a1", "approve", {"by": "dana"})).status == 200
        for answer in await asyncio.gather(*waiting):
            assert (answer.status, answer.json["decision"]) == (200, "allow")
        assert (await api.move("a1", "start")).status == 200


async def test_a_refusal_and_a_timeout_reach_who_waits_and_give_the_hold_back() -> None:
    async with served(policy=ASKS) as api:
        for id in ("a1", "a2"):
            await api.post("/reservations", asked(id))
        said = await api.move("a1", "refuse", {"by": "dana", "reason": "no order"})
        assert said.json["reason"]["code"] == "approval_refused"
        answer = (await api.get("/reservations/a1/answer")).json
        assert answer["reason"]["code"] == "approval_refused"
        assert "dana" in answer["reason"]["fix"] and "no order" in answer["reason"]["fix"]
        api.now[0] += 31 * SECOND
        api.authority.sweep()
        timed_out = (await api.get("/reservations/a2/answer")).json
        assert timed_out["reason"]["code"] == "approval_timeout"
        assert (await balance(api))["reserved"] == 0


async def test_a_shadow_says_what_would_have_been_decided() -> None:
    from proofrig.authority.authority import Authority
    from proofrig.authority.ledger import Ledger
    from proofrig.authority.policy import parse_policy
    from proofrig.authority.shadow import Shadow

    rules = parse_policy({"rules": [{"name": "none", "deny": "tool.*"}]})

    def make(ledger: Any, journal: Any, clock: Any) -> Authority:
        return Shadow(ledger, journal, clock, Authority(Ledger(), None, clock, rules))

    async with served(make=make) as api:
        told = await api.post("/reservations", asked())
        assert (told.status, told.json["decision"]) == (201, "allow")
        assert told.json["would"]["decision"] == "deny"
        assert told.json["would"]["reason"]["rule"] == "none"


# ---- the same call again


async def test_the_same_calls_get_the_same_bytes_also_after_a_restart(tmp_path: Path) -> None:
    policy = {"limits": {"acme": {"tokens": 150}}}
    calls = [
        ("POST", "/reservations", asked("a1", arguments={"b": [1.5, None], "a": "é"})),
        ("POST", "/reservations", asked("a2")),
        ("POST", "/reservations/a1/start", None),
        ("POST", "/events", asked("e1", amounts={"tokens": 7})),
    ]
    ends = [("POST", "/reservations/a1/commit", {"actual": {"tokens": 90}, "price": "table 3"})]

    async def make(api: Api, what: list[Any]) -> list[tuple[int, bytes]]:
        answers = [await api(*call) for call in what]
        return [(answer.status, answer.raw) for answer in answers]

    async with served(tmp_path / "j", policy=policy) as api:
        first = await make(api, calls)
        assert [status for status, _ in first] == [201, 429, 200, 201]
        assert await make(api, calls) == first
        ended = await make(api, ends)
        before = await balance(api)
    async with served(tmp_path / "j", policy=policy) as api:
        again = calls[:2] + calls[3:] + ends
        assert await make(api, again) == [*first[:2], first[3], *ended]
        assert await balance(api) == before


@pytest.mark.parametrize(
    "other",
    [
        {"amounts": {"calls": 1, "tokens": 101}},
        {"scope": "acme/desk/bot/r2"},
        {"arguments": {"order": "B"}},
        {"root": "/srv"},
        {"ttl_ms": 1},
    ],
)
async def test_another_payload_under_the_same_id_is_409_and_moves_nothing(
    other: dict[str, Any],
) -> None:
    async with served() as api:
        await api.post("/reservations", asked(arguments={"order": "A"}))
        refused = await api.post("/reservations", asked(arguments={"order": "A"}) | other)
        assert (refused.status, refused.json["error"]["type"]) == (409, "idempotency_mismatch")
        assert (await balance(api))["reserved"] == 100


async def test_an_event_is_never_taken_for_a_reservation() -> None:
    async with served() as api:
        await api.post("/reservations", asked())
        assert (await api.post("/events", asked())).status == 409
        await api.post("/events", asked("e1"))
        assert (await api.post("/events", asked("e1", outcome="fail"))).status == 409
        assert (await balance(api))["spent"] == 100


async def test_the_id_may_come_in_the_header() -> None:
    async with served() as api:
        body = asked()
        del body["id"]
        first = await api.post("/reservations", body, Idempotency_Key="h1")
        assert (first.status, first.json["id"]) == (201, "h1")
        assert (await api.post("/reservations", asked("h1"))).raw == first.raw
        assert (await api.post("/reservations", body)).status == 400
        assert (await api.post("/reservations", asked("h2"), Idempotency_Key="h1")).status == 400
        assert (await api.post("/reservations", body, Idempotency_Key="not good")).status == 400


# ---- moves that cannot be made


async def test_a_move_the_table_does_not_have_is_409() -> None:
    async with served() as api:
        await api.post("/reservations", asked())
        refused = await api.move("a1", "commit", {"actual": {}})
        assert (refused.status, refused.json["error"]["type"]) == (409, "conflict")
        assert "'a1' is reserved: expected start" in refused.json["error"]["message"]
        assert (await api.move("a1", "release", {"reason": "never sent"})).status == 200
        assert (await api.move("a1", "release", {"reason": "never sent"})).status == 200
        assert (await api.move("a1", "extend", {"ttl_ms": 5})).status == 409


async def test_an_unknown_id_is_404_everywhere() -> None:
    async with served() as api:
        for move, body in (
            ("start", None),
            ("commit", {"actual": {}}),
            ("release", {}),
            ("extend", {"ttl_ms": 1}),
            ("approve", {"by": "x"}),
            ("refuse", {"by": "x"}),
        ):
            answer = await api.move("none", move, body)
            assert (answer.status, answer.json["error"]["type"]) == (404, "not_found"), move
        assert (await api.get("/reservations/none")).status == 404
        assert (await api.get("/reservations/none/answer")).status == 404


@pytest.mark.parametrize(
    ("started", "state", "charged"),
    [(True, "expired_charged", {"calls": 1, "tokens": 100}), (False, "expired_released", {})],
)
async def test_a_late_call_is_410_and_says_what_was_charged(
    started: bool, state: str, charged: dict[str, int]
) -> None:
    async with served() as api:
        await api.post("/reservations", asked(ttl_ms=1000))
        if started:
            await api.move("a1", "start")
        api.now[0] += 2 * SECOND
        api.authority.sweep()
        late = await api.move("a1", "commit", {"actual": {"tokens": 150}})
        assert late.status == 410
        error = late.json["error"]
        assert error["type"] == "expired"
        assert (error["reservation"]["state"], error["reservation"]["charged"]) == (state, charged)
        assert "/v1/events" in error["message"]
        assert (await api.get("/reservations/a1/answer")).status == 409


async def test_extend_says_when_the_hold_ends() -> None:
    async with served() as api:
        await api.post("/reservations", asked(ttl_ms=1000))
        told = await api.move("a1", "extend", {"ttl_ms": 60_000})
        assert told.json == {"id": "a1", "expires_ms": 1_060_000}


async def test_what_rules_count_cannot_be_talked_down() -> None:
    cap = {"name": "one", "allow": "tool.refund", "cap": {"calls": 1, "per": "run"}}
    async with served(policy={"rules": [cap]}) as api:
        assert (await api.post("/reservations", asked())).status == 201
        await api.move("a1", "start")
        for unit in ("calls:rule.one", "calls:tool.refund"):
            assert (await api.move("a1", "commit", {"actual": {unit: 0}})).status == 400
        assert (await api.move("a1", "commit", {"actual": {"tokens": 0}})).status == 200
        assert (await api.post("/reservations", asked("a2"))).status == 429


# ---- tenants


async def test_a_key_is_needed_where_there_are_keys() -> None:
    async with served(keyed=True) as api:
        for key in ("", "wrong-key-0123456789"):
            answer = await api.post("/reservations", asked(), key=key)
            assert answer.status == 401
            assert answer.headers["WWW-Authenticate"] == "Bearer"
            assert answer.json["error"]["type"] == "unauthorized"
            assert "wrong-key" not in answer.raw.decode()
        assert (await api.get("/health", key="")).status == 200
        assert (await api.get("/openapi.json", key="")).status == 200


async def test_a_key_touches_its_own_tenant_alone() -> None:
    async with served(keyed=True) as api:
        assert (await api.post("/reservations", asked(), key=OTHER)).status == 403
        assert (await api.post("/events", asked("e"), key=OTHER)).status == 403
        assert (await api.get("/balances?scope=acme", key=OTHER)).status == 403
        assert (await api.post("/reservations", asked(scope="acmeX/r"), key=ACME)).status == 403
        shared = asked(also=["@writes"])
        assert (await api.post("/reservations", shared, key=ACME)).status == 201
        assert (await api.get("/balances?scope=@writes", key=ACME)).status == 200
        other = asked("o", scope="other/r", also=["@writes"])
        assert (await api.post("/reservations", other, key=OTHER)).status == 403
        assert (await api.get("/scopes", key=OTHER)).json == {"scopes": []}
        assert "@writes" in (await api.get("/scopes", key=ACME)).json["scopes"]


async def test_two_tenants_may_use_the_same_id_and_see_nothing_of_each_other() -> None:
    async with served(keyed=True, policy=ASKS) as api:
        assert (await api.post("/reservations", asked("x"), key=ACME)).status == 202
        assert (await api.get("/reservations/x", key=OTHER)).status == 404
        mine = asked("x", scope="other/r", name="tool.look", amounts={"calls": 1})
        assert (await api.post("/reservations", mine, key=OTHER)).status == 201
        seen = (await api.get("/reservations/x", key=OTHER)).json
        assert (seen["id"], seen["scope"]) == ("x", "other/r")
        assert (await api.get("/reservations?state=pending", key=OTHER)).json == {
            "reservations": []
        }
        refused = await api.move("x", "commit", {"actual": {}}, key=ACME)
        assert "acme/x" not in refused.raw.decode()
        listed = (await api.get("/reservations?state=pending")).json["reservations"]
        assert [one["id"] for one in listed] == ["acme/x"]
        assert (await api.move("acme%2Fx", "approve", {"by": "dana"})).status == 200
        assert (await api.move("x", "start", key=ACME)).status == 200


async def test_administering_needs_an_administrators_key() -> None:
    async with served(keyed=True) as api:
        for method, path, body in (
            ("PUT", "/budgets/acme", {"amounts": {"calls": 1}}),
            ("POST", "/scopes/stop", {"scope": "acme", "reason": "x"}),
            ("POST", "/reservations/a/approve", {"by": "x"}),
            ("POST", "/reservations/a/refuse", {"by": "x"}),
        ):
            assert (await api(method, path, body, key=ACME)).status == 403, path
            assert (await api(method, path, body, key=ADMIN)).status in (200, 404), path


async def test_a_stopped_scope_denies_with_the_reason() -> None:
    async with served() as api:
        await api.post("/scopes/stop", {"scope": "acme/desk", "reason": "out of hand"})
        denied = await api.post("/reservations", asked())
        assert (denied.status, denied.json["reason"]["code"]) == (403, "run_stopped")
        assert "out of hand" in denied.json["reason"]["fix"]


# ---- what is wrong with a request

DEEP = b'{"id":"a","scope":"s","name":"a.b","amounts":{},"arguments":{"x":%s%s}}'


def raw(**fields: str) -> bytes:
    """A reserve whose fields are JSON texts."""
    whole = {"id": '"a"', "scope": '"s"', "name": '"a.b"', "amounts": "{}"} | fields
    return ("{" + ",".join(f'"{name}":{text}' for name, text in whole.items()) + "}").encode()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        b"[]",
        b"null",
        b"{}",
        b"\xff\xfe",
        b'{"id":"a"} trailing',
        raw(amounts='{"tokens":true}'),
        raw(amounts='{"tokens":1.0}'),
        raw(amounts='{"tokens":1e3}'),
        raw(amounts='{"tokens":-1}'),
        raw(amounts='{"tokens":9007199254740992}'),
        raw(amounts='{"tokens":%s}' % ("9" * 6000)),
        raw(amounts='{"tokens":NaN}'),
        raw(amounts='{"tokens":"1"}'),
        raw(amounts='{"apples":1}'),
        raw(amounts='{"tokens/minute":1}'),
        raw(amounts='{"tokens":1,"tokens":2}'),
        raw(amounts='{"calls:tool.x":0}'),
        raw(amounts='{"taint:web":0}'),
        raw(ahead='{"calls:tool.x":0}'),
        raw(arguments='{"a":{"b":1,"b":2}}'),
        raw(arguments='{"a":1e999}'),
        raw(arguments='{"a":"\\ud800"}'),
        raw(scope='""'),
        raw(scope='"/acme"'),
        raw(scope='"acme/"'),
        raw(scope='"acme\\n"'),
        raw(scope='"@writes"'),
        raw(id='".."'),
        raw(id='"a\\n"'),
        raw(id='"%s"' % ("a" * 201)),
        raw(name='"refund"'),
        raw(also='["writes"]'),
        raw(unknown="1"),
        raw(ttl_ms="0"),
        raw(ttl_ms="86400001"),
        DEEP % (b"[" * 40, b"]" * 40),
        DEEP % (b"[" * 20_000, b"]" * 20_000),
        DEEP % (b'{"a":' * 20_000 + b"1", b"}" * 20_000),
    ],
    ids=lambda body: body[:60].decode(errors="replace"),
)
async def test_a_bad_body_is_400_and_says_where_to_look(body: bytes) -> None:
    async with served() as api:
        answer = await api.post("/reservations", body)
        assert answer.status == 400, answer.raw
        assert answer.json["error"]["type"] == "bad_request"
        assert "openapi.json" in answer.json["error"]["message"]
        assert (await api.get("/scopes")).json == {"scopes": []}


async def test_the_largest_amount_is_taken() -> None:
    async with served() as api:
        most = {"tokens": (1 << 53) - 1}
        assert (await api.post("/reservations", asked(amounts=most))).status == 201
        assert (await balance(api))["reserved"] == (1 << 53) - 1


async def test_sizes_and_types_of_bodies() -> None:
    async with served() as api:
        huge = raw(digest='"%s"' % ("x" * (1 << 20)))
        answer = await api.post("/reservations", huge)
        assert (answer.status, answer.json["error"]["type"]) == (413, "too_large")
        for headers in (
            {"Content_Type": "text/plain"},
            {"Content_Type": "application/json; charset=utf-16"},
            {"Content_Encoding": "gzip"},
        ):
            answer = await api.post("/reservations", asked(), **headers)
            assert (answer.status, answer.json["error"]["type"]) == (415, "unsupported_media_type")
        assert (await api.post("/reservations/a/start", b'{"x":1}')).status == 400


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("DELETE", "/reservations", 405),
        ("HEAD", "/health", 405),
        ("GET", "/reservations", 400),
        ("GET", "/reservations?state=open", 400),
        ("GET", "/reservations?state=pending&state=pending", 400),
        ("GET", "/reservations?state=pending&x=1", 400),
        ("GET", "/reservations/%00", 400),
        ("GET", "/reservations/%2F", 400),
        ("GET", "/reservations/a%20b", 400),
        ("GET", "/reservations/%C3%A9", 400),
        ("GET", "/reservations/a%2Fb", 404),
        ("GET", "/reservations/a%ff", 400),
        ("GET", "/reservations/a/b", 404),
        ("GET", "/reservations/a/answer?wait_s=61", 400),
        ("GET", "/reservations/a/answer?wait_s=x", 400),
        ("GET", "/balances", 400),
        ("GET", "/balances?scope=/x", 400),
        ("GET", "/balances?scope=%ff", 400),
        ("PUT", "/budgets/", 404),
        ("PUT", "/budgets/%20", 400),
        ("PUT", "/budgets/%0A", 404),
    ],
)
async def test_bad_paths_and_parameters_are_clean(method: str, path: str, status: int) -> None:
    async with served() as api:
        body = {"amounts": {"calls": 1}} if method == "PUT" else None
        answer = await api(method, path, body)
        assert answer.status == status, answer.raw
        if method != "HEAD":
            assert set(answer.json) == {"error"}
        if status == 405:
            assert answer.headers["Allow"]


async def test_a_scope_may_be_written_with_slashes_or_escapes() -> None:
    async with served() as api:
        for path in ("/budgets/acme//bot", "/budgets/acme%2F%2Fbot"):
            told = await api("PUT", path, {"amounts": {"calls": 3}})
            assert told.json == {"scope": "acme//bot", "amounts": {"calls": 3}}


# ---- what cannot be kept


async def test_a_journal_that_cannot_be_written_is_503_until_it_can(tmp_path: Path) -> None:
    file = tmp_path / "j"
    async with served(file) as api:
        await api.post("/reservations", asked())
        await api.move("a1", "start")
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("begin immediate")
        commit = {"actual": {"tokens": 60}}
        answer = await api.move("a1", "commit", commit)
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        assert answer.json["error"]["definite"] is False
        refused = await api.post("/reservations", asked("a2"))
        assert (refused.status, refused.json["error"]["definite"]) == (503, True)
        other.execute("rollback")
        other.close()
        assert (await api.move("a1", "commit", commit)).json["charged"]["tokens"] == 60
        assert (await api.get("/health")).json == {"status": "ok"}
    async with served(file) as api:
        assert (await balance(api))["spent"] == 60


# ---- who may come at all


async def test_without_keys_only_names_of_this_machine_are_answered() -> None:
    async with served() as api:
        assert (await api.get("/health", Host="evil.example")).status == 403
        assert (await api.get("/health", Host="localhost:1")).status == 200
    async with served(keyed=True) as api:
        assert (await api.get("/health", Host="authority.example")).status == 200


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1:80", True),
        ("127.9.9.9", True),
        ("[::1]:80", True),
        ("::1", True),
        ("localhost", True),
        ("app.localhost:1", True),
        ("0.0.0.0", False),
        ("10.0.0.1:80", False),
        ("[::]:80", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example:80", False),
        ("", False),
    ],
)
def test_local_names(host: str, local: bool) -> None:
    assert is_local(host) == local


async def test_the_document_names_every_call() -> None:
    async with served() as api:
        document = json.loads((await api.get("/openapi.json")).raw)
        assert document["openapi"] == "3.1.0"
        assert "/v1/reservations/{id}/commit" in document["paths"]
