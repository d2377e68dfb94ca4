"""Which frameworks are run in which ways, the suite of each way, and what is known to be lost.

Rules:
1. A variant is two environment variables of the framework's agent: the same file runs them all.
2. An expected loss names what the traffic cannot carry and why. It covers differences of its kinds
   in its variants and scenarios alone, and one that is not met any more is said.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from frameworks.compare import Kind

from proofrig.agents.python import PythonAgentSettings
from proofrig.providers.simulated import SimulatedSettings
from proofrig.suites import Case, Message, Suite, World, load_suite
from proofrig.suites.budgets import Prices, Rate
from proofrig.verifiers.contains import Contains

SHARED = Path(__file__).parent.absolute() / "shared"  # the model, the tools, the truth
MODELS = ("gpt-4.1", "claude-sonnet-4-5")  # names alone: frameworks go by them
PRICE = Rate(input=1, output=5, source="invented", as_of="2026-01-01")
SCENARIOS = ("single", "no_arguments", "parallel", "error", "mixed", "chain")
FRAMEWORKS: dict[str, dict[str, tuple[str, ...]]] = {  # framework -> API -> ways to call
    "openai_agents": {
        "responses": ("run", "stream", "last"),
        "by_id": ("run", "stream"),
        "chat": ("run", "stream"),
    },
    "langgraph": {
        "chat": ("run", "stream", "last"),
        "responses": ("run", "stream"),
        "by_id": ("run",),
        "messages": ("run", "stream"),
    },
    "pydantic_ai": {
        "responses": ("run", "events", "stream", "last"),
        "by_id": ("run",),
        "chat": ("run", "events", "stream"),
        "messages": ("run", "events", "stream"),
    },
}


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to run a framework."""

    framework: str
    api: str
    call: str

    def __str__(self) -> str:
        return f"{self.framework}/{self.api}/{self.call}"


@dataclass(frozen=True, slots=True)
class Loss:
    """What is known to be lost: differences of `kinds` where both globs fit."""

    variant: str
    scenario: str
    kinds: tuple[Kind, ...]
    why: str

    def covers(self, variant: Variant, scenario: str, kind: str) -> bool:
        """True when such a difference is expected."""
        fits = fnmatchcase(str(variant), self.variant) and fnmatchcase(scenario, self.scenario)
        return fits and kind in self.kinds


EXPECTED = (
    Loss(
        "*/last",
        "last",
        ("not carried", "answer"),
        "the last tool's result is the answer; no further request carries it to the model",
    ),
    Loss(
        "pydantic_ai/*/stream",
        "*",
        ("not carried",),
        "run_stream takes a turn's first text as the answer: the turn's tools run, their results "
        "are never sent",
    ),
)


def variants(only: tuple[str, ...] = ()) -> Iterator[Variant]:
    """All variants, or those that one of the globs fits."""
    for framework, apis in FRAMEWORKS.items():
        for api, calls in apis.items():
            for call in calls:
                variant = Variant(framework, api, call)
                if not only or any(fnmatchcase(str(variant), f"{glob}*") for glob in only):
                    yield variant


def suite_of(variant: Variant, interpreter: Path, repeats: int) -> Suite:
    """The suite that runs this variant."""
    return load_suite(
        Suite(
            suite=str(variant).replace("/", "-"),
            agent=PythonAgentSettings(
                target="agent:run",
                interpreter=str(interpreter.absolute()),
                path=[f"../{variant.framework}"],
                env={"FRAMEWORK_API": variant.api, "FRAMEWORK_CALL": variant.call},
            ),
            model=SimulatedSettings(function="scripted_model:answer"),
            prices=Prices(prices=dict.fromkeys(MODELS, PRICE)),
            repeats=repeats,
            concurrency=2,
            cases=tuple(cases(variant)),
        ).at(SHARED)
    )


def cases(variant: Variant) -> Iterator[Case]:
    """What the variant is asked."""
    if variant.call == "last":
        yield _case("last", "last: what does it cost to send ORD-7?", "price_cents")
        return
    for scenario in SCENARIOS:
        ended = "Let me see" if variant.call == "stream" else "done"
        yield _case(scenario, f"{scenario}: how are my orders?", "done", ended)
    talk = [f"{scenario}: and now?" for scenario in ("chain", "parallel", "error")]
    said = tuple(Message(role="user", content=text) for text in talk)
    verify = (Contains(any=("done", "Let me see")),)
    yield Case(id="conversation", messages=said, world=World(), verify=verify)


def _case(scenario: str, task: str, *any_of: str) -> Case:
    return Case(id=scenario, task=task, world=World(), verify=(Contains(any=any_of),))
