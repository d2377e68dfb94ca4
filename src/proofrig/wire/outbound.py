"""What is known of a call when it leaves the rig: what faults are aimed at, and recordings are kept
by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

Surface = Literal["llm", "tool", "egress", "service"]
SURFACES: tuple[Surface, ...] = ("llm", "tool", "egress", "service")
# How its bytes are written: a model's API, a tool's answer over HTTP, MCP messages, or just HTTP.
Form = Literal["chat_completions", "responses", "messages", "tool", "mcp", "plain"]


class Outbound(msgspec.Struct, frozen=True, kw_only=True):
    """A call on its way out.

    action: its id on the history; name: the action's (`llm.messages`, `tool.refund`, `egress.get`,
    `lock.acquire`). token, trial, tenant, scope, case, scenario, began_ns: of its trial. tool,
    server: a tool's name and its MCP server. host, port: at the egress gateway. path: of the
    request, without the trial's token; query: as it was written. key: the API key that the agent's
    request carries. body: as the agent sent it; of a tool, its arguments as JSON. faulted: False
    where no fault may strike.
    """

    surface: Surface
    form: Form
    action: str
    name: str
    token: str
    trial: str
    tenant: str = ""
    scope: str = ""
    case: str = ""
    scenario: str = ""
    began_ns: int = 0
    tool: str = ""
    server: str = ""
    model: str = ""
    service: str = ""
    method: str = ""
    host: str = ""
    port: int = 0
    path: str = ""
    query: str = ""
    key: str = ""
    headers: Mapping[str, str] = {}
    body: bytes = b""
    stream: bool = False
    faulted: bool = True

    @property
    def agent(self) -> str:
        """The third level of the scope."""
        parts = self.scope.split("/", 3)
        return parts[2] if len(parts) > 2 else ""
