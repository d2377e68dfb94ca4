import unittest

from pages import page_count


class Hidden(unittest.TestCase):
    def test_full_pages(self):
        self.assertEqual([page_count(10, 5), page_count(5, 5)], [2, 1])

    def test_short_pages(self):
        self.assertEqual([page_count(11, 5), page_count(1, 5)], [3, 1])

    def test_nothing(self):
        self.assertEqual(page_count(0, 5), 0)
