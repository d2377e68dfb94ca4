"""Loading: files, folders, case files and Python; everything wrong at once, each at its place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from proofrig.errors import SuiteError, UsageError
from proofrig.suites.load import case_files, load_suite
from proofrig.suites.suite import Suite

GOOD = """\
suite: demo
agent: {type: "null"}
cases:
  - id: one
    task: Say no.
    verify: [{type: exact, value: no}]
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name: str, text: str) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def told(source: str) -> list[str]:
    with pytest.raises(SuiteError) as caught:
        load_suite(source)
    return [str(problem).splitlines()[0] for problem in caught.value.problems]


def test_a_file_and_its_folder_are_the_same_suite(here: Path) -> None:
    write("s/suite.yaml", GOOD)
    suite = load_suite("s")
    assert suite == load_suite(Path("s/suite.yaml"))
    assert (suite.name, suite.dir) == ("demo", (here / "s").resolve())
    assert suite.cases[0].verify[0].model_dump()["value"] == "no"
    assert suite.cases[0].dir == suite.dir


def test_cases_come_from_files_too_in_order_of_name(here: Path) -> None:
    write("suite.yaml", GOOD + "cases_from: ['cases/**/*.yaml', more.jsonl]\n")
    one = '- {id: %s, task: t, verify: [{type: exact, value: "1"}]}\n'
    write("cases/b.yaml", one % "b")
    write("cases/a/z.yaml", one % "z")
    line = {"task": "t", "verify": [{"type": "exact", "value": "\U0001f600/"}]}
    lines = "\n\n".join(json.dumps({"id": id, **line}) for id in ("j1", "j2"))
    write("more.jsonl", lines + "\n")
    suite = load_suite(".")
    assert [case.id for case in suite.cases] == ["one", "z", "b", "j1", "j2"]
    assert suite.cases_from == ()


def test_each_case_from_a_file_knows_its_line(here: Path) -> None:
    more = "defaults: {tags: [x]}\ncases_from: [more.yaml, more.jsonl]\n"
    write(
        "suite.yaml", GOOD + "  - {id: two, task: t, verify: [{type: exact, value: no}]}\n" + more
    )
    write(
        "more.yaml", "# a comment\n\n- id: three\n  task: t\n  verify: [{type: exact, value: no}]\n"
    )
    line = {"id": "four", "task": "t", "verify": [{"type": "exact", "value": "no"}]}
    write("more.jsonl", "\n" + json.dumps(line) + "\n")
    suite = load_suite(".")
    found = {case.id: case.written_at for case in suite.with_faults((), own=False).cases}
    assert found == {
        "one": (here / "suite.yaml", 4),
        "two": (here / "suite.yaml", 7),
        "three": (here / "more.yaml", 3),
        "four": (here / "more.jsonl", 2),
    }
    assert all("x" in case.tags for case in suite.cases)


def test_resolved_suites_say_the_same_however_they_were_written(here: Path) -> None:
    write("a/suite.yaml", GOOD + "    tags: [x]\n    difficulty: easy\n")
    write("b/suite.yaml", GOOD.split("cases:")[0] + "cases_from: [c.yaml]\ndefaults: {tags: [x]}\n")
    write("b/c.yaml", GOOD.split("cases:\n")[1].replace("  ", "", 1).replace("\n    ", "\n  "))
    write("b/suite.yaml", Path("b/suite.yaml").read_text().replace("[x]", "[x], difficulty: easy"))
    one, other = load_suite("a"), load_suite("b")
    assert one.model_dump() == other.model_dump()
    assert one.digest() == other.digest()


def test_every_problem_of_every_file_is_told_at_once(here: Path) -> None:
    write(
        "suite.yaml",
        """\
suite: demo
agnet: {type: "null"}
repeats: "3"
cases:
  - id: one
    task: t
    asert: [{type: exact, value: a}]
  - id: two
    task: t
  - id: three
    task: t
    world: {databases: {a.db: gone.sql}}
    verify: [{type: exact, value: a}]
  - just text
cases_from: [cases/*.yaml, none/*.yaml, ../up.yaml]
""",
    )
    write(
        "cases/a.yaml",
        "- id: two\n  task: t\n  verify: [{type: exact, value: a}]\n- {id: x, tsk: t}\n",
    )
    write("cases/b.yaml", "- a: b: c\n")
    assert told(".") == [
        "suite.yaml:1:1: `agent` is missing",
        "suite.yaml:2:1: unknown key `agnet`",
        'suite.yaml:3:10: repeats: expected a whole number, got "3"',
        "suite.yaml:7:5: case one: unknown key `asert`",
        "suite.yaml:8:5: case two: the case verifies nothing, so every agent would pass it",
        f"suite.yaml:12:31: case three: there is no file 'gone.sql' in {here}",
        'suite.yaml:14:5: expected a mapping, got "just text"',
        f"suite.yaml:15:28: cases_from[1]: no file matches 'none/*.yaml' in {here}",
        "suite.yaml:15:41: cases_from[2]: expected files inside the suite's folder, "
        "got '../up.yaml'",
        "cases/a.yaml:1:7: case two: the id 'two' is taken by suite.yaml:8",
        "cases/a.yaml:4:11: case x: unknown key `tsk`",
        "cases/b.yaml:1:7: broken YAML: mapping values are not allowed in this context",
    ]


