"""The examples for GitLab and for plain shell: what they say runs, as it is written."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from composite_action import clean_environment
from proofrig.suites.scaffold import write_scaffold

CI = Path(__file__).parents[2] / "ci"
REPORTS = ["junit.xml", "report.html", "summary.md"]
JOB = yaml.safe_load((CI / "gitlab" / "example.yml").read_text())["proofrig"]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder with a suite in `shop`, of one repeat, that passes whatever the agent does."""
    write_scaffold(tmp_path / "shop")
    suite = tmp_path / "shop" / "suite.yaml"
    suite.write_text(
        suite.read_text().replace("repeats: 5", "repeats: 1").replace("under: 50", "under: 1")
    )
    return tmp_path


def shell(folder: Path, words: list[str], **environ: str) -> tuple[int, str]:
    """Exit code and output of a command in `folder`."""
    done = subprocess.run(
        words,
        cwd=folder,
        env=clean_environment(folder) | environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.returncode, done.stdout


def test_the_lines_of_the_gitlab_job_run_and_leave_what_it_keeps(shop: Path) -> None:
    script = "\n".join(JOB["script"])
    code, said = shell(shop, ["bash", "-eo", "pipefail", "-c", script], **JOB["variables"])
    assert code == 0, said
    [kept] = JOB["artifacts"]["paths"]
    assert sorted(path.name for path in (shop / kept).iterdir()) == REPORTS
    assert (shop / JOB["artifacts"]["reports"]["junit"]).is_file()
    assert all((shop / path).is_file() for path in JOB["cache"]["paths"])
    page = (CI.parent / "docs" / "guides" / "ci.md").read_text()
    assert all(f"\n{line}\n" in page for line in JOB["script"])


def test_only_the_main_branch_of_gitlab_writes_the_cache() -> None:
    policies = {rule["if"]: rule["variables"]["POLICY"] for rule in JOB["rules"]}
    assert policies == {
        '$CI_PIPELINE_SOURCE == "merge_request_event"': "pull",
        "$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH": "pull-push",
    }
    assert JOB["cache"]["policy"] == "$POLICY" and JOB["allow_failure"] == {"exit_codes": [4]}


def test_the_shell_script_keeps_a_baseline_and_holds_the_next_run_against_it(shop: Path) -> None:
    words = [str(CI / "shell" / "example.sh"), "--no-baselines", "--seed", "1"]
    code, said = shell(shop, words, SUITE="shop", ON_MAIN="true", CI="true")
    assert code == 0, said
    assert sorted(path.name for path in (shop / "reports").iterdir()) == REPORTS
    kept = (shop / "baseline.json").read_bytes()
    code, said = shell(shop, words, SUITE="shop")
    assert code == 4, said  # three trials against three decide nothing
    assert "\n### Against " in (shop / "reports" / "summary.md").read_text()
    assert (shop / "baseline.json").read_bytes() == kept


def test_the_shell_script_ends_as_the_run_does(shop: Path) -> None:
    assert os.access(CI / "shell" / "example.sh", os.X_OK)
    words = [str(CI / "shell" / "example.sh"), "--tag", "nothing"]
    code, _ = shell(shop, words, SUITE="shop", ON_MAIN="true")
    assert code == 2 and not (shop / "baseline.json").exists()
