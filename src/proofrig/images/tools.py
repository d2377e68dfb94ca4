"""Running the programs that images are built with."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from proofrig.sandboxes.sandbox import Unavailable

_TAIL = 2_000  # characters of what a program said, in messages
_PACKAGES = {"mksquashfs": "squashfs-tools", "ldconfig": "libc-bin", "apt-get": "apt"}
Words = Sequence[str | Path]


def found(program: str | Path) -> str:
    """The path of a program. Raises Unavailable with the Debian package it comes in."""
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    if path is None:
        package = _PACKAGES.get(str(program), program)
        raise Unavailable(
            f"images: expected the program {program}; there is none: apt-get install {package} "
            "(images are built on Debian and what derives from it)"
        )
    return path


def run(
    argv: Words, doing: str, *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> str:
    """The standard output of a program that must succeed. `doing` says in the message of
    Unavailable what was tried."""
    ended = subprocess.run(
        [found(argv[0]), *argv[1:]],
        cwd=cwd,
        env={**os.environ, "LC_ALL": "C.UTF-8", **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if ended.returncode != 0:
        raise _failed(doing, argv, ended.returncode, ended.stderr.strip() or ended.stdout.strip())
    return ended.stdout


def pipe(source: Words, sink: Words, doing: str, *, cwd: Path) -> None:
    """Run two programs, the first writing into the second; both must succeed. As `run`."""
    with tempfile.TemporaryFile() as errors:
        with subprocess.Popen(
            [found(source[0]), *source[1:]], stdout=subprocess.PIPE, stderr=errors
        ) as first:
            second = subprocess.run(
                [found(sink[0]), *sink[1:]], cwd=cwd, stdin=first.stdout, stderr=errors
            )
        errors.seek(0)
        said = errors.read().decode(errors="replace")
    # A source that was killed was writing to a sink that had ended.
    for argv, code in ((source, max(0, first.returncode)), (sink, second.returncode)):
        if code != 0:
            raise _failed(doing, argv, code, said.strip())


def _failed(doing: str, argv: Words, code: int, said: str) -> Unavailable:
    return Unavailable(
        f"images: expected to {doing}; {Path(argv[0]).name} ended with {code}:\n{said[-_TAIL:]}"
    )
