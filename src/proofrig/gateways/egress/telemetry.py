"""Where frameworks and SDKs report to of their own accord: not what an agent was asked to do.

Rules:
1. An entry is a host pattern, with or without a path that the request's path begins with. One with
   a path holds only where the path is seen: of plain and of intercepted requests.
2. A host that the suite's `allow` names is no telemetry: somebody wants to reach it.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from proofrig.gateways.egress.hosts import Pattern, Place, pattern

DEFAULTS = (
    # frameworks
    "telemetry.crewai.com",
    "app.crewai.com/crewai_plus/api/v1/tracing",
    "api.openai.com/v1/traces/ingest",
    "api.anthropic.com/api/event_logging",
    "api.anthropic.com/api/claude_code/metrics",
    "raw.githubusercontent.com/BerriAI/litellm",
    "api.smith.langchain.com",
    "*.api.smith.langchain.com",
    "api.traceloop.com",
    "logfire-api.pydantic.dev",
    "logfire-us.pydantic.dev",
    "logfire-eu.pydantic.dev",
    "cloud.langfuse.com/api/public/ingestion",
    "cloud.langfuse.com/api/public/otel",
    "us.cloud.langfuse.com/api/public/ingestion",
    "us.cloud.langfuse.com/api/public/otel",
    "app.phoenix.arize.com/v1/traces",
    "otlp.arize.com",
    "telemetry.vercel.com",
    "telemetry.nextjs.org",
    "huggingface.co/api/telemetry",
    # what they report with
    "statsig.anthropic.com",
    "api.statsig.com",
    "statsigapi.net",
    "*.statsigapi.net",
    "featuregates.org",
    "prodregistryv2.org",
    "*.ingest.sentry.io",
    "*.ingest.us.sentry.io",
    "*.ingest.de.sentry.io",
    "app.posthog.com",
    "us.posthog.com",
    "eu.posthog.com",
    "us.i.posthog.com",
    "eu.i.posthog.com",
    "us-assets.i.posthog.com",
    "eu-assets.i.posthog.com",
    "api.segment.io",
    "api.mixpanel.com",
    "api2.amplitude.com",
    "*.scarf.sh",
    "scarf.sh",
)


class Reporter(msgspec.Struct, frozen=True, gc=False):
    """A place that is reported to. path: what the path begins with, "" for all."""

    where: Pattern
    path: str = ""

    def meant(self, where: Place, path: str | None) -> bool:
        """path: None where it is not seen."""
        if not self.where.fits(where):
            return False
        return not self.path or (path is not None and _below(path, self.path))


def _below(path: str, root: str) -> bool:
    return path == root or path.startswith(root if root.endswith("/") else root + "/")


def reporter(written: str) -> Reporter:
    """An entry as it is written. Raises ValueError."""
    host, slash, path = written.partition("/")
    where = pattern(host)
    if not where.names:
        raise ValueError(f"expected a host, or one with a path, got {written!r}")
    return Reporter(where, slash + path.rstrip("*").rstrip("/") if slash else "")


class Reporters:
    """All places that are reported to. more: the suite's own; wanted: what its `allow` names."""

    def __init__(self, more: Iterable[str] = (), wanted: Iterable[Pattern] = ()) -> None:
        known = [reporter(one) for one in (*DEFAULTS, *more)]
        self._wild = [one for one in known if not one.where.exact]
        self._exact: dict[str, list[Reporter]] = {}
        for one in known:
            if one.where.exact:
                self._exact.setdefault(one.where.host, []).append(one)
        self._wanted = tuple(one for one in wanted if one.names)

    def meant(self, where: Place, path: str | None = None) -> bool:
        """True when a request is telemetry. path: None where it is not seen."""
        known = (*self._exact.get(where.host, ()), *self._wild)
        if not any(one.meant(where, path) for one in known):
            return False
        return not any(one.fits(where) for one in self._wanted)
