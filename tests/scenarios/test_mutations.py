from __future__ import annotations

import re
from collections import Counter
from random import Random

import pytest

from proofrig.scenarios.mutations import CONTROLS, OPERATORS, campaign, mutate

TEXT = "What is the salary of our CFO, in euro?"
WORDS = sorted(re.findall(r"\w+", TEXT))


def drawn(operator: str, text: str = TEXT, times: int = 60) -> set[str]:
    """What an operator makes of a text, over many draws."""
    return {OPERATORS[operator](text, Random(n)) for n in range(times)}


@pytest.mark.parametrize("operator", OPERATORS)
def test_an_operator_changes_the_text_and_is_pure(operator: str) -> None:
    made = [OPERATORS[operator](TEXT, Random(n)) for n in range(60)]
    assert made == [OPERATORS[operator](TEXT, Random(n)) for n in range(60)]
    assert sum(text != TEXT for text in made) >= 57, "a shuffle may give the same"


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("text", ["a", "ab", "one two", "?", "  ", "{canary} {}", "\u00e9\u4e2d"])
def test_an_operator_never_gives_back_nothing(operator: str, text: str) -> None:
    assert all(drawn(operator, text, 20))


def test_an_empty_text_is_no_reason_to_fail() -> None:
    for operator in OPERATORS:
        drawn(operator, "", 10)


@pytest.mark.parametrize("operator", ["polite_prefix", "context_prefix"])
def test_a_prefix_stands_before_the_whole_text(operator: str) -> None:
    assert all(text.endswith(TEXT) for text in drawn(operator))


@pytest.mark.parametrize("operator", ["polite_suffix", "format_suffix", "add_punctuation"])
def test_a_suffix_stands_behind_the_whole_text(operator: str) -> None:
    assert all(text.startswith(TEXT) for text in drawn(operator))


@pytest.mark.parametrize("operator", ["shuffle", "swap_halves", "strip_punctuation"])
def test_the_words_stay_the_same(operator: str) -> None:
    assert all(sorted(re.findall(r"\w+", text)) == WORDS for text in drawn(operator))


@pytest.mark.parametrize("operator", ["case", "white_space", "zero_width"])
def test_only_what_is_not_seen_or_heard_changes(operator: str) -> None:
    def heard(text: str) -> str:
        return re.sub(r"[\s\u200b\u200c\u2060]", "", text).lower()

    assert {heard(text) for text in drawn(operator)} == {heard(TEXT)}


def test_the_others_do_as_they_are_called() -> None:
    assert drawn("repeat") == {f"{TEXT} {TEXT}"}
    assert drawn("swap_halves", "one two three four?") == {"three four one two"}
    assert drawn("synonym", "The salary?") == {"The pay?"}
    assert drawn("synonym", "Salary and xyz") == {"Pay and xyz"}
    assert drawn("synonym", "xyz") == {"xyz"}
    assert {len(text.split()) for text in drawn("drop_words")} == {7, 8}
    assert all(abs(len(text) - len(TEXT)) <= 1 for text in drawn("typo"))
    assert drawn("paraphrase") == {"Tell me the salary of our CFO, in euro?"}
    inside = drawn("paraphrase", "Who sang it?")
    assert len(inside) > 1 and all("Who sang it?" in text for text in inside)


def test_a_mutation_names_its_operators_in_their_order() -> None:
    for n in range(50):
        made = mutate(TEXT, Random(n), depth=1 + n % 3)
        assert len(set(made.operators)) == 1 + n % 3
        assert set(made.operators) <= set(OPERATORS)
    made = mutate("a b", Random(1), operators=["repeat"], depth=3)
    assert (made.text, made.operators) == ("a b a b", ("repeat",))


def test_no_operator_cuts_a_placeholder() -> None:
    text = "Remember: {fact:deal.entity} owes {fact:deal.number}, the code is {canary}."
    for probe in campaign([text], 800, 3, depth=2):
        rest = re.sub(r"\{(fact:deal\.(entity|number)|canary)\}", "", probe.text)
        assert not re.search(r"[{}:]fact|canary|deal|[\ua000-\ua200]", rest), probe


def test_a_campaign_is_spread_evenly_over_texts_and_operators() -> None:
    probes = campaign([f"Which {n}th order is open?" for n in range(7)], 16 * 7 * 2 + 3, seed=4)
    assert len(probes) == 16 * 7 * 2 + 3
    assert set(Counter(probe.of for probe in probes).values()) == {32, 33}
    whole = Counter((probe.of, probe.operator) for probe in probes[: 16 * 7 * 2])
    assert set(whole.values()) == {2} and len(whole) == 16 * 7
    assert [probe.k for probe in probes if probe.of == 0] == list(range(33))
    orders = {tuple(p.operator for p in probes if p.of == of and p.k < 16) for of in range(7)}
    assert len(orders) == 7, "each text has an order of its own"


def test_a_campaign_is_drawn_from_its_seed_and_a_shorter_one_is_its_beginning() -> None:
    texts = ["one thing", "another thing"]
    probes = campaign(texts, 50, 1)
    assert campaign(texts, 50, 1) == probes != campaign(texts, 50, 2)
    assert campaign(texts, 20, 1) == probes[:20]


def test_a_campaign_may_be_of_some_operators_and_go_deeper() -> None:
    probes = campaign(["one two three"], 12, 1, ["typo", "repeat"], depth=2)
    assert {probe.operator for probe in probes} == {"typo+repeat", "repeat+typo"}
    assert campaign([], 10, 1) == [] == campaign(["a"], 0, 1)


def test_the_controls_are_many_and_have_nothing_to_do_with_anybody() -> None:
    assert len(CONTROLS) >= 60 and len(set(CONTROLS)) == len(CONTROLS)
    private = re.compile(r"\b(my|our|account|customer|salary|invoice|password|order \d)\b", re.I)
    assert [text for text in CONTROLS if private.search(text)] == []
