"""One actor at work: the only place where a decision becomes a deed.

Load, decide, save, say, settle: the record is written first, then what the step says is posted, then the mail is
settled. So whatever is cut short is repeated by the mail that comes again, and nothing is done that is not written.
"""

import asyncio
import math
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Generic, NamedTuple, TypeVar, assert_never

import structlog

from actors.runtime.actor import Actor
from actors.runtime.loop import LoopActor
from actors.runtime.ports import Conflict, Delivery, Mail, Ports
from actors.runtime.record import MARK_DAYS, Answer, DropTimer, Outgoing, Parcel, Record, Row, SetTimer
from actors.runtime.transition import decode, encode, failed, repeated, skipped, transition, undelivered
from protocol.address import Address
from protocol.envelope import Envelope, Mark
from protocol.errors import Full, Unreachable, Unreadable

S = TypeVar("S")

PATIENCE = 5.0
"""Seconds for which a full mailbox is tried again before the sender hears ``Undelivered``."""
LONGEST = 2.0
"""Seconds between two tries of a store or a wire that does not answer."""

log = structlog.get_logger()


class Known(NamedTuple, Generic[S]):
    """The record as this cell has last read or written it."""

    record: Record[S] | None
    revision: int


@dataclass(frozen=True, slots=True)
class Trade(Generic[S]):
    """What a cell needs to know of itself: what it decides by, who it is, and its ports."""

    actor: Actor[S]
    me: Address
    ports: Ports


