"""The contract of an embedding, and the one that needs no download: hashed words and n-grams.

Other packages add theirs as entry points of `proofrig.embeddings`: something that is called with
the model's name (None: its own default) and gives an `Embedding`.

Rules:
1. A vector is normalised; equal texts have equal vectors, in every process and on every machine.
2. `hashed` compares how texts are written, not what they mean: case, punctuation, politeness and
   the order of words count for little, other words for much. It knows no synonyms.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from math import sqrt
from typing import Protocol
from zlib import crc32

from proofrig.errors import UsageError
from proofrig.plugins import find

Vector = Mapping[int, float] | Sequence[float]  # by dimension where most of it is zero

OWN = {
    "hashed": "proofrig.services.embedding:HashedEmbedding",
    "sentence": "proofrig.services.sentence:SentenceEmbedding",
}


class Embedding(Protocol):
    """Texts to vectors. slow: it takes milliseconds a text, so it is called in a thread."""

    slow: bool

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        """One normalised vector for each text."""


def make_embedding(name: str, model: str | None) -> Embedding:
    """The embedding of this name. Raises UsageError when there is none, or it cannot be loaded."""
    known = find("embeddings", OWN)
    if name not in known:
        raise UsageError(
            f"embedding: expected one of {', '.join(sorted(known))}, got {name!r}; packages add "
            "theirs as entry points of proofrig.embeddings"
        )
    make: Callable[[str | None], Embedding] = known[name].load()
    return make(model)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# How much a word tells of what is asked. What a text is about is in the words that are not here.
_POLITE = _words(
    "please kindly thanks thank thx hi hello hey dear much appreciated advance could would can you "
    "tell quick question sorry cheers greetings regards"
)
_FUNCTION = _words(
    "a an the of to in on at by for from with as is are was were be been am do does did has have "
    "had i me my we us our your it its this that these those and or but so if then than there here "
    "what which who whom whose when where why how many all any some no not will shall give show "
    "list s t re ve ll m d"
)
_FORM = _words(
    "answer reply respond sentence sentences word words json short brief briefly table format "
    "bullet points"
)
_WEIGHTS = (
    dict.fromkeys(_FORM, 0.35) | dict.fromkeys(_FUNCTION, 0.45) | dict.fromkeys(_POLITE, 0.08)
)
# A word itself, its n-grams together, and it with the next one. These and the weights above are
# fitted to how often a small sentence encoder hits, mutation by mutation; bench_services prints it.
_WORD, _GRAM, _PAIR = 0.3, 1.0, 0.6
_GRAMS = (2, 3)
_TOKEN = re.compile(r"[^\W_]+")
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")


class HashedEmbedding:
    """Hashed features of words, their letters and their neighbours, each with a fixed weight."""

    slow = False

    def __init__(self, model: str | None = None) -> None:
        if model is not None:
            raise UsageError(f"model: expected none with embedding: hashed, got {model!r}")

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        return [_embedded(text) for text in texts]


def _embedded(text: str) -> dict[int, float]:
    vector: dict[int, float] = {}
    words = _TOKEN.findall(_INVISIBLE.sub("", unicodedata.normalize("NFKC", text)).casefold())
    before = ""
    for word in words:
        for dimension, weight in _features(word):
            vector[dimension] = vector.get(dimension, 0.0) + weight
        if before:
            dimension = crc32(f"{before} {word}".encode())
            both = _PAIR * min(_weight(before), _weight(word))
            vector[dimension] = vector.get(dimension, 0.0) + both
        before = word
    size = sqrt(sum(weight * weight for weight in vector.values()))
    return {dimension: weight / size for dimension, weight in vector.items()} if size else {}


@lru_cache(1 << 16)
def _features(word: str) -> tuple[tuple[int, float], ...]:
    """Dimensions of a word and its n-grams, together as long as the word weighs."""
    weight, edged = _weight(word), f"<{word}>"
    grams = {edged[at : at + n] for n in _GRAMS for at in range(len(edged) - n + 1)}
    each = _GRAM * weight / sqrt(len(grams))
    return ((crc32(word.encode()), _WORD * weight), *_hashed(grams, each))


def _hashed(grams: Iterable[str], weight: float) -> list[tuple[int, float]]:
    return [(crc32(f"#{gram}".encode()), weight) for gram in sorted(grams)]


def _weight(word: str) -> float:
    return _WEIGHTS.get(word, 1.0)


def similarity(one: Vector, other: Vector) -> float:
    """The cosine of two normalised vectors of one embedding."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return sum(weight * other.get(dimension, 0.0) for dimension, weight in one.items())
    return sum(weight * other[dimension] for dimension, weight in enumerate(one))
