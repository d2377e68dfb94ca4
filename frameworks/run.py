"""`python -m frameworks.run [GLOB...]`: agents of real frameworks through proofrig, and the
trajectory rebuilt from their LLM traffic held against what they did.

Exits 0 when truth and traffic are the same everywhere, but for the losses that are known
(`variants.EXPECTED`); 1 otherwise.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from frameworks.compare import Difference, Truth, compare
from frameworks.environments import environment
from frameworks.variants import EXPECTED, Loss, Variant, suite_of, variants
from rich.console import Console
from rich.table import Table

from proofrig.evaluation import Options, run
from proofrig.history.action import Action, Entry
from proofrig.history.history import History, pair
from proofrig.history.payloads import PayloadReader
from proofrig.rescore import ended_trials
from proofrig.trials.evidence import trajectory

HERE = Path(__file__).parent.absolute()
CACHE = HERE.parent / ".cache" / "frameworks"


@dataclass(slots=True)
class Outcome:
    """What a variant's trials came to."""

    variant: Variant
    version: str = "?"
    seen: Counter[str] = field(default_factory=Counter)  # API, form and whether by id -> requests
    trials: int = 0
    calls: int = 0
    exact: int = 0
    expected: int = 0  # trials whose every difference is expected; the rest are wrong
    lost: Counter[Loss] = field(default_factory=Counter)  # trials with an expected loss
    wrong: list[str] = field(default_factory=list)


def read_run(variant: Variant, run_dir: Path) -> Outcome:
    """Compare every trial of a run."""
    outcome, payloads = Outcome(variant), PayloadReader(run_dir)
    for end, entries in ended_trials(History(run_dir)):
        if end.attrs.get("retried"):
            continue
        actions = tuple(pair(entries))
        outcome.trials += 1
        outcome.seen.update(map(_form, filter(_of_a_model, actions)))
        truth = _truth(run_dir, end)
        outcome.calls += len(truth.calls)
        outcome.version = truth.version or outcome.version
        scenario = end.trial.partition(":")[0]
        losses: set[Loss] = set()
        wrong = []
        found = list(_differences(truth, end, actions, payloads))
        for one in found:
            loss = next((o for o in EXPECTED if o.covers(variant, scenario, one.kind)), None)
            losses |= {loss} if loss else set()
            wrong += [] if loss else [f"{end.trial}: {one}"]
        outcome.exact += not found
        outcome.expected += bool(found) and not wrong
        outcome.lost.update(losses)
        outcome.wrong += wrong
    return outcome


def _of_a_model(action: Action) -> bool:
    return action.name.startswith("llm.") and action.end is not None


def _form(action: Action) -> str:
    """What a request was, from its entries: the API, streamed or not, continued by id or not."""
    by_id = ", by id" if action.attr("continues") else ""
    return f"{action.attr('api')} {'SSE' if action.attr('stream') else 'JSON'}{by_id}"


def _truth(run_dir: Path, end: Entry) -> Truth:
    file = run_dir / end.attrs.get("world", "") / "truth.json"
    return msgspec.json.decode(file.read_bytes(), type=Truth) if file.is_file() else Truth()


def _differences(
    truth: Truth, end: Entry, actions: tuple[Action, ...], payloads: PayloadReader
) -> Iterator[Difference]:
    if end.attrs["failure"]:
        error = end.attrs.get("error") or end.attrs["verdicts"]
        yield Difference("trial", end.attrs["failure"], error, end.attrs.get("detail", "")[-300:])
    reply = (payloads.get(end.attrs["answer"]) or b"").decode()
    yield from compare(truth, trajectory(actions, payloads.get), reply)


def table(outcomes: list[Outcome]) -> Table:
    """One row per variant."""
    shown = Table(title="what agents did, against their LLM traffic")
    for name in ("framework", "version", "call", "requests"):
        shown.add_column(name, no_wrap=True)
    for name in ("trials", "calls", "exact", "expected loss", "wrong"):
        shown.add_column(name, justify="right", no_wrap=True)
    for one in outcomes:
        shown.add_row(
            *(one.variant.framework, one.version, one.variant.call),
            "; ".join(f"{count} {form}" for form, count in sorted(one.seen.items())),
            *(str(one.trials), str(one.calls), str(one.exact), str(one.expected or "")),
            str(one.trials - one.exact - one.expected or ""),
        )
    return shown


def carry_out(variant: Variant, repeats: int, options: Options) -> Outcome:
    """Run a variant and read its run. Raises KeyboardInterrupt when the run was interrupted."""
    home = environment(HERE / variant.framework, CACHE)
    suite = suite_of(variant, home, repeats)
    run_dir, conclusion = asyncio.run(run(suite, Path(__file__), options))
    if conclusion.status == "interrupted":
        raise KeyboardInterrupt
    outcome, planned = read_run(variant, run_dir), len(suite.plan())
    if outcome.trials != planned:
        why = " ".join(conclusion.problems) or conclusion.status
        outcome.wrong.append(f"expected {planned} trials, got {outcome.trials}: {why}")
    print(f"{variant}: {outcome.exact} of {planned} exact", flush=True)
    return outcome


def say(outcomes: list[Outcome], everything: bool) -> list[str]:
    """Print the table and what is lost; returns what is wrong."""
    Console(width=160).print(table(outcomes))
    for one in outcomes:
        for loss, count in one.lost.items():
            print(f"expected: {one.variant}, {count} of {one.trials} trials: {loss.why}")
    met = {loss for one in outcomes for loss in one.lost}
    for loss in EXPECTED if everything else ():
        if loss not in met:
            print(f"not met any more: the loss expected of {loss.variant}; take it off the list")
    wrong = [f"{one.variant} {line}" for one in outcomes for line in one.wrong]
    more = [f"and {len(wrong) - 20} more"] if len(wrong) > 20 else []
    print("\n".join([*wrong[:20], *more]) or "nothing but the expected is lost")
    return wrong


def main() -> int:
    """Run, compare, print; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m frameworks.run", description=__doc__)
    parser.add_argument("globs", nargs="*", metavar="GLOB", help="such as langgraph/messages")
    parser.add_argument("--repeats", type=int, default=1, help="trials per scenario")
    asked = parser.parse_args()
    options = Options(root=CACHE / "runs", baselines=False)
    chosen = list(variants(tuple(asked.globs)))
    if not chosen:
        print(f"no variant fits; there are: {', '.join(map(str, variants()))}")
        return 2
    outcomes: list[Outcome] = []
    try:
        for variant in chosen:
            outcomes.append(carry_out(variant, asked.repeats, options))
    except KeyboardInterrupt:
        print(f"interrupted after {len(outcomes)} of {len(chosen)} variants")
        return 130
    wrong = say(outcomes, everything=not asked.globs)
    print(f"the runs are kept in {os.path.relpath(options.root)}; remove them when you like")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
