import unittest

from rows import fields


class Fields(unittest.TestCase):
    def test_plain(self):
        self.assertEqual(fields("a,b,,c"), ["a", "b", "", "c"])

    def test_quoted_comma(self):
        self.assertEqual(fields('1,"Hull, East",3'), ["1", "Hull, East", "3"])
