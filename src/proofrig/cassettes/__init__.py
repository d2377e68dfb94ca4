"""Recordings of what came from outside, and their replay: one directory per recording."""
