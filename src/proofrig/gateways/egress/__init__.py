"""The egress gateway: an HTTP and HTTPS proxy for whatever else an agent calls.

agent ── front ──┬── CONNECT ──┬── tunnel ──────────────────────── host
                 │             └── TLS ended here (opt-in) ──┐
                 └── plain requests ─────────────────────────┴── requests ── host, or the rig
"""
