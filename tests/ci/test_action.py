"""The GitHub Action, step by step, against events and a server that are made up here."""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from composite_action import Action, Ran, clean_environment
from github_server import GitHubServer, github_server
from proofrig.suites.scaffold import write_scaffold

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "ci").rglob("*.sh"))
USED = {
    "actions/setup-python@v6",
    "actions/cache/restore@v5",
    "actions/cache/save@v5",
    "actions/upload-artifact@v7",
    "github/codeql-action/upload-sarif@v4",
}
REPOSITORY = {"default_branch": "main"}
PULL = {"pull_request": {"number": 7, "head": {"sha": "ab12" * 10}}, "repository": REPOSITORY}
PUSH = {"repository": REPOSITORY}
HEAD_OF_7 = {"GITHUB_EVENT_NAME": "pull_request", "GITHUB_REF": "refs/pull/7/merge"}
FEW = "--no-baselines --seed 1 -n 1 --fail-under 1"


def script(name: str) -> dict[str, Any]:
    """What a script of the action defines."""
    return runpy.run_path(str(ROOT / "ci" / "github" / name), run_name="script")


@pytest.fixture
def github() -> Iterator[GitHubServer]:
    with github_server() as server:
        yield server


@pytest.fixture
def action(tmp_path: Path, github: GitHubServer) -> Action:
    """A copy of the action, a checkout with a suite in `evals/shop`, and a push to main."""
    folder, workspace, temp = (tmp_path / name for name in ("action", "workspace", "temp"))
    for name in (folder, workspace / ".git", temp):
        name.mkdir(parents=True)
    shutil.copytree(ROOT / "ci", folder / "ci")
    for name in ("action.yml", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    write_scaffold(workspace / "evals" / "shop")
    environ = clean_environment(tmp_path) | {
        "GITHUB_ACTIONS": "true",
        "GITHUB_API_URL": github.url,
        "GITHUB_EVENT_PATH": str(tmp_path / "event.json"),
        "GITHUB_EVENT_NAME": "push",
        "GITHUB_REF": "refs/heads/main",
        "GITHUB_REF_NAME": "main",
        "GITHUB_REPOSITORY": "shop/agent",
        "GITHUB_RUN_ID": "1234",
        "GITHUB_SERVER_URL": "https://github.example",
        "GITHUB_SHA": "cd34" * 10,
        "RUNNER_TEMP": str(temp),
    }
    return Action(folder, workspace, environ)


def run(action: Action, event: dict[str, Any], environ: Any = (), **inputs: str) -> dict[str, Ran]:
    """Carry the action out on an event."""
    action.environ.update(environ)
    Path(action.environ["GITHUB_EVENT_PATH"]).write_text(json.dumps(event))
    given = {"suite": "shop", "working-directory": "evals", "args": FEW}
    return action.run(given | {name.replace("_", "-"): inputs[name] for name in inputs}, event)


def test_the_action_uses_what_is_known_and_interpolates_nothing_into_scripts() -> None:
    steps = yaml.safe_load((ROOT / "action.yml").read_text())["runs"]["steps"]
    assert {step["uses"] for step in steps if "uses" in step} == USED
    for step in steps:
        if "run" in step:
            assert re.fullmatch(
                r'(bash|python3) "\$GITHUB_ACTION_PATH/ci/github/\w+\.\w+"', step["run"]
            )
            assert step["shell"] == "bash"
        if "TOKEN" in step.get("env", {}):
            assert step["name"] == "Comment", "no other step is given the token"


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_shell_scripts_parse_and_stop_at_the_first_error(path: Path) -> None:
    assert subprocess.run(["bash", "-n", path]).returncode == 0
    assert "\nset -euo pipefail\n" in path.read_text()
    if checker := shutil.which("shellcheck"):
        assert subprocess.run([checker, path]).returncode == 0


def test_a_pull_request_gets_one_comment_and_marks_at_the_lines_of_its_cases(
    action: Action, github: GitHubServer
) -> None:
    suite = action.workspace / "evals" / "shop" / "suite.yaml"
    suite.write_text(suite.read_text().replace("all: [shipped]", "all: [teleported]"))
    line = suite.read_text().splitlines().index("  - id: status/shipped") + 1
    github.post("<!-- proofrig evil -->", user={"type": "User"})
    for number in range(120):
        github.post(f"comment {number}", user={"type": "User"})
    args = f"{FEW} --fail-under 100"
    failed = run(action, PULL, HEAD_OF_7, args=args, baseline_branch="release/2")
    assert {name: ran.code for name, ran in failed.items() if ran.code} == {"Verdict": 1}
    assert failed["Run"].said.startswith('there is no baseline of "release/2" yet\n')
    first, marker = github.comments[122]["body"], failed["Prepare"].outputs["marker"]
    assert first.startswith(f"{marker}\n## ❌ Failed: pass rate \\>= 100 %")
    assert "(https://github.example/shop/agent/actions/runs/1234) of ab12ab12" in first
    assert failed["Publish"].summary.startswith("## ❌ Failed: pass rate \\>= 100 %")
    said = failed["Publish"].said.splitlines()
    where = (
        f"::error file=evals/shop/suite.yaml,line={line},title=status/shipped%3A 0 of 1 passed::"
    )
    assert sum(text.startswith(where) for text in said) == 1

    suite.write_text("suite: [\n```\n::error::x\n")
    again = run(action, PULL)
    assert again["Verdict"].code == 2
    lines = again["Publish"].summary.splitlines()
    assert lines[0] == "## ❌ Error: proofrig ended with exit code 2 before there was a report"
    assert any("suite.yaml" in line for line in lines)
    assert all(line.startswith("    ") for line in lines[2:])
    assert len(github.comments) == 122
    assert github.comments[122]["body"].startswith(f"{marker}\n{lines[0]}\n")
    assert [method for method, _ in github.asked if method != "GET"] == ["POST", "PATCH"]
    assert github.tokens == {"Bearer the-token"}
    assert again["Save baselines"].skipped and again["Upload security findings"].skipped


def test_main_keeps_its_baseline_and_a_pull_request_is_held_against_it(action: Action) -> None:
    with (action.workspace / "evals" / "shop" / "suite.yaml").open("a") as suite:
        suite.write("lanes: {pr: {repeats: 1}}\n")
    kept = run(action, PUSH, accept="true")
    assert (kept["Run"].outputs["exit-code"], kept["Verdict"].code) == ("0", 0)
    assert kept["Publish"].summary.startswith("## ✅ Passed: ")
    assert "is now the baseline of order_desk on main" in kept["Run"].said
    assert kept["Comment"].skipped, "a push has no pull request"
    folder = Path(kept["Prepare"].outputs["folder"])
    names = ["junit.xml", "report.html", "result.json", "run.annotations", "run.sarif"]
    assert sorted(path.name for path in folder.iterdir()) == [*names, "summary.md"]
    assert kept["Keep reports"].given["path"] == str(folder)
    restored, saved = kept["Restore baselines"].given, kept["Save baselines"].given
    assert restored["path"] == saved["path"] == "evals/.proofrig/store.db*"
    assert saved["key"] == restored["key"] and saved["key"].startswith(restored["restore-keys"])

    store = action.workspace / "evals" / ".proofrig" / "store.db"
    held = store.read_bytes()
    shutil.rmtree(store.parent)
    store.parent.mkdir()
    store.write_bytes(held)  # a new machine, with what the cache gave back
    pull = run(action, PULL, HEAD_OF_7, lane="pr", sarif="true", comment="false")
    assert "### Against " in pull["Publish"].summary and pull["Comment"].skipped
    assert pull["Restore baselines"].given["restore-keys"] == restored["restore-keys"]
    assert pull["Upload security findings"].given["sarif_file"].endswith("/run.sarif")


@pytest.mark.parametrize(
    ("code", "fail", "ends", "said"),
    [
        ("0", "false", 0, ""),
        ("4", "false", 0, "::warning title=proofrig::Inconclusive"),
        ("4", "true", 4, "::error title=proofrig::Inconclusive"),
        ("1", "false", 1, ""),
        ("6", "true", 6, ""),
    ],
)
def test_the_verdict_is_the_jobs(code: str, fail: str, ends: int, said: str) -> None:
    environ = os.environ | {"EXIT_CODE": code, "FAIL_ON_INCONCLUSIVE": fail}
    words = ["bash", ROOT / "ci" / "github" / "finish.sh"]
    done = subprocess.run(words, env=environ, stdout=subprocess.PIPE, text=True)
    assert done.returncode == ends
    assert done.stdout.startswith(said) and bool(done.stdout) == bool(said)


def test_the_log_of_the_run_holds_no_commands_for_github(action: Action) -> None:
    ran = run(action, PUSH, args="'no such\n::error::x' --tag nothing")
    lines = ran["Run"].said.splitlines()
    token = lines[0].removeprefix("::stop-commands::")
    assert re.fullmatch(r"[0-9a-f]{32}", token) and lines.count(f"::{token}::") == 1
    assert [line for line in lines if line.startswith("::error::")]
    assert lines.index("::error::x' --tag nothing") < lines.index(f"::{token}::")


def test_reports_of_an_earlier_run_are_not_taken_for_this_one(action: Action) -> None:
    folder = Path(run(action, PUSH, args="'")["Prepare"].outputs["folder"])
    for name in ("summary.md", "run.annotations", "run.sarif"):
        (folder / name).write_text("an earlier run's")
    ran = run(action, PUSH, args="--no-such-option")
    assert [path.name for path in folder.iterdir()] == ["summary.md"]
    assert "ended with exit code 2" in ran["Publish"].summary
    assert ran["Run"].outputs == {"exit-code": "2", "sarif": "false"}


def test_inputs_become_words_as_a_shell_would_have_them() -> None:
    given = {"SUITE": "my shop", "LANE": "pr", "ARGS": "--case 'a b' $HOME;ls"}
    words = script("run.py")["command"](given, Path("/f"), "main")
    assert words[3:9] == ["run", "my shop", "--lane", "pr", "--baseline", "main"]
    assert words[9:11] == ["-o", "/f/report.html"] and words[-3:] == ["--case", "a b", "$HOME;ls"]


def test_words_that_cannot_be_split_are_refused(action: Action) -> None:
    ran = run(action, PUSH, args="--case 'never closed")
    assert ran["Run"].code == 2 and "args: expected words as in a shell" in ran["Run"].said
    assert ran["Verdict"].skipped and ran["Publish"].skipped


def test_flags_that_are_no_flags_are_refused(action: Action) -> None:
    ran = run(action, PUSH, fail_on_inconclusive="yes")
    assert ran["Prepare"].code == 2
    assert "fail-on-inconclusive: expected true or false" in ran["Prepare"].said
    assert ran["Run"].skipped


def test_a_comment_that_may_not_be_written_costs_a_warning(
    action: Action, github: GitHubServer, tmp_path: Path
) -> None:
    (tmp_path / "summary.md").write_text("## ✅ Passed\n")
    environ = action.environ | {"FOLDER": str(tmp_path), "MARKER": "<!-- m -->"}
    environ |= {"PULL_REQUEST": "7", "TOKEN": "t"}
    github.refuse = 403
    words = ["python3", ROOT / "ci" / "github" / "comment.py"]
    done = subprocess.run(words, env=environ, stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0 and github.comments == {}
    assert done.stdout.startswith("::warning title=proofrig::the comment could not be written")
    assert "pull-requests: write" in done.stdout


@pytest.mark.parametrize(
    ("more", "mine"),
    [
        ({"user": {"type": "Bot"}}, True),
        ({"user": {"type": "User"}, "author_association": "MEMBER"}, True),
        ({"user": {"type": "User"}, "author_association": "CONTRIBUTOR"}, False),
        ({"user": None}, False),
        ({"body": "quoted: <!-- proofrig x -->"}, False),
    ],
)
def test_only_a_trusted_comment_that_begins_with_the_marker_is_taken(
    github: GitHubServer, more: dict[str, Any], mine: bool
) -> None:
    defined = script("comment.py")
    github.post(**({"body": "<!-- proofrig x -->\nold"} | more))
    found = defined["find"](defined["GitHub"]("t"), f"{github.url}/c", "<!-- proofrig x -->")
    assert found == (1 if mine else None)


def test_a_comment_is_cut_where_github_would_refuse_it() -> None:
    defined = script("comment.py")
    body = defined["body_of"]("## ❌ Failed\n" + "line of text\n" * 9_000, "<!-- m -->", "end")
    assert defined["MOST"] - 300 < len(body) <= defined["MOST"] == 65_536
    assert body.startswith("<!-- m -->\n## ❌ Failed\n")
    assert body.endswith("line of text\n\nThe rest did not fit.\n\nend\n")


@pytest.mark.parametrize(
    ("event", "ref", "payload", "branch", "number", "on"),
    [
        ("push", "refs/heads/main", PUSH, "", "", "true"),
        ("schedule", "refs/heads/main", PUSH, "", "", "true"),
        ("push", "refs/heads/main-2", PUSH, "", "", "false"),
        ("push", "refs/tags/main", PUSH, "", "", "false"),
        ("push", "refs/heads/release", PUSH, "release", "", "true"),
        ("push", "refs/heads/trunk", {"repository": {"default_branch": "trunk"}}, "", "", "true"),
        ("push", "refs/heads/main", {}, "", "", "true"),
        ("pull_request", "refs/pull/7/merge", PULL, "", "7", "false"),
        ("pull_request_target", "refs/heads/main", PULL, "", "7", "false"),
        ("merge_group", "refs/heads/main", PUSH, "", "", "false"),
        ("pull_request", "refs/pull/7/merge", {"pull_request": {"number": "7;x"}}, "", "", "false"),
    ],
)
def test_the_event_tells_what_is_checked(
    event: str, ref: str, payload: dict[str, Any], branch: str, number: str, on: str
) -> None:
    environ = {"GITHUB_EVENT_NAME": event, "GITHUB_REF": ref, "BASELINE_BRANCH": branch}
    environ |= {"GITHUB_RUN_ID": "1", "RUNNER_TEMP": "/t", "SUITE": "shop"}
    found = script("prepare.py")["plan"](environ, payload)
    assert (found["pull-request"], found["on-baseline"]) == (number, on)


def test_names_are_safe_and_none_is_the_beginning_of_another() -> None:
    slug = script("prepare.py")["slug"]
    every = [("main",), ("main", "2"), ("main-2",), ("ma", "in"), ("a/../b c\n,*",), ("é" * 300,)]
    slugs = [slug(*parts) for parts in every]
    assert all(re.fullmatch(r"[A-Za-z0-9-]{12,80}", one) for one in slugs)
    assert not [1 for one in slugs for other in slugs if one is not other and other.startswith(one)]


def test_an_installed_version_is_not_installed_again(action: Action, tmp_path: Path) -> None:
    words = ["bash", ROOT / "ci" / "github" / "install.sh"]
    environ = action.environ | {"GITHUB_ACTION_PATH": str(action.folder)}
    assert (
        "is installed" in subprocess.run(words, env=environ, capture_output=True, text=True).stdout
    )
    other = action.folder / "pyproject.toml"
    other.write_text(other.read_text().replace('version = "', 'version = "99.'))
    fake = tmp_path / "bin" / "python3"
    fake.parent.mkdir()
    fake.write_text(f'#!/bin/sh\necho "$*" >> {tmp_path}/asked\n')
    fake.chmod(0o755)
    environ["PATH"] = f"{fake.parent}{os.pathsep}{environ['PATH']}"
    assert subprocess.run(words, env=environ).returncode == 0
    asked = (tmp_path / "asked").read_text().splitlines()
    assert f"-m pip install --disable-pip-version-check --quiet {action.folder}" in asked


def test_the_guide_lists_the_inputs_and_uses_only_those() -> None:
    page = (ROOT / "docs" / "guides" / "ci.md").read_text()
    written = yaml.safe_load((ROOT / "action.yml").read_text())
    assert re.findall(r"^\| `([a-z-]+)` \|", page, re.MULTILINE) == list(written["inputs"])
    blocks = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)]
    steps = [step for block in blocks for step in block["jobs"]["proofrig"]["steps"]]
    given = [step["with"].keys() for step in steps if step.get("uses") == "./tools/proofrig"]
    assert len(given) == 2 and all(keys <= written["inputs"].keys() for keys in given)
    majors = {name.rpartition("@")[0]: name for name in USED}
    named = [step["uses"] for step in steps if step.get("uses", "").partition("@")[0] in majors]
    assert named and all(name in USED for name in named)
