"""Tags: whose a thing is, and whether that one lives."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from proofrig.sandboxes import owners


def started(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


def test_the_tag_of_this_process_names_it() -> None:
    tag = owners.tag()
    assert tag == owners.tag()
    assert tag.startswith(f"{os.getpid()}-{started(os.getpid())}")
    assert not owners.is_dead(tag)


@pytest.mark.parametrize(
    ("text", "dead"),
    [
        ("4194999-1", True),  # no kernel gives out such a pid
        ("1-18446744073709551615", True),  # the pid of another one now
        ("4194999-1n1", False),  # of another namespace: nobody can tell
        ("", False),
        ("4194999", False),
        ("4194999-1x", False),
        ("-1-1", False),
        ("../4194999-1", False),
    ],
)
def test_who_is_dead(text: str, dead: bool) -> None:
    suffix = owners.tag().partition("n")[2]
    here = f"n{suffix}" if suffix and dead else ""
    assert owners.is_dead(text + here) is dead


def test_a_process_that_waits_to_be_reaped_is_dead() -> None:
    process = subprocess.Popen(["sleep", "300"])
    try:
        suffix = owners.tag().partition("n")[2]
        tag = f"{process.pid}-{started(process.pid)}" + (f"n{suffix}" if suffix else "")
        assert not owners.is_dead(tag)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert owners.is_dead(tag)
    finally:
        process.kill()
        process.wait()
    assert owners.is_dead(tag)
