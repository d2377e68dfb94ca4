"""A simulated provider: a model without a vendor, behind a real socket in a process of its own.

Rules:
1. The process ends with its parent, however that ends: its stdin closes, and the kernel tells it.
2. Nothing is random but by seed, and no seed depends on the order of arrival.
3. What the user wrote is checked before the process is started.
"""

from __future__ import annotations

import asyncio
import sys
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt, model_validator

from proofrig.errors import ProviderError, UsageError
from proofrig.providers.limits import Limits
from proofrig.providers.pacing import Latency
from proofrig.providers.provider import Endpoint
from proofrig.wire.turn import Api

START_TIMEOUT_S = 30.0
CLOSE_TIMEOUT_S = 5.0
_APIS: tuple[Api, ...] = ("chat_completions", "responses", "messages")


class Connections(BaseModel):
    """How many connections the server has. A request on one above `busy_above` is told that the
    server is overloaded; one above `refuse_above` is closed when it is accepted."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    busy_above: PositiveInt | None = None
    refuse_above: PositiveInt | None = None


def _short(value: Any) -> Any:
    """A plain number is `busy_above`."""
    return {"busy_above": value} if type(value) is int else value


class ModelSettings(BaseModel):
    """What is particular to some models. `mistakes` multiplies a script's mistake rates."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    latency: Latency | None = None
    mistakes: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0


class SimulatedSettings(BaseModel):
    """`provider: simulated`. `script` is a YAML file and `function` a `module:attribute`, both
    found from the suite's directory; with neither, the model echoes. `models` maps globs on model
    names to their own settings, the first that fits holding."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    provider: Literal["simulated"] = "simulated"
    script: str | None = None
    function: Annotated[str, Field(pattern=r"^[\w.]+:[\w.]+$")] | None = None
    latency: Latency = Latency()
    limits: Limits = Limits()
    connections: Annotated[
        Connections,
        BeforeValidator(_short, json_schema_input_type=Connections | PositiveInt),
    ] = Connections()
    models: dict[str, ModelSettings] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_model(self) -> SimulatedSettings:
        if self.script is not None and self.function is not None:
            raise ValueError("expected `script` or `function`, got both")
        return self

    def of(self, model: str) -> ModelSettings:
        """What holds for this model."""
        for pattern, settings in self.models.items():
            if fnmatchcase(model, pattern):
                return settings
        return _PLAIN


_PLAIN = ModelSettings()


class SimulatedProvider:
    """The process, started and ended."""

    def __init__(self, settings: SimulatedSettings, suite_dir: Path, seed: int) -> None:
        self._settings = settings
        self._suite_dir = suite_dir.absolute()
        self._seed = seed
        self._process: asyncio.subprocess.Process | None = None
        self.base_url = ""
        if settings.script is not None:
            from proofrig.providers.script_file import load_script

            load_script(self._suite_dir / settings.script)

    async def start(self) -> dict[Api, Endpoint]:
        """Start the process and wait until it listens. Raises `UsageError` when the model cannot
        be loaded, `ProviderError` when the process does not come up."""
        self._process = process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "proofrig.providers.simulated_server",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the runner, which ends this process last
        )
        try:
            self.base_url = await asyncio.wait_for(self._greet(process), START_TIMEOUT_S)
        except BaseException as error:
            await self.close()
            if isinstance(error, TimeoutError):
                raise ProviderError(
                    f"expected the simulated provider to listen within {START_TIMEOUT_S:g} s, got "
                    "nothing: does the model's module wait for something when it is imported?"
                ) from None
            raise
        endpoint = Endpoint(base_url=f"{self.base_url}/v1", key="simulated", simulated=True)
        return dict.fromkeys(_APIS, endpoint)

    def lost(self) -> str:
        """Why the process has ended, though nobody asked it to."""
        code = None if self._process is None else self._process.returncode
        return "" if code is None else f"the simulated provider ended with exit code {code}"

    async def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), CLOSE_TIMEOUT_S)
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _greet(self, process: asyncio.subprocess.Process) -> str:
        """Tell the process what to be and hear where it listens."""
        assert process.stdin is not None and process.stdout is not None
        told = {
            "settings": self._settings.model_dump(mode="json"),
            "suite_dir": str(self._suite_dir),
            "seed": self._seed,
        }
        process.stdin.write(msgspec.json.encode(told) + b"\n")
        line = await process.stdout.readline()
        ready: dict[str, Any] = msgspec.json.decode(line) if line else {}
        if "error" in ready:
            raise UsageError(ready["error"])
        if "port" not in ready:
            code = await process.wait()
            raise ProviderError(
                f"expected the simulated provider to listen, got its end with exit code {code}: "
                "what it wrote to stderr says why"
            )
        return f"http://127.0.0.1:{ready['port']}"
