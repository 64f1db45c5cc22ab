"""What may go wrong on the stage, decided by a seed: the same seed is the same misfortune."""

import random
from collections import Counter
from collections.abc import Sequence
from typing import Literal, TypeVar

T = TypeVar("T")

Name = Literal[
    "cut before it is saved",
    "cut before it is posted",
    "cut while it is posted",
    "cut before it is settled",
    "the host is gone",
    "settled in vain",
    "said twice",
    "said again much later",
    "done twice",
    "heard twice",
    "fired twice",
    "ended twice",
]


class Cut(Exception):
    """The host is cut off here, in the middle of a delivery."""


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
