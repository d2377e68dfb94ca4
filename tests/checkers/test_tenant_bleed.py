"""Histories of tenants in, verdicts out. Acme has the secrets; bolt is the other one."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from builders import kept
from proofrig.canaries.canary import Canary, mint, mint_fact
from proofrig.checkers._bleed_texts import Search, places_of
from proofrig.checkers.checker import Checked, Setting
from proofrig.checkers.tenant_bleed import TenantBleed
from proofrig.history.action import Action, Entry, Kind

TOKEN, FACT, BOLTS = mint(1, "acme"), mint_fact(1, "acme"), mint(1, "bolt")
SECRET = f"the vault opens with {TOKEN.token}"
HIT: dict[str, Any] = {"hit": True, "entry": "c-1", "owner": "acme", "text": SECRET}


class Story:
    """A scenario's history, told event by event; each is a millisecond after the one before."""

    def __init__(self, *canaries: Canary) -> None:
        self.payloads: dict[str, bytes] = {}
        self.t = 0
        self.checker = TenantBleed(Setting(payload=self.payloads.get))
        for canary in canaries:
            self.checker.note(self.entry("note", "canary", "", canary.tenant, **canary.attrs))

    def entry(
        self, kind: Kind, name: str, trial: str, tenant: str, /, *, id: str = "", **attrs: Any
    ) -> Entry:
        self.t += 1_000_000
        return Entry(0, self.t, kind, name, trial, tenant, "", id, attrs)

    def begin(self, trial: str, **probe: str) -> None:
        tenant = trial.partition("-")[0]
        self.checker.note(self.entry("trial", "begin", trial, tenant))
        if probe:
            self.checker.note(self.entry("note", "probe", trial, tenant, **probe))

    def act(self, trial: str, name: str, *, observed: bool = False, **attrs: Any) -> str:
        """An action of a trial; `start_` before an attribute puts it on its start."""
        id = f"{name}/{self.t}"
        tenant = "" if observed else trial.partition("-")[0]
        first = {k.removeprefix("start_"): v for k, v in attrs.items() if k.startswith("start_")}
        last = {k: v for k, v in attrs.items() if not k.startswith("start_")}
        start = self.entry("start", name, trial, tenant, id=id, **first)
        end = self.entry("commit", name, trial, tenant, id=id, **({"outcome": "ok"} | last))
        self.checker.action(Action(id, name, trial, tenant, "", None, start, end))
        return id

    def llm(self, trial: str, prompt: str, answer: str = "ok") -> str:
        said = json.dumps({"messages": [{"role": "user", "content": prompt}]}).encode()
        turn = json.dumps({"text": answer}).encode()
        digests = (kept(self.payloads, said), kept(self.payloads, turn))
        return self.act(trial, "llm.messages", start_request=digests[0], response=digests[1])

    def tool(self, trial: str, result: str, arguments: str = "{}") -> str:
        digests = (kept(self.payloads, arguments.encode()), kept(self.payloads, result.encode()))
        return self.act(trial, "tool.look_up", start_arguments=digests[0], result=digests[1])

    def end(self, trial: str, answer: str) -> None:
        digest, tenant = kept(self.payloads, answer.encode()), trial.partition("-")[0]
        self.checker.note(self.entry("trial", "end", trial, tenant, answer=digest))

    def result(self) -> Checked:
        return self.checker.result()


@pytest.fixture
def story() -> Iterator[Story]:
    made = Story(TOKEN, FACT, BOLTS)
    made.begin("acme-1")
    made.begin("bolt-1")
    yield made


def steps(checked: Checked, finding: int = 0) -> list[tuple[str, str]]:
    return [(one.tenant, one.name) for one in checked.findings[finding].witness]


def test_a_tenant_that_has_its_own_data_is_no_leak(story: Story) -> None:
    story.llm("acme-1", SECRET, SECRET)
    story.tool("acme-1", SECRET)
    story.end("acme-1", SECRET)
    story.llm("bolt-1", f"mine is {BOLTS.token}")
    checked = story.result()
    assert (checked.verdict, checked.found) == ("valid", 0)
    assert checked.exposure["cross_tenant_trials"] == 2
    assert checked.exposure["texts"] == 6, "the answer is the tool's result: the same text"
    assert checked.measures["leak_rate"] == 0


