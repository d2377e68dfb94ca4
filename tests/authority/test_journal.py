"""The journal: what is written, what a replay refuses, and what survives a kill."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from proofrig.authority.journal import Journal
from proofrig.authority.ledger import Ledger
from proofrig.authority.transition import ReserveRequest, Transition
from proofrig.errors import JournalError

HOLD = {"tokens": 100, "calls": 1}


def five() -> tuple[Ledger, list[Transition]]:
    """A budget, a whole action and a hold that stays open: five transitions."""
    ledger = Ledger()
    made = [
        ledger.set_budget("acme", {"tokens": 1000}, 1),
        ledger.reserve(ReserveRequest("a", "acme/wf", "llm.chat", HOLD), 2),
        ledger.start("a", 3),
        ledger.commit("a", {"tokens": 70}, "measured", "ok", 4),
        ledger.reserve(ReserveRequest("b", "acme/wf", "llm.chat", HOLD), 5),
    ]
    return ledger, made


def written(path: Path) -> Ledger:
    ledger, made = five()
    with Journal(path) as journal:
        for transition in made:
            journal.append(transition)
    return ledger


def figures(ledger: Ledger) -> dict[str, object]:
    return {scope: ledger.balances(scope) for scope in ledger.scopes()}


def edit(path: Path, sql: str) -> None:
    db = sqlite3.connect(path, isolation_level=None)
    db.execute(sql)
    db.close()


def rows(path: Path) -> list[int]:
    db = sqlite3.connect(path)
    try:
        return [seq for (seq,) in db.execute("select seq from transitions order by seq")]
    finally:
        db.close()


def test_a_replay_gives_the_ledger_that_was_journalled(tmp_path: Path) -> None:
    ledger = written(tmp_path / "j")
    again = Ledger()
    with Journal(tmp_path / "j") as journal:
        replay = journal.replay(again)
    assert (replay.applied, replay.aside) == (5, ())
    assert figures(again) == figures(ledger)
    assert (again.seq, again.open(), again.state("a")) == (5, ("b",), "committed")


def test_an_answer_given_again_is_not_written_again(tmp_path: Path) -> None:
    _, made = five()
    with Journal(tmp_path / "j") as journal:
        for transition in [*made, made[1], made[3]]:
            journal.append(transition)
    assert rows(tmp_path / "j") == [1, 2, 3, 4, 5]


def test_a_batch_is_written_when_full_flushed_or_at_the_end_of_its_tick(tmp_path: Path) -> None:
    _, made = five()
    ticks: list[Callable[[], None]] = []
    with Journal(tmp_path / "j", batch=3, defer=ticks.append) as journal:
        journal.append(made[0])
        journal.append(made[1])
        assert (rows(tmp_path / "j"), len(ticks)) == ([], 1)
        journal.append(made[2])
        assert rows(tmp_path / "j") == [1, 2, 3]
        journal.append(made[3])
        ticks[-1]()
        assert rows(tmp_path / "j") == [1, 2, 3, 4]
        journal.append(made[4])
        journal.flush()
        assert rows(tmp_path / "j") == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("sql", "seqs", "says"),
    [
        (
            "update transitions set body = replace(body, 'llm', 'lim') where seq = 5",
            [5],
            "checksum",
        ),
        ("update transitions set body = 7 where seq = 5", [5], "checksum"),
        ("update transitions set crc = null where seq = 5", [5], "checksum"),
        ("update transitions set seq = 6 where seq = 5", [5, 6], "rows 5 to 5"),
        ("delete from transitions where seq = 2", [2, 3, 4], "rows 2 to 2"),
        ("update transitions set body = x'00' where seq = 3", [3, 4], "checksum"),
    ],
)
def test_a_bad_row_is_refused_by_name_and_set_aside_only_when_asked(
    tmp_path: Path, sql: str, seqs: list[int], says: str
) -> None:
    written(tmp_path / "j")
    edit(tmp_path / "j", sql)
    with Journal(tmp_path / "j") as journal:
        with pytest.raises(JournalError, match=says) as refused:
            journal.replay(Ledger())
        assert [f"row {seq}:" in str(refused.value) for seq in seqs] == [True] * len(seqs)
        ledger = Ledger()
        replay = journal.replay(ledger, set_aside=True)
        assert [bad.seq for bad in replay.aside] == seqs
    with Journal(tmp_path / "j") as journal:  # now it is whole, and still says what is missing
        again = Ledger()
        assert [bad.seq for bad in journal.replay(again).aside] == seqs
        assert figures(again) == figures(ledger)
        fresh = again.reserve(ReserveRequest("c", "acme", "llm.chat", HOLD), 9)
        journal.append(fresh)
        assert fresh.seq > max(seqs)
    with Journal(tmp_path / "j") as journal:
        assert journal.replay(last := Ledger()).applied == replay.applied + 1
        assert figures(last) == figures(again)


def test_a_file_that_is_no_journal_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a database, but long enough to be read as one" * 40)
    edit(tmp_path / "other", "create table t(x)")
    for name in ("text", "other", "absent/folder/j"):
        with pytest.raises(JournalError, match="expected a"):
            Journal(tmp_path / name)


def test_what_cannot_be_written_stays_queued_in_order(tmp_path: Path) -> None:
    _, made = five()
    with Journal(tmp_path / "j") as journal:
        journal.append(made[0])
        edit(tmp_path / "j", "alter table transitions rename to away")
        journal.append(made[1])
        journal.append(made[2])
        assert "free the disk" in str(journal.failure)
        with pytest.raises(JournalError):
            journal.flush()
        edit(tmp_path / "j", "alter table away rename to transitions")
        journal.flush()
        assert journal.failure is None
    assert rows(tmp_path / "j") == [1, 2, 3]


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    _, made = five()
    with Journal(tmp_path / "j") as journal:
        other = Journal(tmp_path / "j")
        journal.append(made[0])
        other.append(made[0])
        assert "only writer" in str(other.failure)
        with pytest.raises(JournalError, match="only writer"):
            other.close()
    assert rows(tmp_path / "j") == [1]


WORKER = """
import asyncio, itertools, os, sys, time
from proofrig.authority.authority import Authority
from proofrig.authority.journal import Journal
from proofrig.authority.ledger import Ledger, ReserveRequest

