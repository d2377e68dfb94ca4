"""Becomes root of a user namespace of its own: unshare, clone, clone3."""

import ctypes
import json
import os
import platform
import signal
import struct

NEWUSER, CLONE = 0x10000000, {"x86_64": 56, "aarch64": 220}[platform.machine()]
libc = ctypes.CDLL(None, use_errno=True)
found = []


def child(result):
    """In a child, end; of the parent's, say whether there was one."""
    if result == 0:
        os._exit(0)
    if result > 0:
        os.waitpid(result, 0)
    return result > 0


pid = os.fork()
if pid == 0:
    os._exit(1 if libc.unshare(NEWUSER) == 0 else 0)
if os.waitpid(pid, 0)[1]:
    found.append("unshare")
if child(libc.syscall(CLONE, NEWUSER | signal.SIGCHLD, 0, 0, 0, 0)):
    found.append("clone")
if child(libc.syscall(435, struct.pack("QQQQQQQQ", NEWUSER, 0, 0, 0, signal.SIGCHLD, 0, 0, 0), 64)):
    found.append("clone3")
print(json.dumps({"got_out": bool(found), "detail": found}))
