"""Caches that tenants share: the rig's semantic cache, and dicts of an agent's own. Every tenant's
documents carry a canary."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from proofrig.canaries.canary import mint
from proofrig.checkers.checker import Finding
from proofrig.observers import observed_cache
from proofrig.services.client import AsyncServices, Services
from specimens.real.lab import Lab, Ran, Specimen, now

TENANTS = ("acme", "globex", "initech")
QUESTIONS = (
    "What does our contract say about leaving early, and what would it cost us to do so this year?",
    "How much do we still owe for the last quarter, and by which day does it have to be paid?",
    "Who is the contact for our account, and how do we reach them when something goes wrong?",
)
EACH = 2  # agents of a tenant, which ask every question


class Answers:
    """What was answered: (tenant who asked, question, answer), as the agents had it."""

    def __init__(self, seed: int) -> None:
        self.secret = {tenant: mint(seed, tenant).token for tenant in TENANTS}
        self.given: list[tuple[str, str, str]] = []

    def of(self, tenant: str, question: str) -> str:
        """The right answer."""
        return f"{question} For {tenant}, by reference {self.secret[tenant]}."

    @property
    def bled(self) -> bool:
        return any(self._wrong(tenant, answer) for tenant, _, answer in self.given)

    def _wrong(self, tenant: str, answer: str) -> set[str]:
        """The other tenants whose secret is in an answer."""
        return {one for one, token in self.secret.items() if one != tenant and token in answer}

    def true(self, finding: Finding) -> bool:
        """The witness names owner and reader, and that reader was given that owner's secret."""
        pairs = {
            (tenant, other)
            for tenant, _, answer in self.given
            for other in self._wrong(tenant, answer)
        }
        if len(finding.tenants) != 2:
            return False
        one, two = finding.tenants
        return (one, two) in pairs or (two, one) in pairs


Ask = Callable[[Any, str, str], Awaitable[str]]  # cache, tenant, question


async def _play(
    lab: Lab,
    answers: Answers,
    make: Callable[[Lab], Callable[[], Any]],
    key: Callable[[str, str], str],
    services: list[dict[str, Any]],
) -> None:
    """All agents ask all questions; each answer is kept in the cache under `key(tenant, question)`.
    `make(lab)()` is the cache of the trial at work."""
    async with lab.rig(services=services):
        for tenant in TENANTS:
            lab.note("canary", mint(lab.seed, tenant).attrs)
        cache_of = make(lab)

        async def agent(tenant: str) -> None:
            cache = cache_of()
            for question in QUESTIONS:
                asked = key(tenant, question)
                answer = await cache.get(asked)
                if answer is None:
                    await asyncio.sleep(0.01)
                    answer = answers.of(tenant, question)
                    await cache.put(asked, answer)
                answers.given.append((tenant, question, answer))

        await lab.tasks([agent(TENANTS[0])], TENANTS[0])  # was there before the others
        await lab.tasks([agent(tenant) for tenant in TENANTS * EACH], *TENANTS * EACH)


def _in_service(lab: Lab) -> Callable[[], Any]:
    return lambda: AsyncServices(Services(lab.services_url(now())), threads=1).cache("answers")


class OwnCache:
    """What agents write for themselves: a dict behind two methods."""

    def __init__(self) -> None:
        self._answers: dict[str, str] = {}

    async def get(self, asked: str) -> str | None:
        return self._answers.get(asked)

    async def put(self, asked: str, answer: str) -> None:
        self._answers[asked] = answer


def _own(lab: Lab) -> Callable[[], Any]:
    observed = observed_cache(OwnCache(), "answers", recorder=lab.recorder)
    return lambda: observed


def _specimen(
    variant: str, key: Callable[[str, str], str], *, bad: bool, own: bool = False, **declared: Any
) -> Specimen:
    settings = {"type": "semantic_cache", "name": "answers", "threshold": 0.8} | declared
    topology = {"answers": {"type": "cache"} if own else settings}
    tenants = dict.fromkeys(TENANTS, 1)

    def run(folder: Path, seed: int) -> Ran:
        answers = Answers(seed)
        with Lab(folder, seed, "interleaved", tenants=tenants, topology=topology) as lab:
            make = _own if own else _in_service
            asyncio.run(_play(lab, answers, make, key, [] if own else [settings]))
        return Ran(lab.run_dir, answers.bled, answers.true)

    kind = "wrong_tenant_hit" if bad else None
    return Specimen("tenant bleed", variant, kind, "tenant_bleed", run)


SPECIMENS = [
    _specimen("semantic cache: one for all tenants", lambda tenant, q: q, bad=True),
    _specimen(
        "semantic cache: the tenant in the text", lambda t, q: f"[tenant: {t}] {q}", bad=True
    ),
    _specimen("own cache: the question as key", lambda tenant, q: q, bad=True, own=True),
    _specimen("semantic cache: by tenant", lambda tenant, q: q, bad=False, partition="tenant"),
    _specimen(
        "own cache: tenant and question as key", lambda t, q: f"{t}\n{q}", bad=False, own=True
    ),
]
