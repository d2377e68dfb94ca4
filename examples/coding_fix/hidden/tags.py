import unittest

from tags import with_tag


class Hidden(unittest.TestCase):
    def test_starts_empty_each_time(self):
        self.assertEqual([with_tag("a"), with_tag("b")], [["a"], ["b"]])

    def test_argument_stays(self):
        given = ["red"]
        self.assertEqual(with_tag("blue", given), ["red", "blue"])
        self.assertEqual(given, ["red"])

    def test_empty_argument_stays(self):
        given = []
        self.assertEqual(with_tag("blue", given), ["blue"])
        self.assertEqual(given, [])
