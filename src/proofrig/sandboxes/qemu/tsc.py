"""How fast this processor's time stamp counter runs.

An emulated guest sees the counter of the host as it is, and a microvm has no clock by which the
guest's kernel could find out its rate: it has to be told. Rules:
1. Measured by reading the counter itself, which needs no rights.
2. Rounded, so that two measurements give the same number: it is part of a template's key.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
import time
from functools import cache

RDTSC = b"\x0f\x31\x48\xc1\xe2\x20\x48\x09\xd0\xc3"  # rdtsc; shl rdx, 32; or rax, rdx; ret
MEASURED_S = 0.1
STEP_KHZ = 100  # 0.004 % of 2.5 GHz; the clock of a guest is set at the start of each trial


@cache
def tsc_khz() -> int:
    """The rate in kHz, rounded; 0 where there is no such counter. Takes `MEASURED_S`, once."""
    if platform.machine() != "x86_64":
        return 0
    code = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(RDTSC)
    start = ctypes.c_char.from_buffer(code)
    counter = ctypes.CFUNCTYPE(ctypes.c_uint64)(ctypes.addressof(start))

    def both() -> tuple[int, int]:
        """The counter, and the nanosecond at which it was read: the closest of some readings."""
        best = (1 << 62, 0, 0)
        for _ in range(20):
            before = time.perf_counter_ns()
            ticks = counter()
            after = time.perf_counter_ns()
            best = min(best, (after - before, ticks, (before + after) // 2))
        return best[1:]

    ticks, at = both()
    time.sleep(MEASURED_S)
    more, later = both()
    del start
    code.close()
    return round((more - ticks) / (later - at) * 1e6 / STEP_KHZ) * STEP_KHZ
