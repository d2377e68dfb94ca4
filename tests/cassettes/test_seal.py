"""Seals of lines and of leaves."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
import pytest

from proofrig.cassettes.seal import chained, changed, leaf_seals, seal_of, sealed

VALUE: dict[str, Any] = {"n": 1, "response": {"choices": [{"message": {"content": "hi"}}], "x": []}}


def test_a_line_carries_its_seal() -> None:
    line, seal = sealed(msgspec.json.encode(VALUE))
    assert seal_of(line) == seal
    assert msgspec.json.decode(line) == VALUE | {"seal": seal}


def test_any_other_byte_breaks_it() -> None:
    line, _ = sealed(msgspec.json.encode(VALUE))
    for at in range(len(line)):
        other = line[:at] + bytes([line[at] ^ 1]) + line[at + 1 :]
        assert seal_of(other) is None
    assert seal_of(line + b" ") is None
    assert seal_of(b"") is None
    assert seal_of(msgspec.json.encode(VALUE)) is None


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        (
            lambda v: v["response"]["choices"][0]["message"].update(content="ho"),
            ["response.choices[0].message.content"],
        ),
        (lambda v: v.update(n=True), ["n"]),
        (lambda v: v["response"].update(x=[1]), ["response.x[0]"]),
        (lambda v: v["response"].update(new=1), ["response.new"]),
        (lambda v: v["response"].pop("x"), ["(a field after response.choices[0].message.content)"]),
        (lambda v: v.pop("n"), ["(a field after the beginning)"]),
        (lambda v: v.update(response=v.pop("response")), []),
    ],
)
def test_the_field_that_was_edited_is_named(edit: Any, named: list[str]) -> None:
    kept = leaf_seals(VALUE)
    value = copy.deepcopy(VALUE)
    edit(value)
    assert changed(value, kept) == named


def test_the_chain_is_of_all_seals_in_their_order() -> None:
    assert len({chained(seals) for seals in (["a", "b"], ["b", "a"], ["a"], [])}) == 4
