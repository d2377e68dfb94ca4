"""What a killed rig left open: history and ledger come to the same sums."""

from __future__ import annotations

from pathlib import Path

from proofrig.authority.authority import recover
from proofrig.authority.transition import ReserveRequest
from proofrig.history.action import Action
from proofrig.history.history import History
from proofrig.history.journal import Journal
from proofrig.rig.recovery import settle_open

HELD = {"usd_micro": 500, "calls": 1}


def killed(run_dir: Path) -> None:
    """A rig's files as kill -9 leaves them: four calls, each cut off at another moment."""
    journal, ledger = Journal(run_dir, "rig", lambda: 1), recover(run_dir / "a.db", lambda: 1)

    def entry(kind: str, id: str, **attrs: object) -> None:
        journal.write(kind, "llm.messages", trial="c:1", scope="t/r", id=id, attrs=attrs)

    for id in ("ended", "lost", "started", "reserved"):
        ledger.reserve(ReserveRequest(id, "t/r", "llm.messages", HELD))
        entry("reserve", id, decision="allow", estimate=HELD)
        if id != "reserved":
            entry("start", id)
            ledger.start(id)
        if id in ("ended", "lost"):
            ledger.commit(id, {"usd_micro": 7})
    entry("commit", "ended", outcome="ok", actual={"usd_micro": 7, "calls": 1})
    entry("reserve", "denied", decision="deny")
    journal.close()
    ledger.close()


def test_open_actions_get_the_end_that_the_ledger_gave_them(tmp_path: Path) -> None:
    killed(tmp_path)
    journal, ledger = Journal(tmp_path, "rig", lambda: 2), recover(tmp_path / "a.db", lambda: 2)
    assert settle_open(tmp_path, journal, ledger) == 3
    assert settle_open(tmp_path, _flushed(journal), ledger) == 0
    journal.close()
    found = {action.id: action for action in History(tmp_path).actions()}
    ends = {id: (a.end.kind, a.outcome, a.attr("source")) for id, a in found.items() if a.end}
    assert ends == {
        "ended": ("commit", "ok", None),
        "lost": ("commit", "ok", "measured"),
        "started": ("commit", "unknown", "estimated"),
        "reserved": ("release", "fail", None),
    }
    assert {action.trial for action in found.values()} == {"c:1"}
    booked = {unit: balance.spent for unit, balance in ledger.balances("t/r").items()}
    assert booked == _spent(found) == {"usd_micro": 514, "calls": 3}
    ledger.close()


def test_a_new_run_has_nothing_to_settle(tmp_path: Path) -> None:
    journal, ledger = Journal(tmp_path, "rig", lambda: 1), recover(tmp_path / "a.db", lambda: 1)
    assert settle_open(tmp_path, journal, ledger) == 0
    journal.close()
    ledger.close()


def _flushed(journal: Journal) -> Journal:
    journal.flush()
    return journal


def _spent(actions: dict[str, Action]) -> dict[str, int]:
    total: dict[str, int] = {}
    for action in actions.values():
        for unit, amount in action.attr("actual", {}).items():
            total[unit] = total.get(unit, 0) + amount
    return total
