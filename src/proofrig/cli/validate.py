"""`proofrig validate`: everything that is wrong with a suite, at once."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command("validate")
@click.argument("suite", type=click.Path(path_type=Path), default=Path())
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(suite: Path, as_json: bool) -> int:
    """Check SUITE (a file or a folder; default: here) without running it."""
    from proofrig.errors import SuiteError, UsageError
    from proofrig.reports.words import plural
    from proofrig.suites import load_suite
    from proofrig.suites.load import find_suite

    path = find_suite(suite)
    try:
        loaded = load_suite(path, to_run=True)
    except SuiteError as error:
        if not as_json and _is_policy(path):
            said = f"expected a suite, got what looks like a policy: {path}"
            raise UsageError(f"{said}; check it with `proofrig policy lint`") from error
        if not as_json:
            raise
        fields = ("message", "file", "line", "column", "hint")
        problems = [{name: getattr(p, name) for name in fields} for p in error.problems]
        click.echo(json.dumps({"valid": False, "problems": problems}, indent=2))
        return 2
    trials = len(loaded.plan())
    if as_json:
        facts = {"suite": loaded.name, "cases": len(loaded.cases), "trials": trials}
        click.echo(json.dumps({"valid": True, **facts, "digest": loaded.digest()}, indent=2))
    else:
        counts = f"{plural(len(loaded.cases), 'case')}, {plural(trials, 'trial')}"
        click.echo(f"{path}: suite {loaded.name}, {counts}. OK")
    return 0


def _is_policy(path: Path) -> bool:
    """Whether a file has rules and no agent."""
    from proofrig.errors import SuiteError
    from proofrig.yaml12 import parse

    try:
        value = parse(path.read_bytes(), str(path)).value
    except (OSError, SuiteError):
        return False
    return isinstance(value, dict) and "rules" in value and not value.keys() & {"agent", "cases"}
