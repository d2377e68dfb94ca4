import unittest

from accounts import transfer


class Transfer(unittest.TestCase):
    def test_moves_money(self):
        balances = {"a": 100, "b": 0}
        transfer(balances, "a", "b", 60)
        self.assertEqual(balances, {"a": 40, "b": 60})

    def test_too_little_money_changes_nothing(self):
        balances = {"a": 100, "b": 0}
        with self.assertRaises(ValueError):
            transfer(balances, "a", "b", 101)
        self.assertEqual(balances, {"a": 100, "b": 0})
