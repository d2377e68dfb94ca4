"""A page for tests, read strictly: every tag is closed by its own end.

page = Page(text)
assert "95 % interval" in page
"""

from __future__ import annotations

from html.parser import HTMLParser

EVIL = "</script><img src=x onerror=alert(1)>"
VOID = {"meta", "input", "link", "img", "br", "hr"}


class Page(HTMLParser):
    """Tags, attributes and text; every tag must be closed by its own end."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("script", "style"):
            self.words.append(data)

    def __contains__(self, text: str) -> bool:
        return text in " ".join(" ".join(self.words).split())
