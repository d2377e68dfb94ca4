"""Money on accounts, in cents."""


def transfer(balances, source, target, cents):
    """Move a positive amount. Raises KeyError for an account that is not there and ValueError for
    a bad amount or too little money; a transfer that fails changes nothing."""
    balances[source] -= cents
    if balances[source] < 0:
        raise ValueError(f"{source} has too little money")
    balances[target] += cents
