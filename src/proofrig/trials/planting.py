"""Puts each tenant's canaries where a suite asks for them: in its cases, and in what services hold.

Rules:
1. A case without a placeholder is handed out as it is, at the cost of one look-up.
2. A tenant's canaries depend on the seed, the tenant and their name alone: tasks, worlds, services
   and verifiers that name the same one mean the same.
3. Every canary that was planted is on the history, once, before the trial that may meet it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from proofrig.canaries.canary import Canary, fill
from proofrig.suites import Case, Suite

Plant = Callable[[Canary], None]


def _nobody(canary: Canary) -> None:
    pass


class Planting:
    """The cases of a suite as their tenants see them. `planted` is told of each canary once."""

    def __init__(self, suite: Suite, seed: int, planted: Plant = _nobody) -> None:
        self._seed = seed
        self._planted = planted
        self._known: set[tuple[str, str]] = set()
        self._cases: dict[tuple[str, str], Case] = {}
        self._plain: set[str] = set()
        self._suite = suite

    def case(self, case: Case, tenant: str) -> Case:
        """`case` with the tenant's canaries in it."""
        if case.id in self._plain:
            return case
        found = self._cases.get((case.id, tenant))
        if found is None:
            said = case.model_dump(mode="json", by_alias=True)
            filled = self.fill(said, tenant)
            if filled == said:
                self._plain.add(case.id)
                return case
            found = self._cases[case.id, tenant] = Case.model_validate(filled).at(case.dir)
        return found

    def fill(self, value: Any, tenant: str) -> Any:
        """A text or JSON value with the tenant's canaries in it. Raises UsageError."""
        filled, canaries = fill(value, tenant, self._seed)
        for canary in canaries:
            key = (canary.tenant, canary.token or canary.entity)
            if key not in self._known:
                self._known.add(key)
                self._planted(canary)
        return filled


def service_settings(service: Any, planting: Planting, suite: Suite) -> dict[str, Any]:
    """A service's settings as the rig reads them: what it holds from the start is each tenant's
    own, canaries and all. What everyone is given has the canaries of nobody."""
    settings: dict[str, Any] = service.model_dump(mode="json", by_alias=True)
    seed = settings.get("seed")
    if seed:
        settings["seed"] = {
            tenant: planting.fill(given, tenant) if tenant in suite.tenants else given
            for tenant, given in seed.items()
        }
    return settings
