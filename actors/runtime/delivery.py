"""What is done with one mail, and in which order.

Load, decide, save, say: the record is written first, then what the step says is posted; whoever drives this settles the
mail at its end. So whatever is cut short is repeated by the mail that comes again, and nothing is done that is not
written. The deeds themselves are those of ``Hands``: a cell does them over wires, the stage of the tests at once, and
both run this very code.
"""

import math
from typing import Generic, NamedTuple, Protocol, TypeVar

import structlog

from actors.runtime.actor import Actor
from actors.runtime.ports import Conflict, Mail
from actors.runtime.record import RECORD_LIMIT, Parcel, Record
from actors.runtime.shape import Newer, encode
from actors.runtime.transition import failed, parked, repeated, resting, skipped, transition, undelivered
from protocol.address import Address
from protocol.envelope import Envelope
from protocol.errors import Unreachable, Unreadable

S = TypeVar("S")

GivenUp = tuple[tuple[Parcel, str], ...]
"""What could not be said, each with the reason."""

log = structlog.get_logger()


class Known(NamedTuple, Generic[S]):
    """A record as it was last read or written; ``revision`` is what the next write is written over.

    ``data`` is the record as it is stored.
    """

    record: Record[S] | None
    revision: int
    data: bytes = b""


class Decided(NamedTuple, Generic[S]):
    """A record that is to be written, and the bytes of it."""

    record: Record[S]
    data: bytes


class Hands(Protocol[S]):
    """Who does what a delivery asks for. Each deed may raise ``Unreachable``; the whole is then begun anew."""

    @property
    def version(self) -> int:
        """Return the version in which records are to be written, so that every host alive can read them."""

    @property
    def newer(self) -> bool:
        """Tell whether a newer host lives, which may understand what we do not."""

    async def load(self) -> Known[S]:
        """Read the record."""

    async def save(self, data: bytes, revision: int, *, stopped: bool) -> int:
        """Write a record over a revision and return the new one, or raise ``Conflict``."""

    def sign(self, record: Record[S]) -> Record[S]:
        """Return the record with a nonce of its own and the time of its write."""

    async def say(self, known: Known[S], *, again: bool) -> GivenUp:
        """Post the outbox of a record, all of it; ``again`` is true where some of it may have been said before."""

    async def bury(self, to: Address, envelope: Envelope, why: str) -> None:
        """Put aside what cannot be handled."""


async def handle(actor: Actor[S], hands: Hands[S], known: Known[S], mail: Mail) -> Known[S]:
    """Do with a mail all that is to be done before it is settled; return the record as it stands then.

    Raise ``Newer`` where only a newer host that lives can read the mail.
    """
    if repeated(known.record, mail):
        if known.record and mail.seq == known.record.last:
            return await _say(actor, hands, known, mail, again=True)
        return known
    decided = await _decide(actor, hands, known.record, mail)
    if decided is None:
        return known
    return await _say(actor, hands, await _save(hands, decided, known.revision), mail, again=False)


async def _decide(actor: Actor[S], hands: Hands[S], record: Record[S] | None, mail: Mail) -> Decided[S] | None:
    if record and resting(record, mail):
        await hands.bury(mail.to, mail.envelope, f"{mail.to} rests: {record.quarantine}")
        return _ready(actor, hands, parked(record, mail))
    try:
        decided = transition(actor, record, mail)
        return _ready(actor, hands, decided, RECORD_LIMIT) if decided else None
    except Unreadable as error:
        if hands.newer:
            raise Newer(f"a mail to {mail.to} is left to a newer host: {error}") from error
        await hands.bury(mail.to, mail.envelope, str(error))
        after = skipped(actor, record, mail) if record or _can_be_born(actor, mail) else None
    except Exception as error:  # noqa: BLE001  # the wall around a bug in a step: the mail is kept, the actor goes on
        why = _why(mail, error)
        await hands.bury(mail.to, mail.envelope, why)
        after = failed(actor, record, mail, why) if record or _can_be_born(actor, mail) else None
    return _ready(actor, hands, after) if after else None


def _ready(actor: Actor[S], hands: Hands[S], record: Record[S], limit: float = math.inf) -> Decided[S]:
    """Sign and encode a record. What a step made is weighed; what must be written all the same may weigh more."""
    signed = hands.sign(record)
    return Decided(signed, encode(actor, signed, hands.version, limit))


def _can_be_born(actor: Actor[S], mail: Mail) -> bool:
    """Tell whether there can be such an actor: one that fails at its birth has no record to be charged."""
    try:
        actor.born(mail.to)
    except Exception:  # noqa: BLE001  # the wall around a bug in a birth, as above; its mail is in DEAD
        return False
    return True


async def _save(hands: Hands[S], decided: Decided[S], revision: int) -> Known[S]:
    record, data = decided
    try:
        return Known(record, await hands.save(data, revision, stopped=record.stopped), data)
    except (Unreachable, Conflict):
        # The answer may be lost and not the write: a record with our own nonce was written by us.
        found = await hands.load()
        if found.record is None or found.record.nonce != record.nonce:
            raise
        return found


async def _say(actor: Actor[S], hands: Hands[S], known: Known[S], mail: Mail, *, again: bool) -> Known[S]:
    while known.record and known.record.outbox:
        given_up = await hands.say(known, again=again)
        if not given_up:
            break
        decided = _hear_of(actor, hands, known.record, mail, given_up)
        known, again = await _save(hands, decided, known.revision), False
        # Only now is it given up: before the write it could still arrive when the mail comes again.
        for parcel, why in given_up:
            gone = Envelope(mail.to, parcel.letters, cause=parcel.cause, person=parcel.person)
            await hands.bury(parcel.to, gone, f"given up: {why}")
    return known


def _hear_of(actor: Actor[S], hands: Hands[S], record: Record[S], mail: Mail, given_up: GivenUp) -> Decided[S]:
    try:
        return _ready(actor, hands, undelivered(actor, record, mail, given_up), RECORD_LIMIT)
    except Exception as error:  # noqa: BLE001  # the wall around a bug in a step, as above
        return _ready(actor, hands, failed(actor, record, mail, _why(mail, error), given_up))


def _why(mail: Mail, error: Exception) -> str:
    why = f"{type(error).__name__}: {error}"
    log.error("step failed", actor=str(mail.to), mail=mail.envelope.id, why=why, exc_info=error)
    return why
