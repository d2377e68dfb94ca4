"""Real processes that are killed: in the middle of writing a file, and while they hold a lock."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

from specimens.real.lab import Lab, Ran, Specimen, files, told
from specimens.real.redis_stores import Server
from specimens.real.truth import of_trials

OLD, NEW = '{"plan": "old", "step": 1}', '{"plan": "new", "steps": [1, 2, 3, 4, 5, 6, 7, 8]}'

# Writing

PLAIN = f"with open('shared/plan.json', 'w') as file:\n    file.write({NEW!r})"
DESCRIPTOR = f"""
fd = os.open('shared/plan.json', os.O_WRONLY | os.O_TRUNC)
os.write(fd, {NEW!r}.encode())
os.close(fd)"""
RENAMED = f"""
with open('shared/plan.json.tmp', 'w') as file:
    file.write({NEW!r})
os.replace('shared/plan.json.tmp', 'shared/plan.json')"""
SYNCED = f"""
import tempfile
with tempfile.NamedTemporaryFile('w', dir='shared', delete=False) as file:
    file.write({NEW!r})
    file.flush()
    os.fsync(file.fileno())
os.rename(file.name, 'shared/plan.json')"""
READ = "print(open('shared/plan.json').read())"


def _torn(code: str, point: str, path: str) -> Callable[[Path, int], Ran]:
    """An agent is killed at a point of its write; the next one reads."""

    def run(folder: Path, seed: int) -> Ran:
        (folder / "shared").mkdir()
        (folder / "shared" / "plan.json").write_text(OLD)
        kill = json.dumps({"point": point, "path": path, "bytes": 5 + seed % 20})
        with Lab(folder, seed, "crash_mid_write") as lab:
            environ = {"PROOFRIG_FILES": files(lab)}
            with (
                lab.trial() as writer,
                lab.program(code, writer, PROOFRIG_KILL=kill, **environ) as child,
            ):
                ended = child.wait(20)
                assert ended == -9, f"the agent was not killed, it ended with {ended}"
                lab.killed(writer, point)
            with lab.trial() as reader, lab.program(READ, reader, **environ) as child:
                read = told(child)
                child.wait(20)
        return Ran(lab.run_dir, read not in (OLD, NEW), of_trials(writer, reader))

    return run


# Locks

LOCK_FILE = """
import time
from proofrig.observers import observed_lock

class LockFile:
    def acquire(self, timeout):
        until = time.monotonic() + timeout
        while True:
            try:
                os.close(os.open('job.lock', os.O_CREAT | os.O_EXCL))
                return True
            except FileExistsError:
                if time.monotonic() > until:
                    return False
                time.sleep(0.01)

    def release(self):
        os.unlink('job.lock')
"""
LINK = LOCK_FILE.replace(
    "os.close(os.open('job.lock', os.O_CREAT | os.O_EXCL))",
    "os.symlink(str(os.getpid()), 'job.lock')",
)
FLOCK = """
import fcntl, time
from proofrig.observers import observed_lock

class LockFile:
    def acquire(self, timeout):
        until = time.monotonic() + timeout
        self.fd = os.open('job.lock', os.O_CREAT | os.O_RDWR)
        while True:
            try:
                fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                if time.monotonic() > until:
                    return False
                time.sleep(0.01)

    def release(self):
        os.close(self.fd)
"""
OBSERVED = "\nlock = observed_lock(LockFile(), 'locks', 'job')\n"
REDIS_LOCK = """
from redis import Redis
from redis.lock import Lock
lock = Lock(Redis.from_url(os.environ['PROOFRIG_REDIS_MEMORY_URL']), 'job', timeout=%s, sleep=0.02)
"""
HOLD = "print(lock.acquire(%s), flush=True); sys.stdin.readline()"
TRY = "print(lock.acquire(%s), flush=True)"
WAITS_S, GRACE_S, TTL_S = 0.6, 0.2, 0.25


def _held(lab: Lab, code: str, waits: str) -> tuple[str, str, bool]:
    """An agent takes a lock and is killed; another wants it. Both, and whether it got it."""
    with lab.trial() as holder:
        with lab.program(code + HOLD % waits, holder) as child:
            assert told(child) == "True"
        lab.killed(holder, "after_write")
    with lab.trial() as waiter, lab.program(code + TRY % waits, waiter) as child:
        got = told(child) == "True"
        child.wait(20)
    return holder, waiter, got


def _local(code: str) -> Callable[[Path, int], Ran]:
    def run(folder: Path, seed: int) -> Ran:
        with Lab(folder, seed, "crash_mid_write", params={"grace_s": GRACE_S}) as lab:
            holder, waiter, got = _held(lab, code + OBSERVED, str(WAITS_S))
        return Ran(lab.run_dir, not got, of_trials(holder, waiter))

    return run


def _redis(ttl: str) -> Callable[[Path, int], Ran]:
    async def play(lab: Lab, server: Server) -> tuple[str, str, bool]:
        async with lab.rig(redis={"memory": server.port}):
            # In a thread, for the rig lives in this one.
            waits = f"blocking_timeout={WAITS_S}"
            return await asyncio.to_thread(_held, lab, REDIS_LOCK % ttl, waits)

    def run(folder: Path, seed: int) -> Ran:
        params = {"grace_s": GRACE_S}
        with Server(folder) as server, Lab(folder, seed, "crash_mid_write", params=params) as lab:
            holder, waiter, got = asyncio.run(play(lab, server))
        return Ran(lab.run_dir, not got, of_trials(holder, waiter))

    return run


def _of(checker: str, kind: str | None, variant: str, run: Callable[[Path, int], Ran]) -> Specimen:
    return Specimen(checker.replace("_", " "), variant, kind, checker, run)


TORN, KEPT = "torn_write", "lock_not_released"
SPECIMENS = [
    _of("torn_write", TORN, "open().write", _torn(PLAIN, "mid_bytes", "plan.json")),
    _of("torn_write", TORN, "os.write", _torn(DESCRIPTOR, "mid_bytes", "plan.json")),
    _of("torn_write", None, "os.replace, killed in the bytes", _torn(RENAMED, "mid_bytes", "*")),
    _of(
        "torn_write",
        None,
        "os.replace, killed before it",
        _torn(RENAMED, "before_rename", "*.json"),
    ),
    _of("torn_write", None, "fsync and os.rename", _torn(SYNCED, "before_rename", "plan.json")),
    _of("lock_release", KEPT, "lock file by O_EXCL", _local(LOCK_FILE)),
    _of("lock_release", KEPT, "lock file by symlink", _local(LINK)),
    _of("lock_release", KEPT, "Redis: redis-py Lock without a time-to-live", _redis("None")),
    _of("lock_release", None, "flock", _local(FLOCK)),
    _of("lock_release", None, "Redis: redis-py Lock with one", _redis(str(TTL_S))),
]
