"""The sum of a shopping cart."""


def total_cents(lines, discount_percent=0):
    """What the lines (cents, quantity) cost together, less the discount on the whole sum,
    rounded half up to a cent."""
    total = sum(cents * quantity for cents, quantity in lines)
    return int(total * (1 - discount_percent / 100))
