"""An authority to work with, wherever its ledger is.

    async with open_authority("authority.db", policy="policy.yaml") as engine: ...
    async with open_authority("redis://127.0.0.1:6379", policy="policy.yaml") as engine: ...
    async with open_authority("http://127.0.0.1:8750", key="...") as engine: ...

Rules:
1. Where it is: "" in this process's memory alone; a file, the journal of a ledger in memory, which
   survives this process; `redis://` one ledger for many processes and machines; `http://` or
   `https://` a service (`proofrig authority serve`), which has the policy.
2. Holds that have run out end by themselves while it is open. Actuals that a service has not got
   are sent when it is opened.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from proofrig.authority.authority import Authority, recover, wall_clock
from proofrig.authority.engine import Engine, MemoryEngine
from proofrig.authority.ledger import Ledger
from proofrig.authority.policy import Policy, load_policy, parse_policy
from proofrig.errors import InfraError, UsageError

SWEEP_S = 1.0


@asynccontextmanager
async def open_authority(
    where: str | Path = "",
    *,
    policy: Policy | Path | str | Mapping[str, Any] | None = None,
    key: str = "",
    outbox: Path | None = None,
) -> AsyncIterator[Engine]:
    """An engine, closed at the end. policy: one, its file, or what
    stands in one; what nothing rules is allowed. key
    and outbox are for a service: the tenant's key, and the file that keeps actuals until the
    service has them (see `client.AuthorityClient`).

    Raises SuiteError for a policy that cannot be used, UsageError for what does not go together,
    JournalError for a journal that cannot be used, another InfraError for what cannot be reached.
    """
    text = str(where)
    remote = text.startswith(("http://", "https://"))
    if remote and policy is not None:
        raise UsageError(
            f"policy: expected none beside {text}: the service has one; give it to "
            "`proofrig authority serve --policy`"
        )
    if not remote and (key or outbox):
        raise UsageError(
            f"key, outbox: expected none beside {text or 'memory'}: no service is asked"
        )
    if isinstance(policy, str | Path):
        policy = load_policy(Path(policy))
    elif isinstance(policy, Mapping):
        policy = parse_policy(policy)
    if remote:
        from proofrig.authority.http.client import AuthorityClient

        async with AuthorityClient(text, key, outbox) as client:
            yield client
        return
    engine = _engine(text, policy)
    sweeping = asyncio.create_task(_sweep(engine))
    try:
        yield engine
    finally:
        sweeping.cancel()
        with suppress(asyncio.CancelledError):
            await sweeping
        await engine.close()


def _engine(where: str, policy: Policy | None) -> Engine:
    if where.startswith(("redis://", "rediss://", "unix://")):
        from proofrig.authority.redis.engine import RedisEngine

        return RedisEngine(where, policy=policy)
    if not where:
        return MemoryEngine(Authority(Ledger(), None, time.monotonic_ns, policy))
    return MemoryEngine(recover(where, wall_clock(), policy))


async def _sweep(engine: Engine) -> None:
    while True:
        await asyncio.sleep(SWEEP_S)
        with suppress(InfraError):  # the next call says so too
            await engine.sweep()
