import unittest

from rows import fields


class Hidden(unittest.TestCase):
    def test_plain(self):
        self.assertEqual(fields("a,b,,c"), ["a", "b", "", "c"])
        self.assertEqual(fields(""), [""])

    def test_quoted(self):
        self.assertEqual(fields('1,"Hull, East",3'), ["1", "Hull, East", "3"])
        self.assertEqual(fields('"",x'), ["", "x"])

    def test_doubled_quotes(self):
        self.assertEqual(fields('a,"say ""hi"", then go",b'), ["a", 'say "hi", then go', "b"])
        self.assertEqual(fields('"""",x'), ['"', "x"])
