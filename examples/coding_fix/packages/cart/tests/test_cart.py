import unittest

from cart import total_cents


class TotalCents(unittest.TestCase):
    def test_no_discount(self):
        self.assertEqual(total_cents([(250, 2), (100, 1)]), 600)

    def test_discount_on_the_sum(self):
        self.assertEqual(total_cents([(999, 1), (999, 1)], 50), 999)
