"""The ways a written path may be read."""

from __future__ import annotations

import pytest

from proofrig.authority.arguments import Unread
from proofrig.authority.readings import is_plain, readings


@pytest.mark.parametrize("path", ["a", "src/a.py", "/etc/passwd", ".env", "a-b_c@1,2=3+4/x"])
def test_a_plain_path_is_read_in_one_way(path: str) -> None:
    assert is_plain(path)
    assert readings(path) == [path]


@pytest.mark.parametrize(
    "path",
    ["", ".", "..", "a/../b", "a//b", "a/", "a/.", "a.", "a b", "é", "a\\b", "%41", "~", "a\n"],
)
def test_what_may_mean_more_is_not_plain(path: str) -> None:
    assert not is_plain(path)


@pytest.mark.parametrize(
    ("path", "reading"),
    [
        ("tests\\x.py", "tests/x.py"),
        ("src\\..\\tests\\x.py", "src/../tests/x.py"),
        ("%74ests/x.py", "tests/x.py"),
        ("tests%2Fx.py", "tests/x.py"),
        ("tests%252Fx.py", "tests/x.py"),  # encoded twice
        ("tests%5Cx.py", "tests/x.py"),  # an encoded backslash
        ("file:///srv/x", "/srv/x"),
        ("FILE://localhost/srv/%74", "/srv/t"),
        ("file:tests/x", "tests/x"),
        ("file:///srv/x?a#b", "/srv/x"),
        ("file:///srv/src#/../tests/x", "/srv/src#/../tests/x"),
        ("tests／x.py", "tests/x.py"),  # a fullwidth slash
        ("src/．．/tests/x.py", "src/../tests/x.py"),  # fullwidth dots
        ("src/‥/tests/x.py", "src/../tests/x.py"),  # a two dot leader
        ("src/.\u200b./tests/x.py", "src/../tests/x.py"),  # a space of no width
        ("src/.. /tests/x.py", "src/../tests/x.py"),
        ("tests./x.py", "tests/x.py"),
        (" tests/x.py ", "tests/x.py"),
    ],
)
def test_a_path_is_also_read_as(path: str, reading: str) -> None:
    assert reading in readings(path)
    assert readings(path)[0] == path


@pytest.mark.parametrize(
    "path",
    [
        "a\0b",
        "a%00b",
        "~/x",
        "~root/x",
        " ~/x",
        "%7E/x",
        "file:~/x",
        "C:\\x",
        "c:/x",
        "file://elsewhere/x",
        "a%FFb",
        "a\ud800b",
    ],
)
def test_what_no_readers_agree_on_is_refused(path: str) -> None:
    with pytest.raises(Unread):
        readings(path)


def test_a_path_with_too_many_meanings_is_refused() -> None:
    with pytest.raises(Unread, match="one meaning"):
        readings("a\\%25" + "25" * 100 + "41 ")


def test_names_in_any_script_have_one_meaning() -> None:
    assert readings("docs/日本語/café.md") == ["docs/日本語/café.md"]
