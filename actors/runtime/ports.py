"""What the runtime needs of the world: NATS gives it, and so does memory.

Every method may raise ``Unreachable``; it says nothing about whether the deed was done, so all of them are safe to be
repeated with the same arguments.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

from protocol.address import Address
from protocol.envelope import Envelope
from protocol.errors import CarError

MAILBOX = 200
"""Mails that one mailbox holds before it refuses."""


class Conflict(CarError):
    """Somebody else has written the record since it was read."""


@dataclass(frozen=True, slots=True)
class Mail:
    """One envelope as it lies in the mailbox of ``to``: ``seq`` in the stream of ``epoch``, stored ``at``."""

    to: Address
    envelope: Envelope
    epoch: str
    seq: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Delivery:
    """A mail at the door. It comes again until it is settled."""

    mail: Mail
    settle: Callable[[], Awaitable[None]]


class Stored(NamedTuple):
    """A record as the store has it; the revision rises with every write to the store. One that was deleted is empty."""

    data: bytes
    revision: int


Take = Callable[[Delivery], None]
Leave = Callable[[Callable[[Address], bool]], None]
"""Says of which mailboxes no more comes: another host reads them now."""


class Post(Protocol):
    """Carries what actors say."""

    async def send(self, to: Address, envelope: Envelope) -> int:
        """Store an envelope for its receiver and return its sequence, or raise ``Full``. The same ids twice are one."""

    async def reply(self, inbox: str, envelope: Envelope) -> None:
        """Answer somebody who waits, if they still do."""

    async def publish(self, me: Address, row: Envelope) -> None:
        """Keep a fact (one letter) in the log of events."""

    async def kept(self, me: Address, since: datetime) -> frozenset[str]:
        """Return the ids of the facts of an actor that were kept at this time or later."""

    async def bury(self, to: Address, envelope: Envelope, why: str) -> None:
        """Keep what could not be handled by (or brought to) its receiver."""


class Epochs(Protocol):
    """The epochs of a stream."""

    def of(self, seq: int) -> str:
        """Return the name of the epoch that a sequence belongs to."""


class Store(Protocol):
    """Remembers one record for each actor."""

    @property
    def epochs(self) -> Epochs:
        """Return the epochs of the revisions."""

    async def load(self, me: Address) -> Stored | None:
        """Return the record, if there is one."""

    async def save(self, me: Address, data: bytes, revision: int, ttl: float = 0) -> int:
        """Write a record over that revision (0: there is none) and return the new one, or raise ``Conflict``.

        With ``ttl`` it is forgotten after so many seconds.
        """


class Timers(Protocol):
    """Remember what is to be said later; they fire into the mailbox, not early, at least once."""

    async def set(self, me: Address, name: str, generation: int, due: datetime) -> None:
        """Set a timer. Each generation is one of its own, so that one that is set late replaces none."""

    async def cancel(self, me: Address, name: str, generation: int) -> None:
        """Forget one setting of a timer."""


class Intake(Protocol):
    """Brings the mail of this host's actors, each mailbox in order, the unsettled first after a restart."""

    async def run(self, take: Take, leave: Leave) -> None:
        """Hand over deliveries until cancelled."""


class Crew(Protocol):
    """The hosts that are alive, as far as one of them must know the others."""

    def reads(self, kind: str, own: int) -> int:
        """Return the newest version of a kind's records that all of them read; ``own`` is the one that we read."""

    def newer(self) -> bool:
        """Tell whether one of them is of a newer release than we."""

    def decline(self, me: Address) -> None:
        """Leave a mailbox, and those that are read with it, to a newer host."""


class Alone:
    """The crew of a house of one host."""

    def reads(self, kind: str, own: int) -> int:
        """Return what we read."""
        del kind
        return own

    def newer(self) -> bool:
        """Find nobody."""
        return False

    def decline(self, me: Address) -> None:
        """Have nobody to leave it to."""


Clock = Callable[[], datetime]


def machine_clock() -> datetime:
    """Return the time of this machine."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Ports:
    """The whole outside of the runtime."""

    post: Post
    store: Store
    timers: Timers
    intake: Intake
    crew: Crew = Alone()  # noqa: RUF009  # it holds nothing
    clock: Clock = machine_clock
    """The server's time, as far as it is known: no host's own clock is trusted."""
