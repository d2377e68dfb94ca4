"""The tap program before a rig that a test writes as one function."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable

from aiohttp import WSMsgType, web

from proofrig.gateways import tap
from tool_rig import serving

# Says back what it gets, as the answer to it.
ECHO = (
    "import sys, json\n"
    "for line in sys.stdin:\n"
    "    m = json.loads(line)\n"
    "    print(json.dumps({'id': m['id'], 'result': m.get('params')}), flush=True)\n"
)


@contextlib.asynccontextmanager
async def rig(
    judge: Callable[[str, dict[str, object]], bytes | list[bytes]],
) -> AsyncIterator[list[str]]:
    """The argv of a tap whose rig answers `judge(way, message)` to each question, or sends a list
    of frames as they are, with their numbers."""

    async def taps(request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(max_msg_size=0)
        await ws.prepare(request)
        async for message in ws:
            assert message.type is WSMsgType.BINARY
            head, _, line = message.data.partition(b"\n")
            number, way = head.split()
            judged = judge(way.decode(), json.loads(line))
            frames = judged if isinstance(judged, list) else [number + b" " + judged]
            for frame in frames:
                await ws.send_bytes(frame)
        return ws

    app = web.Application()
    app.router.add_get("/t/tok/taps/up", taps)
    async with serving(app) as port:
        options = ["--rig", f"127.0.0.1:{port}", "--token", "tok", "--server", "up"]
        yield [sys.executable, "-I", "-S", tap.__file__, *options, "--", sys.executable, "-c", ECHO]


async def converse(argv: list[str], *messages: object) -> list[dict[str, object]]:
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    data = b"".join(json.dumps(message).encode() + b"\n" for message in messages)
    out, _ = await process.communicate(data)
    assert process.returncode == 0
    return [json.loads(line) for line in out.splitlines()]


def call(id: int, name: str) -> dict[str, object]:
    return {"id": id, "method": "tools/call", "params": name}


async def test_a_message_is_passed_changed_answered_or_dropped() -> None:
    verdicts = {
        "pass": b"pass\n",
        "send": b'send\n{"id": 2, "params": "changed"}',
        "reply": b'reply\n{"id": 3, "result": "of the rig"}',
        "drop": b"drop\n",
    }

    def judge(way: str, message: dict[str, object]) -> bytes:
        return verdicts[str(message["params"])] if way == "c" else b"pass\n"

    async with rig(judge) as argv:
        names = enumerate(verdicts, 1)
        answers = await converse(argv, *(call(id, name) for id, name in names))
    assert sorted(answers, key=lambda answer: int(str(answer["id"]))) == [
        {"id": 1, "result": "pass"},
        {"id": 2, "result": "changed"},
        {"id": 3, "result": "of the rig"},
    ]


async def test_results_may_be_changed_too() -> None:
    def judge(way: str, message: dict[str, object]) -> bytes:
        return b"pass\n" if way == "c" else b'send\n{"id": 1, "result": "poisoned"}'

    async with rig(judge) as argv:
        assert await converse(argv, call(1, "x")) == [{"id": 1, "result": "poisoned"}]


async def test_a_line_that_is_held_is_overtaken_each_way() -> None:
    def judge(way: str, message: dict[str, object]) -> bytes | list[bytes]:
        if way == "s":  # questions 3 and 4
            return b"hold\n" if message["id"] == 2 else [b"4 pass\n", b"3 pass\n"]
        return b"hold\n" if message["id"] == 1 else [b"2 pass\n", b"1 pass\n"]

    async with rig(judge) as argv:
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert process.stdin is not None and process.stdout is not None
        for message in (call(1, "a"), call(2, "b")):
            process.stdin.write(json.dumps(message).encode() + b"\n")
        got = [json.loads(await process.stdout.readline())["id"] for _ in range(2)]
        process.stdin.close()
        assert await process.wait() == 0
    assert got == [1, 2]  # the server got 2 first, and its answers passed the other way round


async def test_a_line_of_the_server_that_is_held_outlives_the_server() -> None:
    def judge(way: str, message: dict[str, object]) -> bytes | list[bytes]:
        if way == "c":
            return b"pass\n"
        return b"hold\n" if message["id"] == 1 else [b"4 pass\n", b"3 pass\n"]

    async with rig(judge) as argv:
        answers = await converse(argv, call(1, "a"), call(2, "b"))
    assert [answer["id"] for answer in answers] == [2, 1]


async def test_the_rig_sends_a_line_of_its_own_and_sees_the_answer() -> None:
    asked: list[object] = []

    def judge(way: str, message: dict[str, object]) -> bytes | list[bytes]:
        asked.append((way, message["id"]))
        if way == "s":
            return b"drop\n" if message["id"] == "again" else b"pass\n"
        # First: the server is told that nothing more comes once all that was asked has passed.
        return [b"0 send\n" + json.dumps({**call(1, "a"), "id": "again"}).encode(), b"1 pass\n"]

    async with rig(judge) as argv:
        assert await converse(argv, call(1, "a")) == [{"id": 1, "result": "a"}]
    assert asked == [("c", 1), ("s", 1), ("s", "again")]


async def test_a_connection_that_is_cut_has_no_answer_and_ends_the_server() -> None:
    def judge(way: str, message: dict[str, object]) -> bytes | list[bytes]:
        return b"pass\n" if way == "c" else [b"0 cut\n"]

    async with rig(judge) as argv:
        assert await converse(argv, call(1, "a")) == []


async def test_messages_behind_a_question_keep_their_order() -> None:
    async with rig(lambda way, message: b"pass\n") as argv:
        many = [call(id, "x") if id % 3 else {"id": id, "params": "y"} for id in range(300)]
        answers = await converse(argv, *many)
    assert [answer["id"] for answer in answers] == list(range(300))


async def test_a_server_that_cannot_be_started_is_said_so() -> None:
    options = ["--rig", "127.0.0.1:1", "--token", "t", "--server", "up"]
    argv = [sys.executable, "-I", "-S", tap.__file__, *options, "--", "/no/such/server"]
    process = await asyncio.create_subprocess_exec(*argv, stderr=subprocess.PIPE)
    _, err = await process.communicate()
    assert process.returncode == 1
    assert err == (
        b"proofrig: cannot start the MCP server '/no/such/server': No such file or directory\n"
    )


def test_it_loads_little() -> None:
    code = (
        f"import sys, runpy; runpy.run_path({tap.__file__!r}); "
        "print({'asyncio', 'subprocess', 'threading', 'proofrig'} & set(sys.modules))"
    )
    argv = [sys.executable, "-I", "-S", "-c", code]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
