"""What each level needs to be tried here: the image of its boxes, made once per session."""

from __future__ import annotations

import shutil

import pytest

from proofrig.sandboxes.sandbox import Image, Level
from small_image import small_image
from vm_image import missing, plain_image

# Any one of these programs is enough for the level.
PROGRAMS: dict[Level, tuple[str, ...]] = {
    "namespace": ("bwrap",),
    "container": ("podman", "docker"),
    "gvisor": ("runsc",),
}


def image_for(level: Level, folders: pytest.TempPathFactory) -> Image:
    """Skips with what is not installed."""
    if level == "vm":
        if missing:
            pytest.skip(f"needs: apt-get install {' '.join(missing)}")
        return plain_image()
    programs = PROGRAMS.get(level, ())
    if programs and not any(map(shutil.which, programs)):
        pytest.skip(f"needs: apt-get install {programs[0]}")
    if level in ("process", "namespace"):
        return Image()
    root = folders.getbasetemp() / "security-image"
    if root.exists():
        return _made[str(root)]
    _made[str(root)] = small_image(root)
    return _made[str(root)]


_made: dict[str, Image] = {}
