"""One actor at work: its mail comes in here, one at a time, and for as long as it takes."""

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Generic, TypeVar, assert_never

import structlog

from actors.runtime.actor import Actor
from actors.runtime.delivery import GivenUp, Known, handle
from actors.runtime.loop import LoopActor
from actors.runtime.ports import Conflict, Delivery, Ports
from actors.runtime.record import MARK_DAYS, Answer, DropTimer, Outgoing, Parcel, Record, Row, SetTimer
from actors.runtime.shape import Newer, decode
from actors.runtime.shelf import Shelf
from protocol.address import Address
from protocol.envelope import Envelope, Mark
from protocol.errors import Full, Unreachable, Unreadable

S = TypeVar("S")

PATIENCE = 5.0
"""Seconds for which a full mailbox is tried again before the sender hears ``Undelivered``."""
FIRST, LONGEST = 0.1, 2.0
"""Seconds between two tries of a store or a wire that does not answer."""
TOMBSTONE = MARK_DAYS * 86_400
"""Seconds for which the record of one that has stopped is kept."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Trade(Generic[S]):
    """What a cell needs to know of itself: what it decides by, who it is, its ports, and where its record is kept."""

    actor: Actor[S]
    me: Address
    ports: Ports
    shelf: Shelf = field(default_factory=Shelf)


class Cell(LoopActor, Generic[S]):
    """Takes one delivery at a time."""

    def __init__(self, trade: Trade[S]) -> None:
        """Know nothing yet: the record is read when the first mail comes."""
        super().__init__()
        self._trade = trade
        self._known: Known[S] | None = None
        self._inside: dict[tuple[str, int], Delivery] | None = None
        self._left = False
        self.used = asyncio.get_running_loop().time()

    def offer(self, delivery: Delivery) -> None:
        """Take a delivery in; of a mail that waits here already the newest one is settled, in its turn.

        The server delivers again what was not settled for long: a stuck actor must not fill the memory with that.
        """
        if self._inside is None:
            self._inside = {}
        known = _key(delivery) in self._inside
        self._inside[_key(delivery)] = delivery
        if not known:
            self.tell(delivery)

    async def receive(self, message: object) -> None:
        """Handle one delivery for as long as it takes: only the store and the wire are tried again."""
        if not isinstance(message, Delivery):
            raise TypeError(f"a cell takes deliveries, not {message!r}")
        self.used = asyncio.get_running_loop().time()
        pause = FIRST
        while not await self._take(message) and not self._left:
            log.info("waiting to try again", actor=str(self._trade.me), seconds=pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST)

    async def _take(self, delivery: Delivery) -> bool:
        """Do with a delivery all that is to be done; tell whether it is."""
        try:
            hands = Deeds(self._trade, lambda: self._left)
            known = self._unfold() or await hands.load()
            self._known = await handle(self._trade.actor, hands, known, delivery.mail)
            await self._settle(delivery)
        except Newer as error:
            log.warning("left to a newer host", actor=str(self._trade.me), why=str(error))
            self._trade.ports.crew.decline(self._trade.me)
            return False
        except (Unreachable, Conflict, Unreadable) as error:
            log.warning("again", actor=str(self._trade.me), why=str(error))
            return False
        except Exception:  # the wall around a bug of ours: to go on would lose this mail and what it said
            log.exception("again", actor=str(self._trade.me))
            return False
        self._trade.shelf.put(self)
        return True

    async def _settle(self, delivery: Delivery) -> None:
        """Settle the newest delivery of a mail, and have nothing in memory where nothing is inside."""
        await (self._inside or {}).get(_key(delivery), delivery).settle()
        if self._inside:
            self._inside.pop(_key(delivery), None)
        self._inside = self._inside or None

    def _unfold(self) -> Known[S] | None:
        """Take the record as it was last known; until it is known again, it is to be read."""
        known, self._known = self._known, None
        if known and known.record is None and known.data:
            return known._replace(record=decode(self._trade.actor, known.data))
        return known

    def fold(self) -> None:
        """Keep the record as bytes until it is needed."""
        if self._known and self._known.data:
            self._known = self._known._replace(record=None)

    def abort(self) -> None:
        """Be gone at the next await."""
        self._trade.shelf.drop(self)
        super().abort()

    def let_go(self) -> None:
        """Finish what is in hand, and take nothing more: another host has our mail now."""
        self._left = True
        self.actor_inbox.waiting.clear()
        self._inside = None

    def stale(self, now: float, idle: float) -> bool:
        """Tell whether nothing was asked of this cell for so long that it may leave."""
        return not self.busy and now - self.used > idle


class Deeds(Generic[S]):
    """The hands of a cell: what a delivery asks for, done over the ports."""

    def __init__(self, trade: Trade[S], has_left: Callable[[], bool]) -> None:
        """Act for one actor; ``has_left`` tells whether another host reads its mail now."""
        self._trade = trade
        self._ports = trade.ports
        self._has_left = has_left

    @property
    def version(self) -> int:
        """Return the version that every host alive can read."""
        actor = self._trade.actor
        return self._ports.crew.reads(actor.kind, actor.version)

    @property
    def newer(self) -> bool:
        """Tell whether a newer host lives."""
        return self._ports.crew.newer()

    async def load(self) -> Known[S]:
        """Read the record."""
        stored = await self._ports.store.load(self._trade.me)
        if stored is None:
            return Known(None, 0)
        record = decode(self._trade.actor, stored.data) if stored.data else None
        return Known(record, stored.revision, stored.data)

    async def save(self, data: bytes, revision: int, *, stopped: bool) -> int:
        """Write a record; that of one who has stopped is a tombstone."""
        return await self._ports.store.save(self._trade.me, data, revision, TOMBSTONE if stopped else 0)

    def sign(self, record: Record[S]) -> Record[S]:
        """Return the record with a nonce and the time."""
        return record.model_copy(update={"nonce": secrets.token_hex(8), "written": self._ports.clock()})

    async def bury(self, to: Address, envelope: Envelope, why: str) -> None:
        """Put it into DEAD."""
        await self._ports.post.bury(to, envelope, why)

    async def say(self, known: Known[S], *, again: bool) -> GivenUp:
        """Post an outbox, all of it side by side."""
        record = known.record
        if record is None:
            return ()
        if self._ports.clock() - (record.written or record.at) > timedelta(days=MARK_DAYS):
            # Its receivers have forgotten what they heard of it: it must not go out once more.
            for out in record.outbox:
                if isinstance(out, Parcel):
                    await self.bury(out.to, Envelope(self._trade.me, out.letters), "too old to be sent")
            return ()
        outbox = await self._missing(record) if again else record.outbox
        if len(outbox) == 1:
            said = [await self._one(outbox[0], known.revision)]
        else:
            # All are waited for: one that is still on its way when another has failed would overtake what is said next.
            both = await asyncio.gather(*(self._one(out, known.revision) for out in outbox), return_exceptions=True)
            said = [_unless_raised(why) for why in both]
        return tuple((out, why) for out, why in zip(outbox, said, strict=True) if why and isinstance(out, Parcel))

    async def _missing(self, record: Record[S]) -> tuple[Outgoing, ...]:
        """Return what is to be said again: receivers know mail by its mark, but nobody knows a fact by anything."""
        if not any(isinstance(out, Row) for out in record.outbox):
            return record.outbox
        # What was stored in the second of the write: the clock is known to some milliseconds only.
        kept = await self._ports.post.kept(self._trade.me, (record.written or record.at) - timedelta(seconds=60))
        return tuple(out for out in record.outbox if not isinstance(out, Row) or out.letter.id not in kept)

    async def _one(self, out: Outgoing, revision: int) -> str:
        """Post one thing; return why it was given up, or nothing."""
        ports, me = self._ports, self._trade.me
        match out:
            case Parcel():
                return await self._parcel(out, revision)
            case Row(letter=letter, cause=cause):
                await ports.post.publish(me, Envelope(me, (letter,), cause=cause))
            case Answer(inbox=inbox, letter=letter):
                await ports.post.reply(inbox, Envelope(me, (letter,)))
            case SetTimer(timer=name, generation=generation, due=due):
                await ports.timers.set(me, name, generation, due)
            case DropTimer(timer=name, generation=generation):
                await ports.timers.cancel(me, name, generation)
            case _:
                assert_never(out)
        return ""

    async def _parcel(self, out: Parcel, revision: int) -> str:
        me = self._trade.me
        mark = Mark(self._ports.store.epochs.of(revision), revision)
        envelope = Envelope(me, out.letters, cause=out.cause, person=out.person, mark=mark)
        loop = asyncio.get_running_loop()
        until, pause = loop.time() + PATIENCE, 0.05
        while True:
            try:
                await self._ports.post.send(out.to, envelope)
            except Full as error:
                await self._unmoved(revision)
                if loop.time() > until:
                    return str(error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, 1.0)
                await self._unmoved(revision)
            else:
                return ""

    async def _unmoved(self, revision: int) -> None:
        """Raise ``Conflict`` where somebody else goes on with this record: what we still say may be given up."""
        stored = None if self._has_left() else await self._ports.store.load(self._trade.me)
        if stored is None or stored.revision != revision:
            raise Conflict(f"{self._trade.me} went on elsewhere while this host waited to speak for it")


def _unless_raised(why: str | BaseException) -> str:
    if isinstance(why, BaseException):
        raise why
    return why


def _key(delivery: Delivery) -> tuple[str, int]:
    return delivery.mail.epoch, delivery.mail.seq
