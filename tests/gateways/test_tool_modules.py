"""A suite's modules, apart from all others."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from proofrig.gateways.tool_modules import load_module


def suite(root: Path, **files: str) -> Path:
    root.mkdir()
    for name, text in files.items():
        path = root / (name.replace("__in__", "/") + ".py")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return root


def test_two_suites_may_have_modules_of_the_same_names(tmp_path: Path) -> None:
    one = suite(tmp_path / "one", tools="from helpers import N", helpers="N = 1")
    two = suite(tmp_path / "two", tools="import helpers\nN = helpers.N", helpers="N = 2")
    assert (load_module(one, "tools").N, load_module(two, "tools").N) == (1, 2)
    assert "helpers" not in sys.modules
    assert sorted(os.listdir(one)) == ["helpers.py", "tools.py"]


def test_siblings_are_found_late_and_shadow_nothing_of_ours(tmp_path: Path) -> None:
    folder = suite(
        tmp_path / "s",
        tools="def late():\n    import json\n    import os.path\n    return json.MINE, os.path.sep",
        json="MINE = True",
    )
    assert load_module(folder, "tools").late() == (True, "/")
    assert not hasattr(sys.modules["json"], "MINE")


def test_packages_submodules_and_relative_imports(tmp_path: Path) -> None:
    folder = suite(
        tmp_path / "s",
        tools="import pack.deep\nfrom pack import deep\nN = pack.deep.N + deep.N",
        pack__in____init__="",
        pack__in__deep="from . import base\nN = base.N",
        pack__in__base="N = 3",
    )
    assert load_module(folder, "tools").N == 6
    assert load_module(folder, "pack.base").N == 3


def test_a_folder_does_not_hide_an_installed_module(tmp_path: Path) -> None:
    folder = suite(tmp_path / "s", tools="import json\nN = json.loads('4')", json__in__data="")
    assert load_module(folder, "tools").N == 4


def test_what_the_suite_lacks_is_the_installed_module(tmp_path: Path) -> None:
    folder = suite(tmp_path / "s")
    assert load_module(folder, "json") is sys.modules["json"]
    with pytest.raises(ModuleNotFoundError, match="nowhere_at_all"):
        load_module(folder, "nowhere_at_all")
