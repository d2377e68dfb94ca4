"""The sentence embedding: what is said without its library, and with a model in a folder."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from proofrig.errors import UsageError
from proofrig.services.embedding import make_embedding, similarity


def test_without_its_library_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "model2vec", None)
    with pytest.raises(UsageError, match=r"pip install 'proofrig\[sentence\]'"):
        make_embedding("sentence", None)


def test_a_model_that_is_not_there_is_said(tmp_path: Path) -> None:
    pytest.importorskip("model2vec")
    with pytest.raises(UsageError, match="expected a model at"):
        make_embedding("sentence", str(tmp_path / "nowhere"))


def test_a_model_in_a_folder_is_loaded(tmp_path: Path) -> None:
    model2vec = pytest.importorskip("model2vec")
    import numpy
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {"[UNK]": 0, "salary": 1, "pay": 2, "egg": 3}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    vectors = numpy.array([[0, 0], [3, 4], [4, 3], [-4, 3]], dtype="float32")
    model2vec.StaticModel(vectors, tokenizer).save_pretrained(tmp_path)
    embedding = make_embedding("sentence", str(tmp_path))
    salary, pay, egg = embedding.embed(["salary", "pay", "egg"])
    assert similarity(salary, salary) == pytest.approx(1.0)
    assert similarity(salary, pay) == pytest.approx(0.96)
    assert similarity(salary, egg) == pytest.approx(0.0, abs=1e-6)
