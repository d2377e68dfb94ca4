"""The image that tests of vms start from: the plain one, built once for this user's cache."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path

import pytest

from proofrig.images import Recipe, build
from proofrig.sandboxes.sandbox import Image

TOOLS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "sqfstar": "squashfs-tools",
    "mkfs.ext4": "e2fsprogs",
}
missing = [package for tool, package in TOOLS.items() if shutil.which(tool) is None]
needs_vm = pytest.mark.skipif(bool(missing), reason=f"needs: apt-get install {' '.join(missing)}")


@cache
def plain_image() -> Image:
    """Built when it is not there, which takes a minute and Debian's packages."""
    return build(Recipe(), Path(), lambda step: None)
