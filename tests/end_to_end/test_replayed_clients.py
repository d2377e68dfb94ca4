"""Real clients, recorded and replayed: SDKs in every form, branches at once, tools, servers, hosts.

What is replayed is asked of nobody: all servers are gone by then.
"""

from __future__ import annotations

import http.server
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from end_to_end.suites import case, command, ends, run_suite, write_suite
from end_to_end.test_replay import holding, notes, replay
from proofrig.cassettes import manifest
from proofrig.cassettes.cassette import load
from proofrig.history.history import History
from proofrig.history.payloads import PayloadReader
from proofrig.suites import Suite
from proofrig.trials.rundir import runs_below
from proofrig.trials.taped import cassette_of

UPSTREAM = Path(__file__).parents[1] / "mcp_upstream.py"
KEY = "k-crm-0123456789abcdef"
SLOW = {"first_token_ms": 200}
VARIABLE = "Zq8Lm2Xk9Vb4Nt7Rw1Py"

# Asks for both lookups at once, then says what they came to and how long the conversation is.
MODEL = """
import json
from proofrig.wire.turn import ToolCall, Turn

def model(prompt):
    results = [r for m in prompt.messages for r in m.tool_results]
    said = prompt.messages[0].text if not results else ""
    if results:
        return "; ".join(sorted(r.content for r in results))
    if "just say" in said:
        return said.rpartition("just say ")[2] + f" {prompt.chance('draw'):.6f}"
    calls = [ToolCall("", "lookup", json.dumps({"order": n})) for n in (7, 8)]
    return Turn("chat_completions", tool_calls=tuple(calls), finish="tool_calls")
"""
AGENT = '''
import asyncio, json, os, random, urllib.error, urllib.request, uuid
import sys
sys.path.insert(0, os.environ["THE_TESTS"])

def solve(task):
    return str(globals()[task]())

def chat():
    from end_to_end import test_sdks as sdks
    return sdks.chat(os.environ["OPENAI_BASE_URL"], False)

def chat_stream():
    from end_to_end import test_sdks as sdks
    return sdks.chat(os.environ["OPENAI_BASE_URL"], True)

def responses():
    from end_to_end import test_sdks as sdks
    return sdks.responses(os.environ["OPENAI_BASE_URL"], False)

def responses_stream():
    from end_to_end import test_sdks as sdks
    return sdks.responses(os.environ["OPENAI_BASE_URL"], True)

def responses_whole():
    from end_to_end import test_sdks as sdks
    return asyncio.run(sdks.responses_async(os.environ["OPENAI_BASE_URL"], True))

def messages():
    from end_to_end import test_sdks as sdks
    return sdks.messages(os.environ["OPENAI_BASE_URL"], False)

def messages_stream():
    from end_to_end import test_sdks as sdks
    return sdks.messages(os.environ["OPENAI_BASE_URL"], True)

def branches():
    """Ten at once, in any order; each goes on from its own answer."""
    import openai

    async def one(client, number):
        await asyncio.sleep(random.SystemRandom().random() / 20)
        text = f"id {uuid.uuid4()}: just say {'same' if number % 2 else number}"
        said = [{"role": "user", "content": text}]
        found = []
        for _ in range(3):
            answer = await client.chat.completions.create(model="sim-small", messages=said)
            found.append(answer.choices[0].message.content)
            said.append({"role": "assistant", "content": found[-1]})
            said.append({"role": "user", "content": "again"})
            await asyncio.sleep(random.SystemRandom().random() / 50)
        return found

    async def all():
        async with openai.AsyncOpenAI(max_retries=0) as client:
            return await asyncio.gather(*(one(client, n) for n in range(10)))

    found = asyncio.run(all())
    assert [one[0].split()[0] for one in found] == [
        "same" if n % 2 else str(n) for n in range(10)
    ], found
    return sorted(map(str, found))

def post(url, body):
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        return [error.code, json.load(error)]

def http_tool():
    url = os.environ["PROOFRIG_TOOLS_URL"] + "/crm"
    return [post(url, {"order": n, "at": "2026-11-21T09:00:00Z"}) for n in (1, 2, 1)]

def mcp_modern():
    return asyncio.run(server("2026-07-28"))

def mcp_sessions():
    return asyncio.run(server("legacy"))

async def server(mode):
    from mcp import Client
    async with Client(os.environ["PROOFRIG_MCP_UP_URL"], mode=mode) as client:
        tools = await client.list_tools()
        sums = await asyncio.gather(*(client.call_tool("add", {"a": 1, "b": n}) for n in range(5)))
        wrong = await client.call_tool("fail", {})
        slow = await client.call_tool("slow", {"steps": 2})
        return [
            [tool.name for tool in tools.tools],
            [one.content[0].text for one in sums],
            wrong.is_error, wrong.content[0].text, slow.content[0].text,
        ]

def host():
    """By way of the proxy, which names no host of this machine by itself."""
    import httpx

    found = []
    with httpx.Client(proxy=os.environ["HTTP_PROXY"]) as client:
        for order in (1, 2, 3):
            asked = {"id": order, "api_key": os.environ["SECRET_KEY"]}
            found.append(client.get(f"http://{os.environ['THE_HOST']}/orders", params=asked).json())
    return found
'''


