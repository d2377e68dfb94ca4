"""A slice of `make verdicts`: the support desk with one call more, told whatever the verdict is."""

from __future__ import annotations

import json
from pathlib import Path

from slow.verdicts import Desk, worse


def test_another_use_of_tools_is_told(tmp_path: Path) -> None:
    found = Desk(tmp_path, repeats=1).pair("same", "chatty", seed=1)
    assert found["verdict"] != "regressed"
    told = [json.dumps(line) for line in found["behaviour"] if line.get("certain")]
    assert any("list_orders" in line for line in told), found["behaviour"]


def test_the_worse_agent_errs_more_often() -> None:
    assert (
        worse('RATES = {\n    "a": 0.04,\n}\nrest 0.04')
        == 'RATES = {\n    "a": 0.0700,\n}\nrest 0.04'
    )
