"""The manifest, and what is no cassette."""

from __future__ import annotations

from pathlib import Path

import pytest

from proofrig.cassettes.manifest import FILE, FORMAT, Manifest, Redaction, Seal, read, write
from proofrig.errors import UsageError


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    manifest = Manifest(
        suite={"name": "s", "digest": "d"},
        seed=7,
        canonical={"id": "c"},
        redaction=Redaction(salt="00ff", taken={"openai-key": 2}),
        counts={"exchanges": 1},
        seal=Seal(1, "abc"),
    )
    write(tmp_path, manifest)
    assert read(tmp_path) == manifest
    assert manifest.salt == b"\x00\xff"
    assert manifest.proofrig


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (None, "expected a cassette, found no manifest.json"),
        ("{", "expected a cassette's manifest"),
        ("[]", "expected a cassette's manifest"),
        ('{"format": 99}', f"expected a cassette of format {FORMAT}, got 99"),
        (f'{{"format": {FORMAT}}}', "redaction"),
        (f'{{"format": {FORMAT}, "redaction": {{"salt": "xx"}}}}', "hexadecimal"),
    ],
)
def test_what_is_no_cassette_is_refused(tmp_path: Path, body: str | None, said: str) -> None:
    if body is not None:
        (tmp_path / FILE).write_text(body)
    with pytest.raises(UsageError, match=said):
        read(tmp_path)
