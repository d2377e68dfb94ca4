"""What a suite may say of its boxes."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from proofrig.suites.sandbox import SandboxSettings


def test_a_suite_that_says_nothing_asks_for_no_level() -> None:
    settings = SandboxSettings()
    assert (settings.isolation, settings.root, settings.files) == (None, "host", ())


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"isolation": "docker"}, "'process', 'namespace', 'container', 'gvisor' or 'vm'"),
        ({"root": "/srv"}, "'host' or 'image'"),
        ({"level": "vm"}, "level"),
        ({"image": {"packages": ["Git!"]}}, "image.packages"),
    ],
)
def test_what_means_nothing_is_refused(written: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        SandboxSettings.model_validate(written)
    told = str(refused.value)
    assert said in told.replace("\n", ".")
