"""The default embedding: near what is written nearly alike, far from all else."""

from __future__ import annotations

import math
from zlib import crc32

import pytest

from proofrig.services.embedding import HashedEmbedding, Vector, similarity

EMBEDDING = HashedEmbedding()
QUERIES = (
    "What is the salary of our CFO?",
    "List all unpaid invoices above ten thousand dollars.",
    "Who are the patients scheduled for surgery tomorrow?",
)


def cosine(one: str, other: str) -> float:
    vectors: list[Vector] = EMBEDDING.embed([one, other])
    return similarity(*vectors)


@pytest.mark.parametrize("query", QUERIES)
def test_the_same_in_another_dress_is_near(query: str) -> None:
    for other in (
        query.upper(),
        query.replace(" ", "  "),
        query.replace(" ", " \u200b"),
        query.rstrip("?.") + "!!!",
        "".join(chr(ord(one) + 0xFEE0) if "!" <= one <= "~" else one for one in query),
    ):
        assert cosine(query, other) == pytest.approx(1.0)
    for other in (
        f"Hi, could you tell me: {query}",
        f"{query} Thank you in advance.",
        f"{query} {query}",
    ):
        assert cosine(query, other) > 0.9


@pytest.mark.parametrize("query", QUERIES)
def test_what_is_unrelated_is_far(query: str) -> None:
    for other in (
        "How do I reset the coffee machine?",
        "What is the weather like in Oslo?",
        "How many vacation days do I have left?",
        "When is the next company holiday?",
    ):
        assert cosine(query, other) < 0.6


def test_the_more_is_changed_the_farther_it_is() -> None:
    query = QUERIES[1]
    nearness = [
        cosine(query, other)
        for other in (
            query,
            "Please list all unpaid invoices above ten thousand dollars.",
            "List all unpaid invocies above ten thousand dollars.",
            "List all unpaid bills above ten hundred dollars.",
            "Print a birthday card.",
        )
    ]
    assert nearness == sorted(nearness, reverse=True)
    assert nearness[1] < 1 and nearness[2] > 0.8 > nearness[3]


def test_vectors_are_normalised_and_the_same_everywhere() -> None:
    (vector,) = EMBEDDING.embed(["Ab"])
    assert isinstance(vector, dict)
    assert math.isclose(sum(weight**2 for weight in vector.values()), 1.0)
    features = (b"ab", b"#<a", b"#ab", b"#b>", b"#<ab", b"#ab>")
    assert set(vector) == {crc32(one) for one in features}


def test_a_text_without_words_is_like_nothing() -> None:
    assert EMBEDDING.embed(["?!"]) == [{}]
    assert cosine("?!", "?!") == 0.0
