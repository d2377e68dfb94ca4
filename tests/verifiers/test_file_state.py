from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from builders import evidence, world
from proofrig.verifiers import judge
from proofrig.verifiers._world import HASH_CAP, READ_CAP
from proofrig.verifiers.file_state import FileState

FILES: dict[str, str | bytes] = {
    "a.txt": "one\ntwo\n",
    "crlf.txt": "one\r\ntwo",
    "deep/er/b.txt": "caf\u00e9",
    "broken.txt": b"ok \xff\xfe",
    "empty.txt": "",
}


def verdict_on(root: Path, files: dict[str, Any]) -> Any:
    verifier = FileState.model_validate({"files": files})
    return judge(verifier, evidence(world=root / "world", suite_dir=root / "suite"))


@pytest.mark.parametrize(
    ("path", "wish", "passed"),
    [
        ("a.txt", {}, True),
        ("deep", {}, True),
        ("no.txt", {}, False),
        ("a.txt/below", {}, False),
        ("no.txt", {"absent": True}, True),
        ("a.txt", {"absent": True}, False),
        ("deep", {"absent": True}, False),
        ("a.txt", {"equals": "one\ntwo"}, True),
        ("crlf.txt", {"equals": "one\ntwo\n"}, True),
        ("a.txt", {"equals": "one\n"}, False),
        ("a.txt", {"equals": "one\ntwo\nthree"}, False),
        ("empty.txt", {"equals": ""}, True),
        ("a.txt", {"equals": ""}, False),
        ("no.txt", {"equals": ""}, False),
        ("deep", {"equals": ""}, False),
        ("a.txt", {"equals_file": "want.txt"}, True),
        ("empty.txt", {"equals_file": "want.txt"}, False),
        ("a.txt", {"equals_file": "absent.txt"}, None),
        ("a.txt", {"contains": "two"}, True),
        ("a.txt", {"contains": ["one", "three"]}, False),
        ("a.txt", {"lacks": "three"}, True),
        ("a.txt", {"lacks": ["three", "two"]}, False),
        ("deep/er/b.txt", {"contains": "cafe\u0301"}, True),
        ("a.txt", {"regex": "^two$"}, True),
        ("a.txt", {"regex": "^tw$"}, False),
        ("broken.txt", {"contains": "ok"}, True),
        ("broken.txt", {"equals": "ok"}, False),
        ("a.txt", {"sha256": hashlib.sha256(b"one\ntwo\n").hexdigest().upper()}, True),
        ("crlf.txt", {"sha256": hashlib.sha256(b"one\ntwo\n").hexdigest()}, False),
        ("./deep//er/b.txt", {"contains": "caf"}, True),
    ],
)
def test_one_file(path: str, wish: dict[str, Any], passed: bool | None, tmp_path: Path) -> None:
    world(tmp_path / "world", FILES)
    world(tmp_path / "suite", {"want.txt": "one\ntwo"})
    assert verdict_on(tmp_path, {path: wish}).passed is passed


def test_every_problem_is_told(tmp_path: Path) -> None:
    world(tmp_path / "world", FILES)
    wishes = {"a.txt": {"equals": "one\nTWO"}, "no.txt": {}, "empty.txt": {"absent": True}}
    assert verdict_on(tmp_path, wishes).got == (
        'a.txt line 2 is "two", not "TWO"; no.txt is absent; empty.txt is there'
    )


def test_nothing_outside_the_world_is_read(tmp_path: Path) -> None:
    world(tmp_path, {"secret.txt": "one", "world/a.txt": "one", "world/dir/b.txt": "one"})
    root = tmp_path / "world"
    (root / "file").symlink_to("../secret.txt")
    (root / "abs").symlink_to(tmp_path / "secret.txt")
    (root / "up").symlink_to("..")
    (root / "loop").symlink_to("loop")
    (root / "dangling").symlink_to("nowhere")
    (root / "inside").symlink_to("dir/b.txt")
    for path in ("file", "abs", "up/secret.txt", "loop", "dangling"):
        assert verdict_on(tmp_path, {path: {"contains": "one"}}).passed is False
        assert verdict_on(tmp_path, {path: {"absent": True}}).passed is False
    assert "leads outside the world" in verdict_on(tmp_path, {"up/secret.txt": {}}).message
    assert verdict_on(tmp_path, {"inside": {"contains": "one"}}).passed is True


def test_pipes_and_huge_files_fail_at_once(tmp_path: Path) -> None:
    root = tmp_path / "world"
    world(root, {"a.txt": "one"})
    os.mkfifo(root / "pipe")
    for name, size in (("big", READ_CAP + 1), ("huge", HASH_CAP + 1)):
        with open(root / name, "wb") as file:
            file.truncate(size)  # sparse: takes no room
    assert "not a regular file" in verdict_on(tmp_path, {"pipe": {"contains": "x"}}).message
    assert "more than" in verdict_on(tmp_path, {"big": {"contains": "x"}}).message
    assert "more than" in verdict_on(tmp_path, {"huge": {"sha256": "0" * 64}}).message
    assert verdict_on(tmp_path, {"big": {}}).passed is True


def test_a_case_without_a_world_is_not_measured() -> None:
    verdict = judge(FileState.model_validate({"files": {"a": {}}}), evidence())
    assert verdict.passed is None
    assert "add `world:`" in verdict.message
