"""Why a trial did not pass, from one table.

| class   | whose fault                                             | in the denominator |
|---------|---------------------------------------------------------|--------------------|
| agent   | the agent or its model: wrong, crashed, gave up         | yes                |
| timeout | the agent ran out of the trial's time                   | yes                |
| limit   | the agent ran into a budget or a declared limit         | yes                |
| diverged | the agent asked what the recording does not hold       | yes                |
| infra   | something around the agent: provider, network, sandbox  | no                 |
| harness | proofrig, a verifier, or what the suite says of models  | no                 |
| unfired | nobody's: it passed, but no fault struck to show more   | no                 |

The first row of `RULES` whose test holds decides. A trial whose verdicts all pass has passed,
whatever trouble it had on the way; but not one that left its recording. What a fault did to a call
on purpose is neither a limit nor an infra failure: how the agent took it is what is measured.
Which limit a trial ran into is told by its box's counters, never by exit codes: one that crashed
and broke none is the agent's. Wall time is the limit that has a class of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, Literal

import msgspec

from proofrig.agents.agent import Ending
from proofrig.history.action import Action
from proofrig.sandboxes.sandbox import Ended, Limit, Limits, Usage
from proofrig.verifiers.verifier import Verdict

FailureClass = Literal["", "agent", "infra", "timeout", "limit", "diverged", "harness", "unfired"]


class Facts(msgspec.Struct, frozen=True):
    """What is known of an attempt when it has ended."""

    ending: Ending = "ok"
    infra_error: bool = False  # the agent could not be run at all
    harness_error: bool = False
    diverged: bool = False  # a replay had no answer to what the agent asked
    passed: bool | None = None  # None: at least one verifier could not measure, and none failed
    unfired: bool = False  # it passed but for expectations that no fault struck to show
    misconfigured: bool = False  # a mistake of the suite failed an action, see `suite_mistake`
    broke: Sequence[Limit] = ()  # limits of its box, by the box's counters
    limited: bool = False  # an action ran into a budget or a limit and no retry made it good
    infra_unresolved: bool = False  # an action failed for infra reasons and no retry made it good


RULES: Final[tuple[tuple[FailureClass, Callable[[Facts], bool]], ...]] = (
    ("harness", lambda facts: facts.harness_error),
    ("infra", lambda facts: facts.infra_error),
    ("diverged", lambda facts: facts.diverged),
    ("", lambda facts: facts.passed is True),
    ("unfired", lambda facts: facts.passed is None and facts.unfired),
    ("harness", lambda facts: facts.misconfigured),
    ("limit", lambda facts: facts.limited or any(limit != "wall" for limit in facts.broke)),
    ("infra", lambda facts: facts.infra_unresolved),
    ("timeout", lambda facts: facts.ending == "timeout"),
    ("agent", lambda facts: facts.ending != "ok" or facts.passed is False),
    ("harness", lambda facts: True),
)

_MB = 1_000_000

MEASURED: Final[frozenset[FailureClass]] = frozenset({"", "agent", "timeout", "limit", "diverged"})


def classify(facts: Facts) -> FailureClass:
    """The class of an attempt; empty when it passed."""
    return next(name for name, holds in RULES if holds(facts))


def overall(verdicts: Iterable[Verdict]) -> bool | None:
    """All verdicts as one: failed if one failed, else unmeasured if one is, else passed."""
    outcomes = [verdict.passed for verdict in verdicts]
    if False in outcomes:
        return False
    return None if None in outcomes or not outcomes else True


def limited(actions: Iterable[Action]) -> bool:
    """True when the last action of some kind ran into a budget of the authority or a limit that the
    provider declares. A request that was refused because nobody could read it is the agent's."""
    return _last(actions, _over_limit)


def broken(ended: Ended, limits: Limits) -> str:
    """The limits that a box broke, for people, in the order in which it did; "" when none: `limit:
    memory (512 MB): 2 processes were killed; peak 512 MB`. Wall time is told by the ending."""
    said = [_said(limit, limits, ended.usage) for limit in ended.broke if limit != "wall"]
    return f"limit: {'; '.join(said)}" if said else ""


def suite_mistake(actions: Iterable[Action]) -> str:
    """What the suite's author has to mend: a model without a price, or a simulated model that
    raised. "" when there is nothing, or when the agent got past it."""
    last = {action.name: _mistake(action) for action in actions}
    return next((said for said in last.values() if said), "")


def unresolved_infra(actions: Iterable[Action]) -> bool:
    """True when the last action of some kind failed for infra reasons: an agent that retried and
    got through was not stopped by it."""
    asked = (action for action in actions if not action.denied)
    return _last(asked, lambda action: bool(action.attr("infra")))


def _last(actions: Iterable[Action], holds: Callable[[Action], bool]) -> bool:
    return any({action.name: holds(action) for action in actions}.values())


def _mistake(action: Action) -> str:
    if action.denied and action.attr("code") == "price_unknown":
        return str(action.attr("fix", "price_unknown"))
    return str(action.attr("error", "")) if action.attr("harness") else ""


def _over_limit(action: Action) -> bool:
    if action.denied:
        return action.attr("code") not in ("invalid_request", "price_unknown")
    if action.attr("blocked") in ("byte_cap", "limit_egress"):  # cut in the middle
        return True
    over = action.attr("status") in (429, 529) and not action.attr("infra")
    return over and not action.attr("struck")


def _said(limit: Limit, limits: Limits, usage: Usage) -> str:
    """One broken limit: its name, what it is, and what the counters say."""
    amounts: dict[str, tuple[str, list[str]]] = {
        "memory": (
            _mb(limits.memory_bytes),
            [
                _counted(usage.oom_kills, "process was killed", "processes were killed"),
                _with(_mb(usage.memory_peak_bytes), "peak {}"),
            ],
        ),
        "cpu": (_seconds(limits.cpu_ms), [_with(_seconds(usage.cpu_ms), "{} were used")]),
        "processes": (
            _number(limits.processes),
            [
                _counted(usage.processes_refused, "start was refused", "starts were refused"),
                _with(_number(usage.processes_peak), "peak {}"),
            ],
        ),
        "open_files": (
            _number(limits.open_files),
            [_with(_number(usage.open_files_peak), "a process had {}")],
        ),
        "disk": (_mb(limits.disk_bytes), [_with(_mb(usage.disk_bytes), "{} at the end")]),
        "egress": (_mb(limits.egress_bytes), [_with(_mb(usage.bytes_out), "{} were sent")]),
    }
    amount, facts = amounts[limit]
    told = "; ".join(fact for fact in facts if fact) or "it was used up"
    name = limit.replace("_", " ")
    return f"{name} ({amount}): {told}" if amount else f"{name}: {told}"


def _mb(size: int | None) -> str:
    return "" if size is None else f"{size / _MB:,.1f} MB".replace(".0 ", " ")


def _seconds(ms: int | None) -> str:
    return "" if ms is None else f"{ms / 1000:g} s"


def _number(count: int | None) -> str:
    return "" if count is None else f"{count:,}"


def _counted(count: int | None, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}" if count else ""


def _with(amount: str, words: str) -> str:
    return words.format(amount) if amount else ""
