"""What may go wrong on the stage: decided by a seed (the same seed is the same misfortune), or as a plan says."""

import random
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Literal, TypeVar

from hypothesis import strategies as st

T = TypeVar("T")

Name = Literal[
    "cut before it is saved",
    "cut before it is posted",
    "cut while it is posted",
    "cut before it is settled",
    "cut when it is put aside",
    "another host is quicker",
    "the answer to a write is lost",
    "the wire is away",
    "the host is gone",
    "settled in vain",
    "said twice",
    "said again much later",
    "done twice",
    "heard twice",
    "fired twice",
    "ended twice",
]
Blow = tuple[Name, int]
"""Something that goes wrong, and the how manieth time that it could have."""


class Cut(BaseException):
    """The host is cut off here, in the middle of a delivery. No wall within the host holds that up."""


class Fortune:
    """Nothing goes wrong, and everything comes in the order in which it was said."""

    def strikes(self, name: Name) -> bool:
        return name == ""

    def cut(self, name: Name) -> None:
        if self.strikes(name):
            raise Cut(name)

    def pick(self, things: Sequence[T]) -> T:
        return things[0]

    def shuffle(self, things: Sequence[T]) -> list[T]:
        return list(things)

    def some(self, most: int) -> int:
        return min(most, 1)


class Misfortune(Fortune):
    """Everything goes wrong now and then, and mailboxes are not served in order."""

    def __init__(self, seed: int, rate: float = 0.06) -> None:
        self.struck: Counter[Name] = Counter()
        self._random = random.Random(seed)  # it shall be foreseeable
        self._rate = rate

    def strikes(self, name: Name) -> bool:
        hit = self._random.random() < self._rate
        self.struck[name] += hit
        return hit

    def pick(self, things: Sequence[T]) -> T:
        return self._random.choice(things)

    def shuffle(self, things: Sequence[T]) -> list[T]:
        return self._random.sample(things, len(things))

    def some(self, most: int) -> int:
        return self._random.randint(min(most, 1), most)


class Plan(Fortune):
    """Goes wrong exactly where it is written down. An empty plan is good fortune, and counts what could go wrong.

    ``turns`` says at which choice something else is taken than what comes first.
    """

    def __init__(self, blows: Collection[Blow] = (), turns: Mapping[int, int] | None = None) -> None:
        self.blows = frozenset(blows)
        self.turns = dict(turns or {})
        self.could: Counter[Name] = Counter()
        self.choices = 0

    def __repr__(self) -> str:
        return f"Plan({sorted(self.blows)}, {self.turns})"

    def strikes(self, name: Name) -> bool:
        self.could[name] += 1
        return (name, self.could[name]) in self.blows

    def pick(self, things: Sequence[T]) -> T:
        return things[self._turn() % len(things)]

    def shuffle(self, things: Sequence[T]) -> list[T]:
        turn = self._turn()
        return random.Random(turn).sample(things, len(things)) if turn else list(things)

    def some(self, most: int) -> int:
        return min(most, 1 + self._turn())

    def _turn(self) -> int:
        self.choices += 1
        return self.turns.get(self.choices, 0)


def plans(could: Plan, most: int = 10) -> st.SearchStrategy[Plan]:
    """Return plans of some blows, that shrink to the shortest that still fails.

    ``could`` is a plan that was empty and is played: it knows what could have gone wrong, and how often. A blow leads
    to more, such as that a host which was cut off is gone.
    """

    def blows(name: Name) -> st.SearchStrategy[Blow]:
        return st.tuples(st.just(name), st.integers(1, could.could[name] + 2))

    chosen = st.lists(st.sampled_from(["the host is gone", *could.could]).flatmap(blows), max_size=most, unique=True)
    turns = st.dictionaries(st.integers(1, max(could.choices, 1)), st.integers(1, 9), max_size=2 * most)
    return st.builds(Plan, chosen, turns)
