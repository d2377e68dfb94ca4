"""The process over plain HTTP: seeds, limits, caps, bad input, failing models, its end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from proofrig.providers.provider import MODEL_FAILED

CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"
MESSAGES = "/v1/messages"
FLAKY = """
rules:
  - when: {turn: 0}
    call: {look: {id: "A17"}}
    mistakes: [{kind: wrong_argument, argument: id, rate: 0.5}]
  - say: Done.
"""


def body_of(path: str, text: str, **more: Any) -> dict[str, Any]:
    if path == RESPONSES:
        return {"model": "sim", "input": text, **more}
    return {"model": "sim", "messages": [{"role": "user", "content": text}], **more}


class Answer:
    """A response that was read whole."""

    def __init__(self, status: int, headers: Any, text: str) -> None:
        self.status = status
        self.headers = headers
        self.text = text

    @property
    def json(self) -> Any:
        return json.loads(self.text)


async def ask(base: str, path: str, body: Any, headers: dict[str, str] | None = None) -> Answer:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with (
        aiohttp.ClientSession() as session,
        session.post(base + path, data=data, headers=headers) as response,
    ):
        return Answer(response.status, response.headers, await response.text())


async def stats(base: str) -> Any:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{base}/_proofrig/stats") as response,
    ):
        return await response.json()


async def until_served(base: str, text: str) -> None:
    """Ask until the server has noticed that others are gone."""
    for _ in range(200):
        with contextlib.suppress(aiohttp.ClientError):
            if (await ask(base, CHAT, body_of(CHAT, text))).status == 200:
                return
        await asyncio.sleep(0.02)
    raise AssertionError("never served")


async def asked_for(base: str, seed: str, text: str = "Go") -> Any:
    answer = await ask(base, CHAT, body_of(CHAT, text), {"x-proofrig-seed": seed})
    return answer.json["choices"][0]["message"]["tool_calls"][0]


async def test_the_same_seeds_give_the_same_turns_in_any_order(start: Any) -> None:
    one, same, other = start(FLAKY, 5), start(FLAKY, 5, apart=1), start(FLAKY, 6)
    seeds = [str(seed) for seed in range(30)]
    first = [await asked_for(one, seed) for seed in seeds]
    backwards = [await asked_for(same, seed) for seed in reversed(seeds)]
    assert first == backwards[::-1]  # ids and all
    arguments = [call["function"]["arguments"] for call in first]
    assert 5 <= sum(text != '{"id":"A17"}' for text in arguments) <= 25
    elsewhere = [(await asked_for(other, seed))["function"]["arguments"] for seed in seeds]
    assert arguments != elsewhere


async def test_a_call_made_again_gets_the_same_turn_under_new_ids(start: Any) -> None:
    base = start(FLAKY, 5)
    first, again = [await asked_for(base, "1") for _ in range(2)]
    assert first["function"] == again["function"]
    assert first["id"] != again["id"]


async def test_without_a_trials_seed_the_conversation_stands_in(start: Any) -> None:
    base = start(FLAKY, 5)
    texts = [f"Go {n}" for n in range(12)]
    first = [(await asked_for(base, "", text))["function"] for text in texts]
    assert first == [(await asked_for(base, "", text))["function"] for text in texts]
    assert len({call["arguments"] for call in first}) > 1


async def test_some_models_make_more_mistakes_than_others(start: Any) -> None:
    base = start(FLAKY, models={"perfect-*": {"mistakes": 0}, "hopeless": {"mistakes": 2}})

    async def right(model: str) -> list[bool]:
        bodies = [body_of(CHAT, f"Go {n}", tools=[]) | {"model": model} for n in range(15)]
        answers = [await ask(base, CHAT, body) for body in bodies]
        return ['{\\"id\\":\\"A17\\"}' in answer.text for answer in answers]

    assert await right("perfect-1") == [True] * 15
    assert await right("hopeless") == [False] * 15
    assert 0 < sum(await right("usual")) < 15


async def test_requests_over_the_limit_are_refused_as_each_vendor_does(start: Any) -> None:
    base = start(limits={"requests_per_minute": 2})
    for path in (CHAT, RESPONSES):
        tenant = {"x-proofrig-tenant": f"t{path}"}
        answers = [await ask(base, path, body_of(path, "Hi"), tenant) for _ in range(3)]
        assert [answer.status for answer in answers] == [200, 200, 429]
        left = [answer.headers["x-ratelimit-remaining-requests"] for answer in answers]
        assert left == ["1", "0", "0"]
        error = answers[2].json["error"]
        assert (error["type"], error["code"]) == ("requests", "rate_limit_exceeded")
        assert 0 < int(answers[2].headers["retry-after-ms"]) <= 30_000
        assert 0 < int(answers[2].headers["retry-after"]) <= 30
    tenant = {"x-proofrig-tenant": "anthropic"}
    answers = [await ask(base, MESSAGES, body_of(MESSAGES, "Hi"), tenant) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert answers[2].json["error"]["type"] == "rate_limit_error"
    assert answers[2].headers["anthropic-ratelimit-requests-remaining"] == "0"
    assert answers[2].headers["anthropic-ratelimit-requests-reset"].endswith("Z")
    counted = await stats(base)
    assert counted["refused"] == {"requests": 3}
    assert counted["tenants"]["anthropic"]["served"] == 2
    assert counted["tenants"]["anthropic"]["refused"] == 1


async def test_the_key_is_the_tenant_where_no_gateway_says_so(start: Any) -> None:
    base = start(limits={"requests_per_minute": 1, "tenants": {"k9": {}}})
    for headers, statuses in (
        ({"authorization": "Bearer k1"}, [200, 429]),
        ({"x-api-key": "k2"}, [200, 429]),
        ({"authorization": "Bearer k9"}, [200, 200]),
        ({}, [200, 429]),
    ):
        answers = [await ask(base, CHAT, body_of(CHAT, "Hi"), headers) for _ in range(2)]
        assert [answer.status for answer in answers] == statuses
    assert not {"k1", "k2"} & (await stats(base))["tenants"].keys()  # keys are not shown


async def test_tokens_are_held_and_given_back(start: Any) -> None:
    base = start(limits={"tokens_per_minute": 1000})
    body = body_of(CHAT, "Hi", max_tokens=900)
    answers = [await ask(base, CHAT, body) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 200]
    assert int(answers[2].headers["x-ratelimit-remaining-tokens"]) > 950
    never = await ask(base, CHAT, body_of(CHAT, "Hi", max_tokens=5000))
    assert (never.status, never.headers["x-should-retry"]) == (429, "false")


async def test_one_tenants_calls_at_once_are_capped(start: Any) -> None:
    base = start(limits={"concurrent": 2}, latency={"first_token_ms": 600})
    together = [ask(base, CHAT, body_of(CHAT, f"Hi {n}")) for n in range(5)]
    others = [ask(base, CHAT, body_of(CHAT, "Hi"), {"x-proofrig-tenant": "b"}) for _ in range(2)]
    answers = await asyncio.gather(*together, *others)
    assert sorted(answer.status for answer in answers[:5]) == [200, 200, 429, 429, 429]
    assert [answer.status for answer in answers[5:]] == [200, 200]


async def test_connections_above_the_cap_are_told_or_cut(start: Any) -> None:
    base = start(connections={"busy_above": 2, "refuse_above": 4})
    host, port = base.removeprefix("http://").split(":")
    held = [await asyncio.open_connection(host, port) for _ in range(2)]
    for path, status in ((MESSAGES, 529), (CHAT, 503), (RESPONSES, 503)):
        answer = await ask(base, path, body_of(path, "Hi"))
        assert answer.status == status
        assert answer.headers["connection"] == "close"
    assert answer.json["error"]["code"] == "server_overloaded"
    held += [await asyncio.open_connection(host, port) for _ in range(2)]
    with pytest.raises(aiohttp.ClientError):
        await ask(base, CHAT, body_of(CHAT, "Hi"))
    for _, writer in held:
        writer.close()
    await until_served(base, "Hi")
    assert (await stats(base))["connections"]["refused"] >= 1


async def test_bodies_that_are_not_requests_are_refused_in_the_vendors_shape(start: Any) -> None:
    base = start()
    for path in (CHAT, RESPONSES, MESSAGES):
        for body in (b"", b"{", b"[]", b'{"model": 5}', b"\xff\xfe", b'{"model": "sim"}' * 2):
            answer = await ask(base, path, body)
            assert (answer.status, answer.json["error"]["type"]) == (400, "invalid_request_error")
            assert answer.json["error"]["message"].startswith("expected ")
    assert (await ask(base, "/v1/embeddings", {})).status == 404
    version = {"anthropic-version": "2026-10-21"}
    warm = body_of(MESSAGES, "Hi", temperature=0.5)
    assert (await ask(base, MESSAGES, warm, version)).status == 400
    assert (await ask(base, MESSAGES, warm, {"anthropic-version": "2023-06-01"})).status == 200
    assert (await ask(base, MESSAGES, body_of(MESSAGES, '"temperature"'), version)).status == 200


async def test_a_model_that_fails_fails_its_own_call_only(start: Any, capfd: Any) -> None:
    base = start(apart=1, function="models:moody", limits={"concurrent": 1})
    for path in (CHAT, RESPONSES, MESSAGES):
        failed = await ask(base, path, body_of(path, "fail"))
        assert (failed.status, failed.headers["x-should-retry"]) == (500, "false")
        assert failed.headers[MODEL_FAILED[0]] == MODEL_FAILED[1]
        assert "the model is in a mood" in failed.json["error"]["message"]
        assert (await ask(base, path, body_of(path, "wrong"))).status == 500
        talked = await ask(base, path, body_of(path, "talk"))
        assert (talked.status, MODEL_FAILED[0] in talked.headers) == (200, False)
    error = capfd.readouterr().err
    assert "the simulated model failed at turn 0 of model 'sim'" in error
    assert "models.py:" in error
    assert (await stats(base))["refused"]["model_error"] == 6


async def test_a_client_that_goes_away_frees_its_place(start: Any) -> None:
    base = start(function="models:moody", limits={"concurrent": 1})
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(ask(base, CHAT, body_of(CHAT, "wait")), 0.3)
    await until_served(base, "talk")
    assert (await stats(base))["disconnected"] == 1


async def test_a_stream_comes_token_by_token(start: Any) -> None:
    base = start(
        latency={"first_token_ms": 100, "per_token_ms": 10}, models={"fast-*": {"latency": {}}}
    )
    body = body_of(CHAT, "tok " * 40, stream=True)
    sizes: list[int] = []
    async with (
        aiohttp.ClientSession() as session,
        session.post(base + CHAT, json=body) as response,
    ):
        async for chunk, _ in response.content.iter_chunks():
            sizes.append(chunk.count(b'"delta":{"content":'))
    assert sum(sizes) >= 40
    assert len(sizes) >= 5  # not in one piece
    fast = await ask(base, CHAT, body | {"model": "fast-1"})
    assert fast.text.endswith("data: [DONE]\n\n")


def spawn(tmp_path: Path, told: dict[str, Any]) -> tuple[subprocess.Popen[bytes], Any]:
    (tmp_path / "moody.py").write_text(
        "import time\ndef block(prompt):\n    time.sleep(600)\n    return ''\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "proofrig.providers.simulated_server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin and process.stdout
    process.stdin.write(json.dumps({"suite_dir": str(tmp_path), "seed": 1, **told}).encode())
    process.stdin.write(b"\n")
    process.stdin.flush()
    return process, json.loads(process.stdout.readline())


async def test_it_ends_when_stdin_ends_even_while_a_model_hangs(tmp_path: Path) -> None:
    process, ready = spawn(tmp_path, {"settings": {"function": "moody:block"}})
    base = f"http://127.0.0.1:{ready['port']}"
    hanging = asyncio.ensure_future(ask(base, CHAT, body_of(CHAT, "Hi")))
    await asyncio.sleep(0.2)
    assert process.stdin and process.stdout
    process.stdin.close()
    assert await asyncio.to_thread(process.wait, 10) == 0
    process.stdout.close()
    with pytest.raises(aiohttp.ClientError):
        await hanging


RUNNER = """
import asyncio
from pathlib import Path
from proofrig.providers import SimulatedSettings, make_provider

async def main():
    provider = make_provider(SimulatedSettings(), Path("."), 1)
    await provider.start()
    print(provider._process.pid, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


def test_it_ends_when_its_parent_is_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", RUNNER], stdout=subprocess.PIPE)
    assert parent.stdout
    with parent.stdout:
        child = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    tries = 500
    while alive(child):
        tries -= 1
        assert tries, "the provider outlived its parent"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
