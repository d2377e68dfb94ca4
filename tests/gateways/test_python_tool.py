"""Python functions as tools: what their signatures and docstrings become."""

from __future__ import annotations

from pathlib import Path

import pytest

from proofrig.errors import SuiteError
from proofrig.gateways.python_tool import read_docstring
from tool_rig import tool_rig


@pytest.mark.parametrize(
    ("source", "target", "says"),
    [
        ("x = 1", "tools", "list its tools in __all__"),
        ("x = 1", "tools:x", "expected a function 'x'"),
        ("x = 1", "tools:y", "nothing of that name"),
        ("import nowhere_at_all", "tools:x", "No module named 'nowhere_at_all'"),
        ("def f(*words): ...", "tools:f", "models pass arguments by name"),
        ("def f(x: object()): ...", "tools:f", "tool f: "),
    ],
)
async def test_what_cannot_be_a_tool_is_a_problem_of_the_suite(
    tmp_path: Path, source: str, target: str, says: str
) -> None:
    (tmp_path / "suite").mkdir()
    (tmp_path / "suite" / "tools.py").write_text(source)
    with pytest.raises(SuiteError, match=r"^tool ") as raised:
        async with tool_rig(tmp_path, [{"type": "python", "target": target}]):
            pass
    assert says in str(raised.value)


def test_a_docstring_without_sections_is_the_description() -> None:
    assert read_docstring("Find it.\n\nSlowly.") == ("Find it.\n\nSlowly.", {})


def test_the_args_section_ends_with_the_next_section() -> None:
    text = "Find it.\n\nArgs:\n    a: one\n        more\n    b (int): two: three\n"
    text += "\nReturns:\n    c: no"
    assert read_docstring(text) == ("Find it.", {"a": "one more", "b": "two: three"})
