"""The filter in real processes: no signal to process 1, all others as before."""

from __future__ import annotations

import base64
import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from proofrig.sandboxes import inside, shield

TRY = """
import base64, ctypes, json, os, runpy, signal, sys, threading
inside = runpy.run_path(sys.argv[1])
numbers, tkill = json.loads(sys.argv[3])
inside["confine"](base64.b64decode(sys.argv[2]))
libc = ctypes.CDLL(None, use_errno=True)
def error(number, *arguments):
    ctypes.set_errno(0)
    libc.syscall(ctypes.c_long(number), *(ctypes.c_long(each) for each in arguments))
    return ctypes.get_errno()
own = threading.get_native_id()
print(json.dumps({
    "first": [error(number, 1, 0, 0, 0) for number in numbers],
    "fatal": error(tkill, own, 9),
    "harmless": error(tkill, own, 0),
    "own": error(numbers[0], os.getpid(), 0),
    "abort": error(tkill, own, signal.SIGWINCH),
}))
"""


def test_nothing_ends_the_first_process() -> None:
    machine = platform.machine()
    numbers = json.dumps([shield.TO_PROCESS[machine], shield.TKILL[machine]])
    program = base64.b64encode(shield.program()).decode()
    argv = [sys.executable, "-c", TRY, str(Path(inside.__file__)), program, numbers]
    ran = subprocess.run(argv, capture_output=True, text=True)
    assert json.loads(ran.stdout) == {
        "first": [1] * 5,
        "fatal": 1,
        "harmless": 0,
        "own": 0,
        "abort": 0,
    }, ran.stderr


@pytest.mark.parametrize("machine", sorted(shield.TKILL))
def test_programs_are_whole_instructions_that_end_in_an_answer(machine: str) -> None:
    program = shield.program(machine)
    assert len(program) % 8 == 0
    assert program[-8:] == shield.line(shield.RETURN, shield.ALLOW)
