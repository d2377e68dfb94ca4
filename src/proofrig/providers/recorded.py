"""A recording in the place of a provider: nothing is started, nothing leaves.

Rules:
1. A recording of a simulated provider is judged as that one was: its limits were declared.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from proofrig.providers.provider import Endpoint
from proofrig.wire.turn import Api

Mode = Literal["strict", "record_missing", "live"]
SIMULATED = "simulated"  # what a cassette's manifest says of the suite's provider
_APIS: tuple[Api, ...] = ("chat_completions", "responses", "messages")
_NOWHERE = "http://127.0.0.1:1/v1"  # no request is ever sent there


def pace_of(written: str) -> float:
    """`instant`, `recorded`, or a factor of the recorded times such as `0.5`. Raises ValueError."""
    if written in ("instant", "recorded"):
        return float(written == "recorded")
    try:
        factor = float(written)
    except ValueError:
        factor = -1.0
    if not 0 <= factor <= 1000:
        raise ValueError(f"expected instant, recorded, or a factor such as 0.5, got {written!r}")
    return factor


def _timing(written: str) -> str:
    pace_of(written)
    return written


class RecordedSettings(BaseModel):
    """`provider: recorded`. `cassette` is a folder of the suite, or where a run keeps its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    provider: Literal["recorded"] = "recorded"
    cassette: str = Field(min_length=1, description="The folder of the recording.")
    mode: Mode = Field(
        default="strict",
        description="`strict`: what is not recorded fails its trial. `record_missing`: it goes "
        "out, and is recorded anew. `live`: everything goes out.",
    )
    timing: Annotated[str, AfterValidator(_timing)] = Field(
        default="instant", description="`instant`, `recorded`, or a factor such as `0.5`."
    )
    tools: Literal["remote", "all", "none"] = Field(
        default="remote",
        description="Which tools are replayed: those behind a URL; all; none. All others are "
        "carried out, so that what they leave can be judged.",
    )
    ignore: tuple[str, ...] = Field(
        default=(), description="JSON paths of requests that do not matter: `$.metadata.trace`."
    )
    scrub: dict[str, str] = Field(
        default={}, description="Name -> regular expression of what does not matter in texts."
    )

    def at(self, directory: Path) -> Path:
        """Where the cassette is, seen from `directory`."""
        return directory / self.cassette


class RecordedProvider:
    """The endpoints of a cassette, which the rig's tape answers for. simulated: they were those of
    a simulated provider."""

    def __init__(self, simulated: bool = False) -> None:
        self._simulated = simulated

    async def start(self) -> dict[Api, Endpoint]:
        """Nothing is started."""
        return dict.fromkeys(_APIS, Endpoint(_NOWHERE, simulated=self._simulated))

    def lost(self) -> str:
        """A folder does not go away."""
        return ""

    async def close(self) -> None:
        """Nothing was begun."""
