"""Installs a seccomp filter in the calling process, and hands out its listener.

Standard library only, and importable on its own: a process that was forked to become a box calls
it just before it executes what makes the box. The filter holds for all that comes of it.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct

PR_SET_NO_NEW_PRIVS = 38
SECCOMP = {"x86_64": 317, "aarch64": 277}
SET_MODE_FILTER, NEW_LISTENER = 1, 8


def install_watched(program: bytes) -> int:
    """Install `seccomp.watched_program()` for good; the descriptor from which its `Calls` reads.
    Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(program, len(program))
    pointer = struct.pack("HP", len(program) // 8, ctypes.addressof(buffer))
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    fd: int = libc.syscall(SECCOMP[platform.machine()], SET_MODE_FILTER, NEW_LISTENER, pointer)
    if fd < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), "seccomp")
    return fd
