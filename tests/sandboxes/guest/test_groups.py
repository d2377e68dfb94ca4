"""Reading a cgroup's files; limits and counters themselves are tested in `test_vm.py`."""

from __future__ import annotations

from pathlib import Path

import pytest

from proofrig.sandboxes.guest.groups import fields, number


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1234\n", 1234), ("max\n", None), ("", None), (None, None)],
    ids=["number", "max", "empty", "missing"],
)
def test_a_number_is_told_only_where_there_is_one(
    tmp_path: Path, text: str | None, expected: int | None
) -> None:
    if text is not None:
        (tmp_path / "f").write_text(text)
    assert number(str(tmp_path / "f")) == expected


def test_fields(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("anon 1\noom_kill 22\nodd line here\n")
    assert fields(str(tmp_path / "f")) == {"anon": 1, "oom_kill": 22}
    assert fields(str(tmp_path / "none")) == {}
