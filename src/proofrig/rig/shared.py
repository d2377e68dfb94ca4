"""What a rig holds for all agents to share: services behind their gateway, and Redis proxies."""

from __future__ import annotations

import os
import sys
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from proofrig.agents import identity
from proofrig.faults._kill_points import Kills
from proofrig.gateways.egress.gateway import EgressGateway
from proofrig.gateways.egress.settings import EgressSettings
from proofrig.gateways.gateway import Binding, Context
from proofrig.gateways.redis import RedisProxy
from proofrig.gateways.service_action import ServiceCalls
from proofrig.history.format import folder_of
from proofrig.rig.protocol import Plan
from proofrig.services import AnyServiceSettings, make_service

_settings: TypeAdapter[Any] = TypeAdapter(AnyServiceSettings)


def service_calls(context: Context, services: list[dict[str, Any]], seed: int) -> ServiceCalls:
    """The suite's services, made. Raises UsageError for one that cannot be."""
    made = [
        make_service(_settings.validate_python(one), context.clock, seed)
        for one in services
        if one["type"] != "redis"
    ]
    return ServiceCalls(context, {service.name: service for service in made}, kills(context))


async def open_proxies(
    context: Context, services: list[dict[str, Any]], closing: AsyncExitStack
) -> dict[str, int]:
    """Proxies of the suite's Redis servers: their ports by name. Raises InfraError where no server
    answers."""
    ports = {}
    for one in services:
        if one["type"] == "redis":
            proxy = RedisProxy(context, one["url"], one["name"])
            closing.push_async_callback(proxy.close)
            ports[one["name"]] = await proxy.start()
    return ports


async def open_egress(
    context: Context, plan: Plan, port: int, closing: AsyncExitStack
) -> tuple[int, str]:
    """The suite's egress gateway: its port, and the file of certificates that agents need for it. 0
    and "" where the suite wants none. port: of the rig's other gateways."""
    if plan.egress is None:
        return 0, ""
    settings = EgressSettings.model_validate(plan.egress)
    gateway = EgressGateway(context, settings, run_dir=Path(plan.run_dir), rig_port=port)
    listening = await gateway.start()
    closing.push_async_callback(gateway.close)
    return listening, gateway.bundle


def kills(context: Context) -> Any:
    """The kill points of the rig, as services pass them."""
    return Kills(partial(_killed, context)).reached


def observe(plan: Plan) -> None:
    """Let observers in the suite's tools, which run in this process, write to the history: as in an
    agent's process, with the identity of the call that runs."""
    if plan.lab:
        os.environ["PROOFRIG_HISTORY"] = str(folder_of(Path(plan.run_dir)))
        os.environ["PROOFRIG_ORIGIN_NS"] = str(plan.origin_ns)
        sys.modules["_proofrig_identity"] = identity


def _killed(context: Context, binding: Binding, attrs: dict[str, Any]) -> None:
    """Write down a kill, and the fault that it was where a suite declares one."""
    owner = {"trial": binding.trial, "tenant": binding.tenant, "scope": binding.scope}
    context.journal.write("note", "kill", **owner, attrs=attrs)
    if binding.kill is not None and (said := binding.kill.of_fault("service")):
        context.journal.write("fault", "kill", **owner, id=attrs["at"], attrs=said)
    context.journal.flush()
