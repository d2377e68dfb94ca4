"""What agents call beside models and tools, in a run: default URLs, tunnels, what hosts get wrong;
recorded, and replayed when the host is gone."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from end_to_end.suites import run_suite, write_suite
from end_to_end.test_replay import holding, notes, replay
from proofrig.history.history import History
from proofrig.history.payloads import PayloadReader

SECRET = "Wm4Qx9Lr2Tb7Vz"
AGENT = """
import base64, http.client, os, urllib.error, urllib.request
from urllib.parse import urlsplit
import anthropic, openai

SAID = [{"role": "user", "content": "What is 40 + 2?"}]
HOST = os.environ["THE_HOST"]

def solve(task):
    return globals()[task]()

def chat():
    client = openai.OpenAI()
    assert client.base_url.host == "api.openai.com"
    answer = client.chat.completions.create(model="sim-small", messages=SAID)
    return answer.choices[0].message.content

def messages():
    client = anthropic.Anthropic()
    assert client.base_url.host == "api.anthropic.com"
    with client.messages.stream(model="sim-small", max_tokens=9, messages=SAID) as stream:
        return "".join(stream.text_stream)

def tunnel():
    proxy = urlsplit(os.environ["HTTPS_PROXY"])
    said = base64.b64encode(f"{proxy.username}:{proxy.password}".encode()).decode()
    through = http.client.HTTPConnection(proxy.hostname, proxy.port)
    host, port = HOST.split(":")
    through.set_tunnel(host, int(port), {"Proxy-Authorization": f"Basic {said}"})
    try:
        through.request("GET", "/whole")
        return through.getresponse().read().decode()
    except OSError as error:
        return str(error)

def broken():
    proxy = urllib.request.ProxyHandler({"http": os.environ["HTTP_PROXY"]})
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = ""
    try:
        urllib.request.build_opener(proxy).open(f"http://{HOST}/broken?key=SECRET")
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.reason} {error.read().decode()}"
""".replace("SECRET", SECRET)


class Host(socketserver.StreamRequestHandler):
    came = 0

    def handle(self) -> None:
        Host.came += 1
        asked = self.rfile.readline()
        whole = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nwhole"
        self.wfile.write(b"no such thing\r\n\r\n" if b"broken" in asked else whole)


@contextmanager
def a_host() -> Iterator[str]:
    Host.came = 0
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Host) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def suite_of(folder: Path, host: str, tasks: list[str], **agent: Any) -> Any:
    folder.mkdir()
    (folder / "egress_agent.py").write_text(AGENT)
    return write_suite(
        folder,
        [{"id": t, "task": t, "verify": [{"type": "regex", "pattern": "."}]} for t in tasks],
        agent={"type": "python", "target": "egress_agent:solve", "env": {"THE_HOST": host}} | agent,
        egress={"intercept": ["api.openai.com", "api.anthropic.com"]},
    )


def answers(run_dir: Path) -> dict[str, str]:
    payloads = PayloadReader(run_dir)
    return {
        entry.trial.partition(":")[0]: (payloads.get(entry.attrs["answer"]) or b"").decode()
        for entry in History(run_dir).entries()
        if entry.kind == "trial" and entry.name == "end"
    }


async def test_what_leaves_is_recorded_and_no_replay_opens_a_connection(tmp_path: Path) -> None:
    with a_host() as host:
        suite = suite_of(tmp_path / "suite", host, ["chat", "messages", "tunnel", "broken"])
        run_dir, _ = await run_suite(suite, tmp_path, baselines=False, record=True)
        came = Host.came
        again_dir, _ = await run_suite(suite, tmp_path, baselines=False, replay=replay(run_dir))
        assert (came, Host.came) == (2, 2)
    first, again = answers(run_dir), answers(again_dir)
    assert (first["chat"], first["messages"], first["tunnel"]) == ("42", "42", "whole")
    assert first["broken"].startswith("502 proofrig refused this request: unreachable")
    tunnel = again.pop("tunnel")
    assert "409 proofrig refused this request: replay_miss" in tunnel
    assert again == {name: first[name] for name in again}
    [miss] = notes(again_dir, "miss")
    assert (miss.trial, miss.attrs["kind"]) == ("tunnel:1", "tunnel")
    assert f"a tunnel to {host}" in miss.attrs["says"]
    assert "`egress.intercept`" in miss.attrs["says"]
    manifest = json.loads((run_dir / "manifest.json").read_text())
    assert manifest["what"]["redirection"] == "interception"
    for folder in (run_dir, again_dir):
        said = [str(entry.attrs) for entry in History(folder).entries()]
        assert not [one for one in said if SECRET in one]
        assert not [*holding(folder, "PRIVATE KEY")]
    assert not [*holding(run_dir / "cassette", SECRET)]


@pytest.mark.parametrize("mode", ["isolated", "shared"])
async def test_default_urls_are_answered_by_the_suites_model(tmp_path: Path, mode: str) -> None:
    suite = suite_of(tmp_path / "suite", "nobody:1", ["chat", "messages"], mode=mode)
    run_dir, conclusion = await run_suite(suite, tmp_path, baselines=False)
    assert answers(run_dir) == {"chat": "42", "messages": "42"}
    assert conclusion.summary.overall.passed == 2
    names = {(one.trial, one.name) for one in History(run_dir).actions()}
    assert names == {("chat:1", "llm.chat_completions"), ("messages:1", "llm.messages")}
    assert notes(run_dir, "unattributed") == []
