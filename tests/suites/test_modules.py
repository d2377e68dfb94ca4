"""Modules that a suite names: found or missed without running them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from proofrig.errors import SuiteError
from proofrig.problems import Origin
from proofrig.suites.load import load_suite
from proofrig.suites.modules import check_modules, missing
from proofrig.suites.suite import Suite
from proofrig.yaml12 import parse

BOOM = "raise RuntimeError('the user code was run')\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("agent.py", "shop/__init__.py", "shop/tools.py", "src/inner.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(BOOM)
    return tmp_path


@pytest.mark.parametrize(
    "target",
    ["agent:solve", "shop:x", "shop.tools:refund", "json:loads", "email.mime.text:MIMEText"],
)
def test_a_module_of_the_suite_or_an_installed_one_is_there(folder: Path, target: str) -> None:
    assert missing(target, [folder]) is None


@pytest.mark.parametrize(
    ("target", "hint"),
    [
        ("agnt:solve", "did you mean 'agent'?"),
        ("shop.tols:refund", "did you mean 'shop.tools'?"),
        ("agent.solve:x", "did you mean 'agent'?"),
        ("email.mime.nothing:x", "there are: agent, shop, shop.tools"),
    ],
)
def test_a_module_that_is_nowhere_is_said_with_what_was_meant(
    folder: Path, target: str, hint: str
) -> None:
    said = missing(target, [folder])
    assert said is not None
    assert said[0].startswith(f"there is no module {target.partition(':')[0]!r} in ")
    assert said[1] == hint


def problems(text: str, folder: Path) -> list[tuple[int, int, str]]:
    document = parse(f"suite: s\n{text}\n", "f")
    found = check_modules(Suite.model_validate(document.value), Origin(document), folder)
    return [(one.line, one.column, one.message.partition(":")[0]) for one in found]


def test_agents_and_tools_are_told_where_they_stand(folder: Path) -> None:
    text = "agent: {type: python, target: 'agnt:solve'}\ntools:\n- {type: python, target: tols}"
    assert problems(text, folder) == [(2, 31, "agent.target"), (4, 26, "tools[0].target")]


@pytest.mark.parametrize(
    "more", ["path: [src]", "interpreter: ../venv", "env: {PYTHONPATH: elsewhere}"]
)
def test_what_lies_elsewhere_or_cannot_be_known_is_no_problem(folder: Path, more: str) -> None:
    assert problems(f"agent: {{type: python, target: 'inner:x', {more}}}", folder) == []


def test_only_a_suite_that_is_to_be_run_needs_its_modules(folder: Path) -> None:
    case: dict[str, Any] = {"id": "a", "task": "t", "verify": [{"type": "exact", "value": "x"}]}
    agent = {"type": "python", "target": "agnt:solve"}
    suite = Suite.model_validate({"suite": "s", "agent": agent, "cases": [case]}).at(folder)
    assert load_suite(suite).name == "s"
    with pytest.raises(SuiteError, match="did you mean 'agent'"):
        load_suite(suite, to_run=True)
