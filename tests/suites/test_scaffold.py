"""The scaffold: it loads, it is complete, and its agent works with its model and tools."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from aiohttp import web

from proofrig.errors import UsageError
from proofrig.gateways.tool_modules import load_module
from proofrig.providers import make_provider
from proofrig.suites.load import load_suite
from proofrig.suites.scaffold import scaffold_files, write_scaffold
from proofrig.suites.suite import Suite
from proofrig.yaml12 import parse


def test_a_new_suite_loads_and_fits_the_schema_beside_it(tmp_path: Path) -> None:
    written = write_scaffold(tmp_path / "new")
    assert [path.name for path in written] == list(scaffold_files())
    suite = load_suite(tmp_path / "new")
    assert len(suite.cases) >= 3
    schema = json.loads((tmp_path / "new" / "suite.schema.json").read_text())
    jsonschema.validate(parse(written[0].read_bytes()).value, schema)
    first = written[0].read_text().splitlines()[0]
    assert first == "# yaml-language-server: $schema=./suite.schema.json"


def test_nothing_is_overwritten_unless_forced(tmp_path: Path) -> None:
    (tmp_path / "agent.py").write_text("mine")
    with pytest.raises(UsageError, match=r"already holds agent\.py"):
        write_scaffold(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["agent.py"]
    write_scaffold(tmp_path, force=True)
    assert (tmp_path / "agent.py").read_text() != "mine"


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("")
    with pytest.raises(UsageError, match="expected a folder"):
        write_scaffold(tmp_path / "f")


async def test_the_agent_answers_with_the_scripted_model_and_the_tools(tmp_path: Path) -> None:
    write_scaffold(tmp_path)
    script = tmp_path / "model.yaml"
    script.write_text(script.read_text().replace("rate: 0.1", "rate: 0.0"))
    suite = load_suite(tmp_path)
    assert suite.model is not None
    provider = make_provider(suite.model, suite.dir, seed=1)
    tools = web.AppRunner(_tools(tmp_path))
    await tools.setup()
    site = web.TCPSite(tools, "127.0.0.1", 0)
    await site.start()
    try:
        endpoint = (await provider.start())["chat_completions"]
        env = {
            "OPENAI_BASE_URL": endpoint.base_url,
            "OPENAI_API_KEY": "k",
            "PROOFRIG_TOOLS_URL": f"http://127.0.0.1:{tools.addresses[0][1]}/tools",
        }
        answers = [await _solve(suite, case.prompt(), env) for case in suite.cases]
    finally:
        await provider.close()
        await tools.cleanup()
    assert answers == [
        "Order 1001: delivered on 2026-03-02.",
        "Order 1002: shipped on 2026-03-05.",
        "There is no order 9999.",
    ]


async def _solve(suite: Suite, task: str, env: dict[str, str]) -> str:
    code = "import agent, sys; print(agent.solve(sys.argv[1]))"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        code,
        task,
        cwd=suite.dir,
        env={**os.environ, **env},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    return out.decode().strip()


def _tools(folder: Path) -> web.Application:
    """The suite's tools as the tool gateway serves them."""
    module = load_module(folder, "tools")

    async def listed(request: web.Request) -> web.Response:
        schema: dict[str, Any] = {"type": "object", "properties": {"order_id": {"type": "string"}}}
        return web.json_response({"tools": [{"name": "lookup_order", "schema": schema}]})

    async def called(request: web.Request) -> web.Response:
        function = getattr(module, request.match_info["name"])
        return web.json_response({"result": function(**await request.json())})

    app = web.Application()
    app.add_routes([web.get("/tools", listed), web.post("/tools/{name}", called)])
    return app
