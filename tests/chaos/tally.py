"""What an actor keeps of one who speaks to it: enough to prove that each number was heard once, and in order."""

from collections.abc import Iterable
from dataclasses import dataclass

Ranges = tuple[tuple[int, int], ...]
"""Numbers as runs, first and last included, rising."""

_PRIME = (1 << 61) - 1


@dataclass(frozen=True, slots=True)
class Tally:
    """The numbers heard, the newest of them, how many, and a hash over all of them in the order in which they came.

    ``doubled`` and ``reordered`` count what should not be.
    """

    runs: Ranges = ()
    last: int = 0
    count: int = 0
    hash: int = 0
    doubled: int = 0
    reordered: int = 0

    def heard(self, n: int) -> "Tally":
        again = holds(self.runs, n)
        return Tally(
            runs=add(self.runs, n),
            last=max(self.last, n),
            count=self.count + 1,
            hash=roll(self.hash, n),
            doubled=self.doubled + again,
            reordered=self.reordered + (not again and n < self.last),
        )


def roll(hash_: int, n: int) -> int:
    """Add a number to a hash that depends on the order."""
    return (hash_ * 1_000_003 + n) % _PRIME


def rolled(numbers: Iterable[int]) -> int:
    """Return the hash of numbers in this order."""
    hash_ = 0
    for n in numbers:
        hash_ = roll(hash_, n)
    return hash_


def holds(runs: Ranges, n: int) -> bool:
    return any(first <= n <= last for first, last in runs)


def add(runs: Ranges, n: int) -> Ranges:
    """Return the runs with a number more."""
    if holds(runs, n):
        return runs
    merged: list[tuple[int, int]] = []
    for first, last in sorted((*runs, (n, n))):
        if merged and merged[-1][1] + 1 == first:
            merged[-1] = (merged[-1][0], last)
        else:
            merged.append((first, last))
    return tuple(merged)


def numbers(runs: Ranges) -> set[int]:
    return {n for first, last in runs for n in range(first, last + 1)}
