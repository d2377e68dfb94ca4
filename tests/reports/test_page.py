"""Templates escape, and refuse names they do not know; what lies beside them is put in as it is."""

from __future__ import annotations

import jinja2
import pytest

from proofrig.reports.page import read, template


def test_files_are_joined_as_they_are() -> None:
    both = str(read("report.css", "trend.css"))
    assert both == str(read("report.css")) + str(read("trend.css"))
    assert ">" in both, "a style sheet is not escaped"


def test_a_template_refuses_names_it_does_not_know() -> None:
    with pytest.raises(jinja2.UndefinedError):
        template("trend.html").render()
    assert template("trend.html").environment.from_string("{{ x }}").render(x="<b>") == "&lt;b&gt;"
