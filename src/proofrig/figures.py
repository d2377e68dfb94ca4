"""The figures of a run by name: what a gate can ask, a comparison compares, and a trend draws.

Rules:
1. Data only: which figures there are, in which unit, which way is better, where each comes from.
   Both wings read this: a suite checks the names of its gates, the judging side finds the values.
2. One thing has one name. Checkers put quantile and unit at the end of the names of their measures
   (`pool_wait_p99_ms`); here that is `p99(pool_wait)`, in nanoseconds.
3. A checker of the user's own measures what it likes; such a figure is asked for as
   `measure:<name>`, and compared as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal, cast

import msgspec

OWN = "measure:"  # before the name of a measure that stands in no catalogue
SCORE, RUN = "score", "run"
QUANTILES = (50, 95, 99)
# What a comparison has a verdict on: it takes figures of single trials. Totals are by the trial.
COMPARED = (
    *("accuracy", "pass_hat_k", "infra_rate", "timeout_rate", "limit_rate", "cost", "tokens"),
    *("llm_calls", "tool_calls", "retries", "denied", "p50(duration)", "p95(duration)"),
)

Better = Literal["higher", "lower", ""]
Unit = Literal["share", "ns", "USD", "ratio", "tokens", "calls", "count", "bytes"]


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One figure. source: `score` (of the run and of each scenario), `run` (of the run alone), or
    the checker that measures it.

    quantiles: it is a spread, of which these are kept, in percent. measure: what the checker calls
    it where that is another name ("-": it is made from several). over: what it is measured over, by
    the name of the checker's exposure; none of it means not measured. parts: what may stand behind
    a colon (`amplification:<service>`); the checker calls those `part`, and `only` says that there
    is nothing else. finds: a count of findings, of which none is only as good as the checker's
    look. grows: it cannot fall while the run goes on. total: it depends on how many trials there
    are. interval: its 95 % interval is known.
    """

    name: str
    unit: Unit
    source: str
    says: str
    better: Better = "lower"
    quantiles: tuple[int, ...] = ()
    measure: str = ""
    over: str = ""
    parts: str = ""
    part: str = ""
    only: bool = False
    finds: bool = False
    grows: bool = False
    total: bool = False
    interval: bool = False


