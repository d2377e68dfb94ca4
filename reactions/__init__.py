"""How unmodified SDKs and agent frameworks react to every fault: measured through a real gateway,
written to docs/fault-reactions.md by `python -m reactions`."""
