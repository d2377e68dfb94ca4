"""Whether KVM works here.

That `/dev/kvm` opens and makes machines says little: on some hosts a guest then stands still. So
KVM works when a guest has come up under it, and what was found out is remembered until this host
is booted again. Rules:
1. What is remembered is a file in the cache, named after the boot.
2. A device that cannot be opened needs no probe, and is not remembered.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

BOOT = Path("/proc/sys/kernel/random/boot_id")
DEVICE = "/dev/kvm"
TIMEOUT_S = 20.0  # for a guest under KVM on a busy machine; it needs one or two


def refused() -> str:
    """Why KVM cannot even be tried; "" when it can."""
    try:
        os.close(os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return f"{DEVICE}: {error.strerror}"
    return ""


def remembered(cache: Path) -> str | None:
    """Why it does not work; "" when it does; None when that was not tried since the boot."""
    try:
        found = json.loads(_file(cache).read_text())
    except (OSError, ValueError):
        return None
    return str(found.get("refused", "")) if isinstance(found, dict) else None


def remember(cache: Path, why: str) -> None:
    """Note why it does not work, "" when it does, and forget earlier boots."""
    file = _file(cache)
    file.parent.mkdir(parents=True, exist_ok=True)
    for old in file.parent.glob("kvm-*.json"):
        old.unlink(missing_ok=True)
    file.write_text(json.dumps({"refused": why}))


def _file(cache: Path) -> Path:
    return cache / f"kvm-{BOOT.read_text().strip()}.json"
