"""The end of a trial in, its box in words out."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from proofrig.reports.boxed import ROWS, UNSEEN, Box, box_of
from proofrig.sandboxes.sandbox import Ended, Refused


def told(ended: Ended, text: int = 10_000, **attrs: Any) -> Box:
    found = box_of({"box": msgspec.to_builtins(ended)} | attrs, text)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("ended", "says"),
    [
        (Ended("process", "advisory"), "process, limits advisory"),
        (
            Ended("vm", "enforced", start="fork", start_ms=1_200),
            "vm, limits enforced, ready after 1,200 ms, a copy of a warm interpreter",
        ),
        (
            Ended("process", "none", strays=1),
            "process, limits not held, 1 process had to be hunted down",
        ),
        (Ended("namespace", "enforced", by="kill"), "namespace, limits enforced"),
        (
            Ended("namespace", "enforced", by="cpu", broke=("cpu",)),
            "namespace, limits enforced, ended by its limit of processor time",
        ),
        (
            Ended("gvisor", "enforced", by="lost"),
            "gvisor, limits enforced, ended because the sandbox failed: no fault of the trial",
        ),
    ],
    ids=["plain", "warm", "strays", "ours", "limit", "lost"],
)
def test_how_a_box_ended_is_said(ended: Ended, says: str) -> None:
    assert told(ended) == Box(says)


def test_what_it_was_refused_is_told_and_the_rest_counted() -> None:
    tried = (Refused("connect", "tcp 1.1.1.1:443", 3), Refused("syscall", "bpf"))
    assert told(Ended("namespace", "enforced", refused=tried)).refused == [
        "connect tcp 1.1.1.1:443, 3 times",
        "syscall bpf",
    ]
    many = Ended("vm", "enforced", refused=tuple(Refused("send", f"udp {n}") for n in range(80)))
    assert (len(told(many).refused), told(many).more) == (ROWS, 80 - ROWS)
    assert (len(told(many, 100).refused), told(many, 100).more) == (10, 70)


def test_what_it_tried_is_the_trials_own_text() -> None:
    [said] = told(Ended("vm", "enforced", refused=(Refused("x", "\x1b[2J\n" + "a" * 999),))).refused
    assert "\x1b" not in said and "\n" not in said
    assert len(said) < 300


@pytest.mark.parametrize("error", ["FileNotFoundError: 'a'", "ModuleNotFoundError: 'b'"])
def test_what_a_box_does_not_see_is_hinted_at(error: str) -> None:
    assert told(Ended("namespace", "enforced"), error=error).hint == UNSEEN
    assert told(Ended("process", "advisory"), error=error).hint == ""


def test_without_a_box_there_is_nothing_to_tell() -> None:
    assert box_of({}, 100) is None
    assert box_of({"box": "no box"}, 100) is None
    assert box_of({"box": {"level": 3}}, 100) is None
