from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from builders import evidence, world
from overlay_mounts import deep
from proofrig.sandboxes.sandbox import Change, Changes
from proofrig.sandboxes.trees import remove
from proofrig.verifiers import Verdict, judge
from proofrig.verifiers.protected_paths import ProtectedPaths

FILES: dict[str, str | bytes] = {
    "src/app.py": "x = 1\n",
    "tests/test_app.py": "assert x\n",
    "tests/deep/test_b.py": "assert y\n",
    "conf.ini": "a",
}


def judged(root: Path, before: dict[str, str], *paths: str) -> Verdict:
    return judge(ProtectedPaths(paths=paths), evidence(world=root, before=before))


def put(path: str, text: str = "new") -> Callable[[Path], object]:
    def change(root: Path) -> None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)

    return change


def swap_for_link(root: Path) -> None:
    (root / "tests").rename(root.parent / "outside")
    (root / "tests").symlink_to(root.parent / "outside")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda root: None, ""),
        (put("src/app.py"), ""),
        (put("README"), ""),
        (put("tests/test_app.py", "assert x\n"), ""),  # written again with the same bytes
        (put("tests/__pycache__/test_app.pyc"), ""),
        (put("tests/test_app.py"), "tests/test_app.py was changed"),
        (put("tests/deep/test_b.py"), "tests/deep/test_b.py was changed"),
        (lambda root: (root / "tests/test_app.py").unlink(), "tests/test_app.py was removed"),
        (put("tests/conftest.py"), "tests/conftest.py was added"),
        (put("tests/.hidden/x"), "tests/.hidden/x was added"),
        (lambda root: (root / "tests/link").symlink_to("/etc"), "tests/link was added"),
        (lambda root: os.mkfifo(root / "tests/pipe"), "tests/pipe was added"),
        (swap_for_link, "tests/deep/test_b.py leads outside the world"),
    ],
)
def test_changes_under_a_glob(
    change: Callable[[Path], object], problem: str, tmp_path: Path
) -> None:
    root = tmp_path / "world"
    before = world(root, FILES)
    change(root)
    verdict = judged(root, before, "tests/**")
    assert verdict.passed is (problem == "")
    assert problem in verdict.message


@pytest.mark.parametrize(
    ("glob", "protected"),
    [
        ("tests/**", "tests/test_app.py tests/deep/test_b.py"),
        ("tests/", "tests/test_app.py tests/deep/test_b.py"),
        ("./tests/**", "tests/test_app.py tests/deep/test_b.py"),
        ("tests/*", "tests/test_app.py"),
        ("tests/*.py", "tests/test_app.py"),
        ("**/test_*.py", "tests/test_app.py tests/deep/test_b.py"),
        ("**/*.py", "src/app.py tests/test_app.py tests/deep/test_b.py"),
        ("*.ini", "conf.ini"),
        ("**/*.ini", "conf.ini"),
        ("conf.in[h-j]", "conf.ini"),
        ("conf.in[!a]", "conf.ini"),
        ("conf?ini", "conf.ini"),
        ("conf.ini", "conf.ini"),
    ],
)
def test_what_a_glob_protects(glob: str, protected: str, tmp_path: Path) -> None:
    for path in FILES:
        root = tmp_path / path.replace("/", "_")
        before = world(root, FILES)
        (root / path).write_text("changed")
        assert judged(root, before, glob).passed is (path not in protected.split()), path


def test_globs_that_protect_nothing_are_a_mistake_of_the_case(tmp_path: Path) -> None:
    before = world(tmp_path, FILES)
    verdict = judged(tmp_path, before, "test/**")
    assert verdict.passed is None
    assert "correct the globs" in verdict.message


def test_a_path_may_name_a_file_that_must_not_come_into_being(tmp_path: Path) -> None:
    before = world(tmp_path, FILES)
    assert judged(tmp_path, before, "conftest.py").passed is True
    put("conftest.py")(tmp_path)
    assert judged(tmp_path, before, "conftest.py").passed is False


def test_nothing_but_what_is_editable(tmp_path: Path) -> None:
    before = world(tmp_path, FILES)
    verifier = ProtectedPaths(paths=("**",), editable=("src/**",))
    put("src/app.py")(tmp_path)
    put("src/more.py")(tmp_path)
    assert judge(verifier, evidence(world=tmp_path, before=before)).passed is True
    put("setup.py")(tmp_path)
    verdict = judge(verifier, evidence(world=tmp_path, before=before))
    assert (verdict.passed, verdict.got) == (False, "setup.py was added")


@pytest.fixture
def deep_world(tmp_path: Path) -> Iterator[Path]:
    deep(tmp_path, 2100)
    yield tmp_path
    remove(tmp_path / "d")  # what pytest removes things with does not reach as deep


def test_a_world_deeper_than_paths_are_long_is_judged(deep_world: Path) -> None:
    before = world(deep_world, FILES)
    verdict = judged(deep_world, before, "**/f", "conf.ini")
    assert verdict.passed is False
    assert verdict.got.startswith("d/d/")


CHANGED = Changes(
    (
        Change("/etc/hosts", "changed"),
        Change("/usr/lib", "changed", "folder"),
        Change("/usr/lib/x/__pycache__/a.pyc", "added"),
        Change("/w/src/app.py", "changed"),
        Change("/usr/bin/tool", "deleted"),
        Change("/home/agent/.cache/x", "added"),
    )
)


@pytest.mark.parametrize(
    ("paths", "changes", "passed", "said"),
    [
        (["/var/**"], CHANGED, True, "unchanged"),
        (["/etc/**"], CHANGED, False, "/etc/hosts was changed"),
        (["/etc/hosts", "/usr/bin/*"], CHANGED, False, "/usr/bin/tool was removed"),
        (["/usr/lib/**"], CHANGED, True, "unchanged"),
        (["/w/**"], CHANGED, True, "unchanged"),
        (["/home/agent/**"], CHANGED, False, "/home/agent/.cache/x was added"),
        (["/etc/**"], None, None, "can only be judged in a box"),
        (["/var/**"], Changes(CHANGED.entries, complete=False), None, "not known whole"),
        (["/etc/**"], Changes(CHANGED.entries, complete=False), False, "/etc/hosts was changed"),
        (["/etc/**"], Changes(error="lost", complete=False), None, "lost"),
        (["/etc/**"], Changes(within="/w"), None, "only below /w"),
        (["/w/tests/**"], Changes(within="/w"), True, "unchanged"),
    ],
)
def test_absolute_globs_mean_the_box(
    paths: list[str], changes: Changes | None, passed: bool | None, said: str
) -> None:
    verifier = ProtectedPaths(paths=tuple(paths), editable=("src/**",))
    assert verifier.needs() == frozenset()
    verdict = judge(verifier, evidence(world=Path("/w"), changes=changes))
    assert (verdict.passed, said in verdict.message) == (passed, True), verdict.message


def test_world_and_box_are_judged_together(tmp_path: Path) -> None:
    before = world(tmp_path, FILES)
    put("tests/test_app.py")(tmp_path)
    verifier = ProtectedPaths(paths=("tests/**", "/etc/**"))
    assert verifier.needs() == {"world"}
    got = judge(verifier, evidence(world=tmp_path, before=before, changes=CHANGED)).got
    assert got == "tests/test_app.py was changed; /etc/hosts was changed"
