"""Which package a path names."""

from __future__ import annotations

import pytest

from proofrig.gateways.egress.registry import fetched

HASH = "/packages/5f/37/0d1e9e"


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        (f"{HASH}/idna-3.7-py3-none-any.whl", ("pip", "idna", "3.7", False)),
        ("/mirror/+f/ab/idna-3.7-py3-none-any.whl", ("pip", "idna", "3.7", False)),
        (f"{HASH}/a_b-1.0.dev1-1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
         ("pip", "a_b", "1.0.dev1", False)),
        (f"{HASH}/idna-3.7-py3-none-any.whl.metadata", ("pip", "idna", "3.7", True)),
        (f"{HASH}/python-dateutil-2.9.0.post0.tar.gz",
         ("pip", "python-dateutil", "2.9.0.post0", False)),
        ("/left-pad/-/left-pad-1.3.0.tgz", ("npm", "left-pad", "1.3.0", False)),
        ("/@types/node/-/node-20.1.0-beta.1.tgz", ("npm", "@types/node", "20.1.0-beta.1", False)),
        ("/debian/pool/main/libs/libstdc++6_12.2.0-14+deb12u1_amd64.deb",
         ("apt", "libstdc++6", "12.2.0-14+deb12u1", False)),
        ("/debian/pool/x/tzdata_1:2024a-0_all.deb", ("apt", "tzdata", "1:2024a-0", False)),
    ],
)  # fmt: skip
def test_a_package_is_known_by_its_path(path: str, wanted: tuple[str, str, str, bool]) -> None:
    assert fetched(path) == wanted


@pytest.mark.parametrize(
    "path",
    [
        "", "/", "/simple/idna/", "/left-pad", "/idna.whl", "/idna-3.7.whl",
        "/owner/tool/archive/refs/tags/v1.2.tar.gz", "/tool-1.2.tar.gz", "/x-1.tgz", "/x.deb",
        "/dists/bookworm/InRelease", "/a-1.0-py3-none-any.whl/more", "/" + "a" * 5000 + ".whl",
        "/packages/" + "-1" * 4000 + ".zip", "/@a/" * 2000, "/-/" * 3000,
    ],
)  # fmt: skip
def test_anything_else_is_none(path: str) -> None:
    assert fetched(path) is None
