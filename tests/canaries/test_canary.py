from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

from proofrig.canaries.canary import ALPHABET, Canary, fill, mint, mint_fact, planted
from proofrig.errors import UsageError

NAMES = [f"n{n}" for n in range(300)]


def test_a_token_is_a_hundred_bits_in_crockfords_alphabet() -> None:
    tokens = [mint(1, "acme", name).token for name in NAMES]
    assert all(re.fullmatch(rf"[{ALPHABET}]{{20}}", token) for token in tokens)
    assert len(set(tokens)) == len(tokens)
    for place in range(20):
        assert len({token[place] for token in tokens}) == 32, "each character is drawn"


def test_a_canary_depends_on_seed_tenant_and_name_alone() -> None:
    assert mint(1, "acme", "a") == mint(1, "acme", "a")
    drawn = [mint(1, "acme", "a"), mint(2, "acme", "a"), mint(1, "bolt", "a"), mint(1, "acme")]
    assert len({one.token for one in drawn}) == 4
    assert mint(1, "ab", "c").token != mint(1, "a", "bc").token, "parts do not run together"


def test_a_fact_is_a_name_of_two_words_and_an_odd_number_that_is_not_round() -> None:
    facts = [mint_fact(1, "acme", name) for name in NAMES]
    for fact in facts:
        assert re.fullmatch(r"[A-Z][a-z]{6,} [A-Z][a-z]{6,}", fact.entity)
        assert 5 <= len(str(fact.number)) <= 7
        assert fact.number % 2 == 1 and fact.number % 10 != 5
    assert len({fact.entity for fact in facts}) == len(facts)
    assert facts[0] == mint_fact(1, "acme", NAMES[0])


@pytest.mark.parametrize("canary", [mint(1, "acme", "a"), mint_fact(1, "acme", "a")])
def test_what_stands_on_the_history_is_the_canary(canary: Canary) -> None:
    assert planted(canary.attrs) == msgspec.structs.replace(canary, name="")


TOKEN, OTHER = mint(7, "acme").token, mint(7, "acme", "vault").token
FACT, DEAL = mint_fact(7, "acme"), mint_fact(7, "acme", "deal")


@pytest.mark.parametrize(
    ("text", "filled", "canaries"),
    [
        ("nothing here {x} {}", "nothing here {x} {}", 0),
        ("key {canary}", f"key {TOKEN}", 1),
        ("{canary} {canary} {canary:vault}", f"{TOKEN} {TOKEN} {OTHER}", 2),
        ("{fact.entity} owes {fact.number}", f"{FACT.entity} owes {FACT.number}", 1),
        ("{fact:deal.entity}: {fact:deal.number}", f"{DEAL.entity}: {DEAL.number}", 1),
        (
            '{"a": "{canary}", "fact": {"canary": 1}}',
            f'{{"a": "{TOKEN}", "fact": {{"canary": 1}}}}',
            1,
        ),
        ("{factory} {canary_bird} {{canary}}", f"{{factory}} {{canary_bird}} {{{TOKEN}}}", 1),
    ],
)
def test_placeholders_become_the_tenants_canaries(text: str, filled: str, canaries: int) -> None:
    got, used = fill(text, "acme", 7)
    assert (got, len(used)) == (filled, canaries)
    assert {one.tenant for one in used} <= {"acme"}


def test_json_is_filled_in_keys_and_values_and_keeps_its_shape() -> None:
    value: dict[str, Any] = {"{canary}": [1, None, {"n": ("{fact.number}", 2.5)}], "x": True}
    got, used = fill(value, "acme", 7)
    assert got == {TOKEN: [1, None, {"n": (str(FACT.number), 2.5)}], "x": True}
    assert [one.form for one in used] == ["token", "fact"]
    assert value["x"] is True and "{canary}" in value, "what was given is not changed"


def test_every_placeholder_that_cannot_be_read_is_named() -> None:
    with pytest.raises(UsageError) as raised:
        fill(["{canary.number} {canary}", {"a": "{fact} {fact.name} {fact:x}"}], "acme", 7)
    for wrong in ("{canary.number}", "{fact}", "{fact.name}", "{fact:x}", "expected {canary}"):
        assert wrong in str(raised.value)
