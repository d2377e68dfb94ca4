"""Scripts read from YAML: problems with their places, in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from proofrig.errors import SuiteError
from proofrig.providers.prompt import Prompt
from proofrig.providers.script_file import load_script, parse_script


def told(script: str | bytes) -> list[str]:
    """The problems, without their hints."""
    with pytest.raises(SuiteError) as caught:
        parse_script(script, "m")
    return [str(problem).splitlines()[0] for problem in caught.value.problems]


def test_every_problem_has_its_place() -> None:
    script = "rules:\n  - say: hello\n    chance: 2\n  - say: 5\n    when:\n      trun: 0\n"
    assert told(script) == [
        "m:3:13: rules[0].chance: expected a number less than or equal to 1, got 2",
        "m:4:10: rules[1].say: expected text, got 5",
        "m:6:7: rules[1].when: unknown key `trun`",
    ]


def test_a_key_of_another_name_in_the_model_is_found() -> None:
    assert told("rules:\n  - say: x\n    when: {turn: 1, if: [a]}") == [
        'm:3:25: rules[0].when.if: expected text, got ["a"]'
    ]


def test_calls_may_be_a_mapping_or_a_list_and_nothing_else() -> None:
    parse_script("rules: [{call: {f: {}}}, {call: [{f: {}}, {f: {}}]}]")
    assert told("rules: [{call: f}]") == [
        'm:1:16: rules[0].call: expected a mapping or a list, got "f"'
    ]
    assert told("rules: [{call: [{f: 1}]}]") == [
        "m:1:21: rules[0].call[0].f: expected a mapping, got 1"
    ]


def test_what_is_no_script_has_its_place() -> None:
    assert told("rules:\n  - say: 'x\n") == ["m:2:10: broken YAML: found unexpected end of stream"]
    (twice,) = told("rules:\n  - say: x\n    say: y\n")
    assert twice.startswith("m:3:5: the key `say` is here a second time")
    assert told("") == ["m:1:1: expected a mapping, got null"]
    assert told(b"rules: [{say: \xe9}]") == ["m:1:15: not UTF-8: byte 0xe9"]


def test_a_text_that_cannot_be_compiled_names_its_rule() -> None:
    assert told("rules: [{say: x, name: last, when: {if: 'turn ='}}]")[0].startswith(
        "m: rule 'last': "
    )


def test_scalars_are_those_of_yaml_1_2() -> None:
    parse_script("rules: [{say: yes}, {say: on}, {say: 1:30}, {say: 2026-01-02}]")
    assert len(told("rules: [{say: true}, {say: 12}, {say: 1e3}, {say: null}]")) == 4


async def test_numbers_reach_the_arguments_of_a_call_as_written() -> None:
    script = parse_script("rules: [{call: {f: {a: 012, b: -3, c: 0x1f, d: 1e3, e: .5}}}]")
    reply = await script.answer(Prompt(()))
    assert reply.calls[0].parsed() == {"a": 12, "b": -3, "c": 31, "d": 1000.0, "e": 0.5}


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match=r"nothing\.yaml: expected a script, got: No such file"):
        load_script(tmp_path / "nothing.yaml")
