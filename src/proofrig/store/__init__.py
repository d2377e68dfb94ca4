"""Runs and their results, kept: SQLite by default, any SQLAlchemy URL by choice."""

from __future__ import annotations

from proofrig.store.store import RunRecord, Store, engine_of

__all__ = ["RunRecord", "Store", "engine_of"]
