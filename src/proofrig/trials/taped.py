"""What a run records, and what it answers from a recording.

Rules:
1. A run's own recording lies below it, in `CASSETTE`; replays of a run look there.
2. Keys are never written: all that `secretive` finds is named to the recorder, which takes it out
   wherever it stands.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proofrig.cassettes.cassette import load
from proofrig.providers import make_provider
from proofrig.providers.provider import Provider
from proofrig.providers.recorded import SIMULATED, RecordedProvider, RecordedSettings, pace_of
from proofrig.providers.simulated import SimulatedSettings
from proofrig.rig.protocol import Taping
from proofrig.trials.rundir import finished_trials
from proofrig.trials.secretive import secrets_of

if TYPE_CHECKING:
    from proofrig.suites import Suite
    from proofrig.trials.stage import StageSetting

CASSETTE = "cassette"


def recorded_by(suite: Suite, replay: RecordedSettings | None) -> RecordedSettings | None:
    """What is replayed, by the command line or by the suite; None: nothing is."""
    model = suite.model
    return replay or (model if isinstance(model, RecordedSettings) else None)


def taping_of(setting: StageSetting) -> Taping | None:
    """What stands between the gateways and the world; None: nothing."""
    replayed = recorded_by(setting.suite, setting.replay)
    if replayed is not None and replayed.mode == "live":
        replayed = None
    anew = replayed is not None and replayed.mode == "record_missing"
    if replayed is None and not setting.record:
        return None
    said: dict[str, Any] = {}
    if replayed is not None:
        said = {
            "replay": str(replayed.at(setting.suite.dir).absolute()),
            "mode": replayed.mode,
            "pace": pace_of(replayed.timing),
            "tools": replayed.tools,
            "ignore": replayed.ignore,
            "scrub": replayed.scrub,
        }
    if setting.record or anew:
        said["record"] = str((setting.run_dir / CASSETTE).absolute())
        said["anew"] = _anew(setting.run_dir)
    return Taping(suite=_told(setting.suite), secrets=secrets_of(setting.suite, os.environ), **said)


def provider_of(setting: StageSetting) -> Provider | None:
    """The run's provider, not yet started; None where the suite has none. A strict replay starts
    none. Raises SuiteError: a cassette that was changed by hand is refused before the first trial,
    with the field named."""
    suite, replayed = setting.suite, recorded_by(setting.suite, setting.replay)
    if replayed is not None and replayed.mode == "strict":
        return RecordedProvider(_simulated(replayed.at(suite.dir)))
    if suite.model is None:
        return None
    return make_provider(suite.model, suite.dir, setting.seed)


def _simulated(cassette: Path) -> bool:
    found = load(cassette)
    try:
        return bool(found.manifest.suite.get(SIMULATED))
    finally:
        found.close()


def _told(suite: Suite) -> dict[str, str]:
    """What a recording says of the suite it is of."""
    told = {"name": suite.name, "digest": suite.digest()}
    return told | ({SIMULATED: "true"} if isinstance(suite.model, SimulatedSettings) else {})


def _anew(run_dir: Path) -> tuple[str, ...]:
    """The trials of a resumed run that began and are run anew."""
    if not cassette_of(run_dir).is_dir():
        return ()
    before = finished_trials(run_dir)
    return tuple(trial for trial in before.attempts if trial not in before.done)


def cassette_of(run_dir: Path) -> Path:
    """Where a run keeps its recording."""
    return run_dir / CASSETTE
