"""A history in, a trial's trace out."""

from __future__ import annotations

from pathlib import Path

from proofrig.history.archive import archive
from proofrig.history.format import packs_of
from proofrig.history.history import History
from proofrig.history.payloads import PayloadReader, redact
from proofrig.reports.changes import Left, Row
from proofrig.reports.trace import GONE, Limits, Met, TraceFold, read_trace
from report_runs import MS, Recorder


def recorded(tmp_path: Path) -> Recorder:
    run = Recorder(tmp_path)
    verdict = {"verifier": "exact", "passed": False, "expected": "4", "got": "5"}
    end = {"verdicts": [verdict], "answer": "five", "error": "", "exit_code": 1}
    with run.trial("a", 1, "agent", at=5_000_000, **end) as trial:
        trial.llm("let me see", [("add", {"x": 2})], asked="2+2?", ms=120, queue_ms=30)
        trial.tool("add", {"x": 2}, "4", ms=15, fault="slow")
        trial.tool("pay", {"usd": 900}, "", deny="cap")
        trial.llm("", ms=40, outcome="fail", status=503, error="overloaded", attempt=2)
    with run.trial("b", 1) as trial:
        trial.llm("other")
    return run


def test_a_trace_has_every_action_in_order_with_its_words(tmp_path: Path) -> None:
    recorded(tmp_path).report()
    trace = read_trace(tmp_path, "a:1", Limits())
    assert [step.name for step in trace.steps] == [
        "llm.chat_completions",
        "tool.add",
        "tool.pay",
        "llm.chat_completions",
    ]
    ask, add, pay, again = trace.steps
    assert [said.text for said in ask.heard] == ["You are a support agent.", "2+2?"]
    assert (ask.text, ask.asked[0].name, ask.asked[0].arguments) == (
        "let me see",
        "add",
        '{"x": 2}',
    )
    assert (ask.at_ns, ask.total_ns, ask.queue_ns) == (0, 150_000_000, 30_000_000)
    assert (add.arguments, add.result, add.outcome) == ('{"x": 2}', "4", "ok")
    assert add.faults == [Met("slow", "slow")]
    assert (pay.outcome, pay.other) == ("denied", "denied: cap; at acme; raise the limit")
    assert (again.outcome, again.status, again.retry, again.other) == (
        "fail",
        503,
        1,
        "overloaded",
    )
    assert (trace.answer, trace.seed, trace.tenant, trace.exit_code) == ("five", 42, "acme", 1)
    assert trace.verdicts[0]["got"] == "5"


def test_a_trial_tells_what_it_changed_on_disk(tmp_path: Path) -> None:
    run = Recorder(tmp_path)
    manifest = b'{"entries": [{"path": "/w/a", "change": "added", "size": 3, "digest": "d"}]}'
    with run.trial("a", 1, changes=run.payload(manifest)):
        pass
    with run.trial("b", 1):
        pass
    run.report()
    assert read_trace(tmp_path, "a:1", Limits()).changed == Left(
        "1 added", [Row("/w/a", "added", "3 B")]
    )
    assert read_trace(tmp_path, "b:1", Limits()).changed is None


def test_a_compressed_run_reads_the_same(tmp_path: Path) -> None:
    recorded(tmp_path).report()
    before = read_trace(tmp_path, "a:1", Limits())
    archive(tmp_path)
    assert read_trace(tmp_path, "a:1", Limits()) == before


def test_redacted_payloads_are_said_to_be_missing(tmp_path: Path) -> None:
    run = recorded(tmp_path)
    secret = run.payload(b'{"x": 2}')
    run.report()
    assert packs_of(tmp_path)
    redact(tmp_path, {secret})
    assert read_trace(tmp_path, "a:1", Limits()).steps[1].arguments == GONE


def test_what_is_too_much_is_cut_and_counted(tmp_path: Path) -> None:
    recorded(tmp_path).report()
    trace = read_trace(tmp_path, "a:1", Limits(text=4, entries=5))
    assert [step.name for step in trace.steps] == ["llm.chat_completions"]
    assert trace.left_out == 7
    assert trace.steps[0].text == "let … (10 characters)"
    assert trace.verdicts, "the end is always there"


def test_one_pass_gathers_many_trials_and_passes_over_the_rest(tmp_path: Path) -> None:
    report = recorded(tmp_path).report()
    fold = TraceFold(["b:1", "none:1"], Limits())
    History(report.run_dir).fold(fold)
    reader = PayloadReader(report.run_dir)
    assert fold.trace("b:1", reader).steps[0].text == "other"
    assert fold.trace("none:1", reader).steps == []


def test_an_action_that_never_ended_says_so(tmp_path: Path) -> None:
    run = Recorder(tmp_path)
    with run.trial("a", 1) as trial:
        trial.write("reserve", "tool.sleep", "x1", decision="allow")
    run.report()
    step = read_trace(tmp_path, "a:1", Limits()).steps[0]
    assert step.outcome == "unknown"
    assert "never ended" in step.other


def test_shared_actions_say_what_they_touched_and_notes_stand_among_them(tmp_path: Path) -> None:
    run = Recorder(tmp_path)
    with run.trial("a", 1, at=5 * MS) as trial:
        id = trial.shared("kv.put", start={"service": "memory", "key": "k"}, version=3)
        trial.write("note", "kill", point="after_write", at=id)
        trial.write("note", "launch", phase="x")
    trace = read_trace(run.report().run_dir, "a:1", Limits())
    assert trace.began_ns == 5 * MS
    assert [(step.name, step.id, step.about) for step in trace.steps] == [
        ("kv.put", id, "memory · key k · version 3"),
        ("note.kill", "", "killed at after write"),
    ]


def test_bodies_of_other_hosts_are_shown_by_their_beginning(tmp_path: Path) -> None:
    run = Recorder(tmp_path)
    body = run.payload(b"x" * 5_000)
    with run.trial("a", 1) as trial:
        trial.write("reserve", "egress.get", id="e1", decision="allow", host="shop.example")
        trial.write("commit", "egress.get", id="e1", outcome="ok", response=body)
    run.report()
    (step,) = read_trace(tmp_path, "a:1", Limits(text=100_000)).steps
    assert step.text == "" and 1_000 <= len(step.result) < 1_100


def test_a_miss_of_a_replay_shows_both_sides_once(tmp_path: Path) -> None:
    run = Recorder(tmp_path)
    sides = {"turn": 2, "path": "$.model", "recorded": '"a"', "asked": '"b"'}
    with run.trial("a", 1, "diverged") as trial:
        trial.write("note", "miss", says="replay miss: $.model differs", **sides)
        trial.write("note", "miss", says="replay miss: asked again", turn=3)
    run.report()
    differs, again = read_trace(tmp_path, "a:1", Limits()).steps
    assert (differs.about, differs.expected, differs.got) == ("turn 2, at $.model", '"a"', '"b"')
    assert (differs.other, again.other) == ("", "replay miss: asked again")
