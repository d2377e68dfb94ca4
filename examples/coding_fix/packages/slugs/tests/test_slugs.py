import unittest

from slugs import slug


class Slug(unittest.TestCase):
    def test_words(self):
        self.assertEqual(slug("Hello World"), "hello-world")

    def test_comma(self):
        self.assertEqual(slug("Hello, World"), "hello-world")
