"""An image's Python: which modules packages offer. That it runs is shown by `test_build`."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from image_parts import wheel
from proofrig.images.python import Python
from proofrig.sandboxes.sandbox import Unavailable


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """What looks like an image with a Python 3.12."""
    for path in ("usr/bin/python3.12", "usr/bin/python3.12-config", "usr/lib64/ld-linux-x.so.2"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    return tmp_path


def install(root: Path, name: str, modules: dict[str, str]) -> None:
    packages = Python(root).packages
    packages.mkdir(parents=True, exist_ok=True)
    zipfile.ZipFile(wheel(root, name, modules)).extractall(packages)


def test_what_is_installed_and_what_it_offers(root: Path) -> None:
    two = {"one/__init__.py": "", "one/sub/__init__.py": "", "two.py": "", "_hidden.py": ""}
    install(root, "My_Package", two)
    install(root, "fast", {"fast.cpython-312-x86_64-linux-gnu.so": "", "data/file.txt": ""})
    install(root, "needed", {"needed/__init__.py": ""})
    python = Python(root)
    assert python.version == "3.12"
    assert python.installed() == {"My_Package": "1.0", "fast": "1.0", "needed": "1.0"}
    assert python.modules_of(["my-package[all]>=1", "fast"]) == ["fast", "one", "two"]
    assert python.modules_of([]) == []


@pytest.mark.parametrize("missing", ["usr/bin/python3.12", "usr/lib64/ld-linux-x.so.2"])
def test_an_image_without_python_is_refused(root: Path, missing: str) -> None:
    (root / missing).unlink()
    with pytest.raises(Unavailable, match="expected usr/"):
        Python(root)
