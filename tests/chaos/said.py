"""What the actors of the chaos are told, tell each other, and publish. Every message bears a number of its sender."""

from protocol.address import Address
from protocol.message import Command, Event
from protocol.work import Work

# told from outside: ``by`` is who tells, ``n`` counts what they told this actor


class Told(Command):
    by: str
    n: int


class Count(Told):
    """Only that it was heard."""


class Transfer(Told):
    to: Address
    amount: int


class SetTimer(Told):
    timer: str
    seconds: float


class DropTimer(Told):
    timer: str


class Spread(Told):
    """Tell every ear."""

    ears: tuple[Address, ...]


class Talk(Told):
    """Publish so many facts."""

    facts: int


class Job(Told):
    """Have something done by a worker."""


class Push(Told):
    """Tell one whose mailbox may be full."""

    to: Address


class Fail(Told):
    """Make the step fail: the mail is to be in DEAD once, and the actor goes on."""


class Raise(Told):
    """Bring a child to life, the ``life``-th time."""

    life: int


class Poke(Told):
    """Let a child hear something in this life, if it lives."""

    life: int


class End(Told):
    """Let a child leave this life."""

    life: int


# said between actors: ``n`` counts what its sender has told this receiver


class Hear(Command):
    n: int


class Credit(Command):
    n: int
    amount: int


class Live(Command):
    birth = True
    n: int
    life: int


class Poked(Command):
    n: int
    life: int


class Die(Command):
    n: int
    life: int


# by timers and workers


class Rang(Event):
    timer: str
    n: int


class Do(Work):
    n: int


class Did(Event):
    n: int


# facts


class Fact(Event):
    n: int


class Born(Event):
    life: int


class Ended(Event):
    life: int
    pokes: int


class Shown(Event):
    """A card of the chaos; nobody looks."""

    n: int
