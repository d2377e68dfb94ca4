"""Debian packages, from the sources that this machine's apt is configured for.

Rules:
1. The machine's own packages are neither looked at nor changed: apt gets a state of its own, in
   which nothing is installed. No rights are needed.
2. apt checks signatures and hashes, as always; what is already here is checked again and kept.
3. Nothing that the machine's apt does after its work (hooks) is done.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from proofrig.images.recipe import Platform
from proofrig.images.tools import run

# All that Debian's packages may rely on without saying so, but apt, which claims to be needed.
ESSENTIAL = "?and(?essential,?not(?name(^apt$)))"
_INSTALL = re.compile(r"^Inst (\S+) \((\S+) [^\[]*\[(\w+)\]\)", re.MULTILINE)

_CONFIGURATION = """\
Dir::State "{folder}";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}";
Dir::Cache::pkgcache "packages.bin";
Dir::Cache::srcpkgcache "sources.bin";
Debug::NoLocking "true";
APT::Install-Recommends "false";
APT::Sandbox::User "root";
APT::Architecture "{architecture}";
#clear APT::Architectures;
APT::Architectures {{ "{architecture}"; }};
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Post-Invoke;
"""


class Deb(NamedTuple):
    """A package in one version."""

    name: str
    version: str
    architecture: str

    @property
    def file(self) -> str:
        """The name of its file, as apt writes it."""
        return f"{self.name}_{self.version.replace(':', '%3a')}_{self.architecture}.deb"


class Debian:
    """Resolves and fetches packages. `folder` is kept from one build to the next."""

    def __init__(self, folder: Path, platform: Platform) -> None:
        self._folder = folder.absolute()
        self._archives = self._folder / "archives"
        self._configuration = self._folder / "apt.conf"
        for below in ("lists/partial", "archives/partial"):
            (self._folder / below).mkdir(parents=True, exist_ok=True)
        (self._folder / "status").write_bytes(b"")
        self._configuration.write_text(
            _CONFIGURATION.format(folder=self._folder, architecture=platform.architecture)
        )

    def update(self) -> None:
        """Ask the sources what there is. Raises Unavailable."""
        self._apt("update", "-qq", doing="read the lists of Debian's packages")

    def resolve(self, wanted: Sequence[str]) -> list[Deb]:
        """The packages with all that they depend on. Raises Unavailable."""
        doing = f"find {', '.join(wanted)} and what they depend on"
        plan = self._apt("install", "--simulate", "-qq", *wanted, doing=doing)
        return [Deb(*found) for found in _INSTALL.findall(plan)]

    def fetch(self, packages: Sequence[Deb]) -> list[Path]:
        """The files of the packages, in the order given. Raises Unavailable."""
        asked = [f"{deb.name}={deb.version}" for deb in packages]
        self._apt("download", "-qq", *asked, doing="download Debian packages", cwd=self._archives)
        return [self._archives / deb.file for deb in packages]

    def _apt(self, *words: str, doing: str, cwd: Path | None = None) -> str:
        return run(["apt-get", "-c", self._configuration, *words], doing, cwd=cwd)
