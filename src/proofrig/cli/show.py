"""`proofrig show`: a run, a case of it, or the trace of one trial."""

from __future__ import annotations

from pathlib import Path

import click

from proofrig.cli.options import root_option, run_argument, store_option


@click.command("show")
@run_argument
@click.argument("what", default="")
@click.option("--against", help="Another run: print where the two manifests differ.")
@click.option("--json", "as_json", is_flag=True, help="Print all of the run as JSON.")
@click.option(
    "--canonical",
    "plain",
    is_flag=True,
    help="Print its history without clocks: that of an equal run is the same text.",
)
@root_option
@store_option
def command(
    run: str, what: str, against: str | None, as_json: bool, plain: bool, root: Path, store: str
) -> None:
    """Show RUN; with WHAT, one of its cases (`refund`) or trials (`refund:2`)."""
    from proofrig.cli.conclusion import read_conclusion, report_of
    from proofrig.cli.options import find_run
    from proofrig.conclusion import Options
    from proofrig.reports import terminal
    from proofrig.reports.console import make_console
    from proofrig.reports.terminal_trace import print_trial
    from proofrig.trials import manifest as manifests

    options, console = Options(root=root, store=store), make_console()
    run_dir = find_run(run, options)
    if plain:
        from proofrig.history.canonical import canonical
        from proofrig.history.history import History
        from proofrig.history.payloads import PayloadReader

        for line in canonical(History(run_dir).entries(), PayloadReader(run_dir).get):
            click.echo(line)
        return
    if against:
        other = manifests.read(find_run(against, options))
        lines = manifests.differences(manifests.read(run_dir), other)
        click.echo("\n".join(lines) or "the two runs differ in nothing that the manifest states")
        return
    report = report_of(None, run_dir, read_conclusion(run_dir), options)
    if as_json:
        import msgspec

        from proofrig.reports.machine import document

        click.echo(msgspec.json.format(msgspec.json.encode(document(report)), indent=2).decode())
    elif not what:
        terminal.print_run(console, report)
    elif ":" in what:
        print_trial(console, report, what)
    else:
        terminal.print_case(console, report, what)
