"""Step `run`: runs the suite, and keeps the exit code for the last step.

Rules:
1. What is given as `args` is split as a shell would, and never seen by one.
2. While the run speaks, GitHub reads no commands from the log: agents' text may hold some.
3. There is a summary whatever happens: of a run that made none, how it ended and what it said last.
4. A branch that has no baseline yet is no mistake: the first run on it makes one. On that branch
   itself nothing is held against it but what the suite asks for.
"""

from __future__ import annotations

import json
import os
import secrets
import shlex
import subprocess
import sys
from collections import deque
from collections.abc import Mapping
from pathlib import Path

PROOFRIG = [sys.executable, "-m", "proofrig"]
REPORTS = ("report.html", "junit.xml", "result.json", "summary.md", "run.sarif", "run.annotations")
ENDED = (0, 1, 4)  # exit codes of runs that were measured to their end
LAST = 30  # lines of a run that made no report


def main(environ: Mapping[str, str]) -> int:
    """Run it and write the outputs; 0 unless the inputs cannot be read."""
    folder = Path(environ["FOLDER"])
    for name in REPORTS:  # of an earlier run on this machine
        (folder / name).unlink(missing_ok=True)
    directory = environ.get("WORKING_DIRECTORY") or "."
    branch, at_home = environ["BASELINE"], environ["ON_BASELINE"] == "true"
    known = not at_home and branch in branches(directory)
    if not at_home and not known:
        print(f"there is no baseline of {json.dumps(branch)} yet")
    try:
        words = command(environ, folder, branch if known else "")
    except ValueError as error:
        print(f"::error title=proofrig::args: expected words as in a shell: {error}")
        return 2
    token = secrets.token_hex(16)
    print(f"::stop-commands::{token}\n{shlex.join(words)}", flush=True)
    try:
        code, last = carry_out(words, directory)
        if at_home and environ["ACCEPT"] == "true" and code in ENDED:
            keep = ["baseline", "set", "last", "--branch", branch, "--anyway"]
            subprocess.run([*PROOFRIG, *keep], cwd=directory)
    finally:
        print(f"::{token}::", flush=True)
    summary = folder / "summary.md"
    if not summary.is_file():
        summary.write_text(without_report(code, last), "utf-8")
    with open(environ["GITHUB_OUTPUT"], "a", encoding="utf-8") as file:
        file.write(f"exit-code={code}\n")
        file.write(f"sarif={'true' if (folder / 'run.sarif').is_file() else 'false'}\n")
    return 0


def branches(directory: str) -> set[str]:
    """The branches that have a baseline."""
    words = [*PROOFRIG, "baseline", "list", "--json"]
    said = subprocess.run(words, cwd=directory, stdout=subprocess.PIPE, check=True).stdout
    return {record["branch"] for record in json.loads(said)}


def command(environ: Mapping[str, str], folder: Path, baseline: str) -> list[str]:
    """The words of the command. Raises ValueError for a quote that is never closed."""
    words = [*PROOFRIG, "run", environ.get("SUITE") or "."]
    if lane := environ.get("LANE"):
        words += ["--lane", lane]
    if baseline:
        words += ["--baseline", baseline]
    for name in REPORTS:
        words += ["-o", str(folder / name)]
    return words + shlex.split(environ.get("ARGS", ""))


def carry_out(words: list[str], directory: str) -> tuple[int, list[str]]:
    """Run the command; its exit code, and what it said last on standard error."""
    last: deque[str] = deque(maxlen=LAST)
    with subprocess.Popen(words, cwd=directory, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            sys.stderr.write(line)
            sys.stderr.flush()
            last.append(line.rstrip("\n"))
    return process.returncode, list(last)


def without_report(code: int, last: list[str]) -> str:
    """The summary of a run that ended before it made one; indented text is never markup."""
    said = "\n".join(f"    {line}" for line in last)
    head = f"## ❌ Error: proofrig ended with exit code {code} before there was a report"
    return f"{head}\n\n{said}\n" if said else f"{head}\n"


if __name__ == "__main__":
    sys.exit(main(os.environ))
