"""What a cassette says about itself.

<cassette>/manifest.json     this
           exchanges.jsonl   one exchange a line
           seals.jsonl       digests of their leaves
           blobs/<digest>    big bodies
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

from proofrig.errors import UsageError

FORMAT = 1
FILE, EXCHANGES, SEALS, BLOBS = "manifest.json", "exchanges.jsonl", "seals.jsonl", "blobs"


class Redaction(msgspec.Struct, kw_only=True):
    """What was taken out. salt: hex; equal secrets have equal tags under one salt. taken: kind ->
    how often; `headers` are those that are not kept, `unread` bodies that could not be searched."""

    salt: str
    taken: dict[str, int] = {}


class Seal(msgspec.Struct):
    """Of a finished recording. digest: of the seals of all lines."""

    exchanges: int
    digest: str


class Manifest(msgspec.Struct, kw_only=True):
    """The manifest. suite: its name and digest. run: whose recording it is. canonical: the id and
    the rules of the canonical form that its `req_hash` are digests of. counts: `exchanges`,
    `trials`, `bytes`, and one for each channel. seal: None until the recording has ended."""

    format: int = FORMAT
    proofrig: str = msgspec.field(default_factory=lambda: metadata.version("proofrig"))
    suite: dict[str, str] = {}
    run: str = ""
    seed: int = 0
    canonical: dict[str, Any] = {}
    redaction: Redaction
    counts: dict[str, int] = {}
    seal: Seal | None = None

    @property
    def salt(self) -> bytes:
        return bytes.fromhex(self.redaction.salt)


def write(directory: Path, manifest: Manifest) -> None:
    """Put it into the directory, whole or not at all."""
    fresh = directory / f"{FILE}.tmp"
    fresh.write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
    fresh.replace(directory / FILE)


def read(directory: Path) -> Manifest:
    """The manifest of a cassette. Raises UsageError when there is none that can be read."""
    path = directory / FILE
    try:
        body = path.read_bytes()
        said = msgspec.json.decode(body, type=dict[str, Any]).get("format")
        if said != FORMAT:
            raise UsageError(
                f"{path}: expected a cassette of format {FORMAT}, got {said!r}. Record it again, "
                "or use the proofrig that made it."
            )
        manifest = msgspec.json.decode(body, type=Manifest)
        bytes.fromhex(manifest.redaction.salt)
    except FileNotFoundError:
        raise UsageError(
            f"{directory}: expected a cassette, found no {FILE}. Make one with `proofrig record`."
        ) from None
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, OSError) as error:
        raise UsageError(f"{path}: expected a cassette's manifest: {error}") from error
    return manifest
