"""A policy over real suites: what agents are told, what is written, and what outlives a kill."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest

from end_to_end.suites import actions, case, command, ends, run_suite, write_suite
from proofrig.authority.budget import ancestors
from proofrig.authority.journal import Journal
from proofrig.authority.ledger import Ledger
from proofrig.history.action import Action
from proofrig.history.history import History
from proofrig.history.payloads import PayloadReader
from proofrig.suites import Suite

UPSTREAM = str(Path(__file__).parents[1] / "mcp_upstream.py")

# Does what the task names; its answer tells what it got.
AGENT = '''
import json, os, subprocess, sys, threading, time, urllib.error, urllib.request

def post(url, body):
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)

def tool(name, **arguments):
    status, said = post(os.environ["PROOFRIG_TOOLS_URL"] + "/" + name, arguments)
    error = said.get("error", {})
    return "ok" if status == 200 else error.get("rule") or error.get("code") or error["type"]

def model(text, **more):
    messages = [{"role": "user", "content": text}]
    url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
    return post(url, {"model": "sim-small", "messages": messages} | more)

def tiers():
    return [tool("refund", amount=150), tool("refund", amount=90), tool("refund")]

def taint():
    return [tool("send_email"), tool("fetch_page"), tool("send_email")]

def inflight():
    slow = threading.Thread(target=tool, args=("fetch_slow",))
    slow.start()
    time.sleep(0.3)
    during = tool("send_email")
    slow.join()
    return [during, tool("send_email")]

def clean():
    return [tool("send_email"), tool("send_email")]

def steps():
    got = [tool("write_file", path="a"), tool("approve_plan", good=False)]
    got += [tool("write_file", path="a"), tool("approve_plan", good=True)]
    return got + [tool("write_file", path="a")]

def paths():
    os.symlink("tests", "link")
    wanted = ["tests/x", "src/../tests/x", "./tests//x", "TESTS/x", "tests", "link/x",
              "src/deep/../../link/x", os.path.join(os.getcwd(), "tests/x"), "tests%2Fx"]
    denied = [tool("write_file", path=path) for path in wanted]
    return [denied, [tool("write_file", path=path) for path in ("src/x", "src/tests_x", "new/x")],
            tool("write_file")]

def asks():
    return [tool("pay", amount=60), tool("pay", amount=5), tool("pay", amount=600)]

def batch():
    status, said = model("search five", tools=[
        {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
        for name in ("mcp__shop__search", "lookup")])
    calls = said["choices"][0]["message"]["tool_calls"]
    got = {}
    def run(call):
        got[call["id"]] = tool("search", **json.loads(call["function"]["arguments"]))
    for call in reversed(calls):  # the last first, all at once
        thread = threading.Thread(target=run, args=(call,))
        thread.start()
        time.sleep(0.02)
    while len(got) < len(calls):
        time.sleep(0.01)
    _, later = model("what tools?", tools=[
        {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
        for name in ("mcp__shop__search", "lookup")])
    return [[got[call["id"]] for call in calls], later["choices"][0]["message"]["content"]]

def capped():
    status, said = model("how long?", max_tokens=9000)
    return [status]

def loop():
    return [tool("lookup") for _ in range(9)]

def steady():
    return [tool("lookup", what=str(n)) for n in range(9)]

def mcp():
    argv = json.loads(os.environ["PROOFRIG_MCP_UP_COMMAND"])
    server = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    def say(**message):
        server.stdin.write(json.dumps({"jsonrpc": "2.0"} | message) + "\\n")
        server.stdin.flush()
        while "id" in message:
            got = json.loads(server.stdout.readline())
            if got.get("id") == message["id"]:
                return got["result"]
    hello = {"protocolVersion": "2025-06-18", "capabilities": {},
             "clientInfo": {"name": "t", "version": "1"}}
    say(id=0, method="initialize", params=hello)
    say(method="notifications/initialized")
    got = []
    for n, a in enumerate((1, 9)):
        params = {"name": "add", "arguments": {"a": a, "b": 1}}
        result = say(id=n + 1, method="tools/call", params=params)
        got.append([result["isError"], result["content"][0]["text"]])
    server.stdin.close()
    server.wait()
    return got

def sdk():
    import anthropic, openai
    got = []
    def told(make):
        try:
            for _ in make() or ():
                pass
            got.append("nothing")
        except (openai.APIStatusError, anthropic.APIStatusError) as error:
            body = error.response.json()["error"]
            facts = body["proofrig"]
            got.append([type(error).__module__.split(".")[0], type(error).__name__, facts["code"],
                        facts["rule"] if "rule" in facts else facts["scope"]])
    said = [{"role": "user", "content": "hi"}]
    for name in ("sim-forbidden", "sim-small"):
        for stream in (False, True):
            with openai.OpenAI(max_retries=2) as client:
                told(lambda: client.chat.completions.create(
                    model=name, messages=said, stream=stream) and None)
                told(lambda: client.responses.create(
                    model=name, input="hi", stream=stream) and None)
            with anthropic.Anthropic(max_retries=2) as client:
                told(lambda: client.messages.create(
                    model=name, messages=said, max_tokens=50, stream=stream) and None)
    return got

def killed():
    """Fetches, then is cut off by the end of its rig in its first attempt."""
    mark = os.environ["KILL_MARK"]
    got = [tool("send_email"), tool("fetch_page"), tool("send_email")]
    if not os.path.exists(mark):
        tool("hang", mark=mark)
    return got

def solve(task):
    return json.dumps(globals()[task]())
'''

MODEL = """
from proofrig.wire.turn import ToolCall, Turn

