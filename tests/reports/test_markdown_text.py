"""Hostile text in, harmless Markdown out."""

from __future__ import annotations

from proofrig.reports.markdown_text import code, escaped


def test_a_code_span_cannot_be_left() -> None:
    assert code("a") == "`a`"
    assert code("a ``` b\n\n# c") == "```` a ``` b # c ````"
    assert code("") == "` `"


def test_plain_text_has_no_markup_and_no_mention() -> None:
    assert escaped("*a* [b](c) @d <e>") == "\\*a\\* \\[b\\](c) @\u2060d \\<e\\>"
