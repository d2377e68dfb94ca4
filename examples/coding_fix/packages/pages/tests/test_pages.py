import unittest

from pages import page_count


class PageCount(unittest.TestCase):
    def test_last_page_may_be_short(self):
        self.assertEqual(page_count(11, 5), 3)

    def test_less_than_one_page(self):
        self.assertEqual(page_count(3, 5), 1)
