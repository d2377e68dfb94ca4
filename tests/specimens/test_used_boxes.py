"""Agents that keep state where trials should begin clean, played through the scenario's own phases:
the checker finds those that it harms, and none that it does not."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from checkers.shared_things import check
from proofrig.checkers.checker import Checked
from proofrig.checkers.leftover_state import LeftoverState
from proofrig.history.action import Entry
from proofrig.scenarios.used_environment import UsedEnvironment
from scenario_facts import facts

Agent = Callable[[Path, str, random.Random], bool]  # home, case, chance -> whether it passed
SEEDS = range(20)


def stale_cache(home: Path, case: str, chance: random.Random) -> bool:
    """Takes its old answer where it finds one, though the task is another."""
    cache = home / f"answer-{case.replace('/', '-')}"
    if cache.exists():
        return False
    cache.write_text("what the first trial needed")
    return chance.random() < 0.95


def poisoned_settings(home: Path, case: str, chance: random.Random) -> bool:
    """One case changes settings that another cannot live with."""
    settings = home / "settings"
    if case == "pay":
        settings.write_text("currency=EUR")
    return case != "ship" or not settings.exists()


def stateless(home: Path, case: str, chance: random.Random) -> bool:
    return chance.random() < {"pay": 0.9, "ship": 0.6, "shop/list": 0.3}[case]


def learns(home: Path, case: str, chance: random.Random) -> bool:
    """Gets better by what it left."""
    known = (home / "notes").exists()
    (home / "notes").touch()
    return known or chance.random() < 0.5


def played(agent: Agent, seed: int, **params: int) -> Checked:
    """Run the scenario as the runner does: fresh homes, then the same one for all."""
    scenario, entries, t = UsedEnvironment(**params), list[Entry](), 0
    chance = random.Random(seed)
    with TemporaryDirectory() as folder:
        for phase in scenario.phases(facts(seed=seed)):
            for number, start in enumerate(phase.starts):
                which = "one" if phase.boxes == "reused" else f"{phase.name}-{number}"
                home = Path(folder, which)
                home.mkdir(exist_ok=True)
                passed = agent(home, start.case, chance)
                for name, attrs in (("begin", {"part": start.part}), ("end", {"passed": passed})):
                    entries.append(Entry(0, t, "trial", name, start.trial, "acme", attrs=attrs))
                    t += 1
    return check(LeftoverState, entries, **scenario.params())


@pytest.mark.parametrize("agent", [stale_cache, poisoned_settings])
def test_agents_that_go_wrong_by_what_was_left_are_found(agent: Agent) -> None:
    for seed in SEEDS:
        checked = played(agent, seed, repeats=10, rounds=10)
        assert checked.verdict == "invalid", checked.says
        [finding] = checked.findings
        assert finding.kind == "used_environment_worse"
        assert checked.measures["used_difference_high_ratio"] < 0


@pytest.mark.parametrize("agent", [stateless, learns])
def test_agents_that_do_not_are_accused_as_seldom_as_their_interval_says(agent: Agent) -> None:
    accused = [seed for seed in SEEDS if played(agent, seed, repeats=5, rounds=5).found]
    assert len(accused) <= 2  # of 20; 2.5 % lie beyond one end of a 95 % interval


def test_what_cannot_be_told_is_said_with_the_trials_it_would_take() -> None:
    checked = played(stateless, 1)
    assert checked.verdict == "unknown"
    assert "trials more would tell whether it is 20 points worse" in checked.says
    many = played(stateless, 1, repeats=150, rounds=150)
    assert (many.verdict, "more would" in many.says) == ("valid", False), many.says
