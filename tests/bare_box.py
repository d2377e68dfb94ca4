"""A bare bubblewrap box around one program: what the parts of a sandbox are tried on alone."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from proofrig.sandboxes import seccomp_helper

needs_bwrap = pytest.mark.skipif(
    shutil.which("bwrap") is None, reason="bubblewrap is not installed: apt-get install bubblewrap"
)
SPACES = ("--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent")
FILES = ("--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp")
if sys.prefix.startswith("/tmp/"):  # its programs are to be seen all the same
    FILES += ("--ro-bind", sys.prefix, sys.prefix)
OWN = 3  # user namespaces that bwrap makes here, one of them to see that it cannot
PYTHON = [sys.executable, "-I", "-S", "-c"]
WATCHED = """
import os, socket, sys
sys.path.insert(0, sys.argv[1])
from seccomp_helper import install_watched
link = socket.socket(fileno=int(sys.argv[2]))
socket.send_fds(link, [b"."], [install_watched(bytes.fromhex(sys.argv[3]))])
link.close()
os.execvp(sys.argv[4], sys.argv[4:])
"""


@dataclass
class Bare:
    """A box that is made and waits. `pid`: a process in its namespaces. `listener`: of its watched
    calls, whose owner is the test; -1 where there is none."""

    pid: int
    listener: int
    process: asyncio.subprocess.Process
    gate: socket.socket

    async def run(self) -> Any:
        """Let its program begin; what it printed, as JSON."""
        self.gate.send(b"x")
        out, _ = await self.process.communicate()
        assert self.process.returncode == 0, out.decode()
        return json.loads(out)


@contextlib.asynccontextmanager
async def bare_box(
    argv: list[str], *, program: bytes = b"", watched: bytes = b"", on_listener: Any = None
) -> AsyncIterator[Bare]:
    """A box for one program. `on_listener` is called with the listener's descriptor before bwrap
    makes its namespaces, when it has to be answered."""
    with contextlib.ExitStack() as stack:
        pairs = [socket.socketpair() for _ in range(3)]
        for each in (end for pair in pairs for end in pair):
            stack.enter_context(each)
        (info, info_box), (gate, gate_box), (link, link_box) = pairs
        made = ["bwrap", *SPACES, *FILES]
        made += ["--info-fd", str(info_box.fileno()), "--block-fd", str(gate_box.fileno())]
        fds = [info_box.fileno(), gate_box.fileno()]
        if program:
            file = stack.enter_context(tempfile.TemporaryFile())
            file.write(program)
            file.seek(0)
            fds.append(file.fileno())
            made += ["--seccomp", str(file.fileno())]
        made += argv
        if watched:
            fds.append(link_box.fileno())
            folder = str(Path(seccomp_helper.__file__).parent)
            made = [*PYTHON, WATCHED, folder, str(link_box.fileno()), watched.hex(), *made]
        process = await asyncio.create_subprocess_exec(
            *made, pass_fds=fds, stdout=-1, stderr=asyncio.subprocess.STDOUT
        )
        info_box.close()
        listener = -1
        if watched:
            _, (listener,), _, _ = await asyncio.to_thread(socket.recv_fds, link, 1, 1)
            on_listener(listener)
        said = b""
        while b"}" not in said:
            part = await asyncio.to_thread(info.recv, 4096)
            assert part, "bwrap ended early"
            said += part
        pid = json.loads(said)["child-pid"]
        try:
            yield Bare(pid, listener, process, gate)
        finally:
            if process.returncode is None:
                os.kill(pid, signal.SIGKILL)  # while it waits, it does not die with its parent
                await process.communicate()