# `# group`, `@ source and what holds for all its figures`, then `name | unit, facts | meaning`.
_TABLE = """
# Score
@ score
accuracy | share higher interval | measured trials that passed: the pass rate
pass_at_k | share higher | chance that one of k trials of a case, at least, passes
pass_hat_k | share higher | chance that all of k trials of a case pass
infra_rate | share interval | trials that came to nothing for reasons around the agent
timeout_rate | share interval | measured trials that ran out of time
limit_rate | share interval | measured trials that failed at a budget or limit
cost | USD total grows | what all trials cost
cost_per_trial | USD | what a trial costs
cost_per_pass | USD | what all trials cost, for each that passed
tokens | tokens total grows | input and output tokens of all trials
tokens_per_trial | tokens | input and output tokens of a trial
llm_calls | calls total grows | model calls of all trials
llm_calls_per_trial | calls | model calls of a trial
tool_calls | calls total grows | tool calls of all trials
tool_calls_per_trial | calls | tool calls of a trial
retries | calls total grows | calls that were tried again, of all trials
retries_per_trial | calls | calls that were tried again, of a trial
denied | calls total grows | calls that the authority denied, of all trials
denied_per_trial | calls | calls that the authority denied, of a trial
duration | ns spread | how long a measured trial takes

# Run
@ run
llm_latency | ns spread | how long a model takes to answer, the wait for a connection apart
denied_rate | share | decisions of the authority that deny
flaky_rate | share | cases that both passed and failed, of those measured twice or more
null_pass_rate | share interval | trials that pass when nothing is done
reference_pass_rate | share higher interval | trials of the reference agent that pass
unattributed | calls total grows | requests that belong to no trial

# Resources
@ run
memory_peak | bytes spread | most memory of a trial at a time, files in memory included
memory_anon | bytes spread | the same without them; sampled
cpu_time | ns spread | processor time of a trial, all its processes together
processes_peak | count spread | most processes and threads of a trial at a time
open_files_peak | count spread | most open files of a process of a trial; sampled, where limited
egress | bytes spread | what a trial sent: all of it where its box counts, else to other hosts
disk | bytes spread | what a trial's files take at its end
packages | count spread | packages that a trial installed, of those that installed one
package_bytes | bytes spread | what those packages take on disk
context_tokens | tokens spread | input tokens of a trial's longest model call

# Load
@ burst over=trials
latency | ns spread | from when a trial was meant to start to its end
service | ns spread | from when a trial started to its end
failures | count grows | measured trials that failed
backlog | count grows as=backlog_max | most trials that were due and had not ended
recovery | ns as=recovery_ms | from the end of the load until trials are as quick as alone
case | share higher only of=case | pass rate of a case in a scenario
@ retry_amplification
tool_429_rate | share over=tool_requests | requests to tools and quotas that were answered 429
llm_429_rate | share over=model_requests | requests to models that were answered 429
@ retry_amplification over=requests
amplification | ratio as=retry_amplification of=service part=amplification | requests for each \
that agents wanted, at the service where that is worst
amplification_sdk | ratio | how much of it the SDK adds
amplification_gateway | ratio | how much of it the gateway adds
amplification_agent | ratio | how much of it the agent adds
amplification_client | ratio | how much of it agent or SDK add, where it is not known which
max_attempts | count grows | attempts at the request that was tried most
rejects | count grows | requests that were refused (429, 503, 529)
@ synchronised_retries over=retries
fano | ratio of=service | variance by mean of retries in 50 ms: 1 when they are independent
fullest_100ms_share | share of=service | retries that came in the fullest 100 ms
@ tenant_exhaustion over=requests
fairness_jain | ratio higher | Jain's index of what tenants got, by weight: 1 is fair
tenant_goodput_ratio | share higher | requests admitted of the worst tenant, by the best's
goodput | share higher only of=service:tenant | requests admitted, of a tenant, a service or both
completed | share higher only of=tenant | trials of a tenant that passed
offered | count neutral only grows of=tenant | requests of a tenant
admitted | count neutral only grows of=tenant | requests of a tenant that were admitted
refused | count neutral only grows of=tenant | requests of a tenant that were refused
@ pool_starvation over=short_requests
pool_wait | ns spread of=pool part=pool_wait_p95_ms | wait of short requests for a \
connection, at the pool where it is worst
starvation | share as=starvation_ratio | short requests starved of a connection by long streams
occupancy | share grows as=occupancy_max_ratio | most of a pool that long streams held

# Tenants
@ tenant_bleed
leak_rate | share interval as=- | the worst of: probes that leak, trials that got another tenant's \
data, hits of shared services that were another tenant's
probe_leak_rate | share interval over=probes | probes that got another tenant's data
control_hit_rate | share interval over=controls | the same for what nobody has: false alarms
wrong_tenant_hit_rate | share over=shared_hits | hits that were another tenant's
leaking_trials | share interval as=leak_rate over=cross_tenant_trials | trials that got another \
tenant's data
best_of_k_1 | share over=probes | secrets that one probe brings out
best_of_k_3 | share over=probes | secrets that 3 probes bring out
best_of_k_5 | share over=probes | secrets that 5 probes bring out
best_of_k_10 | share over=probes | secrets that 10 probes bring out
@ key_collision over=judged_uses
key_collisions | count finds grows | keys that tenants or trials share and should not

# Data
@ lost_update over=contended_keys
lost_updates | count finds grows | changes that another trial overwrote unseen
write_conflicts | count grows | writes refused because somebody else had written; rightly so
@ lost_write over=judged_operations
lost_writes | count finds | acknowledged writes that are gone
@ dirty_read over=reads
dirty_reads | count finds | reads of what was never written
@ stale_read over=judged_reads
stale_reads | count finds | reads of what is older than what was read before
@ torn_write over=places_read_after
torn_writes | count finds | values half written by a killed agent
@ stale_result over=disordered
stale_accepted | count finds grows | results that an agent took though out of date or doubled
@ leftover_state
inherited_reads | count grows over=reads | reads of what an earlier trial had left
clean_pass_rate | share higher over=clean_trials | pass rate in clean environments
used_pass_rate | share higher over=used_trials | pass rate in used environments
used_difference_low | share higher over=used_trials as=used_difference_low_ratio | pass rate in \
used less clean environments, low end of its interval
used_difference_high | share higher over=used_trials as=used_difference_high_ratio | the same, \
high end of its interval

# Locks
@ deadlock
deadlocks | count finds over=nested_acquires | circles of trials that wait for each other
lock_wait | ns p99 over=granted | wait of an acquire of a lock that was granted
@ lock_order over=nested_acquires
lock_order_hazards | count finds | orders of locks that can deadlock
@ lock_release over=locks_wanted_after
locks_not_released | count finds | locks that a killed agent held too long
@ stale_holder over=writes_under_lock
stale_holder_writes | count finds grows | writes by who had lost the lock

# Agents
@ duplicate_effects over=hidden
duplicate_effects | count finds grows | effects had twice because a fault hid the first answer
@ partial_as_complete over=incomplete
partial_as_complete | count finds grows | answers that pass off as whole what came incomplete
@ faults_fired over=faults
faults_never_fired | count finds | declared faults that never struck
struck | count neutral only grows of=fault | how often a fault struck
@ runaway_loop over=calls
loops | count finds grows | loops: the same over and over
loop_longest | count grows | rounds of the longest loop
@ call_flood over=runs_with_a_pace
floods | count finds grows | bursts of calls far above a run's own pace
flood_calls_per_minute | calls grows | pace of the fastest flood
@ free_commit over=looked_at
free_commits | count finds | model calls that cost nothing and should
too_fast_commits | count finds | calls that came back faster than they could
@ fan_out over=parents
fan_out_max | count grows | most children that one scope opened
@ hand_off over=hand_offs
hand_offs_lost | count finds | hand-offs to a child that never acted
children_ran_on | count finds | children that went on after their hand-off

# Launch and topology
@ launch
start_spread | ns as=start_spread_ms | from the first start of a phase to its last
arrival_spread | ns as=arrival_spread_ms | from the first request of a phase to its last trial's
start_delay | ns p99 | how late trials were started
lag | ns p99 | how late the rig's own loop ran
@ topology over=actions
cap | share only grows of=service.cap | use over cap of a declared cap
"""


