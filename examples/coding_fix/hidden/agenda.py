import unittest

from agenda import free
from spans import merged


class Hidden(unittest.TestCase):
    def test_order(self):
        self.assertEqual(merged([(5, 6), (1, 2)]), [(1, 2), (5, 6)])

    def test_touching(self):
        self.assertEqual(merged([(1, 2), (2, 3)]), [(1, 3)])

    def test_one_inside_the_other(self):
        self.assertEqual(merged([(1, 9), (2, 3)]), [(1, 9)])
        self.assertEqual(free([(60, 180), (70, 90)], 0, 200), [(0, 60), (180, 200)])

    def test_meetings_outside_the_day(self):
        self.assertEqual(free([(0, 30), (20, 70)], 60, 100), [(70, 100)])
        self.assertEqual(free([(10, 20)], 60, 100), [(60, 100)])
        self.assertEqual(free([(120, 130)], 60, 100), [(60, 100)])
