"""Where an agent's processes run."""
