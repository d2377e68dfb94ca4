"""Descriptors on their way to another process, and their numbers there."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from proofrig.sandboxes import descriptors

SCRIPT = """
import os, sys
sys.path.insert(0, sys.argv[1])
import descriptors
link = descriptors.keep_free(int(sys.argv[2]), 8)
made = [os.open("/dev/null", os.O_RDONLY) for _ in range(5)]
text = descriptors.in_memory(b"text")
assert min(link, text, *made) >= 8, (link, text, made)
descriptors.give({5: text, 4: link})
os.write(4, os.read(5, 99))
"""


def test_numbers_are_kept_free_and_given() -> None:
    folder = str(Path(descriptors.__file__).parent)
    read, write = os.pipe()
    try:
        subprocess.run(
            [sys.executable, "-I", "-S", "-c", SCRIPT, folder, str(write)],
            pass_fds=[write],
            check=True,
        )
        assert os.read(read, 99) == b"text"
    finally:
        os.close(read)
        os.close(write)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (FileNotFoundError(2, "No such file", "x"), b"!2 [Errno 2] No such file: 'x'"),
        (ValueError("odd"), b"!5 odd"),
    ],
    ids=["of the kernel", "other"],
)
def test_a_refusal_has_number_and_reason(error: Exception, text: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        descriptors.refuse(theirs, error)
        assert ours.recv(99) == text
