"""Real vendors, played by a server on a socket: ceilings, what was not measured, and the key."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zstandard

from end_to_end.suites import case, command, ends, run_suite, write_suite
from proofrig.history.history import History

KEY = "sk-proj-Zq7-the-vendors-own-key-91xx"
RATES = {"input": "1", "output": "2", "source": "test", "as_of": "2026-01-01"}
PRICES = {"prices": {"prices": {"*": RATES}}}
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "sim-small",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "42"}, "finish_reason": "stop"}
    ],
    "usage": {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10},
}


@dataclass
class Vendor:
    """Takes `most` requests in any second and refuses the others; `fails`: answers all with this
    status, and the key it was sent."""

    most: int = 1_000_000
    fails: int = 0
    url: str = ""
    keys: list[str] = field(default_factory=list)
    taken: list[float] = field(default_factory=list)
    refused: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, key: str) -> tuple[int, dict[str, str], Any]:
        with self.lock:
            self.keys.append(key)
            now = time.monotonic()
            recent = [at for at in self.taken if at > now - 1]
            if self.fails:
                return self.fails, {}, {"error": {"message": f"the key {key} is not welcome"}}
            if len(recent) >= self.most:
                self.refused += 1
                wait = {"retry-after-ms": f"{(min(recent, default=now) + 1 - now) * 1000:.0f}"}
                return 429, wait, {"error": {"message": "Rate limit reached", "type": "requests"}}
            self.taken.append(now)
        return 200, {}, ANSWER


@contextmanager
def serving(vendor: Vendor) -> Iterator[Vendor]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            status, headers, value = vendor.answer(self.headers.get("authorization", ""))
            body = msgspec.json.encode(value)
            self.send_response(status)
            for name, text in headers.items():
                self.send_header(name, text)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    vendor.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield vendor
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def suite(folder: Path, vendor: Vendor, cases: list[Any], /, **changes: Any) -> Any:
    """A suite whose model is the vendor; words of the vendor's settings go in `openai`."""
    openai = {"base_url": vendor.url, "key_env": "VENDOR_KEY"} | changes.pop("openai", {})
    model = {"provider": "upstream", "openai": openai}
    settings = {"model": model, "retries": {"infra": 0}, **PRICES} | changes
    return write_suite(folder, cases, **settings)


def proofrig(*words: str, folder: Path) -> str:
    """What a verb prints."""
    ran = command(*words, folder=folder)
    return subprocess.run(ran, capture_output=True, text=True, check=True).stdout


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VENDOR_KEY", KEY)


async def test_paced_and_sent_again_all_trials_are_measured_on_their_own_merits(
    tmp_path: Path,
) -> None:
    with serving(Vendor(most=5)) as vendor:
        loaded = suite(tmp_path, vendor, [case("a")], repeats=16, concurrency=16)
        run_dir, conclusion = await run_suite(loaded, tmp_path, baselines=False)
    overall = conclusion.summary.overall
    assert (overall.measured, overall.passed, overall.trials) == (16, 16, 16)
    assert len(vendor.taken) == 16
    commits = [entry for entry in History(run_dir).entries() if entry.kind == "commit"]
    assert [entry.attrs["status"] for entry in commits] == [200] * 16
    held = [entry.attrs for entry in commits if "throttle_ns" in entry.attrs]
    assert held
    assert all(one["queue_ns"] + one["backoff_ns"] >= one["throttle_ns"] for one in held)
    notes = [entry.attrs for entry in History(run_dir).entries() if entry.name == "throttle"]
    assert len(notes) == vendor.refused
    assert all(note["rate_after"] for note in notes)


async def test_with_its_ceiling_declared_the_vendor_refuses_nothing(tmp_path: Path) -> None:
    with serving(Vendor(most=6)) as vendor:
        openai = {"requests_per_minute": 300}
        loaded = suite(tmp_path, vendor, [case("a")], repeats=12, concurrency=12, openai=openai)
        _, conclusion = await run_suite(loaded, tmp_path, baselines=False)
    assert conclusion.summary.overall.passed == 12
    assert (len(vendor.taken), vendor.refused) == (12, 0)


async def test_a_refusal_that_is_handed_on_is_not_measured_and_every_report_says_so(
    tmp_path: Path,
) -> None:
    with serving(Vendor(most=2)) as vendor:
        openai = {"on_throttle": "fail_fast"}
        loaded = suite(tmp_path, vendor, [case("a")], repeats=6, concurrency=6, openai=openai)
        run_dir, conclusion = await run_suite(loaded, tmp_path, baselines=False)
    overall = conclusion.summary.overall
    assert overall.failures == {"infra": overall.trials - overall.measured}
    assert (overall.passed, overall.measured) == (len(vendor.taken), len(vendor.taken))
    assert 0 < overall.measured < overall.trials
    unmeasured = [entry.attrs for entry in ends(run_dir).values() if entry.attrs["failure"]]
    assert {(one["passed"], one["throttled"]) for one in unmeasured} == {(None, True)}
    files = [tmp_path / name for name in ("r.html", "r.xml", "r.md", "r.json")]
    words = [word for path in files for word in ("-o", str(path))]
    shown = [
        proofrig(*verb, folder=tmp_path)
        for verb in (("show", run_dir.name), ("report", run_dir.name, *words))
    ]
    said = "the vendor's limits turned away 1 of 1 calls to models"
    assert said in " ".join(shown[0].split())
    assert "not measured because of the vendor's limits" in " ".join(shown[0].split())
    html, xml, _, machine = (path.read_text() for path in files)
    assert said.replace("'", "&#39;") in html or said in html
    assert said in machine
    assert "not measured because of the vendor's limits" in machine
    assert ("vendor" in html and "&#39;s limits" in html) or "vendor's limits" in html
    assert xml.count("<failure") == 0


