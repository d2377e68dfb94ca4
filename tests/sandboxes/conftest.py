"""What tests of sandboxes share: sandboxes that are made once per file, and what they need."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from proofrig.sandboxes import leftovers
from proofrig.sandboxes.namespace import NamespaceSandbox
from proofrig.sandboxes.sandbox import Image


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def namespace() -> AsyncIterator[NamespaceSandbox]:
    """A sandbox of the host's programs, for tests with `loop_scope="module"`."""
    if shutil.which("bwrap") is None:
        pytest.skip("needs bwrap: apt-get install bubblewrap")
    made = NamespaceSandbox()
    await made.prepare(Image())
    yield made
    await made.close()
    leftovers.leave()
