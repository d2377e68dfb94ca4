"""HTTP endpoints as tools, before a real server."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from proofrig.errors import SuiteError
from tool_rig import ToolRig, serving, tool_rig


async def call(rig: ToolRig, name: str, body: Any = None) -> tuple[int, Any]:
    url = f"{rig.base}/tools/{name}"
    async with rig.client.post(url, json={} if body is None else body) as answer:
        return answer.status, await answer.json()


async def test_http_endpoints_are_tools(tmp_path: Path) -> None:
    async def orders(request: web.Request) -> web.Response:
        if request.match_info["id"] == "9":
            return web.Response(status=404, text="no such order")
        seen = {"id": request.match_info["id"], "query": dict(request.query)}
        seen["key"] = request.headers.get("x-key", "")
        if request.method == "POST":
            seen["body"] = await request.json()
        return web.json_response(seen)

    app = web.Application()
    app.router.add_route("*", "/orders/{id}", orders)
    async with serving(app) as port:
        url = f"http://127.0.0.1:{port}/orders/{{id}}"
        schema = {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]}
        shared = {"type": "http", "url": url, "headers": {"x-key": "k"}, "schema": schema}
        settings = [
            shared | {"name": "get", "method": "GET"},
            shared | {"name": "post", "description": "Change it."},
            {"type": "http", "name": "away", "url": "http://me:hidden@127.0.0.1:1/x?key=hidden"},
        ]
        async with tool_rig(tmp_path, settings) as rig:
            assert (await call(rig, "get", {"id": 3, "full": True}))[1] == {
                "result": {"id": "3", "query": {"full": "true"}, "key": "k"}
            }
            assert (await call(rig, "post", {"id": 3, "note": "x"}))[1] == {
                "result": {"id": "3", "query": {}, "key": "k", "body": {"note": "x"}}
            }
            status, answer = await call(rig, "get", {"id": "three"})
            assert status == 400 and "'three' is not of type 'integer'" in str(answer)
            status, answer = await call(rig, "get", {"id": 9})
            assert status == 500 and "HTTP 404: no such order" in str(answer)
            status, answer = await call(rig, "away")
            assert status == 502 and "no connection to http://127.0.0.1:1/x:" in str(answer)
            assert "hidden" not in str([entry.attrs for entry in rig.entries()])
            found = [(action.outcome, action.attr("infra")) for action in rig.actions()]
            told = ("fail", None)
            assert found == [("ok", None), ("ok", None), told, told, ("fail", True)]


async def test_a_slow_endpoint_and_a_huge_answer_are_failures(tmp_path: Path) -> None:
    async def slow(request: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    async def huge(request: web.Request) -> web.Response:
        return web.Response(text="x" * 2000)

    app = web.Application()
    app.router.add_post("/slow", slow)
    app.router.add_post("/huge", huge)
    async with serving(app) as port:
        limits = {"type": "http", "timeout_s": 0.1, "result_limit_bytes": 1000}
        settings = [
            limits | {"name": name, "url": f"http://127.0.0.1:{port}/{name}"}
            for name in ("slow", "huge")
        ]
        async with tool_rig(tmp_path, settings) as rig:
            assert (await call(rig, "slow"))[0] == 504
            status, answer = await call(rig, "huge")
            assert (status, answer["error"]["type"]) == (500, "result_too_large")
            assert [action.outcome for action in rig.actions()] == ["unknown", "fail"]


async def test_a_schema_that_is_none_is_a_problem_of_the_suite(tmp_path: Path) -> None:
    settings = {"type": "http", "name": "x", "url": "http://h/", "schema": {"type": "objct"}}
    with pytest.raises(SuiteError, match="tool x: expected a JSON Schema"):
        async with tool_rig(tmp_path, [settings]):
            pass


async def test_an_answer_that_is_no_utf8_is_told_and_settled(tmp_path: Path) -> None:
    asked: list[str] = []

    async def broken(request: web.Request) -> web.Response:
        asked.append(request.headers["accept-encoding"])
        return web.Response(body=b'"\xff"', content_type="application/json")

    app = web.Application()
    app.router.add_post("/", broken)
    async with serving(app) as port:
        tool = {"type": "http", "name": "odd", "url": f"http://127.0.0.1:{port}/"}
        async with tool_rig(tmp_path, [tool]) as rig:
            status, answer = await call(rig, "odd")
            (action,) = rig.actions()
    assert (status, answer["error"]["type"], action.outcome) == (500, "bad_result", "fail")
    assert asked == ["identity"]