async def test_a_run_that_only_met_the_vendors_limits_is_an_error_in_junit_not_a_failure(
    tmp_path: Path,
) -> None:
    with serving(Vendor(most=0)) as vendor:
        openai = {"max_wait_s": 0.2}
        loaded = suite(tmp_path, vendor, [case("a")], openai=openai)
        run_dir, conclusion = await run_suite(loaded, tmp_path, baselines=False)
    assert (conclusion.summary.overall.measured, conclusion.exit_code) == (0, 6)
    xml = tmp_path / "r.xml"
    proofrig("report", run_dir.name, "-o", str(xml), folder=tmp_path)
    text = xml.read_text()
    assert '<error message="none of 1 repeats was measured: infra: throttled: the vendor' in text
    assert 'type="infra"' in text


async def test_time_that_the_vendor_took_is_not_the_agents_timeout(tmp_path: Path) -> None:
    with serving(Vendor(most=0)) as vendor:
        openai = {"max_wait_s": 60}
        limits = {"timeout_s": 1}
        loaded = suite(tmp_path, vendor, [case("a")], openai=openai, limits=limits)
        run_dir, conclusion = await run_suite(loaded, tmp_path, baselines=False)
    [end] = ends(run_dir).values()
    assert (end.attrs["ending"], end.attrs["failure"]) == ("timeout", "infra")
    assert end.attrs["throttled"] is True
    assert conclusion.summary.overall.measured == 0


def everything_below(folder: Path) -> dict[str, bytes]:
    """Each file's bytes, those that are packed unpacked too."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            if path.suffix == ".zst":
                with path.open("rb") as packed:
                    reader = zstandard.ZstdDecompressor().stream_reader(
                        packed, read_across_frames=True
                    )
                    data += reader.read()
            found[str(path.relative_to(folder))] = data
    return found


@pytest.mark.parametrize("fails", [0, 401])
def test_the_key_is_written_nowhere(fails: int, tmp_path: Path) -> None:
    with serving(Vendor(fails=fails)) as vendor:
        looks = {"type": "python", "target": "e2e_agent:looks"}
        suite(tmp_path / "suite", vendor, [case("a")], repeats=2, agent=looks)
        with (tmp_path / "suite" / "e2e_agent.py").open("a") as agent:
            agent.write("\ndef looks(task):\n    return solve(task) + repr(dict(os.environ))\n")
        page, told = tmp_path / "out" / "r.html", []
        page.parent.mkdir()
        ran = command("run", str(tmp_path / "suite"), "-o", str(page), folder=tmp_path)
        for words in (ran, command("show", "last", folder=tmp_path)):
            done = subprocess.run(words, capture_output=True, env=dict(os.environ))
            told.append(done.stdout + done.stderr)
    if fails:  # the vendor itself shows the key in what it says
        sent = {key.removeprefix("Bearer ") for key in vendor.keys}
        assert sent == {KEY}
    files = everything_below(tmp_path)
    assert any(name.endswith(".zst") for name in files) or fails
    assert "out/r.html" in files and any(name.endswith("store.db") for name in files)
    holding = [name for name, data in files.items() if KEY.encode() in data]
    assert holding == []
    assert [KEY.encode() in said for said in told] == [False, False]
    for database in tmp_path.rglob("*.db"):
        with sqlite3.connect(database) as opened:
            assert KEY not in "\n".join(opened.iterdump())


def test_an_unreachable_vendor_is_named_without_its_key(tmp_path: Path) -> None:
    vendor = Vendor(url="http://127.0.0.1:9/v1")
    suite(tmp_path / "suite", vendor, [case("a")])
    ran = command("run", str(tmp_path / "suite"), folder=tmp_path)
    done = subprocess.run(ran, capture_output=True)
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 6
    told = proofrig("show", "last", "a:1", folder=tmp_path)
    assert "cannot connect to http://127.0.0.1:9/v1" in " ".join(told.split())
    assert KEY not in said + told
    assert [n for n, data in everything_below(tmp_path).items() if KEY.encode() in data] == []


async def test_a_local_server_without_a_key_gets_none(tmp_path: Path) -> None:
    with serving(Vendor()) as vendor:
        loaded = suite(tmp_path, vendor, [case("a")], openai={"key_env": ""})
        _, conclusion = await run_suite(loaded, tmp_path, baselines=False)
    assert (conclusion.summary.overall.passed, vendor.keys) == (1, [""])
