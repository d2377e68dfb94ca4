"""`proofrig policy`: run a policy over a recorded run, and find what in it has no effect."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from proofrig.cli.options import root_option, store_option

if TYPE_CHECKING:
    from proofrig.authority.lint import Remark
    from proofrig.authority.policy import Policy
    from proofrig.authority.replay import Change, Comparison, Recorded, Replayed

_POLICY = click.argument("policy", type=click.Path(path_type=Path))
_NEWLY = {
    "denied": "newly denied",
    "asked": "newly asked for approval",
    "capped": "newly capped",
    "allowed": "newly allowed",
}
_SURE = (
    "What the actions brought about was recorded and cannot change here: what a denied action led "
    "to is still in the run. Paths are placed in the worlds as the trials left them."
)


@click.group("policy")
def command() -> None:
    """Try a policy before it decides anything.

    POLICY is a policy file, or a suite with a policy or budgets in it.
    """


@command.command("test")
@_POLICY
@click.argument("run", default="last")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option(
    "--fail-on-change", is_flag=True, help="Exit with 1 when anything is decided otherwise."
)
@root_option
@store_option
def test(
    policy: Path, run: str, as_json: bool, fail_on_change: bool, root: Path, store: str
) -> int:
    """Run POLICY over the recorded actions of RUN and print what it decides otherwise.

    Limits, windows, taints, steps and caps count as they would have, at the recorded times. RUN is
    an id, the beginning of one, a directory, or `last`.
    """
    from proofrig.authority.lint import lint
    from proofrig.authority.replay import compare

    read, recorded, name = _policy(policy), *_recorded(run, root, store)
    found = compare(recorded.under(read))
    remarks = lint(read, recorded.acts()) if found.actions else _without_a_run(read)
    if as_json:
        _print_json(_document(name, found, remarks))
    else:
        click.echo("\n".join(_report(name, found, remarks, recorded)))
    return int(fail_on_change and bool(found.changes))


@command.command("lint")
@_POLICY
@click.argument("run", default="")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@root_option
@store_option
def lint_command(policy: Path, run: str, as_json: bool, root: Path, store: str) -> int:
    """Check POLICY, and with RUN say what in it had no effect there; exits with 1 then.

    A rule that never matches forbids nothing, and says so nowhere else.
    """
    from proofrig.authority.lint import lint
    from proofrig.reports.words import plural

    read = _policy(policy)
    recorded = _recorded(run, root, store)[0] if run else None
    remarks = lint(read, recorded.acts()) if recorded is not None else _without_a_run(read)
    if as_json:
        _print_json({"valid": True, "remarks": [_plain(one) for one in remarks]})
    else:
        rules, limits = plural(len(read.rules), "rule"), plural(len(read.written.limits), "limit")
        said = "Valid, but without effect:" if remarks else "OK"
        click.echo(f"{policy}: {rules}, {limits}, default {read.written.default}. {said}")
        click.echo("".join(f"  {remark}\n" for remark in remarks), nl=False)
    return int(bool(remarks))


@command.command("show")
@_POLICY
def show(policy: Path) -> None:
    """Print the whole policy as it is applied: a suite's with its budgets, as JSON."""
    read = _policy(policy)
    _print_json(read.written.model_dump(mode="json", by_alias=True, exclude_defaults=True))


def _without_a_run(policy: Policy) -> list[Remark]:
    """What has no effect whatever is done."""
    from proofrig.authority.lint import lint

    return [
        remark for remark in lint(policy, ()) if remark.says.startswith(("never ", "no action"))
    ]


# ---- what is meant


def _policy(path: Path) -> Policy:
    """The policy in a file; of a suite the one that its runs have. Raises SuiteError."""
    from proofrig.authority.policy import Policy, load_policy
    from proofrig.errors import UsageError
    from proofrig.suites import load_suite

    if not _is_suite(path):
        return load_policy(path)
    whole = load_suite(path).whole_policy()
    if whole is None:
        raise UsageError(
            f"expected a policy, got the suite {path}, which has neither a policy nor budgets; "
            "name a policy file, or write one under `policy:`"
        )
    return Policy.of(whole)


