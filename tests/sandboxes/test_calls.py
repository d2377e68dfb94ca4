"""Refused system calls are seen, and refused, in a real box."""

from __future__ import annotations

import asyncio

import pytest

from bare_box import OWN, PYTHON, bare_box, needs_bwrap
from proofrig.sandboxes.calls import Calls
from proofrig.sandboxes.sandbox import Refused
from proofrig.sandboxes.seccomp import program, watched_program

ATTEMPTS = """
import ctypes, errno, json, socket
libc = ctypes.CDLL(None, use_errno=True)
def made(*call):
    result = libc.syscall(*call)
    return "" if result >= 0 else errno.errorcode[ctypes.get_errno()]
found = [made(101, 0, 0, 0, 0), made(272, 0x10000000), made(272, 0x10000000), made(321, 0, 0, 0)]
for family in (40, 17, 2):
    try:
        socket.socket(family, 1).close()
        found.append("")
    except OSError as error:
        found.append(errno.errorcode[error.errno])
print(json.dumps(found))
"""
MANY = "import ctypes\nfor _ in range(300): ctypes.CDLL(None).syscall(321, 0, 0, 0)\nprint(1)"


@needs_bwrap
@pytest.mark.parametrize("reader", [True, False])
async def test_attempts_fail_and_are_counted(reader: bool) -> None:
    """Without a reader they fail all the same."""
    made: list[Calls] = []
    async with bare_box(
        [*PYTHON, ATTEMPTS],
        program=program(watched=True),
        watched=watched_program(),
        on_listener=lambda fd: made.append(Calls(fd, own=OWN)),
    ) as box:
        while made[0].own:  # noqa: ASYNC110 - bwrap is at work
            await asyncio.sleep(0.001)
        if not reader:
            made[0].close()
        found = await box.run()
    made[0].close()
    if reader:
        assert found == ["EPERM"] * 4 + ["EAFNOSUPPORT"] * 2 + [""]
        assert made[0].refused() == (
            Refused("syscall", "unshare user", 2),
            Refused("syscall", "ptrace"),
            Refused("syscall", "bpf"),
            Refused("syscall", "socket vsock"),
            Refused("syscall", "socket packet"),
        )
    else:
        assert found == ["ENOSYS"] * 6 + [""]
        assert made[0].refused() == ()


@needs_bwrap
async def test_many_attempts_are_all_counted() -> None:
    made: list[Calls] = []
    async with bare_box(
        [*PYTHON, MANY],
        program=program(watched=True),
        watched=watched_program(),
        on_listener=lambda fd: made.append(Calls(fd, own=OWN)),
    ) as box:
        assert await box.run() == 1
    assert made[0].refused() == (Refused("syscall", "bpf", 300),)
    made[0].close()
    made[0].close()
