"""The ports without wires: a full citizen, for tests and for a house of one process.

It keeps what a server keeps: whoever runs on it may be cut off at any moment and begin again on the same memory.
"""

import asyncio
import itertools
from dataclasses import dataclass
from datetime import UTC, datetime

from actors.runtime.nats.epoch import begun
from actors.runtime.ports import MAILBOX, Conflict, Delivery, Leave, Mail, Ports, Stored, Take
from protocol.address import Address
from protocol.envelope import Envelope, Fire, letter
from protocol.errors import Full
from protocol.node import Fired

TIMERS = Address("timer", "memory")
"""Who sends what timers say; the message itself lies in the record of the actor."""
ELSEWHERE = ("work", "proc", "out")
"""Kinds whose boxes are read by others than actors."""


@dataclass(frozen=True, slots=True)
class Dead:
    """What could not be handled, and why."""

    to: Address
    envelope: Envelope
    why: str


class Memory:
    """All ports at once, kept in one process."""

    epoch = "memory"
    epochs = begun(epoch)

    def __init__(self) -> None:
        """Be empty."""
        self.boxes: dict[Address, list[Mail]] = {}
        self.rows: list[tuple[Address, Envelope]] = []
        self.replies: list[tuple[str, Envelope]] = []
        self.dead: list[Dead] = []
        self._records: dict[Address, Stored] = {}
        self._ids: dict[tuple[Address, str], int] = {}
        self._sequence = itertools.count(1)
        self._revision = itertools.count(1)
        self._timers: dict[tuple[Address, str, int], asyncio.TimerHandle] = {}
        self._take: Take | None = None

    @property
    def ports(self) -> Ports:
        """Return this memory as ports."""
        return Ports(self, self, self, self)

    # post

    async def send(self, to: Address, envelope: Envelope) -> int:
        """Put an envelope into a box."""
        key = (to, envelope.id)
        if key in self._ids:
            return self._ids[key]
        box = self.boxes.setdefault(to, [])
        if len(box) >= MAILBOX:
            raise Full(f"the mailbox of {to} is full")
        mail = Mail(to, envelope, self.epoch, next(self._sequence), datetime.now(UTC))
        self._ids[key] = mail.seq
        box.append(mail)
        if self._take and to.kind not in ELSEWHERE:
            self._take(self._delivery(mail))
        return mail.seq

    async def reply(self, inbox: str, envelope: Envelope) -> None:
        """Keep a reply for whoever looks."""
        self.replies.append((inbox, envelope))

    async def publish(self, me: Address, row: Envelope) -> None:
        """Keep a fact, once."""
        if all(kept.id != row.id for _, kept in self.rows):
            self.rows.append((me, row))

    async def kept(self, me: Address, since: datetime) -> frozenset[str]:
        """Return the ids of all facts of an actor; none is too old."""
        del since
        return frozenset(row.id for whose, row in self.rows if whose == me)

    async def bury(self, to: Address, envelope: Envelope, why: str) -> None:
        """Keep what could not be handled, once."""
        if all((one.to, one.envelope.id) != (to, envelope.id) for one in self.dead):
            self.dead.append(Dead(to, envelope, why))

    # store

    async def load(self, me: Address) -> Stored | None:
        """Return a record."""
        return self._records.get(me)

    async def save(self, me: Address, data: bytes, revision: int, ttl: float = 0) -> int:
        """Write a record over the one that was read. Nothing is forgotten here."""
        del ttl
        found = self._records.get(me)
        if (found.revision if found else 0) != revision:
            raise Conflict(f"somebody else has written the record of {me}")
        written = next(self._revision)
        self._records[me] = Stored(data, written)
        return written

    # timers

    async def set(self, me: Address, name: str, generation: int, due: datetime) -> None:
        """Set a timer on the running loop."""
        await self.cancel(me, name, generation)
        loop = asyncio.get_running_loop()
        seconds = (due - datetime.now(UTC)).total_seconds()
        self._timers[me, name, generation] = loop.call_later(max(seconds, 0), self._fire, me, name, generation)

    async def cancel(self, me: Address, name: str, generation: int) -> None:
        """Forget one setting of a timer."""
        if handle := self._timers.pop((me, name, generation), None):
            handle.cancel()

    def _fire(self, me: Address, name: str, generation: int) -> None:
        self._timers.pop((me, name, generation), None)
        id_ = f"{me}.{name}.{generation}"
        envelope = Envelope(TIMERS, (letter(Fired(), id_),), fire=Fire(name, generation))
        mail = Mail(me, envelope, self.epoch, next(self._sequence), datetime.now(UTC))
        self.boxes.setdefault(me, []).append(mail)
        if self._take:
            self._take(self._delivery(mail))

    # intake

    async def run(self, take: Take, leave: Leave) -> None:
        """Hand over what lies in the boxes, then what comes; nobody else reads them."""
        del leave
        self._take = take
        try:
            for mail in sorted((one for box in self.boxes.values() for one in box), key=lambda one: one.seq):
                if mail.to.kind not in ELSEWHERE:
                    take(self._delivery(mail))
            await asyncio.Event().wait()
        finally:
            if self._take == take:
                self._take = None

    def _delivery(self, mail: Mail) -> Delivery:
        async def settle() -> None:
            box = self.boxes[mail.to]
            if mail in box:
                box.remove(mail)

        return Delivery(mail, settle)
