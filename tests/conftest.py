"""What all tests share: trials are kept apart as processes unless a test is about more."""

from __future__ import annotations

import os

os.environ.setdefault("PROOFRIG_ISOLATION", "process")
