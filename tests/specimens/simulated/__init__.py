"""Systems of which we know how they are, good and bad, in virtual time: data and locks.

SPECIMENS: (name, variant, kind of finding that is expected or None, checker, history of a seed).
"""

from specimens.simulated import crashes, holders, stores, updates

MODULES = (updates, stores, holders, crashes)
SPECIMENS = [specimen for module in MODULES for specimen in module.SPECIMENS]
