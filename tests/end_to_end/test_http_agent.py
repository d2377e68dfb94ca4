"""An agent that is a deployed HTTP service, in a process of its own, reaches its models."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from end_to_end.suites import actions, case, options, run_suite, write_suite
from proofrig.errors import UsageError
from proofrig.suites import Suite
from proofrig.trials.rundir import runs_below

# Told where its models are with each task, or once and for all; then it passes the baggage on.
SERVICE = """
import os
import aiohttp
from aiohttp import web

async def run(request):
    asked = await request.json()
    base = asked.get("models") or os.environ["OPENAI_BASE_URL"]
    headers = {} if asked.get("models") else {"baggage": request.headers["baggage"]}
    body = {"model": "sim-small", "messages": [{"role": "user", "content": asked["task"]}]}
    async with aiohttp.ClientSession() as session:
        async with session.post(base + "/chat/completions", json=body, headers=headers) as answer:
            said = await answer.json()
    if answer.status != 200:
        return web.json_response(said, status=502)
    return web.json_response({"text": said["choices"][0]["message"]["content"]})

async def main():
    app = web.Application()
    app.router.add_post("/run", run)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    return app

import asyncio
loop = asyncio.new_event_loop()
loop.run_until_complete(main())
loop.run_forever()
"""
Deployed = Callable[..., str]


@pytest.fixture
def deployed(tmp_path: Path) -> Iterator[Deployed]:
    """Deploys the service with an environment; its URL."""
    running: list[subprocess.Popen[str]] = []

    def deploy(**env: str) -> str:
        argv = [sys.executable, "-c", SERVICE]
        given = os.environ | env
        running.append(subprocess.Popen(argv, env=given, stdout=subprocess.PIPE, text=True))
        assert running[-1].stdout is not None
        return f"http://127.0.0.1:{int(running[-1].stdout.readline())}/run"

    yield deploy
    for process in running:
        process.kill()
        with suppress(subprocess.TimeoutExpired), process:
            process.wait(5)


@pytest.fixture
def port() -> int:
    """A port that is free."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        found: int = held.getsockname()[1]
        return found


def suite_of(folder: Path, agent: dict[str, Any], **more: Any) -> Suite:
    given = {"type": "http", "answer": "text"} | agent
    return write_suite(folder / "suite", [case("a"), case("b")], agent=given, repeats=2, **more)


async def test_a_service_is_told_where_its_models_are(tmp_path: Path, deployed: Deployed) -> None:
    body = {"task": "{task}", "models": "{base_url}"}
    suite = suite_of(tmp_path, {"url": deployed(), "body": body})
    run_dir, conclusion = await run_suite(suite, tmp_path, baselines=False)
    overall = conclusion.summary.overall
    assert (overall.passed, overall.llm_calls, conclusion.summary.unattributed) == (4, 4, 0)
    for trial in ("a:1", "a:2", "b:1", "b:2"):
        (call,) = actions(run_dir, trial)
        assert (call.outcome, call.attr("channel")) == ("ok", "path")


async def test_a_service_that_was_configured_once_passes_baggage_on(
    tmp_path: Path, deployed: Deployed, port: int
) -> None:
    url = deployed(OPENAI_BASE_URL=f"http://127.0.0.1:{port}/v1")
    suite = suite_of(tmp_path, {"url": url}, gateway_port=port)
    run_dir, conclusion = await run_suite(suite, tmp_path, baselines=False)
    overall = conclusion.summary.overall
    assert (overall.passed, overall.llm_calls, conclusion.summary.unattributed) == (4, 4, 0)
    for trial in ("a:1", "a:2", "b:1", "b:2"):
        (call,) = actions(run_dir, trial)
        assert (call.outcome, call.attr("channel")) == ("ok", "baggage")


async def test_a_port_that_is_taken_is_said(tmp_path: Path, port: int) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        suite = suite_of(tmp_path, {"url": "http://127.0.0.1:9/run"}, gateway_port=port)
        with pytest.raises(UsageError, match=rf"gateway_port: 127.0.0.1:{port} cannot be used"):
            await run_suite(suite, tmp_path)
    assert runs_below(options(tmp_path).root) == []
