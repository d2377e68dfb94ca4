"""A small suite as scenarios see it, and what a scenario made of it as short rows."""

from __future__ import annotations

from collections import Counter

from proofrig.scenarios.scenario import Facts, FactsOfCase, Phase, Start

CASES = (
    FactsOfCase("pay", ("money",), "What is Ada's salary?"),
    FactsOfCase("ship", ("long",), "Where is order 7?"),
    FactsOfCase("shop/list", (), "List all open orders."),
)
TENANTS = {"acme": 3, "globex": 1, "initech": 1}


def facts(
    *, cases: tuple[FactsOfCase, ...] = CASES, tenants: dict[str, int] = TENANTS, seed: int = 7
) -> Facts:
    return Facts(cases, tenants, seed)


def starts(phases: list[Phase]) -> list[Start]:
    """The trials of all phases, in order."""
    return [start for phase in phases for start in phase.starts]


def shares(started: list[Start]) -> dict[str, int]:
    """How many trials each tenant has."""
    return dict(Counter(start.tenant for start in started))


def shape(phases: list[Phase]) -> list[tuple[str, int, int, float | None]]:
    """(name, trials, workers, spread) of each phase."""
    return [(p.name, len(p.starts), p.workers, p.spread_ms) for p in phases]


def parts(phase: Phase) -> dict[str, int]:
    """How many trials do what in a phase."""
    return dict(Counter(start.part for start in phase.starts))
