"""The store's tables. `rate`, `low` and `high` are null where nothing was measured.

Rules:
1. A table, once released, is never altered: stores are files that older versions made. What is new
   gets a table of its own, or a place in a JSON column.
"""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()

runs = sa.Table(
    "runs",
    metadata,
    sa.Column("run", sa.String, primary_key=True),
    sa.Column("suite", sa.String, nullable=False, index=True),
    sa.Column("suite_digest", sa.String, nullable=False),
    sa.Column("path", sa.String, nullable=False),
    sa.Column("started_ns", sa.BigInteger, nullable=False),
    sa.Column("finished_ns", sa.BigInteger, nullable=False),
    sa.Column("status", sa.String, nullable=False),
    sa.Column("verdict", sa.String, nullable=False),
    sa.Column("exit_code", sa.Integer, nullable=False),
    sa.Column("manifest", sa.JSON, nullable=False),
)

scores = sa.Table(
    "scores",
    metadata,
    sa.Column("run", sa.String, primary_key=True),
    sa.Column("kind", sa.String, primary_key=True),  # overall, case, tag, difficulty
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("trials", sa.Integer, nullable=False),
    sa.Column("measured", sa.Integer, nullable=False),
    sa.Column("passed", sa.Integer, nullable=False),
    sa.Column("rate", sa.Float),
    sa.Column("low", sa.Float),
    sa.Column("high", sa.Float),
    sa.Column("k", sa.Integer, nullable=False),
    sa.Column("pass_hat_k", sa.Float),
    sa.Column("usd_micro", sa.BigInteger, nullable=False),
    sa.Column("tokens", sa.BigInteger, nullable=False),
    sa.Column("duration_p50_ns", sa.Float),
)

trials = sa.Table(
    "trials",
    metadata,
    sa.Column("run", sa.String, primary_key=True),
    sa.Column("trial", sa.String, primary_key=True),
    sa.Column("case_id", sa.String, nullable=False),
    sa.Column("repeat", sa.Integer, nullable=False),
    sa.Column("role", sa.String, nullable=False),
    sa.Column("tenant", sa.String, nullable=False),
    sa.Column("passed", sa.Boolean),
    sa.Column("failure", sa.String, nullable=False),
    sa.Column("score", sa.Float, nullable=False),
    sa.Column("usd_micro", sa.BigInteger, nullable=False),
    sa.Column("tokens", sa.BigInteger, nullable=False),
    sa.Column("llm_calls", sa.Integer, nullable=False),
    sa.Column("tool_calls", sa.Integer, nullable=False),
    sa.Column("duration_ns", sa.BigInteger, nullable=False),
)

# Figures of a run that are drawn over time; scenario "" is the run as a whole.
figures = sa.Table(
    "figures",
    metadata,
    sa.Column("run", sa.String, primary_key=True),
    sa.Column("scenario", sa.String, primary_key=True),
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("value", sa.Float, nullable=False),
)

# A baseline keeps its sample, so that it outlives the directory of its run.
baselines = sa.Table(
    "baselines",
    metadata,
    sa.Column("run", sa.String, primary_key=True),
    sa.Column("branch", sa.String, primary_key=True),
    sa.Column("suite", sa.String, nullable=False, index=True),
    sa.Column("suite_digest", sa.String, nullable=False),
    sa.Column("commit", sa.String, nullable=False),
    sa.Column("saved_ns", sa.BigInteger, nullable=False),
    sa.Column("pinned", sa.Boolean, nullable=False),
    sa.Column("scenarios", sa.JSON, nullable=False),
    sa.Column("conditions", sa.String, nullable=False),
    sa.Column("cases", sa.Integer, nullable=False),
    sa.Column("measured", sa.Integer, nullable=False),
    sa.Column("passed", sa.Integer, nullable=False),
    sa.Column("sample", sa.LargeBinary, nullable=False),  # zlib
)
