"""The same suite and seed give the same history and the same results, up to declared clocks."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from end_to_end.suites import case, command, options, write_suite
from end_to_end.test_replay import replay
from proofrig.cli.conclusion import report_of
from proofrig.evaluation import run
from proofrig.history.canonical import canonical
from proofrig.history.history import History
from proofrig.history.payloads import PayloadReader
from proofrig.reports.canonical import render
from proofrig.suites import Suite, load_suite

# Asks for three tools at once, twice, then answers with what came back; errs by its seed.
MODEL = """
import json
from proofrig.wire.turn import ToolCall, Turn

CITIES = ("Oslo", "Rome", "Lima", "Cairo", "Quito", "Perth")

def travels(prompt):
    results = [r for m in prompt.messages for r in m.tool_results]
    if prompt.turn < 2:
        asked = CITIES[3 * prompt.turn: 3 * prompt.turn + 3]
        calls = [("weather", {"city": prompt.rng.choice(("Kyoto", "Dakar", "Sofia"))})]
        calls += [("weather", {"city": city}) for city in asked]
        calls += [("distance", {"here": asked[0], "there": asked[2]})]
        made = [ToolCall("", name, json.dumps(given)) for name, given in calls]
        return Turn("chat_completions", tool_calls=tuple(made), finish="tool_calls")
    if prompt.chance("forgets") < 0.3:
        return "I forgot."
    return "; ".join(sorted(r.content for r in results))
"""
# Carries out the calls of a turn at the same time, and comes to each after another while.
AGENT = """
import concurrent.futures, json, os, random, time, urllib.error, urllib.request

def post(url, body):
    key = "Bearer " + os.environ["OPENAI_API_KEY"]
    headers = {"content-type": "application/json", "authorization": key}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        return {"failed": error.code}

def tool(call):
    time.sleep(random.SystemRandom().random() / 50)
    url = os.environ["PROOFRIG_TOOLS_URL"] + "/" + call["function"]["name"]
    result = post(url, json.loads(call["function"]["arguments"]))
    content = json.dumps(result)
    return {"role": "tool", "tool_call_id": call["id"], "content": content}

def ask(messages):
    url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
    for _ in range(3):
        answer = post(url, {"model": "sim-small", "messages": messages})
        if "failed" not in answer:
            return answer["choices"][0]["message"]
    raise RuntimeError(f"the model does not answer: {answer['failed']}")

def solve(task):
    messages = [{"role": "user", "content": task}]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        while True:
            message = ask(messages)
            messages.append(message)
            if not message.get("tool_calls"):
                return message["content"]
            messages += pool.map(tool, message["tool_calls"])
"""
TOOLS = '''
def weather(city: str) -> str:
    """Today's weather."""
    return f"{city}: {len(city)} degrees"

def distance(here: str, there: str) -> int:
    """In kilometres."""
    return 100 * len(here + there)
'''
FAULTS = [
    {"kind": "http_error", "on": {"at": "tool"}, "probability": 0.3},
    {"kind": "http_error", "on": {"at": "llm"}, "probability": 0.2},
    {"kind": "latency", "ms": 5, "on": {"tool": "weather"}, "probability": 0.5},
]


@dataclass(frozen=True)
class Came:
    """What a run came to, without its clocks."""

    history: str
    results: bytes


def write(folder: Path, **changes: Any) -> Suite:
    """A suite of two cases whose agents do several things at once."""
    tools = [{"type": "python", "target": f"determined_tools:{n}"} for n in ("weather", "distance")]
    settings = {
        "agent": {"type": "python", "target": "determined_agent:solve"},
        "model": {"provider": "simulated", "function": "determined_model:travels"},
        "tools": tools,
        "tenants": {"acme": 2, "globex": 1},
        "faults": FAULTS,
        "seed": 11,
        "repeats": 3,
        "concurrency": 8,
    }
    cases = [case("a", "Where to?"), case("b", "Where to, and how far?")]
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("agent", AGENT), ("model", MODEL), ("tools", TOOLS)):
        (folder / f"determined_{name}.py").write_text(text)
    return write_suite(folder, cases, **settings | changes)


async def come_to(suite: Suite, folder: Path, path: Path | None = None, **how: Any) -> Came:
    """Run a suite, kept below `folder`; `how`: options of the run, such as the seed."""
    chosen = options(folder, **how)
    run_dir, conclusion = await run(suite, path or suite.dir / "suite.yaml", chosen)
    history = canonical(History(run_dir).entries(), PayloadReader(run_dir).get)
    report = report_of(suite, run_dir, conclusion, chosen)
    return Came("\n".join(history), render(report))


async def test_the_same_suite_and_seed_give_the_same_bytes(tmp_path: Path) -> None:
    suite = write(tmp_path / "suite")
    first = await come_to(suite, tmp_path / "first")
    again = await come_to(load_suite(suite.dir / "suite.yaml"), tmp_path / "again")
    assert first.history.splitlines() == again.history.splitlines()
    assert first.history == again.history
    assert first.results.decode() == again.results.decode()
    # and there was something to be the same
    assert first.history.count('"kind":"fault"') > 10
    assert first.history.count('"name":"tool.weather"') > 100
    assert first.history.count('"failure":"agent"') > 1
    other = await come_to(suite, tmp_path / "other", seed=12)
    assert first.history != other.history
    assert first.results != other.results


async def test_so_does_an_agent_on_an_sdk_with_its_tools_behind_mcp(tmp_path: Path) -> None:
    path = Path(__file__).parents[2] / "examples" / "support_desk" / "suite.yaml"
    only = tuple(case.id for case in load_suite(path).cases[4:7])
    first, again = [
        await come_to(load_suite(path), tmp_path / name, path, only=only, repeats=1)
        for name in ("first", "again")
    ]
    assert first.history.splitlines() == again.history.splitlines()
    assert first.results.decode() == again.results.decode()
    assert first.history.count('"asked_by"') > 4


async def test_so_do_replays_of_one_recording(tmp_path: Path) -> None:
    """The same recording, however many trials run at once; and they are what was recorded."""
    suite = write(tmp_path / "suite", repeats=2)
    recorded = await come_to(suite, tmp_path / "recorded", record=True)
    (run_dir,) = (tmp_path / "recorded" / "kept" / "runs").iterdir()
    found = [
        await come_to(
            suite, tmp_path / name, replay=replay(run_dir, tools="all"), concurrency=concurrency
        )
        for name, concurrency in (("one", 8), ("two", 8), ("three", 2))
    ]
    histories = [one.history.splitlines() for one in found]
    assert histories[0] == histories[1]
    assert found[0].results.decode() == found[1].results.decode()
    assert histories[2] == histories[0]
    assert histories[0] == recorded.history.splitlines()
    assert recorded.history.count('"kind":"fault"') > 5


def test_the_command_line_shows_it(tmp_path: Path) -> None:
    suite = write(tmp_path / "suite", repeats=1, faults=[])
    shown = []
    for name in ("one", "two"):
        ran = command("run", str(suite.dir), "-q", "--no-baselines", folder=tmp_path / name)
        subprocess.run(ran, check=True, capture_output=True)
        show = command("show", "last", "--canonical", folder=tmp_path / name)
        shown.append(subprocess.run(show, check=True, capture_output=True).stdout)
    assert shown[0] == shown[1]
    assert len(shown[0].splitlines()) > 60
