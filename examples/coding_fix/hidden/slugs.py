import unittest

from slugs import slug


class Hidden(unittest.TestCase):
    def test_runs_of_signs(self):
        self.assertEqual(slug("Salt & Pepper -- again"), "salt-pepper-again")

    def test_signs_at_the_ends(self):
        self.assertEqual(slug("(What now?!)"), "what-now")
