"""Which engine is taken. What its boxes do is in test_contained."""

from __future__ import annotations

from pathlib import Path

import pytest

from proofrig.sandboxes.container import ContainerSandbox
from proofrig.sandboxes.sandbox import Image, Unavailable

PROGRAMS = {
    "docker": "#!/bin/sh\necho 'Cannot connect to the Docker daemon' >&2; exit 1\n",
}


@pytest.mark.parametrize(
    ("installed", "reason"),
    [((), "docker is not installed"), (("docker",), "Cannot connect to the Docker daemon")],
    ids=["neither", "no daemon"],
)
async def test_without_an_engine_there_is_a_reason_for_each(
    installed: tuple[str, ...], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in installed:
        (tmp_path / name).write_text(PROGRAMS[name])
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    image = Image("x", root=str(tmp_path), interpreter="/usr/bin/python3")
    with pytest.raises(Unavailable) as refused:
        await ContainerSandbox().prepare(image)
    assert "apt-get install podman" in str(refused.value)
    assert reason in str(refused.value)
