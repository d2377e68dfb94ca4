"""Input and output pairs computed with independent libraries (tests/data/stats_vectors.json)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

FILE = Path(__file__).parent / "data" / "stats_vectors.json"


def vectors(group: str, *, prefix: str = "") -> list:
    """The vectors of a group whose id begins with `prefix`, as parameters named by id."""
    found = [
        vector
        for vector in json.loads(FILE.read_text())["vectors"]
        if vector["group"] == group and vector["id"].startswith(prefix)
    ]
    assert found, f"no vector {group}/{prefix}*"
    return [pytest.param(vector, id=vector["id"]) for vector in found]
