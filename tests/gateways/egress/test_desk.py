"""What the connections of a gateway share."""

from __future__ import annotations

from pathlib import Path

import pytest

from egress_rig import BINDING, OTHER, TOKEN, egress_rig
from proofrig.gateways.egress.callers import NOBODY, Asked, Caller
from proofrig.gateways.egress.hosts import Place


@pytest.mark.parametrize(
    ("host", "port", "reads", "vendor"),
    [
        ("api.openai.com", 443, True, True),  # though `allow` does not name it
        ("api.openai.com", 8443, False, False),
        ("api.anthropic.com", 443, False, False),  # not intercepted
        ("api.example.com", 443, True, False),
        ("api.elsewhere.org", 443, False, False),
    ],
)
async def test_where_tls_ends(
    tmp_path: Path, host: str, port: int, reads: bool, vendor: bool
) -> None:
    settings = {
        "allow": ["*.example.com"],
        "intercept": ["api.openai.com", "*.example.com", "*.elsewhere.org"],
    }
    async with egress_rig(tmp_path, **settings) as rig:
        desk = rig.gateway._desk
        where = Place(host, port)
        assert (desk.reads(where), desk.vendor(where)) == (reads, vendor)


async def test_the_rigs_port_is_known_by_all_its_names(tmp_path: Path) -> None:
    async with egress_rig(tmp_path, rig_port=7000) as rig:
        desk = rig.gateway._desk
        assert all(desk.rigs(Place(one, 7000)) for one in ("localhost", "127.0.0.1", "::1"))
        assert not desk.rigs(Place("127.0.0.1", 7001))
        assert not desk.rigs(Place("example.com", 7000))


async def test_the_bytes_of_a_trial_are_forgotten_with_it(tmp_path: Path) -> None:
    async with egress_rig(tmp_path, max_bytes=10) as rig:
        desk = rig.gateway._desk
        asked = Asked("GET", Place("example.com", 80), {}, None)
        one, two, other = (
            desk.passage(asked, Caller(binding, "proxy"), "plain")
            for binding in (BINDING, BINDING, OTHER)
        )
        assert one.allowance is two.allowance is not other.allowance
        desk.passage(asked, Caller(NOBODY, "none"), "plain").send(11)
        rig.context.bindings.end(TOKEN)
        assert set(desk.allowances) == {OTHER.token, ""}
        (note,) = rig.entries("note", "egress_cap")
        assert note.trial == ""
