"""Recipes: what counts for the digest, and what is no requirement."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from proofrig.errors import UsageError
from proofrig.images.recipe import Recipe, digests, named

INIT = b"#!/bin/sh\n"
PLAIN = Recipe(packages=("git", "jq"), requirements=("openai>=3", "mcp"))


def of(recipe: Recipe, init: bytes = INIT, folder: Path = Path()) -> tuple[str, str, str]:
    return digests(recipe, folder, init)


@pytest.mark.parametrize(
    ("recipe", "init", "same"),
    [
        (PLAIN.model_copy(update={"packages": ("jq", "git", "jq")}), INIT, (True, True, True)),
        (PLAIN.model_copy(update={"packages": ("git",)}), INIT, (False, False, True)),
        (PLAIN.model_copy(update={"requirements": ("mcp",)}), INIT, (True, False, True)),
        (PLAIN.model_copy(update={"warm": ("mcp",)}), INIT, (True, False, True)),
        (PLAIN, INIT + b"true\n", (True, True, False)),
    ],
    ids=["order", "packages", "requirements", "warm", "guest"],
)
def test_what_counts_for_which_part(
    recipe: Recipe, init: bytes, same: tuple[bool, bool, bool]
) -> None:
    parts = zip(of(PLAIN), of(recipe, init), strict=True)
    assert tuple(one == other for one, other in parts) == same


def test_a_file_and_a_list_are_the_same_when_they_say_the_same(tmp_path: Path) -> None:
    text = "# ours\nopenai>=3   # the SDK\n\nmcp\n"
    (tmp_path / "requirements.txt").write_text(text)
    file = PLAIN.model_copy(update={"requirements": "requirements.txt"})
    assert of(file, folder=tmp_path) == of(PLAIN)
    (tmp_path / "requirements.txt").write_text(text + "anyio\n")
    assert of(file, folder=tmp_path) != of(PLAIN)


def test_hashes_go_with_their_requirement(tmp_path: Path) -> None:
    (tmp_path / "lock.txt").write_text(
        "mcp==2.3 \\\n    --hash=sha256:ab \\\n    --hash=sha256:cd\n"
    )
    recipe = Recipe(requirements="lock.txt")
    assert recipe.lines(tmp_path) == ("mcp==2.3 --hash=sha256:ab --hash=sha256:cd",)


@pytest.mark.parametrize(
    "line",
    [
        *("-r other.txt", "--find-links=x", "-e .", "./pkg", "/opt/pkg", "pkg/dir"),
        "pkg @ file:///opt/pkg",
    ],
)
def test_what_lies_elsewhere_is_refused(line: str) -> None:
    with pytest.raises(UsageError, match="requirement 2: expected a package of the index") as found:
        Recipe(requirements=("openai", line)).lines(Path())
    assert repr(line) in str(found.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"sandbox\.image\.requirements: .*none\.txt"):
        Recipe(requirements="none.txt").lines(tmp_path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"packages": ["git; rm"]},
        {"packages": ["--help"]},
        {"packages": ["?essential"]},
        {"warm": ["os; x"]},
        {"python": "3.12"},
    ],
    ids=["command", "option", "pattern", "statement", "unknown"],
)
def test_what_is_no_name_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Recipe.model_validate(wrong)


@pytest.mark.parametrize(
    ("requirement", "name"),
    [
        ("openai", "openai"),
        ("PyYAML>=6", "pyyaml"),
        ("typing-extensions[all] ; python_version < '4'", "typing_extensions"),
        ("a.b-_c==1", "a_b_c"),
        ("x @ https://host/x.whl", "x"),
        ("./x", ""),
        ("x/y", ""),
    ],
)
def test_the_name_in_a_requirement(requirement: str, name: str) -> None:
    assert named(requirement) == name
