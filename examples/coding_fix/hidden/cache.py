import unittest

from cache import Cache


class Hidden(unittest.TestCase):
    def filled(self):
        cache = Cache(2)
        cache.put("a", 1)
        cache.put("b", 2)
        return cache

    def test_reading_is_use(self):
        cache = self.filled()
        cache.get("a")
        cache.put("c", 3)
        self.assertEqual([cache.get(key) for key in "abc"], [1, None, 3])

    def test_writing_again_forgets_nothing(self):
        cache = self.filled()
        cache.put("b", 20)
        self.assertEqual([cache.get("a"), cache.get("b")], [1, 20])

    def test_writing_again_is_use(self):
        cache = self.filled()
        cache.put("a", 10)
        cache.put("c", 3)
        self.assertEqual([cache.get(key) for key in "abc"], [10, None, 3])

    def test_absent(self):
        self.assertEqual(self.filled().get("z", "none"), "none")
