"""The plan of the sample repository: three tickets and what whoever works on them should know.

Each ticket is written for an agent that thinks; the block at its end is for the demo agent, which does not.
"""

_FIX = """## Goal

`python3 -m unittest` fails: `total` in `basket.py` adds up the price of one piece of each item and forgets how many
there are. Make `test_every_piece_is_counted` pass.

## Tasks

- Run the tests and see the failure.
- Correct `total`. Leave the tests as they are.
- Run the tests again: all of them pass.
- Commit the change with the title of this ticket as the message.
"""

_FIX_STEPS = """- say: Let me see the failure first.
- run: {cmd: python3 -m unittest, expect: fail}
- say: total adds up the prices and forgets the counts. Three apples cost as much as one, and that is the failure.
- edit:
    path: basket.py
    old: return sum(item.cents for item in items)
    new: return sum(item.count * item.cents for item in items)
- run: python3 -m unittest
- say: All tests pass now. I commit the correction.
"""

_FEATURE = """## Goal

Regular customers get a discount: `python3 basket.py --discount 10` takes ten percent off the total.

## Tasks

- Add `discounted(cents, percent)` to `basket.py`: it returns the cents that are left to pay, rounded to whole cents.
- Let `main` take `--discount PERCENT`; without it nothing is taken off.
- Add a test of `discounted` to `test_basket.py`.
- Run the tests: all of them pass.
- Commit the change with the title of this ticket as the message.
"""

_FEATURE_STEPS = '''- say: The discount gets a function of its own, so that it can be tested without the command line.
- edit:
    path: basket.py
    old: |
      def main():
          """Add up the basket on stdin."""
          items = [read(line) for line in sys.stdin if line.strip()]
          print(f"total {total(items) / 100:.2f}")
    new: |
      def discounted(cents, percent):
          """Return what is left to pay when some percent are taken off, in whole cents."""
          return round(cents * (100 - percent) / 100)


      def main():
          """Add up the basket on stdin."""
          parser = argparse.ArgumentParser(description="Add up the basket on stdin.")
          parser.add_argument("--discount", type=float, default=0, metavar="PERCENT", help="percent to take off")
          percent = parser.parse_args().discount
          items = [read(line) for line in sys.stdin if line.strip()]
          print(f"total {discounted(total(items), percent) / 100:.2f}")
- edit: {path: basket.py, old: "import sys\\n", new: "import argparse\\nimport sys\\n"}
- say: Now a test for it.
- edit:
    path: test_basket.py
    old: from basket import Item, read, total
    new: from basket import Item, discounted, read, total
- edit:
    path: test_basket.py
    old: |2


      if __name__ == "__main__":
    new: |2

          def test_a_discount_leaves_whole_cents(self):
              self.assertEqual(discounted(370, 10), 333)
              self.assertEqual(discounted(999, 0), 999)


      if __name__ == "__main__":
- run: python3 -m unittest
- say: Ten percent off 3.70 is 3.33, and the old tests still pass.
'''

_DOCUMENT = """## Goal

Nobody can guess how `basket.py` wants its input. The README says it.

## Tasks

- Add a section `## Usage` to `README.md` with an example that can be pasted into a shell, one with `--discount`, and
  what they print. Run the examples to be sure.
- Commit the change with the title of this ticket as the message.
"""

_DOCUMENT_STEPS = """- say: I try the examples before I write them down.
- run: printf '3 apples 0.40\\n1 bread 2.50\\n' | python3 basket.py
- run: printf '3 apples 0.40\\n1 bread 2.50\\n' | python3 basket.py --discount 10
- edit:
    path: README.md
    old: |
      Adds up a shopping basket. Needs nothing but Python; `python3 -m unittest` runs the tests.
    new: |
      Adds up a shopping basket. Needs nothing but Python; `python3 -m unittest` runs the tests.

      ## Usage

      Each line says how many, what, and the price of one:

          $ printf '3 apples 0.40\\n1 bread 2.50\\n' | python3 basket.py
          total 3.70

      A discount is given in percent:

          $ printf '3 apples 0.40\\n1 bread 2.50\\n' | python3 basket.py --discount 10
          total 3.33
- say: The README says now how to use the basket, with examples that I have run.
"""

_TICKETS = (
    ("TICKET-001-count-every-piece.md", "Count every piece in the basket", _FIX, _FIX_STEPS),
    ("TICKET-002-give-a-discount.md", "Give a discount", _FEATURE, _FEATURE_STEPS),
    ("TICKET-003-say-how-to-use-it.md", "Say how to use the basket", _DOCUMENT, _DOCUMENT_STEPS),
)

_TICKET = """---
title: {title}
agent: {agent}
done: false
---

{body}
The steps below are for the demo agent, which has no model. Any other agent passes over them.

```demo
- pace: {pace}
{steps}```
"""

DOCUMENTS = {
    "active_context.md": """# Active context

`basket.py` adds up a shopping basket. One of its tests fails; the tickets mend that, then add a discount and a README
section on how to use it.
""",
    "decisions.md": """# Decisions

- The standard library is enough: no dependencies.
- Money is kept in whole cents.
""",
    "spec.md": """# Spec

`basket.py` reads a basket from stdin, one line for each thing (`3 apples 0.40`: how many, what, the price of one), and
prints one line: `total` and the sum. `python3 -m unittest` must pass after every ticket.
""",
}


def write_tickets(agent: str, pace: float) -> dict[str, str]:
    """Return the text of each ticket by its file name. ``pace`` is what a word of the demo agent takes, in seconds."""
    return {
        name: _TICKET.format(title=title, agent=agent, body=body, pace=pace, steps=steps)
        for name, title, body, steps in _TICKETS
    }