class Crm(http.server.BaseHTTPRequestHandler):
    """Answers with what was asked, how often it was, and with which key."""

    asked = 0

    def do_GET(self) -> None:
        self._say(parse_qs(urlsplit(self.path).query).get("id"))

    def do_POST(self) -> None:
        self._say(json.loads(self.rfile.read(int(self.headers["content-length"]))))

    def _say(self, value: Any) -> None:
        Crm.asked += 1
        told = {"asked": value, "count": Crm.asked, "known": self.headers.get("x-team-key") == KEY}
        body = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Nothing."""


@contextmanager
def crm() -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Crm)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def upstream() -> Iterator[int]:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    program = subprocess.Popen([sys.executable, str(UPSTREAM), "http", str(port)])
    try:
        for _ in range(400):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.05)
        yield port
    finally:
        program.terminate()
        program.wait()


def suite_of(folder: Path, tasks: list[str], mode: str, crm: int, mcp: int) -> Suite:
    folder.mkdir(exist_ok=True)
    (folder / "clients_agent.py").write_text(AGENT)
    (folder / "clients_model.py").write_text(MODEL)
    env = {
        "THE_TESTS": str(Path(__file__).parents[1]),
        "THE_HOST": f"127.0.0.1:{crm}",
        "SECRET_KEY": KEY,
        "VARIABLE": VARIABLE,
    }
    tools = [
        {
            "type": "http",
            "name": "crm",
            "url": f"http://127.0.0.1:{crm}/crm",
            "headers": {"x-team-key": KEY},
        },
        {"type": "mcp", "name": "up", "url": f"http://127.0.0.1:{mcp}/mcp"},
    ]
    cases = [
        {"id": task, "task": task, "verify": [{"type": "regex", "pattern": "."}]} for task in tasks
    ]
    return write_suite(
        folder,
        cases,
        agent={"type": "python", "target": "clients_agent:solve", "env": env, "mode": mode},
        model={"provider": "simulated", "function": "clients_model:model"},
        tools=tools,
        egress={"enabled": True, "allow": ["127.0.0.1"]},
    )


def answers(run_dir: Path) -> dict[str, str]:
    payloads = PayloadReader(run_dir)
    return {
        entry.trial: (payloads.get(entry.attrs["answer"]) or b"").decode()
        + entry.attrs.get("error", "")
        for entry in History(run_dir).entries()
        if entry.kind == "trial" and entry.name == "end"
    }


SDKS = [
    *("chat", "chat_stream", "responses", "responses_stream", "responses_whole"),
    *("messages", "messages_stream", "branches"),
]
ASKING_TOOLS = ["http_tool", "mcp_modern", "mcp_sessions", "host"]


@pytest.mark.parametrize(
    ("tasks", "mode", "channels"),
    [
        pytest.param(SDKS, "shared", ["llm"], id="sdks"),
        pytest.param(ASKING_TOOLS, "isolated", ["tool", "mcp", "egress"], id="tools"),
    ],
)
async def test_every_client_is_answered_as_it_was(
    tmp_path: Path, tasks: list[str], mode: str, channels: list[str]
) -> None:
    with crm() as crm_port, upstream() as mcp_port:
        suite = suite_of(tmp_path / "suite", tasks, mode, crm_port, mcp_port)
        how = {"baselines": False, "concurrency": 4}
        run_dir, first = await run_suite(suite, tmp_path, record=True, **how)
    assert first.summary.overall.passed == len(tasks), answers(run_dir)
    counts = manifest.read(cassette_of(run_dir)).counts
    assert all(counts[channel] for channel in channels)
    recorded = answers(run_dir)
    for tools in ("remote", "all")[: 1 + (tasks is ASKING_TOOLS)]:
        how = {"baselines": False, "concurrency": 32}
        again_dir, again = await run_suite(
            suite, tmp_path, replay=replay(run_dir, tools=tools), **how
        )
        assert answers(again_dir) == {f"{name}:1": recorded[f"{name}:1"] for name in tasks}
        assert again.summary.overall.passed == len(tasks)
        for name in ("miss", "unplayed"):
            assert [(note.trial, note.attrs) for note in notes(again_dir, name)] == []
    assert not [*holding(cassette_of(run_dir), KEY), *holding(cassette_of(run_dir), VARIABLE)]


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_was_cut_off_goes_on_with_its_recording(tmp_path: Path, end: int) -> None:
    suite = write_suite(
        tmp_path / "suite",
        [case(f"c{number}") for number in range(6)],
        model={"provider": "simulated", "function": "e2e_model:adds", "latency": SLOW},
        tools=[{"type": "python", "target": "e2e_tools:add"}],
        concurrency=2,
    )
    place = str(suite.dir)

    def do(*words: str) -> str:
        asked = command(*words, folder=tmp_path)
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    def cut_off(*words: str) -> Path:
        program = subprocess.Popen(command(*words, folder=tmp_path), stdout=subprocess.DEVNULL)
        run_dir = _in_the_middle(tmp_path / "kept" / "runs")
        program.send_signal(end)
        program.wait()
        return run_dir

    run_dir = cut_off("record", place, "-q", "--no-baselines")
    assert "6 of 6" in do("resume", run_dir.name, "-q")
    cassette = load(cassette_of(run_dir))
    assert cassette.finished
    asked = Counter((one.trial, one.turn, one.channel) for one in cassette.exchanges)
    assert set(asked.values()) == {1}
    assert len({trial.partition("~")[0] for trial, _, _ in asked}) == 6
    assert len(asked) == 18
    do("run", place, "--replay", run_dir.name, "-q")
    again = runs_below(tmp_path / "kept")[-1]
    assert again != run_dir
    assert [end.attrs["passed"] for end in ends(again).values()] == [True] * 6
    assert notes(again, "miss") == notes(again, "unplayed") == []


def _in_the_middle(runs: Path) -> Path:
    """The run, once some trials of it have ended and others have begun to ask."""
    for _ in range(1200):
        time.sleep(0.05)
        for run_dir in runs.glob("*"):
            path = cassette_of(run_dir) / manifest.EXCHANGES
            if path.exists() and path.read_bytes().count(b"\n") >= 7:
                return run_dir
    raise AssertionError("the run did not begin")