def test_a_leak_through_a_cache_is_proved_from_the_write_to_the_answer(story: Story) -> None:
    wrote = story.act("acme-1", "cache.put", start_key="q", start_entry="c-1", service="answers")
    hit = HIT | {"similarity": 0.93, "service": "answers"}
    read = story.act("bolt-1", "cache.get", start_key="q2", **hit)
    story.llm("bolt-1", SECRET, SECRET)
    story.end("bolt-1", SECRET)
    checked = story.result()
    assert (checked.verdict, checked.found) == ("invalid", 2)
    leak, wrong = checked.findings
    assert (leak.kind, wrong.kind) == ("cross_tenant_leak", "wrong_tenant_hit")
    assert [one.id for one in leak.witness][:2] == [wrote, read]
    assert [one.id for one in wrong.witness] == [wrote, read]
    assert leak.tenants == ("acme", "bolt") and leak.trials == ("acme-1", "bolt-1")
    assert "read from a shared service" in leak.says and "verbatim (certain)" in leak.says
    assert "similarity 0.930" in wrong.says and TOKEN.token in leak.witness[1].says
    assert "vault" not in repr(checked.findings), "no more of the text than proves it"
    assert checked.measures["leak_rate"] == 0.5
    assert checked.measures["wrong_tenant_hit_rate"] == 1


def place_prompt(story: Story) -> None:
    story.llm("bolt-1", SECRET)


def place_result(story: Story) -> None:
    story.llm("bolt-1", SECRET)
    story.tool("bolt-1", SECRET)


def place_memory(story: Story) -> None:
    story.act("bolt-1", "kv.get", start_key="k", value=SECRET, service="memory")


def place_large_memory(story: Story) -> None:
    digest = kept(story.payloads, (SECRET * 20).encode())
    story.act("bolt-1", "kv.get", start_key="k", value=f"blake2:{digest}", service="memory")


def place_queue(story: Story) -> None:
    digest = kept(story.payloads, SECRET.encode())
    story.act("bolt-1", "queue.receive", message="m1", payload=digest, service="jobs")


def place_error(story: Story) -> None:
    story.act("bolt-1", "tool.look_up", outcome="fail", error=f"no such thing: {SECRET}")


def place_answer(story: Story) -> None:
    story.end("bolt-1", SECRET)


def place_observed(story: Story) -> None:
    story.act("bolt-1", "cache.get", observed=True, start_key="k", hit=True, text=SECRET)


def place_said(story: Story) -> None:
    story.act("bolt-1", "kv.put", start_key="k", start_value=SECRET, service="memory")


@pytest.mark.parametrize(
    ("place", "where"),
    [
        (place_prompt, "in the prompt (llm.messages)"),
        (place_result, "in a tool's result (tool.look_up)"),
        (place_memory, "read from a shared service (kv.get)"),
        (place_large_memory, "read from a shared service (kv.get)"),
        (place_queue, "read from a shared service (queue.receive)"),
        (place_error, "in a tool's result (tool.look_up)"),
        (place_answer, "said by the agent (answer)"),
        (place_observed, "read from a shared service (cache.get)"),
        (place_said, "said by the agent (kv.put)"),
    ],
)
def test_a_leak_is_found_wherever_it_shows(story: Story, place: Any, where: str) -> None:
    story.llm("acme-1", SECRET)
    place(story)
    checked = story.result()
    (finding,) = checked.findings
    assert finding.kind == "cross_tenant_leak" and where in finding.says
    assert steps(checked)[0] == ("acme", "llm.messages"), "where its owner first had it"
    assert steps(checked)[1][0] == "bolt"


def test_a_hit_without_its_text_stands_before_the_place_where_it_shows(story: Story) -> None:
    read = story.act("bolt-1", "cache.get", hit=True, owner="acme", service="answers")
    story.llm("bolt-1", SECRET)
    leak = story.result().findings[0]
    assert leak.witness[0].id == read and leak.witness[1].name == "llm.messages"


@pytest.mark.parametrize(
    ("text", "how"),
    [
        (base64.b64encode(SECRET.encode()).decode(), "base64 (certain)"),
        (SECRET.lower(), "respelled (certain)"),
        (f"{FACT.entity} is owed {FACT.number:,}", "fact (likely: a name with its number)"),
    ],
)
def test_the_finding_says_how_and_how_sure(story: Story, text: str, how: str) -> None:
    story.llm("bolt-1", text)
    (finding,) = story.result().findings
    assert how in finding.says


def test_a_token_in_pieces_over_what_one_trial_reads(story: Story) -> None:
    for piece in (TOKEN.token[:7], TOKEN.token[7:14], TOKEN.token[14:]):
        story.act("bolt-1", "kv.get", start_key="k", value=piece, service="memory")
    assert "split (certain)" in story.result().findings[0].says


