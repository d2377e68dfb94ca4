"""`protected_paths`: files the agent had to leave as they were (tests changed instead of code).

Rules:
1. A protected file must be there with the bytes it began with; a new file under a glob fails too.
2. Globs: `*` and `?` stay inside a path segment, `**` spans any number of them. They are relative
   to the world; absolute ones mean the trial's box, and are judged by the list of what was changed
   in it. Without a box, or when the list is not whole, nothing changed there is not measured.
3. What running a test suite leaves behind (`allow_new`) is no change; it may only be added. What is
   `editable` is not protected at all: nothing but src was changed is `**`, and `src/**` editable.
4. Globs that protect nothing of the initial world are a mistake of the case: not measured. A path
   without wildcards may name a file that must not come into being.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Literal

from pydantic import Field

from proofrig.errors import UsageError
from proofrig.sandboxes.sandbox import Change
from proofrig.verifiers._world import Unreadable, entries, sha256, world_of
from proofrig.verifiers.verifier import Evidence, Verdict, Verifier

MOST = 1000  # additions that are told

_LEFTOVERS = ("**/__pycache__/**", "**/.pytest_cache/**", "**/.hypothesis/**")
_DID = {"added": "was added", "changed": "was changed", "deleted": "was removed"}

Test = Callable[[str], bool]  # of a path


class ProtectedPaths(Verifier):
    """No file under `paths` was changed, removed or added."""

    type: Literal["protected_paths"] = "protected_paths"
    paths: tuple[str, ...] = Field(min_length=1)
    editable: tuple[str, ...] = ()
    allow_new: tuple[str, ...] = _LEFTOVERS

    def needs(self) -> frozenset[str]:
        return frozenset({"world"} if self._globs(absolute=False) else ())

    def verify(self, evidence: Evidence) -> Verdict:
        problems: list[str] = []
        expected = f"{', '.join(self.paths)} as before"
        if globs := self._globs(absolute=False):
            before, found = self._in_world(evidence, globs)
            expected += f" ({before} files)"
            problems += found
        doubt = ""
        if globs := self._globs(absolute=True):
            found, doubt = self._in_box(evidence, globs)
            problems += found
        if doubt and not problems:
            raise UsageError(doubt)
        return self.verdict(not problems, expected=expected, got="; ".join(problems) or "unchanged")

    def _globs(self, *, absolute: bool) -> tuple[str, ...]:
        return tuple(glob for glob in self.paths if glob.startswith("/") == absolute)

    def _in_world(self, evidence: Evidence, globs: tuple[str, ...]) -> tuple[int, list[str]]:
        """How many files are protected in the world, and what was done to them."""
        world, allowed = world_of(evidence), _any_of(self.allow_new)
        covered, editable = _any_of(globs), _any_of(self.editable)

        def protected(path: str) -> bool:
            return covered(path) and not editable(path)

        before = {path: hash for path, hash in evidence.before.items() if protected(path)}
        if not before and any(set(path) & set("*?[") for path in globs):
            raise UsageError(
                f"expected files of the initial world under {', '.join(globs)}, found none: "
                "correct the globs or the world's files"
            )
        problems = [problem for path in sorted(before) if (problem := _change(world, path, before))]
        added = (path for path in entries(world) if path not in before and protected(path))
        new = (path for path in added if not allowed(path))
        return len(before), problems + [f"{path} was added" for path in islice(new, MOST)]

    def _in_box(self, evidence: Evidence, globs: tuple[str, ...]) -> tuple[list[str], str]:
        """What was done to protected paths of the box, and why there may be more."""
        changes, said = evidence.changes, ", ".join(globs)
        if changes is None:
            return [], (
                f"{said} can only be judged in a box: run it with `--isolation namespace`, or "
                "another level that tells what was changed"
            )
        covered, editable = _any_of(globs), _any_of(self.editable)
        allowed = _any_of(self.allow_new)
        world = f"{evidence.world}/" if evidence.world is not None else ""

        def free(one: Change) -> bool:
            inside = one.path.removeprefix(world)  # relative globs mean the world
            new = one.change == "added" and (allowed(inside) or allowed(one.path.removeprefix("/")))
            return new or editable(inside) or editable(one.path)

        problems = [
            f"{one.path} {_DID[one.change]}"
            for one in changes.entries
            if one.kind != "folder" and covered(one.path) and not free(one)
        ]
        inside = changes.within.rstrip("/") + "/"
        if changes.error or not changes.complete:
            return problems, f"what was changed under {said} is not known whole: {changes.error}"
        if not all(glob.startswith(inside) for glob in globs):
            return problems, f"what was changed under {said} is known only below {changes.within}"
        return problems, ""


def _change(world: Path, path: str, before: dict[str, str]) -> str:
    try:
        digest = sha256(world, path)
    except Unreadable as error:
        return str(error)
    if digest is None:
        return f"{path} was removed"
    return "" if digest == before[path] else f"{path} was changed"


def _any_of(globs: tuple[str, ...]) -> Test:
    """A test for a path that meets any of the globs."""
    pattern = re.compile("|".join(_regex(glob.removeprefix("./")) for glob in globs) or r"(?!)")
    return lambda path: pattern.fullmatch(path) is not None


def _regex(glob: str) -> str:
    """A glob as a regular expression. A trailing slash means everything below."""
    glob = f"{glob}**" if glob.endswith("/") else glob
    text = ""
    for token in re.findall(r"\*\*/|\*\*|\*|\?|\[!?\]?[^]]*\]|.", glob, re.DOTALL):
        if token == "**/":
            text += r"(?:[^/]+/)*"
        elif token == "**":
            text += r"(?s:.*)"
        elif token == "*":
            text += r"[^/]*"
        elif token == "?":
            text += r"[^/]"
        elif len(token) > 2 and token.startswith("["):
            inner = token[1:-1].replace("\\", r"\\")
            text += f"[^{inner[1:]}]" if inner.startswith("!") else f"[{inner}]"
        else:
            text += re.escape(token)
    return text
