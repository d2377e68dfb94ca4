"""The documentation says what is there: verbs, verifiers, links, suites; and nothing else."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml
from pydantic import TypeAdapter

from architecture.test_imports import FLOORS, SRC
from proofrig.agents.reference import Reference
from proofrig.authority.policy import parse_policy
from proofrig.authority.rules import PolicySettings
from proofrig.cli.main import VERBS
from proofrig.conclusion import Options
from proofrig.evaluation import run
from proofrig.providers.script_file import parse_script
from proofrig.suites import Suite, load_suite
from proofrig.suites.scaffold import write_scaffold
from proofrig.verifiers import OWN as VERIFIERS
from proofrig.verifiers import AnyVerifier
from proofrig.yaml12 import parse

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
TUTORIAL = sorted((DOCS / "tutorial").glob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WIDEST = 140  # characters of a line of prose; tables and code may need more

# Told in halves, so that this list does not find itself.
FORBIDDEN = [
    re.compile(first + second)
    for first, second in (
        (r"(?<![\w.}/-])/wo", r"rk/"),  # paths of the machines that a thing was built on
        (r"(?<![\w.}/-])/ro", r"ot\b"),
        (r"\.\./sha", r"red\b"),
        (r"python", r"hosted\.org"),  # hosts of package registries, and lines that name one
        (r"--(extra-)?in", r"dex-url"),
        (r"(?i)//[\w.-]*(pypi|artif", r"actory|nexus)"),
        (r"(?i)co-auth", r"ored-by"),  # who built it
        (r"(?i)(written|generated|built|made) (by|with) (an? )?(ai\b|l", r"lm|claude|gpt|copilot)"),
    )
]
SPOKEN = (
    "README.md",
    "CONTRIBUTING.md",
    "Makefile",
    "pyproject.toml",
    "requirements.lock",
    "action.yml",
    ".ci/run",
)
FOLDERS = (
    *("docs", "changes", "examples", "frameworks", "reactions", "benchmarks", "ci", "src", "tests"),
)
TEXT = {
    *(".md", ".py", ".sh", ".yaml", ".yml", ".txt", ".sql", ".html", ".toml", ".in", ".lock"),
    ".json",
}


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def fences(text: str) -> list[tuple[str, str]]:
    """The fenced blocks of a page as (info line, content)."""
    return [(info.strip(), content) for info, content in FENCE.findall(text)]


@cache
def anchors(path: Path) -> frozenset[str]:
    """What a link into this page may name: its headings, as GitHub writes them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", path.read_text()), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.strip().lower()) for heading in headings)
    return frozenset(heading.replace(" ", "-") for heading in plain)


def dead_links(path: Path) -> Iterator[str]:
    """The relative links of a page that lead nowhere."""
    for link in LINK.findall(FENCE.sub("", path.read_text())):
        target, _, anchor = link.partition("#")
        if ":" in target:
            continue
        meant = (path.parent / target).resolve() if target else path
        if not meant.exists() or (anchor and anchor not in anchors(meant)):
            yield link


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_every_relative_link_resolves(path: Path) -> None:
    assert list(dead_links(path)) == []


