"""A call on its way out."""

from __future__ import annotations

import pytest

from proofrig.wire.outbound import Outbound


@pytest.mark.parametrize(
    ("scope", "agent"),
    [
        ("acme/shop/clerk/r1", "clerk"),
        ("acme/shop/clerk/r1/researcher/deep", "clerk"),
        ("acme/shop/clerk", "clerk"),
        ("unattributed", ""),
        ("", ""),
    ],
)
def test_the_agent_is_the_third_level_of_the_scope(scope: str, agent: str) -> None:
    call = Outbound(
        surface="llm", form="messages", action="", name="", token="", trial="", scope=scope
    )
    assert call.agent == agent
