"""Processes that are killed in the middle of a write, and what they leave behind."""

from __future__ import annotations

import ast
import json
import time
from pathlib import Path

import msgspec
import pytest

from proofrig.agents import kill_points
from proofrig.agents.kill_points import KillPoint
from proofrig.checkers.checker import Setting
from proofrig.checkers.torn_write import TornWrite
from proofrig.faults._kill_points import KillPoint as Kill
from proofrig.history.action import Entry
from proofrig.observers.files import pattern_of
from watched_program import Program, pythons


def kill(point: str, **more: object) -> dict[str, object]:
    built: dict[str, object] = msgspec.to_builtins(Kill(point, **more))  # type: ignore[arg-type]
    return built


REPLACE = """
import json, tempfile
def save(value):
    with tempfile.NamedTemporaryFile("w", dir="{0}", prefix="t", delete=False) as f:
        json.dump(value, f)
    os.replace(f.name, "shared/state.json")
"""
IN_PLACE = """
import json, pathlib
def save(value):
    pathlib.Path("shared/state.json").write_text(json.dumps(value))
"""
BY_DESCRIPTOR = """
import json
def save(value):
    fd = os.open("shared/state.json", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.write(fd, json.dumps(value).encode())
    os.close(fd)
"""


@pytest.mark.parametrize("observed", [True, False])
@pytest.mark.parametrize(
    ("code", "left"), [(IN_PLACE, '{"name": "'), (BY_DESCRIPTOR, '{"name": "')]
)
def test_mid_bytes_leaves_the_first_bytes(
    tmp_path: Path, code: str, left: str, observed: bool
) -> None:
    program = Program(tmp_path, observed=observed)
    (program.shared / "state.json").write_text('{"name": "before"}')
    at = kill("mid_bytes", path="state.json", bytes=10)
    assert program.run(code + "save({'name': 'after'}); save({})", kill=at) == "killed"
    assert (program.shared / "state.json").read_text() == left
    if observed:
        assert program.told() == [("file.write", "state.json", '{"name": "after"}', "open")]


@pytest.mark.parametrize("folder", ["shared", "."])
def test_a_rename_leaves_the_old_file_or_the_new_one_and_never_half(
    tmp_path: Path, folder: str
) -> None:
    code = REPLACE.format(folder) + "save([1, 2, 3]); save([4, 5, 6])"
    state = ["{}", "{}", "[1, 2, 3]"]
    for number, at in enumerate(
        (
            kill("mid_bytes", path="t*", bytes=3),
            kill("before_rename", path="shared/state.json"),
            kill("before_rename", nth=2),
        )
    ):
        program = Program(tmp_path / str(number))
        (program.shared / "state.json").write_text("{}")
        assert program.run(code, kill=at) == "killed"
        assert (program.shared / "state.json").read_text() == state[number]
    last = [(key, value) for _, key, value, ended in program.told() if ended == "open"]
    assert last[0] == ("state.json", "[4, 5, 6]")
    halves = sorted(path.read_text() for path in (program.work / folder).glob("t*"))
    assert halves == ["[4, 5, 6]"]


def test_the_nth_write_counts_what_reaches_the_system(tmp_path: Path) -> None:
    program = Program(tmp_path)
    code = (
        "with open('shared/a', 'wb') as f:\n"
        "    for n in range(5): f.write(b'%d' % n * 10); f.flush()"
    )
    assert program.run(code, kill=kill("mid_bytes", nth=3, bytes=4)) == "killed"
    assert (program.shared / "a").read_text() == "0" * 10 + "1" * 10 + "2" * 4
    first, cut = program.told()
    assert first == ("file.write", "a", "0" * 10, "open")
    assert cut == ("file.write", "a", "0" * 10 + "1" * 10 + "2" * 10, "open")


@pytest.mark.parametrize(
    ("size", "asked", "left"), [(100, 16, 16), (10, 16, 9), (1, 16, 0), (50, 0, 0)]
)
def test_some_bytes_are_always_missing(tmp_path: Path, size: int, asked: int, left: int) -> None:
    program = Program(tmp_path)
    at = kill("mid_bytes", bytes=asked)
    assert program.run(f"open('shared/a', 'a').write('x' * {size})", kill=at) == "killed"
    assert (program.shared / "a").read_text() == "x" * left


