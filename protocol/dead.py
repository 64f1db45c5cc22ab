"""What an operator asks about dead letters, and what is done with them: looked at, said once more, thrown away.

A dead letter is named by its sequence in the stream that keeps them. Receivers and senders are written as people type
them: ``repo/shop``.
"""

from datetime import datetime

from protocol.message import Command, Event, Part, Query, View


class ListDead(Query):
    """Which letters could not be handled?

    At most ``limit`` of them from the sequence ``start`` on, of one receiver (``to``) or one kind of receivers.
    """

    start: int = 1
    limit: int = 50
    to: str = ""
    kind: str = ""


class DeadLetter(Part):
    """One envelope that could not be handled: ``names`` are its messages, ``size`` its bytes.

    ``sender`` is who said it, or, where the bytes were not readable (``raw``), the voice in which they came.
    """

    seq: int
    at: datetime
    to: str
    why: str
    size: int
    sender: str = ""
    names: tuple[str, ...] = ()
    raw: bool = False


class Resting(Part):
    """An actor that failed too often and hears nothing until a person lets it go on."""

    who: str
    why: str


class DeadList(View):
    """Some dead letters, the oldest first, of ``total`` that were asked for; ``next`` is where to read on, or 0."""

    letters: tuple[DeadLetter, ...] = ()
    total: int = 0
    next: int = 0
    resting: tuple[Resting, ...] = ()


class ShowDead(Query):
    """What stands in a dead letter?"""

    seq: int


class DeadBody(Part):
    """One message of a dead letter. ``text`` is its JSON, laid out; ``cut`` are the characters that were left out."""

    id: str
    name: str
    text: str
    re: str = ""
    cut: int = 0


class DeadView(View):
    """A whole dead letter. Where nobody can read it, ``raw`` shows its bytes and ``headers`` what it bore."""

    letter: DeadLetter
    person: str = ""
    cause: str = ""
    bodies: tuple[DeadBody, ...] = ()
    headers: tuple[str, ...] = ()
    raw: str = ""
    cut: int = 0


class RetryDead(Command):
    """Say a dead letter once more, as a new message. With ``release`` its receiver goes on first, where it rests."""

    seq: int
    release: bool = True


class DeadRetried(Event):
    """The letter lies in the mailbox of its receiver and is dead no more; ``gone`` is true where it was not there."""

    seq: int
    to: str = ""
    released: bool = False
    gone: bool = False


class DropDead(Command):
    """Throw a dead letter away."""

    seq: int


class DeadDropped(Event):
    """The letter is thrown away; ``gone`` is true where it was not there."""

    seq: int
    to: str = ""
    gone: bool = False
