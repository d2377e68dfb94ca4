"""The journal writes whole lines in order, and a failed flush loses nothing."""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path

import pytest

from proofrig.errors import JournalError
from proofrig.history.history import History, Tail
from proofrig.history.journal import Journal
from proofrig.wire.turn import Usage


def open_journal(run_dir: Path, writer: str = "rig") -> Journal:
    return Journal(run_dir, writer, count(1).__next__)


def test_entries_come_back_as_they_were_written(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    action = journal.new_action()
    journal.write("reserve", "llm.messages", trial="a:1", tenant="t", scope="t/w", id=action)
    journal.write("note", "said", attrs={"text": "grüße", "n": 1})
    journal.close()
    _, reserve, note = History(tmp_path).entries()
    assert (reserve.kind, reserve.name, reserve.trial, reserve.id) == (
        "reserve",
        "llm.messages",
        "a:1",
        action,
    )
    assert note.attrs == {"text": "grüße", "n": 1}
    assert [reserve.seq, note.seq] == [1, 2]


def test_nothing_is_on_disk_before_a_flush_and_all_of_it_after(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    tail = Tail(tmp_path, journal.segment)
    assert tail.poll() == []
    journal.write("note", "one")
    journal.flush()
    assert [entry.name for entry in tail.poll()] == ["segment", "one"]
    assert tail.poll() == []
    assert journal.flushed == journal.path.stat().st_size


def test_text_that_no_utf8_can_hold_is_written_with_question_marks(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    attrs = {"error": "a\ud800b", "deep": [{"\udc80": ("\udc81", 1, None)}], "usage": Usage(1)}
    journal.write("note", "odd\udfff", attrs=attrs)
    journal.close()
    [entry] = [entry for entry in History(tmp_path).entries() if entry.name != "segment"]
    usage = entry.attrs.pop("usage")
    assert (entry.name, usage["input"]) == ("odd?", 1)
    assert entry.attrs == {"error": "a?b", "deep": [{"?": ["?", 1, None]}]}


def test_each_writer_gets_a_segment_of_its_own(tmp_path: Path) -> None:
    names = [open_journal(tmp_path).segment, open_journal(tmp_path).segment]
    assert names == ["rig-1", "rig-2"]
    assert open_journal(tmp_path, "runner").new_action() == "runner-1.1"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_full_disk_is_said_and_what_was_buffered_survives(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    journal.write("note", "precious")
    real, journal._fd = journal._fd, os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(JournalError, match=r"cannot write the history to .*No space left.*resume"):
        journal.flush()
    os.close(journal._fd)
    journal._fd = real
    journal.close()
    assert [entry.name for entry in History(tmp_path).entries()] == ["segment", "precious"]
