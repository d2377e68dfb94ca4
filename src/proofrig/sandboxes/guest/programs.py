"""Starts programs in the guest: a fork of this warm interpreter that runs a script, or an exec.

Rules:
1. A program runs as the trial's user, in a cgroup of its own below the trial's, in a session of
   its own, and can gain no rights.
2. A Python script that the image's interpreter shall run is run by the fork itself, as `__main__`,
   with arguments, environment, folder and descriptors as an exec would have set them. The
   interpreter is the one that was started before the trial came; its random numbers are not.
3. Nothing of the agent is left in a fork: descriptors, signal handlers, modules of its own.
"""

from __future__ import annotations

import atexit
import builtins
import contextlib
import ctypes
import fcntl
import os
import random
import resource
import signal
import sys
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 4, 38
USER = 1000  # of the trial, in the guest; the group has the same number
REPLY, FAILED = 3, 4  # descriptors in the program; FAILED closes with the exec
UNDERSTOOD = {"PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "PYTHONPATH"}  # by a fork
HIGH = 100  # above what a program's own descriptors are put to


def forkable(argv: list[str], env: dict[str, str]) -> bool:
    """Whether a fork of this interpreter does what this command asks for."""
    if len(argv) < 2 or argv[1].startswith("-") or argv[1].endswith((".zip", ".pyc")):
        return False
    odd = {name for name in env if name.startswith("PYTHON")} - UNDERSTOOD
    return argv[0] == sys.executable and not odd


def start(
    message: dict[str, Any], pipes: list[int], group: str, release: Callable[[], None]
) -> int:
    """Start a program with the ends of `pipes` (standard input, output, error, reply). The pid;
    raises OSError when it cannot be started. In the fork of rule 2 it does not return: see
    `Script`. `release` frees what would close descriptors later on in a fork."""
    failed, failed_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        release()
        turn_into(message, [*pipes, failed_write], group)
    os.close(failed_write)
    said = os.read(failed, 4096)
    os.close(failed)
    if said:
        os.waitpid(pid, 0)
        number, _, text = said.decode("utf-8", "replace").partition(" ")
        raise OSError(int(number), text)
    return pid


def turn_into(message: dict[str, Any], fds: list[int], group: str) -> None:
    """Make this fork the program. Never returns."""
    try:
        become(message, fds, group)
        if message["fork"]:
            prepared = Script(message["argv"][1:], message["env"])
            os.close(FAILED)
            raise prepared
        os.execvpe(message["argv"][0], message["argv"], message["env"])
    except OSError as error:
        os.write(FAILED, f"{error.errno or 5} {error}".encode())
        os._exit(127)


def become(message: dict[str, Any], fds: list[int], group: str) -> None:
    """Make this process what the program shall find. Raises OSError."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    *given, failed = [fcntl.fcntl(fd, fcntl.F_DUPFD, HIGH) for fd in fds]
    os.dup2(failed, FAILED, inheritable=False)
    for number, fd in enumerate(given):
        os.dup2(fd, number)
    with open(os.path.join(group, "cgroup.procs"), "w") as file:
        file.write("0")
    if len(given) <= REPLY:
        os.closerange(REPLY, FAILED)
    os.closerange(FAILED + 1, 4096)
    if message.get("files"):
        resource.setrlimit(resource.RLIMIT_NOFILE, (message["files"], message["files"]))
    if not message.get("root"):
        os.setgroups([])
        os.setresgid(USER, USER, USER)
        os.setresuid(USER, USER, USER)
    LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    LIBC.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
    os.umask(0o022)
    os.chdir(message["cwd"])
    if not message.get("fork"):
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)


class Script(BaseException):
    """Raised in a fork up to the end of the agent, which then is the script."""

    def __init__(self, argv: list[str], env: dict[str, str]) -> None:
        super().__init__()
        path = os.path.abspath(argv[0])
        with open(path, "rb") as file:
            self.code = compile(file.read(), argv[0], "exec", dont_inherit=True)
        os.environ.clear()
        os.environ.update(env)
        sys.argv[:] = argv
        sys.orig_argv[:] = [sys.executable, *argv]
        sys.path[0] = os.path.dirname(os.path.realpath(path))
        sys.path[1:1] = [entry for entry in env.get("PYTHONPATH", "").split(":") if entry]
        sys.dont_write_bytecode = bool(env.get("PYTHONDONTWRITEBYTECODE"))
        if env.get("PYTHONUNBUFFERED"):
            sys.stdout.reconfigure(write_through=True)  # type: ignore[union-attr]
        for name in [name for name in sys.modules if name.split(".")[0] == "proofrig"]:
            del sys.modules[name]
        random.seed()

    def run(self) -> None:
        """As `python script` does, up to the end of this process. Taking the interpreter apart, as
        Python does in the end, is left out: nobody would see it, and it takes long."""
        main = type(sys)("__main__")
        main.__file__ = sys.argv[0]
        main.__builtins__ = builtins  # type: ignore[attr-defined]
        sys.modules["__main__"] = main
        status = 0
        try:
            exec(self.code, main.__dict__)
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
            if status and not isinstance(end.code, int):
                print(end.code, file=sys.stderr)
        except BaseException as error:
            if error.__traceback__ is not None:  # without this frame
                error.__traceback__ = error.__traceback__.tb_next
            sys.excepthook(type(error), error, error.__traceback__)
            status = 1
        with contextlib.suppress(BaseException):
            threading._shutdown()  # type: ignore[attr-defined]
        with contextlib.suppress(BaseException):
            atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(BaseException):
                stream.flush()
        os._exit(status & 255)
