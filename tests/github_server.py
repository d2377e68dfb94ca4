"""GitHub's REST API on a free port, as far as comments of pull requests need it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


class GitHubServer:
    """Comments of one repository. `asked`: (method, path) of every request; `refuse`: a status that
    every request is answered with instead."""

    def __init__(self) -> None:
        self.comments: dict[int, dict[str, Any]] = {}
        self.asked: list[tuple[str, str]] = []
        self.tokens: set[str] = set()
        self.refuse = 0
        self.url = ""

    def post(self, body: str, **more: Any) -> dict[str, Any]:
        """A comment of the bot's, unless it is said to be somebody's."""
        number = len(self.comments) + 1
        made = {"id": number, "body": body, "user": {"type": "Bot"}, "html_url": f"/c/{number}"}
        self.comments[number] = made | {"author_association": "NONE"} | more
        return self.comments[number]

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        """Status and body."""
        split = urlsplit(path)
        self.asked.append((method, split.path))
        if self.refuse:
            return self.refuse, {"message": "Resource not accessible by integration"}
        if method == "GET":
            query = parse_qs(split.query)
            size, page = int(query["per_page"][0]), int(query["page"][0])
            return 200, list(self.comments.values())[(page - 1) * size : page * size]
        if method == "POST":
            return 201, self.post(body["body"])
        comment = self.comments[int(split.path.rpartition("/")[2])]
        comment["body"] = body["body"]
        return 200, comment


@contextmanager
def github_server() -> Iterator[GitHubServer]:
    """A server that answers while the block runs."""
    held = GitHubServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def do_PATCH(self) -> None:
            self._answer()

        def _answer(self) -> None:
            data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            held.tokens.add(self.headers.get("Authorization", ""))
            status, body = held.answer(self.command, self.path, json.loads(data or b"null"))
            told = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    held.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield held
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
