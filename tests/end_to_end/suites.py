"""Small suites for end-to-end tests: agents on the standard library, the simulated provider."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

from proofrig.conclusion import Conclusion, Options
from proofrig.evaluation import run
from proofrig.history.action import Action, Entry
from proofrig.history.history import History
from proofrig.suites import Suite, load_suite

# An agent on the standard library: asks the model until it answers, calls the tools it asks for.
AGENT = '''
import json, os, sys, time, urllib.request

def post(url, body):
    key = "Bearer " + os.environ["OPENAI_API_KEY"]
    headers = {"content-type": "application/json", "authorization": key}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)

def ask(messages):
    url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
    return post(url, {"model": "sim-small", "messages": messages})["choices"][0]["message"]

def solve(task):
    messages = [{"role": "user", "content": task}]
    while True:
        message = ask(messages)
        messages.append(message)
        if not message.get("tool_calls"):
            return message["content"]
        for call in message["tool_calls"]:
            url = os.environ["PROOFRIG_TOOLS_URL"] + "/" + call["function"]["name"]
            result = post(url, json.loads(call["function"]["arguments"]))["result"]
            content = json.dumps(result)
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": content})

def behave(task):
    """Does what the task says, badly."""
    if task == "crash":
        raise ValueError("the agent broke")
    if task == "hang":
        time.sleep(3600)
    if task == "exit":
        os._exit(7)
    if task == "flood":
        for _ in range(100):
            sys.stdout.write("x" * 1_000_000)
        return "42"
    if task == "fork":
        if os.fork() == 0:
            os.setsid()
            time.sleep(3600)
        return "42"
    if task == "stranger":
        os.environ["OPENAI_BASE_URL"] = os.environ["OPENAI_BASE_URL"].replace("/t/", "/t/x")
        os.environ["OPENAI_API_KEY"] = "sk-somebody-elses-key"
    return ask([{"role": "user", "content": task}])["content"]
'''

MODEL = '''
from proofrig.wire.turn import ToolCall, Turn

def echo(prompt):
    """Answers 42, or what the task asks it to say."""
    return "42"

def adds(prompt):
    """Looks a sum up with the tool first."""
    if any(message.tool_results for message in prompt.messages):
        return "42"
    call = ToolCall("c1", "add", '{"a": 40, "b": 2}')
    return Turn("chat_completions", tool_calls=(call,), finish="tool_calls")
'''

TOOLS = '''
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b
'''


def case(id: str, task: str = "What is 40 + 2?", **more: Any) -> dict[str, Any]:
    return {"id": id, "task": task, "verify": [{"type": "exact", "value": "42"}]} | more


def write_suite(folder: Path, cases: list[dict[str, Any]], **changes: Any) -> Suite:
    """Write a suite into `folder` and load it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "e2e_agent.py").write_text(AGENT)
    (folder / "e2e_model.py").write_text(MODEL)
    (folder / "e2e_tools.py").write_text(TOOLS)
    content = {
        "suite": "desk",
        "agent": {"type": "python", "target": "e2e_agent:solve"},
        "model": {"provider": "simulated", "function": "e2e_model:echo"},
        "cases": cases,
    } | changes
    (folder / "suite.yaml").write_text(yaml.safe_dump(content))
    return load_suite(folder / "suite.yaml")


def options(folder: Path, **changes: Any) -> Options:
    settings = {"root": folder / "kept", "store": f"sqlite:///{folder}/store.db"}
    return Options(**settings | changes)


async def run_suite(suite: Suite, folder: Path, **changes: Any) -> tuple[Path, Conclusion]:
    return await run(suite, suite.dir / "suite.yaml", options(folder, **changes))


def command(*words: str, folder: Path) -> list[str]:
    """The command line with everything kept below `folder`."""
    places = ["--root", str(folder / "kept"), "--store", f"sqlite:///{folder}/store.db"]
    return [sys.executable, "-m", "proofrig", *words, *places]


def ends(run_dir: Path) -> dict[str, Entry]:
    """The end entry of every attempt, by its trial id. Fails when an attempt ended twice."""
    found: dict[str, Entry] = {}
    for entry in History(run_dir).entries():
        if entry.kind == "trial" and entry.name == "end":
            assert entry.trial not in found, f"{entry.trial} ended twice"
            found[entry.trial] = entry
    return found


def actions(run_dir: Path, trial: str) -> list[Action]:
    return [action for action in History(run_dir).actions() if action.trial == trial]


def failures(run_dir: Path) -> dict[str, str]:
    """How each subject trial failed, by case; empty where it passed."""
    return {
        trial.rpartition(":")[0]: json.loads(json.dumps(entry.attrs["failure"]))
        for trial, entry in ends(run_dir).items()
        if trial.endswith(":1")
    }
