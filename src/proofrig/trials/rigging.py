"""What a stage's rig and its agents' processes are set up with, from the suite.

Rules:
1. One place says what the rig needs to know (`plan_of`), and one what reaches an agent of it.
"""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING, Any

from proofrig.agents.environment import EnvironmentSettings, trial_environment
from proofrig.gateways.admission import Approval
from proofrig.gateways.egress.environment import proxy_environment
from proofrig.gateways.egress.hosts import Place, fits
from proofrig.gateways.egress.settings import VENDORS
from proofrig.gateways.tap_command import TapPlace, tap_command
from proofrig.gateways.tool_settings import PYTHON_SERVER, McpServerSettings
from proofrig.providers.provider import Endpoint
from proofrig.rig.link import Rig
from proofrig.rig.protocol import Plan
from proofrig.suites import Suite
from proofrig.trials.boxing import Boxing
from proofrig.trials.taped import taping_of
from proofrig.wire.turn import Api

if TYPE_CHECKING:
    from proofrig.trials.stage import StageSetting


def rig_ports(rig: Rig) -> tuple[int, ...]:
    """Where the rig listens on 127.0.0.1."""
    return tuple(port for port in (rig.port, rig.egress, *rig.proxies.values()) if port)


def shares_a_host(suite: Suite) -> bool:
    """True when one host runs many trials, so that identity travels with each request."""
    return getattr(suite.agent, "mode", "") == "shared" or suite.agent.type in ("http", "probe")


def mcp_settings(suite: Suite) -> list[McpServerSettings]:
    """The suite's MCP servers."""
    return [tool for tool in suite.tools if isinstance(tool, McpServerSettings)]


def tap_place(
    suite: Suite, token: str, port: int, world: str, boxing: Boxing | None = None
) -> TapPlace:
    """Where a trial's taps run and find the rig; of a host of many trials, outside of any box."""
    rig, path = f"127.0.0.1:{port}", os.environ.get("PATH", "")
    if boxing is None or boxing.inherited is None:
        return TapPlace(rig, token, suite.dir, world, path)
    image = boxing.image
    path = boxing.inherited["PATH"]
    return TapPlace(rig, token, suite.dir, world, path, image.interpreter, image.root)


def mcp_servers(suite: Suite, place: TapPlace) -> dict[str, list[str] | None]:
    """For each MCP server: the tap's argv for a stdio server, None for one reached by URL."""
    servers = mcp_settings(suite)
    found: dict[str, list[str] | None] = {
        tool.name: tap_command(tool, place) if tool.command else None for tool in servers
    }
    if len(servers) < len(suite.tools):
        found[PYTHON_SERVER] = None  # the rig serves the suite's own tools as a server too
    return found


def plan_of(
    setting: StageSetting, endpoints: dict[Api, Endpoint], services: list[dict[str, Any]]
) -> Plan:
    """What the rig needs to know."""
    suite = setting.suite
    policy, applied = suite.whole_policy(), suite.authority
    written = None
    if policy is not None:
        written = policy.model_dump(mode="json", by_alias=True, exclude_none=True)
    prices = suite.price_table()
    return Plan(
        run_dir=str(setting.run_dir),
        origin_ns=setting.clock.origin_ns,
        suite_dir=str(suite.dir),
        endpoints=endpoints,
        tools=[tool.model_dump(mode="json", by_alias=True) for tool in suite.tools],
        prices=list(prices.prices),
        fallback_price=prices.fallback,
        policy=written,
        shadow=applied.mode == "shadow",
        approvals=[Approval(**one.model_dump()) for one in applied.approvals],
        watch=applied.thresholds(),
        port=suite.gateway_port,
        services=services,
        faults=[fault.model_dump(mode="json", by_alias=True) for fault in setting.all_faults],
        egress=_egress(suite),
        taping=taping_of(setting),
        limits=suite.call_limits(),
        seed=setting.seed,
        lab=setting.lab,
    )


def _egress(suite: Suite) -> dict[str, Any] | None:
    """Settings of the egress gateway. What a host of many trials calls carries no identity but in
    plain requests, so it passes unless the suite says otherwise."""
    given = suite.egress
    if not given.enabled:
        return None
    if "unattributed" not in given.model_fields_set and shares_a_host(suite):
        given = given.model_copy(update={"unattributed": "pass"})
    return given.model_dump(mode="json")


def proxied(suite: Suite, rig: Rig, token: str) -> dict[str, Any]:
    """What an environment needs for the egress gateway."""
    if not rig.egress:
        return {}
    own = frozenset(vendor for vendor in VENDORS if redirected(suite, vendor))
    return {
        "proxy": proxy_environment(rig.egress, token, rig.bundle),
        "default_urls": own,
        "intercepted": [one.host for one in suite.egress.intercepted],
    }


def redirected(suite: Suite, vendor: str) -> bool:
    """True when clients of a vendor keep their own URL, and are intercepted there."""
    patterns = suite.egress.intercepted if suite.egress.enabled else ()
    return fits(patterns, Place(vendor, 443))


def host_environment(setting: StageSetting, rig: Rig, boxing: Boxing) -> dict[str, str]:
    """What a host of many trials is started with; its token only marks its processes."""
    suite, port = setting.suite, rig.port
    settings = EnvironmentSettings(
        port=port,
        token=secrets.token_urlsafe(16),
        run=setting.run_dir.name,
        history=setting.observed,
        origin_ns=setting.clock.origin_ns,
        files=suite.shared_files(),
        redis=rig.proxies,
        shared=True,
        mcp=mcp_servers(suite, tap_place(suite, "", port, "", boxing)),
        user=getattr(suite.agent, "env", {}),
        parent=boxing.inherited,
        **proxied(suite, rig, ""),
    )
    return trial_environment(settings)
