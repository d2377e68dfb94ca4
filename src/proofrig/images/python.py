"""The Python of an image: its requirements, its compiled files, and what these offer.

Rules:
1. The image's own interpreter runs Debian's pip, on this machine's file system: so what is chosen
   fits that interpreter, and pip is configured as it is on this machine.
2. Only wheels: they are unpacked, and nothing of a package runs while an image is built.
3. All modules are compiled beforehand; in a vm without hardware support this takes long.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from proofrig.images.recipe import named
from proofrig.images.tools import run
from proofrig.sandboxes.sandbox import Unavailable

_INSTALL = (
    *("--only-binary=:all:", "--ignore-installed", "--no-compile", "--no-user", "--no-input"),
    *("--disable-pip-version-check", "--root-user-action=ignore", "--no-warn-script-location"),
    "--quiet",
)


class Python:
    """The interpreter below `root`. Raises Unavailable where there is none."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self._program = self._only("usr/bin/python3.[0-9]*")
        self._loader = self._only("usr/lib*/ld-linux-*.so.*", "usr/lib/*/ld-linux-*.so.*")
        self.version = self._program.name.removeprefix("python")
        self.packages = self._root / "usr/local/lib" / self._program.name / "dist-packages"

    def install(self, requirements: Sequence[str], pip: Path, scratch: Path) -> None:
        """Install wheels of the requirements below /usr/local. pip: of its wheel. Raises
        Unavailable with what pip said."""
        if not requirements:
            return
        file = scratch / "requirements.txt"
        file.write_text("".join(f"{line}\n" for line in requirements))
        place = f"--prefix={self._root / 'usr'}"
        self._run([pip / "pip", "install", *_INSTALL, place, "-r", file], "install requirements")
        self._mend_scripts()

    def compile(self) -> None:
        """Compile all modules that are not compiled yet, as they will lie in the box."""
        below = ["usr/lib/python3", f"usr/lib/{self._program.name}", "usr/local/lib"]
        folders = [self._root / path for path in below if (self._root / path).is_dir()]
        # Packages may hold files for other versions of Python: what fails stays as it is.
        script = "import compileall; compileall.main()"
        options = ["-qq", "-s", str(self._root), "-p", "/", "-j", str(os.cpu_count() or 1)]
        self._run(["-c", script, *options, *folders], "compile Python's modules")

    def installed(self) -> dict[str, str]:
        """What is installed below /usr/local: name -> version."""
        return {name: version for name, version, _ in self._dist_infos()}

    def modules_of(self, requirements: Iterable[str]) -> list[str]:
        """The modules that the packages named by the requirements offer, in order."""
        asked = {named(line) for line in requirements}
        modules: set[str] = set()
        for name, _, info in self._dist_infos():
            if named(name) in asked:
                modules |= _offered((info / "RECORD").read_text().splitlines())
        return sorted(modules)

    def _dist_infos(self) -> Iterator[tuple[str, str, Path]]:
        """Name, version and folder of what is installed."""
        for path in sorted(self.packages.glob("*.dist-info")):
            name, _, version = path.name.removesuffix(".dist-info").partition("-")
            yield name, version, path

    def _mend_scripts(self) -> None:
        """Scripts begin with the interpreter's path on this machine: make it the box's."""
        here = f"#!{self._root}/".encode()
        for path in (self._root / "usr/local/bin").glob("*"):
            text = path.read_bytes()
            if text.startswith(here):
                path.write_bytes(b"#!/" + text.removeprefix(here))

    def _run(self, words: Sequence[str | Path], doing: str) -> str:
        libraries = self._loader.resolve().parent
        name = self._root / "usr/bin/python3"  # from which it knows where its library is
        start: list[str | Path] = [self._loader, "--library-path", libraries, "--argv0", name]
        return run([*start, self._program, "-I", *words], doing)

    def _only(self, *patterns: str) -> Path:
        """The one file below the root that meets one of the patterns."""
        for pattern in patterns:
            for path in sorted(self._root.glob(pattern)):
                if re.search(r"(python3\.\d+|\.so\.\d+)$", path.name):
                    return path
        raise Unavailable(f"images: expected {patterns[0]} below {self._root}; there is none")


def _offered(record: Iterable[str]) -> set[str]:
    """The top-level modules in the lines of a RECORD."""
    modules = set()
    for line in record:
        first, *more = line.split(",")[0].split("/")
        if more == ["__init__.py"]:
            modules.add(first)
        elif not more and (found := re.fullmatch(r"(\w+)\.(py|[\w.-]*so)", first)):
            modules.add(found[1])
    return {name for name in modules if not name.startswith("_")}
