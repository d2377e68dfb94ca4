"""What an observer records reaches the history, whatever becomes of its process."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import proofrig.observers
from proofrig.history.history import History, pair
from proofrig.observers.recorder import Recorder, contents, fingerprint

from .conftest import Recorded

FOLDER = Path(proofrig.observers.__file__).parent


def test_an_action_and_a_note_are_entries_of_a_segment(recorded: Recorded) -> None:
    begun = recorded.recorder.begin("kv.put", {"service": "memory", "key": "k"})
    assert begun is not None
    recorded.environ["PROOFRIG_TRIAL"] = "case:1"
    recorded.recorder.note("accepted", {"call": "c"})
    recorded.recorder.commit(begun, "ok", {"version": 1})
    entries = recorded.entries()
    segment = f"agent-{os.getpid()}-1"
    assert [(e.seq, e.kind, e.name, e.trial, e.id, e.attrs) for e in entries] == [
        (1, "start", "kv.put", "case:0", f"{segment}.1", {"service": "memory", "key": "k"}),
        (2, "note", "accepted", "case:1", "", {"call": "c"}),
        (3, "commit", "kv.put", "case:0", f"{segment}.1", {"outcome": "ok", "version": 1}),
    ]
    assert [e.t for e in entries] == sorted(e.t for e in entries)
    first = next(iter(History(recorded.run).entries()))
    assert (first.name, first.attrs) == ("segment", {"format": 1, "pid": os.getpid()})
    assert [p.name for p in (recorded.run / "history").iterdir()] == [f"{segment}.jsonl"]


def test_without_a_history_nothing_is_written_or_kept(tmp_path: Path) -> None:
    recorder = Recorder({"PROOFRIG_TRIAL": "case:0"})
    assert recorder.on is False
    assert recorder.begin("kv.get", {}) is None
    recorder.note("accepted", {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("environ", "why"),
    [
        ({"PROOFRIG_ORIGIN_NS": "0"}, "No such file or directory"),
        ({}, "PROOFRIG_ORIGIN_NS, the run's time zero, is not set"),
    ],
)
def test_a_history_that_cannot_be_written_is_said_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], environ: dict[str, str], why: str
) -> None:
    gone = tmp_path / "gone"
    recorder = Recorder({"PROOFRIG_HISTORY": str(gone), **environ})
    assert [recorder.begin("kv.get", {}) for _ in range(3)] == [None] * 3
    recorder.note("accepted", {})
    said = capfd.readouterr().err
    assert said.count("proofrig: nothing more is observed") == 1
    assert why in said and str(gone) in said


def test_each_process_writes_its_own_segment(recorded: Recorded) -> None:
    recorded.recorder.note("accepted", {"call": "parent"})
    child = os.fork()
    if child == 0:
        recorded.recorder.note("accepted", {"call": "child"})
        os._exit(0)
    os.waitpid(child, 0)
    recorded.recorder.note("accepted", {"call": "parent again"})
    names = {path.name for path in (recorded.run / "history").iterdir()}
    assert names == {f"agent-{os.getpid()}-1.jsonl", f"agent-{child}-1.jsonl"}
    assert [e.attrs["call"] for e in recorded.entries()] == ["parent", "child", "parent again"]


def test_two_recorders_of_one_process_share_no_segment(recorded: Recorded) -> None:
    other = Recorder(recorded.environ)
    ids = [one.begin("kv.get", {}) for one in (recorded.recorder, other)]
    assert [begun.id for begun in ids if begun] == [f"agent-{os.getpid()}-{n}.1" for n in (1, 2)]


def test_threads_keep_the_segment_in_clock_order(recorded: Recorded) -> None:
    def work() -> None:
        for _ in range(200):
            begun = recorded.recorder.begin("kv.get", {"key": "k"})
            assert begun is not None
            recorded.recorder.commit(begun, "ok", {})

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entries = recorded.entries()
    assert [e.seq for e in entries] == list(range(1, 3201))
    assert [e.t for e in entries] == sorted(e.t for e in entries)
    assert len({e.id for e in entries}) == 1600
    assert all(action.outcome == "ok" for action in pair(entries))


def test_what_a_signal_handler_records_in_between_comes_after(recorded: Recorded) -> None:
    class Interrupting(dict[str, object]):
        """Attributes whose encoding is interrupted by the recording of a note."""

        def items(self) -> object:  # type: ignore[override]
            signal.raise_signal(signal.SIGUSR1)
            return super().items()

    before = signal.signal(
        signal.SIGUSR1, lambda *_: recorded.recorder.note("accepted", {"call": "inner"})
    )
    try:
        recorded.recorder.note("accepted", Interrupting(call="outer"))
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert [e.attrs.get("call") for e in recorded.entries()] == ["outer", "inner"]


BARE = """
import importlib.util, os, signal, sys, types
spec = importlib.util.spec_from_file_location("_another_name", {path!r})
recorder = importlib.util.module_from_spec(spec)
spec.loader.exec_module(recorder)
import contextvars
identity = types.ModuleType("_proofrig_identity")
identity.IDENTITY = contextvars.ContextVar("identity", default=None)
sys.modules["_proofrig_identity"] = identity
recorder.RECORDER.note("accepted", {{"call": "nobody's"}})
identity.IDENTITY.set(("token", "case:3"))
for n in range(100):
    begun = recorder.RECORDER.begin("kv.put", recorder.contents("value", "\\ud800" + str(n)))
    recorder.RECORDER.commit(begun, "ok", {{}})
