"""`proofrig doctor` as it is typed: what is chosen, what is printed, how it exits."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from proofrig.cli import doctor
from proofrig.cli.doctor import Check, Unwell, command
from proofrig.errors import UsageError


def well(root: Path, store: str) -> str:
    return f"found {root.name}"


def unwell(root: Path, store: str) -> str:
    raise Unwell("lacks " + "a thing, " * 30 + "so get it")


def broken(root: Path, store: str) -> str:
    raise ZeroDivisionError("oh")


@pytest.mark.parametrize(
    ("check", "state", "found"),
    [
        (Check("a", "g", well), "ok", "found runs"),
        (Check("a", "g", unwell), "FAIL", "lacks a thing"),
        (Check("a", "g", unwell, otherwise="no"), "no", "lacks a thing"),
        (Check("a", "g", broken), "FAIL", "ZeroDivisionError: oh"),
        (Check("a", "g", broken, otherwise="look"), "look", "ZeroDivisionError: oh"),
    ],
    ids=["well", "unwell", "not to be had", "broken", "look"],
)
def test_what_a_check_comes_to(check: Check, state: str, found: str) -> None:
    row = doctor._try(check, Path("runs"), "")
    assert (row.check, row.state) == ("a", state)
    assert row.found.startswith(found)


def test_long_words_stay_in_their_column(capsys: pytest.CaptureFixture[str]) -> None:
    doctor._print(doctor._try(Check("a thing", "g", unwell), Path(), ""))
    first, *others = capsys.readouterr().out.splitlines()
    assert first.startswith("FAIL a thing              lacks a thing, ")
    assert others[-1].endswith("so get it")
    assert all(line[: doctor.INDENT].isspace() and len(line) <= doctor.WIDTH for line in others)


@pytest.mark.parametrize(
    ("word", "names"),
    [
        ("clock", ["clock"]),
        ("vm", ["sandbox: vm"]),
        ("cgroups", ["cgroups"]),
        ("open files", ["open files"]),
        ("basics", [check.name for check in doctor.BASICS]),
    ],
)
def test_what_is_chosen(word: str, names: list[str]) -> None:
    assert [check.name for check in doctor._chosen(word)] == names


def test_everything_is_chosen_when_nothing_is_said() -> None:
    chosen = doctor._chosen("")
    names = [check.name for check in chosen]
    assert {check.name for check in doctor.BASICS} < set(names)
    assert len(names) == len(set(names))
    assert {check.group for check in chosen} == {"basics", "sandboxes"}


def test_a_word_that_no_check_has() -> None:
    with pytest.raises(UsageError, match="'xyzzy' in its name; there are: python, "):
        doctor._chosen("xyzzy")


def roomy(folder: Path) -> SimpleNamespace:
    """What `statvfs` tells of a disk with 7 GiB free, whatever this one has."""
    return SimpleNamespace(f_bavail=7 * doctor.GIB // 4096, f_frsize=4096)


def test_as_a_person_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.statvfs", roomy)
    done = CliRunner().invoke(
        command, ["--only", "place", "--root", str(tmp_path)], standalone_mode=False
    )
    assert done.return_value == 0
    assert done.output.split() == f"ok place for runs {tmp_path} is writable, 7 GiB free".split()


def test_as_a_program_reads_it(tmp_path: Path) -> None:
    words = ["--json", "--only", "open files", "--root", str(tmp_path)]
    done = CliRunner().invoke(command, words, standalone_mode=False)
    assert done.return_value == 0
    (row,) = json.loads(done.output)
    assert (row["check"], row["state"]) == ("open files", "ok")
    assert row["found"].endswith("open files allowed")


def test_a_check_that_fails_is_the_exit_code(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file where a folder is wanted")
    words = ["--only", "place", "--root", str(tmp_path / "runs" / "below")]
    done = CliRunner().invoke(command, words, standalone_mode=False)
    assert done.return_value == 6
    assert done.output.startswith("FAIL place for runs       NotADirectoryError")
