"""What the faults did to one trial, as far as an expectation is about them.

Rules:
1. A fault that did not strike the trial tests nothing: what is expected under it is then not
   measured, and the verdict says what to do about that.
2. Without names all faults are meant, with names only those.
3. A verdict of an expectation is named `expect.<what>`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator

import msgspec

from proofrig.history.action import Action, Entry
from proofrig.verifiers.verifier import Evidence, Verdict, cut

EXPECT = "expect."


class Hits(msgspec.Struct, frozen=True):
    """The actions of a trial that the meant faults struck, in the order in which they ended."""

    evidence: Evidence
    meant: tuple[str, ...]
    struck: tuple[Action, ...]

    @classmethod
    def of(cls, evidence: Evidence, meant: Collection[str]) -> Hits:
        """What struck; `meant`: titles of faults, none for all of them."""
        struck = tuple(one for one in evidence.actions if any(faults_of(one, meant)))
        return cls(evidence, tuple(meant), struck)

    def faults(self) -> Iterator[Entry]:
        """The entries of the meant faults."""
        for action in self.struck:
            yield from faults_of(action, self.meant)

    def says(self) -> str:
        """What struck how often: `rate_limit 2 times`."""
        counts = Counter(title_of(fault) for fault in self.faults())
        return ", ".join(
            name if count == 1 else f"{name} {count} times"
            for name, count in sorted(counts.items())
        )


def faults_of(action: Action, meant: Collection[str]) -> Iterator[Entry]:
    """The entries of the meant faults upon an action."""
    return (fault for fault in action.faults if not meant or title_of(fault) in meant)


def title_of(fault: Entry) -> str:
    """What the fault is called."""
    return str(fault.attrs.get("fault") or fault.name)


def verdict(what: str, passed: bool | None, expected: str, got: str, why: str = "") -> Verdict:
    """The verdict `expect.<what>`."""
    expected, got = cut(expected), cut(got)
    return Verdict(
        verifier=EXPECT + what,
        passed=passed,
        score=float(passed is True),
        message=f"expected {expected}; got {got}" + (f" ({why})" if why else ""),
        expected=expected,
        got=got,
    )


def unfired(what: str, meant: Iterable[str]) -> Verdict:
    """The verdict on an expectation whose faults did not strike."""
    named = ", ".join(meant)
    none = f"none of the faults it is about ({named})" if named else "no fault"
    return Verdict(
        verifier=EXPECT + what,
        passed=None,
        message=f"not measured: {none} struck this trial. Raise `probability`, widen `on` or "
        "`when` of the fault, or run more repeats; the section Faults of the report says what "
        "struck.",
    )
