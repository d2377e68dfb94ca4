"""Step `comment`: the run's summary as one comment of the pull request, written anew each time.

Rules:
1. The comment is found by a hidden marker at its beginning, and only among those of bots and of
   members of the repository: nobody else's comment is taken for it.
2. A comment holds at most 65,536 characters; what is too long is cut at a line, and says so.
3. A comment is a courtesy: where it cannot be written (a fork's token may only read) that is a
   warning, and takes nothing from the verdict.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

MOST = 65_536
PAGE, PAGES = 100, 30
TRUSTED = ("OWNER", "MEMBER", "COLLABORATOR")
TIMEOUT_S = 30


def main(environ: Mapping[str, str]) -> int:
    """Write the comment; the exit code, which is 0 whatever GitHub answers."""
    api, repository = environ["GITHUB_API_URL"].rstrip("/"), environ["GITHUB_REPOSITORY"]
    comments = f"{api}/repos/{repository}/issues"
    github = GitHub(environ["TOKEN"])
    marker = environ["MARKER"]
    summary = (Path(environ["FOLDER"]) / "summary.md").read_text("utf-8")
    body = {"body": body_of(summary, marker, footer(environ))}
    try:
        mine = find(github, f"{comments}/{environ['PULL_REQUEST']}/comments", marker)
        if mine is None:
            made = github.ask("POST", f"{comments}/{environ['PULL_REQUEST']}/comments", body)
        else:
            made = github.ask("PATCH", f"{comments}/comments/{mine}", body)
    except (OSError, ValueError) as error:
        hint = ""
        if isinstance(error, urllib.error.HTTPError) and error.code in (401, 403, 404):
            hint = "; the job needs `permissions: pull-requests: write`, which forks do not get"
        print(f"::warning title=proofrig::the comment could not be written: {error}{hint}")
        return 0
    print(f"{'wrote' if mine is None else 'updated'} {made.get('html_url', 'the comment')}")
    return 0


class GitHub:
    """The REST API, as far as comments need it."""

    def __init__(self, token: str) -> None:
        self._headers = {
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
            "User-Agent": "proofrig",
            "X-GitHub-Api-Version": "2022-11-28",
        }

    def ask(self, method: str, url: str, body: Any = None) -> Any:
        """What it answers. Raises OSError (HTTPError for a status), ValueError for no JSON."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, self._headers, method=method)
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            return json.loads(answer.read())


def find(github: GitHub, comments: str, marker: str) -> int | None:
    """The number of the comment that was written before; None when there is none."""
    for comment in every(github, comments):
        trusted = comment.get("author_association") in TRUSTED
        bot = (comment.get("user") or {}).get("type") == "Bot"
        if (bot or trusted) and str(comment.get("body", "")).startswith(marker):
            return int(comment["id"])
    return None


def every(github: GitHub, comments: str) -> Iterator[dict[str, Any]]:
    """The comments, oldest first, page by page."""
    for page in range(1, PAGES + 1):
        found = github.ask("GET", f"{comments}?per_page={PAGE}&page={page}")
        if not isinstance(found, list):
            raise ValueError(f"expected a list of comments, got {type(found).__name__}")
        yield from found
        if len(found) < PAGE:
            return


def body_of(summary: str, marker: str, end: str) -> str:
    """The whole comment: the marker, which nobody sees, then the verdict."""
    room = MOST - len(marker) - len(end) - 100
    if len(summary) > room:
        summary = summary[:room].rpartition("\n")[0] + "\n\nThe rest did not fit."
    return f"{marker}\n{summary.rstrip()}\n\n{end}\n"


def footer(environ: Mapping[str, str]) -> str:
    """Where the whole report is."""
    server, run = environ["GITHUB_SERVER_URL"].rstrip("/"), environ["GITHUB_RUN_ID"]
    url = f"{server}/{environ['GITHUB_REPOSITORY']}/actions/runs/{run}"
    commit = environ.get("COMMIT") or environ.get("GITHUB_SHA", "")
    return f"<sub>[Reports and log]({url}) of {commit[:8]}</sub>"


if __name__ == "__main__":
    sys.exit(main(os.environ))
