"""Systems on real libraries, servers, files and processes, good and bad, of which we know how they
are: each writes the history of a real run, and says what really happened.

SPECIMENS: `lab.Specimen`, whose run(folder, seed) takes about a second.
"""

from importlib import import_module

from specimens.real.lab import Specimen

# In the order in which they are shown.
MODULES = (
    *("quotas", "retries", "sqlite_counters", "redis_stores", "memory_counters", "replicas"),
    *("caches", "pools", "locks", "crashes", "holders", "results"),
)
SPECIMENS: list[Specimen] = [
    specimen for name in MODULES for specimen in import_module(f"specimens.real.{name}").SPECIMENS
]