def _is_suite(path: Path) -> bool:
    from proofrig.errors import SuiteError
    from proofrig.yaml12 import parse

    if path.is_dir():
        return True
    try:
        value = parse(path.read_bytes(), str(path)).value
    except (OSError, SuiteError):
        return False  # reading it as a policy says what is wrong with it
    return isinstance(value, dict) and ("cases" in value or "agent" in value)


def _recorded(run: str, root: Path, store: str) -> tuple[Recorded, str]:
    from proofrig.authority.replay import Recorded
    from proofrig.cli.options import find_run
    from proofrig.conclusion import Options
    from proofrig.history.history import History
    from proofrig.history.payloads import PayloadReader

    run_dir = find_run(run, Options(root=root, store=store))
    return Recorded(History(run_dir).entries, PayloadReader(run_dir).get, run_dir), run_dir.name


# ---- what is said


def _report(
    name: str, found: Comparison, remarks: list[Remark], recorded: Recorded
) -> Iterable[str]:
    yield f"{found.actions:,} recorded actions of {name}"
    for title, counts in (("then", found.then), ("now", found.now)):
        said = ", ".join(f"{n:,} {effect}" for effect, n in sorted(counts.items()))
        yield f"  {title:<5}{said or 'none'}"
    yield ""
    if not found.actions:
        yield "No action of this run came to the authority, so nothing can be said; name another."
    elif not found.changes:
        yield "Nothing would change."
    for change in found.changes:
        yield from _change(change, recorded)
    if found.changes:
        yield _SURE
    if remarks:
        yield ""
        yield "Without effect:"
        yield from (f"  {remark}" for remark in remarks)


def _change(change: Change, recorded: Recorded) -> Iterable[str]:
    names = ", ".join(f"{name} {n:,}" for name, n in change.names.items())
    yield f"{change.count:,} {_NEWLY[change.kind]} {_decider(change)}: {names}"
    for one in change.first:
        yield f"    {_where(one)}{_arguments(one)}"
    fix = change.first[0].now.fix
    if change.kind == "denied" and fix:
        yield f"    fix: {fix}"
    rest = change.count - len(change.first)
    if rest:
        yield f"    and {rest:,} more"
    yield ""


def _decider(change: Change) -> str:
    first, code = change.first[0], change.code
    if change.kind == "allowed":
        was = "asked" if first.then.effect == "ask" else "denied"
        return f"({was} by rule {change.rule})" if change.rule else f"(was {code})"
    if change.rule:
        said = "" if code in ("", "forbidden") else f" ({code})"
        return f"by rule {change.rule}{said}"
    return f"({code} at {first.now.scope})"


def _where(one: Replayed) -> str:
    entry = one.entry
    return f"+{entry.t / 1e9:.3f} s  {entry.trial or entry.scope}  {entry.name}"


def _arguments(one: Replayed) -> str:
    import msgspec

    from proofrig.reports.words import line

    arguments = dict(one.act.arguments) if isinstance(one.act.arguments, dict) else {}
    if one.entry.name.startswith("llm."):
        arguments.pop("tools", None)
    return f"  {line(msgspec.json.encode(arguments).decode(), 120)}" if arguments else ""


def _document(name: str, found: Comparison, remarks: list[Remark]) -> dict[str, Any]:
    return {
        "run": name,
        "actions": found.actions,
        "then": found.then,
        "now": found.now,
        "changes": [
            {
                "kind": one.kind,
                "rule": one.rule,
                "code": one.code,
                "count": one.count,
                "names": one.names,
                "first": [_example(example) for example in one.first],
            }
            for one in found.changes
        ],
        "remarks": [_plain(one) for one in remarks],
    }


def _example(one: Replayed) -> dict[str, Any]:
    entry, now = one.entry, one.now
    facts = {"at": now.scope, "fix": now.fix, "remaining": now.remaining}
    return {
        "t": entry.t,
        "trial": entry.trial,
        "action": entry.id,
        "name": entry.name,
        "scope": entry.scope,
        "arguments": one.act.arguments,
        **{name: value for name, value in facts.items() if value},
    }


def _plain(remark: Remark) -> dict[str, str]:
    return {"about": remark.about, "name": remark.name, "says": remark.says}


def _print_json(value: Any) -> None:
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
