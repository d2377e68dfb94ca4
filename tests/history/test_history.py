"""Reading: merge by time, pair by id, tolerate what a kill leaves behind."""

from __future__ import annotations

from pathlib import Path

from proofrig.history.action import Action, Entry
from proofrig.history.archive import archive
from proofrig.history.format import encoder, folder_of
from proofrig.history.history import History, Pairing, pair


def segment(run_dir: Path, name: str, entries: list[Entry], torn: bytes = b"") -> Path:
    folder_of(run_dir).mkdir(parents=True, exist_ok=True)
    path = folder_of(run_dir) / f"{name}.jsonl"
    path.write_bytes(b"".join(encoder.encode(entry) + b"\n" for entry in entries) + torn)
    return path


def entry(kind: str, t: int = 0, id: str = "", **attrs: object) -> Entry:
    return Entry(0, t, kind, "tool.x", trial="a:1", id=id, attrs=attrs)  # type: ignore[arg-type]


def test_segments_are_merged_by_time(tmp_path: Path) -> None:
    segment(tmp_path, "rig-1", [entry("note", 1), entry("note", 4)])
    segment(tmp_path, "runner-1", [entry("note", 2), entry("note", 3)])
    assert [found.t for found in History(tmp_path).entries()] == [1, 2, 3, 4]


def test_a_torn_last_line_is_left_out_and_reported(tmp_path: Path) -> None:
    segment(tmp_path, "rig-1", [entry("note", 1)], torn=b'{"seq":1,"t":2,"ki')
    history = History(tmp_path)
    assert len(list(history.entries())) == 1
    assert history.problems == [
        "rig-1.jsonl: the last line is torn (18 bytes); "
        "the writer was killed inside a write. It is left out."
    ]


def test_a_corrupt_line_in_the_middle_is_reported_and_the_rest_is_read(tmp_path: Path) -> None:
    path = segment(tmp_path, "rig-1", [entry("note", 1), entry("note", 2)])
    path.write_bytes(path.read_bytes().replace(b'"t":1', b'"t":"x'))
    history = History(tmp_path)
    assert [found.t for found in history.entries()] == [2]
    assert len(history.problems) == 1


def test_pairing() -> None:
    done = [entry("reserve", 1, "a"), entry("start", 2, "a"), entry("commit", 3, "a", outcome="ok")]
    denied = entry("reserve", 4, "b", decision="deny")
    given_back = [entry("reserve", 5, "c"), entry("release", 6, "c")]
    cut = [entry("reserve", 7, "d"), entry("start", 8, "d")]
    hit = [entry("reserve", 9, "e"), entry("fault", 10, "e"), entry("commit", 11, "e")]
    actions: list[Action] = list(pair([*done, denied, *given_back, *cut, *hit]))
    assert [(action.id, action.outcome) for action in actions] == [
        ("a", "ok"),
        ("b", "fail"),
        ("c", "fail"),
        ("e", "unknown"),
        ("d", "unknown"),
    ]
    assert actions[1].denied
    assert [fault.t for fault in actions[3].faults] == [10]


def test_an_archived_history_reads_the_same_and_archiving_twice_is_fine(tmp_path: Path) -> None:
    segment(tmp_path, "rig-1", [entry("note", t) for t in range(1_000)])
    before = list(History(tmp_path).entries())
    assert archive(tmp_path) > 0
    assert archive(tmp_path) == 0
    assert list(History(tmp_path).entries()) == before
    assert [path.name for path in folder_of(tmp_path).iterdir()] == ["rig-1.jsonl.zst"]


def test_a_segment_that_was_being_compressed_is_read_once(tmp_path: Path) -> None:
    path = segment(tmp_path, "rig-1", [entry("note", 1)])
    path.with_name("rig-1.jsonl.zst").write_bytes(b"half a frame")
    assert len(list(History(tmp_path).entries())) == 1


def test_pairing_tells_of_each_action_as_it_ends_and_of_the_open_ones_when_asked() -> None:
    pairing = Pairing()
    given = [
        entry("start", 1, "a"),
        entry("note", 2),
        entry("start", 3, "b"),
        entry("fault", 4, "b"),
        entry("commit", 5, "a", outcome="ok"),
        entry("reserve", 6, "c", decision="deny"),
        entry("commit", 7, "lost", outcome="ok"),
    ]
    told = [pairing.step(each) for each in given]
    ids = [action.id if action else "" for action in told]
    assert ids == ["", "", "", "", "a", "c", "lost"]
    [left] = pairing.unfinished()
    assert (left.id, left.outcome, len(left.faults)) == ("b", "unknown", 1)


def test_a_fault_behind_the_end_of_its_action_is_known_where_all_entries_are() -> None:
    entries = [
        entry("reserve", 1, "a", decision="allow"),
        entry("commit", 2, "a", outcome="ok"),
        entry("fault", 3, "a", fault="torn"),
    ]
    (whole,) = pair(entries)
    assert [fault.attrs["fault"] for fault in whole.faults] == ["torn"]
    (streamed,) = pair(iter(entries))
    assert streamed.faults == ()


def test_what_comes_behind_the_end_of_an_action_is_not_kept() -> None:
    pairing = Pairing()
    pairing.step(entry("fault", 3, "a"))
    pairing.step(entry("reserve", 4, "a", decision="allow"))
    (open_one,) = pairing.unfinished()
    assert open_one.faults == ()
