import unittest

from accounts import transfer


class Hidden(unittest.TestCase):
    def check(self, error, *arguments):
        balances = {"a": 100, "b": 0}
        with self.assertRaises(error):
            transfer(balances, *arguments)
        self.assertEqual(balances, {"a": 100, "b": 0})

    def test_failures_change_nothing(self):
        self.check(ValueError, "a", "b", 101)
        self.check(KeyError, "a", "nobody", 10)
        self.check(KeyError, "nobody", "b", 10)

    def test_amount_is_positive(self):
        self.check(ValueError, "a", "b", -10)
        self.check(ValueError, "a", "b", 0)

    def test_all_the_money(self):
        balances = {"a": 100, "b": 0}
        transfer(balances, "a", "b", 100)
        self.assertEqual(balances, {"a": 0, "b": 100})
