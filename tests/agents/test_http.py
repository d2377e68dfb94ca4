"""HTTP agents against a real loopback server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from proofrig.agents.agent import Attempt, Reply
from proofrig.agents.gate import Gate, Ticket
from proofrig.agents.http import HttpAgent, HttpAgentSettings, pick
from proofrig.errors import InfraError, UsageError

from .conftest import Server

Run = Callable[..., Any]


@pytest.fixture
def run(server: Server, attempt: Callable[..., Attempt]) -> Run:
    async def run(
        path: str, task: Any = "do it", timeout_s: float = 20.0, **settings: Any
    ) -> Reply:
        url = path if "://" in path else server.url + path
        agent = HttpAgent(HttpAgentSettings(url=url, **settings), concurrency=4)
        await agent.start()
        try:
            return await agent.run(attempt(task, n=3, timeout_s=timeout_s))
        finally:
            await agent.close()

    return run


async def test_template_answer_and_identity(
    run: Run, server: Server, attempt: Callable[..., Attempt]
) -> None:
    body = {"in": ["<{task}>", {"m": "{messages}", "seed": "{seed}"}], "out": {"text": "{trial}"}}
    reply = await run("/answer/200", body=body, answer="out.text", headers={"X-Mine": "{seed}"})
    assert reply == Reply(answer="case:3")
    ((method, _, headers, sent),) = server.asked
    assert method == "POST"
    assert json.loads(sent)["in"] == [
        "<do it>",
        {"m": [{"role": "user", "content": "do it"}], "seed": 3},
    ]
    assert headers["x-mine"] == "3"
    own = attempt(n=3).headers
    assert {name: headers[name] for name in own} == own


async def test_the_template_says_where_the_trials_models_and_tools_are(
    server: Server, attempt: Callable[..., Attempt]
) -> None:
    settings = HttpAgentSettings(
        url=server.url + "/answer/200",
        headers={"X-Models": "{base_url}", "Authorization": "Bearer {token}"},
        body=["{anthropic_base_url}", "{tools_url}"],
    )
    agent = HttpAgent(settings, concurrency=1)
    reply = await agent.run(attempt(root="http://127.0.0.1:8899/t/tok", token="tok"))
    await agent.close()
    root = "http://127.0.0.1:8899/t/tok"
    assert json.loads(reply.answer) == [root, f"{root}/tools"]
    ((_, _, headers, _),) = server.asked
    assert (headers["x-models"], headers["authorization"]) == (f"{root}/v1", "Bearer tok")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("", '{"a": [{"b": 5}]}'),
        ("a.0.b", "5"),
        ("a.-1", '{"b": 5}'),
        ("a", '[{"b": 5}]'),
    ],
)
async def test_where_the_answer_is(run: Run, answer: str, expected: str) -> None:
    reply = await run("/answer/200", body={"a": [{"b": 5}]}, answer=answer)
    assert (reply.ending, reply.answer) == ("ok", expected)


@pytest.mark.parametrize(
    ("path", "settings", "error"),
    [
        ("/answer/503", {"body": "overloaded"}, 'answered HTTP 503: "overloaded"'),
        ("/answer/404", {}, "answered HTTP 404"),
        ("/answer/200", {"body": {"out": 1}, "answer": "out.text"}, "no 'text' in int"),
        ("/answer/200", {"body": {"out": []}, "answer": "out.0"}, "no '0' in list"),
        ("/answer/200", {"body": {"out": 1}, "answer": "outt"}, "no 'outt' in keys out"),
        ("/hang-up", {}, "broke off"),
    ],
)
async def test_what_the_agent_did_wrong(
    run: Run, path: str, settings: dict[str, Any], error: str
) -> None:
    reply = await run(path, **settings)
    assert reply.ending == "error"
    assert error in reply.error


async def test_a_body_that_is_no_json_has_no_answer(run: Run, server: Server) -> None:
    reply = await run("/answer/200", method="POST", body="\ufffd{", answer="a")
    assert reply.ending == "error" and "no answer at `a`" in reply.error


async def test_nobody_there_is_infra(run: Run) -> None:
    with pytest.raises(InfraError, match="cannot be reached"):
        await run("http://127.0.0.1:9/agent")


async def test_a_service_that_drops_idle_connections_breaks_no_trial(
    attempt: Callable[..., Attempt],
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"{")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n42")
        await reader.read(65_536)  # the rest, or the next trial: then it is as if just dropped
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as service:
        port = service.sockets[0].getsockname()[1]
        agent = HttpAgent(HttpAgentSettings(url=f"http://127.0.0.1:{port}/"), concurrency=1)
        replies = [await agent.run(attempt("x" * n, n=n)) for n in range(1, 6)]
        await agent.close()
    assert [reply.answer for reply in replies] == ["42"] * 5


async def test_a_url_that_is_none_is_usage(run: Run) -> None:
    with pytest.raises(UsageError, match=r"agent\.url"):
        await run("http://host:port/x")
    with pytest.raises(ValidationError):
        HttpAgentSettings(url="ftp://x")


async def test_a_silent_agent_times_out(run: Run) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as silence:
        port = silence.sockets[0].getsockname()[1]
        reply = await run(f"http://127.0.0.1:{port}/agent", timeout_s=0.3)
    assert reply.ending == "timeout"
    assert reply.error.startswith("timed out after 0.3 s")


def test_pick_names_the_step_that_failed() -> None:
    assert pick({"a": [1, {"b": 2}]}, "a.1.b") == 2
    with pytest.raises(LookupError, match="no 'c' in keys b"):
        pick({"a": [1, {"b": 2}]}, "a.1.c")


async def test_requests_go_out_after_the_release_in_the_order_of_their_times(
    server: Server, attempt: Callable[..., Attempt], tmp_path: Path
) -> None:
    settings = HttpAgentSettings(url=server.url + "/answer/200", body="{task}", answer="")
    agent = HttpAgent(settings, concurrency=4)
    await agent.start()
    gate = Gate(tmp_path / "gate", 4)
    tickets = {"c": Ticket(gate, 80_000_000), "a": Ticket(gate), "b": Ticket(gate, 40_000_000)}
    running = [
        asyncio.create_task(agent.run(attempt(task, n=n, ticket=ticket)))
        for n, (task, ticket) in enumerate(tickets.items())
    ]
    await asyncio.sleep(0.05)
    assert server.asked == []
    gate.parked()
    await asyncio.gather(*running)
    await agent.close()
    assert [json.loads(body) for *_, body in server.asked] == ["a", "b", "c"]
    released = await gate.released()
    assert all(t.started_ns >= t.intended_ns == released + t.at_ns for t in tickets.values())
