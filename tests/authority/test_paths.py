"""Path globs: every escape anybody thought of is denied by a deny and not allowed by an allow."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from proofrig.authority.arguments import Unread
from proofrig.authority.paths import path_condition, path_glob_problem, path_regex


@pytest.fixture
def root(tmp_path: Path) -> str:
    root = tmp_path.resolve() / "Work"
    for folder in ("src/deep", "tests/unit", "café"):
        (root / folder).mkdir(parents=True)
    for file in ("src/a.py", "tests/x.py", "tests/unit/y.py"):
        (root / file).write_text("")
    links = {
        "to_file": "tests/x.py",
        "to_dir": "tests",
        "chain": "to_dir",
        "dangling": "tests/new.py",
        "src/parent": "../tests",
        "src/absolute": str(root / "tests"),
        "src/out": "/etc",
        "src/inside": "deep",
        "src/hidden.py": "../tests/x.py",
        "tests/to_src": "../src",
        "circle": "circle",
    }
    for link, target in links.items():
        (root / link).symlink_to(target)
    (root.parent / "Alias").symlink_to("Work")
    return str(root)


def asked(globs: list[str], path: Any, root: str, *, permits: bool) -> bool | str:
    try:
        return path_condition("path", globs, permits=permits)({"path": path}, root, {})
    except Unread as unread:
        return unread.code


UNREADABLE = "argument_unreadable"

# What leads into tests/, or may, whoever reads it.
ESCAPES = [
    "tests",
    "tests/",
    "tests/.",
    "tests/x.py",
    "./tests/x.py",
    ".//tests//x.py",
    "tests/./x.py",
    "src/../tests/x.py",
    "src/./.././tests/x.py",
    "nothing/../tests/x.py",
    "tests/new/file.py",
    "tests/../tests/x.py",
    "../Work/tests/x.py",
    "tests\\x.py",
    "src\\..\\tests\\x.py",
    ".\\tests/x.py",
    "TESTS/x.py",
    "Tests/X.PY",
    "tests./x.py",
    "tests /x.py",
    " tests/x.py",
    "tests/x.py ",
    "tests/x.py.",
    "tests/x.py::$DATA",
    "src/.. /tests/x.py",
    "ｔｅｓｔｓ/x.py",
    "tests／x.py",
    "te\u200bsts/x.py",
    "te\u00adsts/x.py",
    "teſts/x.py",  # a long s
    "src/．．/tests/x.py",
    "%74ests/x.py",
    "tests%2fx.py",
    "tests%252fx.py",
    "src/%2e%2e/tests/x.py",
    "file:tests/x.py",
    "to_file",
    "to_dir",
    "to_dir/x.py",
    "chain/x.py",
    "chain/new.py",
    "dangling",
    "src/parent/x.py",
    "src/parent/not/there/yet.py",
    "src/absolute/x.py",
    "src/hidden.py",
    "src/parent/../tests/x.py",
    "tests/to_src/a.py",  # lexically in tests
]
ABSOLUTE = [
    "{root}/tests/x.py",
    "{root}//tests/x.py",
    "/{root}/tests/x.py",
    "{root}/src/../tests/x.py",
    "file://{root}/tests/x.py",
    "file://localhost{root}/tests/x.py",
    "FILE:{root}/tests/x.py",
    "{upper}/tests/x.py",
    "{alias}/tests/x.py",
    "{root}/to_file",
]
NO_PATHS: list[Any] = [
    "",
    " ",
    "tests\0/x.py",
    "tests%00/x.py",
    "~/tests/x.py",
    "~user/tests/x.py",
    "C:\\Work\\tests\\x.py",
    "file://elsewhere/tests/x.py",
    "/proc/self/cwd/tests/x.py",
    "/proc/1/root/work/tests/x.py",
    "/dev/fd/3",
    "circle/x.py",
    "a" * 5_000,
    5,
    5.5,
    True,
    b"tests/x.py",
    {"path": "tests/x.py"},
    ["src/a.py", 5],
    ["src/a.py", {}],
]
MISSING: list[Any] = [None, [], [[]], ["src/a.py", None]]


@pytest.mark.parametrize("path", ESCAPES)
def test_a_deny_finds_every_way_in(root: str, path: str) -> None:
    assert asked(["tests/**"], path, root, permits=False) is True
    assert asked(["src/**"], path, root, permits=True) is False


@pytest.mark.parametrize("path", ABSOLUTE)
def test_a_deny_finds_absolute_ways_in(root: str, path: str) -> None:
    alias = f"{os.path.dirname(root)}/Alias"
    path = path.format(root=root, upper=root.upper(), alias=alias)
    assert asked(["tests/**"], path, root, permits=False) is True
    assert asked(["src/**"], path, root, permits=True) is False


@pytest.mark.parametrize("permits", [True, False])
@pytest.mark.parametrize("path", NO_PATHS, ids=lambda path: repr(path)[:30])
def test_what_is_no_path_cannot_be_read(root: str, path: Any, permits: bool) -> None:
    assert asked(["tests/**"], path, root, permits=permits) == UNREADABLE


@pytest.mark.parametrize("permits", [True, False])
@pytest.mark.parametrize("path", MISSING)
def test_no_path_at_all_is_missing(root: str, path: Any, permits: bool) -> None:
    assert asked(["tests/**"], path, root, permits=permits) == "argument_missing"


@pytest.mark.parametrize(
    "path",
    [
        "src",
        "src/a.py",
        "./src/a.py",
        "src/new/file.py",
        "src/deep/../a.py",
        "src/inside/new.py",  # a link that stays in src
        "src/tests",
        "src/mytests/x.py",
        "src/a b.py",
        "src/日本語.md",
        "{root}/src/a.py",
        ["src/a.py", "src/b.py"],
        PurePosixPath("src/a.py"),
    ],
)
def test_honest_paths_are_left_alone(root: str, path: Any) -> None:
    path = path.format(root=root) if isinstance(path, str) else path
    assert asked(["tests/**"], path, root, permits=False) is False
    assert asked(["src/**"], path, root, permits=True) is True


@pytest.mark.parametrize(
    "path",
    [
        "SRC/a.py",
        "src\\a.py",
        "%73rc/a.py",
        "ｓrc/a.py",
        "src/out/passwd",
        "/etc/passwd",
        "../elsewhere/src/a.py",
        "{upper}/src/a.py",
        "file:src/a.py",
        ["src/a.py", "tests/x.py"],
        "src/.. /tests/x.py",
        "src/../../x",
        ".",
        "/",
    ],
)
def test_an_allow_takes_the_exact_path(root: str, path: Any) -> None:
    path = path.format(upper=root.upper()) if isinstance(path, str) else path
    assert asked(["src/**"], path, root, permits=True) is False


def test_every_path_of_a_list_counts(root: str) -> None:
    assert asked(["tests/**"], ["src/a.py", "tests/x.py"], root, permits=False) is True
    assert asked(["tests/**"], [["src/a.py"], ["to_file"]], root, permits=False) is True


def test_names_in_other_unicode_forms(root: str) -> None:
    decomposed = "cafe\u0301/x"
    assert asked(["café/**"], decomposed, root, permits=False) is True
    assert asked(["café/**"], decomposed, root, permits=True) is False
    assert asked(["café/**"], "café/x", root, permits=True) is True


def test_the_root_itself(root: str) -> None:
    for path in (".", "./", root, f"{root}/", "src/.."):
        assert asked(["**"], path, root, permits=False) is True
        assert asked(["**"], path, root, permits=True) is True
        assert asked(["*"], path, root, permits=False) is False


@pytest.mark.parametrize(
    ("glob", "path", "forbids", "permits"),
    [
        ("**", "/etc/passwd", True, False),
        ("**/.ssh/**", "/home/u/.ssh/id", True, False),
        ("**/.ssh/**", "a/.ssh", True, True),
        ("/etc/**", "/etc/passwd", True, True),
        ("/etc/**", "/ETC/passwd", True, False),
        ("/etc/**", "src/out/passwd", True, False),  # a link there, lexically here
        ("etc/**", "/etc/passwd", False, False),
    ],
)
def test_outside_the_root(root: str, glob: str, path: str, forbids: bool, permits: bool) -> None:
    assert asked([glob], path, root, permits=False) is forbids
    assert asked([glob], path, root, permits=True) is permits


@pytest.mark.parametrize(
    ("glob", "path", "forbids"),
    [
        ("tests/**", "tests/x.py", True),
        ("tests/**", "src/../tests/x.py", True),
        ("tests/**", "TESTS\\x.py", True),
        ("tests/**", "src/a.py", False),
        ("tests/**", "../tests/x.py", UNREADABLE),
        ("tests/**", "/etc/passwd", UNREADABLE),
        ("/etc/**", "/etc/passwd", True),
        ("/etc/**", "/etc/../srv", False),
        ("/etc/**", "passwd", UNREADABLE),
    ],
)
def test_without_a_root(glob: str, path: str, forbids: bool | str) -> None:
    assert asked([glob], path, "", permits=False) == forbids


@pytest.mark.parametrize(
    ("glob", "matching", "others"),
    [
        ("*.py", ["a.py", ".py"], ["a/b.py", "a.pyc"]),
        ("src/*", ["src/a"], ["src", "src/a/b"]),
        ("src/**", ["src", "src/a", "src/a/b"], ["srcs", "a/src"]),
        ("**/x", ["x", "a/x", "a/b/x"], ["ax", "x/a"]),
        ("a/**/b", ["a/b", "a/x/b", "a/x/y/b"], ["ab", "a/xb", "a"]),
        ("**/a/**", ["a", "a/b", "x/a", "x/a/b"], ["xa", "ax"]),
        ("**/a/**/b", ["a/b", "x/a/y/b"], ["b", "a"]),
        ("**/a/**/b/**", ["a/b", "x/a/y/b/z"], ["b/a", "ab"]),
        ("a/**/b/**/c", ["a/b/c", "a/x/b/y/c"], ["a/c", "a/b"]),
        ("**/**", ["", "a", "a/b"], []),
        ("a?c/*d*", ["abc/d", "abc/xdx"], ["ac/d", "a/c/d"]),
        ("a.b", ["a.b"], ["axb"]),
    ],
)
def test_globs(glob: str, matching: list[str], others: list[str]) -> None:
    import re

    regex = re.compile(path_regex(glob), re.DOTALL)
    assert [path for path in (*matching, *others) if regex.fullmatch(path)] == matching


@pytest.mark.parametrize(
    ("glob", "said"),
    [
        ("", "empty"),
        ("tests/", "write tests/** for all"),
        ("a//b", "empty levels"),
        ("./a", "`.`"),
        ("a/../b", "`..`"),
        ("~/a", "write the folder out"),
        ("a**/b", "level of its own"),
        ("a/***", "level of its own"),
        ("*.{a,b}", "one glob per alternative"),
        ("a\\b", "one glob per alternative"),
        ("[a]", "one glob per alternative"),
        ("/", ""),
        ("/etc/**", ""),
        ("**/*.py", ""),
    ],
)
def test_path_globs_are_checked(glob: str, said: str) -> None:
    assert said in path_glob_problem(glob)
    assert bool(said) is bool(path_glob_problem(glob))


def test_rules_of_one_decision_judge_the_same_file(root: str) -> None:
    memo: dict[str, Any] = {}
    arguments = {"path": "src/a.py"}
    assert path_condition("path", ["src/**"], permits=True)(arguments, root, memo)
    os.unlink(f"{root}/src/a.py")
    os.symlink("../tests/x.py", f"{root}/src/a.py")
    assert not path_condition("path", ["tests/**"], permits=False)(arguments, root, memo)
    assert path_condition("path", ["tests/**"], permits=False)(arguments, root, {})


def test_paths_that_take_long_to_look_up_are_refused(root: str) -> None:
    """Each level of each path is a look at the system: a list of long ones stops everything."""
    denies = path_condition("path", ["tests/**"], permits=False)
    with pytest.raises(Unread, match="characters in all"):
        denies({"path": ["src/../" * 500 + "x"] * 50}, root, {})
