"""What a process does that becomes bwrap, and so the outermost process of a box.

Forked by the parent of boxes (`bubblewrap_keeper.py`), often before there is anything to start;
standard library only, and importable on its own. Rules:
1. It makes the network of the box, which is its own from then on, and plants into it: nothing is
   ever planted into a box that lives.
2. It puts itself into the box's group: 0.4 ms, where to be put there by somebody else takes 10.
3. It stops being root before it becomes bwrap, and has nothing open then but what bwrap is given.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
from typing import NoReturn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from proofrig.sandboxes import descriptors, mounts, netns_helper, seccomp_helper
else:
    import descriptors
    import mounts
    import netns_helper
    import seccomp_helper

GIVEN = 8  # at most, see `become`


def become(link: socket.socket, uid: int) -> NoReturn:
    """In a new process: get ready, wait for a message on `link`, become bwrap. uid: the user to
    become, -1 for none. Never returns.

    Descriptors of the message: the runner's message as a file; the socket for the answer, on which
    the listener of the filter, the watch and the listeners of the network are sent; the mount
    namespace of the box; where bwrap says what becomes of it; standard input, output, error, and
    reply where there is one.
    """
    answer = None
    try:
        os.setsid()
        watch = netns_helper.begin_here()
        _, given, _, _ = socket.recv_fds(link, 1, GIVEN)
        if not given:
            os._exit(0)  # nothing more is to be started
        told, answering, box, status, *stdio = given
        answer = socket.socket(fileno=answering)
        for fd in given:
            os.set_inheritable(fd, False)
        with open(told, "rb") as file:
            message = json.load(file)
        for file in message["group"]:
            join_group(file)
        listeners = [netns_helper.listen(port) for port in message["ports"]]
        mounts.join(box, mounts.CLONE_NEWNS)
        os.chdir("/")
        resource.setrlimit(resource.RLIMIT_NOFILE, tuple(message["files"]))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if uid >= 0:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
        options = descriptors.in_memory(os.fsencode("\0".join(message["options"])))
        filter = descriptors.in_memory(bytes.fromhex(message["filter"]))
        wanted = {
            0: stdio[0],
            1: stdio[1],
            2: stdio[2],
            descriptors.OPTIONS: options,
            descriptors.STATUS: status,
        }
        wanted[descriptors.FILTER] = filter
        if stdio[3:]:
            wanted[descriptors.REPLY] = stdio[3]
        descriptors.give(wanted)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them; boxes do not
            signal.signal(number, signal.SIG_DFL)
        bwrap: str = message["bwrap"]
        calls = seccomp_helper.install_watched(bytes.fromhex(message["watched"]))
        network = [watch.fileno(), *(each.fileno() for each in listeners)]
        descriptors.reply(answer, [calls, *network])
        os.execve(bwrap, [bwrap, "--args", str(descriptors.OPTIONS), "--", *message["argv"]], {})
    except BaseException as error:
        if answer is not None:
            with contextlib.suppress(OSError):
                descriptors.refuse(answer, error)
    finally:
        os._exit(127)


def join_group(file: str) -> None:
    """Put this process into a group. Raises OSError."""
    fd = os.open(file, os.O_WRONLY | os.O_CLOEXEC)
    os.write(fd, b"0")
    os.close(fd)
