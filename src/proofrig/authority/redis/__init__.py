"""The ledger on Redis, for many processes and machines."""
