"""What a suite writes about its tools: Python functions, HTTP endpoints, MCP servers and services.

Rules:
1. Only pydantic here, so that reading a suite never loads a server or a client.
2. `{suite}`, `{world}` and `{python}` in a command, its environment and its directory stand for the
   suite's folder, the trial's folder and the interpreter that proofrig runs with; nothing else is
   expanded.
3. A `command` server is started by the agent, through the tap; a `url` server runs already.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
Target = Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*(:[A-Za-z_]\w*)?$")]
Url = Annotated[str, Field(pattern=r"^https?://[^/\s]+")]
PYTHON_SERVER = "tools"  # the MCP server under which the rig serves a suite's own tools


class Settings(BaseModel):
    """Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class CallSettings(Settings):
    """What holds for each call of a tool that the rig itself carries out."""

    timeout_s: float = Field(60.0, gt=0, description="Seconds until a call is given up.")
    result_limit_bytes: int = Field(
        1 << 20, gt=0, description="A larger result is an error that says so; it is never cut."
    )


class PythonToolSettings(CallSettings):
    """A function, or every function named in a module's `__all__`."""

    type: Literal["python"]
    target: Target = Field(description="`module:function`, or `module` for all of its `__all__`.")
    name: Name | None = Field(None, description="The tool's name; the function's by default.")

    @model_validator(mode="after")
    def _one_name(self) -> Self:
        if self.name and ":" not in self.target:
            raise ValueError(
                f"name: expected none beside a whole module, got {self.name!r}; "
                f"write target: {self.target}:function, or leave the name out"
            )
        return self


class HttpToolSettings(CallSettings):
    """An HTTP endpoint that takes the arguments and answers with the result."""

    type: Literal["http"]
    name: Name
    url: Url = Field(description="`{parameter}` in the path is filled from the arguments.")
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    description: str = ""
    parameters: dict[str, Any] = Field(
        default_factory=lambda: {"type": "object"},
        alias="schema",
        description="JSON Schema of the arguments.",
    )
    headers: dict[str, str] = {}


class McpServerSettings(Settings):
    """An MCP server: a `command` (stdio) or a `url` (streamable HTTP)."""

    type: Literal["mcp"]
    name: Name
    command: list[str] | None = Field(None, min_length=1, description="Program and arguments.")
    env: dict[str, str] = Field({}, description="Set for the command; it inherits the rest.")
    cwd: str | None = Field(None, description="Directory of the command; the agent's by default.")
    url: Url | None = None
    headers: dict[str, str] = Field({}, description="Sent to the url with each request.")

    @model_validator(mode="after")
    def _one_transport(self) -> Self:
        if (self.command is None) == (self.url is None):
            got = "neither" if self.command is None else "both"
            raise ValueError(f"expected either command (stdio) or url (HTTP), got {got}")
        if self.url and (self.env or self.cwd):
            raise ValueError("env and cwd belong to a command; a url server runs already")
        if self.command and self.headers:
            raise ValueError("headers belong to a url; give a command its env")
        return self

    @property
    def bare_name(self) -> str:
        """The program of a command that is found on PATH; empty for a path or a placeholder."""
        program = self.command[0] if self.command else ""
        return "" if "/" in program or "{" in program else program

    def resolved(
        self, suite: Path, world: str, python: str = sys.executable
    ) -> tuple[list[str], dict[str, str], str | None]:
        """Command, environment and directory with the placeholders filled in. Only for a
        command."""

        def fill(text: str) -> str:
            for name, value in places.items():
                text = text.replace(name, value)
            return text

        places = {"{suite}": str(suite), "{world}": world, "{python}": python}

        return (
            [fill(part) for part in self.command or ()],
            {name: fill(value) for name, value in self.env.items()},
            fill(self.cwd) if self.cwd else None,
        )


class ServiceToolSettings(CallSettings):
    """Operations of one of the suite's shared services, each a tool."""

    type: Literal["service"]
    service: Name = Field(description="The service's name.")
    operations: list[Name] | None = Field(
        None, min_length=1, description="The operations that are tools; all of them by default."
    )
    prefix: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9_.-]{0,64}$",
        description="The tools are named `<prefix>_<operation>`; the service's name by default.",
    )


OneToolSettings = PythonToolSettings | HttpToolSettings | McpServerSettings | ServiceToolSettings
AnyToolSettings = Annotated[OneToolSettings, Field(discriminator="type")]
tool_settings: TypeAdapter[OneToolSettings] = TypeAdapter(AnyToolSettings)
