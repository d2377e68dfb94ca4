"""The waist: everything that happened in a run, once, in order."""
