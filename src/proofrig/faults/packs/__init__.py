"""Ready packs of faults, one YAML file each: a list of faults as a suite writes them."""

from __future__ import annotations

import functools
from importlib.resources import files
from typing import Any

from proofrig.yaml12 import parse

PACKS = ("flaky-network", "provider-bad-day", "rate-limited", "auth-expiry", "hostile-data")


@functools.cache
def pack(name: str) -> tuple[dict[str, Any], ...]:
    """The faults of a pack. `name` is one of `PACKS`."""
    text = files(__name__).joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    return tuple(parse(text, f"{name}.yaml").value)
