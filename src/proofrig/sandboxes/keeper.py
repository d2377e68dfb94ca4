"""The keeper: a small process of its own that is the parent of every box.

Run as a script by the runner's interpreter; standard library only. The runner sends it what to
start (one socket, descriptors passed along) and it reports how each box ended.

Why not start boxes from the runner itself: Linux counts the parent's memory into the peak of a
child that was started with vfork, so peaks below the runner's own size could not be told; a
subreaper has to reap processes it does not know, which would take exit codes from other code in
the runner; and something must outlive the runner to end the boxes when it is killed.

Rules:
1. A box is a session of its own. It ends with its leader: whatever is left in the session, or
   carries the box's marker in its environment, or became an orphan of the keeper, is killed.
2. /proc is read only when something was forked since the leader was (last pid in /proc/loadavg),
   and only pids younger than the leader are looked at.
3. End of file on the socket means the runner is gone: every box is killed, then the keeper ends.
4. An orphan that carries no marker cannot be given to a box; it dies with the last living box.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from typing import Any

PR_SET_CHILD_SUBREAPER = 36
HEADER = struct.Struct("!I")
STRAY_DEADLINE_S = 5.0  # a process that survives SIGKILL this long hangs in the kernel


def processes() -> list[int]:
    """Every visible pid."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def parent_and_state(pid: int) -> tuple[int, str]:
    """The parent's pid and the state letter; (0, "") when the process is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0, ""
    return int(fields[1]), fields[0].decode()


def carries(pid: int, marker: str) -> bool:
    """True when a variable of the process's environment is exactly `marker`."""
    if not marker:
        return False
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return b"=" + marker.encode() + b"\0" in file.read() + b"\0"
    except OSError:
        return False


def open_files(pid: int) -> int:
    """How many descriptors a process has; 0 when it is gone, or not ours to look at."""
    folder = f"/proc/{pid}/fd"
    try:
        return os.stat(folder).st_size or len(os.listdir(folder))  # a number since Linux 6.2
    except OSError:
        return 0


def held_to(pid: int) -> int:
    """How many descriptors a process may have; 0 when it is gone, or not ours to look at."""
    try:
        with open(f"/proc/{pid}/limits", "rb") as file:
            soft = file.read().partition(b"Max open files")[2].split(None, 1)[0]
        return int(soft)
    except (OSError, ValueError, IndexError):  # ValueError: it may have any number
        return 0


def tree(root: int) -> list[int]:
    """`root` and its descendants, parents first."""
    children: dict[int, list[int]] = {}
    for pid in processes():
        children.setdefault(parent_and_state(pid)[0], []).append(pid)
    found = [root]
    for pid in found:
        found.extend(children.get(pid, ()))
    return found


def kill(pid: int) -> bool:
    """SIGKILL; False when there is no such process (or it is not ours to kill)."""
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def last_pid() -> int:
    """The pid that was given out last."""
    with open("/proc/loadavg", "rb") as file:
        return int(file.read().rsplit(None, 1)[1])


class Box:
    """A started command: its leader's pid, how it ended, what was hunted down."""

    def __init__(self, key: int, marker: str, process: subprocess.Popen[bytes]) -> None:
        self.key = key
        self.marker = marker
        self.process = process
        self.pid = process.pid
        self.status = 0  # exit code, or the negative signal
        self.rss = 0
        self.cpu_s = 0.0
        self.hunted: set[int] = set()
        self.deadline = 0.0

    def count(self, usage: Any) -> None:
        self.rss = max(self.rss, usage.ru_maxrss * 1024)
        self.cpu_s += usage.ru_utime + usage.ru_stime


