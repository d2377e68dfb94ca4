"""Errors become one message and a stable exit code."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from proofrig.cli.trouble import explain
from proofrig.errors import HarnessError, InfraError, Problem, SuiteError, UsageError


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (UsageError("no suite here"), 2, "error no suite here"),
        (SuiteError([Problem("bad", "s.yaml", 1, 2)]), 2, "error s.yaml:1:2: bad"),
        (InfraError("disk full"), 6, "stopped disk full"),
        (OSError(errno.ENOSPC, "No space left", "f"), 6, "nothing can be written at f: No space"),
        (OSError(errno.ENOENT, "No such file", "f"), 3, "internal error"),
        (HarnessError("lost count"), 3, "internal error HarnessError: lost count"),
        (ZeroDivisionError("division by zero"), 3, "This is a fault of proofrig"),
    ],
)
def test_explain(
    error: Exception, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert explain(error) == code
    assert said in capsys.readouterr().err


def test_the_number_of_problems_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    explain(SuiteError([Problem("a"), Problem("b")]))
    assert "2 problems; nothing was run." in capsys.readouterr().err


def test_the_traceback_of_our_own_faults_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise ValueError("inside")
    except ValueError as error:
        explain(error)
    path = Path(capsys.readouterr().err.rsplit("is in ", 1)[1].strip().rstrip("."))
    assert "ValueError: inside" in path.read_text()
    path.unlink()
