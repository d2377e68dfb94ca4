"""What a suite asks of its image, and the digests of the parts that it is built from.

    base      Debian's packages                   shared by images with the same packages
    image     base, requirements, modules to warm
    boot      kernel, the guest's first script    shared by all images

Rules:
1. A digest depends on what was asked for and on where it is built (release, architecture, version
   of this builder), not on names of files, comments or the order of packages.
2. A requirement names a package of the index that pip is configured for. Options and local paths
   are refused: what lies elsewhere would not be in the digest.
"""

from __future__ import annotations

import hashlib
import platform
import re
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from proofrig.errors import UsageError
from proofrig.sandboxes.sandbox import Unavailable

BUILDER = 1  # to be raised with every change of what comes out: images are built anew
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_NAMED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?![A-Za-z0-9._/\\-])")

DebianPackage = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9+.-]+$")]
Module = Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$")]


class Recipe(BaseModel):
    """`sandbox.image` of a suite. Python is Debian's `python3`, and always there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    packages: tuple[DebianPackage, ...] = Field(
        default=(), description="Debian packages besides the essential ones and python3."
    )
    requirements: str | tuple[str, ...] = Field(
        default=(),
        description="What the agent needs of Python: a requirements file, relative to the suite, "
        "or a list of requirements.",
    )
    warm: tuple[Module, ...] | None = Field(
        default=None,
        description="Modules that are imported before a vm is frozen; none: the top-level modules "
        "of the requirements.",
    )

    def lines(self, suite_dir: Path) -> tuple[str, ...]:
        """The requirements, one each. Raises UsageError for a file that is not there and for what
        is no requirement."""
        if isinstance(self.requirements, str):
            path = suite_dir / self.requirements
            try:
                text = path.read_text()
            except (OSError, UnicodeDecodeError) as error:
                raise UsageError(
                    f"sandbox.image.requirements: expected a text file {path}, got: {error}"
                ) from error
            return _requirements(text, str(path))
        return _requirements("\n".join(self.requirements), "sandbox.image.requirements")


class Platform(NamedTuple):
    """What images are built for: this machine."""

    release: str  # such as debian-bookworm
    architecture: str  # as Debian names it


class Digests(NamedTuple):
    """sha256 hex of the three parts, see above."""

    base: str
    image: str
    boot: str


def this_platform() -> Platform:
    """The machine that we are on. Raises Unavailable for one that no image can be built for."""
    machine = platform.machine()
    if machine not in _ARCHITECTURES:
        known = " or ".join(_ARCHITECTURES)
        raise Unavailable(f"images: expected a machine of {known}, got {machine}")
    try:
        said = platform.freedesktop_os_release()
    except OSError:
        said = {}
    release = f"{said.get('ID', 'linux')}-{said.get('VERSION_CODENAME', 'unknown')}"
    return Platform(release, _ARCHITECTURES[machine])


def digests(recipe: Recipe, suite_dir: Path, init: bytes) -> Digests:
    """The digests of a recipe's parts; init: the guest's first script. Raises as `Recipe.lines`
    and `this_platform` do."""
    here = [BUILDER, *this_platform()]
    base = _digest([*here, sorted(set(recipe.packages))])
    image = _digest([base, recipe.lines(suite_dir), recipe.warm])
    return Digests(base, image, _digest([*here, init]))


def named(requirement: str) -> str:
    """The name of the package that a requirement asks for, as dist-info folders write it."""
    found = _NAMED.match(requirement)
    return re.sub(r"[-_.]+", "_", found[0]).lower() if found else ""


def _requirements(text: str, where: str) -> tuple[str, ...]:
    lines: list[str] = []
    for number, line in enumerate(text.replace("\\\n", " ").splitlines(), start=1):
        line = " ".join(re.sub(r"(^|\s)#.*", "", line).split())
        if line and (not named(line) or "file:" in line):
            raise UsageError(
                f"{where}: requirement {number}: expected a package of the index, such as "
                f"'openai>=3', got {line!r}; list what it stands for"
            )
        if line:
            lines.append(line)
    return tuple(lines)


def _digest(value: object) -> str:
    return hashlib.sha256(msgspec.json.encode(value)).hexdigest()