class Cell(LoopActor, Generic[S]):
    """Takes one delivery at a time."""

    def __init__(self, trade: Trade[S]) -> None:
        """Know nothing yet: the record is read when the first mail comes."""
        super().__init__()
        self._trade = trade
        self._known: Known[S] | None = None
        self._inside: dict[tuple[str, int], Delivery] = {}
        self.used = asyncio.get_running_loop().time()

    def offer(self, delivery: Delivery) -> None:
        """Take a delivery in; of a mail that waits here already the newest one is settled, in its turn.

        The server delivers again what was not settled for long: a stuck actor must not fill the memory with that.
        """
        known = _key(delivery) in self._inside
        self._inside[_key(delivery)] = delivery
        if not known:
            self.actor_ref.tell(delivery)

    async def receive(self, message: object) -> None:
        """Handle one delivery for as long as it takes: only the store and the wire are tried again."""
        if not isinstance(message, Delivery):
            raise TypeError(f"a cell takes deliveries, not {message!r}")
        self.used = asyncio.get_running_loop().time()
        async for _ in _tries(self._trade.me):
            try:
                await self._take(message)
            except (Unreachable, Conflict, Unreadable) as error:
                log.warning("again", actor=str(self._trade.me), why=str(error))
            except Exception:  # the wall around a bug of ours: to go on would lose this mail and what it said
                log.exception("again", actor=str(self._trade.me))
            else:
                self._inside.pop(_key(message), None)
                return
            self._known = None

    async def _take(self, delivery: Delivery) -> None:
        mail = delivery.mail
        known = self._known or await self._load()
        if repeated(known.record, mail):
            if known.record and mail.seq == known.record.last:
                await self._say(known, mail)
            await self._settle(delivery)
            return
        decided = await self._decide(known.record, mail)
        if decided is not None:
            await self._say(await self._save(decided, known.revision), mail)
        await self._settle(delivery)

    async def _settle(self, delivery: Delivery) -> None:
        await self._inside.get(_key(delivery), delivery).settle()

    async def _load(self) -> Known[S]:
        stored = await self._trade.ports.store.load(self._trade.me)
        record = decode(self._trade.actor, stored.data) if stored else None
        self._known = Known(record, stored.revision if stored else 0)
        return self._known

    async def _decide(self, record: Record[S] | None, mail: Mail) -> Record[S] | None:
        if record and record.quarantine:
            await self._trade.ports.post.bury(mail.to, mail.envelope, f"{mail.to} rests: {record.quarantine}")
            return record.model_copy(update={"epoch": mail.epoch, "last": mail.seq, "at": mail.at, "outbox": ()})
        try:
            decided = transition(self._trade.actor, record, mail)
            if decided is not None:
                encode(decided)
        except Unreadable as error:
            await self._trade.ports.post.bury(mail.to, mail.envelope, str(error))
            return skipped(self._trade.actor, record, mail)
        except Exception as error:  # the wall around a bug in a step: the mail is kept, the actor goes on
            why = f"{type(error).__name__}: {error}"
            log.exception("step failed", actor=str(mail.to), mail=mail.envelope.id, why=why)
            await self._trade.ports.post.bury(mail.to, mail.envelope, why)
            return failed(self._trade.actor, record, mail, why)
        return decided

    async def _save(self, record: Record[S], revision: int) -> Known[S]:
        record = record.model_copy(update={"nonce": secrets.token_hex(8), "written": datetime.now(UTC)})
        try:
            # What a step made was weighed when it was decided; what must be written all the same may weigh more.
            written = await self._trade.ports.store.save(self._trade.me, encode(record, math.inf), revision)
            self._known = Known(record, written)
        except (Unreachable, Conflict):
            # The answer may be lost and not the write: a record with our own nonce was written by us.
            self._known = None
            found = await self._load()
            if found.record is None or found.record.nonce != record.nonce:
                raise
        return self._known or Known(record, revision)

    async def _say(self, known: Known[S], mail: Mail) -> None:
        while known.record:
            given_up = await self._post(known.record, known.revision)
            if not given_up:
                return
            decided = await self._hear_of(known.record, mail, given_up)
            known = await self._save(decided, known.revision)

    async def _hear_of(self, record: Record[S], mail: Mail, given_up: tuple[tuple[Parcel, str], ...]) -> Record[S]:
        try:
            decided = undelivered(self._trade.actor, record, mail, given_up)
            encode(decided)
        except Exception as error:  # the wall around a bug in a step, as above
            why = f"{type(error).__name__}: {error}"
            log.exception("step failed", actor=str(mail.to), given_up=len(given_up), why=why)
            return failed(self._trade.actor, record, mail, why, given_up)
        return decided

    async def _post(self, record: Record[S], revision: int) -> tuple[tuple[Parcel, str], ...]:
        if datetime.now(UTC) - (record.written or record.at) > timedelta(days=MARK_DAYS):
            # Its receivers have forgotten what they heard of it: it must not go out once more.
            for out in record.outbox:
                if isinstance(out, Parcel):
                    await self._trade.ports.post.bury(
                        out.to, Envelope(self._trade.me, out.letters), "too old to be sent"
                    )
            return ()
        # All are waited for: one that is still on its way when another has failed would overtake what is said next.
        said = await asyncio.gather(*(self._one(out, revision) for out in record.outbox), return_exceptions=True)
        given_up = []
        for out, why in zip(record.outbox, said, strict=True):
            if isinstance(why, BaseException):
                raise why
            if why and isinstance(out, Parcel):
                given_up.append((out, why))
        return tuple(given_up)

    async def _one(self, out: Outgoing, revision: int) -> str:
        """Post one thing; return why it was given up, or nothing."""
        ports, me = self._trade.ports, self._trade.me
        match out:
            case Parcel():
                return await self._parcel(out, revision)
            case Row(letter=letter, cause=cause):
                await ports.post.publish(me, Envelope(me, (letter,), cause=cause))
            case Answer(inbox=inbox, letter=letter):
                await ports.post.reply(inbox, Envelope(me, (letter,)))
            case SetTimer(timer=name, generation=generation, due=due):
                await ports.timers.set(me, name, generation, due)
            case DropTimer(timer=name):
                await ports.timers.cancel(me, name)
            case _:
                assert_never(out)
        return ""

    async def _parcel(self, out: Parcel, revision: int) -> str:
        ports, me = self._trade.ports, self._trade.me
        mark = Mark(ports.store.epoch, revision)
        envelope = Envelope(me, out.letters, cause=out.cause, person=out.person, mark=mark)
        loop = asyncio.get_running_loop()
        until = loop.time() + PATIENCE
        pause = 0.05
        while True:
            try:
                await ports.post.send(out.to, envelope)
            except Full as error:
                if loop.time() > until:
                    await ports.post.bury(out.to, envelope, f"given up: {error}")
                    return str(error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, 1.0)
            else:
                return ""

    def stale(self, now: float, idle: float) -> bool:
        """Tell whether nothing was asked of this cell for so long that it may leave."""
        return not self.busy and now - self.used > idle


def _key(delivery: Delivery) -> tuple[str, int]:
    return delivery.mail.epoch, delivery.mail.seq


async def _tries(me: Address) -> AsyncIterator[int]:
    pause, count = 0.1, 0
    while True:
        yield count
        count += 1
        log.info("waiting to try again", actor=str(me), seconds=pause)
        await asyncio.sleep(pause)
        pause = min(pause * 2, LONGEST)