def test_a_dead_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Here it is\n[a](#here-it-is) [b](#gone) [c](gone.md) [d](page.md)\n")
    assert list(dead_links(page)) == ["#gone", "gone.md"]


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_lines_of_prose_are_short(path: Path) -> None:
    prose = FENCE.sub("", path.read_text()).splitlines()
    assert [row for row in prose if len(row) > WIDEST and not row.startswith("|")] == []


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_documented(verb: str) -> None:
    written = [page for page in PAGES if f"proofrig {verb}" in page.read_text()]
    assert [name(page) for page in written if page.name != "cli.md"], "by hand, too"
    assert f"## proofrig {verb}\n" in (DOCS / "reference" / "cli.md").read_text()


def test_the_command_line_reference_is_current() -> None:
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None and spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    for target, rendered in generate.PAGES.items():
        assert target.read_text() == rendered(), "run: make docs"


@pytest.mark.parametrize("verifier", VERIFIERS)
def test_every_verifier_is_documented_with_an_example(verifier: str) -> None:
    text = (DOCS / "guides" / "verifiers.md").read_text()
    section = re.search(rf"^### {verifier}\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL)
    assert section, f"expected a heading `### {verifier}`"
    assert f"type: {verifier}" in section[1]


def test_the_verifiers_guide_documents_nothing_else() -> None:
    text = (DOCS / "guides" / "verifiers.md").read_text()
    assert set(re.findall(r"^### (\w+)$", text, re.MULTILINE)) == set(VERIFIERS)


def write_blocks(page: Path, folder: Path) -> Iterator[str]:
    """Write the files that a page shows, in order, yielding each one's name: the info line of a
    block of a file is `yaml suite.yaml`."""
    for info, content in fences(page.read_text()):
        _, _, file = info.partition(" ")
        assert file or not content.startswith("suite:"), f"{name(page)}: a suite without a name"
        if file:
            (folder / file).write_text(content)
            yield file


def test_the_suites_of_the_tutorial_load(tmp_path: Path) -> None:
    write_scaffold(tmp_path)
    written = 0
    for page in TUTORIAL:
        for file in write_blocks(page, tmp_path):
            written += file == "suite.yaml" and bool(load_suite(tmp_path).cases)
    assert written >= 3


async def test_the_tutorial_runs(tmp_path: Path) -> None:
    """Its third page, as a user has it then: the reference passes, and every call is somebody's."""
    write_scaffold(tmp_path)
    for page in TUTORIAL[:3]:
        list(write_blocks(page, tmp_path))
    options = Options(root=tmp_path / "runs", repeats=2)
    _, conclusion = await run(load_suite(tmp_path), tmp_path / "suite.yaml", options)
    overall = conclusion.summary.overall
    assert (conclusion.status, overall.trials, overall.measured) == ("finished", 6, 6)
    assert (overall.reference_passed, overall.null_passed) == (3, 0)
    assert overall.llm_calls >= 12 and not conclusion.summary.unattributed


def examples_in_guides() -> Iterator[tuple[str, object]]:
    """The YAML of the guides as (page, value); a block of several one-line values is several."""
    for page in sorted((DOCS / "guides").glob("*.md")):
        for info, content in fences(page.read_text()):
            if info == "yaml":
                parts = content.splitlines() if content.startswith("{") else [content]
                yield from ((page.name, parse(part).value) for part in parts)


def test_the_examples_of_the_guides_are_valid() -> None:
    """Each is a part of a suite, a policy, a verifier, or a reference, and is read as such."""
    verifier: TypeAdapter[object] = TypeAdapter(AnyVerifier)
    seen = {"suite": 0, "verifier": 0}
    for page, value in examples_in_guides():
        assert isinstance(value, dict), page
        if value.keys() <= Suite.model_fields.keys():
            base = {"suite": "s", "agent": {"type": "null"}}
            Suite.model_validate(base | value)
            seen["suite"] += 1
        elif value.keys() == {"reference"}:
            Reference.model_validate(value["reference"])
        elif value.keys() == {"captures", "rules"}:
            parse_script(yaml.safe_dump(value))
        elif value.keys() <= PolicySettings.model_fields.keys():
            parse_policy(value)
        elif "type" in value:
            verifier.validate_python(value)
            seen["verifier"] += 1
        else:
            assert "jobs" in value, f"{page}: of what is this a part? {value}"
    assert seen["suite"] >= 8 and seen["verifier"] >= len(VERIFIERS)


def test_the_architecture_page_draws_the_floors_that_hold() -> None:
    """Only what is there is drawn: a family that is planned has no folder and no floor yet."""
    text = (DOCS / "architecture.md").read_text()
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", text, re.MULTILINE)
    drawn = {int(number): set(re.findall(r"`(\w+)`", names)) for number, names in rows}
    there = {path.stem for path in SRC.iterdir()}
    assert drawn == {number: floor & there for number, floor in enumerate(FLOORS, start=1)}


def test_the_architecture_page_has_its_six_parts_in_order() -> None:
    headings = re.findall(r"^### (\w+)$", (DOCS / "architecture.md").read_text(), re.MULTILINE)
    assert headings == ["Record", "Control", "World", "Play", "Judge", "Show"]


def test_each_word_of_the_glossary_names_its_place() -> None:
    _, *entries = re.split(r"^### ", (DOCS / "glossary.md").read_text(), flags=re.MULTILINE)
    assert len(entries) >= 50
    assert [entry.splitlines()[0] for entry in entries if "](../src/" not in entry] == []


def test_every_example_has_a_readme() -> None:
    folders = [path for path in (ROOT / "examples").iterdir() if path.is_dir()]
    assert [name(path) for path in folders if not (path / "README.md").is_file()] == []


def test_decisions_are_numbered_without_gaps() -> None:
    files = sorted(path.name for path in (DOCS / "decisions").glob("*.md"))
    assert [file[:5] for file in files] == [f"{n:04}-" for n in range(1, len(files) + 1)]
    for number, file in enumerate(files, start=1):
        assert (DOCS / "decisions" / file).read_text().startswith(f"# {number:04} "), file


def test_changes_are_named_as_their_readme_says() -> None:
    fragments = [path.name for path in (ROOT / "changes").iterdir() if path.name != "README.md"]
    wanted = re.compile(r"\d{4}-[a-z0-9-]+\.(feature|fix|change)\.md")
    assert [file for file in fragments if not wanted.fullmatch(file)] == []


def spoken() -> Iterator[Path]:
    """Every text of the project."""
    yield from (ROOT / file for file in SPOKEN)
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            hidden = any(part.startswith((".", "__")) for part in path.relative_to(ROOT).parts[:-1])
            if path.suffix in TEXT and path.is_file() and not hidden:
                yield path


def test_the_project_speaks_of_itself_alone() -> None:
    found = [
        f"{name(path)}: {match[0]}"
        for path in spoken()
        for pattern in FORBIDDEN
        if (match := pattern.search(path.read_text("utf-8", "replace")))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("see /wo" + "rk/main", True),
        ("cd /ro" + "ot", True),
        ("in ../sha" + "red/notes", True),
        ("https://files.python" + "hosted.org/x", True),
        ("made by an A" + "I", True),
        ("tenant/work" + "flow/agent", False),
        ("{suite}/ro" + "ot/x", False),
        ("the shared mode", False),
    ],
)
def test_forbidden_words_are_found(text: str, found: bool) -> None:
    assert any(pattern.search(text) for pattern in FORBIDDEN) == found
