"""Models loaded from their sources."""

from __future__ import annotations

from pathlib import Path

import pytest

from proofrig.errors import UsageError
from proofrig.providers.models import Echo, FunctionModel, load_model
from proofrig.providers.prompt import Prompt, Reply
from proofrig.wire.turn import Message, Tool, ToolCall, ToolResult

SOURCE = """
def three(messages, tools, seed):
    return f"{messages[-1].text} {tools[0].name} {seed}"

async def one(prompt):
    return {"tool_calls": [{"name": prompt.tools[0].name, "arguments": {"turn": prompt.turn}}]}

class Kept:
    def __call__(self, prompt):
        return prompt.model

kept = Kept()
number = 5

def two(messages, tools):
    return ""
"""


@pytest.fixture
def suite_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    monkeypatch.delitem(__import__("sys").modules, "desk_model", raising=False)
    (tmp_path / "desk_model.py").write_text(SOURCE)
    (tmp_path / "broken_model.py").write_text("1 / 0\n")
    return tmp_path


ASKED = Prompt((Message("user", "Hi"),), (Tool("look"),), model="sim", seed=9)


async def test_the_echo_says_what_it_was_told() -> None:
    assert await Echo().answer(ASKED) == Reply("Hi")
    results = Message("tool", tool_results=(ToolResult("c", "42"),))
    assert await Echo().answer(Prompt((*ASKED.messages, results))) == Reply("42")
    assert await Echo().answer(Prompt(())) == Reply("")


async def test_functions_of_both_forms(suite_dir: Path) -> None:
    async def reply(function: str) -> Reply:
        return await load_model(None, f"desk_model:{function}", suite_dir).answer(ASKED)

    assert await reply("three") == Reply("Hi look 9")
    assert await reply("one") == Reply(calls=(ToolCall("", "look", '{"turn":0}'),))
    assert await reply("kept") == Reply("sim")


@pytest.mark.parametrize(
    ("function", "complaint"),
    [
        ("no_such_module:x", "expected a module 'no_such_module'"),
        ("broken_model:x", "ZeroDivisionError"),
        ("desk_model:gone", "expected 'gone' in desk_model"),
        ("desk_model:number", "callable, got int"),
        ("desk_model:two", r"\(messages, tools, seed\) or \(prompt\)"),
    ],
)
def test_what_cannot_be_loaded_is_named(suite_dir: Path, function: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        load_model(None, function, suite_dir)


async def test_scripts_and_nothing(suite_dir: Path) -> None:
    (suite_dir / "model.yaml").write_text("rules: [{say: From the script.}]")
    model = load_model("model.yaml", None, suite_dir)
    assert await model.answer(ASKED) == Reply("From the script.")
    assert isinstance(load_model(None, None, suite_dir), Echo)
    assert not isinstance(model, FunctionModel)
