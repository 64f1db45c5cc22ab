"""What an actor is: a kind, a birth, a pure step and a pure answer."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, NamedTuple, TypeVar

from actors.runtime.effects import Asker, Effect
from protocol.address import Address
from protocol.message import Message, Query, View

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Cause:
    """What a step may know of the world: the message that led to it, and the time of its arrival.

    ``at`` is the server's time, ``seed`` what makes derived ids unique, ``re`` the id of what is answered.
    """

    me: Address
    at: datetime
    sender: Address
    id: str
    seed: str
    person: str = ""
    re: str = ""
    inbox: str = ""

    @property
    def asker(self) -> Asker:
        """Say who waits for the answer, in a form to be kept."""
        return Asker(self.sender, self.id, self.inbox)

    def derive(self, name: str) -> str:
        """Make an id that is the same each time this step is taken again: 16 hex digits."""
        return hashlib.sha256(f"{self.seed}:{name}".encode()).hexdigest()[:16]


class Step(NamedTuple, Generic[S]):
    """What one message led to: the next state, and what is wanted of the world."""

    state: S
    effects: tuple[Effect, ...] = ()


@dataclass(frozen=True, slots=True)
class Budget:
    """How often the actors of a kind may fail within how many seconds before one is put into quarantine."""

    failures: int = 5
    seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Actor(Generic[S]):
    """Decides. ``step`` does no I/O, reads no clock and keeps no state; a bug in it may raise, nothing else.

    ``state`` is a frozen dataclass that pydantic can write as JSON and read again; ``version`` rises when what was
    written by an older version cannot simply be read.
    """

    kind: str
    state: type[S]
    born: Callable[[Address], S]
    step: Callable[[S, Message, Cause], Step[S]]
    answer: Callable[[S, Query, Cause], View]
    version: int = 1
    budget: Budget = field(default_factory=Budget)
