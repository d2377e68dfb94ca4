"""What a call to a model may come to: lowered limits, tools taken out, words of the watch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from llm_rig import BINDING, answer, post, rig, turn
from llm_rig import stream as streamed
from proofrig.anomalies.settings import Settings, Steps
from proofrig.authority.transition import ReserveRequest
from proofrig.gateways.upstream import path_of
from proofrig.wire import CODECS
from proofrig.wire.turn import Usage

APIS = ("chat_completions", "responses", "messages")
LIMIT = {"responses": "max_output_tokens"}  # the key of the limit, where it is not max_tokens
CAP_500 = {"rules": [{"name": "short", "allow": "llm.*", "max_tokens": 500}]}


def path(api: str) -> str:
    return path_of(CODECS[api])  # type: ignore[index]


def body_of(api: str, limit: int | None, **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": "hi"}]
    body: dict[str, Any] = {"model": "sim"} | more
    body["input" if api == "responses" else "messages"] = messages
    return body if limit is None else body | {LIMIT.get(api, "max_tokens"): limit}


def limits(**amounts: int) -> dict[str, Any]:
    return {"limits": {"acme": amounts}}


async def says(request: web.Request) -> web.StreamResponse:
    """Answers in whatever API it is asked, as a stream where that is asked for."""
    api = next(name for name in APIS if request.path.endswith(path(name)))
    made = turn(api, usage=Usage(input=3, output=2))
    codec = CODECS[api]  # type: ignore[index]
    if msgspec.json.decode(await request.read()).get("stream"):
        return await streamed(request, [event for event, _ in codec.encode_stream(made)])
    return answer(codec.encode_response(made))


def sent(body: bytes) -> int | None:
    """The limit in a body as it went upstream."""
    told = msgspec.json.decode(body)
    keys = ("max_tokens", "max_output_tokens", "max_completion_tokens")
    return next((told[key] for key in keys if key in told), None)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("asked", [None, 4000])
@pytest.mark.parametrize("api", APIS)
async def test_a_rules_cap_lowers_what_is_held_and_what_leaves(
    tmp_path: Path, api: str, asked: int | None, stream: bool
) -> None:
    body = body_of(api, asked, **({"stream": True} if stream else {}))
    async with rig(tmp_path, says, policy=CAP_500) as r:
        status, _, _ = await post(r.trial_url("/v1") + path(api), body)
        (action,) = r.actions()
    assert (status, sent(r.bodies[0])) == (200, 500)
    assert (action.attr("decision"), action.attr("rule")) == ("cap", "short")
    assert action.attr("max_tokens") == 500
    assert "max_tokens" in action.attr("amended")
    assert action.attr("estimate")["tokens"] < 1200  # the input's bound and 500


@pytest.mark.parametrize("asked", [None, 4000])
@pytest.mark.parametrize("api", APIS)
async def test_what_the_budget_still_buys_lowers_the_limit_whoever_set_it(
    tmp_path: Path, api: str, asked: int | None
) -> None:
    body = body_of(api, asked)
    async with rig(tmp_path, says, policy=limits(tokens=400)) as r:
        status, _, _ = await post(r.trial_url() + path(api), body)
        (action,) = r.actions()
        assert (status, action.attr("decision")) == (200, "cap")
        left = sent(r.bodies[0])
        assert left is not None and 16 <= left < 400
        assert action.attr("max_tokens") == left
        assert action.attr("estimate")["tokens"] == 400  # all of it, and no more
        assert r.spent()["tokens"] == 5 and r.reserved()["tokens"] == 0


async def test_a_limit_that_fits_is_left_alone(tmp_path: Path) -> None:
    body = msgspec.json.encode(body_of("chat_completions", 100))
    async with rig(tmp_path, says, policy=CAP_500 | limits(tokens=4000)) as r:
        await post(f"{r.trial_url()}/chat/completions", body)
        (action,) = r.actions()
    assert r.bodies == [body] and action.attr("amended", ()) == ()


async def test_money_buys_output_tokens_at_their_price(tmp_path: Path) -> None:
    body = body_of("chat_completions", None)
    size = len(msgspec.json.encode(body))  # micro-dollars: one per input token, two per output
    policy = {"limits": {"acme": {"usd": (size + 2 * 60) / 1e6}}}
    async with rig(tmp_path, says, policy=policy) as r:
        await post(f"{r.trial_url()}/chat/completions", body)
        (action,) = r.actions()
    assert sent(r.bodies[0]) == 60
    assert action.attr("estimate")["usd_micro"] == size + 120


async def test_a_cap_and_a_budget_both_count_and_the_lower_wins(tmp_path: Path) -> None:
    for folder, tokens, expected in (("a", 20_000, 500), ("b", 300, None)):
        async with rig(tmp_path / folder, says, policy=CAP_500 | limits(tokens=tokens)) as r:
            await post(f"{r.trial_url()}/chat/completions", body_of("chat_completions", None))
            (action,) = r.actions()
            left = sent(r.bodies[0])
            assert left == action.attr("max_tokens")
            assert left == expected if expected else 0 < (left or 0) < 300


async def test_each_scope_of_the_path_may_lower_it_further(tmp_path: Path) -> None:
    """The tenant has little left, the run still less: one trim is not enough."""
    policy = {
        "limits": {"acme": {"tokens": 900}, "*/*/*": {"tokens": 700}, "*/*/*/*": {"tokens": 300}}
    }
    async with rig(tmp_path, says, policy=policy) as r:
        status, _, _ = await post(
            f"{r.trial_url()}/chat/completions", body_of("chat_completions", None)
        )
        (action,) = r.actions()
    assert (status, action.attr("estimate")["tokens"]) == (200, 300)


async def test_several_answers_share_what_is_left(tmp_path: Path) -> None:
    body = body_of("chat_completions", 4000, n=3)
    size = len(msgspec.json.encode(body))
    async with rig(tmp_path, says, policy=limits(tokens=size + 302)) as r:
        await post(f"{r.trial_url()}/chat/completions", body)
        (action,) = r.actions()
    assert sent(r.bodies[0]) == 100  # of 302 for three
    assert action.attr("estimate")["tokens"] == size + 300


async def test_input_that_does_not_fit_alone_is_denied(tmp_path: Path) -> None:
    body = body_of("chat_completions", 4000)
    for folder, left in (("none", -1), ("too little", 15)):
        tokens = len(msgspec.json.encode(body)) + left
        async with rig(tmp_path / folder, says, policy=limits(tokens=tokens)) as r:
            status, headers, said = await post(f"{r.trial_url()}/chat/completions", body)
            (action,) = r.actions()
            facts = msgspec.json.decode(said)["error"]["proofrig"]
            assert (status, headers["x-should-retry"], r.bodies) == (429, "false", [])
            assert (facts["code"], facts["remaining"]) == ("budget_exceeded", {"tokens": tokens})
            assert action.denied and not any(r.spent().values()) and not any(r.reserved().values())


async def test_a_window_that_is_smaller_than_the_request_lowers_it(tmp_path: Path) -> None:
    """Waiting would never help; what counts now does."""
    policy = {"limits": {"acme": {"tokens/minute": 1000}}}
    async with rig(tmp_path, says, policy=policy) as r:
        url = f"{r.trial_url()}/chat/completions"
        status, _, _ = await post(url, body_of("chat_completions", None))
        (action,) = r.actions()
        assert (status, action.attr("estimate")["tokens"]) == (200, 1000)
        again, _, _ = await post(url, body_of("chat_completions", None))
        assert (again, r.actions()[1].attr("estimate")["tokens"]) == (200, 995)


async def test_a_window_that_is_full_for_now_says_how_long_to_wait(tmp_path: Path) -> None:
    policy = {"limits": {"acme": {"tokens/minute": 1000}}}
    async with rig(tmp_path, says, policy=policy) as r:
        held = ReserveRequest("x", "acme", "llm.other", {"tokens": 990})
        assert r.context.authority.reserve(held).allowed
        for asked in (None, 500):
            body = body_of("chat_completions", asked)
            status, headers, said = await post(f"{r.trial_url()}/chat/completions", body)
            facts = msgspec.json.decode(said)["error"]["proofrig"]
            assert (status, facts["code"]) == (429, "rate_exceeded")
            assert 0 < facts["retry_after_ms"] <= 61_000
            assert headers["retry-after-ms"] == str(facts["retry_after_ms"])
    assert r.bodies == []


async def test_a_window_full_for_hours_is_not_worth_the_sdks_own_retries(tmp_path: Path) -> None:
    policy = {"limits": {"acme": {"calls/hour": 1}}}
    async with rig(tmp_path, says, policy=policy) as r:
        url = f"{r.trial_url()}/chat/completions"
        await post(url, body_of("chat_completions", 10))
        status, headers, said = await post(url, body_of("chat_completions", 10))
    assert (status, headers["x-should-retry"]) == (429, "false")
    assert int(headers["retry-after"]) > 3000
    assert msgspec.json.decode(said)["error"]["proofrig"]["retry_after_ms"] > 3_000_000


async def test_shadow_notes_the_cap_and_changes_nothing(tmp_path: Path) -> None:
    body = msgspec.json.encode(body_of("chat_completions", 4000))
    async with rig(tmp_path, says, policy=CAP_500, shadow=True) as r:
        await post(f"{r.trial_url()}/chat/completions", body)
        (action,) = r.actions()
    assert r.bodies == [body]
    assert action.attr("decision") == "allow"
    assert action.attr("shadow") == {"decision": "cap", "rule": "short", "max_tokens": 500}
    assert action.attr("estimate")["tokens"] == len(body) + 4000


async def test_shadow_lowers_on_its_own_balances_as_enforcement_would(tmp_path: Path) -> None:
    body = body_of("chat_completions", 4000)
    async with rig(tmp_path, says, policy=limits(tokens=400), shadow=True) as r:
        for _ in range(2):
            await post(f"{r.trial_url()}/chat/completions", body)
        first, second = r.actions()
        assert [one.attr("shadow")["decision"] for one in (first, second)] == ["cap", "cap"]
        lost = first.attr("shadow")["max_tokens"] - second.attr("shadow")["max_tokens"]
        assert lost == 5  # what the first one used
        assert first.attr("estimate")["tokens"] == len(msgspec.json.encode(body)) + 4000
        assert {sent(body) for body in r.bodies} == {4000}


@pytest.mark.parametrize("shadow", [False, True])
async def test_a_model_without_a_price_is_denied_or_in_shadow_noted(
    tmp_path: Path, shadow: bool
) -> None:
    body = body_of("chat_completions", 40) | {"model": "dear"}
    async with rig(tmp_path, says, policy={}, shadow=shadow) as r:
        status, _, _ = await post(f"{r.trial_url()}/chat/completions", body)
        (action,) = r.actions()
        told = action.attr("shadow") if shadow else action.reserve and action.reserve.attrs
        assert (status, len(r.bodies)) == ((200, 1) if shadow else (403, 0))
        assert told and (told["decision"], told["code"]) == ("deny", "price_unknown")
        spent = {unit: n for unit, n in r.spent().items() if n and unit in ("tokens", "usd_micro")}
        assert spent == ({"tokens": 5} if shadow else {})


# ---- tools that cannot be called any more

TOOLS = ("search", "mcp__web__search", "web_search_page", "send_email")
GONE = {
    "limits": {"*/*/*/*": {"calls:tool.search": 2}},
    "rules": [{"name": "no-mail", "deny": "tool.send_email"}],
}


def tools_of(api: str, *names: str) -> list[dict[str, Any]]:
    if api == "messages":
        return [{"name": name, "input_schema": {"type": "object"}} for name in names]
    if api == "responses":
        return [{"type": "function", "name": name, "parameters": {}} for name in names]
    return [{"type": "function", "function": {"name": name, "parameters": {}}} for name in names]


def use_up(r: Any, name: str, times: int) -> None:
    """Calls of a tool that have been made."""
    authority = r.context.authority
    for n in range(times):
        request = ReserveRequest(f"{name}{n}", BINDING.scope, name, {"calls": 1})
        assert authority.reserve(request).allowed
        authority.start(request.id)
        authority.commit(request.id, {"calls": 1})


def offered(body: bytes) -> list[str]:
    tools = msgspec.json.decode(body).get("tools", [])
    return [tool.get("name") or tool["function"]["name"] for tool in tools]


@pytest.mark.parametrize("api", APIS)
async def test_tools_that_could_not_be_called_never_reach_the_model(
    tmp_path: Path, api: str
) -> None:
    body = body_of(api, 100, tools=tools_of(api, *TOOLS))
    async with rig(tmp_path, says, policy=GONE) as r:
        r.context.tools |= {"search", "page", "web_search_page"}
        await post(r.trial_url() + path(api), body)
        use_up(r, "tool.search", 2)
        await post(r.trial_url() + path(api), body)
        first, second = r.actions()
        assert offered(r.bodies[0]) == list(TOOLS[:3])
        assert offered(r.bodies[1]) == ["web_search_page"]
        assert first.attr("amended") == ["tools"] == second.attr("amended")
        asked = msgspec.json.decode(r.payload(second.attr("request")))
        assert len(asked["tools"]) == 4  # the history keeps what the agent sent


async def test_a_call_that_is_under_way_counts_and_one_that_is_given_back_does_not(
    tmp_path: Path,
) -> None:
    body = body_of("chat_completions", 100, tools=tools_of("chat_completions", "search"))
    async with rig(tmp_path, says, policy=GONE) as r:
        use_up(r, "tool.search", 1)
        authority, url = r.context.authority, f"{r.trial_url()}/chat/completions"
        authority.reserve(ReserveRequest("open", BINDING.scope, "tool.search", {"calls": 1}))
        await post(url, body)
        authority.release("open", "it was not made")
        await post(url, body)
    assert [offered(body) for body in r.bodies] == [[], ["search"]]


async def test_a_forced_tool_that_is_gone_leaves_the_choice_to_the_model(tmp_path: Path) -> None:
    def body(*names: str) -> dict[str, Any]:
        forced = {"type": "function", "function": {"name": "send_email"}}
        tools = tools_of("chat_completions", *names)
        return body_of("chat_completions", 100, tools=tools, tool_choice=forced)

    async with rig(tmp_path, says, policy=GONE) as r:
        for names in (("send_email",), ("send_email", "search")):
            status, _, _ = await post(f"{r.trial_url()}/chat/completions", body(*names))
            assert status == 200
    alone, beside = map(msgspec.json.decode, r.bodies)
    assert "tools" not in alone and "tool_choice" not in alone
    assert beside["tool_choice"] == "auto"


async def test_shadow_takes_no_tool_away(tmp_path: Path) -> None:
    body = msgspec.json.encode(
        body_of("chat_completions", 100, tools=tools_of("chat_completions", *TOOLS))
    )
    async with rig(tmp_path, says, policy=GONE, shadow=True) as r:
        r.context.tools.add("search")
        use_up(r, "tool.search", 5)
        await post(f"{r.trial_url()}/chat/completions", body)
    assert r.bodies == [body]


# ---- the watch

POLLING = Settings(polling=Steps(3, 5, 6))


@pytest.mark.parametrize("api", APIS)
async def test_a_model_that_is_asked_the_same_again_is_warned_refused_and_stopped(
    tmp_path: Path, api: str
) -> None:
    body = msgspec.json.encode(body_of(api, 10))
    async with rig(tmp_path, says) as r:
        r.context.admission.watch = POLLING
        got = [await post(r.trial_url() + path(api), body) for _ in range(8)]
        notes = [entry.attrs for entry in r.entries() if entry.name == "anomaly"]
        spent = r.spent()["calls"]
        codes = [action.attr("code", "") for action in r.actions()]
        amended = [action.attr("amended", []) for action in r.actions()]
    assert [status for status, _, _ in got] == [200] * 5 + [403] * 3
    assert [(note["kind"], note["step"]) for note in notes] == [
        ("polling", "warn"),
        ("polling", "deny"),
        ("polling", "stop"),
    ]
    assert r.bodies[:3] == [body] * 3 and r.bodies[4] == body
    assert f"[proofrig] {notes[0]['says']}" in str(msgspec.json.decode(r.bodies[3]))
    assert amended[:5] == [[], [], [], ["note"], []]
    assert codes == [*[""] * 5, "polling_detected", "polling_detected", "run_stopped"]
    assert spent == 5
    for _, headers, said in got[5:]:
        facts = msgspec.json.decode(said)["error"]["proofrig"]
        assert headers["x-should-retry"] == "false"
        assert facts["scope"] == BINDING.scope and facts["fix"]
    assert "stopped" in msgspec.json.decode(got[7][2])["error"]["message"]


async def test_shadow_notes_what_the_watch_saw_and_goes_on(tmp_path: Path) -> None:
    body = msgspec.json.encode(body_of("chat_completions", 10))
    async with rig(tmp_path, says, policy={}, shadow=True) as r:
        r.context.admission.watch = POLLING
        for _ in range(12):
            status, _, _ = await post(f"{r.trial_url()}/chat/completions", body)
            assert status == 200
        notes = [entry.attrs for entry in r.entries() if entry.name == "anomaly"]
    assert r.bodies == [body] * 12
    assert [(note["step"], note["shadow"]) for note in notes] == [
        ("warn", True),
        ("deny", True),
        ("stop", True),
    ]


async def test_a_run_without_loops_sees_nothing_of_the_watch(tmp_path: Path) -> None:
    bodies = [msgspec.json.encode(body_of("chat_completions", 10 + n)) for n in range(30)]
    async with rig(tmp_path, says) as r:
        r.context.admission.watch = Settings()
        for body in bodies:
            await post(f"{r.trial_url()}/chat/completions", body)
        assert not [entry for entry in r.entries() if entry.name == "anomaly"]
    assert r.bodies == bodies


@pytest.mark.parametrize(
    ("policy", "thinking", "code"),
    [
        (CAP_500, 1024, "not_allowed"),
        (CAP_500, 400, ""),
        (limits(tokens=900), 1024, "budget_exceeded"),
        (limits(tokens=900), 100, ""),
    ],
)
async def test_a_limit_is_not_lowered_below_what_is_set_aside_for_thinking(
    tmp_path: Path, policy: dict[str, Any], thinking: int, code: str
) -> None:
    aside = {"type": "enabled", "budget_tokens": thinking}
    async with rig(tmp_path, says, policy=policy) as r:
        status, _, _ = await post(
            r.trial_url("/v1") + "/messages", body_of("messages", 4000, thinking=aside)
        )
        action = r.actions()[-1]
        assert set(r.reserved().values()) == {0}
    assert (status == 200, action.attr("code", "")) == (not code, code)
    if code:
        assert r.bodies == []
    else:
        assert thinking < (sent(r.bodies[0]) or 0) < 4000
