"""What reading and writing a history costs.

Writes N entries (default 1,000,000) as two segments, then reads, merges, pairs and folds them, and
compresses them. Prints CPU seconds, peak memory, and the ratio to a bare `json` loop over the same
bytes, measured in the same run.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

from proofrig.history.archive import archive
from proofrig.history.format import segments_of
from proofrig.history.history import History
from proofrig.history.journal import Journal

CALL = {"usd_micro": 210, "tokens": 512, "calls": 1, "calls:llm": 1}


def write(run_dir: Path, entries: int) -> None:
    ticks = iter(range(10**12))
    journals = [Journal(run_dir, name, lambda: next(ticks) * 1_000) for name in ("rig", "runner")]
    for number in range(entries // 3):
        journal = journals[number & 1]
        trial, scope = f"case-{number % 500}:{number % 4}", f"acme/support/agent/{number}"
        ids = {"trial": trial, "tenant": "acme", "scope": scope, "id": journal.new_action()}
        name = "llm.chat_completions"
        journal.write("reserve", name, attrs={"decision": "allow", "estimate": CALL}, **ids)
        journal.write("start", name, **ids)
        end = {"outcome": "ok", "status": 200, "actual": CALL, "source": "measured"}
        journal.write("commit", name, attrs=end | {"service_ns": 1_000_000}, **ids)
    for journal in journals:
        journal.close()


class Totals:
    """A typical fold: counts and sums per trial."""

    def __init__(self) -> None:
        self.spent: dict[str, int] = {}

    def step(self, entry: object) -> None:
        if entry.kind == "commit":  # type: ignore[attr-defined]
            cost = entry.attrs["actual"]["usd_micro"]  # type: ignore[attr-defined]
            self.spent[entry.trial] = self.spent.get(entry.trial, 0) + cost  # type: ignore[attr-defined]

    def result(self) -> dict[str, int]:
        return self.spent


def timed(name: str, work: object) -> float:
    before = time.process_time()
    work()  # type: ignore[operator]
    spent = time.process_time() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{name:<34} {spent:8.2f} s CPU   peak {peak:7.0f} MiB")
    return spent


def main() -> None:
    entries = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        run_dir = Path(folder)
        print(f"{entries:,} entries")
        timed("write", lambda: write(run_dir, entries))
        size = sum(path.stat().st_size for path in segments_of(run_dir))
        print(f"{size / entries:.0f} bytes per entry")

        def bare() -> None:
            for path in segments_of(run_dir):
                with path.open("rb") as file:
                    for line in file:
                        json.loads(line)

        reference = timed("reference: json.loads per line", bare)
        read = timed("read, merge, fold", lambda: History(run_dir).fold(Totals()))
        paired = timed("read, merge, pair", lambda: sum(1 for _ in History(run_dir).actions()))
        timed("compress (zstd)", lambda: archive(run_dir))
        timed("read, merge, fold (compressed)", lambda: History(run_dir).fold(Totals()))
        print(f"ratio to reference: fold {read / reference:.2f}, pair {paired / reference:.2f}")


if __name__ == "__main__":
    main()
