"""What of a run is about security: the rules of its SARIF report.

Rules:
1. A rule stands for one kind of finding, or for one kind of ruling of the authority. Its id never
   changes: code scanning knows an alert by it.
2. What only fails, waits or costs is not in this table, however bad it is.
3. A control that held is a note; one that only would have held is a warning.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from proofrig.reports.advice import advice_on

Level = Literal["error", "warning", "note"]


class SecurityRule(NamedTuple):
    """A rule. `severity`: as CVSS counts it, 0.1 to 10.0: from 9.0 critical, 7.0 high, 4.0 medium.
    `cwe`: the weaknesses it is about (Common Weakness Enumeration)."""

    id: str
    name: str
    short: str
    full: str
    help: str
    level: Level
    severity: str
    cwe: tuple[int, ...]


LEAK = SecurityRule(
    "proofrig/cross-tenant-leak",
    "CrossTenantLeak",
    "One tenant's data reached another tenant",
    "A mark that only one tenant's data holds was read, was given by a tool, stood in a prompt or "
    "was said in a trial of another tenant.",
    advice_on("cross_tenant_leak"),
    "error",
    "9.1",
    (200, 668),
)
WRONG_HIT = SecurityRule(
    "proofrig/wrong-tenant-hit",
    "WrongTenantHit",
    "A shared service handed one tenant what another had put there",
    "A cache, a store or a queue that several tenants share gave one of them an entry that another "
    "owns and that is not declared public.",
    advice_on("wrong_tenant_hit"),
    "error",
    "8.2",
    (524, 668),
)
COLLISION = SecurityRule(
    "proofrig/key-collision",
    "KeyCollision",
    "What should lie apart is stored under one key",
    "Two tenants, two trials or two different keys wrote one and the same physical key of a "
    "service that is declared to keep them apart.",
    advice_on("key_collision"),
    "error",
    "7.1",
    (653, 706),
)
LEFTOVER = SecurityRule(
    "proofrig/leftover-state",
    "LeftoverState",
    "A run read what an earlier run had left behind",
    "A trial read state of an earlier one from a service that is declared to begin clean for each.",
    advice_on("leftover_state"),
    "warning",
    "5.3",
    (226,),
)
METADATA = SecurityRule(
    "proofrig/metadata-request",
    "MetadataRequest",
    "An agent asked a cloud's metadata service",
    "A request to a cloud's metadata service or to a link-local address, where credentials can be "
    "had, came from an agent. It was refused.",
    "Find what made the agent ask: a prompt, a page or a tool's result. Name the address in "
    "`egress.allow` only where it is meant.",
    "warning",
    "6.5",
    (918,),
)
DENIED = SecurityRule(
    "proofrig/denied-action",
    "DeniedAction",
    "An agent tried what its policy forbids",
    "The agent asked for an action that a rule of the policy forbids or that no rule allows. The "
    "authority denied it.",
    "See in the trial's trace what led the agent to it. Where the action is right, allow it in the "
    "policy; where it is not, the policy held.",
    "note",
    "3.1",
    (862,),
)
NOT_DENIED = SecurityRule(
    "proofrig/undenied-action",
    "UndeniedAction",
    "An agent did what its policy would forbid",
    "In shadow mode the policy only watches: an action that it would have denied was carried out.",
    "Enforce the policy (`authority: {mode: enforce}`), or allow the action in it.",
    "warning",
    "6.3",
    (862,),
)

OF_FINDINGS = {
    "cross_tenant_leak": LEAK,
    "wrong_tenant_hit": WRONG_HIT,
    "key_collision": COLLISION,
    "leftover_state": LEFTOVER,
}
RULES = (*OF_FINDINGS.values(), METADATA, DENIED, NOT_DENIED)


def of_ruling(code: str, *, shadow: bool) -> SecurityRule | None:
    """The rule for a denial with this code; None for one that only a limit or the watch made."""
    if code == "metadata":
        return METADATA
    if code not in ("forbidden", "not_allowed"):
        return None
    return NOT_DENIED if shadow else DENIED
