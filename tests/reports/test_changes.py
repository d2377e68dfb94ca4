"""A manifest in, a table of what a trial changed out."""

from __future__ import annotations

import msgspec

from proofrig.reports.changes import ROWS, Left, Row, left
from proofrig.sandboxes.sandbox import Change, Changes, Package


def told(changes: Changes, text: int = 10_000) -> Left:
    found = left(msgspec.json.encode(changes), text)
    assert found is not None
    return found


def test_paths_are_told_with_what_was_done_to_them() -> None:
    found = told(
        Changes(
            (
                Change("/w/a", "added", size=1_500, digest="d", kept="k"),
                Change("/w/b", "deleted", "folder"),
                Change("/w/c", "changed", "link", 11, target="/etc/passwd"),
            ),
            (Package("pip", "idna", "3.7", 525_000), Package("npm", "left", "1", 0)),
        )
    )
    assert found.rows == [
        Row("/w/a", "added", "1,500 B"),
        Row("/w/b", "deleted folder", ""),
        Row("/w/c -> /etc/passwd", "changed link", ""),
    ]
    assert found.packages == ["pip idna 3.7, 525.0 kB", "npm left 1, 0 B"]
    assert found.says == "1 added, 1 changed, 1 deleted, 2 packages installed (525.0 kB)"
    assert (found.more, found.doubt) == (0, "")


def test_only_the_first_are_shown() -> None:
    changes = Changes(tuple(Change(f"/w/{n:03}", "added") for n in range(300)))
    assert (len(told(changes).rows), told(changes).more) == (ROWS, 100)
    assert (len(told(changes, 400).rows), told(changes, 400).more) == (40, 260)


def test_names_are_the_trials_own() -> None:
    [row] = told(Changes((Change("/w/\x1b[2J\n" + "a" * 5_000, "added"),))).rows
    assert "\x1b" not in row.path and "\n" not in row.path
    assert len(row.path) < 400


def test_what_is_not_known_is_said() -> None:
    assert told(Changes(within="/w")).doubt == "Known only below /w."
    assert told(Changes(complete=False)).doubt == "There was more than could be listed."
    assert told(Changes(error="it was lost")).doubt == "it was lost"
    assert told(Changes()).says == "nothing"


def test_without_a_manifest_there_is_nothing_to_tell() -> None:
    assert left(None, 100) is None
    assert left(b"no json", 100) is None
