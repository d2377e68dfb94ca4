"""A quota of the rig's services under the flood of one tenant: for all of them, and for each."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

from proofrig.checkers.checker import Finding
from proofrig.services.client import AsyncServices, ServiceError, Services
from specimens.real.lab import Lab, Ran, Specimen, now

GREEDY, MODEST = "acme", "globex"
FLOOD, FLOOD_S = 280, 1.2  # calls of the greedy one
ASKED, ASKED_S, AFTER_S = 7, 0.9, 0.25  # of the modest one, who comes when the flood is there
BUCKET = {"type": "quota", "name": "search", "limit": "bucket", "capacity": 20, "per_s": 1.0}
AT_ONCE = {
    "type": "quota",
    "name": "search",
    "limit": "concurrency",
    "capacity": 2,
    "latency_ms": 90,
}


class Let:
    """Who asked how often, and was let in, as the agents themselves were told."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.in_: Counter[str] = Counter()

    @property
    def exhausted(self) -> bool:
        """Of the modest one's calls less than half were let in."""
        return self.in_[MODEST] < 0.5 * self.asked[MODEST] and self.in_[GREEDY] > self.in_[MODEST]

    def true(self, finding: Finding) -> bool:
        """The modest one is named as the one that was refused, the greedy one as the one let in."""
        return set(finding.tenants) == {GREEDY, MODEST} and f": {MODEST} asked" in finding.says


async def _play(lab: Lab, settings: dict[str, Any], let: Let) -> None:
    async with lab.rig(services=[settings]):

        async def agent(at_s: float, tenant: str) -> None:
            await asyncio.sleep(at_s)
            search = AsyncServices(Services(lab.services_url(now())), threads=1).quota("search")
            let.asked[tenant] += 1
            try:
                await search.take()
                let.in_[tenant] += 1
            except ServiceError as refused:
                assert refused.status == 429, refused

        for tenant in (GREEDY, MODEST):  # each alone, with which the rest is compared
            await lab.tasks([agent(number / 8, tenant) for number in range(3)], tenant)
        assert let.asked == let.in_, "the quota is too small for one tenant alone"
        let.asked.clear()
        let.in_.clear()
        lab.then("interleaved")
        flood = [agent(FLOOD_S * number / FLOOD, GREEDY) for number in range(FLOOD)]
        modest = [agent(AFTER_S + ASKED_S * number / ASKED, MODEST) for number in range(ASKED)]
        async with asyncio.TaskGroup() as group:
            group.create_task(lab.tasks(flood, GREEDY))
            group.create_task(lab.tasks(modest, MODEST))


def _specimen(variant: str, settings: dict[str, Any], *, bad: bool) -> Specimen:
    tenants = {GREEDY: 1, MODEST: 1}

    def run(folder: Path, seed: int) -> Ran:
        let = Let()
        declared = {"search": {key: value for key, value in settings.items() if key != "name"}}
        with Lab(folder, seed, "sequential", tenants=tenants, topology=declared) as lab:
            asyncio.run(_play(lab, settings, let))
        return Ran(lab.run_dir, let.exhausted, let.true)

    kind = "tenant_exhaustion" if bad else None
    return Specimen("tenant exhaustion", variant, kind, "tenant_exhaustion", run)


SPECIMENS = [
    _specimen("bucket: one for all tenants", BUCKET, bad=True),
    _specimen("concurrency: one limit for all tenants", AT_ONCE, bad=True),
    _specimen("bucket: one for each tenant", BUCKET | {"partition": "tenant"}, bad=False),
    _specimen("concurrency: one for each tenant", AT_ONCE | {"partition": "tenant"}, bad=False),
]
