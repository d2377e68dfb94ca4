import unittest

from tags import with_tag


class WithTag(unittest.TestCase):
    def test_starts_empty_each_time(self):
        self.assertEqual(with_tag("red"), ["red"])
        self.assertEqual(with_tag("blue"), ["blue"])

    def test_each_once(self):
        self.assertEqual(with_tag("red", ["red"]), ["red"])
