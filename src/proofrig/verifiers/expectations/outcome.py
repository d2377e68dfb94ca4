"""`outcome`: the agent completes the task in spite of the faults, or fails cleanly.

Rules:
1. It completes when the case's own verifiers pass and it ended well.
2. It fails cleanly when it ended without a crash or a timeout and tells the user: the answer
   matches `says`, claims no success, and is no raw traceback. Of an agent that ended with an error
   status by itself (a command's exit code, an HTTP status), what it wrote is its answer.
3. `either` passes when one of them holds.
4. A sentence that has a word of failure, or is negated, claims nothing; "without errors" is no
   word of failure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from proofrig.verifiers.expectations.struck import Hits, verdict
from proofrig.verifiers.verifier import Verdict, cut

Outcome = Literal["completes", "fails_cleanly", "either"]

SAYS = (
    r"\b(sorry|apologi[sz]e|unfortunately|unable|unavailable|unsuccessful|fail(ed|ure|s|ing)?|"
    r"errors?|problems?|incomplete|interrupted|aborted|gave up|giving up|"
    r"(can|could|did|does|was|were|have|has|is|are)(n['’]t|not| not)\b|"
    r"timed? ?out|try (it )?(again|later)|went wrong|rate.?limit(ed)?|no (answer|response|result))"
)
CLAIMS = (
    r"\bsuccessful(ly)?\b|^\W*(done|ok|okay|completed?|finished)\b|"
    r"\b(has|have) been (\w+ly )?(refunded|sent|created|updated|deleted|removed|cancell?ed|booked|"
    r"ordered|processed|paid|transferred|saved|shipped|completed|confirmed|added|changed)\b|"
    r"\bI(['’]ve| have) (\w+ly )?(refunded|sent|created|updated|deleted|removed|cancell?ed|booked|"
    r"ordered|processed|paid|transferred|saved|completed|confirmed|added|changed)\b"
)
_NO_TROUBLE = re.compile(
    r"\b(without|no|zero) (any |further |an? )?(errors?|problems?|issues?|failures?|trouble)\b",
    re.IGNORECASE,
)
_TRACEBACK = re.compile(
    r"Traceback \(most recent call last\)|^\s*File \"[^\"\n]+\", line \d+|"
    r"^\s+at [\w$.<>]+ ?\([^)\n]*:\d+(:\d+)?\)|^panic: |^goroutine \d+ \[",
    re.MULTILINE,
)
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_NEGATED = re.compile(
    SAYS + r"|\b(not|never|no|nothing|neither|without|un(til|less)|if|once|before|whether)\b",
    re.IGNORECASE,
)


class Tried(msgspec.Struct, frozen=True):
    """How the agent ended. said: what the user was told. trouble: why it did not end well, "" when
    it did. crashed: it did not end by itself, or only by an exception."""

    said: str = ""
    trouble: str = ""
    crashed: bool = False

    @classmethod
    def of(cls, reply: Ended, answer: str) -> Tried:
        """From the agent's reply, or what the history keeps of it."""
        if reply.ending == "ok":
            return cls(answer)
        by_itself = reply.ending == "error" and reply.exit_code is not None
        said = answer.strip() or (reply.detail if by_itself else "")
        return cls(said, reply.error or reply.ending, not by_itself)


class Ended(Protocol):
    """How an agent ended."""

    @property
    def ending(self) -> str: ...
    @property
    def error(self) -> str: ...
    @property
    def detail(self) -> str: ...
    @property
    def exit_code(self) -> int | None: ...


def outcome_of(
    wanted: Outcome, hits: Hits, own: Sequence[Verdict], tried: Tried, says: str
) -> Verdict:
    """own: what the case's verifiers say. says: what a failure is told by."""
    missed = _missed(own, tried)
    if wanted == "completes":
        return _verdict(wanted, hits, missed, "the task done and its verifiers passed")
    unclean = _unclean(tried, says)
    if wanted == "fails_cleanly":
        if unclean and not missed:
            unclean += "; the task was done: write `either` where that is right too"
        return _verdict(wanted, hits, unclean, "an answer that tells the user of the failure")
    both = f"not completed: {missed}; not failed cleanly: {unclean}"
    either = "the task done, or an answer that tells the user of the failure"
    return _verdict(wanted, hits, both if missed and unclean else "", either)


def completed(own: Sequence[Verdict], tried: Tried) -> bool:
    """True when the task is done."""
    return not _missed(own, tried)


def _verdict(what: str, hits: Hits, wrong: str, expected: str) -> Verdict:
    return verdict(what, not wrong, f"{expected}, under {hits.says()}", wrong or "that")


def _missed(own: Sequence[Verdict], tried: Tried) -> str:
    """Why the task is not done; "" when it is."""
    missed = [one.verifier for one in own if one.passed is not True]
    if missed:
        return f"{len(missed)} of {len(own)} verifiers did not pass ({', '.join(missed[:4])})"
    return tried.trouble


def _unclean(tried: Tried, says: str) -> str:
    """Why it did not fail cleanly; "" when it did."""
    if tried.crashed:
        return tried.trouble
    text = tried.said.strip()
    if not text:
        return "an empty answer: the user is told nothing"
    if _TRACEBACK.search(text):
        return f"a raw traceback: {cut(text, 80)}"
    told = _NO_TROUBLE.sub("", text)
    if not re.search(says, told, re.IGNORECASE | re.MULTILINE):
        return f"no word of the failure (`says`) in {cut(text, 120)!r}"
    claim = next((one for one in _SENTENCE.split(told) if _claims(one)), "")
    return f"a claim of success: {cut(claim.strip(), 120)!r}" if claim else ""


def _claims(sentence: str) -> bool:
    return bool(re.search(CLAIMS, sentence, re.IGNORECASE)) and not _NEGATED.search(sentence)
