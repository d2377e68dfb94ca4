"""A Redis server of the user's own, watched on its way: the rig is a proxy in front of it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from proofrig.services.service import Name, Partition


class RedisSettings(BaseModel):
    """What a suite declares of a Redis server. Agents find it in PROOFRIG_REDIS_<NAME>_URL."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["redis"]
    name: Name
    url: str = Field(
        pattern=r"^redis://\S+$", description="Where the server is: `redis://127.0.0.1:6379/0`."
    )
    partition: Partition = Field(
        "none", description="Whose keys are meant to be apart, which is then checked."
    )
    closed: bool = Field(False, description="Nobody writes to it but the agents of this run.")
    linearizable: bool = Field(True, description="Reads see every write that was acknowledged.")
    max_connections: int | None = Field(None, gt=0, description="Connections at once.")

    def topology(self) -> dict[str, Any]:
        """What the scenario's note says of it: all but the name and where it is."""
        return self.model_dump(mode="json", exclude={"name", "url"}, exclude_none=True)