def model(prompt):
    text = prompt.messages[-1].text
    if text == "search five":
        told = ['{"what": "%d"}' % n for n in range(5)]
        calls = tuple(ToolCall(f"s{n}", "mcp__shop__search", one) for n, one in enumerate(told))
        return Turn("chat_completions", tool_calls=calls, finish="tool_calls")
    if text == "what tools?":
        return ", ".join(tool.name for tool in prompt.tools)
    return "hello"
"""

TOOLS = """
import time
from pathlib import Path

def refund(amount: int | None = None) -> str:
    return "refunded"

def pay(amount: int) -> str:
    return "paid"

def fetch_page() -> str:
    return "a page"

def fetch_slow() -> str:
    time.sleep(1)
    return "a page"

def send_email() -> str:
    return "sent"

def write_file(path: str = "") -> str:
    return "written"

def approve_plan(good: bool) -> str:
    if not good:
        raise ValueError("not good")
    return "approved"

def search(what: str) -> str:
    return "found " + what

def lookup(what: str = "") -> str:
    return "the same"

def hang(mark: str) -> str:
    Path(mark).touch()
    time.sleep(60)
    return "never"

__all__ = ["refund", "pay", "fetch_page", "fetch_slow", "send_email", "write_file", "approve_plan",
           "search", "lookup", "hang"]
"""

SMALL = "args.amount > 50 && args.amount <= 500"
POLICY: dict[str, Any] = {
    "tiers": {"clerk": ["support*"], "manager": ["lead*"]},
    "steps": [{"name": "gather"}, {"name": "act", "after": "tool.approve_plan"}],
    "taint": {"tool.fetch_*": "web"},
    "limits": {"*/*/*/*": {"calls:tool.search": 3}, "*/*/sdk/*": {"tokens": 1}},
    "rules": [
        {
            "name": "refund-above-tier",
            "deny": "tool.refund",
            "below": "manager",
            "when": {"amount": {">": 100}},
        },
        {"name": "no-mail-after-web", "deny": "tool.send_email", "tainted": "web"},
        {
            "name": "plan-first",
            "deny": "tool.write_*",
            "agents": "planner",
            "step": "gather",
        },
        {
            "name": "tests-are-read-only",
            "deny": "tool.write_file",
            "agents": "coder",
            "paths": {"path": ["tests/**"]},
        },
        {"name": "small-pay-asks", "ask": "tool.pay", "cel": SMALL, "wait_s": 20},
        {"name": "big-pay-asks", "ask": "tool.pay", "when": {"amount": {">": 500}}},
        {"name": "no-nines", "deny": "tool.add", "when": {"a": 9}, "fix": "use eights"},
        {"name": "short-answers", "allow": "llm.*", "agents": "terse", "max_tokens": 70},
        {"name": "no-forbidden", "deny": "llm.*", "when": {"model": "sim-forbidden"}},
    ],
}
APPROVALS = [
    {"rule": "small-*", "answer": "approve", "after_s": 0.2, "by": "shift lead"},
    {"rule": "big-*", "answer": "refuse", "reason": "too much"},
]
WATCH = {"repeat": [90, 91, 92], "polling": [3, 5, 7]}  # whatever the pace of this machine
TOOL = [{"type": "python", "target": "au_tools"}]


def suite_of(folder: Path, tasks: dict[str, dict[str, Any]], **changes: Any) -> Suite:
    """A suite whose cases are the agent's tasks."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "au_agent.py").write_text(AGENT)
    (folder / "au_model.py").write_text(MODEL)
    (folder / "au_tools.py").write_text(TOOLS)
    verify = [{"type": "regex", "pattern": "."}]
    cases = [
        case(id, more.pop("task", id), **{"verify": verify} | more) for id, more in tasks.items()
    ]
    settings: dict[str, Any] = {
        "agent": {"type": "python", "target": "au_agent:solve"},
        "model": {"provider": "simulated", "function": "au_model:model"},
        "tools": TOOL,
        "policy": POLICY,
    }
    return write_suite(folder, cases, **settings | changes)


