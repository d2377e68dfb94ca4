"""Which branch and commit this is: what a run says of the code it was made with.

Rules:
1. What git says of the checkout is asked of git, with a time limit; without git, or where it
   refuses, nothing is known and nothing fails.
2. A CI system checks out a commit without a branch, so its variables name the branch; but only
   while the commit they name is the one that is checked out.
3. A pull or merge request is a proposed change, and is on no branch that baselines are kept of,
   whatever its own branch is called: it stands as `pull/<its own branch>`.
"""

from __future__ import annotations

import string
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

DIRTY = "-dirty"  # as `git describe --dirty` has it
PULL = "pull/"
_LIMIT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    """Where code stands. `branch` is "" off any branch and where none is known, and `pull/...` of a
    pull or merge request; `commit` is its full id or "". `dirty`: tracked files differ from the
    commit; None where that was not seen."""

    branch: str = ""
    commit: str = ""
    dirty: bool | None = None

    @property
    def revision(self) -> str:
        """The commit, marked when what ran was not what was committed."""
        return f"{self.commit}{DIRTY}" if self.commit and self.dirty else self.commit


def short(revision: str) -> str:
    """A revision as people write it: eight digits, and its mark."""
    commit = revision.removesuffix(DIRTY)
    return commit[:8] + revision[len(commit) :]


class _Said(NamedTuple):
    """What a CI system says of what it checked out."""

    branch: str
    commit: str  # "" where it says none
    change: bool


def checkout_of(directory: Path, environ: Mapping[str, str], limit_s: float = _LIMIT_S) -> Checkout:
    """Where the code in `directory` stands, from git and from the variables of the CI systems that
    are known. Each of the three calls of git may take `limit_s` seconds."""
    commit = _git(directory, environ, limit_s, "rev-parse", "--verify", "--quiet", "HEAD")
    branch = _git(directory, environ, limit_s, "symbolic-ref", "--quiet", "--short", "HEAD")
    dirty: bool | None = None
    if commit:
        words = ("status", "--porcelain", "--untracked-files=no", "--ignore-submodules=dirty")
        state = _git(directory, environ, limit_s, *words)
        dirty = None if state is None else bool(state)
    said = next((found for system in _SYSTEMS if (found := system(environ))), None)
    if said is None:
        return Checkout(branch=branch or "", commit=commit or "", dirty=dirty)
    name = f"{PULL}{said.branch.removeprefix(PULL)}" if said.change else said.branch
    elsewhere = commit and said.commit and commit != said.commit
    if elsewhere and not said.change:
        name = branch or ""
    return Checkout(branch=name, commit=commit or said.commit, dirty=dirty)


def _git(directory: Path, environ: Mapping[str, str], limit_s: float, *words: str) -> str | None:
    """What git answers; None when it cannot. It takes no lock and starts nothing that stays."""
    argv = ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", "-C", str(directory)]
    try:
        done = subprocess.run(
            [*argv, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**environ, "LC_ALL": "C"},
            timeout=limit_s,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "replace").strip() if done.returncode == 0 else None


def _github(environ: Mapping[str, str]) -> _Said | None:
    """GitHub Actions. `pull_request_target` names the base branch as the ref, and a merge queue
    checks what is not merged yet: the event tells, not the ref."""
    if not environ.get("GITHUB_ACTIONS"):
        return None
    event, head = environ.get("GITHUB_EVENT_NAME", ""), environ.get("GITHUB_HEAD_REF", "")
    change = bool(head) or event.startswith("pull_request") or event == "merge_group"
    tag = environ.get("GITHUB_REF_TYPE") == "tag"
    branch = head or ("" if tag else environ.get("GITHUB_REF_NAME"))
    return _said(branch, environ.get("GITHUB_SHA"), change)


def _gitlab(environ: Mapping[str, str]) -> _Said | None:
    """GitLab CI. `CI_COMMIT_BRANCH` is not there for merge requests and tags."""
    if not environ.get("GITLAB_CI"):
        return None
    change = bool(environ.get("CI_MERGE_REQUEST_ID"))
    name = "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME" if change else "CI_COMMIT_BRANCH"
    return _said(environ.get(name), environ.get("CI_COMMIT_SHA"), change)


def _buildkite(environ: Mapping[str, str]) -> _Said | None:
    """Buildkite. The pull request is "false" where there is none; a tag stands as the branch."""
    if not environ.get("BUILDKITE"):
        return None
    change = environ.get("BUILDKITE_PULL_REQUEST", "false") not in ("", "false")
    branch = "" if environ.get("BUILDKITE_TAG") else environ.get("BUILDKITE_BRANCH")
    return _said(branch, environ.get("BUILDKITE_COMMIT"), change)


def _circle(environ: Mapping[str, str]) -> _Said | None:
    """CircleCI. `CIRCLE_BRANCH` is not there for tags; of a fork it is `pull/<number>`."""
    if not environ.get("CIRCLECI"):
        return None
    change = bool(environ.get("CIRCLE_PULL_REQUEST") or environ.get("CIRCLE_PR_NUMBER"))
    return _said(environ.get("CIRCLE_BRANCH"), environ.get("CIRCLE_SHA1"), change)


_SYSTEMS: tuple[Callable[[Mapping[str, str]], _Said | None], ...] = (
    _github,
    _gitlab,
    _buildkite,
    _circle,
)


def _said(branch: str | None, commit: str | None, change: bool) -> _Said:
    """A commit that is no id, such as HEAD, says nothing."""
    id = commit or ""
    known = len(id) >= 40 and all(digit in string.hexdigits for digit in id)
    return _Said(branch or "", id.lower() if known else "", change)
