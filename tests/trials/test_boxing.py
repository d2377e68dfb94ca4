"""What is taken from a box into the run. The rest of boxing is shown by runs at every level."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from proofrig.trials.boxing import MOST_OBSERVED, make_observed, take_observed


def test_only_bytes_of_segments_are_taken(tmp_path: Path) -> None:
    folder, history, secret = tmp_path / "observed", tmp_path / "history", tmp_path / "secret"
    folder.mkdir()
    history.mkdir()
    secret.write_text("of the host")
    (folder / "agent-7.jsonl").write_text("{}\n")
    (folder / "agent-7.jsonl").chmod(0o6777)
    (folder / "notes.txt").write_text("no segment")
    (folder / "link.jsonl").symlink_to(secret)
    (folder / "folder.jsonl").mkdir()
    os.mkfifo(folder / "pipe.jsonl")
    with (folder / "hole.jsonl").open("wb") as file:
        file.truncate(1 << 40)
    take_observed(folder, history, "orders/late:2")
    found = {path.name: path.stat() for path in history.iterdir()}
    assert set(found) == {"agent-7-orders+late-2.jsonl", "hole-orders+late-2.jsonl"}
    assert (history / "agent-7-orders+late-2.jsonl").read_text() == "{}\n"
    assert found["hole-orders+late-2.jsonl"].st_size == MOST_OBSERVED
    assert not any(status.st_mode & 0o6000 for status in found.values())
    assert not list(folder.glob("agent*.jsonl"))
    assert secret.read_text() == "of the host"


@pytest.mark.parametrize(("user", "others"), [(0, 0o055), (1000, 0)])
def test_what_a_box_of_our_own_user_leaves_is_nobody_elses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: int, others: int
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: user)
    (tmp_path / "trial").mkdir(mode=0o755)
    make_observed(str(tmp_path / "trial" / "observed"))
    assert (tmp_path / "trial").stat().st_mode & 0o077 == others