def answers(run_dir: Path) -> dict[str, Any]:
    """What each trial's agent said it got, by case; how it failed where it did."""
    found = {}
    for trial, end in ends(run_dir).items():
        assert not end.attrs["failure"], (trial, end.attrs)
        said = end.attrs["answer"]
        if not said.startswith("["):  # a long one is kept apart
            said = PayloadReader(run_dir).get(said)
        found[trial.rpartition(":")[0]] = json.loads(said)
    return found


def books(run_dir: Path, name: str = "authority.db") -> Ledger:
    """The ledger as its journal has it."""
    ledger = Ledger()
    with Journal(run_dir / name) as journal:
        journal.replay(ledger)
    return ledger


def sums_agree(run_dir: Path, ledger: Ledger) -> None:
    """What history and ledger say was spent, of every scope and unit, is the same."""
    told: Counter[tuple[str, str]] = Counter()
    for action in History(run_dir).actions():
        assert action.denied or action.end is not None, f"{action.name} {action.id} did not end"
        if action.end is not None and action.end.kind == "commit":
            for scope in ancestors(action.scope):
                for unit, amount in action.attr("actual", {}).items():
                    told[scope, unit] += amount
    booked: dict[tuple[str, str], int] = {}
    for scope in ledger.scopes():
        for unit, balance in ledger.balances(scope).items():
            assert "/" in unit or balance.reserved == 0, (scope, unit)
            if not scope.startswith("@") and "/" not in unit and unit != "children":
                booked[scope, unit] = balance.spent
    assert {key: n for key, n in booked.items() if n} == {key: n for key, n in told.items() if n}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The suite of all tasks, run once."""
    folder = tmp_path_factory.mktemp("authority")
    files = {"src/deep/a": "a", "tests/t": "t"}
    tasks: dict[str, dict[str, Any]] = {
        "clerk": {"task": "tiers", "acts_as": "support-bot"},
        "lead": {"task": "tiers", "acts_as": "lead-bot"},
        "nobody": {"task": "tiers"},
        "taint": {},
        "inflight": {},
        "clean": {},
        "steps": {"acts_as": "planner"},
        "paths": {"acts_as": "coder", "world": {"files": files}},
        "asks": {},
        "batch": {},
        "capped": {"acts_as": "terse"},
        "loop": {},
        "steady": {},
        "mcp": {},
        "sdk": {"acts_as": "sdk"},
    }
    server = {"type": "mcp", "name": "up", "command": [sys.executable, UPSTREAM, "stdio"]}
    suite = suite_of(
        folder / "suite",
        tasks,
        tools=[*TOOL, server],
        authority={"approvals": APPROVALS, "watch": WATCH},
        budgets={"suite": {"usd": 5}, "tenant": {"calls/hour": 500}},
        concurrency=6,
    )
    run_dir, _ = asyncio.run(run_suite(suite, folder, baselines=False))
    return run_dir


def test_what_each_agent_was_told(world: Path) -> None:
    got = answers(world)
    sdk = got.pop("sdk")
    assert got["clerk"] == ["refund-above-tier", "ok", "refund-above-tier"]  # silence denies
    assert got["lead"] == ["ok", "ok", "ok"]
    assert got["nobody"] == got["clerk"]
    assert got["taint"] == ["ok", "ok", "no-mail-after-web"]
    assert got["inflight"] == ["no-mail-after-web"] * 2
    assert got["clean"] == ["ok", "ok"]
    assert got["steps"] == ["plan-first", "tool_error", "plan-first", "ok", "ok"]
    assert got["paths"] == [["tests-are-read-only"] * 9, ["ok"] * 3, "tests-are-read-only"]
    assert got["asks"] == ["ok", "ok", "big-pay-asks"]
    assert got["batch"] == [["ok"] * 3 + ["budget_exceeded"] * 2, "lookup"]
    assert got["capped"] == [200]
    assert got["loop"] == ["ok"] * 5 + ["polling_detected"] * 3 + ["run_stopped"]
    assert got["steady"] == ["ok"] * 9
    refused = "forbidden by rule no-nines at default/desk/subject/mcp:1. use eights"
    assert got["mcp"] == [[False, "2"], [True, f"proofrig refused this call: {refused}"]]
    forbidden = ["PermissionDeniedError", "forbidden", "no-forbidden"]
    ran_out = ["RateLimitError", "budget_exceeded", "default/desk/sdk/sdk:1"]
    vendors = ["openai", "openai", "anthropic"] * 2
    assert sdk == [[v, *forbidden] for v in vendors] + [[v, *ran_out] for v in vendors]


def test_a_rules_cap_stands_on_the_history(world: Path) -> None:
    [capped] = actions(world, "capped:1")
    assert (capped.attr("decision"), capped.attr("max_tokens")) == ("cap", 70)
    assert capped.attr("rule") == "short-answers" and capped.attr("amended") == ["max_tokens"]


def test_no_sdk_tried_again_what_was_denied(world: Path) -> None:
    assert len(actions(world, "sdk:1")) == 12


def test_the_history_says_who_decided_and_when_it_was_approved(world: Path) -> None:
    approved, free, refused = actions(world, "asks:1")
    assert [one.attr("decision") for one in (approved, free, refused)] == ["ask", "allow", "ask"]
    notes = [e for e in History(world).entries() if e.name == "approval"]
    told = {note.id: (note.attrs["answer"], note.attrs["by"]) for note in notes}
    assert told == {approved.id: ("approve", "shift lead"), refused.id: ("refuse", "simulated")}
    assert next(n for n in notes if n.id == approved.id).attrs["waited_ns"] >= 150_000_000
    assert refused.end is not None and refused.end.attrs["reason"] == "approval_refused"
    anomalies = [e for e in History(world).entries() if e.name == "anomaly"]
    assert [(e.trial, e.attrs["step"]) for e in anomalies] == [
        ("loop:1", step) for step in ("warn", "deny", "stop")
    ]


def test_every_charge_says_how_it_is_known_and_at_what_price(world: Path) -> None:
    llm = [a for a in History(world).actions() if a.name.startswith("llm.") and not a.denied]
    assert llm
    for action in llm:
        assert action.attr("source") == "measured"
        assert action.attr("price").startswith("sim")


def test_history_and_ledger_come_to_the_same_sums(world: Path) -> None:
    ledger = books(world)
    sums_agree(world, ledger)
    balances = ledger.balances("@suite")
    assert balances["usd_micro"].allocated == 5_000_000 and balances["usd_micro"].spent > 0
    assert ledger.balances("default/desk/subject/taint:1")["taint:web"].spent == 1


# ---- shadow, kills and resumes


def kill_the_rig(folder: Path, mark: Path, *, shadow: bool = False) -> Path:
    """A run whose rig is killed while a tool is being called; the run's folder."""
    tasks: dict[str, dict[str, Any]] = {"killed": {}, "clean": {}}
    suite_of(
        folder / "suite",
        tasks,
        authority={"mode": "shadow" if shadow else "enforce"},
        agent={"type": "python", "target": "au_agent:solve", "env": {"KILL_MARK": str(mark)}},
        concurrency=1,
    )
    words = command("run", str(folder / "suite"), "--quiet", "--no-baselines", folder=folder)
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        while not mark.exists() and process.poll() is None:
            time.sleep(0.02)
        [run_dir] = (folder / "kept" / "runs").iterdir()
        [rig] = [
            child
            for child in psutil.Process(process.pid).children()
            if any("rig.process" in word for word in child.cmdline())
        ]
        rig.kill()
        said, _ = process.communicate(timeout=30)
    assert (process.returncode, "resume" in said) == (6, True), said
    return run_dir


