"""Reads the memory of other processes: /proc/PID/mem, process_vm_readv, ptrace. Also of those
that it was told the host's numbers of. argv[1]: {"pids": [...], "secret": [...]}, the secret in
two parts, last first."""

import ctypes
import json
import os
import sys

told = json.loads(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
PTRACE_SEIZE, PTRACE_DETACH = 0x4206, 17
seen = [int(pid) for pid in os.listdir("/proc") if pid.isdigit()]
found, needle = [], "".join(reversed(told["secret"])).encode()


class Vector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


def ranges(pid):
    with open(f"/proc/{pid}/maps") as maps:
        for line in maps:
            span, rights = line.split()[:2]
            if rights.startswith("rw") and "[v" not in line:
                low, high = (int(part, 16) for part in span.split("-"))
                yield low, min(high - low, 64 << 20)


for pid in set(seen + told["pids"]) - {os.getpid()}:
    if libc.ptrace(PTRACE_SEIZE, pid, 0, 0) == 0:
        libc.ptrace(PTRACE_DETACH, pid, 0, 0)
        if pid in told["pids"]:
            found.append(f"ptrace {pid}")
    try:
        for low, size in ranges(pid):
            with open(f"/proc/{pid}/mem", "rb", 0) as memory:
                memory.seek(low)
                if needle in memory.read(size):
                    found.append(f"/proc/{pid}/mem")
            buffer = ctypes.create_string_buffer(size)
            here = Vector(ctypes.addressof(buffer), size)
            there = Vector(low, size)
            vectors = (ctypes.byref(here), 1, ctypes.byref(there), 1, 0)
            if libc.process_vm_readv(pid, *vectors) > 0 and needle in buffer.raw:
                found.append(f"process_vm_readv {pid}")
    except (OSError, ValueError):
        continue
print(json.dumps({"got_out": bool(found), "detail": found}))
