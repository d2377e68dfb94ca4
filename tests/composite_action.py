"""A composite action, carried out as GitHub's runner would: its shell steps for real, in order.

    action = Action(copy of the repository's action, workspace, environment)
    ran = action.run({"suite": "shop"})       # name of the step -> what became of it

Rules:
1. Steps that `uses:` another action are skipped; their `with` is evaluated all the same.
2. Expressions are those that the action needs: contexts, text, == and !=, &&, !cancelled(). Any
   other, and any input, output or step that does not exist, is an error.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

EXPRESSION = re.compile(r"\$\{\{(.+?)\}\}", re.DOTALL)
BASH = ("bash", "--noprofile", "--norc", "-eo", "pipefail")


@dataclass
class Ran:
    """What became of a step: it was skipped, used an action `given` these values, or ran."""

    code: int | None = None
    said: str = ""
    outputs: dict[str, str] = field(default_factory=dict)
    summary: str = ""
    given: dict[str, str] = field(default_factory=dict)
    skipped: bool = False


class Action:
    """An action in a folder, and the machine that it runs on."""

    def __init__(self, folder: Path, workspace: Path, environ: dict[str, str]) -> None:
        self.folder, self.workspace, self.environ = folder, workspace, environ
        self.written: dict[str, Any] = yaml.safe_load((folder / "action.yml").read_text())
        self.steps: list[dict[str, Any]] = self.written["runs"]["steps"]

    def run(self, inputs: dict[str, str], event: dict[str, Any] | None = None) -> dict[str, Ran]:
        """Carry it out. After a step that failed only those with a condition of their own run."""
        assert inputs.keys() <= self.written["inputs"].keys()
        given = {
            "inputs": self._defaults(event or {}) | inputs,
            "github": self._github(event or {}),
        }
        done: dict[str, Ran] = {}
        outputs: dict[str, dict[str, dict[str, str]]] = {}
        failed = False
        for step in self.steps:
            contexts = given | {"steps": outputs}
            condition = step.get("if", "")
            wanted = self._value(condition, contexts) if condition else "true"
            if wanted != "true" or (failed and "cancelled()" not in condition):
                ran = Ran(skipped=True)
            elif "uses" in step:
                values = step.get("with", {}).items()
                ran = Ran(given={name: self._value(str(text), contexts) for name, text in values})
            else:
                ran = self._shell(step, contexts)
                failed = failed or ran.code != 0
            done[step["name"]] = ran
            if "id" in step:
                outputs[step["id"]] = {"outputs": ran.outputs}
        return done

    def _shell(self, step: dict[str, Any], contexts: dict[str, Any]) -> Ran:
        assert step["shell"] == "bash"
        assert "${{" not in step["run"], "what is given goes through the environment"
        files = {name: self.workspace.parent / name.lower() for name in ("OUTPUT", "STEP_SUMMARY")}
        for file in files.values():
            file.write_text("")
        own = {name: self._value(text, contexts) for name, text in step.get("env", {}).items()}
        environ = self.environ | {f"GITHUB_{name}": str(file) for name, file in files.items()}
        environ |= {"GITHUB_ACTION_PATH": str(self.folder)} | own
        script = self.workspace.parent / "step.sh"
        script.write_text(step["run"])
        done = subprocess.run(
            [*BASH, str(script)],
            cwd=self.workspace,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        lines = files["OUTPUT"].read_text().splitlines()
        outputs = dict(line.split("=", 1) for line in lines)
        return Ran(done.returncode, done.stdout, outputs, files["STEP_SUMMARY"].read_text())

    def _defaults(self, event: dict[str, Any]) -> dict[str, str]:
        contexts = {"github": self._github(event)}
        return {
            name: self._value(said.get("default", ""), contexts)
            for name, said in self.written["inputs"].items()
        }

    def _github(self, event: dict[str, Any]) -> dict[str, Any]:
        return {"token": "the-token", "event": event}

    def _value(self, text: str, contexts: dict[str, Any]) -> str:
        return EXPRESSION.sub(lambda found: _evaluated(found[1].strip(), contexts), text)


def _evaluated(text: str, contexts: dict[str, Any]) -> str:
    """An expression as text; `true` and `false` are the values of conditions."""
    if "&&" in text:
        parts = [_evaluated(part.strip(), contexts) for part in text.split("&&")]
        return str(all(part not in ("", "false") for part in parts)).lower()
    for operator in ("==", "!="):
        if operator in text:
            left, right = (_evaluated(side.strip(), contexts) for side in text.split(operator))
            return str((left == right) == (operator == "==")).lower()
    if text == "!cancelled()":
        return "true"
    if text.startswith("'"):
        return text.strip("'")
    return _looked_up(text, contexts)


def _looked_up(path: str, contexts: dict[str, Any]) -> str:
    """What a context holds; an output that was not written and an event's key that is not there are
    empty, as GitHub has it."""
    first, *rest = path.split(".")
    found: Any = contexts[first]
    for place, key in enumerate(rest):
        known = isinstance(found, dict) and key in found
        loose = (first == "steps" and place == 2) or (first == "github" and place > 0)
        assert known or loose, f"{path}: there is no {key}"
        found = found[key] if known else ""
    assert isinstance(found, str), f"{path}: expected text"
    return found


def clean_environment(home: Path) -> dict[str, str]:
    """What a fresh machine has, with this Python first on its PATH."""
    import sys

    folder = Path(sys.executable).parent
    return {
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PATH": os.pathsep.join((str(folder), os.environ.get("PATH", os.defpath))),
    }
