"""`proofrig run`: the main verb."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from proofrig.cli.options import (
    against_option,
    baseline_option,
    gates_option,
    held_against,
    output_option,
    root_option,
    store_option,
)

if TYPE_CHECKING:
    from proofrig.conclusion import Options


class Repeats(click.ParamType[int | str]):
    """A number of repeats, or `auto`."""

    name = "integer|auto"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | str:
        if value == "auto":
            return "auto"
        if str(value).isdecimal() and 1 <= int(value) <= 10_000:
            return int(value)
        self.fail(f"expected a number from 1 to 10000, or auto, got {value!r}", param, ctx)


@click.command("run")
@click.argument("suite", type=click.Path(path_type=Path), default=Path())
@click.option(
    "-n",
    "--repeat",
    type=Repeats(),
    help="Repeats per case; `auto`: as many as decide the gates or the baseline.",
)
@click.option("--lane", default="", help="Run this lane of the suite, inside its budgets.")
@click.option("--usd", type=click.FloatRange(0, min_open=True), help="Spend at most so much.")
@click.option(
    "--minutes", type=click.FloatRange(0, min_open=True), help="Run trials for at most so long."
)
@baseline_option
@gates_option
@click.option("-j", "--concurrency", type=click.IntRange(1), help="Trials at the same time.")
@click.option("--seed", type=click.IntRange(0), help="The seed all chance is drawn from.")
@click.option(
    "--scenario",
    "scenarios",
    multiple=True,
    metavar="NAME[,NAME]",
    help="Run scenarios instead of the plain plan; `all`: those the suite declares. Repeatable.",
)
@click.option("--agents", type=click.IntRange(1, 100_000), help="Agents of each scenario.")
@click.option("--tenants", type=click.IntRange(1), help="How many tenants they belong to.")
@click.option(
    "--faults",
    "packs",
    multiple=True,
    metavar="PACK[,PACK]",
    help="Further packs of faults, such as flaky-network. Repeatable.",
)
@click.option("--no-faults", "faultless", is_flag=True, help="Without the suite's own faults.")
@click.option(
    "--isolation",
    type=click.Choice(["process", "namespace", "container", "gvisor", "vm"]),
    help="How trials are kept apart, instead of what the suite says.",
)
@click.option(
    "--constraints",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Hold trials to this constraint file, instead of the suite's.",
)
@click.option("--record", is_flag=True, help="Keep what comes from outside, as `record` does.")
@click.option(
    "--replay", default="", metavar="RUN", help="Answer from the recording of RUN, or of a folder."
)
@click.option(
    "--mode",
    type=click.Choice(["strict", "record-missing", "live"]),
    help="What is not recorded fails its trial (default), is recorded anew; or all goes out.",
)
@click.option("--timing", metavar="PACE", help="Of a replay: instant (default), recorded, 0.5, ...")
@click.option(
    "--replay-tools",
    type=click.Choice(["remote", "all", "none"]),
    help="Which tools are replayed; default: those behind a URL.",
)
@click.option("--case", "cases", multiple=True, help="Only this case; * and ? match. Repeatable.")
@click.option("--tag", "tags", multiple=True, help="Only cases with this tag. Repeatable.")
@click.option("-k", "--grep", default="", help="Only cases whose id matches this expression.")
@click.option(
    "--fail-under",
    type=click.FloatRange(0, 100),
    metavar="PERCENT",
    help="Exit 1 when the pass rate is below PERCENT.",
)
@click.option(
    "--baselines/--no-baselines", default=None, help="Run the null and the reference (default)."
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON, nothing else.")
@click.option("-q", "--quiet", is_flag=True, help="Print only the verdict.")
@against_option
@output_option
@root_option
@store_option
def command(**asked: Any) -> int:
    """Run SUITE (a file or a folder; default: here).

    Exit codes: 0 pass, 1 gate failed, 2 usage or config, 3 internal, 4 inconclusive, 5 nothing
    ran, 6 infra or budget stopped it, 130 interrupted.
    """
    return carry_out(**asked)


def carry_out(
    *,
    suite: Path,
    fail_under: float | None,
    as_json: bool,
    quiet: bool,
    against: str,
    outputs: tuple[Path, ...],
    **asked: Any,
) -> int:
    """Run a suite as its options ask for it; the exit code."""
    from proofrig.cli.conclusion import check_outputs, conclude
    from proofrig.cli.progress import Reporter
    from proofrig.evaluation import run
    from proofrig.suites import load_suite
    from proofrig.suites.load import find_suite

    check_outputs(outputs)
    options = replace(options_of(asked), fail_under=fail_under)
    path = find_suite(suite)
    loaded = load_suite(path, to_run=True)
    cases, tags, grep = asked["cases"], asked["tags"], asked["grep"]
    if cases or tags or grep:
        only = tuple(case.id for case in loaded.select(grep, tags, cases).cases)
        if not only:
            click.echo("no case is selected; nothing ran", err=True)
            return 5
        options = replace(options, only=only)
    options = held_against(against, _taped(options, asked))
    with Reporter(loaded.name, silent=quiet or as_json) as reporter:
        run_dir, conclusion = asyncio.run(run(loaded, path, options, reporter.update))
    return conclude(loaded, run_dir, conclusion, options, outputs, as_json=as_json, quiet=quiet)


def _taped(options: Options, asked: Mapping[str, Any]) -> Options:
    """The options with what is recorded or replayed. Raises UsageError."""
    from proofrig.errors import UsageError

    how = {"mode": "mode", "timing": "timing", "replay_tools": "tools"}
    given = {key: asked[name] for name, key in how.items() if asked[name] is not None}
    if asked["record"]:
        if options.scenarios:
            raise UsageError("what is recorded is a plain run; leave --scenario out")
        options = replace(options, record=True)
    if not asked["replay"]:
        if given:
            name = next(iter(given)).replace("tools", "replay-tools")
            raise UsageError(f"--{name} belongs to a replay; name one with --replay RUN")
        return options
    from proofrig.cli.replaying import replayed

    if "mode" in given:
        given["mode"] = given["mode"].replace("-", "_")
    return replayed(options, asked["replay"], given)


def options_of(asked: Mapping[str, Any]) -> Options:
    """What the options say of a run, its cases apart. Raises UsageError for what means nothing
    beside the others."""
    from proofrig.conclusion import Options

    agents, tenants = asked["agents"], asked["tenants"]
    auto = asked["repeat"] == "auto"
    return Options(
        root=asked["root"],
        store=asked["store"],
        repeats=None if auto else asked["repeat"],
        auto=auto,
        lane=asked["lane"],
        usd=asked["usd"],
        minutes=asked["minutes"],
        baseline=asked["baseline"],
        gates=asked["gates"],
        concurrency=asked["concurrency"],
        seed=asked["seed"],
        baselines=asked["baselines"],
        scenarios=scenario_names(asked["scenarios"], agents, tenants),
        agents=agents,
        tenants=tenants,
        packs=_listed(asked["packs"]),
        faultless=asked["faultless"],
        isolation=asked["isolation"],
        constraints=asked["constraints"],
    )


def _listed(given: Iterable[str]) -> tuple[str, ...]:
    return tuple(name for one in given for name in one.split(",") if name)


def scenario_names(
    scenarios: tuple[str, ...], agents: int | None, tenants: int | None
) -> tuple[str, ...]:
    """The scenarios that were named. Raises UsageError for what means nothing without one."""
    from proofrig.errors import UsageError

    names = _listed(scenarios)
    if scenarios and not names:
        raise UsageError("expected a name after --scenario, got nothing; `all` runs the suite's")
    if not names and (agents or tenants):
        given = "--agents" if agents else "--tenants"
        raise UsageError(f"{given} belongs to scenarios; name one, for example `--scenario burst`")
    return names
