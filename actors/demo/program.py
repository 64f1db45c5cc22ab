"""The small program of the sample repository, as it stands before its tickets are worked on."""

PROGRAM = '''"""Add up a shopping basket: one line for each thing, with how many, what, and the price of one."""

import sys
from typing import NamedTuple


class Item(NamedTuple):
    """Some pieces of one thing; the price of one piece is in cents."""

    count: int
    name: str
    cents: int


def read(line):
    """Read a line such as ``3 apples 0.40``."""
    count, name, price = line.split()
    return Item(int(count), name, round(float(price) * 100))


def total(items):
    """Return what all items cost together, in cents."""
    return sum(item.cents for item in items)


def main():
    """Add up the basket on stdin."""
    items = [read(line) for line in sys.stdin if line.strip()]
    print(f"total {total(items) / 100:.2f}")


if __name__ == "__main__":
    main()
'''

TEST = '''"""What the basket must get right."""

import unittest

from basket import Item, read, total


class BasketTest(unittest.TestCase):
    def test_a_line_is_an_item(self):
        self.assertEqual(read("3 apples 0.40"), Item(3, "apples", 40))

    def test_an_empty_basket_costs_nothing(self):
        self.assertEqual(total([]), 0)

    def test_every_piece_is_counted(self):
        self.assertEqual(total([Item(3, "apples", 40), Item(1, "bread", 250)]), 370)


if __name__ == "__main__":
    unittest.main()
'''

README = """# basket

Adds up a shopping basket. Needs nothing but Python; `python3 -m unittest` runs the tests.
"""

IGNORED = """__pycache__/
"""

FILES = {"basket.py": PROGRAM, "test_basket.py": TEST, "README.md": README, ".gitignore": IGNORED}
