"""A process that works with a journal and is killed at a write of it.

    KILL_AT="before 17" python -m authority_killed JOURNAL SEED        in tests/

It goes through the calls of `sequence(SEED)`, says the number of each once it is answered, and
sends itself SIGKILL before or after the write that is named. Without KILL_AT it goes to the end.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from proofrig.authority.authority import Authority
from proofrig.authority.journal import Journal
from proofrig.authority.ledger import Ledger
from proofrig.authority.policy import parse_policy
from proofrig.authority.transition import ReserveRequest
from proofrig.errors import LedgerError

SECOND = 1_000_000_000
POLICY = parse_policy(
    """
taint: {tool.fetch: web}
limits: {acme: {tokens: 400, "calls/minute": 12}, "acme/*": {children: 2}}
rules:
  - {name: no-mail, deny: tool.mail, tainted: web}
  - {name: asks, ask: tool.refund, wait_s: 9}
"""
)
SCOPES = ("acme/wf/bot/r1", "acme/wf/bot/r2", "acme/wf/clerk/r3", "acme/wf/chef/r4", "acme/wf2")

Call = Callable[[Authority], object]


def sequence(seed: int, calls: int = 60) -> list[Call]:
    """Calls that may be made again, each at its own time. Some are refused."""
    draw, made, ids = random.Random(seed), [], ["none"]
    for n in range(calls):
        id, kind = draw.choice(ids[-4:]), draw.random()
        amounts = {"tokens": draw.randrange(60), "calls": 1}
        if kind < 0.35:
            ids.append(f"{n}")
            tool = draw.choice(("tool.x", "tool.fetch", "tool.mail", "tool.refund"))
            request = ReserveRequest(f"{n}", draw.choice(SCOPES), tool, amounts, 9 * SECOND)
            made.append(_reserve(request))
        else:
            reason = draw.choice(("gone", "late"))
            events: list[tuple[float, Call]] = [
                (0.50, lambda a, id=id: a.start(id)),  # type: ignore[misc]
                (0.65, lambda a, id=id, n=amounts: a.commit(id, n)),  # type: ignore[misc]
                (0.72, lambda a, id=id, r=reason: a.release(id, r)),  # type: ignore[misc]
                (0.80, lambda a, id=id: a.extend(id, 20 * SECOND)),  # type: ignore[misc]
                (0.88, lambda a, id=id: a.approve(id, "ann")),  # type: ignore[misc]
                (0.92, lambda a, id=id: a.refuse(id, "bob")),  # type: ignore[misc]
                (0.95, _event(ReserveRequest(f"e{n}", SCOPES[0], "tool.x", amounts, SECOND))),
                (1.00, lambda a: a.sweep()),
            ]
            made.append(next(call for below, call in events if kind < below))
    return [*made, lambda a: a.sweep(everything=True)]


def _reserve(request: ReserveRequest) -> Call:
    return lambda authority: authority.reserve(request)


def _event(request: ReserveRequest) -> Call:
    return lambda authority: authority.event(request)


class At:
    """A clock that says which call is made."""

    def __init__(self) -> None:
        self.call = 0

    def __call__(self) -> int:
        return 1_000_000 * SECOND + self.call * SECOND


def go_on(authority: Authority, at: At, seed: int, first: int, told: Callable[[int], None]) -> None:
    """Make the calls from number `first` on."""
    for n, call in enumerate(sequence(seed)):
        if n >= first:
            at.call = n
            with contextlib.suppress(LedgerError):
                call(authority)
            told(n)


class Killed(Journal):
    """A journal whose process ends at a write."""

    at = (os.environ.get("KILL_AT") or "never 0").split()
    written = 0

    def _try(self) -> None:
        self.written += 1
        if self.at == ["before", str(self.written)]:
            os.kill(os.getpid(), signal.SIGKILL)
        super()._try()
        if self.at == ["after", str(self.written)]:
            os.kill(os.getpid(), signal.SIGKILL)


def main(path: Path, seed: int) -> None:
    at = At()
    authority = Authority(Ledger(), Killed(path), at, POLICY)
    go_on(authority, at, seed, 0, lambda n: print(n, flush=True))
    authority.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