class Keeper:
    """The loop: start what is asked, reap what ends, hunt what is left, report."""

    def __init__(self, link: socket.socket) -> None:
        self.link = link
        self.parent = os.getppid()
        self.live: dict[int, Box] = {}  # by leader's pid
        self.ending: list[Box] = []
        self.data = bytearray()
        self.fds: list[int] = []
        self.wake, wake_write = os.pipe()
        os.set_blocking(self.wake, False)
        os.set_blocking(wake_write, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)

    def serve(self) -> None:
        while os.getppid() == self.parent:
            sources: list[Any] = [self.link, self.wake]
            ready, _, _ = select.select(sources, [], [], 0.005 if self.ending else 2.0)
            if self.wake in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(self.wake, 4096)
            try:
                if self.link in ready and not self.receive():
                    break
                self.reap()
                self.ending = [box for box in self.ending if not self.finished(box)]
            except (BrokenPipeError, ConnectionResetError):
                break
        self.end_all()

    def receive(self) -> bool:
        data, fds, _, _ = socket.recv_fds(self.link, 1 << 16, 64)
        if not data:
            return False
        self.data += data
        self.fds += fds
        while len(self.data) >= HEADER.size:
            (size,) = HEADER.unpack_from(self.data)
            if len(self.data) < HEADER.size + size:
                break
            message = json.loads(self.data[HEADER.size : HEADER.size + size])
            del self.data[: HEADER.size + size]
            if "argv" in message:
                self.start(message)
            elif "signal" in message:
                self.report(
                    {"asked": message["asked"], "processes": self.signal(message["signal"])}
                )
            else:
                self.kill_box(message["key"])
        return True

    def start(self, message: dict[str, Any]) -> None:
        fds = [self.fds.pop(0) for _ in range(message["fds"])]
        stdin, stdout, stderr, *reply = fds
        env: dict[str, str] = message["env"]
        if reply:
            env[message["reply_fd"]] = str(reply[0])
        try:
            process = subprocess.Popen(
                message["argv"],
                env=env,
                cwd=message["cwd"],
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                pass_fds=reply,
                start_new_session=True,
                restore_signals=True,
            )
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            self.report({"key": message["key"], "error": str(error)})
            return
        finally:
            for fd in fds:
                os.close(fd)
        self.live[process.pid] = Box(message["key"], message["marker"], process)
        self.report({"key": message["key"], "pid": process.pid})

    def kill_box(self, key: int) -> None:
        for box in self.live.values():
            if box.key == key:
                killed = [pid for pid in tree(box.pid) if kill(pid)]  # the leader first
                box.hunted.update(killed[1:])
                return

    def signal(self, number: int) -> int:
        """Send a signal to everything that was started here; how many got it."""
        sent = 0
        for pid in tree(os.getpid())[1:]:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)
                sent += 1
        return sent

    def reap(self) -> None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            box = self.live.pop(pid, None)
            if box is None:
                for other in self.ending:
                    if pid in other.hunted:
                        other.count(usage)
                continue
            box.status = box.process.returncode = os.waitstatus_to_exitcode(status)
            box.count(usage)
            box.deadline = time.monotonic() + STRAY_DEADLINE_S
            self.ending.append(box)

    def finished(self, box: Box) -> bool:
        """Kill what is left of an ended box; True (and reported) once nothing is."""
        strays = self.strays(box)
        for stray in strays:
            for pid in tree(stray):
                if kill(pid):
                    box.hunted.add(pid)
        if strays and time.monotonic() < box.deadline:
            return False
        self.report(
            {
                "key": box.key,
                "status": box.status,
                "rss": box.rss,
                "cpu_ms": round(box.cpu_s * 1000),
                "strays": len(box.hunted),
            }
        )
        return True

    def strays(self, box: Box) -> list[int]:
        last = last_pid()
        if last == box.pid:
            return []
        floor = box.pid if last > box.pid else 0  # pids have wrapped around
        known = self.live
        return [
            pid
            for pid in processes()
            if pid > floor and pid not in known and pid != os.getpid() and self.belongs(pid, box)
        ]

    def belongs(self, pid: int, box: Box) -> bool:
        try:
            session = os.getsid(pid)
        except OSError:
            return False
        if session in self.live:
            return False
        parent, state = parent_and_state(pid)
        if state in ("", "Z", "X"):
            return False
        if session == box.pid or carries(pid, box.marker):
            return True
        return parent == os.getpid() and not self.live

    def end_all(self) -> None:
        own = os.getpid()
        signal.set_wakeup_fd(-1)
        markers = [box.marker for box in (*self.live.values(), *self.ending)]
        for _ in range(200):
            members = tree(own)[1:]
            members += [pid for pid in processes() if any(carries(pid, m) for m in markers)]
            alive = [pid for pid in members if parent_and_state(pid)[1] not in ("", "Z", "X")]
            self.reap()  # what has ended leaves no zombie behind, for init or for people to find
            if not alive:
                return
            for pid in alive:
                kill(pid)
            time.sleep(0.005)

    def report(self, message: dict[str, Any]) -> None:
        self.link.sendall(json.dumps(message).encode() + b"\n")


def main() -> None:
    """`keeper.py FD`: serve the runner at the other end of the socket FD until it is gone."""
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, lambda *_: None)  # a handler: ignoring would be inherited by boxes
    link = socket.socket(fileno=int(sys.argv[1]))
    os.set_inheritable(link.fileno(), False)
    Keeper(link).serve()


if __name__ == "__main__":
    main()
