"""All that is kept of one actor, written as one value: its state, and what makes that a step takes effect once."""

from datetime import datetime
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from protocol.address import Address
from protocol.envelope import Letter, Mark

S = TypeVar("S")

RECORD_LIMIT = 256_000
"""Bytes of one record."""
OUTBOX_LIMIT = 128_000
"""Bytes of what one step may say."""
WATCHERS = 64
REPLIES = 16
MARK_DAYS = 7


class Part(BaseModel):
    """A value inside a record."""

    model_config = ConfigDict(frozen=True)


class Parcel(Part):
    """Letters for one receiver."""

    kind: Literal["mail"] = "mail"
    to: Address
    letters: tuple[Letter, ...]
    cause: str = ""
    person: str = ""


class Row(Part):
    """A fact for the log of events."""

    kind: Literal["row"] = "row"
    letter: Letter
    cause: str = ""


class Answer(Part):
    """A reply to somebody who waits outside."""

    kind: Literal["answer"] = "answer"
    inbox: str
    letter: Letter


class SetTimer(Part):
    """A timer to be set."""

    kind: Literal["set"] = "set"
    timer: str
    generation: int
    due: datetime


class DropTimer(Part):
    """One setting of a timer to be forgotten; a later one of the same name is another."""

    kind: Literal["drop"] = "drop"
    timer: str
    generation: int = 0


Outgoing = Annotated[Parcel | Row | Answer | SetTimer | DropTimer, Field(discriminator="kind")]


class Timer(Part):
    """A timer that runs: which setting of its name, when it is due, what it will say."""

    generation: int
    due: datetime
    letter: Letter


class Heard(Part):
    """The newest mail of one sending actor."""

    mark: Mark
    at: datetime


class Replied(Part):
    """What somebody outside was answered (nothing, where they were not), in case they ask again."""

    id: str
    letter: Letter | None = None


class Record(Part, Generic[S]):
    """One actor.

    ``last`` is the sequence of its last mail in the mail stream of ``epoch``, which came ``at``; ``written`` is when a
    host wrote this; ``open`` are the ids of commands that workers have not answered; ``stopped`` makes of it a
    tombstone.
    """

    version: int
    state: S
    epoch: str = ""
    last: int = 0
    at: datetime
    nonce: str = ""
    written: datetime | None = None
    marks: dict[str, Heard] = {}
    outbox: tuple[Outgoing, ...] = ()
    timers: dict[str, Timer] = {}
    generation: int = 0
    replies: tuple[Replied, ...] = ()
    open: tuple[str, ...] = ()
    watchers: tuple[Address, ...] = ()
    failures: tuple[datetime, ...] = ()
    quarantine: str = ""
    stopped: bool = False
