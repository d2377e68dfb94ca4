"""Runs and their results, kept: SQLite by default, any SQLAlchemy URL by choice."""

from __future__ import annotations

from proofrig.store.baselines import BaselineRecord, Circumstances
from proofrig.store.lines import Point
from proofrig.store.store import RunRecord, Store, engine_of

__all__ = ["BaselineRecord", "Circumstances", "Point", "RunRecord", "Store", "engine_of"]