async def work(path, batch):
    defer = asyncio.get_running_loop().call_soon
    authority = Authority(Ledger(), Journal(path, batch=batch, defer=defer), time.time_ns)
    for n in itertools.count():
        hold = {"tokens": 100 + n % 7, "calls": 1}
        for id in (f"{n}", f"{n}x"):
            authority.reserve(ReserveRequest(id, "acme/wf/bot/r1", "tool.x", hold))
            authority.start(id)
            os.write(1, f"start {id}\\n".encode())
        authority.commit(f"{n}", {"tokens": 10})
        os.write(1, f"commit {n}\\n".encode())
        await asyncio.sleep(0)

asyncio.run(work(sys.argv[1], int(sys.argv[2])))
"""


@pytest.mark.parametrize(("batch", "lines"), [(1, 1), (1, 200), (1, 333), (64, 250)])
def test_kill_9_loses_no_start_that_was_acknowledged(
    tmp_path: Path, batch: int, lines: int
) -> None:
    """Invariants 5 and 8: what was told to have started is covered after a replay."""
    path = tmp_path / "j"
    with subprocess.Popen(
        [sys.executable, "-c", WORKER, str(path), str(batch)], stdout=subprocess.PIPE
    ) as worker:
        assert worker.stdout is not None
        told = [worker.stdout.readline() for _ in range(lines)]
        worker.send_signal(signal.SIGKILL)
        told += worker.stdout.readlines()  # what it had told before it died
    words = [line.decode().split() for line in told if line.endswith(b"\n")]
    started = [id for verb, id in words if verb == "start"]
    committed = {id for verb, id in words if verb == "commit"}
    assert len(started) + len(committed) >= lines

    ledger = Ledger()
    with Journal(path) as journal:
        journal.replay(ledger)
    assert all(ledger.state(id) in ("started", "committed") for id in started)
    if batch == 1:
        assert all(ledger.state(id) == "committed" for id in committed)
    ledger.expire_all(0)
    due = sum(10 if id in committed else 100 + int(id.strip("x")) % 7 for id in started)
    attempted = {id for id in started if "x" not in id} - committed  # told or not, one may be in
    balance = ledger.balances("acme")["tokens"]
    assert balance.reserved == 0
    assert balance.spent >= due - 96 * len(attempted)
    assert ledger.balances("acme")["calls"].spent >= len(started)


def test_half_a_character_does_not_stop_what_comes_behind_it(tmp_path: Path) -> None:
    ledger, file = Ledger(), tmp_path / "ledger.db"
    with Journal(file) as journal:
        for id in ("a\ud800", "b"):
            request = ReserveRequest(id, f"acme/{id}", f"tool.{id}", {f"calls:{id}": 1, "calls": 1})
            journal.append(ledger.reserve(request, 1))
            journal.append(ledger.start(id, 2))
            journal.flush()
    replayed = Ledger()
    with Journal(file) as journal:
        assert journal.replay(replayed).applied == 4
    assert replayed.balances("acme")["calls"] == ledger.balances("acme")["calls"]
