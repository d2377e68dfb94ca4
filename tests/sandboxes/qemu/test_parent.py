"""The parent of machines leaves the network before it starts any; the rest is in
`test_launcher.py`."""

from __future__ import annotations

import json
import socket
import subprocess
import sys

from proofrig.sandboxes.qemu import parent


def test_it_says_whether_it_could_leave_and_ends_with_its_runner() -> None:
    ours, theirs = socket.socketpair()
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", parent.__file__, str(theirs.fileno())],
        pass_fds=[theirs.fileno()],
    )
    theirs.close()
    assert json.loads(ours.makefile().readline()).keys() == {"network"}
    ours.close()
    assert process.wait(60) == 0
