"""A filter installed in a process of its own."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from proofrig.sandboxes import seccomp_helper
from proofrig.sandboxes.seccomp import line, watched_program

SCRIPT = """
import os, sys
sys.path.insert(0, sys.argv[1])
from seccomp_helper import install_watched
try:
    fd = install_watched(bytes.fromhex(sys.argv[2]))
except OSError as error:
    sys.exit(error.errno)
os.close(fd)
os.execvp(sys.argv[3], sys.argv[3:])
"""
PTRACE = (
    "import ctypes, os, sys; libc = ctypes.CDLL(None, use_errno=True);"
    "libc.ptrace(0, 0, 0, 0); sys.exit(ctypes.get_errno())"
)


@pytest.mark.parametrize(
    ("program", "code"),
    [
        (watched_program(), errno.ENOSYS),  # nobody answers: it fails, after exec too
        (line(0x06, 0x7FFF0000), 0),  # allow all: the positive control
        (b"\xff" * 8, errno.EINVAL),  # no program
    ],
    ids=["watched", "allowing", "nonsense"],
)
def test_it_holds_for_what_is_executed(program: bytes, code: int) -> None:
    folder = str(Path(seccomp_helper.__file__).parent)
    argv = [sys.executable, "-I", "-S", "-c", SCRIPT, folder, program.hex()]
    done = subprocess.run([*argv, sys.executable, "-I", "-S", "-c", PTRACE], timeout=60)
    assert done.returncode == code