def test_a_broken_line_of_json_does_not_hide_the_next(here: Path) -> None:
    write("suite.yaml", GOOD + "cases_from: [c.jsonl]\n")
    write("c.jsonl", '{"id": "a"\n\n{"id": "b", "id": "c"}\n{"id": "d", "task": "t", "x": 1}\n')
    assert told(".") == [
        "c.jsonl:1:11: broken JSON: Expecting ',' delimiter",
        "c.jsonl:3:1: broken JSON: the key `id` is there twice",
        "c.jsonl:4:1: case d: unknown key `x`",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "suite.yaml:1:1: expected a suite: a mapping with the keys suite, agent and cases"),
        ("- id: a", "suite.yaml:1:1: expected a suite (a mapping), got a list"),
        (GOOD.split("cases:")[0], "suite.yaml:1:1: the suite has no cases"),
        (GOOD.split("cases:")[0] + "cases: []", "suite.yaml:3:1: the suite has no cases"),
        (GOOD.split("cases:")[0] + "cases: {}", "suite.yaml:3:8: cases: expected a list of cases"),
        (GOOD.replace('"null"', "null"), "suite.yaml:2:8: agent: expected text as type, got null"),
        (GOOD + "suite: again", "suite.yaml:7:1: the key `suite` is here a second time"),
    ],
)
def test_what_is_no_suite_is_refused(here: Path, text: str, said: str) -> None:
    write("suite.yaml", text)
    (problem,) = told(".")
    assert problem.startswith(said)


def test_a_suite_that_is_not_there_says_what_was_tried(here: Path) -> None:
    with pytest.raises(UsageError, match=r"suite\.yaml, suite\.yml or suite\.py"):
        load_suite(".")
    with pytest.raises(UsageError, match=r"no file nope\.yaml"):
        load_suite("nope.yaml")
    write("suite.toml", "")
    with pytest.raises(UsageError, match=r"\.yaml or \.py"):
        load_suite("suite.toml")


def test_case_files_stay_inside_and_have_a_known_form(here: Path) -> None:
    write("a.txt", "")
    for pattern, said in (
        ("/etc/*.yaml", "inside the suite"),
        ("../*.yaml", "inside the suite"),
        ("*.toml", "no file matches"),
        ("*.txt", r"\.yaml or \.jsonl"),
    ):
        with pytest.raises(UsageError, match=said):
            case_files(here, pattern)


PYTHON = """\
from proofrig.suites import Case, Suite
from helper import answer

suite = Suite(
    suite="demo",
    agent={"type": "null"},
    cases=[
        Case(id=f"n{n}", task="Say no.", verify=[{"type": "exact", "value": answer}])
        for n in range(COUNT)
    ],
)
"""


def test_python_builds_the_same_objects(here: Path) -> None:
    write("s/suite.py", PYTHON.replace("COUNT", "2"))
    write("s/helper.py", "answer = 'no'\n")
    suite = load_suite("s")
    assert [case.id for case in suite.cases] == ["n0", "n1"]
    assert suite.dir == (here / "s").resolve()
    assert suite.cases[0].verify[0].model_dump()["value"] == "no"


def test_python_that_fails_is_told_with_its_line(here: Path) -> None:
    write("boom.py", "x = 1\n\n1 / 0\n")
    assert told("boom.py") == ["boom.py:3:1: ZeroDivisionError: division by zero"]
    write("typo.py", "x = = 1\n")
    assert told("typo.py") == ["typo.py:1:1: SyntaxError: invalid syntax (typo.py, line 1)"]
    write("keys.py", "from proofrig.suites import Case\n\nCase(id='a', tsk='b')\n")
    assert told("keys.py") == ["keys.py:3:1: unknown key `tsk`"]
    deep = (
        "Case(id='a', task='t',\n  world={'databases': {'a.db': 3}}, verify=[{'type': 'exat'}])\n"
    )
    write("deep.py", f"from proofrig.suites import Case\n{deep}")
    assert told("deep.py") == [
        "deep.py:2:1: world.databases['a.db']: expected SQL, one text or a list of them, got 3",
        "deep.py:2:1: verify[0]: unknown type `exat`",
    ]
    write("none.py", "x = 1\n")
    with pytest.raises(UsageError, match="expected a module-level `suite`"):
        load_suite("none.py")


def test_a_suite_in_memory_is_checked_like_any_other(here: Path) -> None:
    case = {"id": "a", "task": "t"}
    made = Suite.model_validate({"suite": "s", "agent": {"type": "null"}, "cases": [case, case]})
    with pytest.raises(SuiteError) as caught:
        load_suite(made.at(here))
    assert [problem.message for problem in caught.value.problems] == [
        "case a: the case verifies nothing, so every agent would pass it",
        "case a: the id 'a' is taken by an earlier case",
        "case a: the case verifies nothing, so every agent would pass it",
    ]


def test_what_scenarios_name_is_in_the_suite(tmp_path: Path) -> None:
    (tmp_path / "suite.yaml").write_text(
        """suite: s
agent: {type: 'null'}
tenants: {acme: 1, globex: 1}
scenarios:
  burst: {cases: [refund, huors, "tag:slow"]}
  long_stream: {}
  tenant_probe: {owner: acne}
cases:
  - {id: refund, task: x, verify: [{type: exact, value: x}]}
  - {id: hours, task: x, tags: [slower], verify: [{type: exact, value: x}]}
"""
    )
    with pytest.raises(SuiteError) as caught:
        load_suite(tmp_path)
    assert [problem.message for problem in caught.value.problems] == [
        "scenarios.burst.cases: no case is meant by 'huors'",
        "scenarios.burst.cases: no case is meant by 'tag:slow'",
        "scenarios.long_stream.long: no case is meant by 'tag:long'",
        "scenarios.tenant_probe.owner: the tenant 'acne' is not declared",
    ]
    hints = [problem.hint for problem in caught.value.problems]
    assert (hints[0], hints[1]) == ("did you mean 'hours'?", "did you mean 'tag:slower'?")
