"""What is asked: suites, cases, worlds."""

from __future__ import annotations

from proofrig.suites.case import Case, Message, World
from proofrig.suites.limits import TrialLimits
from proofrig.suites.load import load_suite
from proofrig.suites.suite import Defaults, Planned, Retries, Suite
from proofrig.suites.world import Manifest, WorldStart, build_world, manifest

__all__ = [
    "Case",
    "Defaults",
    "Manifest",
    "Message",
    "Planned",
    "Retries",
    "Suite",
    "TrialLimits",
    "World",
    "WorldStart",
    "build_world",
    "load_suite",
    "manifest",
]
