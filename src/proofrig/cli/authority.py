"""`proofrig authority`: the authority as a service of its own."""

from __future__ import annotations

import json
from pathlib import Path

import click

_REDIS = ("redis://", "rediss://", "unix://")
_file = click.Path(dir_okay=False, path_type=Path)


@click.group("authority")
def command() -> None:
    """Serve permission and budget for actions to any program, over HTTP."""


@command.command("serve")
@click.option("--policy", type=_file, help="Rules and limits: YAML or JSON.")
@click.option("--journal", type=_file, help="Keep the ledger in this file; it survives a kill.")
@click.option("--redis", default="", metavar="URL", help="Keep the ledger in Redis instead.")
@click.option("--keys", type=_file, help="API keys and their tenants: YAML or JSON.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Which port; default: a free one."
)
@click.option("--shadow", is_flag=True, help="Note what would be denied, and deny nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the URL as JSON.")
def serve(
    policy: Path | None,
    journal: Path | None,
    redis: str,
    keys: Path | None,
    host: str,
    port: int,
    shadow: bool,
    as_json: bool,
) -> int:
    """Serve until SIGTERM or Ctrl-C. One line with the URL says that it is ready."""
    import uvloop

    from proofrig.authority.http.serving import Serving
    from proofrig.authority.http.serving import serve as run
    from proofrig.errors import UsageError

    if redis and not redis.startswith(_REDIS):
        raise UsageError(f"--redis: expected a URL such as redis://host:6379/0, got {redis!r}")

    def ready(url: str) -> None:
        said = f"proofrig authority serves {url} (documented at {url}/openapi.json)"
        click.echo(json.dumps({"url": url}) if as_json else said)

    uvloop.run(run(Serving(policy, journal, redis, keys, host, port, shadow), ready))
    return 0
