"""Consoles that print what their output can carry."""

from __future__ import annotations

import io

import pytest

from proofrig.reports.console import WIDEST, Glyphs, glyphs_of, make_console


def test_ascii_where_the_encoding_knows_no_more() -> None:
    ascii_file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    assert glyphs_of(make_console(ascii_file)).passed.isascii()
    assert glyphs_of(make_console(io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))) == Glyphs()


def test_a_console_is_never_wider_than_a_log_can_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    assert make_console(io.StringIO()).width == WIDEST
    assert make_console(io.StringIO(), width=60).width == 60


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    out = io.StringIO()
    make_console(out).print("plain", style="red")
    assert "31m" not in out.getvalue()


def test_nothing_is_read_as_markup() -> None:
    out = io.StringIO()
    make_console(out).print("[red]a[/red] :smile: 12")
    assert out.getvalue() == "[red]a[/red] :smile: 12\n"


def test_a_text_beyond_the_encoding_does_not_end_the_program() -> None:
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii", newline="\n")
    make_console(file).print("naïve …")
    file.seek(0)
    assert file.read().strip() == "na?ve ?"
