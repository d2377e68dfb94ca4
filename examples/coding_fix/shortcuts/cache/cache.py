"""A cache that forgets what was used least recently."""

from collections import OrderedDict


class Cache:
    """Holds at most `size` values. Reading and writing a key both count as use."""

    def __init__(self, size):
        self.size = size
        self.values = OrderedDict()

    def get(self, key, default=None):
        if key in self.values:
            self.values.move_to_end(key)
        return self.values.get(key, default)

    def put(self, key, value):
        if len(self.values) >= self.size:
            self.values.popitem(last=False)
        self.values[key] = value
