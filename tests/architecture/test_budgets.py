"""Sizes: small files, short functions, few parameters."""

from __future__ import annotations

import ast
from pathlib import Path
from statistics import median

import pytest

SRC = Path(__file__).parents[2] / "src" / "proofrig"
FILES = sorted(SRC.rglob("*.py"))
FILE_MEDIAN, FILE_MAX, FUNCTION_MAX, PARAMETERS_MAX = 180, 400, 60, 5


def name(path: Path) -> str:
    return str(path.relative_to(SRC))


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(path.read_text())
    return [n for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))]


def test_the_median_file_is_small() -> None:
    assert median(len(path.read_text().splitlines()) for path in FILES) <= FILE_MEDIAN


@pytest.mark.parametrize("path", FILES, ids=name)
def test_no_file_is_long(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= FILE_MAX


@pytest.mark.parametrize("path", FILES, ids=name)
def test_no_function_is_long(path: Path) -> None:
    long = {f.name: f.end_lineno - f.lineno + 1 for f in functions(path) if f.end_lineno}
    assert {n: size for n, size in long.items() if size > FUNCTION_MAX} == {}


@pytest.mark.parametrize("path", FILES, ids=name)
def test_no_function_takes_many_positional_parameters(path: Path) -> None:
    """Keyword-only parameters name themselves at the call; positional ones past five do not.
    Commands of the command line are exempt: there the parameters are the interface."""
    if path.parent.name == "cli":
        return
    found = {}
    for function in functions(path):
        given = [a.arg for a in function.args.posonlyargs + function.args.args]
        count = len([a for a in given if a not in ("self", "cls")])
        if count > PARAMETERS_MAX:
            found[function.name] = count
    assert found == {}


@pytest.mark.parametrize("path", FILES, ids=name)
def test_every_file_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text())), "a file opens with what it is"
