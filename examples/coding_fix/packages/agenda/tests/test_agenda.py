import unittest

from agenda import free


class Free(unittest.TestCase):
    def test_between(self):
        self.assertEqual(free([(60, 90), (120, 150)], 0, 200), [(0, 60), (90, 120), (150, 200)])

    def test_any_order(self):
        self.assertEqual(free([(120, 150), (60, 90)], 0, 200), [(0, 60), (90, 120), (150, 200)])
