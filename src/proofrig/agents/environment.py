"""A trial's whole environment, for every kind of agent, from one function.

Rules:
1. What the agent needs to run is passed on from the parent by name (`PASSED_ON`); everything else
   of the parent stays behind, provider keys first of all.
2. The base URLs carry the trial's token as a path prefix and the keys are the token: two channels
   that survive in every SDK tried. Custom header variables are not set: an agent with a
   hard-coded base URL would send them to a stranger.
3. ANTHROPIC_AUTH_TOKEN is not set: next to ANTHROPIC_API_KEY the SDK only warns about it.
4. In the shared form nothing names a trial: identity travels with each request (`baggage`).
5. What the user wrote under `env:` comes last and wins; a proxy variable in both its cases, for
   clients read one or the other.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

SHARED_KEY = "proofrig-shared"  # the API key of agents whose identity is per request

PASSED_ON = frozenset(
    (
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "LANG", "LANGUAGE", "TZ", "TMPDIR"),
        *("PYTHONPATH", "VIRTUAL_ENV", "NODE_PATH", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
        *("NODE_EXTRA_CA_CERTS", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"),
        *("http_proxy", "https_proxy", "all_proxy"),
    )
)
_CASED = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
PASSED_ON_PREFIXES = ("LC_", "XDG_")

TELEMETRY_OPT_OUTS = {
    "DO_NOT_TRACK": "1",
    "OPENAI_AGENTS_DISABLE_TRACING": "1",
    "CREWAI_DISABLE_TELEMETRY": "true",
    "CREWAI_DISABLE_TRACKING": "true",
    "LITELLM_TELEMETRY": "False",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else fetched from the network at import
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "LANGSMITH_TRACING": "false",
    "LANGCHAIN_TRACING_V2": "false",
    "ANONYMIZED_TELEMETRY": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentSettings:
    """What a trial's environment is made from.

    run: the run's id, by which `sweep` finds what an earlier runner left (PROOFRIG_RUN). port:
    of the rig's gateways on 127.0.0.1. token: the trial's secret (in the shared form, the
    host's, by which its processes are found). trial: whose process it is, "" when it is of
    many. history: the folder that observers in the agent write to, "" where nothing is
    observed; origin_ns: the run's beginning (`time.monotonic_ns`). files: absolute globs of
    files that agents share, by service. redis: the ports of Redis proxies. proxy: variables by
    which clients find the egress gateway, None takes one out. default_urls: vendors whose
    clients are to keep their own URLs. intercepted: patterns of the hosts whose TLS ends at the
    rig. mcp: server name -> argv of a stdio server, or None for one that is reached by URL.
    user: the suite's `env:`. parent: what to pass on from; the runner's own environment when
    None.
    """

    port: int
    token: str
    run: str = ""
    trial: str = ""
    history: str = ""
    origin_ns: int = 0
    files: Mapping[str, str] = field(default_factory=dict)
    redis: Mapping[str, int] = field(default_factory=dict)
    proxy: Mapping[str, str | None] = field(default_factory=dict)
    default_urls: frozenset[str] = frozenset()
    intercepted: Sequence[str] = ()
    seed: int = 0
    shared: bool = False
    mcp: Mapping[str, Sequence[str] | None] = field(default_factory=dict)
    user: Mapping[str, str] = field(default_factory=dict)
    parent: Mapping[str, str] | None = None


def trial_environment(settings: EnvironmentSettings) -> dict[str, str]:
    """Every variable of a trial's environment (or, in the shared form, of a host's)."""
    parent = os.environ if settings.parent is None else settings.parent
    root = trial_root(settings.port, "" if settings.shared else settings.token)
    key = SHARED_KEY if settings.shared else settings.token
    env = {
        name: value
        for name, value in parent.items()
        if name in PASSED_ON or name.startswith(PASSED_ON_PREFIXES)
    }
    env.update(TELEMETRY_OPT_OUTS)
    if "api.openai.com" not in settings.default_urls:
        env.update(OPENAI_BASE_URL=f"{root}/v1", OPENAI_API_BASE=f"{root}/v1")
    if "api.anthropic.com" not in settings.default_urls:
        env["ANTHROPIC_BASE_URL"] = root
    env.update(
        OPENAI_API_KEY=key,
        ANTHROPIC_API_KEY=key,
        PROOFRIG_TOKEN=settings.token,
        PROOFRIG_TOOLS_URL=f"{root}/tools",
        PROOFRIG_SERVICES_URL=f"{root}/services",
        PROOFRIG_REFRESH_URL=f"{root}/auth/token",
        PROOFRIG_SEED=str(settings.seed),
        PYTHONUNBUFFERED="1",
    )
    if settings.run:
        env["PROOFRIG_RUN"] = settings.run
    if settings.history:
        env["PROOFRIG_HISTORY"] = settings.history
        env["PROOFRIG_ORIGIN_NS"] = str(settings.origin_ns)
        if settings.trial:
            env["PROOFRIG_TRIAL"] = settings.trial
        if settings.files:
            env["PROOFRIG_FILES"] = json.dumps(dict(settings.files))
    for name, port in settings.redis.items():
        user = "" if settings.shared else f":{settings.token}@"
        env[mcp_variable(name, "URL", "REDIS")] = f"redis://{user}127.0.0.1:{port}/0"
    for name, argv in settings.mcp.items():
        if argv is None:
            env[mcp_variable(name, "URL")] = f"{root}/mcp/{name}"
        else:
            env[mcp_variable(name, "COMMAND")] = json.dumps(list(argv))
    if settings.shared and settings.intercepted:
        env["PROOFRIG_INTERCEPTED"] = " ".join(settings.intercepted)
    for name, value in settings.proxy.items():
        if value is None:
            env.pop(name, None)
        else:
            env[name] = value
    direct = _no_proxy({} if settings.proxy else parent)
    env.update(NO_PROXY=direct, no_proxy=direct)
    for name in _CASED:
        for one, other in ((name, name.lower()), (name.lower(), name)):
            if one in settings.user:
                env[other] = settings.user[one]
    env.update(settings.user)
    return env


def trial_root(port: int, token: str = "") -> str:
    """The gateways' URL; with a token, the one that names its trial."""
    root = f"http://127.0.0.1:{port}"
    return f"{root}/t/{token}" if token else root


def mcp_variable(name: str, kind: str, family: str = "MCP") -> str:
    """`PROOFRIG_MCP_<NAME>_<kind>`; what cannot stand in a variable's name becomes `_`."""
    return f"PROOFRIG_{family}_{re.sub(r'[^A-Z0-9]', '_', name.upper())}_{kind}"


def identity_headers(token: str, trial: str = "") -> dict[str, str]:
    """The headers that carry a trial's identity on a request.

    The trace id is drawn from the token, the span id from token and trial, so that spans an agent
    makes itself can be joined to its trial. `identity.py` makes the same headers in the host.
    """
    span = hashlib.sha256(f"{token} {trial}".encode()).hexdigest()[:16]
    return {"traceparent": f"00-{trace_id(token)}-{span}-01", "baggage": f"proofrig.trial={token}"}


def trace_id(token: str) -> str:
    """The W3C trace id of a trial's traces, 32 hex characters."""
    return hashlib.sha256(token.encode()).hexdigest()[:32]


def _no_proxy(parent: Mapping[str, str]) -> str:
    given = parent.get("NO_PROXY") or parent.get("no_proxy") or ""
    hosts = [host.strip() for host in given.split(",") if host.strip()]
    return ",".join(dict.fromkeys(["127.0.0.1", "localhost", *hosts]))