def test_a_star_means_the_shared_files_where_there_are_some(tmp_path: Path) -> None:
    code = "open('log', 'a').write('12345'); open('shared/a', 'w').write('12345')"
    for globs, log in (({"notes": "shared/**"}, "12345"), ({}, "1")):
        program = Program(tmp_path / (log + "x"), globs)
        quiet = "import warnings; warnings.simplefilter('ignore')\n"
        assert program.run(quiet + code, kill=kill("mid_bytes", bytes=1)) == "killed"
        assert (program.work / "log").read_text() == log


def test_a_point_that_is_not_reached_kills_nobody(tmp_path: Path) -> None:
    program = Program(tmp_path)
    code = (
        "import sqlite3, json; c = sqlite3.connect('shared/d.db')\n"
        "c.execute('create table t (a)'); c.commit(); c.close()\n"
        "with open(os.devnull, 'w') as f: f.write('x')\n"
        "with open('shared/b', 'w') as f: json.dump(1, f)\n"
        "print('alive')"
    )
    assert program.run(code, kill=kill("mid_bytes", nth=2)) == "alive"
    assert program.run(code.replace("d.db", "e.db"), kill=kill("before_rename")) == "alive"


def test_nothing_is_cleaned_up(tmp_path: Path) -> None:
    program = Program(tmp_path)
    code = (
        "import atexit; atexit.register(lambda: open('cleaned', 'w').close())\n"
        "try:\n    open('shared/a', 'w').write('12345')\nfinally:\n    os.unlink('shared/a')"
    )
    assert program.run(code, kill=kill("mid_bytes", bytes=2)) == "killed"
    assert (program.shared / "a").read_text() == "12"
    assert not (program.work / "cleaned").exists()


@pytest.mark.parametrize("python", pythons())
def test_every_python_is_killed(tmp_path: Path, python: str) -> None:
    program = Program(tmp_path, python=python)
    code = (
        "import pathlib\np = pathlib.Path('shared')\n"
        "(p / 'n').write_text('12345'); (p / 'n').replace(p / 'a')"
    )
    assert program.run(code, kill=kill("before_rename", path="a")) == "killed"
    assert program.run(code, kill=kill("mid_bytes", path="**/n", bytes=2)) == "killed"
    assert [path.name for path in program.shared.iterdir()] == ["n"]
    assert (program.shared / "n").read_text() == "12"


@pytest.mark.parametrize(
    ("code", "at", "verdict"),
    [
        (IN_PLACE, kill("mid_bytes", bytes=5), "invalid"),
        (BY_DESCRIPTOR, kill("mid_bytes", bytes=5), "invalid"),
        (REPLACE.format("shared"), kill("before_rename"), "valid"),
        (REPLACE.format("."), kill("before_rename"), "valid"),
    ],
)
def test_the_checker_of_torn_writes_understands_it(
    tmp_path: Path, code: str, at: dict[str, object], verdict: str
) -> None:
    program = Program(tmp_path)
    (program.shared / "state.json").write_text("{}")
    read = "with open('shared/state.json') as f: f.read()\n"
    assert program.run(read + code + "save({'name': 'after'})", kill=at) == "killed"
    killed = Entry(0, time.monotonic_ns() - program.origin, "note", "kill", "case:0")
    program.run(read, trial="case:1")
    program.run(code + "save(1)\n" + read, trial="case:2")
    checker = TornWrite(Setting())
    for action in program.actions():
        checker.action(action)
    checker.note(killed)
    assert checker.result().verdict == verdict


@pytest.mark.parametrize(
    ("glob", "path", "fits"),
    [
        ("*", "/w/any/thing", True),
        ("*.json", "/w/any/a.json", True),
        ("shared/*", "/w/shared/a", True),
        ("shared/*", "/w/shared/a/b", False),
        ("/w/shared/**", "/w/shared/a/b", True),
        ("/shared/a", "/w/shared/a", False),
    ],
)
def test_globs(glob: str, path: str, fits: bool) -> None:
    assert KillPoint(kill("mid_bytes", path=glob), pattern_of).fits(path) is fits


def test_is_old_enough() -> None:
    ast.parse(Path(kill_points.__file__).read_text(), feature_version=(3, 9))


def test_reads_what_the_runner_writes() -> None:
    made = KillPoint(json.loads(msgspec.json.encode(Kill("mid_bytes", 2, "*", 7))), pattern_of)
    assert [made.before_bytes("/f", 100), made.before_bytes("/f", 100)] == [None, 7]