assert "proofrig" not in sys.modules and "msgspec" not in sys.modules
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_bare_interpreter_that_is_killed_keeps_what_was_recorded(recorded: Recorded) -> None:
    program = BARE.format(path=str(FOLDER / "recorder.py"))
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program],
        env=recorded.environ,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (-signal.SIGKILL, "")
    actions = recorded.actions()
    assert [a.attr("value") for a in actions] == [f"?{n}" for n in range(100)]
    assert {(a.trial, a.outcome) for a in actions} == {("case:3", "ok")}
    assert [e.trial for e in recorded.entries() if e.kind == "note"] == [""]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("", ""),
        ("x" * 200, "x" * 200),
        ("é" * 201, "blake2:"),
        (b"bytes", "bytes"),
        (b"\xff\x00", "blake2:"),
        ({"b": [1, None], "a": "é"}, '{"b":[1,null],"a":"é"}'),
        (12, "12"),
        (True, "true"),
    ],
)
def test_values_as_they_stand_on_the_history(value: object, expected: str | None) -> None:
    if expected and expected.startswith("blake2:"):
        from hashlib import blake2b

        data = value if isinstance(value, bytes) else str(value).encode()
        expected = "blake2:" + blake2b(data, digest_size=16).hexdigest()
    assert fingerprint(value) == expected


def test_contents_are_searchable_up_to_16_kib() -> None:
    assert contents("value", None) == {"value": None}
    assert contents("value", "short") == {"value": "short", "text": "short"}
    told = contents("value", "é" * 20_000)
    assert told["value"].startswith("blake2:")
    assert told["text"] == "é" * 8192
    loop: list[object] = []
    loop.append(loop)
    assert contents("value", loop)["text"] == "[[...]]"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.name)
def test_observers_are_for_any_interpreter_from_3_9(path: Path) -> None:
    """Python 3.9's grammar, and imports of the standard library alone."""
    tree = ast.parse(path.read_text(), feature_version=(3, 9))
    known = {*sys.stdlib_module_names, "proofrig"}
    lazy = {"aiohttp"} if path.name == "aiohttp_trace.py" else set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            assert {alias.name.split(".")[0] for alias in node.names} <= known
        if isinstance(node, ast.ImportFrom) and node.module:
            assert node.module.split(".")[0] in known | lazy
            if node.module.startswith("proofrig."):
                assert node.module.startswith("proofrig.observers")
