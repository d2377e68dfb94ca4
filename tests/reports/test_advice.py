"""Kinds of findings in, what to do out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

import proofrig.checkers
from proofrig.anomalies.loops import LoopKind
from proofrig.anomalies.signature import FIGURES
from proofrig.reports.advice import ADVICE, advice_on

# Kinds whose names are put together of parts.
MADE = {*get_args(LoopKind), "calls_flood", "tokens_flood", *(f"{f}_drift" for f in FIGURES)}
OF_THE_WATCH = {"flood"}
SAID = {"retry_storm", "pool_starvation"}  # their findings end with what to do


def kinds() -> set[str]:
    """The kinds that checkers add, as they stand in their sources."""
    sources = Path(proofrig.checkers.__file__).parent.glob("*.py")
    text = "\n".join(source.read_text() for source in sources)
    pattern = r"(?:indings\.add|\bFinding|self\._add)\(\s*\"([a-z_]+)\""
    return set(re.findall(pattern, text)) | MADE


def test_every_kind_that_a_checker_finds_has_advice_once() -> None:
    assert (kinds() | OF_THE_WATCH) - SAID == ADVICE.keys()
    assert kinds() & SAID == SAID


@pytest.mark.parametrize("text", ADVICE.values())
def test_advice_is_one_short_line_of_text(text: str) -> None:
    assert len(text) <= 130 and "\n" not in text
    assert text.endswith(".") and text.count("`") % 2 == 0
    assert not set("<>|*") & set(text)


def test_what_the_watch_did_about_a_kind_changes_no_advice() -> None:
    assert advice_on("ping_pong_stopped") == advice_on("ping_pong") != ""
    assert advice_on("flood_denied") == ADVICE["flood"]


def test_a_kind_that_is_not_known_has_none() -> None:
    assert (advice_on("no_such_kind"), advice_on("retry_storm")) == ("", "")
