"""`file_state`: what must be true of files of the world.

Rules:
1. Text is compared without regard to line-end style, white space at the end of the file and
   Unicode composition; `sha256` compares bytes.
2. A file that leads outside the world, is no regular file or is over the cap fails.
3. Every file is looked at, and every problem is told.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from proofrig.verifiers._values import nfc, show
from proofrig.verifiers._world import (
    Unreadable,
    locate,
    read,
    relative,
    sha256,
    suite_file,
    world_of,
)
from proofrig.verifiers.verifier import Evidence, Verdict, Verifier, cut


class FileExpectation(BaseModel):
    """What must be true of one path. With nothing set, that it is there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    absent: bool = False
    equals: str | None = None
    equals_file: str = ""  # a file of the suite
    contains: str | tuple[str, ...] = ()
    lacks: str | tuple[str, ...] = ()
    regex: str | None = None
    sha256: str = Field(default="", pattern=r"^([0-9a-fA-F]{64})?$")

    @field_validator("regex")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ValueError(f"expected a regular expression: {error}") from None
        return pattern

    @model_validator(mode="after")
    def _is_possible(self) -> FileExpectation:
        if self.absent and self.model_fields_set - {"absent"}:
            raise ValueError("expected either `absent: true` or something about the content")
        return self


class FileState(Verifier):
    """Every path under `files` is as described."""

    type: Literal["file_state"] = "file_state"
    files: dict[str, FileExpectation] = Field(min_length=1)

    @field_validator("files")
    @classmethod
    def _inside(cls, files: dict[str, FileExpectation]) -> dict[str, FileExpectation]:
        return {relative(path): expectation for path, expectation in files.items()}

    def needs(self) -> frozenset[str]:
        return frozenset({"world"})

    def verify(self, evidence: Evidence) -> Verdict:
        world = world_of(evidence)
        problems: list[str] = []
        for path, wish in self.files.items():
            try:
                problems += _problems(world, path, wish, evidence)
            except Unreadable as error:
                problems.append(str(error))
        expected = "; ".join(f"{path} {_wish(wish)}" for path, wish in self.files.items())
        return self.verdict(
            not problems, expected=expected, got="; ".join(problems) or "all as expected"
        )


def _problems(world: Path, path: str, wish: FileExpectation, evidence: Evidence) -> list[str]:
    if wish.absent:
        there = locate(world, path) is not None
        return [f"{path} is there"] if there else []
    if locate(world, path) is None:
        return [f"{path} is absent"]
    problems = []
    if wish.sha256 and (digest := sha256(world, path)) != wish.sha256.lower():
        problems.append(f"{path} has sha256 {digest}")
    if wish.model_fields_set & {"equals", "equals_file", "contains", "lacks", "regex"}:
        problems += _text_problems(world, path, wish, evidence)
    return problems


def _text_problems(world: Path, path: str, wish: FileExpectation, evidence: Evidence) -> list[str]:
    text = _plain((read(world, path) or b"").decode("utf-8", "replace"))
    wanted = [wish.equals] if wish.equals is not None else []
    if wish.equals_file:
        wanted.append(suite_file(evidence, wish.equals_file).read_text("utf-8", "replace"))
    problems = [
        f"{path} {_first_difference(_plain(want), text)}" for want in wanted if _plain(want) != text
    ]
    missing = [part for part in _several(wish.contains) if _plain(part) not in text]
    unwanted = [part for part in _several(wish.lacks) if _plain(part) in text]
    problems += [f"{path} lacks {show(cut(part, 80))}" for part in missing]
    problems += [f"{path} holds {show(cut(part, 80))}" for part in unwanted]
    if wish.regex is not None and not re.search(nfc(wish.regex), text, re.MULTILINE):
        problems.append(f"{path} has no match of /{wish.regex}/")
    return problems


def _first_difference(wanted: str, text: str) -> str:
    lines, got = wanted.split("\n"), text.split("\n")
    for number, line in enumerate(lines):
        if number >= len(got):
            return f"ends before line {number + 1}"
        if line != got[number]:
            both = f"{show(cut(got[number], 60))}, not {show(cut(line, 60))}"
            return f"line {number + 1} is {both}"
    return f"goes on after line {len(lines)}"


def _plain(text: str) -> str:
    return nfc(text.replace("\r\n", "\n")).rstrip()


def _several(texts: str | tuple[str, ...]) -> tuple[str, ...]:
    return (texts,) if isinstance(texts, str) else texts


def _wish(wish: FileExpectation) -> str:
    if wish.absent:
        return "absent"
    wishes = wish.model_dump(exclude_unset=True, exclude={"absent"})
    return ", ".join(f"{name} {show(cut(str(v), 60))}" for name, v in wishes.items()) or "there"
