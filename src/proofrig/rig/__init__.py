"""The rig: one process with the gateways, the authority and the journal."""