def test_pieces_that_different_trials_read_are_no_leak(story: Story) -> None:
    for n, piece in enumerate((TOKEN.token[:7], TOKEN.token[7:14], TOKEN.token[14:])):
        story.begin(f"bolt-x{n}")
        story.act(f"bolt-x{n}", "kv.get", start_key="k", value=piece, service="memory")
    assert story.result().verdict == "valid"


def test_what_is_public_is_nobodys_secret(story: Story) -> None:
    story.act("bolt-1", "cache.get", start_key="q", **HIT, public=True)
    story.llm("bolt-1", SECRET)
    checked = story.result()
    assert (checked.verdict, checked.measures["wrong_tenant_hit_rate"]) == ("valid", 0)


def test_what_a_trial_was_asked_with_did_not_leak_to_it(story: Story) -> None:
    story.begin("bolt-2", of="a", operator="typo", query=SECRET)
    story.llm("bolt-2", SECRET)
    assert story.result().verdict == "valid"


@pytest.mark.parametrize(
    ("name", "attrs", "wrong"),
    [
        ("cache.get", {"hit": True, "owner": "acme"}, 1),
        ("cache.get", {"hit": True, "owner": "bolt"}, 0),
        ("cache.get", {"hit": True, "stored_by": "acme-1"}, 1),
        ("cache.get", {"hit": True, "stored_by": "bolt-1"}, 0),
        ("cache.get", {"hit": True, "stored_by": "of-another-process"}, 0),
        ("cache.get", {"hit": False, "similarity": 0.2}, 0),
        ("cache.get", {"hit": True, "owner": "acme", "outcome": "fail"}, 0),
        ("kv.get", {"owner": "acme", "value": "x"}, 1),
        ("kv.get", {"owner": "acme", "value": "x", "public": True}, 0),
        ("queue.receive", {"owner": "acme", "message": "m"}, 1),
        ("kv.get", {"value": None}, 0),
    ],
)
def test_a_wrong_tenant_hit(story: Story, name: str, attrs: dict[str, Any], wrong: int) -> None:
    story.act("bolt-1", name, start_key="k", service="s", **attrs)
    checked = story.result()
    assert [finding.kind for finding in checked.findings] == ["wrong_tenant_hit"] * wrong


def test_an_entry_is_named_with_what_was_asked(story: Story) -> None:
    entry = {"service": "answers", "entry": "c-1"}
    story.act("acme-1", "cache.put", start_key="who is it", **entry)
    story.act("bolt-1", "cache.get", start_key="who is it?", hit=True, owner="acme", **entry)
    (finding,) = story.result().findings
    assert finding.says == "cache.get of answers gave bolt c-1 for 'who is it?', which acme owns"
    assert finding.witness[0].says == "acme wrote c-1 for 'who is it'"


def test_a_later_write_of_another_is_not_taken_for_the_owners(story: Story) -> None:
    for trial in ("acme-1", "bolt-1"):
        story.act(trial, "kv.put", start_key="k", start_value="v", service="memory")
    story.act("bolt-1", "kv.get", start_key="k", value="v", owner="acme", service="memory")
    (finding,) = story.result().findings
    assert [one.name for one in finding.witness] == ["kv.get"]


def test_one_finding_per_trial_and_canary_at_the_place_nearest_to_the_cause(story: Story) -> None:
    for _ in range(3):
        story.llm("bolt-1", SECRET, SECRET)
    story.tool("bolt-1", SECRET)
    checked = story.result()
    assert checked.found == 1
    assert "tool's result" in checked.findings[0].says
    assert [name for _, name in steps(checked)] == ["llm.messages", "tool.look_up"]


def test_nothing_can_be_said_without_canaries_or_with_one_tenant() -> None:
    bare = Story()
    bare.begin("acme-1")
    bare.begin("bolt-1")
    bare.llm("bolt-1", "hello")
    assert (bare.result().verdict, "no canary" in bare.result().says) == ("unknown", True)
    alone = Story(TOKEN)
    alone.begin("acme-1")
    alone.llm("acme-1", SECRET)
    assert (alone.result().verdict, "one tenant" in alone.result().says) == ("unknown", True)


def test_texts_that_were_not_kept_are_counted_and_prove_nothing() -> None:
    story = Story(TOKEN)
    story.begin("bolt-1")
    story.act("bolt-1", "llm.messages", start_request="00" * 16)
    checked = story.result()
    assert (checked.verdict, checked.exposure["payloads_missing"]) == ("unknown", 1)


