"""Which commands a fork of the warm interpreter can be; what it does then is tested with machines,
in `test_vm.py`."""

from __future__ import annotations

import sys

import pytest

from proofrig.sandboxes.guest.programs import forkable


@pytest.mark.parametrize(
    ("argv", "env", "expected"),
    [
        ([sys.executable, "/a/host.py", "x"], {"A": "1"}, True),
        ([sys.executable, "/a/host.py"], {"PYTHONUNBUFFERED": "1", "PYTHONPATH": "/p"}, True),
        ([sys.executable, "/a/host.py"], {"PYTHONHASHSEED": "0"}, False),
        ([sys.executable, "-m", "agent"], {}, False),
        ([sys.executable, "-"], {}, False),
        ([sys.executable, "/a/app.zip"], {}, False),
        ([sys.executable], {}, False),
        (["/usr/bin/other-python", "/a/host.py"], {}, False),
        (["sh", "/a/host.py"], {}, False),
    ],
    ids=["script", "known", "unknown", "module", "stdin", "zip", "alone", "other", "shell"],
)
def test_forkable(argv: list[str], env: dict[str, str], expected: bool) -> None:
    assert forkable(argv, env) == expected
