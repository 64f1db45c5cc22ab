"""All that an actor can ask of the world. There is nothing else."""

from dataclasses import dataclass

from protocol.address import Address
from protocol.message import Event, Message


@dataclass(frozen=True, slots=True)
class Asker:
    """Who waits for an answer: an actor by its address, or somebody outside by an inbox. Fit to be kept in a state."""

    address: Address
    id: str
    inbox: str = ""


@dataclass(frozen=True, slots=True)
class Send:
    """Put a message where its receiver will find it: an actor's mailbox, a worker's queue, a room's cards.

    ``id`` names it where the actor wants to know the answer again by ``cause.re``; else the runtime names it.
    """

    to: Address
    message: Message
    id: str = ""


@dataclass(frozen=True, slots=True)
class Publish:
    """Tell everybody who watches this actor that something happened, and keep it as a fact."""

    event: Event


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer whoever said the message at hand, or (``to``) somebody who asked before."""

    message: Message
    to: Asker | None = None


@dataclass(frozen=True, slots=True)
class After:
    """Say a message to this actor later. A timer of the same ``name`` is replaced."""

    seconds: float
    message: Message
    name: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """Forget a timer: it does not fire after this."""

    name: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Leave: only a message that brings to life is heard by this address after this."""


Effect = Send | Publish | Reply | After | Cancel | Stop
