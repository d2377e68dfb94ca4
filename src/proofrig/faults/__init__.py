"""Faults: one file each, what is done to agents and their surroundings, and said on the history."""
