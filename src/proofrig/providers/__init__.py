"""What stands behind a gateway: simulated or real models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from proofrig.providers.provider import Provider
from proofrig.providers.recorded import RecordedProvider, RecordedSettings
from proofrig.providers.simulated import SimulatedProvider, SimulatedSettings
from proofrig.providers.upstream import UpstreamProvider, UpstreamSettings

AnyProviderSettings = Annotated[
    SimulatedSettings | UpstreamSettings | RecordedSettings, Field(discriminator="provider")
]


def make_provider(
    settings: SimulatedSettings | UpstreamSettings | RecordedSettings, suite_dir: Path, seed: int
) -> Provider:
    """The provider that these settings ask for, not yet started. `suite_dir` is where scripts and
    modules are found; `seed` is the run's. Raises `SuiteError` for a script that is wrong."""
    if isinstance(settings, SimulatedSettings):
        return SimulatedProvider(settings, suite_dir, seed)
    if isinstance(settings, RecordedSettings):
        return RecordedProvider()
    return UpstreamProvider(settings)
