import unittest

from cart import total_cents


class Hidden(unittest.TestCase):
    def test_half_a_cent_goes_up(self):
        self.assertEqual(total_cents([(333, 1)], 50), 167)
        self.assertEqual(total_cents([(335, 1)], 50), 168)

    def test_sum_first(self):
        self.assertEqual(total_cents([(999, 1), (999, 1)], 50), 999)
        self.assertEqual(total_cents([(5, 1)] * 10, 30), 35)

    def test_empty(self):
        self.assertEqual(total_cents([], 30), 0)
