"""Running the authority's HTTP service: opens its ledger, listens, and ends when told to.

Rules:
1. Without API keys it listens on this machine alone.
2. SIGTERM and SIGINT end it: it takes no new connection, answers what it has begun, writes what is
   queued, and closes its ledger.
3. An ended id is remembered for an hour, so that a caller that was away gets its first answer.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from proofrig.authority.authority import Authority, onward, replayed, wall_clock
from proofrig.authority.http.keys import Keys, load_keys
from proofrig.authority.http.operations import PREFIX
from proofrig.authority.http.served import ServedEngine, ServedMemory
from proofrig.authority.http.service import Service, is_local
from proofrig.authority.journal import Journal
from proofrig.authority.ledger import Ledger
from proofrig.authority.transition import MINUTE_NS
from proofrig.errors import UsageError

if TYPE_CHECKING:
    from proofrig.authority.policy import Policy

RETENTION_NS = 60 * MINUTE_NS
SHUTDOWN_S = 5.0
SHADOW = "-shadow"  # after the journal's name: the shadow's own


@dataclass(frozen=True, slots=True)
class Serving:
    """What to serve and where. journal or redis: where the ledger is kept; neither: in memory
    alone. shadow: note decisions, deny nothing. port: 0 is any free one."""

    policy: Path | None = None
    journal: Path | None = None
    redis: str = ""
    keys: Path | None = None
    host: str = "127.0.0.1"
    port: int = 0
    shadow: bool = False


async def serve(serving: Serving, ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; `ready` is called with the URL.

    Raises UsageError for settings that do not go together, SuiteError for a policy or keys that
    cannot be read, InfraError when the ledger cannot be opened.
    """
    keys = load_keys(serving.keys) if serving.keys is not None else None
    _check(serving, keys)
    ending = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ending.set)
    async with AsyncExitStack() as closing:
        if serving.journal is not None:
            closing.enter_context(_held(serving.journal))
        engine = open_engine(serving)
        closing.push_async_callback(engine.close)
        await engine.check()
        runner = web.AppRunner(
            Service(engine, keys).application(),
            access_log=None,
            logger=_quiet(),
            auto_decompress=False,
            shutdown_timeout=SHUTDOWN_S,
        )
        await runner.setup()
        closing.push_async_callback(runner.cleanup)
        try:
            await web.TCPSite(runner, serving.host, serving.port, backlog=4096).start()
        except OSError as error:
            raise UsageError(
                f"{serving.host}:{serving.port} cannot be listened on: {error.strerror or error}; "
                "end what listens there, or name another port, 0 for a free one"
            ) from error
        host = f"[{serving.host}]" if ":" in serving.host else serving.host
        ready(f"http://{host}:{runner.addresses[0][1]}{PREFIX}")
        await ending.wait()


def open_engine(serving: Serving) -> ServedEngine:
    """The engine that `serving` names. Raises InfraError, SuiteError, UsageError."""
    policy = None
    if serving.policy is not None:
        from proofrig.authority.policy import load_policy

        policy = load_policy(serving.policy)
    if serving.redis:
        from proofrig.authority.http.served_redis import ServedRedis

        return ServedRedis(serving.redis, policy, retention_ns=RETENTION_NS)
    if not serving.shadow:
        return ServedMemory(_authority(serving.journal, policy))
    from proofrig.authority.shadow import Shadow

    judging = serving.journal and serving.journal.with_name(serving.journal.name + SHADOW)
    judge = _authority(judging, policy)
    ledger, journal = _ledger(serving.journal)
    return ServedMemory(Shadow(ledger, journal, onward(wall_clock(), ledger.last_ns), judge))


def _quiet() -> logging.Logger:
    """For aiohttp: what it says of broken HTTP shows headers, and a header may hold a key."""
    logger = logging.getLogger("proofrig.authority.http")
    logger.setLevel(logging.CRITICAL + 1)
    return logger


def _authority(path: Path | None, policy: Policy | None) -> Authority:
    ledger, journal = _ledger(path)
    return Authority(ledger, journal, onward(wall_clock(), ledger.last_ns), policy)


def _ledger(path: Path | None) -> tuple[Ledger, Journal | None]:
    if path is None:
        return Ledger(retention_ns=RETENTION_NS), None
    return replayed(path, retention_ns=RETENTION_NS)


@contextmanager
def _held(journal: Path) -> Iterator[None]:
    """Hold the journal: one service at a time. The lock goes when the process does."""
    try:
        descriptor = os.open(f"{journal}.lock", os.O_CREAT | os.O_RDWR, 0o644)
    except OSError as error:
        raise UsageError(
            f"--journal {journal}: cannot be written there: {error.strerror}; name a file in a "
            "folder that exists and that you may write to"
        ) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise UsageError(
            f"--journal {journal}: another service has it; end that one, or use --redis for several"
        ) from None
    finally:
        os.close(descriptor)


def _check(serving: Serving, keys: Keys | None) -> None:
    if keys is None and not is_local(serving.host):
        raise UsageError(
            f"--host {serving.host}: expected an address of this machine such as 127.0.0.1, as "
            "there are no API keys; give --keys FILE to be reached from elsewhere"
        )
    if serving.redis and serving.journal is not None:
        raise UsageError("expected --journal or --redis, got both; a ledger is kept in one place")
    if serving.shadow and serving.redis:
        raise UsageError("--shadow: expected a ledger in memory or in --journal, got --redis")
    if serving.shadow and serving.policy is None:
        raise UsageError("--shadow: expected --policy FILE with the rules to try, got none")
