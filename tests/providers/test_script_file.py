"""Scripts read from YAML: scalars, and problems with their places."""

from __future__ import annotations

from pathlib import Path

import pytest

from proofrig.errors import SuiteError
from proofrig.providers.prompt import Prompt
from proofrig.providers.script_file import load_script, parse_script


def places(script: str) -> list[tuple[int, int]]:
    with pytest.raises(SuiteError) as caught:
        parse_script(script, "model.yaml")
    assert all(problem.file == "model.yaml" for problem in caught.value.problems)
    return [(problem.line, problem.column) for problem in caught.value.problems]


def test_every_problem_has_its_place() -> None:
    script = "rules:\n  - say: hello\n    chance: 2\n  - say: 5\n    when:\n      trun: 0\n"
    assert places(script) == [(3, 13), (4, 10), (6, 13)]


def test_broken_yaml_and_repeated_keys_have_their_place() -> None:
    assert places("rules:\n  - say: 'x\n") == [(3, 1)]
    assert places("rules:\n  - say: x\n    say: y\n") == [(3, 5)]
    assert places("") == [(0, 0)]


def test_scalars_are_those_of_yaml_1_2() -> None:
    parse_script("rules: [{say: yes}, {say: on}, {say: 1:30}, {say: 2026-01-02}]")
    assert places("rules: [{say: true}]") == [(1, 15)]
    assert places("rules: [{say: 12}, {say: 1.5}, {say: 1e3}]") == [(1, 15), (1, 26), (1, 38)]
    assert places("rules: [{say: null}]") == [(1, 15)]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match=r"nothing\.yaml: expected a script"):
        load_script(tmp_path / "nothing.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"rules: [{say: \xe9}]")
    with pytest.raises(SuiteError, match=r"latin\.yaml: expected a script in UTF-8"):
        load_script(tmp_path / "latin.yaml")


async def test_numbers_are_decimal_whatever_they_begin_with() -> None:
    script = parse_script("rules: [{call: {f: {a: 012, b: -3, c: 0x1f, d: 1e3, e: .5}}}]")
    reply = await script.answer(Prompt(()))
    assert reply.calls[0].parsed() == {"a": 12, "b": -3, "c": 31, "d": 1000.0, "e": 0.5}