def _read(table: str) -> Iterator[tuple[str, Figure]]:
    """The figures of a table, each with its group."""
    group = source = common = ""
    for line in filter(None, table.splitlines()):
        sign, _, rest = line.partition(" ")
        if sign == "#":
            group = rest
        elif sign == "@":
            source, _, common = rest.partition(" ")
        else:
            name, facts, says = line.split(" | ")
            unit, *words = f"{facts} {common}".split()
            given = dict(_fact(word, name) for word in words)
            figure = Figure(name=name, unit=cast(Unit, unit), source=source, says=says, **given)
            yield group, figure


_NAMES = {"as": "measure", "of": "parts", "over": "over", "part": "part"}


def _fact(word: str, name: str) -> tuple[str, Any]:
    key, given, value = word.partition("=")
    if given:
        return _NAMES[key], value
    if word in ("higher", "neutral"):
        return "better", "" if word == "neutral" else word
    if word in ("spread", "p99"):
        return "quantiles", QUANTILES if word == "spread" else (99,)
    return word, True


def _grouped() -> dict[str, list[Figure]]:
    groups: dict[str, list[Figure]] = {}
    for group, figure in _read(_TABLE):
        groups.setdefault(group, []).append(figure)
    return groups


GROUPS = _grouped()
FIGURES = {figure.name: figure for group in GROUPS.values() for figure in group}

_OF_K = re.compile(r"(pass_at|pass_hat)_[1-9]\d*")
_OF_SPREAD = re.compile(r".+_p(\d+)_ms")


def find(name: str) -> Figure | None:
    """The figure that is meant by `name`, `pass_at_4` and `amplification:llm` included."""
    if _OF_K.fullmatch(name):
        return FIGURES[f"{name.rpartition('_')[0]}_k"]
    head, colon, part = name.partition(":")
    figure = FIGURES.get(head)
    if figure is None or not colon:
        return figure
    return figure if figure.parts and part else None


def quantiles_of(figure: Figure, name: str) -> tuple[int, ...]:
    """The quantiles that are kept of what `name` means: of parts it may be fewer."""
    of_part = _OF_SPREAD.fullmatch(figure.part) if ":" in name else None
    return (int(of_part[1]),) if of_part else figure.quantiles


class Called(msgspec.Struct, frozen=True):
    """What a checker's measure is called here. `quantile` in [0, 1]; `scale`: how many base units
    one of the checker's is."""

    figure: Figure
    name: str
    quantile: float | None = None
    scale: float = 1.0


def _measures() -> Iterator[tuple[str, Called]]:
    """The checkers' measures; of parts, what stands before and with the colon."""
    for figure in FIGURES.values():
        if figure.source in (SCORE, RUN) or figure.measure == "-":
            continue
        kept = figure.quantiles
        names = [f"{figure.name}_p{q}_ms" for q in kept] or [figure.measure or figure.name]
        if not figure.only:
            yield from ((raw, _called(figure, raw)) for raw in names)
        if figure.parts:
            raws = [figure.part] if figure.part else names
            yield from ((f"{raw}:", _called(figure, raw)) for raw in raws)


def _called(figure: Figure, raw: str) -> Called:
    spread = _OF_SPREAD.fullmatch(raw) if figure.quantiles else None
    quantile = int(spread[1]) / 100 if spread else None
    return Called(figure, figure.name, quantile, 1e6 if raw.endswith("_ms") else 1.0)


MEASURES = dict(_measures())


def called(measure: str) -> Called | None:
    """What a checker's measure is called here; None for one that stands in no catalogue."""
    head, colon, part = measure.partition(":")
    found = MEASURES.get(f"{head}{colon}")
    if found is None or not colon:
        return found
    return Called(found.figure, f"{found.name}:{part}", found.quantile, found.scale)
