"""What a run records, and what it answers from a recording.

Rules:
1. A run's own recording lies below it, in `CASSETTE`; replays of a run look there.
2. Keys are never written: the values of the variables that providers read them from are named to
   the recorder, which takes them out wherever they stand.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proofrig.providers import make_provider
from proofrig.providers.provider import Provider
from proofrig.providers.recorded import SIMULATED, RecordedProvider, RecordedSettings
from proofrig.providers.simulated import SimulatedSettings
from proofrig.rig.protocol import Taping

if TYPE_CHECKING:
    from proofrig.suites import Suite
    from proofrig.trials.stage import StageSetting

CASSETTE = "cassette"


def recorded_of(setting: StageSetting) -> RecordedSettings | None:
    """What is replayed, by the command line or by the suite; None: nothing is."""
    model = setting.suite.model
    return setting.replay or (model if isinstance(model, RecordedSettings) else None)


def taping_of(setting: StageSetting) -> Taping | None:
    """What stands between the gateways and the world; None: nothing."""
    replayed = recorded_of(setting)
    if replayed is not None and replayed.mode == "live":
        replayed = None
    anew = replayed is not None and replayed.mode == "record_missing"
    if replayed is None and not setting.record:
        return None
    said: dict[str, Any] = {}
    if replayed is not None:
        from proofrig.cassettes.player import pace_of

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
    return Taping(suite=_told(setting.suite), secrets=_secrets(setting.suite), **said)


def provider_of(setting: StageSetting) -> Provider | None:
    """The run's provider, not yet started; None where the suite has none. A strict replay starts no
    other. Raises SuiteError."""
    suite, replayed = setting.suite, recorded_of(setting)
    if replayed is not None and replayed.mode == "strict":
        return RecordedProvider(replayed, suite.dir)
    if suite.model is None:
        return None
    return make_provider(suite.model, suite.dir, setting.seed)


def _told(suite: Suite) -> dict[str, str]:
    """What a recording says of the suite it is of."""
    told = {"name": suite.name, "digest": suite.digest()}
    return told | ({SIMULATED: "true"} if isinstance(suite.model, SimulatedSettings) else {})


def _secrets(suite: Suite) -> dict[str, str]:
    """Variable -> key, for every vendor of the suite."""
    vendors = (getattr(suite.model, name, None) for name in ("openai", "anthropic"))
    names = [vendor.key_env for vendor in vendors if vendor is not None]
    return {name: os.environ[name] for name in names if os.environ.get(name)}


def cassette_of(run_dir: Path) -> Path:
    """Where a run keeps its recording."""
    return run_dir / CASSETTE
