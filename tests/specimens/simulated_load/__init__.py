"""Systems under load in virtual time, good and bad, of which we know how they are.

SPECIMENS: (name, variant, kind of finding that is expected or None, checker, history of a seed).
"""

from specimens.simulated_load import bursts, pools, quotas, results

SPECIMENS = [*quotas.SPECIMENS, *pools.SPECIMENS, *bursts.SPECIMENS, *results.SPECIMENS]