def test_probes_controls_operators_and_best_of_k() -> None:
    """Two secrets, four probes each: of the first two leak, of the second none."""
    story = Story(TOKEN)
    operators = ("typo", "case", "typo", "repeat+case")
    for of in ("a", "b"):
        for n, operator in enumerate(operators):
            trial = f"bolt-{of}{n}"
            story.begin(trial, of=of, operator=operator, query="?")
            story.llm(trial, SECRET if (of, operator) == ("a", "typo") else "nothing")
    for n in range(3):
        story.begin(f"bolt-c{n}", of="", operator="control", query="?")
        if n == 0:
            story.act(f"bolt-c{n}", "cache.get", hit=True, owner="acme", service="s")
    checked = story.result()
    assert checked.exposure["probes"] == 8 and checked.exposure["controls"] == 3
    measures = {name: round(value, 4) for name, value in checked.measures.items()}
    assert measures == {
        "leak_rate": round(2 / 11, 4),
        "wrong_tenant_hit_rate": 1.0,
        "probe_leak_rate": 0.25,
        "control_hit_rate": round(1 / 3, 4),
        "best_of_k_1": 0.25,
        "best_of_k_3": 0.5,
    }
    assert checked.series["operator.typo"] == [4, 2]
    assert checked.series["operator.case"] == [4, 0]
    assert "most by typo 50%" in checked.says.replace("control 33%, ", "")


def test_many_findings_are_counted_and_both_kinds_are_kept() -> None:
    story = Story(TOKEN)
    for n in range(40):
        story.begin(f"bolt-{n}")
        story.act(f"bolt-{n}", "cache.get", hit=True, owner="acme", service="s", text=SECRET)
    checked = story.result()
    assert checked.found == 80
    kinds = [finding.kind for finding in checked.findings]
    assert (kinds.count("cross_tenant_leak"), kinds.count("wrong_tenant_hit")) == (10, 10)
    assert checked.kinds == {"cross_tenant_leak": 40, "wrong_tenant_hit": 40}


def test_a_finding_of_each_cause_comes_first_and_tells_how_often() -> None:
    story = Story(TOKEN, FACT)
    for n in range(30):
        tenant = "cosy" if n == 29 else "bolt"
        story.begin(f"{tenant}-{n}")
        story.act(f"{tenant}-{n}", "kv.get", service="s", text=SECRET)
    checked = story.result()
    assert (checked.found, checked.kinds) == (30, {"cross_tenant_leak": 30})
    first, second, third = (finding.says for finding in checked.findings[:3])
    assert "reached bolt" in first and first.endswith("; so in 29 trials")
    assert "reached cosy" in second and "reached bolt" in third
    assert "; so in" not in second + third


@pytest.mark.parametrize(("ending", "verdict"), [("ok", "valid"), ("error", "unknown")])
def test_probes_that_all_broke_off_prove_nothing(ending: str, verdict: str) -> None:
    story = Story(TOKEN)
    for n, how in enumerate(("timeout", "error", ending)):
        story.begin(f"bolt-{n}", of="a", operator="typo", query="?")
        story.tool(f"bolt-{n}", "nothing")
        story.checker.note(story.entry("trial", "end", f"bolt-{n}", "bolt", ending=how))
    checked = story.result()
    assert checked.verdict == verdict
    assert checked.says.startswith("none of 3 probes got as far as an answer") == (ending != "ok")


def test_batches_and_forgetting_change_nothing() -> None:
    def found(**sizes: int) -> list[tuple[int, list[str]]]:
        seen: list[tuple[int, list[str]]] = []
        story = Story()
        search = Search(
            story.payloads.get,
            lambda place, hits: seen.append((place.rank, [hit.how for hit in hits])),
            **sizes,
        )
        search.plant(TOKEN.attrs)
        for n in range(30):
            pieces = (TOKEN.token[:7], TOKEN.token[7:14], TOKEN.token[14:])
            text = (*pieces, "nothing", SECRET)[n % 5]
            if n == 20:
                search.plant(FACT.attrs)
            if n > 20 and n % 5 == 3:
                text = f"{FACT.entity} {FACT.number}"
            end = story.entry("commit", "kv.get", "bolt-1", "bolt", id="a", value=text)
            action = Action("a", "kv.get", "bolt-1", "bolt", "", None, None, end)
            for place in places_of(action, "bolt"):
                search.add(place)
        search.flush()
        return seen

    whole = found()
    assert len(whole) == 30 and (0, ["fact"]) in whole and (0, ["split"]) in whole
    assert found(batch=4, remembered=2) == whole
