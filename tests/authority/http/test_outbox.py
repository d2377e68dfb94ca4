"""The outbox: lines on disk, whatever happens to their process."""

from __future__ import annotations

from pathlib import Path

import pytest

from proofrig.authority.http.outbox import Outbox, Owed
from proofrig.errors import JournalError


def owed(id: str, tokens: int = 5) -> Owed:
    return Owed(id, {"tokens": tokens}, "measured", "ok", "table")


def test_what_was_put_is_left_until_it_is_done(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "o", fsync=True)
    assert outbox.left() == []
    for id in ("a", "b", "c"):
        outbox.put(owed(id))
    outbox.done("b")
    assert Outbox(tmp_path / "o").left() == [owed("a"), owed("c")]


def test_the_same_commit_twice_is_owed_once(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "o")
    outbox.put(owed("a"))
    outbox.put(owed("a"))
    assert outbox.left() == [owed("a")]


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_a_torn_last_line_costs_itself_alone(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "o"
    outbox = Outbox(path)
    outbox.put(owed("a"))
    outbox.put(owed("b"))
    path.write_bytes(path.read_bytes()[:-cut])
    assert [one.id for one in outbox.left()] == (["a", "b"] if cut == 1 else ["a"])
    outbox.put(owed("c"))
    assert [one.id for one in outbox.left()][-1] == "c"
    assert outbox.left()[0] == owed("a")


def test_it_is_emptied_when_nothing_is_owed(tmp_path: Path) -> None:
    path = tmp_path / "o"
    outbox = Outbox(path)
    outbox.tidy()
    outbox.put(owed("a"))
    outbox.tidy()
    assert outbox.left() == [owed("a")]
    outbox.done("a")
    outbox.tidy()
    assert path.read_bytes() == b""


def test_what_was_refused_stays_for_a_person(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "o")
    outbox.put(owed("a"))
    outbox.refuse("a", "never started")
    outbox.tidy()
    assert outbox.left() == []
    assert outbox.refused() == {"a": "never started"}


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    Outbox(tmp_path / "o").put(owed("a"))
    assert (tmp_path / "o").stat().st_mode & 0o777 == 0o600


def test_a_place_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="expected to open the outbox"):
        Outbox(tmp_path).put(owed("a"))
    with pytest.raises(JournalError, match="expected to read the outbox"):
        Outbox(tmp_path).left()
