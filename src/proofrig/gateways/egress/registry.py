"""Which package a request fetches, told by the shape of its path.

Rules:
1. Only a path whose shape belongs to one manager counts: a wheel, a source archive below
   `/packages/`, a tarball below `/-/`, a `.deb`. Whose host it is does not matter: mirrors count.
2. What was fetched need not have been installed: that is told by the files of the box.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

LONGEST = 400  # characters of a file's name

_NAME = r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)"
_VERSION = r"(?P<version>[0-9][A-Za-z0-9.+!~_:-]*?)"
_WHEEL = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._]*)-(?P<version>[0-9][^-]*)"
    r"(?:-[^-]+){3,4}\.whl(?P<part>\.metadata)?"
)
_SOURCE = re.compile(rf"{_NAME}-{_VERSION}\.(?:tar\.gz|zip)")
_TARBALL = re.compile(rf"{_NAME}-{_VERSION}\.tgz")
_DEB = re.compile(rf"(?P<name>[a-z0-9][a-z0-9+.-]*)_{_VERSION}_[a-z0-9]+\.deb")


class Fetched(NamedTuple):
    """A package that is fetched. metadata: not itself, but what it says of itself."""

    manager: str
    name: str
    version: str
    metadata: bool

    def facts(self) -> dict[str, Any]:
        """For the action that fetches it."""
        said = {"manager": self.manager, "package": self.name, "version": self.version}
        return said | ({"metadata": True} if self.metadata else {})


def fetched(path: str) -> Fetched | None:
    """The package that a path of a registry names; None when it names none."""
    folder, _, file = path.rpartition("/")
    shapes = [("pip", _WHEEL, ""), ("apt", _DEB, "")]
    if "/packages/" in f"{folder}/":
        shapes.append(("pip", _SOURCE, ""))
    if folder.endswith("/-"):
        above = folder.split("/")[-3:-2]
        scope = f"{above[0]}/" if above and above[0].startswith("@") else ""
        shapes.append(("npm", _TARBALL, scope))
    for manager, shape, before in shapes if len(file) <= LONGEST else ():
        if (found := shape.fullmatch(file)) is not None:
            parts = found.groupdict()
            name = before + parts["name"]
            return Fetched(manager, name, parts["version"], bool(parts.get("part")))
    return None
