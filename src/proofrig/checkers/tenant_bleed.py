"""Data of one tenant that reached another: proved by a canary, or by who owned what was handed out.

Rules:
1. `cross_tenant_leak`: a canary of tenant A in what a trial of tenant B read, was given by a tool,
   was prompted with, or said. The place nearest to the cause counts; one finding per trial and
   canary. A fact (name and number together) is weaker than a token, and the finding says so.
2. `wrong_tenant_hit`: a shared service gave B what A had put there, and it is not public.
3. What the suite declares public is nobody's secret; what a trial was asked with is no leak to it.
4. A probe leaks when its trial has either finding. `best_of_k_<k>` is the share of secrets that k
   of their probes, drawn at random, bring out: 1 - C(n-c,k)/C(n,k), averaged over the secrets.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import msgspec

from proofrig.canaries.canary import Canary
from proofrig.canaries.detect import Hit
from proofrig.checkers._bleed_texts import (
    PROMPT,
    READ,
    WORDS,
    Place,
    Search,
    TrialEnd,
    answer_of,
    places_of,
)
from proofrig.checkers._operations import shown
from proofrig.checkers.checker import (
    KEPT,
    Checked,
    Evidence,
    Finding,
    Findings,
    Setting,
    conclude,
    evidence,
    noted,
)
from proofrig.history.action import Action, Entry
from proofrig.stats.repeats import over_cases

READS = ("cache.", "kv.", "queue.", "file.", "tool.", "llm.")
HITS = frozenset(("cache.get", "kv.get", "queue.receive"))
CONTROL = "control"
TRIES = (1, 3, 5, 10)
WRITES_KEPT = 100_000


class _Leak(msgspec.Struct):
    """A canary in a trial of another tenant: the place nearest to the cause, and the next one."""

    rank: int
    hit: Hit
    tenant: str
    first: Evidence
    write: Evidence | None = None  # who put it where it was found
    served: Evidence | None = None  # the hit that handed it out, where `first` is not that one
    later: Evidence | None = None
    later_rank: int = -1


class _Probe(msgspec.Struct, frozen=True, gc=False):
    of: str
    operator: str


class TenantBleed:
    """Cross-tenant leaks and wrong-tenant hits."""

    name: ClassVar[str] = "tenant_bleed"
    reads: ClassVar[tuple[str, ...]] = READS
    notes: ClassVar[tuple[str, ...]] = (*("trial.begin", "trial.end", "note.canary", "note.probe"),)
    timing: ClassVar[bool] = False

    def __init__(self, setting: Setting) -> None:
        self._search = Search(setting.payload, self._found)
        self._tenants: dict[str, str] = {}
        self._probes: dict[str, _Probe] = {}
        self._endings: dict[str, str] = {}
        self._asked: dict[str, str] = {}  # trial -> the probe's query
        self._given: dict[str, frozenset[Canary]] = {}
        self._public: set[Canary] = set()
        self._own: dict[Canary, Evidence] = {}  # where its owner first had it
        self._puts: dict[
            tuple[str, str], Evidence
        ] = {}  # (service, entry or key) -> its last write
        self._leaks: dict[tuple[str, Canary], _Leak] = {}
        self._wrong: list[Finding] = []
        self._served: dict[tuple[str, str], Evidence] = {}  # (trial, owner) -> its first wrong hit
        self._hits = self._wrong_hits = self._crossing = 0

    def action(self, action: Action) -> None:
        tenant = action.tenant or self._tenants.get(action.trial, "")
        if not tenant:
            return
        self._tenants.setdefault(action.trial, tenant)
        if action.name in HITS:
            self._owned(action, tenant)
        elif action.name.startswith(("cache.put", "kv.", "queue.publish")):
            self._write(action, tenant)
        for place in places_of(action, tenant):
            self._search.add(place)

    def note(self, entry: Entry) -> None:
        if entry.kind == "trial" and entry.name == "begin":
            self._tenants[entry.trial] = entry.tenant
        elif entry.kind == "trial":
            for place in answer_of(entry):
                self._search.add(place)
            self._search.add(TrialEnd(entry.trial))
            self._endings[entry.trial] = str(entry.attrs.get("ending", "ok"))
        elif entry.name == "canary":
            self._search.plant(entry.attrs)
        else:
            of, operator = str(entry.attrs.get("of", "")), str(entry.attrs.get("operator", ""))
            self._probes[entry.trial] = _Probe(of, operator)
            self._asked[entry.trial] = str(entry.attrs.get("query", ""))

    def result(self) -> Checked:
        self._search.flush()
        findings = Findings()
        for finding in self._all():
            findings.add(finding.kind, finding.says, finding.witness)
        found = {"cross_tenant_leak": len(self._leaks), "wrong_tenant_hit": self._wrong_hits}
        findings.count = sum(found.values())
        findings.kinds = {kind: count for kind, count in found.items() if count}
        exposure, measures = self._exposure(), self._measures()
        checked = conclude(
            self.name,
            findings,
            exposure,
            wanted="cross_tenant_texts",
            says=self._says(measures),
            measures=measures,
            series=self._series(),
        )
        if checked.verdict == "unknown":
            checked.says = self._why_unknown()
        elif checked.verdict == "valid" and (broken := self._all_broken()):
            checked.verdict, checked.says = "unknown", broken
        return checked

    def _all_broken(self) -> str:
        """Why the trials that could have been given something say nothing: none came to an end of
        its own. "" where one did, or where no ends were seen."""
        asked = self._exposed() & (set(self._probes) or set(self._tenants))
        endings = [self._endings[trial] for trial in asked if trial in self._endings]
        if not endings or "ok" in endings:
            return ""
        what = "probes" if self._probes else "trials"
        return f"none of {len(endings):,} {what} got as far as an answer: all ended in an error"

    def _owned(self, action: Action, tenant: str) -> None:
        """A shared service handed out what somebody owns."""
        owner = action.attr("owner") or self._tenants.get(action.attr("stored_by", ""), "")
        if not owner or action.outcome == "fail" or action.attr("hit", True) is False:
            return
        self._hits += 1
        if owner == tenant or action.attr("public"):
            return
        self._wrong_hits += 1
        served = evidence(action, f"gave {tenant} what {owner} had put there{_similarity(action)}")
        served = msgspec.structs.replace(served, tenant=tenant)
        self._served.setdefault((action.trial, owner), served)
        if len(self._wrong) < KEPT:
            where = action.attr("entry") or action.attr("key") or action.attr("message")
            says = (
                f"{action.name} of {action.attr('service', 'a shared service')} gave {tenant} "
                f"{where or 'an entry'}{_key(action)}, which {owner} owns{_similarity(action)}"
            )
            write = self._written(action, owner)
            self._wrong.append(
                Finding("wrong_tenant_hit", says, (write, served) if write else (served,))
            )

    def _write(self, action: Action, tenant: str) -> None:
        thing = action.attr("entry") or action.attr("message") or action.attr("key")
        if action.outcome == "fail" or not thing:
            return
        if len(self._puts) >= WRITES_KEPT:
            del self._puts[next(iter(self._puts))]
        wrote = evidence(action, f"{tenant} wrote {thing}{_key(action)}")
        wrote = msgspec.structs.replace(wrote, tenant=tenant)
        self._puts[str(action.attr("service", "")), str(thing)] = wrote

    def _written(self, action: Action, owner: str) -> Evidence | None:
        """The owner's write of what an action handed out, where it was seen."""
        service = str(action.attr("service", ""))
        things = (action.attr("entry"), action.attr("message"), action.attr("key"))
        found = (self._puts.get((service, str(thing))) for thing in things if thing)
        return next((one for one in found if one is not None and one.tenant == owner), None)

    def _found(self, place: Place, hits: list[Hit]) -> None:
        """A text of a trial was searched; `hits` is what stood in it."""
        if self._search.owners - {place.tenant}:
            self._crossing += 1
        for hit in hits:
            canary = hit.canary
            if place.public:
                self._public.add(canary)
            elif canary.tenant == place.tenant:
                self._own.setdefault(canary, _seen(place, hit, "first seen at its owner"))
            elif canary not in self._public and canary not in self._given_to(place.trial):
                self._leaked(place, hit)

    def _given_to(self, trial: str) -> frozenset[Canary]:
        """The canaries in what the trial was asked."""
        if trial not in self._given:
            hits = self._search.hits_in(self._asked.get(trial, ""))
            self._given[trial] = frozenset(hit.canary for hit in hits)
        return self._given[trial]

    def _leaked(self, place: Place, hit: Hit) -> None:
        here = _seen(place, hit, WORDS[place.rank])
        key = (place.trial or here.id, hit.canary)
        leak = self._leaks.get(key)
        if leak is None or place.rank < leak.rank:
            before = leak
            leak = self._leaks[key] = _Leak(place.rank, hit, place.tenant, here)
            if isinstance(place.action, Action):
                leak.write = self._written(place.action, hit.canary.tenant)
            if place.rank != READ:
                leak.served = self._served.get((place.trial, hit.canary.tenant))
            if before is not None:
                leak.later, leak.later_rank = before.first, before.rank
        elif place.rank >= PROMPT and place.rank > max(leak.rank, leak.later_rank):
            leak.later, leak.later_rank = here, place.rank

    def _all(self) -> Iterator[Finding]:
        """The findings to keep: a few of each kind, leaks first. Of the leaks, one of each cause,
        which tells how often, then the others; both in the order of time."""
        alike: dict[tuple[object, ...], list[_Leak]] = {}
        for leak in sorted(self._leaks.values(), key=lambda leak: leak.first.t):
            cause = (leak.hit.canary, leak.tenant, leak.rank, leak.first.name)
            alike.setdefault(cause, []).append(leak)
        firsts = [(first, 1 + len(others)) for first, *others in alike.values()]
        others = [(leak, 1) for _, *more in alike.values() for leak in more]
        others.sort(key=lambda one: one[0].first.t)
        leaks = [*firsts, *others]
        most = max(KEPT // 2, KEPT - len(self._wrong))
        yield from (self._told(leak, times) for leak, times in leaks[:most])
        yield from self._wrong[: KEPT - min(most, len(leaks))]

    def _told(self, leak: _Leak, times: int) -> Finding:
        canary, hit = leak.hit.canary, leak.hit
        write = leak.write or self._own.get(canary)
        steps = (write, leak.served, leak.first, leak.later)
        seen = {(one.t, one.name, one.id): one for one in steps if one is not None}
        where = "answer" if leak.first.name == "end" else leak.first.name
        sure = "certain" if hit.form == "token" else "likely: a name with its number"
        says = (
            f"{canary.tenant}'s {hit.form} reached {leak.tenant}, {WORDS[leak.rank]} ({where}), "
            f"{hit.how} ({sure}): {hit.excerpt!r}"
        )
        says += f"; so in {times:,} trials" if times > 1 else ""
        return Finding("cross_tenant_leak", says, tuple(seen.values()))

    def _exposed(self) -> set[str]:
        """The trials in which another tenant's canary could have shown."""
        owners = self._search.owners
        return {trial for trial, tenant in self._tenants.items() if owners - {tenant}}

    def _leaking(self) -> set[str]:
        return {trial for trial, _ in self._leaks}

    def _exposure(self) -> dict[str, int]:
        controls = sum(probe.operator == CONTROL for probe in self._probes.values())
        return {
            "canaries": len(self._search.canaries),
            "tenants": len(set(self._tenants.values())),
            "cross_tenant_trials": len(self._exposed()),
            "cross_tenant_texts": self._crossing,
            "texts": self._search.texts,
            "bytes": self._search.bytes,
            "payloads_missing": self._search.missing,
            "shared_hits": self._hits,
            "probes": len(self._probes) - controls,
            "controls": controls,
        }

    def _measures(self) -> dict[str, float]:
        exposed, bad = self._exposed(), self._leaking()
        found: dict[str, float] = {}
        if exposed:
            found["leak_rate"] = len(bad & exposed) / len(exposed)
        if self._hits:
            found["wrong_tenant_hit_rate"] = self._wrong_hits / self._hits
        bad = bad | {trial for trial, _ in self._served}
        secrets: dict[str, tuple[int, int]] = {}
        controls, probes = [0, 0], [0, 0]
        for trial, probe in self._probes.items():
            leaked = trial in bad
            side = controls if probe.operator == CONTROL else probes
            side[0] += 1
            side[1] += leaked
            if probe.operator != CONTROL:
                tried, out = secrets.get(probe.of, (0, 0))
                secrets[probe.of] = (tried + 1, out + leaked)
        if probes[0]:
            found["probe_leak_rate"] = probes[1] / probes[0]
        if controls[0]:
            found["control_hit_rate"] = controls[1] / controls[0]
        for k in TRIES:
            share, _, usable = over_cases(secrets.values(), k)
            if usable:
                found[f"best_of_k_{k}"] = share
        return found

    def _operators(self) -> dict[str, tuple[int, int]]:
        """Operator -> probes, and how many of them leaked."""
        bad = self._leaking() | {trial for trial, _ in self._served}
        found: dict[str, tuple[int, int]] = {}
        for trial, probe in self._probes.items():
            for operator in probe.operator.split("+"):
                tried, out = found.get(operator, (0, 0))
                found[operator] = (tried + 1, out + (trial in bad))
        return found

    def _series(self) -> dict[str, list[float]]:
        """Per operator: the probes, and how many of them leaked."""
        return {
            f"operator.{name}": [float(tried), float(out)]
            for name, (tried, out) in sorted(self._operators().items())
        }

    def _says(self, measures: dict[str, float]) -> str:
        exposed = len(self._exposed())
        said = [f"{len(self._leaking())} of {exposed} trials got another tenant's data"]
        if self._hits:
            said.append(f"{self._wrong_hits} of {self._hits} shared hits were another tenant's")
        if "probe_leak_rate" in measures:
            said.append(f"{measures['probe_leak_rate']:.0%} of probes leak")
        if "best_of_k_5" in measures:
            said.append(f"{measures['best_of_k_5']:.0%} of secrets within 5 probes")
        if "control_hit_rate" in measures:
            said.append(f"{measures['control_hit_rate']:.0%} of controls")
        operators = [(out / n, name) for name, (n, out) in self._operators().items() if out]
        if operators:
            worst = ", ".join(f"{name} {rate:.0%}" for rate, name in sorted(operators)[:-4:-1])
            said.append(f"most by {worst}")
        return "; ".join(said)

    def _why_unknown(self) -> str:
        if not self._search.canaries:
            return "no canary was planted: write {canary} into what a tenant must keep to itself"
        if not self._exposed():
            return "only one tenant ran, so there was nobody to leak to: use two or more"
        return "no text of another tenant than the owner was kept, so nothing could be searched"


def _seen(place: Place, hit: Hit, what: str) -> Evidence:
    """A canary in a place, with no more of the text than proves it."""
    says = f"{hit.canary.tenant}'s {hit.form} {what}, {hit.how}: {hit.excerpt!r}"
    if isinstance(place.action, Entry):
        seen = noted(place.action, says)
    else:
        seen = evidence(place.action, says + _similarity(place.action))
    return msgspec.structs.replace(seen, tenant=place.tenant)


def _similarity(action: Action) -> str:
    similarity: Any = action.attr("similarity")
    return f" (similarity {similarity:.3f})" if isinstance(similarity, int | float) else ""


def _key(action: Action) -> str:
    """Under which key, where what was written or handed out is called by another name."""
    named, key = action.attr("entry") or action.attr("message"), action.attr("key")
    return f" for {shown(str(key))}" if named and key and key != named else ""