def resumed(folder: Path) -> None:
    assert subprocess.run(command("resume", "last", "-q", folder=folder)).returncode == 0


def named(run_dir: Path, scope: str, name: str) -> list[Action]:
    return [a for a in History(run_dir).actions() if a.scope == scope and a.name == name]


def test_a_killed_rig_forgets_no_taint_and_charges_what_had_started(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    run_dir = kill_the_rig(tmp_path, mark)
    scope = "default/desk/subject/killed:1"
    held = books(run_dir).balances(scope)
    assert (held["calls"].reserved, held["taint:web"].spent) == (1, 1)
    resumed(tmp_path)
    [hang] = named(run_dir, scope, "tool.hang")
    assert hang.end is not None and hang.outcome == "unknown"
    assert hang.attr("source") == "estimated" and hang.attr("actual") == hang.attr("estimate")
    ledger = books(run_dir)
    assert ledger.balances(scope)["taint:web"].spent == 1
    sums_agree(run_dir, ledger)
    again = "default/desk/subject/killed:1~2"  # a run of its own: it begins untainted
    first, second = named(run_dir, again, "tool.send_email")
    assert (first.outcome, second.denied, second.attr("rule")) == ("ok", True, "no-mail-after-web")
    assert answers(run_dir)["clean"] == ["ok", "ok"]


def test_shadow_keeps_both_journals_over_a_kill_and_denies_nothing(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    run_dir = kill_the_rig(tmp_path, mark, shadow=True)
    assert {p.name for p in run_dir.glob("authority*.db")} == {
        "authority.db",
        "authority.shadow.db",
    }
    before = books(run_dir, "authority.shadow.db").balances("default")["calls"].spent
    resumed(tmp_path)
    got = answers(run_dir)
    assert set(got) == {"killed", "clean"} and got["clean"] == ["ok", "ok"]
    assert got["killed"] == ["ok"] * 3
    every = list(History(run_dir).actions())
    assert {action.attr("decision") for action in every} == {"allow"}
    told = [a.attr("shadow") for a in every if a.attr("shadow")]
    assert [(one["decision"], one["rule"]) for one in told] == [("deny", "no-mail-after-web")] * 2
    sums_agree(run_dir, books(run_dir))
    spent = books(run_dir, "authority.shadow.db").balances("default")["calls"].spent
    assert before == 2 and spent == len(every) - len(told)  # what it denies is not booked there


async def test_shadow_changes_nothing_that_an_agent_can_see(tmp_path: Path) -> None:
    """The same agents, under the same policy in shadow mode and under none."""
    tasks = ("tiers", "taint", "steps", "asks", "batch", "capped", "loop")
    got = []
    for name, changes in (
        ("shadow", {"authority": {"mode": "shadow", "approvals": APPROVALS, "watch": WATCH}}),
        ("free", {"policy": None}),
    ):
        suite = suite_of(tmp_path / name / "suite", {task: {} for task in tasks}, **changes)
        run_dir, _ = await run_suite(suite, tmp_path / name, baselines=False)
        bodies = [
            PayloadReader(run_dir).get(action.attr("request"))
            for action in History(run_dir).actions()
            if action.name.startswith("llm.")
        ]
        got.append((answers(run_dir), sorted(map(str, bodies))))
        sums_agree(run_dir, books(run_dir))
    assert got[0] == got[1]
    assert got[0][0]["loop"] == ["ok"] * 9


async def test_a_stopped_run_leaves_others_alone(tmp_path: Path) -> None:
    tasks: dict[str, dict[str, Any]] = {f"loop{n}": {"task": "loop"} for n in range(3)}
    tasks |= {f"steady{n}": {"task": "steady"} for n in range(3)}
    suite = suite_of(tmp_path / "suite", tasks, authority={"watch": WATCH}, concurrency=6)
    run_dir, _ = await run_suite(suite, tmp_path, baselines=False)
    told = [answer[-1] for _, answer in sorted(answers(run_dir).items())]
    assert told == ["run_stopped"] * 3 + ["ok"] * 3
