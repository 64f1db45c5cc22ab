"""What an actor is: a kind, a birth, a pure step and a pure answer, and how its state was in former versions."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, NamedTuple, Protocol, TypeVar

from actors.runtime.effects import Asker, Effect
from protocol.address import Address
from protocol.errors import CarError, Unreadable
from protocol.message import Message, Query, View

S = TypeVar("S")
T = TypeVar("T")
Old = TypeVar("Old")
New = TypeVar("New")


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


class NoWayDown(CarError):
    """The version before has no words for something in this state: to write it so would lose that."""


class Read(Protocol):
    """Reads the state of a stored record as one of a given class."""

    def __call__(self, kind: type[T], /) -> T:
        """Return the state."""


class Write(Protocol):
    """Writes a record with a state of another class in place of its own."""

    def __call__(self, kind: type[T], state: T, /) -> bytes:
        """Return the bytes."""


class Past(Protocol[S]):
    """All that came before a version whose state is ``S``. ``back`` counts the versions: 1 is the one right before."""

    def up(self, back: int, read: Read) -> S:
        """Read a state of so many versions ago and bring it up; raise ``Unreadable`` where none is so old."""

    def down(self, state: S, back: int, write: Write) -> bytes:
        """Write a state as so many versions ago, or raise ``NoWayDown``."""


@dataclass(frozen=True, slots=True)
class Former(Generic[Old, New]):
    """How the version before was, and the ways between: what its state looked like, from it to ours and back.

    ``rise`` and ``sink`` are pure. Nothing may be lost on the way down: what does not come up again as it was is not
    written so. ``before`` is what came still earlier, as far back as records are to be read.
    """

    state: type[Old]
    rise: Callable[[Old], New]
    sink: Callable[[New], Old]
    before: Past[Old] | None = None

    def up(self, back: int, read: Read) -> New:
        """Read a state of so many versions ago and bring it up; raise ``Unreadable`` where none is so old."""
        if back == 1:
            return self.rise(read(self.state))
        if self.before is None:
            raise Unreadable("so old a version is not known any more")
        return self.rise(self.before.up(back - 1, read))

    def down(self, state: New, back: int, write: Write) -> bytes:
        """Write a state as so many versions ago, or raise ``NoWayDown``."""
        sunk = self.sink(state)
        if self.rise(sunk) != state:
            raise NoWayDown("the version before cannot say all that is in this state")
        if back == 1:
            return write(self.state, sunk)
        if self.before is None:
            raise NoWayDown("so old a version is not known any more")
        return self.before.down(sunk, back - 1, write)


@dataclass(frozen=True, slots=True)
class Actor(Generic[S]):
    """Decides. ``step`` does no I/O, reads no clock and keeps no state; a bug in it may raise, nothing else.

    ``state`` is a frozen dataclass that pydantic can write as JSON and read again. Fields that a reader does not know
    are passed over and lost when it writes, so ``version`` rises with each change that is more than a field with a
    default that nobody needs; ``former`` says then how it was before, so that hosts of both can live side by side.
    """

    kind: str
    state: type[S]
    born: Callable[[Address], S]
    step: Callable[[S, Message, Cause], Step[S]]
    answer: Callable[[S, Query, Cause], View]
    version: int = 1
    budget: Budget = field(default_factory=Budget)
    former: Past[S] | None = None
