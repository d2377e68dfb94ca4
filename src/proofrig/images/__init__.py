"""Images: what lies around the agent in a box, built from Debian packages and its requirements.

    recipe ──▶ digest ──▶ find ──▶ Image          a run: only looks
                  ╰─────▶ build ──▶ Image          `proofrig image build`

Rules:
1. A run never builds: what is not there is Unavailable, with the command that builds it.
2. Nothing of a package runs as root here: Debian packages are unpacked, not installed; of Python's
   only wheels are taken.
3. A digest is that of what was asked for, so that it is known without a network. What was got, to
   the version, stands in the image's `image.json`.
"""

from __future__ import annotations

from proofrig.images.build import Progress, build, find
from proofrig.images.recipe import Recipe
from proofrig.images.store import Built

__all__ = ["Built", "Progress", "Recipe", "build", "find"]
