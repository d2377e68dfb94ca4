"""Step `prepare`: what this event is about, and where everything goes.

    inputs, the event's payload  ->  baseline, on-baseline, pull-request, cache-*, folder, ...

Rules:
1. What is checked is told by the event, never by a branch's name alone: a pull request is a
   proposal, even where its own branch is called like the baseline's.
2. Names of branches, suites and lanes are other people's text: they go into keys and file names as
   letters, digits and a digest.
3. The cache is keyed by suite and baseline branch; each save makes a new entry, and the newest is
   restored, because an entry can never be changed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SCHEMA = "1"  # of what the cache holds


def main(environ: Mapping[str, str]) -> int:
    """Write the outputs; the exit code."""
    for name in ("ACCEPT", "COMMENT", "SARIF", "FAIL_ON_INCONCLUSIVE"):
        if environ.get(name) not in ("true", "false"):
            option = name.lower().replace("_", "-")
            print(f"::error title=proofrig::{option}: expected true or false")
            return 2
    outputs = plan(environ, payload_of(environ))
    with open(environ["GITHUB_OUTPUT"], "a", encoding="utf-8") as file:
        for name, value in outputs.items():
            if "\n" in value or "\r" in value:
                print(f"::error title=proofrig::{name}: expected one line")
                return 2
            file.write(f"{name}={value}\n")
            print(f"{name}: {value}")
    Path(outputs["folder"]).mkdir(parents=True, exist_ok=True)
    return 0


def payload_of(environ: Mapping[str, str]) -> dict[str, Any]:
    """What GitHub says of the event; nothing where it says nothing."""
    try:
        found = json.loads(Path(environ.get("GITHUB_EVENT_PATH", "")).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def plan(environ: Mapping[str, str], payload: Mapping[str, Any]) -> dict[str, str]:
    """The outputs of this step."""
    repository = payload.get("repository") or {}
    given = environ.get("BASELINE_BRANCH", "").strip()
    baseline = given or str(repository.get("default_branch") or "main")
    event = environ.get("GITHUB_EVENT_NAME", "")
    proposed = event.startswith("pull_request") or event == "merge_group"
    number = (payload.get("pull_request") or {}).get("number", "")
    here = Path(environ.get("WORKING_DIRECTORY", "") or ".")
    what = (str(here), environ.get("SUITE", ""), environ.get("LANE", ""))
    kept = (str(here), environ.get("SUITE", ""), baseline)
    prefix = f"proofrig-{SCHEMA}-{slug(*kept)}-"
    root = Path(environ.get("PROOFRIG_ROOT") or ".proofrig")
    return {
        "baseline": baseline,
        "on-baseline": word(not proposed and environ.get("GITHUB_REF") == f"refs/heads/{baseline}"),
        "pull-request": str(number) if isinstance(number, int) else "",
        "cache-path": str(here / root / "store.db*"),
        "cache-key": f"{prefix}{environ['GITHUB_RUN_ID']}-{environ.get('GITHUB_RUN_ATTEMPT', '1')}",
        "cache-restore": prefix,
        "folder": str(Path(environ["RUNNER_TEMP"]) / f"proofrig-{slug(*what)}"),
        "artifact": f"proofrig-{slug(*what)}",
        "marker": f"<!-- proofrig {slug(*what)} -->",
    }


def slug(*parts: str) -> str:
    """A name that says roughly what it is of and is another for every other: no name is the
    beginning of another, so that a cache is never found by the wrong prefix."""
    said = re.sub(r"[^A-Za-z0-9]+", "-", "-".join(parts)).strip("-")[:60].rstrip("-")
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]
    return f"{said}-{digest}" if said else digest


def word(value: bool) -> str:
    """As an expression of a workflow compares it."""
    return "true" if value else "false"


if __name__ == "__main__":
    sys.exit(main(os.environ))
