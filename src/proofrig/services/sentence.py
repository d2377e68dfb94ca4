"""A sentence embedding: what texts mean, from a static model of `model2vec`.

Rules:
1. The library and its model are loaded when the cache is made, and never before: an extra brings
   them.
2. A model is a folder, or a name that the library downloads once into its own cache.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from math import sqrt
from typing import Any

from proofrig.errors import UsageError
from proofrig.services.embedding import Vector

DEFAULT = "minishlab/potion-base-8M"
INSTALL = "pip install 'proofrig[sentence]'"


class SentenceEmbedding:
    """Raises UsageError when the library is not installed, or the model cannot be had."""

    slow = False  # a static model looks words up: some ten microseconds a text

    def __init__(self, model: str | None = None) -> None:
        name = model or DEFAULT
        try:
            library: Any = importlib.import_module("model2vec")
        except ImportError as error:
            raise UsageError(
                f"embedding: sentence needs model2vec, which is not installed: {INSTALL}"
            ) from error
        try:
            self._model = library.StaticModel.from_pretrained(name)
        except Exception as error:  # the library's own, the network's, the file system's
            raise UsageError(
                f"embedding: sentence: expected a model at {name!r}, could not load it: "
                f"{type(error).__name__}: {str(error)[:300]}. Name a folder that holds one "
                "(`model:`), or let this machine reach the place it comes from"
            ) from error

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        return [_normalised(row) for row in self._model.encode(list(texts)).tolist()]


def _normalised(row: list[float]) -> list[float]:
    size = sqrt(sum(number * number for number in row))
    return [number / size for number in row] if size else row
