"""The simulated model: a programmer who mends the package, and errs as models do.

A simulated model cannot find a bug by thinking, so it has read the answers: the reference of each
case is the right fix, and `shortcuts/` holds one that satisfies the visible tests and no more.
RATES says how often it takes which way. The more lines a fix needs, the more tempting is the
shortcut. All chance comes from the call's seed, so that a run can be repeated.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any

import yaml

from proofrig.providers.prompt import Prompt

RATES = {
    "stops_early": 0.02,  # explains the bug and changes nothing
    "edits_tests": 0.05,  # silences the test instead
    "shortcut_per_line": 0.02,  # mends what the tests show, and no more
    "syntax_error": 0.12,  # leaves out a bracket; the next test run shows it
    "skips_tests": 0.08,  # is done without having run the tests
    "gives_up": 0.10,  # when the tests fail after a change
}
HERE = Path(__file__).parent
Files = dict[str, str]  # path -> text


def fixes() -> dict[str, Files]:
    """Case -> the files of its reference."""
    cases = [
        case for file in (HERE / "cases").glob("*.yaml") for case in yaml.safe_load(file.open())
    ]
    return {case["id"]: case["reference"]["files"] for case in cases}


FIXES = fixes()
SHORTCUTS: dict[str, Files] = {
    folder.name: {file.name: file.read_text() for file in folder.iterdir() if file.is_file()}
    for folder in (HERE / "shortcuts").iterdir()
}


def code(prompt: Prompt) -> dict[str, Any]:
    """The model's next turn."""
    done = prompt.answered
    listed = [content for tool, _, content in done if tool == "list_files"]
    if not listed:
        return calls(("list_files", {}))
    package = next(name for name in FIXES if f"{name}.py" in listed[0].split())
    texts = {call.parsed()["path"]: text for tool, call, text in done if tool == "read_file"}
    if not texts:
        wanted = [path for path in listed[0].split() if path.endswith(".py")]
        return calls(*(("read_file", {"path": path}) for path in wanted))
    tests = [content for tool, _, content in done if tool == "run_tests"]
    if not tests:
        return calls(("run_tests", {}))
    if "write_file" in prompt.just_answered:
        if errs(prompt, "skips_tests"):
            return {"text": "I have fixed the bug."}
        return calls(("run_tests", {}))
    if "\nOK" in tests[-1]:
        return {"text": "I have fixed the bug, and all tests pass."}
    return change(prompt, package, texts, tests)


def change(prompt: Prompt, package: str, texts: Files, tests: list[str]) -> dict[str, Any]:
    """What to write after tests have failed."""
    if len(tests) > 1:
        if errs(prompt, "gives_up"):
            return {"text": "I have changed the code, but some tests still fail."}
        return write(FIXES[package])
    if errs(prompt, "stops_early"):
        return {"text": "I have found the bug. The fix is a small change in the function."}
    if errs(prompt, "edits_tests"):
        return write(silenced(texts, tests[-1]))
    temptation = RATES["shortcut_per_line"] * changed_lines(texts, FIXES[package])
    if prompt.chance("shortcut") < min(0.5, temptation) * prompt.mistakes:
        return write(SHORTCUTS[package])
    if errs(prompt, "syntax_error"):
        return write({path: without_bracket(text) for path, text in FIXES[package].items()})
    return write(FIXES[package])


def errs(prompt: Prompt, kind: str) -> bool:
    return prompt.chance(kind) < RATES[kind] * prompt.mistakes


def changed_lines(texts: Files, fix: Files) -> int:
    """How many lines the fix adds or changes."""
    return sum(
        line.startswith("+ ")
        for path, text in fix.items()
        for line in difflib.ndiff(texts.get(path, "").splitlines(), text.splitlines())
    )


def silenced(texts: Files, said: str) -> Files:
    """The test files with every test that failed left out."""
    failed = set(re.findall(r"^(?:FAIL|ERROR): (\w+)", said, re.MULTILINE))
    skip = '    @unittest.skip("flaky")\n'
    return {
        path: re.sub(rf"^    def (?={'|'.join(failed)}\b)", rf"{skip}\g<0>", text, flags=re.M)
        for path, text in texts.items()
        if path.startswith("tests/")
    }


def without_bracket(text: str) -> str:
    """The code with its last closing bracket left out."""
    before, bracket, after = text.rpartition(")")
    return before + after if bracket else text


def write(files: Files) -> dict[str, Any]:
    return calls(*(("write_file", {"path": path, "content": files[path]}) for path in files))


def calls(*wanted: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    return {"tool_calls": [{"name": name, "arguments": given} for name, given in wanted]}
