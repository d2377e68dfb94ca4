"""What a case expects of its agent under faults: one file per expectation.

`Expect` is what a case writes under `expect`; `judged` says what came of it in one trial.
"""

from __future__ import annotations

from proofrig.verifiers.expectations.expect import Expect, Judged, judged
from proofrig.verifiers.expectations.outcome import Tried

__all__ = ["Expect", "Judged", "Tried", "judged"]
