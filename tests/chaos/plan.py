"""Which fault comes when: a deck that is shuffled by the seed, again and again, so that each kind has its share."""

from collections.abc import Iterator
from random import Random

DECK = {
    "kill": 10,
    "kill_all": 1,
    "pause": 3,
    "cut": 3,
    "stall": 2,
    "kill_server": 1,
    "stop_server": 1,
    "slow_disk": 1,
    "fill": 1,
    "shift": 1,
    "roll": 2,
    "repeat": 1,
}
"""How many of each kind one deck holds."""
SHORT = ("kill", "pause", "cut", "kill", "fill", "stall", "kill_server", "repeat", "shift", "roll", "kill", "slow_disk")
"""The deck of a run that is too short for the whole one, in this order."""
WHOLE = 60.0
"""Seconds from which on a run plays whole decks."""


def plan(rng: Random, seconds: float) -> Iterator[str]:
    """Yield the names of faults for ever."""
    if seconds < WHOLE:
        while True:
            yield from SHORT
    while True:
        deck = [kind for kind, count in DECK.items() for _ in range(count)]
        rng.shuffle(deck)
        yield from deck
