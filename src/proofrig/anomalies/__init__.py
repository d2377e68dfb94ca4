"""Structural anomalies of a run, found without a judge: loops, floods, drift; and what to do."""
