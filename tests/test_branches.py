"""Branch and commit come from real git repositories and from what CI systems set."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from proofrig.branches import Checkout, checkout_of, short

SHA = "1a2b3c4d5e6f7a8b9c0d1a2b3c4d5e6f7a8b9c0d"
PLAIN = {
    "PATH": os.environ["PATH"],
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
}
GITHUB = {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "push", "GITHUB_REF_TYPE": "branch"}
GITHUB |= {"GITHUB_REF_NAME": "main", "GITHUB_SHA": SHA}
GITLAB = {"GITLAB_CI": "true", "CI_COMMIT_SHA": SHA}
BUILDKITE = {"BUILDKITE": "true", "BUILDKITE_BRANCH": "main", "BUILDKITE_COMMIT": SHA}
CIRCLE = {"CIRCLECI": "true", "CIRCLE_BRANCH": "main", "CIRCLE_SHA1": SHA}

Git = Callable[..., str]


@pytest.fixture
def git(tmp_path: Path) -> Git:
    """Runs git in a repository with one commit on `main`."""
    folder = tmp_path / "repository"
    folder.mkdir()
    who = {
        f"GIT_{role}_{what}": "a@b"
        for role in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    }

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=folder, env=PLAIN | who, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    git("init", "--quiet", "--initial-branch=main")
    (folder / "agent.py").write_text("answer = 42\n")
    (folder / "suite").mkdir()
    git("add", ".")
    git("commit", "--quiet", "-m", "one")
    return git


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "repository"


def test_a_clean_branch(git: Git, folder: Path) -> None:
    commit = git("rev-parse", "HEAD")
    wanted = Checkout(branch="main", commit=commit, dirty=False)
    assert checkout_of(folder, PLAIN) == wanted
    assert checkout_of(folder / "suite", PLAIN) == wanted
    assert wanted.revision == commit


def test_what_is_not_committed_is_said_and_what_git_does_not_track_is_not(
    git: Git, folder: Path
) -> None:
    (folder / "store.db").write_text("not of the code")
    assert checkout_of(folder, PLAIN).dirty is False
    (folder / "agent.py").write_text("answer = 41\n")
    found = checkout_of(folder, PLAIN)
    assert (found.dirty, found.revision) == (True, f"{found.commit}-dirty")
    git("add", "agent.py")
    assert checkout_of(folder, PLAIN).dirty is True


def test_a_detached_head_has_no_branch(git: Git, folder: Path) -> None:
    commit = git("rev-parse", "HEAD")
    git("checkout", "--quiet", "--detach")
    assert checkout_of(folder, PLAIN) == Checkout(commit=commit, dirty=False)


def test_a_branch_may_have_slashes_and_no_commit_yet(git: Git, folder: Path) -> None:
    git("checkout", "--quiet", "-b", "fix/late-refund")
    assert checkout_of(folder, PLAIN).branch == "fix/late-refund"
    git("checkout", "--quiet", "--orphan", "fresh")
    assert checkout_of(folder, PLAIN) == Checkout(branch="fresh")


def test_a_worktree_is_on_its_own_branch(git: Git, folder: Path, tmp_path: Path) -> None:
    git("worktree", "add", "--quiet", "-b", "second", str(tmp_path / "second"))
    assert checkout_of(tmp_path / "second", PLAIN).branch == "second"
    assert checkout_of(folder, PLAIN).branch == "main"


def test_without_a_repository_nothing_is_known(tmp_path: Path) -> None:
    alone = PLAIN | {"GIT_CEILING_DIRECTORIES": str(tmp_path.parent)}
    assert checkout_of(tmp_path, alone) == Checkout()
    assert checkout_of(tmp_path / "nowhere", alone) == Checkout()


def test_without_git_the_ci_system_is_believed(git: Git, folder: Path) -> None:
    nothing = {"PATH": str(folder)}
    assert checkout_of(folder, nothing) == Checkout()
    assert checkout_of(folder, nothing | GITHUB) == Checkout(branch="main", commit=SHA)


def test_a_git_that_hangs_is_not_waited_for(tmp_path: Path) -> None:
    slow = tmp_path / "git"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(slow.stat().st_mode | stat.S_IXUSR)
    environ = GITHUB | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    assert checkout_of(tmp_path, environ, 0.05) == Checkout(branch="main", commit=SHA)


@pytest.mark.parametrize(
    ("environ", "branch"),
    [
        (GITHUB, "main"),
        (GITHUB | {"GITHUB_REF_NAME": "v1.2", "GITHUB_REF_TYPE": "tag"}, ""),
        (GITHUB | {"GITHUB_EVENT_NAME": "schedule"}, "main"),
        (
            GITHUB
            | {"GITHUB_EVENT_NAME": "pull_request", "GITHUB_REF_NAME": "12/merge"}
            | {"GITHUB_HEAD_REF": "fix"},
            "pull/fix",
        ),
        (  # of a fork, whose own branch is called main
            GITHUB
            | {"GITHUB_EVENT_NAME": "pull_request", "GITHUB_REF_NAME": "12/merge"}
            | {"GITHUB_HEAD_REF": "main"},
            "pull/main",
        ),
        (GITHUB | {"GITHUB_EVENT_NAME": "pull_request_target", "GITHUB_HEAD_REF": "x"}, "pull/x"),
        (GITHUB | {"GITHUB_EVENT_NAME": "pull_request_target"}, "pull/main"),
        (GITHUB | {"GITHUB_EVENT_NAME": "merge_group"}, "pull/main"),
        (GITLAB | {"CI_COMMIT_BRANCH": "main"}, "main"),
        (GITLAB | {"CI_COMMIT_TAG": "v1.2"}, ""),
        (
            GITLAB | {"CI_MERGE_REQUEST_ID": "7", "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "main"},
            "pull/main",
        ),
        (BUILDKITE | {"BUILDKITE_PULL_REQUEST": "false"}, "main"),
        (BUILDKITE | {"BUILDKITE_PULL_REQUEST": "12", "BUILDKITE_BRANCH": "fix"}, "pull/fix"),
        (BUILDKITE | {"BUILDKITE_TAG": "v1", "BUILDKITE_BRANCH": "v1"}, ""),
        (CIRCLE, "main"),
        (CIRCLE | {"CIRCLE_PULL_REQUEST": "https://x/pull/3", "CIRCLE_BRANCH": "fix"}, "pull/fix"),
        (CIRCLE | {"CIRCLE_PR_NUMBER": "3", "CIRCLE_BRANCH": "pull/3"}, "pull/3"),
    ],
)
def test_ci_systems_name_the_branch_of_the_commit_they_checked_out(
    tmp_path: Path, environ: dict[str, str], branch: str
) -> None:
    nowhere = {"PATH": str(tmp_path)} | environ
    assert checkout_of(tmp_path, nowhere) == Checkout(branch=branch, commit=SHA)


def test_a_ci_system_says_the_branch_of_a_detached_head(git: Git, folder: Path) -> None:
    commit = git("rev-parse", "HEAD")
    git("checkout", "--quiet", "--detach")
    found = checkout_of(folder, PLAIN | GITHUB | {"GITHUB_SHA": commit.upper()})
    assert found == Checkout(branch="main", commit=commit, dirty=False)


@pytest.mark.parametrize("event", ["workflow_run", "issue_comment", "push"])
def test_another_commit_than_the_ci_systems_is_not_on_its_branch(
    git: Git, folder: Path, event: str
) -> None:
    """A comment on a pull request runs on `main` by its variables, and checks the request out."""
    commit = git("rev-parse", "HEAD")
    git("checkout", "--quiet", "--detach")
    found = checkout_of(folder, PLAIN | GITHUB | {"GITHUB_EVENT_NAME": event})
    assert found == Checkout(commit=commit, dirty=False)


def test_the_head_of_a_pull_request_is_still_one(git: Git, folder: Path) -> None:
    """The variables name the merge commit; many check out the branch itself."""
    request = {"GITHUB_EVENT_NAME": "pull_request", "GITHUB_HEAD_REF": "fix"}
    found = checkout_of(folder, PLAIN | GITHUB | request)
    assert (found.branch, found.commit) == ("pull/fix", git("rev-parse", "HEAD"))


def test_a_commit_that_is_no_id_says_nothing(git: Git, folder: Path) -> None:
    git("checkout", "--quiet", "--detach")
    found = checkout_of(folder, PLAIN | BUILDKITE | {"BUILDKITE_COMMIT": "HEAD"})
    assert (found.branch, found.commit) == ("main", git("rev-parse", "HEAD"))


@pytest.mark.parametrize(
    ("revision", "written"),
    [(SHA, "1a2b3c4d"), (f"{SHA}-dirty", "1a2b3c4d-dirty"), ("", "")],
    ids=["clean", "dirty", "unknown"],
)
def test_a_revision_is_written_short(revision: str, written: str) -> None:
    assert short(revision) == written
