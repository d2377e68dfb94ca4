"""Stdio MCP servers behind the tap: real processes, the official client, bytes compared."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters

from proofrig.anomalies.settings import Settings, Steps
from proofrig.errors import UsageError
from proofrig.gateways.tap_command import TapPlace, tap_command, write_shims
from proofrig.gateways.tool_settings import McpServerSettings
from proofrig.wire.turn import Request, ToolCall, Turn
from tool_rig import TOKEN, ToolRig, tool_rig

UPSTREAM = str(Path(__file__).parents[1] / "mcp_upstream.py")

# Answers each line as told by a script of bytes, so that odd but legal JSON can be compared.
SCRIPTED = textwrap.dedent(
    """
    import sys, json
    script = json.loads(sys.argv[1])
    for line in sys.stdin.buffer:
        sys.stderr.buffer.write(line)
        sys.stderr.buffer.flush()
        for answer in script.get(line.decode("utf-8", "replace").strip(), []):
            sys.stdout.buffer.write(answer.encode("utf-8"))
            sys.stdout.buffer.flush()
    sys.stdout.write("bye, without a newline")
    sys.stdout.flush()
    sys.exit(7)
    """
)

INITIALIZE = (
    '{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}'
)
CALL = '{"jsonrpc": "2.0", "id": 1, "method": "tools\\/call", "params": {"name": "add"}}'
MODERN = (
    '{"id":"two","params":{"arguments":{"a":1.0},"name":"add","_meta":'
    '{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}},"jsonrpc":"2.0","method":"tools/call"}'
)
BATCH = (
    '[{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"x"}},'
    '{"jsonrpc":"2.0","method":"n"}]'
)
SCRIPT = {
    INITIALIZE: ['{"jsonrpc":"2.0", "id":0,"result":{"serverInfo":{"name":"é\\u00e9"}}}\n'],
    CALL: [
        '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":0.50}}\n',
        '{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage","params":{}}\n',
        ' {"result" : {"content":[ ],"isError":true},"id":1,  "jsonrpc":"2.0"} \r\n',
    ],
    '{"jsonrpc":"2.0","id":1,"result":{"role":"assistant"}}': ["not json at all\n", "\n"],
    MODERN: ['{"jsonrpc":"2.0","id":"two","result":{"resultType":"complete"}}\n'],
    BATCH: ['[{"jsonrpc":"2.0","id":5,"error":{"code":-32602,"message":"Unknown tool"}}]\n'],
}
SESSION = [
    INITIALIZE,
    '{"jsonrpc":"2.0","method":"notifications/initialized"}',
    "",
    CALL,
    '{"jsonrpc":"2.0","id":1,"result":{"role":"assistant"}}',
    MODERN,
    BATCH,
]


def place(rig: ToolRig, tmp_path: Path, token: str = TOKEN) -> TapPlace:
    return TapPlace(rig.address, token, tmp_path, str(tmp_path), os.environ["PATH"])


def tapped(rig: ToolRig, tmp_path: Path, *command: str, **fields: Any) -> list[str]:
    settings = McpServerSettings(type="mcp", name="up", command=list(command), **fields)
    return tap_command(settings, place(rig, tmp_path))


async def converse(argv: list[str], data: bytes) -> tuple[int | None, bytes, bytes]:
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, err = await process.communicate(data)
    return process.returncode, out, err


async def test_bytes_and_status_are_those_of_the_server_itself(tmp_path: Path) -> None:
    data = "\n".join(SESSION).encode()  # the last line has no newline
    direct = [sys.executable, "-c", SCRIPTED, json.dumps(SCRIPT)]
    async with tool_rig(tmp_path) as rig:
        expected = await converse(direct, data)
        got = await converse(tapped(rig, tmp_path, *direct), data)
        assert got == expected
        assert expected[0] == 7 and expected[1].count(b"\n") == 8 and expected[2] == data
        assert [(action.name, action.outcome) for action in rig.actions()] == [
            ("tool.add", "fail"),
            ("tool.add", "ok"),
            ("tool.x", "fail"),
        ]
        assert rig.payload(rig.actions()[0].attr("result")) == b'{"content":[ ],"isError":true}'
        assert "Unknown tool" in rig.actions()[2].attr("error")


async def test_large_messages_pass_both_ways(tmp_path: Path) -> None:
    big = json.dumps(
        {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {"name": "echo", "arguments": {"text": "x" * 3_000_000}},
        }
    )
    echo = "import sys\nfor line in sys.stdin: print('{\"id\":1,\"result\":' + line.strip() + '}')"
    argv = [sys.executable, "-c", echo]
    async with tool_rig(tmp_path) as rig:
        assert await converse(tapped(rig, tmp_path, *argv), big.encode()) == await converse(
            argv, big.encode()
        )
        arguments = json.dumps({"text": "x" * 3_000_000}, separators=(",", ":"))
        assert rig.actions()[0].attr("actual")["bytes"] == len(arguments) + len(big)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_the_official_client_works_through_the_tap(tmp_path: Path, mode: str) -> None:
    async with tool_rig(tmp_path) as rig:
        argv = tapped(rig, tmp_path, sys.executable, UPSTREAM, "stdio")
        progress: list[float] = []

        async def on_progress(done: float, total: float | None, message: str | None) -> None:
            progress.append(done)

        turn = Turn("messages", tool_calls=(ToolCall("c1", "mcp__up__add", '{"b":2,"a":1}'),))
        rig.context.asked.note("case:0", "llm-1", Request("messages", "m"), turn)
        parameters = StdioServerParameters(command=argv[0], args=argv[1:])
        async with Client(parameters, mode=mode, cache=None) as client:
            tools = (await client.list_tools()).tools
            assert [tool.name for tool in tools] == ["add", "slow", "fail"]
            result = await client.call_tool("add", {"a": 1, "b": 2})
            assert result.structured_content == {"result": 3}
            assert (await client.call_tool("fail", {})).is_error
            await client.call_tool("slow", {"steps": 3}, progress_callback=on_progress)
            both = await asyncio.gather(
                *(client.call_tool("add", {"a": n, "b": n}) for n in range(20))
            )
            assert [one.structured_content["result"] for one in both] == [2 * n for n in range(20)]
        assert progress == [0, 1, 2]
        actions = rig.actions()
        assert [action.outcome for action in actions] == ["ok", "fail", *["ok"] * 21]
        assert {action.attr("server") for action in actions} == {"up"}
        assert actions[0].attr("asked_by") == "llm-1" and actions[0].attr("joined") == "arguments"
        (note,) = rig.entries("note", "tools_offered")
        assert note.attrs["tools"] == ["add", "slow", "fail"]


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_denied_call_is_a_result_that_the_model_can_read(tmp_path: Path, mode: str) -> None:
    async with tool_rig(tmp_path) as rig:
        rig.context.authority.set_budget("acme", {"calls": 1})
        argv = tapped(rig, tmp_path, sys.executable, UPSTREAM, "stdio")
        parameters = StdioServerParameters(command=argv[0], args=argv[1:])
        async with Client(parameters, mode=mode, cache=None) as client:
            assert not (await client.call_tool("add", {"a": 1, "b": 2})).is_error
            denied = await client.call_tool("add", {"a": 1, "b": 2})
            assert denied.is_error
            assert denied.content[0].text.startswith(
                "proofrig refused this call: budget_exceeded at acme; what remains there: 0 calls."
            )
            rig.context.bindings.end(TOKEN)
            late = await client.call_tool("add", {"a": 1, "b": 2})
            assert late.is_error and "case:0 has ended" in late.content[0].text
        assert [action.denied for action in rig.actions()] == [False, True]


ASKS = {"rules": [{"name": "adds-ask", "ask": "tool.add", "wait_s": 30}]}
FIRST = '{"jsonrpc":"2.0","id":%s,"method":"tools/call","params":{"name":"%s","arguments":{}}}'


@pytest.mark.parametrize("answer", ["approve", "refuse", "nobody"])
@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_call_that_waits_for_leave_holds_no_other_up(
    tmp_path: Path, mode: str, answer: str
) -> None:
    wait_s = 0.3 if answer == "nobody" else 30
    policy = {"rules": [{"name": "adds-ask", "ask": "tool.add", "wait_s": wait_s}]}
    async with tool_rig(tmp_path, policy=policy) as rig:
        argv = tapped(rig, tmp_path, sys.executable, UPSTREAM, "stdio")
        parameters = StdioServerParameters(command=argv[0], args=argv[1:])
        async with Client(parameters, mode=mode, cache=None) as client:
            waiting = asyncio.create_task(client.call_tool("add", {"a": 1, "b": 2}))
            id = await rig.asking()
            for _ in range(3):
                assert not (await client.call_tool("slow", {"steps": 1})).is_error
            if answer == "approve":
                rig.context.authority.approve(id, "lead")
                assert (await waiting).structured_content == {"result": 3}
            else:
                if answer == "refuse":
                    rig.context.authority.refuse(id, "lead", "not today")
                denied = await waiting
                code = "approval_refused" if answer == "refuse" else "approval_timeout"
                assert (
                    denied.is_error
                    and f"proofrig refused this call: {code} by rule adds-ask"
                    in (denied.content[0].text)
                )
            assert not (await client.call_tool("slow", {"steps": 1})).is_error
        kinds = {action.name: action.end.kind for action in rig.actions() if action.end}
        ends = "commit" if answer == "approve" else "release"
        assert kinds == {"tool.slow": "commit", "tool.add": ends}


async def test_lines_keep_their_order_but_for_the_one_that_waits(tmp_path: Path) -> None:
    lines = [FIRST % (n, "add" if n == 2 else "sub") for n in range(5)]
    async with tool_rig(tmp_path, policy=ASKS) as rig:
        argv = tapped(rig, tmp_path, sys.executable, "-c", SCRIPTED, "{}")
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stdin is not None and process.stderr is not None
        process.stdin.write("".join(line + "\n" for line in lines).encode())
        seen = [(await process.stderr.readline()).decode().strip() for _ in range(4)]
        assert seen == [lines[n] for n in (0, 1, 3, 4)]
        rig.context.authority.approve(await rig.asking(), "lead")
        assert (await process.stderr.readline()).decode().strip() == lines[2]
        process.stdin.write(b'{"jsonrpc":"2.0","method":"last"}\n')
        assert b"last" in await process.stderr.readline()
        process.stdin.close()
        assert await process.wait() == 7


async def test_a_call_that_is_cancelled_while_it_waits_reaches_no_server(tmp_path: Path) -> None:
    cancel = '{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}'
    async with tool_rig(tmp_path, policy=ASKS) as rig:
        argv = tapped(rig, tmp_path, sys.executable, "-c", SCRIPTED, "{}")
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stdin is not None
        process.stdin.write(f"{FIRST % (1, 'add')}\n".encode())
        await rig.asking()
        process.stdin.write(f"{cancel}\n".encode())
        await rig.until("release")
        out, err = await process.communicate((FIRST % (2, "sub")).encode() + b"\n")
        assert err.decode().splitlines() == [cancel, FIRST % (2, "sub")]
        assert out == b"bye, without a newline"
        action, other = rig.actions()
        assert action.end is not None and action.end.attrs == {"reason": "agent_gone"}
        assert other.name == "tool.sub"
        assert rig.context.authority.balances("acme")["calls"].spent == 1


async def test_an_agent_that_goes_away_while_it_waits_leaves_nothing_held(tmp_path: Path) -> None:
    async with tool_rig(tmp_path, policy=ASKS) as rig:
        argv = tapped(rig, tmp_path, sys.executable, "-c", SCRIPTED, "{}")
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stdin is not None
        process.stdin.write(f"{FIRST % (1, 'add')}\n".encode())
        await rig.asking()
        _, err = await process.communicate(b"")
        assert err == b""
        await rig.until("release")
        (action,) = rig.actions()
        assert action.start is None and action.end is not None
        assert rig.context.authority.balances("acme")["calls"].reserved == 0


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_batch_over_its_cap_is_trimmed_in_the_models_order(
    tmp_path: Path, mode: str
) -> None:
    async with tool_rig(tmp_path, policy={"limits": {"*/*/*/*": {"calls:tool.add": 3}}}) as rig:
        argv = tapped(rig, tmp_path, sys.executable, UPSTREAM, "stdio")
        calls = tuple(
            ToolCall(f"c{n}", "mcp__up__add", json.dumps({"a": n, "b": 0})) for n in range(6)
        )
        turn = Turn("messages", tool_calls=calls)
        rig.context.asked.note("case:0", "llm-1", Request("messages", "m"), turn)
        parameters = StdioServerParameters(command=argv[0], args=argv[1:])
        async with Client(parameters, mode=mode, cache=None) as client:
            order = (5, 1, 3, 0, 4, 2)
            got = await asyncio.gather(*(client.call_tool("add", {"a": n, "b": 0}) for n in order))
            errors = dict(zip(order, (one.is_error for one in got), strict=True))
            assert [bool(errors[n]) for n in range(6)] == [False] * 3 + [True] * 3
            for one in got:
                said = one.content[0].text
                assert said.isdigit() or said.startswith("proofrig refused this call: budget_exc")
        balance = rig.context.authority.balances("acme")["calls:tool.add"]
        assert (balance.reserved, balance.spent) == (0, 3)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_what_the_watch_says_stands_in_the_result(tmp_path: Path, mode: str) -> None:
    async with tool_rig(tmp_path) as rig:
        rig.context.admission.watch = Settings(repeat=Steps(2, 3, 4), idle_ms=60_000)
        argv = tapped(rig, tmp_path, sys.executable, UPSTREAM, "stdio")
        parameters = StdioServerParameters(command=argv[0], args=argv[1:])
        async with Client(parameters, mode=mode, cache=None) as client:
            for name in ("add", "fail"):
                given = {"a": 1, "b": 2} if name == "add" else {}
                got = [await client.call_tool(name, given) for _ in range(4)]
                notes = [entry.attrs for entry in rig.entries("note", "anomaly")]
                assert [len(one.content) for one in got] == [1, 1, 2, 1]
                assert got[2].content[1].text == notes[-2]["says"]
                assert got[2].is_error is (name == "fail")
                assert "repeat_detected" in got[3].content[0].text


async def test_without_its_rig_a_tap_passes_no_call(tmp_path: Path) -> None:
    async with tool_rig(tmp_path) as rig:
        direct = [sys.executable, "-c", SCRIPTED, json.dumps(SCRIPT)]
        argv = tapped(rig, tmp_path, *direct)
        argv[argv.index("--rig") + 1] = "127.0.0.1:1"
        status, out, err = await converse(argv, f"{INITIALIZE}\n{CALL}\n{{nonsense\n".encode())
        assert status == 7
        assert err.decode().splitlines() == [INITIALIZE]
        answers = {json.loads(line)["id"]: line for line in out.splitlines()[:2]}
        assert answers[0].decode() == SCRIPT[INITIALIZE][0].strip()
        refused = json.loads(answers[1])["error"]["message"]
        assert "was not made, as the rig at 127.0.0.1:1 cannot be asked" in refused


async def test_what_is_no_json_reaches_no_server(tmp_path: Path) -> None:
    async with tool_rig(tmp_path) as rig:
        argv = tapped(rig, tmp_path, sys.executable, "-c", SCRIPTED, "{}")
        sneaky = b'{"id":1,"method":"tools/call","params":{"name":"add","arguments":{"x":NaN}}}\n'
        _, out, err = await converse(argv, sneaky + b"{nonsense\n")
        assert err == b""
        assert [json.loads(line)["error"]["code"] for line in out.splitlines()[:2]] == [-32700] * 2


async def test_a_server_that_dies_leaves_an_unknown_outcome(tmp_path: Path) -> None:
    async with tool_rig(tmp_path) as rig:
        die = "import sys, os; sys.stdin.readline(); os.kill(os.getpid(), 9)"
        status, out, _ = await converse(
            tapped(rig, tmp_path, sys.executable, "-c", die), CALL.encode() + b"\n"
        )
        assert (status, out) == (137, b"")
        await rig.until("commit")
        assert rig.actions()[0].outcome == "unknown"


async def test_signals_environment_and_directory_reach_the_server(tmp_path: Path) -> None:
    show = (
        "import os, sys, time; print(os.getcwd(), os.environ['WHERE'], flush=True); time.sleep(60)"
    )
    async with tool_rig(tmp_path) as rig:
        argv = tapped(
            rig,
            tmp_path,
            sys.executable,
            "-c",
            show,
            env={"WHERE": "{world}/db"},
            cwd="{suite}/suite",
        )
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode().split()
        assert line == [str(tmp_path / "suite"), f"{tmp_path}/db"]
        process.terminate()
        assert await process.wait() == 128 + 15


async def test_shims_tap_the_declared_command_and_nothing_else(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    program = real / "orders-server"
    program.write_text('#!/bin/sh\nread line\necho "$*"\n')
    program.chmod(0o755)
    async with tool_rig(tmp_path) as rig:
        where = TapPlace(rig.address, TOKEN, tmp_path, "", f"{real}:{os.environ['PATH']}")
        settings = McpServerSettings(
            type="mcp", name="orders", command=["orders-server", "--db", "it's here"]
        )
        (shim,) = write_shims([settings], where, tmp_path / "bin")
        assert shim == tmp_path / "bin" / "orders-server"
        data = CALL.encode() + b"\n"
        argv = [str(shim), "--db", "it's here", "--more"]
        assert (await converse(argv, data))[1] == b"--db it's here --more\n"
        assert [action.attr("server") for action in rig.actions()] == ["orders"]
        assert (await converse([str(shim), "--version"], data))[1] == b"--version\n"
        assert len(rig.actions()) == 1
        missing = McpServerSettings(type="mcp", name="gone", command=["no-such-program"])
        with pytest.raises(UsageError, match="expected a program 'no-such-program' on PATH"):
            write_shims([missing], where, tmp_path / "bin")
