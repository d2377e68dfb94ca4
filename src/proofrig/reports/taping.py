"""What a report says of a run that was recorded, or answered from a recording.

Rules:
1. A replay says so wherever its score stands: it is of answers that were recorded before.
2. A recorded run says where its recording is, and how to replay it.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from proofrig.places import RUNS, run_name, shortest
from proofrig.reports.report import RunReport
from proofrig.reports.words import plural

CASSETTE = "cassette"
_USUAL = {"mode": "strict", "timing": "instant", "tools": "remote"}


def replay_of(report: RunReport) -> Mapping[str, Any]:
    """The settings of what was replayed, by the command line or the suite; empty: nothing was."""
    model = report.manifest.get("what", {}).get("model") or {}
    return report.manifest.get("replay") or (model if model.get("provider") == "recorded" else {})


def source(replay: Mapping[str, Any]) -> str:
    """What `--replay` names: the run that a recording belongs to, else its folder."""
    folder = Path(str(replay["cassette"]))
    if folder.name == CASSETTE and folder.parent.parent.name == RUNS:
        return run_name(folder.parent)
    return shlex.quote(shortest(folder) if folder.is_absolute() else str(folder))


def said(report: RunReport) -> str:
    """`replay of RUN, strict`, `recorded`, or nothing."""
    replay = replay_of(report)
    if not replay:
        return "recorded" if report.manifest.get("record") else ""
    return f"replay of {source(replay)}, {str(replay['mode']).replace('_', '-')}"


def again(report: RunReport) -> list[str]:
    """The options that run it again under the same faults and from the same recording."""
    manifest, replay = report.manifest, report.manifest.get("replay") or {}
    words = [f"--faults {','.join(map(shlex.quote, packs))}"] if (packs := packs_of(report)) else []
    words += ["--no-faults"] if manifest.get("faultless") else []
    if file := manifest.get("constraints_from"):
        words.append(f"--constraints {shlex.quote(shortest(Path(str(file))))}")
    if replay:
        words.append(f"--replay {source(replay)}")
        for key, usual in _USUAL.items():
            if (value := str(replay[key]).replace("_", "-")) != usual:
                words.append(f"--{key.replace('tools', 'replay-tools')} {value}")
    return words


def packs_of(report: RunReport) -> list[str]:
    """The packs of faults that were put over the suite."""
    return list(report.manifest.get("packs", ()))


def caution(report: RunReport) -> str:
    """What trials that left their recording mean; nothing where none did."""
    gone = sum(row.failure == "diverged" for row in report.rows if row.role == "subject")
    if not gone:
        return ""
    return (
        f"{plural(gone, 'trial')} asked what the recording does not hold, and failed by it: the "
        "agent, its tools or its suite have changed. `proofrig show RUN TRIAL` shows the first "
        "field that differs. Where the change is meant, record again, or run with "
        "`--mode record-missing`."
    )


def commands(report: RunReport, suite: str) -> list[tuple[str, str]]:
    """Where the recording of this run is, and the command that replays it."""
    if not (report.run_dir / CASSETTE).is_dir():
        return []
    return [
        ("Recording", shortest(report.run_dir / CASSETTE)),
        ("Replay", f"proofrig run {suite} --replay {run_name(report.run_dir)}"),
    ]
