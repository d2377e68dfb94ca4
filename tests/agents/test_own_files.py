"""What a box shows of a suite's folder: the agent's own files, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from proofrig.agents.own_files import matching, missing, of_command, of_modules

FOLDER = {
    "agent.py": "import json\nimport helpers\nfrom tools.search import find\n",
    "helpers.py": "def f():\n    import late\n",
    "late.py": "from . import nothing\nimport agent\n",
    "tools/__init__.py": "",
    "tools/search.py": "import deep\n",
    "tools/prompt.txt": "be good",
    "deep.py": "",
    "answers.py": "right = 42\n",
    "model.py": "import answers\n",
    "broken.py": "import helpers\ndef (:\n",
    "suite.yaml": "suite: x\n",
    "prompts/a.md": "a",
    "prompts/b/c.md": "c",
    "space/inner.py": "import answers\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FOLDER.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def names(paths: list[Path], folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in paths]


@pytest.mark.parametrize(
    ("modules", "found"),
    [
        (["agent"], ["agent.py", "deep.py", "helpers.py", "late.py", "tools"]),
        (["deep"], ["deep.py"]),
        (["tools.search"], ["deep.py", "tools"]),
        (["space"], ["answers.py", "space"]),
        (["broken"], ["broken.py"]),
        (["json", "nowhere", "a-b", ""], []),
        (["prompts"], []),
    ],
)
def test_a_module_comes_with_what_it_imports(
    modules: list[str], found: list[str], folder: Path
) -> None:
    assert names(of_modules(modules, folder), folder) == found


@pytest.mark.parametrize(
    ("argv", "found"),
    [
        (
            ["python", "helpers.py", "--fast"],
            ["agent.py", "deep.py", "helpers.py", "late.py", "tools"],
        ),
        (["python", "-m", "deep"], ["deep.py"]),
        (["./prompts/a.md"], ["prompts/a.md"]),
        (["node", "missing.js", "{task}"], []),
        (["cat", "../outside.txt"], []),
    ],
)
def test_a_command_comes_with_the_files_it_names(
    argv: list[str], found: list[str], folder: Path
) -> None:
    (folder.parent / "outside.txt").write_text("x")
    assert names(of_command(argv, folder), folder) == found


def test_further_files_are_named_by_globs_or_absolutely(folder: Path) -> None:
    assert names(matching(["prompts/**/*.md"], folder), folder) == [
        "prompts/a.md",
        "prompts/b/c.md",
    ]
    assert matching(["/etc/passwd"], folder) == [Path("/etc/passwd")]
    asked = ["prompts/*.md", "nothing/*", "/no/such/file", "../*"]
    assert missing(asked, folder) == ["nothing/*", "/no/such/file", "../*"]


def test_a_link_out_of_the_folder_is_not_followed(folder: Path) -> None:
    (folder.parent / "secret.txt").write_text("x")
    (folder / "way_out.txt").symlink_to(folder.parent / "secret.txt")
    assert matching(["*.txt"], folder) == []
    assert of_command(["cat", "way_out.txt"], folder) == []
