"""Keeps what runs in a box from ending the box's first process: a second seccomp filter.

The kernel of Linux protects the first process of a PID namespace from signals out of it; that of
gVisor does not. Rules:
1. No signal to process 1, in any of the ways to send one.
2. `tkill` may name a thread of it, so it sends none of the signals that nothing can catch or
   survive; libraries use it for others.
"""

from __future__ import annotations

import errno
import platform
import signal

from proofrig.sandboxes import seccomp
from proofrig.sandboxes.seccomp import (
    ALLOW,
    ARGUMENTS,
    EQUAL,
    ERRNO,
    LOAD,
    NUMBER,
    RETURN,
    line,
)

# kill, tgkill, rt_sigqueueinfo, rt_tgsigqueueinfo, pidfd_open
TO_PROCESS = {"x86_64": (62, 234, 129, 297, 434), "aarch64": (129, 131, 138, 240, 434)}
TKILL = {"x86_64": 200, "aarch64": 130}
FATAL = (
    *(signal.SIGKILL, signal.SIGSTOP, signal.SIGSEGV),
    *(signal.SIGBUS, signal.SIGILL, signal.SIGFPE),
)
NOT_PERMITTED = line(RETURN, ERRNO | errno.EPERM)


def program(machine: str = "") -> bytes:
    """The filter, beside `seccomp.program`, which refuses machines that are not known."""
    machine = machine or platform.machine()
    lines = [line(LOAD, NUMBER)]
    first = [line(LOAD, ARGUMENTS), line(EQUAL, 1, 0, 1), NOT_PERMITTED]
    for number in TO_PROCESS[machine]:
        lines += seccomp.on_call(number, [*first, line(RETURN, ALLOW)])
    fatal = [line(LOAD, ARGUMENTS + 8)]
    for number in FATAL:
        fatal += [line(EQUAL, number, 0, 1), NOT_PERMITTED]
    lines += seccomp.on_call(TKILL[machine], [*fatal, line(RETURN, ALLOW)])
    return b"".join([*lines, line(RETURN, ALLOW)])
