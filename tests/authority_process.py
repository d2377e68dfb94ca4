"""`proofrig authority serve` as a process of its own, and Schemathesis against it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

BIN = Path(sys.executable).parent
ADMIN, TENANT = "admin-key-0123456789", "acme-key-01234567890"
KEYS = f'{{"{ADMIN}": "*", "{TENANT}": {{"tenant": "acme", "scopes": ["@writes"]}}}}'
POLICY = """
scopes: {"@writes": ["tool.write_*"]}
taint: {"tool.fetch_*": web}
limits:
  acme: {usd: 100, "usd/day": 10}
  "*/*/*/*": {calls: 50, children: 5}
rules:
  - {name: ask-refunds, ask: tool.refund, wait_s: 2}
  - {name: no-tests, deny: "tool.write_*", paths: {path: ["tests/**"]}}
  - {name: small, deny: "tool.*", when: {amount: {">": 100}}}
  - {name: cheap, allow: "llm.*", max_tokens: 50}
"""
ACCEPTED = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", 401, 403, 404, 409, 410, 429]
"""


@dataclass
class Process:
    """The running service. `end` and `kill` wait for it; both may be called again."""

    url: str
    child: subprocess.Popen[str]

    def end(self, number: int) -> tuple[int, str]:
        """Send a signal; the exit code, and what it said on stderr."""
        self.child.send_signal(number)
        _, said = self.child.communicate(timeout=20)
        return self.child.returncode, said


@contextmanager
def serving(*words: str) -> Iterator[Process]:
    """Runs the service; it is killed at the end, if it is still there."""
    argv = [str(BIN / "proofrig"), "authority", "serve", "--json", *words]
    child = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None and child.stderr is not None
    try:
        line = child.stdout.readline()
        assert line, child.stderr.read()
        yield Process(json.loads(line)["url"], child)
    finally:
        if child.poll() is None:
            child.kill()
        child.communicate()


def schemathesis(url: str, folder: Path, *words: str, key: str = "") -> tuple[int, str]:
    """Run it against the service at `url` with every check; the exit code and what it said.

    JSON Schema counts 1.0 as an integer and the service does not, so bodies with such numbers where
    amounts and times are wanted are left out; see `slow/schemathesis_hooks.py`. A hold of 1 ms is
    soon over: 410 is then the right answer to a body that is right.
    """
    (folder / "schemathesis.toml").write_text(ACCEPTED)
    here = Path(__file__).parent
    env = os.environ | {"SCHEMATHESIS_HOOKS": "slow.schemathesis_hooks", "PYTHONPATH": str(here)}
    argv = [str(BIN / "schemathesis"), "run", f"{url}/openapi.json", "--checks", "all"]
    argv += ["--seed", "7", "--continue-on-failure", "--generation-database", "none", *words]
    if key:
        argv += ["-H", f"Authorization: Bearer {key}"]
    done = subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr
