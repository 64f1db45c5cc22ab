"""Which cells have their record at hand: those that were at work last. All others hold it as the bytes that are stored.

A record in bytes takes a fifth of the room, and to read it takes some microseconds; so many can be awake in little
memory, and those who are busy do not notice.
"""

from typing import Protocol

ROOM = 1024
"""Records that are at hand in one host."""


class Folding(Protocol):
    """Whoever can make itself small."""

    def fold(self) -> None:
        """Keep the record as bytes until it is needed."""


class Shelf:
    """Has room for some; who was not used for longest is folded."""

    def __init__(self, room: int = ROOM) -> None:
        """Be empty."""
        self._room = room
        self._ready: dict[Folding, None] = {}

    def __len__(self) -> int:
        """Count those whose record is at hand."""
        return len(self._ready)

    def put(self, one: Folding) -> None:
        """Take in who was used just now."""
        self._ready.pop(one, None)
        self._ready[one] = None
        if len(self._ready) > self._room:
            oldest = next(iter(self._ready))
            del self._ready[oldest]
            oldest.fold()

    def drop(self, one: Folding) -> None:
        """Forget who is no more."""
        self._ready.pop(one, None)
